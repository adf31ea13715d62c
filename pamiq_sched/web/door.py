"""Takes connections, and holds each until the head of its first request is there.

The invariant: what has sent less than that costs a socket and a few bytes, and is taken and closed in
microseconds. So a request behind hundreds of connections that send slowly, or nothing, is still answered at once.
Belongs to the event loop.
"""

from __future__ import annotations

import asyncio
import errno
import re
import socket
from typing import Final

from uvicorn.config import Config

from pamiq_sched.web.connections import MOST_HEADERS, SECONDS_FOR_A_REQUEST, Connection, Connections

MOST_TAKEN_AT_ONCE: Final = 64
"""Connections that are taken before those that are there are looked at again. Far fewer than there may be, so that
a new one is read before as many others come as would make it the oldest."""

MOST_IN_LINE: Final = 1024
"""Connections that the operating system holds until they are taken. One that finds no place comes again, but only
after a second."""

END_OF_HEAD: Final = re.compile(rb"\n\r?\n")

NO_ROOM: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


class Door:
    """Where connections come in.

    Args:
        listener: A socket that is bound.
        config: How requests are answered.
        connections: All that there are.
    """

    def __init__(self, listener: socket.socket, config: Config, connections: Connections) -> None:
        self._listener = listener
        self._config = config
        self._connections = connections
        self._loop = asyncio.get_running_loop()
        self._tasks: set[asyncio.Task[object]] = set()  # the loop itself keeps no reference that holds them

    def open(self) -> None:
        """Begin to take connections."""
        self._listener.setblocking(False)
        self._listener.listen(MOST_IN_LINE)
        self._loop.add_reader(self._listener, self._take)

    def close(self) -> None:
        """Take no more; those that are there stay."""
        self._loop.remove_reader(self._listener)

    def let_in(self, connection: socket.socket, received: bytes, deadline: float) -> None:
        """Answer the requests of a connection.

        Args:
            connection: It.
            received: The beginning of its first request.
            deadline: When that must be whole, by the loop's time.
        """

        def answering() -> Connection:
            return Connection(self._config, self._connections, received, deadline)

        task = self._loop.create_task(self._loop.connect_accepted_socket(answering, connection))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _take(self) -> None:
        for _ in range(MOST_TAKEN_AT_ONCE):
            try:
                connection, _ = self._listener.accept()
            except (BlockingIOError, ConnectionAbortedError):
                return
            except OSError as error:
                if error.errno not in NO_ROOM:
                    raise
                self._connections.make_room()
                return
            connection.setblocking(False)
            self._connections.opened(Held(connection, self, self._connections))


class Held:
    """A connection whose first request has no whole head yet."""

    def __init__(self, connection: socket.socket, door: Door, connections: Connections) -> None:
        self._connection = connection
        self._door = door
        self._connections = connections
        self._received = b""
        self._loop = asyncio.get_running_loop()
        # By number: for a socket that it does not know yet, the loop would first write down what it looks like.
        self._loop.add_reader(connection.fileno(), self._receive)
        self._timer = self._loop.call_later(SECONDS_FOR_A_REQUEST, self.abort)

    def close(self) -> None:
        """Close it."""
        self.abort()

    def abort(self) -> None:
        """Close it."""
        self._let_go()
        self._connection.close()

    def _receive(self) -> None:
        try:
            received = self._connection.recv(MOST_HEADERS)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            received = b""
        if not received:
            self.abort()
            return
        self._received += received
        # What does not begin as HTTP does is told so without waiting for its end.
        is_text = self._received[0] > ord(" ")
        if is_text and len(self._received) < MOST_HEADERS and not END_OF_HEAD.search(self._received):
            return
        self._let_go()
        self._door.let_in(self._connection, self._received, self._timer.when())

    def _let_go(self) -> None:
        self._timer.cancel()
        self._loop.remove_reader(self._connection.fileno())
        self._connections.closed(self)
