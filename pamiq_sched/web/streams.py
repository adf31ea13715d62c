"""Server-sent events: each reader gets what happens, and a slow one gets less of it.

The invariant: what waits for a reader is bounded, however slow it is and however long. A newer status replaces an
older one, points of a name are merged, lines of the log make room; no change of state and no end is lost, rather
the stream is cut, and the reader begins anew with the status. Belongs to the event loop.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from functools import cached_property
from typing import Any, Final

from starlette.types import Receive, Scope, Send

from pamiq_sched.metrics import Event, Point
from pamiq_sched.web.jsontext import dump
from pamiq_sched.web.responses import unless_gone

MOST_STREAMS: Final = 32
"""Each costs a copy of all that is told; a person has a few pages open."""

MOST_BATCHES: Final = 4
"""How many batches of points may wait as they came, a second's worth; more are merged into one."""

MOST_EVENTS: Final = 500
"""How many events may wait for a reader."""

SECONDS_BETWEEN_SIGNS: Final = 10.0
"""After so long without anything to tell a comment is sent, that nothing on the way takes the stream for dead."""

MILLISECONDS_TO_RETRY: Final = 1000


class TooManyStreamsError(Exception):
    """So many are open that no more can be."""


class Batch:
    """Points that came together; turned into text once for all readers."""

    def __init__(self, points: Sequence[Point]) -> None:
        self.points = points

    @cached_property
    def text(self) -> str:
        """The points as a message."""
        return message("points", [point.row() for point in self.points])

    @classmethod
    def merged(cls, batches: Iterable[Batch]) -> Batch:
        """Return one batch with a single point for each name."""
        by_name: dict[str, list[Point]] = {}
        for batch in batches:
            for point in batch.points:
                by_name.setdefault(point.name, []).append(point)
        return cls([Point.merged(points) for points in by_name.values()])


class Stream:
    """What waits for one reader."""

    def __init__(self) -> None:
        self.is_over = False
        """Whether nothing comes after what waits."""
        self._status = ""
        self._batches: list[Batch] = []
        self._events: deque[tuple[str, str]] = deque()  # the kind, and the event as a message
        self._end = ""
        self._something_waits = asyncio.Event()

    def put_status(self, text: str) -> None:
        """Replace the status that waits."""
        self._status = text
        self._something_waits.set()

    def put_points(self, batch: Batch) -> None:
        """Add points; merge those that wait if they are many."""
        self._batches.append(batch)
        if len(self._batches) > MOST_BATCHES:
            self._batches = [Batch.merged(self._batches)]
        self._something_waits.set()

    def put_event(self, kind: str, text: str) -> None:
        """Add an event; an old line of the log makes room for it."""
        if len(self._events) >= MOST_EVENTS:
            for i, (other, _) in enumerate(self._events):
                if other == "log":
                    del self._events[i]
                    break
            else:
                self.is_over = True  # the reader comes again, and is told the state and the history
        if not self.is_over:
            self._events.append((kind, text))
        self._something_waits.set()

    def put_end(self, text: str) -> None:
        """Add that the system has ended."""
        self._end = text
        self.is_over = True
        self._something_waits.set()

    async def take(self) -> str:
        """Wait until there is something to tell, and return it."""
        try:
            await asyncio.wait_for(self._something_waits.wait(), SECONDS_BETWEEN_SIGNS)
        except TimeoutError:
            return ":\n\n"
        self._something_waits.clear()
        parts = [
            self._status,
            *(batch.text for batch in self._batches),
            *(text for _, text in self._events),
            self._end,
        ]
        self._status, self._batches = "", []
        self._events.clear()
        return "".join(parts)


class Streams:
    """All readers."""

    def __init__(self) -> None:
        self._streams: set[Stream] = set()

    @property
    def are_open(self) -> bool:
        """Whether anybody reads."""
        return bool(self._streams)

    def open(self) -> Stream:
        """Return a new stream; it must be closed.

        Raises:
            TooManyStreamsError: If there are as many as may be.
        """
        if len(self._streams) >= MOST_STREAMS:
            raise TooManyStreamsError
        stream = Stream()
        self._streams.add(stream)
        return stream

    def close(self, stream: Stream) -> None:
        """Tell a stream nothing more."""
        self._streams.discard(stream)

    def publish_status(self, status: dict[str, Any]) -> None:
        """Tell all how the system is."""
        text = message("status", status)
        for stream in self._streams:
            stream.put_status(text)

    def publish(self, points: Sequence[Point], events: Iterable[Event]) -> None:
        """Tell all what was measured and what happened."""
        if not self._streams:
            return
        batch = Batch(points)
        texts = [(event.kind, message("event", asdict(event))) for event in events]
        for stream in self._streams:
            if points:
                stream.put_points(batch)
            for kind, text in texts:
                stream.put_event(kind, text)

    def publish_end(self, errors: Sequence[str]) -> None:
        """Tell all that nothing more comes."""
        text = message("ended", {"errors": list(errors)})
        for stream in self._streams:
            stream.put_end(text)


def message(kind: str, value: Any) -> str:
    """Return a server-sent event: three lines, the second of which holds the value as JSON.

    Example:
        >>> print(message("status", {"state": "paused"}).strip())
        event: status
        data: {"state":"paused"}
    """
    return f"event: {kind}\ndata: {dump(value)}\n\n"  # JSON of one line, whatever is in it


class EventStreamResponse:
    """Sends a stream until it is over or its reader is gone; an ASGI application.

    Args:
        streams: Where the stream is closed at the end.
        stream: What is sent.
    """

    def __init__(self, streams: Streams, stream: Stream) -> None:
        self._streams = streams
        self._stream = stream

    async def __call__(self, _scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        try:
            await unless_gone(receive, self._send(send))
        finally:
            self._streams.close(self._stream)

    async def _send(self, send: Send) -> None:
        headers = [(b"content-type", b"text/event-stream; charset=utf-8"), (b"x-accel-buffering", b"no")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        text, more = f"retry: {MILLISECONDS_TO_RETRY}\n\n", True
        while True:
            await send({"type": "http.response.body", "body": text.encode(), "more_body": more})
            if not more:
                return
            text = await self._stream.take()
            more = not self._stream.is_over
