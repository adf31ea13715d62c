"""Connections, bounded in number, and in the time until a request is whole.

The invariant: a new connection is always taken. When there are too many, one makes room: the oldest that has not
sent a whole request, so that whoever sends one is answered however many others hold connections open. Belongs to
the event loop.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final, Protocol, cast

import h11
from typing_extensions import override
from uvicorn.config import Config
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle
from uvicorn.server import ServerState

from pamiq_sched.web.jsontext import dump

MOST_CONNECTIONS: Final = 256
"""A browser opens six; the rest is for scripts. With what else is open this stays far below 1,024 files, the
number that a process may have open on many machines."""

SECONDS_FOR_A_REQUEST: Final = 5.0
"""From the first to the last byte of a request, or from a new connection on."""

SECONDS_BETWEEN_REQUESTS: Final = 20
"""Longer than clients keep a connection themselves (5 s is common), so that none is closed under a request."""

SECONDS_FOR_A_READER: Final = 30.0
"""That a reader may take nothing at all of what is sent to it; a page in a browser that was put to sleep begins
anew when it wakes up."""

MOST_HEADERS: Final = 16 * 1024
"""Bytes of the first line and all headers of a request."""

MOST_PIECES: Final = 500
"""Of a body, in what is received at once, which is 256 KiB at the most: a body in chunks of one byte each would
keep the loop from everything else. A client that means well sends chunks of a few KiB."""

MOST_THROWN_AWAY: Final = 16 * 2**20
"""Bytes of a body behind its answer. Who sends a large body and only then reads is to see why it was refused."""


class Closable(Protocol):
    """A connection that waits for a request."""

    def close(self) -> None:
        """Close it when all that was written to it has been sent."""

    def abort(self) -> None:
        """Close it at once."""


class Connections:
    """All connections of a server."""

    def __init__(self, version: str) -> None:
        self.state = ServerState()
        self.none_left = asyncio.Event()
        """Set when the last one was closed."""
        self.refusal = _raw_refusal(version)
        """What is answered to what is no HTTP."""
        # Oldest first: those whose next request is not whole, and those whose request is being answered.
        self._waiting: dict[Closable, None] = {}
        self._served: dict[Connection, None] = {}

    def opened(self, connection: Closable) -> None:
        """Note a new one; another one is closed if there are too many."""
        if len(self._waiting) + len(self._served) >= MOST_CONNECTIONS:
            self.make_room()
        self._waiting[connection] = None

    def make_room(self) -> None:
        """Close one, if there is any."""
        oldest = next(iter(self._waiting or self._served), None)
        if oldest is not None:
            oldest.abort()

    def is_served(self, connection: Connection) -> bool:
        """Whether a whole request of it is being answered."""
        return connection in self._served

    def serve(self, connection: Connection) -> None:
        """Note that its request is whole."""
        if self._waiting.pop(connection, self) is None:
            self._served[connection] = None

    def await_request(self, connection: Connection) -> None:
        """Note that its request has been answered."""
        if self._served.pop(connection, self) is None:
            self._waiting[connection] = None

    def closed(self, connection: Any) -> None:
        """Forget one."""
        self._waiting.pop(connection, None)
        self._served.pop(connection, None)
        if not self._waiting and not self._served:
            self.none_left.set()

    async def finish(self, seconds: float) -> None:
        """Close those that wait for a request; let the others have their answers, for so long at the most."""
        for waiting in [*self._waiting]:
            waiting.close()
        for served in [*self._served]:
            served.shutdown()
        if not self._waiting and not self._served:
            return
        self.none_left.clear()
        try:
            await asyncio.wait_for(self.none_left.wait(), seconds)
        except TimeoutError:
            for connection in [*self._waiting, *self._served]:
                connection.abort()


class Connection(H11Protocol):
    """One connection.

    Args:
        config: How to answer.
        connections: All of them.
        received: The beginning of its first request.
        deadline: When that must be whole, by the loop's time.
    """

    def __init__(self, config: Config, connections: Connections, received: bytes, deadline: float) -> None:
        super().__init__(config, connections.state, {}, asyncio.get_running_loop())
        self.conn = self._pieces = _Pieces(h11.SERVER, MOST_HEADERS)
        self._connections = connections
        self._received = received
        self._deadline = deadline
        # When the request must be whole, and when something must be read.
        self._timer: asyncio.TimerHandle | None = None
        self._reader_timer: asyncio.TimerHandle | None = None
        self._thrown_away = 0

    def close(self) -> None:
        """Close it when all that was written to it has been sent."""
        self.transport.close()

    def abort(self) -> None:
        """Close it at once."""
        self._connections.closed(self)
        self.transport.abort()

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(cast(asyncio.Transport, transport))
        self._connections.opened(self)
        self._timer = self.loop.call_at(self._deadline, self.abort)
        self.data_received(self._received)
        self._received = b""

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self._connections.closed(self)
        self._unset_timer()
        self.resume_writing()
        super().connection_lost(exc)

    @override
    def data_received(self, data: bytes) -> None:
        if self._is_answered() and self.conn.their_state is h11.SEND_BODY:
            self._thrown_away += len(data)
            if self._thrown_away > MOST_THROWN_AWAY:
                self.abort()
                return
        if self._timer is None and not self._connections.is_served(self):
            self._timer = self.loop.call_later(SECONDS_FOR_A_REQUEST, self.abort)
        self._pieces.begin_receiving()
        super().data_received(data)

    @override
    def handle_events(self) -> None:
        super().handle_events()
        # Behind this, the request that is being read is whole, or there is none, or more of it is to come.
        is_whole = self.conn.their_state not in (h11.IDLE, h11.SEND_BODY)
        if is_whole and not self._is_answered():
            self._unset_timer()
            self._connections.serve(self)

    @override
    def on_response_complete(self) -> None:
        self._connections.await_request(self)
        self._thrown_away = 0
        super().on_response_complete()

    @override
    def send_400_response(self, msg: str) -> None:
        # uvicorn's own would fail behind an answer, or in the middle of one.
        if self._is_answered():
            self.transport.write(self._connections.refusal)
            self.transport.close()
        else:
            self.abort()

    @override
    def timeout_keep_alive_handler(self) -> None:
        self.abort()

    @override
    def pause_writing(self) -> None:
        super().pause_writing()
        self._reader_timer = self.loop.call_later(SECONDS_FOR_A_READER, self.abort)

    @override
    def resume_writing(self) -> None:
        if self._reader_timer is not None:
            self._reader_timer.cancel()
            self._reader_timer = None
        super().resume_writing()

    def _is_answered(self) -> bool:
        """Whether no request is being answered."""
        cycle: RequestResponseCycle | None = self.cycle  # None until the first request
        return cycle is None or cycle.response_complete

    def _unset_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class _Pieces(h11.Connection):
    """Counts the pieces of a body that are received at once."""

    def __init__(self, role: type[h11.SERVER], most_headers: int) -> None:
        super().__init__(role, most_headers)
        self._pieces = 0

    def begin_receiving(self) -> None:
        """Count anew."""
        self._pieces = 0

    @override
    def next_event(self) -> Any:
        event = super().next_event()
        if isinstance(event, h11.Data):
            self._pieces += 1
            if self._pieces > MOST_PIECES:
                raise h11.RemoteProtocolError("a body in too many pieces")
        return event


def _raw_refusal(version: str) -> bytes:
    body = dump({"error": "this is no request of HTTP/1.1"})
    head = (
        "HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-type: application/json\r\n"
        f"content-length: {len(body)}\r\nx-pamiq-sched: {version}\r\n\r\n"
    )
    return (head + body).encode()
