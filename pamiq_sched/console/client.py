"""Speak to a running system over HTTP, as the command line does.

Whatever goes wrong is a :class:`Failure` whose text is for the one who called the command. Every request has a
connection of its own and an end: no server can hold a command up for longer than it said that it would wait, nor
fill its memory. A :class:`Client` may be used from any thread.
"""

from __future__ import annotations

import contextlib
import ipaddress
import json
import socket
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from typing_extensions import override

import pamiq_sched
from pamiq_sched._text import printable
from pamiq_sched.console import Failure

if TYPE_CHECKING:
    import httpx2

    from pamiq_sched.web.records import Record

    Exchange = contextlib.AbstractContextManager[tuple[httpx2.Response, Callable[[], None]]]

DEFAULT_PORT = 8391
"""pamiq-core's."""
HEADER = "X-Pamiq-Sched"
"""What every answer of a system carries."""
CONNECT = 5.0
"""Seconds that a connection may take."""
PATIENCE = 30.0
"""Seconds that a server may take to answer, beyond those that it was asked to wait. It gives way to the agent:
where all cores are busy, it takes seconds."""
SILENCE = 30.0
"""Seconds without a byte after which a stream of events is taken for dead; a system sends one every 10."""
MOST = 64_000_000
"""Bytes of an answer, or of one event."""


class NotReachedError(Failure):
    """No system was reached: nothing listens there, or something else, or the token is missing."""

    exit_code = 3


class UnreachableError(NotReachedError):
    """Nothing answers there; it may later."""


class RefusedError(Failure):
    """The system answered that it did not do it."""


@dataclass(frozen=True)
class Outcome:
    """What became of a command."""

    id: str
    state: str
    """``"done"``; ``"pending"`` if it goes on; ``"accepted"`` if nobody waits for it."""
    value: str | None = None
    """The path of the state that was saved."""


@dataclass(frozen=True)
class Target:
    """Where a system listens."""

    host: str
    port: int
    token: str | None = None
    record: Record | None = None
    """What a system on this machine notes about itself while it runs."""

    @override
    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def find(host: str | None, port: int | None, token: str | None) -> Target:
    """Return where the system listens that is meant by what was given, or the only one that runs here.

    Raises:
        Failure: If several could be meant.
        NotReachedError: If none runs here, and nothing was given.
    """
    from pamiq_sched.web.records import running  # noqa: PLC0415 - --help does not need it

    try:
        records = running()
    except (KeyError, OSError, TypeError, ValueError) as error:
        raise Failure.of(error) from error
    matching = [r for r in records if port in (None, r.port) and (host is None or _same(host, r.host))]
    if len(matching) == 1:
        (record,) = matching
        given = _connectable(record.host) if host is None else host
        return Target(given, record.port, record.token if token is None else token, record)
    if matching:
        systems = "; ".join(
            f"{Target(r.host, r.port)} {printable(r.program)} (pid {r.pid}) in {printable(r.directory)}"
            for r in matching
        )
        raise Failure(f"several systems run here, choose one by --port: {systems}")
    if host is None and port is None:
        raise NotReachedError(
            "no system that can be controlled runs here; start one with LaunchConfig(web_api_address=...), "
            "or name one elsewhere by --host and --port"
        )
    return Target("127.0.0.1" if host is None else host, DEFAULT_PORT if port is None else port, token)


def _same(host: str, bound: str) -> bool:
    """Whether a system that is bound to one address of this machine is reached by the other."""
    return host == bound or (_is_here(host) and (_is_here(bound) or _connectable(bound) != bound))


def _is_here(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _connectable(bound: str) -> str:
    """Return an address to connect to: a system may be bound to all of them."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(bound, bound)  # noqa: S104 - compared only


class Client:
    """Speaks to one system.

    Args:
        host: A name or an address, IPv6 without brackets.
        port: Where it listens.
        token: What it printed when it started.

    Raises:
        Failure: If it cannot be spoken to, because an extra is missing or an argument cannot be sent.
    """

    def __init__(self, host: str, port: int, token: str | None = None) -> None:
        try:
            import httpx2  # noqa: PLC0415 - an extra, and slow to import
        except ImportError:
            raise Failure("this command needs httpx2: pip install 'pamiq-sched[console]'") from None
        self.target = Target(host, port, token)
        headers = {"User-Agent": f"pamiq-sched/{pamiq_sched.__version__}", "Accept-Encoding": "identity"}
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        try:
            self._http = httpx2.Client(
                base_url=f"http://{self.target}",
                headers=headers,
                trust_env=not _is_here(host),  # the proxies of the environment are for elsewhere
                verify=False,  # nothing is encrypted; the certificates would take time to load
                limits=httpx2.Limits(max_keepalive_connections=0),
            )
        except (httpx2.InvalidURL, UnicodeError, ValueError) as error:
            raise Failure(f"{printable(str(self.target))} is no address: {printable(str(error))}") from None

    def status(self) -> dict[str, Any]:
        """Return what the system tells about itself."""
        return self._ask("GET", "/api/status")

    def history(self, names: Sequence[str] | None = None, since: float | None = None) -> dict[str, Any]:
        """Return the logged values of those names, or all, with the saves, errors and log lines.

        Args:
            names: Those to return.
            since: Unix seconds; what is older is left out.
        """
        query: dict[str, Any] = {} if since is None else {"since": since}
        return self._ask("GET", "/api/history", query | ({} if names is None else {"names": ",".join(names)}))

    def command(self, name: str, wait: float) -> Outcome:
        """Carry out ``"pause"``, ``"resume"``, ``"save-state"`` or ``"shutdown"``.

        Args:
            name: Which of them.
            wait: Seconds to wait for its end, 0 to 600.

        Raises:
            RefusedError: If the system did not do it; the text is the system's.
            NotReachedError: If no system was reached.
        """
        return _outcome(self._ask("POST", f"/api/{name}", {"wait": wait}, wait=wait))

    def set_hyperparameter(self, trainer: str, name: str, value: Any, **where: Any) -> Outcome:
        """Set a hyperparameter that has no schedule; ``where`` may name ``optimizer`` and ``group``."""
        body = {"trainer": trainer, "name": name, "value": value, **where}
        return _outcome(self._ask("POST", "/api/hyperparameters", body=body, wait=60))

    def set_horizon(self, trainer: str, schedule: str, horizon: float) -> Outcome:
        """Move the horizon of a schedule."""
        body = {"trainer": trainer, "schedule": schedule, "horizon": horizon}
        return _outcome(self._ask("POST", "/api/horizon", body=body, wait=60))

    def events(self) -> EventStream:
        """Return the live events, from the moment when they are iterated over."""
        return EventStream(self._open_events)

    def close(self) -> None:
        """Give the resources back."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _ask(
        self,
        method: str,
        path: str,
        query: Mapping[str, Any] | None = None,
        *,
        body: Any = None,
        wait: float = 0.0,
    ) -> dict[str, Any]:
        request = self._http.build_request(method, path, params=query, json=body)
        with self._send(request, PATIENCE + wait) as (response, _):
            return self._answer(response)

    @contextlib.contextmanager
    def _open_events(self) -> Iterator[tuple[httpx2.Response, Callable[[], None]]]:
        request = self._http.build_request("GET", "/api/events")
        with self._send(request, PATIENCE, is_endless=True) as (response, cut):
            if response.status_code != 200:
                self._answer(response)
            yield response, cut

    def _answer(self, response: httpx2.Response) -> dict[str, Any]:
        parts, size = [], 0
        for part in response.iter_raw():
            size += len(part)
            if size > MOST:
                raise NotReachedError(f"{self.target} answers with more than {MOST:,} bytes")
            parts.append(part)
        try:
            answer = json.loads(b"".join(parts))
        except (ValueError, RecursionError):
            answer = None
        status = response.status_code
        if status in (200, 202) and isinstance(answer, dict):
            return answer
        if not isinstance(answer, dict) or not isinstance(told := answer.get("error"), str):
            raise NotReachedError(f"{self.target} answers with something that is no JSON object (HTTP {status})")
        told = _plain_lines(told)
        if status == 401:
            raise NotReachedError(self._why_not_authorized())
        if status == 429:
            told += f"; try again in {printable(response.headers.get('Retry-After', '1'))} s"
        raise RefusedError(told)

    def _why_not_authorized(self) -> str:
        what = "wants a token" if self.target.token is None else "does not take this token"
        return (
            f"the system at {self.target} {what}; it printed the right one when it started, and keeps it on its "
            f"machine in {self.target.port}-*.json of $XDG_RUNTIME_DIR/pamiq-sched or ~/.cache/pamiq-sched/run; "
            "give it by --token or PAMIQ_SCHED_TOKEN"
        )

    @contextlib.contextmanager
    def _send(
        self, request: httpx2.Request, patience: float, *, is_endless: bool = False
    ) -> Iterator[tuple[httpx2.Response, Callable[[], None]]]:
        """Give the response to a request, and what cuts the connection, from any thread.

        The whole answer may take that many seconds; of an endless one, the headers.
        """
        import httpx2  # noqa: PLC0415 - loaded by the constructor

        connections: list[socket.socket] = []
        is_late = threading.Event()

        def trace(name: str, info: Mapping[str, Any]) -> None:
            if name == "connection.connect_tcp.complete":
                connections.append(info["return_value"].get_extra_info("socket"))

        def cut() -> None:
            for connection in connections:
                with contextlib.suppress(OSError):  # it is over already
                    connection.shutdown(socket.SHUT_RDWR)

        def give_up() -> None:
            is_late.set()
            cut()

        # httpx2 bounds each read; this bounds them all, for a server that sends a byte now and then.
        timer = threading.Timer(patience, give_up)
        timer.daemon = True
        timeout = httpx2.Timeout(SILENCE if is_endless else patience, connect=CONNECT)
        request.extensions = {"trace": trace, "timeout": timeout.as_dict()}
        timer.start()
        try:
            response = self._http.send(request, stream=True)
            try:
                if HEADER not in response.headers:
                    raise NotReachedError(
                        f"what answers at {self.target} is no pamiq-sched system "
                        f"(HTTP {response.status_code} without the header {HEADER})"
                    )
                if is_endless:
                    timer.cancel()
                yield response, cut
            finally:
                response.close()
        except (httpx2.HTTPError, NotReachedError) as error:
            if is_late.is_set():
                raise UnreachableError(f"{self.target} did not answer within {patience:g} s") from error
            raise self._told(error) from error
        finally:
            timer.cancel()

    def _told(self, error: httpx2.HTTPError | NotReachedError) -> NotReachedError:
        import httpx2  # noqa: PLC0415 - loaded by the constructor

        if isinstance(error, NotReachedError):
            return error
        cause = _cause(error)
        if isinstance(cause, ConnectionRefusedError):
            why = "nothing listens there; does the system run, with LaunchConfig(web_api_address=...)?"
        elif isinstance(error, httpx2.ConnectTimeout):
            why = f"no connection within {CONNECT:g} s"
        elif isinstance(error, httpx2.TimeoutException):
            why = "it went silent"
        elif isinstance(error, httpx2.ConnectError) and isinstance(cause, OSError) and cause.strerror:
            why = cause.strerror
        else:
            return UnreachableError(
                f"what listens at {self.target} does not answer as a system does: {_line(error)}"
            )
        return UnreachableError(f"{self.target} cannot be reached: {why}")


def _line(error: Exception) -> str:
    return printable(" ".join(str(error).split()) or type(error).__name__)


def _cause(error: BaseException) -> BaseException:
    """Return what is at the bottom of an error."""
    while (deeper := error.__cause__ or error.__context__) is not None:
        error = deeper
    return error


def _plain_lines(text: str) -> str:
    return "\n".join(printable(line) for line in text.splitlines())


def _outcome(answer: Mapping[str, Any]) -> Outcome:
    state, value = answer.get("state"), answer.get("value")
    if state not in ("done", "pending", "accepted"):
        raise NotReachedError(f"the system answers with a state of the command that is not known: {state!r}")
    return Outcome(printable(str(answer.get("id", ""))), state, value if isinstance(value, str) else None)


class EventStream:
    """The live events of a system: iterating gives the kind and the value of each, until the connection ends.

    The kinds are ``"status"``, ``"points"``, ``"event"`` and ``"ended"``. One thread iterates; any may close.

    Raises:
        NotReachedError: When no system is reached, or the connection breaks.
    """

    def __init__(self, exchange: Callable[[], Exchange]) -> None:
        self._exchange = exchange
        self._lock = threading.Lock()
        self._cut: Callable[[], None] | None = None  # guarded by the lock
        self._is_closed = False  # guarded by the lock

    def close(self) -> None:
        """End the iteration."""
        with self._lock:
            self._is_closed = True
            if self._cut is not None:
                self._cut()

    def __iter__(self) -> Iterator[tuple[str, Any]]:
        try:
            with self._exchange() as (response, cut):
                with self._lock:
                    self._cut = cut
                    if self._is_closed:
                        return
                yield from _events(response.iter_raw())
        except NotReachedError:
            if not self._is_closed:
                raise


def _events(parts: Iterable[bytes]) -> Iterator[tuple[str, Any]]:
    """Yield what a stream of server-sent events tells; a message that is no JSON is an error."""
    kind: str = "message"
    data: list[str] = []
    size = 0
    for line in _lines_of(parts):
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if field == "event":
            kind = value
        elif field == "data":
            data.append(value)
            size += len(value) + 1
            _require_bounded(size)
        elif not line:
            if data:
                try:
                    yield kind, json.loads("\n".join(data))
                except (ValueError, RecursionError):
                    raise NotReachedError("the system sends an event that is no JSON") from None
            kind, data, size = "message", [], 0


def _lines_of(parts: Iterable[bytes]) -> Iterator[str]:
    unfinished: list[bytes] = []
    size = 0
    for part in parts:
        *whole, rest = part.split(b"\n")
        for line in whole:
            unfinished.append(line)
            yield b"".join(unfinished).removesuffix(b"\r").decode(errors="replace")
            unfinished, size = [], 0
        unfinished.append(rest)
        size += len(rest)
        _require_bounded(size)


def _require_bounded(size: int) -> None:
    if size > MOST:
        raise NotReachedError(f"the system sends an event of more than {MOST:,} bytes")
