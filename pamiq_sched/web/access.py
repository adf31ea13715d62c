"""Who may ask what: one layer in front of everything that the server answers.

The invariant: what lies behind it is reached only by a request that names this server, comes from no foreign
page, carries the token, is not one of too many, and has a body of JSON that is small and whole. What is refused
costs a few comparisons. Belongs to the event loop.
"""

from __future__ import annotations

import base64
import binascii
import ipaddress
import socket
from collections.abc import Callable, Iterator
from contextlib import suppress
from email.utils import formatdate
from hmac import compare_digest
from typing import Final
from urllib.parse import parse_qsl, quote, unquote_to_bytes

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pamiq_sched.web.jsontext import dump

COOKIE: Final = "pamiq_sched_token"
"""With the port behind it: a browser has one cookie of a name for all ports of a host."""

MOST_BODY: Final = 64 * 1024
"""Bytes. The largest body that means anything has a few hundred."""

COMMANDS_PER_SECOND: Final = 10.0
MOST_COMMANDS_AT_ONCE: Final = 40
"""Each stops the agent or changes it: nobody needs more, and a loop gone wild must not keep it from its work."""

READS_PER_SECOND: Final = 200.0
MOST_READS_AT_ONCE: Final = 400
"""A page takes a dozen requests to open and then one stream; this is for scripts, and leaves the processor to the
agent."""

FAILURES_PER_SECOND: Final = 10.0
MOST_FAILURES_AT_ONCE: Final = 20
"""Guesses of a token. A request that carries it is never held up by those of others."""

_SECURITY_HEADERS: Final = [
    (
        b"content-security-policy",
        b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        b"form-action 'none'; frame-ancestors 'none'; base-uri 'none'",
    ),
    (b"x-content-type-options", b"nosniff"),
    (b"cache-control", b"no-store"),
    (b"referrer-policy", b"no-referrer"),
]


class Rate:
    """So many at once, and so many a second.

    Args:
        per_second: How many come to be allowed in a second.
        at_once: How many may be saved up.
        clock: Gives seconds.

    Example:
        >>> rate = Rate(per_second=2.0, at_once=1, clock=lambda: 0.0)
        >>> rate.allows(), rate.allows()
        (True, False)
    """

    def __init__(self, per_second: float, at_once: int, clock: Callable[[], float]) -> None:
        self._per_second = per_second
        self._at_once = at_once
        self._clock = clock
        self._left = float(at_once)
        self._looked = clock()

    def allows(self) -> bool:
        """Whether there may be one more now; it is counted if so."""
        now = self._clock()
        self._left = min(self._at_once, self._left + (now - self._looked) * self._per_second)
        self._looked = now
        if self._left < 1:
            return False
        self._left -= 1
        return True


class RefusedError(Exception):
    """Why a request is not answered.

    Args:
        status: The status of HTTP.
        error: What the rule is.
        headers: What goes with it.
    """

    def __init__(self, status: int, error: str, *headers: tuple[bytes, bytes]) -> None:
        super().__init__(error)
        self.status = status
        self.error = error
        self.headers = headers


class Access:
    """Lets requests through to an application, or refuses them; an ASGI application.

    Args:
        app: What answers requests.
        host: What the server was asked to listen at.
        port: Where it listens.
        token: What a request must carry; None: nothing.
        version: Of this library; told in each answer.
        closed_page: What a browser is shown that has no token, as HTML.
        clock: Gives seconds; what rates are reckoned by.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        host: str,
        port: int,
        token: str | None,
        version: str,
        closed_page: bytes,
        clock: Callable[[], float],
    ) -> None:
        self._app = app
        self._token = None if token is None else token.encode()
        self._cookie = f"{COOKIE}_{port}"
        self._headers = [*_SECURITY_HEADERS, (b"x-pamiq-sched", version.encode())]
        self._closed_page = closed_page
        own = socket.gethostname().lower()
        self._hosts = {"localhost", host.lower(), own, own.partition(".")[0]} - {""}
        self._commands = Rate(COMMANDS_PER_SECOND, MOST_COMMANDS_AT_ONCE, clock)
        self._reads = Rate(READS_PER_SECOND, MOST_READS_AT_ONCE, clock)
        self._failures = Rate(FAILURES_PER_SECOND, MOST_FAILURES_AT_ONCE, clock)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":  # there are no websockets
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                date = (b"date", formatdate(usegmt=True).encode())
                message = {**message, "headers": [*message.get("headers", ()), *self._headers, date]}
            await send(message)

        try:
            redirect = self._check(scope)
            if redirect is not None:
                await _answer(send_with_headers, 303, b"", *redirect)
                return
            body = await _whole_body(scope, receive)
        except RefusedError as refusal:
            page = self._closed_page if refusal.status == 401 and scope["path"] == "/" else None
            content_type = (b"content-type", b"application/json" if page is None else b"text/html; charset=utf-8")
            content = dump({"error": refusal.error}).encode() if page is None else page
            await _answer(send_with_headers, refusal.status, content, content_type, *refusal.headers)
            return
        if body is not None:
            await self._app(scope, _replayed(body, receive), send_with_headers)

    def _check(self, scope: Scope) -> list[tuple[bytes, bytes]] | None:
        """Refuse a request by what stands before its body.

        Returns:
            The headers of a redirection, if the request brings the token for a browser to keep.

        Raises:
            RefusedError: If it is refused.
        """
        headers = Headers(scope=scope)
        method, path = scope["method"], scope["path"]
        self._check_host(headers)
        _check_origin(headers, method, path)
        offered = dict(parse_qsl(scope["query_string"].decode("latin-1"))).get("token") if path == "/" else None
        if offered is not None and method in ("GET", "HEAD"):
            return self._let_in(offered)
        if self._token is not None and not any(
            compare_digest(self._token, o) for o in _tokens(headers, self._cookie)
        ):
            self._fail()
        is_command = method not in ("GET", "HEAD")
        if not (is_command and path == "/api/shutdown"):
            rate, what = (self._commands, "commands") if is_command else (self._reads, "requests")
            if not rate.allows():
                raise RefusedError(429, f"too many {what}; ask again in a second", (b"retry-after", b"1"))
        _check_content_type(headers)
        return None

    def _check_host(self, headers: Headers) -> None:
        # A page of a foreign name that was made to point here would send that name.
        given = headers.getlist("host")
        host = _name_of(given[0]) if len(given) == 1 else ""
        if host not in self._hosts and not _is_address(host):
            raise RefusedError(
                421,
                f"this server answers to IP addresses and to {', '.join(sorted(self._hosts))}, not to "
                f"{given[0] if given else ''!r}; open it by one of those",
            )

    def _let_in(self, offered: str) -> list[tuple[bytes, bytes]]:
        if self._token is None:
            return [(b"location", b"/")]
        if not compare_digest(self._token, offered.encode()):
            self._fail()
        cookie = f"{self._cookie}={quote(self._token, safe='')}; HttpOnly; SameSite=Strict; Path=/"
        return [(b"location", b"/"), (b"set-cookie", cookie.encode())]

    def _fail(self) -> None:
        if not self._failures.allows():
            raise RefusedError(
                429, "too many requests without the token; ask again in a second", (b"retry-after", b"1")
            )
        raise RefusedError(
            401,
            "a request must carry the token of the system: 'Authorization: Bearer TOKEN'. It was printed when the "
            "system started, and is kept in a file that only its user can read; `pamiq-sched` finds it by itself",
            (b"www-authenticate", b"Bearer"),
        )


def _check_origin(headers: Headers, method: str, path: str) -> None:
    origin = headers.get("origin")
    host = headers["host"].lower()
    if origin is not None and origin.lower() not in (f"http://{host}", f"https://{host}"):
        raise RefusedError(
            403, f"a request may come from this server's own page only, not from the origin {origin!r}"
        )
    is_opened_by_hand = (
        method == "GET"
        and path == "/"
        and headers.get("sec-fetch-mode") == "navigate"
        and headers.get("sec-fetch-dest") == "document"
    )
    if headers.get("sec-fetch-site") == "cross-site" and not is_opened_by_hand:
        raise RefusedError(403, "a request may come from this server's own page only, not from another site")


def _check_content_type(headers: Headers) -> None:
    # Pages of other origins may send some types without asking first; JSON is none of them.
    given = headers.get("content-type")
    has_body = "transfer-encoding" in headers or headers.get("content-length", "0") != "0"
    if given is None and not has_body:
        return
    if (given or "").partition(";")[0].strip().lower() != "application/json":
        raise RefusedError(415, f"a body must be of the type application/json, got {given!r}")


def _tokens(headers: Headers, cookie_name: str) -> Iterator[bytes]:
    """What a request offers as a token."""
    scheme, _, given = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        yield given.strip().encode("latin-1")
    elif scheme.lower() == "basic":
        with suppress(binascii.Error):
            yield base64.b64decode(given.strip().encode("latin-1"), validate=True).partition(b":")[2]
    for cookies in headers.getlist("cookie"):
        for cookie in cookies.split(";"):
            name, _, value = cookie.strip().partition("=")
            if name == cookie_name:
                yield unquote_to_bytes(value)


def _name_of(host: str) -> str:
    """Return a host without its port, and without brackets.

    Example:
        >>> _name_of("[::1]:8391"), _name_of("Lab.:8391")
        ('::1', 'lab')
    """
    if host.startswith("["):
        return host[1:].partition("]")[0].lower()
    return host.partition(":")[0].rstrip(".").lower()


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


async def _whole_body(scope: Scope, receive: Receive) -> bytes | None:
    """Return the body of a request; None if its sender has gone.

    Raises:
        RefusedError: If it is too large, before all of it is there.
    """
    too_large = RefusedError(413, f"a body must have at most {MOST_BODY} bytes")
    length = Headers(scope=scope).get("content-length", "0")
    if not length.isdecimal() or len(length) > 9 or int(length) > MOST_BODY:
        raise too_large
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        body += message.get("body", b"")
        if len(body) > MOST_BODY:
            raise too_large
        if not message.get("more_body", False):
            return bytes(body)


def _replayed(body: bytes, receive: Receive) -> Receive:
    """Return a way to receive a body that was received already, and then what comes after it."""
    waiting = [body]

    async def receive_again() -> Message:
        if waiting:
            return {"type": "http.request", "body": waiting.pop(), "more_body": False}
        return await receive()

    return receive_again


async def _answer(send: Send, status: int, content: bytes, *headers: tuple[bytes, bytes]) -> None:
    length = (b"content-length", str(len(content)).encode())
    await send({"type": "http.response.start", "status": status, "headers": [*headers, length]})
    await send({"type": "http.response.body", "body": content})
