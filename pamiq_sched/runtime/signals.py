"""Signals that end a system. Belongs to the main thread, which alone may set handlers."""

from __future__ import annotations

import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def shut_down_on_signals(request_shutdown: Callable[[str], None], ended: threading.Event) -> Iterator[Doorbell]:
    """Let SIGINT and SIGTERM ask for a shutdown within the block; a second one of either ends the process.

    Args:
        request_shutdown: Called with the reason; it must take no lock that the main thread may hold.
        ended: Set before the doorbell is rung for the last time.

    Yields:
        What the main thread waits at.
    """

    def shut_down(number: int, _frame: FrameType | None) -> None:
        # From the next one on they do what they do by default: they end the process.
        for each in before:
            signal.signal(each, signal.SIG_DFL)
        request_shutdown(f"received {signal.Signals(number).name}; another one ends the process at once")

    doorbell = Doorbell(ended)
    before = {number: signal.signal(number, shut_down) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        with doorbell:
            yield doorbell
    finally:
        for number, handler in before.items():
            # None is a handler that was not set from Python, which cannot be put back.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)


class Doorbell:
    """Where the main thread waits so that a signal reaches it.

    Waiting at a lock loses a signal that comes just before the lock is taken: the interpreter runs handlers
    between instructions only, and the next one never comes. A byte in a socket stays until it is read.

    Args:
        ended: What is waited for.
    """

    def __init__(self, ended: threading.Event) -> None:
        self._ended = ended
        self._reader, self._writer = socket.socketpair()
        self._writer.setblocking(False)
        self._fd_before = -1

    def ring(self) -> None:
        """Let the main thread look whether it is over; any thread may ring."""
        self._writer.send(b"\0")

    def wait(self) -> None:
        """Wait until it is over, running the handlers of signals on the way."""
        while not self._ended.is_set():
            self._reader.recv(4096)

    def __enter__(self) -> None:
        """Let signals ring too."""
        self._fd_before = signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)

    def __exit__(self, *_: object) -> None:
        """Let them ring where they rang before."""
        signal.set_wakeup_fd(self._fd_before)
        self._reader.close()
        self._writer.close()
