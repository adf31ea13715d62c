"""What the server answers: the routes, and what a request of each must hold. Belongs to the event loop."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from typing import Any, Final, cast

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from pamiq_sched.web.access import Access
from pamiq_sched.web.commands import Command, Commands, QueueFullError
from pamiq_sched.web.jsontext import dump
from pamiq_sched.web.link import Hello
from pamiq_sched.web.mirror import Mirror
from pamiq_sched.web.openapi import document
from pamiq_sched.web.page import CLOSED_PAGE, Page
from pamiq_sched.web.responses import PiecesResponse, unless_gone
from pamiq_sched.web.streams import EventStreamResponse, TooManyStreamsError

LONGEST_WAIT: Final = 600.0
"""Seconds that a request may wait for its command; whoever needs longer asks for the command's result later."""

DEFAULT_WAIT: Final = 60.0

PATIENCE_WITH_A_SHUTDOWN: Final = 0.05
"""Seconds that a request waits for the system to say that it accepts a shutdown. The order is on its way already,
and a system whose interpreter is busy must not keep anybody waiting for the answer."""

PATIENCE_WITH_THE_FIRST_STATUS: Final = 5.0

NUMBER_OF_STATE: Final = {
    "active": 1,
    "pausing": 2,
    "paused": 3,
    "resuming": 4,
    "shutting down": 5,
    "offline": 6,
}
"""The numbers by which pamiq-core's client knows the states; it is told from others by its user agent."""


class InvalidRequestError(Exception):
    """A request whose parameters cannot be.

    Args:
        type_name: The class of error that a function would raise for it.
        message: The rule, the value, the way out.
        status: The status of HTTP.
    """

    def __init__(self, type_name: str, message: str, status: int = 422) -> None:
        super().__init__(message)
        self.type_name = type_name
        self.message = message
        self.status = status


class Api:
    """The functions that answer requests.

    Args:
        hello: What the system said about itself.
        mirror: What is known of it.
        commands: How it is given orders.
    """

    def __init__(self, hello: Hello, mirror: Mirror, commands: Commands) -> None:
        self._mirror = mirror
        self._commands = commands
        self._page = Page(hello)
        self._document = dump(document(hello.version, hello.port))

    def routes(self) -> list[Route]:
        """Return which function answers what."""
        return [
            Route("/", self.page),
            Route("/static/{file:path}", self.static),
            Route("/api/status", self.status),
            Route("/api/pause", self.pause, methods=["POST"]),
            Route("/api/resume", self.resume, methods=["POST"]),
            Route("/api/save-state", self.save_state, methods=["POST"]),
            Route("/api/shutdown", self.shutdown, methods=["POST"]),
            Route("/api/hyperparameters", self.set_hyperparameter, methods=["POST"]),
            Route("/api/horizon", self.set_horizon, methods=["POST"]),
            Route("/api/commands", self.commands),
            Route("/api/commands/{id}", self.command),
            Route("/api/history", self.history),
            Route("/api/events", self.events),
            Route("/api/openapi.json", self.openapi),
        ]

    async def page(self, _request: Request) -> Response:
        """Answer with the dashboard."""
        status = await self._mirror.status(PATIENCE_WITH_THE_FIRST_STATUS)
        return HTMLResponse(self._page.render(status or {}, self._mirror.history))

    async def static(self, request: Request) -> Response:
        """Answer with a file of the dashboard."""
        file = self._page.files.get(request.path_params["file"])
        if file is None:
            raise HTTPException(404)
        return Response(file.content, media_type=file.media_type)

    async def status(self, request: Request) -> Response:
        """Answer how the system is."""
        status = await self._mirror.status(PATIENCE_WITH_THE_FIRST_STATUS)
        if status is None:
            return _json({"error": "the system has not told its state yet; ask again"}, 503, {"Retry-After": "1"})
        state = "paused" if status["state"] == "saving" else status["state"]
        is_pamiq_core = request.headers.get("user-agent", "").startswith("python-httpx")
        return _json({"status": NUMBER_OF_STATE[state] if is_pamiq_core else state, **status})

    async def pause(self, request: Request) -> Response:
        """Pause the system."""
        return await self._carry_out(request, "pause")

    async def resume(self, request: Request) -> Response:
        """Resume it."""
        return await self._carry_out(request, "resume")

    async def save_state(self, request: Request) -> Response:
        """Save its state."""
        return await self._carry_out(request, "save")

    async def shutdown(self, request: Request) -> Response:
        """End it."""
        return await self._carry_out(request, "shutdown", default_wait=0.0)

    async def set_hyperparameter(self, request: Request) -> Response:
        """Change a hyperparameter."""
        body = await _object(request, needed=("trainer", "name", "value"), optional=("optimizer", "group"))
        _require(body, "trainer", str, "a string")
        _require(body, "name", str, "a string")
        if not isinstance(body["value"], bool):
            _require(body, "value", (int, float), "a number, true or false")
        if body["optimizer"] is not None:
            _require(body, "optimizer", str, "a string or null")
        if body["group"] is not None:
            _require(body, "group", int, "a whole number or null")
        return await self._carry_out(request, "set_hyperparameter", body)

    async def set_horizon(self, request: Request) -> Response:
        """Move the horizon of a schedule."""
        body = await _object(request, needed=("trainer", "schedule", "horizon"))
        _require(body, "trainer", str, "a string")
        _require(body, "schedule", str, "a string")
        _require(body, "horizon", (int, float), "a number")
        return await self._carry_out(request, "set_horizon", body)

    async def commands(self, _request: Request) -> Response:
        """Answer what the latest commands came to."""
        return _json([command.told() for command in self._commands.latest()])

    async def command(self, request: Request) -> Response:
        """Answer what a command came to."""
        command = self._commands.find(request.path_params["id"])
        if command is None:
            return _json(
                {"error": f"there is no command {request.path_params['id']!r}, or it is too long ago"}, 404
            )
        return _json(command.told())

    async def history(self, request: Request) -> PiecesResponse:
        """Answer what happened so far."""
        given = request.query_params.getlist("names")
        names = [name for names in given for name in names.split(",")] if given else self._mirror.history.names()
        since = _number(request, "since", -math.inf, least=-math.inf, most=math.inf)
        return PiecesResponse(self._history(names, since), "application/json")

    async def events(self, request: Request) -> Response | EventStreamResponse:
        """Answer with what happens from now on."""
        if request.method == "HEAD":
            return Response(media_type="text/event-stream")
        try:
            return EventStreamResponse(self._mirror.streams, self._mirror.open_stream())
        except TooManyStreamsError:
            return _json({"error": "too many pages are open; close one"}, 503, {"Retry-After": "10"})

    async def openapi(self, _request: Request) -> Response:
        """Answer with the description of all this."""
        return Response(self._document, media_type="application/json")

    def _history(self, names: list[str], since: float) -> Iterator[str]:
        # In pieces: all series together may be many megabytes.
        history = self._mirror.history
        yield f'{{"now":{dump(time.time())},"series":{{'
        separator = ""
        for name in names:
            columns = history.columns(name, since)
            if columns is not None:
                yield f"{separator}{dump(name)}:{dump(columns)}"
                separator = ","
        yield f'}},"pauses":{dump(list(history.pauses))},"saves":{dump(list(history.saves))}'
        for kind, events in (("log", history.log), ("errors", history.errors), ("changes", history.changes)):
            yield f',"{kind}":{dump([asdict(event) for event in events])}'
        yield "}"

    async def _carry_out(
        self,
        request: Request,
        verb: str,
        arguments: Mapping[str, Any] | None = None,
        default_wait: float = DEFAULT_WAIT,
    ) -> Response:
        wait = _number(request, "wait", default_wait, least=0.0, most=LONGEST_WAIT)
        try:
            command = self._commands.give(verb, arguments or {})
        except QueueFullError:
            return _json({"error": "Command queue is full, try again later"}, 503, {"Retry-After": "1"})
        wants_acceptance = verb == "shutdown" and wait == 0
        if wants_acceptance:
            await unless_gone(request.receive, command.answered.wait(), PATIENCE_WITH_A_SHUTDOWN)
        else:
            await unless_gone(request.receive, command.over.wait(), wait)
        return _outcome(command, wants_acceptance)


def create_app(
    hello: Hello, mirror: Mirror, commands: Commands, clock: Callable[[], float] = time.monotonic
) -> ASGIApp:
    """Return the application that answers requests, with what guards it.

    Args:
        hello: What the system said about itself.
        mirror: What is known of it.
        commands: How it is given orders.
        clock: Gives the seconds by which rates are reckoned.
    """
    starlette = Starlette(
        routes=Api(hello, mirror, commands).routes(),
        exception_handlers={404: _no_endpoint, 405: _no_method, InvalidRequestError: _invalid, Exception: _broken},
    )
    starlette.router.redirect_slashes = False
    return Access(
        starlette,
        host=hello.host,
        port=hello.port,
        token=hello.token,
        version=hello.version,
        closed_page=CLOSED_PAGE,
        clock=clock,
    )


def _outcome(command: Command, wants_acceptance: bool) -> Response:
    told = {"id": command.id, "command": command.verb, "state": command.state}
    if command.state == "failed":
        return _json({"error": command.error, "type": command.type, **told}, _status_of(command.type))
    if command.state == "done":
        return _json({"result": "ok", **told, "value": command.value})
    if wants_acceptance:
        return _json({"result": "ok", **told, "state": "accepted"})
    return _json({"result": "pending", **told}, 202)


def _status_of(type_name: str | None) -> int:
    if type_name == "TimeoutError":
        return 504
    if type_name in ("SystemStoppedError", "RuntimeError"):
        return 409
    if type_name in ("ValueError", "TypeError", "KeyError"):
        return 422
    return 500


def _number(request: Request, name: str, default: float, *, least: float, most: float) -> float:
    """Return a parameter of a request's query."""
    given = request.query_params.get(name)
    if given is None:
        return default
    try:
        number = float(given)
    except ValueError:
        number = math.nan
    if not least <= number <= most:
        bounds = f" from {least:g} to {most:g}" if math.isfinite(least) else ""
        raise InvalidRequestError("ValueError", f"{name} must be a number of seconds{bounds}, got {given!r}")
    return number


async def _object(request: Request, needed: tuple[str, ...], optional: tuple[str, ...] = ()) -> dict[str, Any]:
    """Return the body of a request with the given keys; optional ones that are not there are None."""
    try:
        body = json.loads(await request.body(), parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:  # a UnicodeDecodeError is a ValueError
        raise InvalidRequestError("ValueError", f"the body must be JSON: {error}", 400) from None
    keys = f"the keys {', '.join(needed)}" + (f" and may have {', '.join(optional)}" if optional else "")
    if not isinstance(body, dict):
        raise InvalidRequestError("TypeError", f"the body must be an object with {keys}")
    missing = [key for key in needed if key not in body]
    unknown = [key[:100] for key in body if key not in (*needed, *optional)]
    if missing or unknown:
        raise InvalidRequestError(
            "ValueError", f"the body must have {keys}; missing: {missing}, unknown: {unknown}"
        )
    return {**dict.fromkeys(optional), **body}


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no number of JSON")


def _require(body: Mapping[str, Any], key: str, kinds: type | tuple[type, ...], rule: str) -> None:
    value = body[key]
    if isinstance(value, bool) or not isinstance(value, kinds):
        raise InvalidRequestError("TypeError", f"{key} must be {rule}, got {value!r:.100}")
    if isinstance(value, float) and not math.isfinite(value):  # 1e999 is one
        raise InvalidRequestError("ValueError", f"{key} must be finite, got {value!r}")


def _json(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    return Response(dump(value), status, headers, media_type="application/json")


async def _no_endpoint(_request: Request, _error: Exception) -> Response:
    return _json({"error": "Invalid API endpoint"}, 404)


async def _no_method(_request: Request, error: Exception) -> Response:
    headers = error.headers if isinstance(error, HTTPException) else None
    return _json({"error": "Invalid API method"}, 405, headers)


async def _invalid(_request: Request, error: Exception) -> Response:
    error = cast(InvalidRequestError, error)  # what it is registered for
    return _json({"error": error.message, "type": error.type_name}, error.status)


async def _broken(_request: Request, error: Exception) -> Response:
    # Starlette raises it again, and uvicorn writes the traceback to the system's stderr.
    return _json({"error": f"the server failed: {error}", "type": type(error).__name__}, 500)
