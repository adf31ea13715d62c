"""What the server knows of its system: the latest status, the history, and whether it has ended.

Written by the link alone; read by whatever answers requests. Belongs to the event loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from pamiq_sched.metrics import Event, Point
from pamiq_sched.web.history import History
from pamiq_sched.web.streams import Stream, Streams, message


class Mirror:
    """A system as it looked a moment ago."""

    def __init__(self) -> None:
        self.history = History()
        self.streams = Streams()
        self.errors: Sequence[str] = ()
        """The tracebacks that the system ended with."""
        self.ended = asyncio.Event()
        """Set when the system has said that it ended, and why."""
        self._status: Mapping[str, Any] = {}
        self._has_status = asyncio.Event()

    @property
    def has_ended(self) -> bool:
        """Whether the system has said that it ended."""
        return self.ended.is_set()

    async def status(self, patience: float) -> dict[str, Any] | None:
        """Return the latest status with the latest numbers; the first may have to be waited for.

        Args:
            patience: Seconds to wait for it.

        Returns:
            None if there was none in this time.
        """
        try:
            await asyncio.wait_for(self._has_status.wait(), patience)
        except TimeoutError:
            return None
        return self._told()

    def open_stream(self) -> Stream:
        """Return a stream that begins with the status as it is now; it must be closed.

        Raises:
            TooManyStreamsError: If there are as many as may be.
        """
        stream = self.streams.open()
        if self._status:
            stream.put_status(message("status", self._told()))
        if self.has_ended:
            stream.put_end(message("ended", {"errors": list(self.errors)}))
        return stream

    def take_status(self, status: Mapping[str, Any]) -> None:
        """Note how the system is."""
        self._status = status
        self._has_status.set()
        if self.streams.are_open:
            self.streams.publish_status(self._told())

    def take_batch(self, points: Sequence[Point], events: Sequence[Event]) -> None:
        """Note what was measured and what happened."""
        kept, notes = self.history.add_points(points)
        told = [self.history.add_event(event) for event in [*events, *notes]]
        self.streams.publish(kept, told)

    def take_end(self, errors: Sequence[str]) -> None:
        """Note that the system has ended."""
        self.errors = errors
        self.ended.set()
        self.streams.publish_end(errors)

    def _told(self) -> dict[str, Any]:
        return {**self._status, "numbers": self.history.latest()}
