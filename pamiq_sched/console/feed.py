"""Follow a system for as long as it lives, over connections that break and come back.

The invariant: what is told arrives in order, and the end arrives once, as the last. A thread of its own reads; the
functions that it is given run there.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

from pamiq_sched.console import Failure
from pamiq_sched.console.client import Client, EventStream, Target, UnreachableError

RETRY = 1.0
"""Seconds between two attempts to connect."""


class Feed:
    """Tells what happens in a system, within a ``with`` block.

    Args:
        client: Whose system is meant.
        target: Where it is; with a record, the feed ends when its process has.
        tell: Called in the feed's thread with the kind and the value of each message: those of an
            :class:`EventStream`, and ``"lost"`` with the reason when the connection breaks, ``"failed"`` with the
            :class:`Failure` when it will not come back. After ``"ended"`` and ``"failed"`` there is nothing more.
    """

    def __init__(self, client: Client, target: Target, tell: Callable[[str, Any], None]) -> None:
        self._client = client
        self._target = target
        self._tell = tell
        self._closed = threading.Event()
        self._lock = threading.Lock()
        self._stream: EventStream | None = None  # guarded by the lock
        self._thread = threading.Thread(target=self._run, name="pamiq-console-feed", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._lock:
            self._closed.set()
            if self._stream is not None:
                self._stream.close()
        # A connection that is being made cannot be cut; its thread is a daemon and tells nothing any more.
        self._thread.join(1.0)

    def _run(self) -> None:
        while not self._closed.is_set():
            reason = "the connection broke"
            try:
                if self._follow():
                    return
            except UnreachableError as error:
                reason = str(error)
            except Failure as failure:
                self._tell_if_open("failed", failure)
                return
            if self._is_gone():
                self._tell_if_open("failed", Failure("the system is gone without having told how it ended"))
                return
            self._tell_if_open("lost", reason)
            self._closed.wait(RETRY)

    def _follow(self) -> bool:
        """Tell what one connection brings; whether it brought the end."""
        stream = self._client.events()
        with self._lock:
            if self._closed.is_set():
                return True
            self._stream = stream
        for kind, value in stream:
            self._tell_if_open(kind, value)
            if kind == "ended":
                return True
        return False

    def _is_gone(self) -> bool:
        """Whether the system was found on this machine and runs no longer."""
        from pamiq_sched.web.records import running  # noqa: PLC0415 - --help does not need it

        return self._target.record is not None and self._target.record not in running()

    def _tell_if_open(self, kind: str, value: Any) -> None:
        if not self._closed.is_set():
            self._tell(kind, value)
