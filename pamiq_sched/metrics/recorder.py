"""Gathers what the components of a system log.

Belongs to the thread that collects; any thread may tell of events.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Iterator
from typing import Any, Final

from pamiq_sched.metrics.journal import Journal
from pamiq_sched.metrics.points import Event, Point, merged

MOST_POINTS: Final = 4
"""How many points a name gets each time that its values are collected; more values than that are merged into so
many. So 100,000 values a second cost their sinks no more than a few do."""

MOST_EVENTS: Final = 1000
"""How many events may wait; the oldest go first."""


class Recorder:
    """Where journals are opened and emptied.

    Example:
        >>> recorder = Recorder()
        >>> journal = recorder.open("dqn")
        >>> journal.steps.advance(1)
        >>> journal["loss"].extend((0.5, journal.steps.mark))
        >>> points, events = recorder.collect()
        >>> points[0].name, points[0].step, points[0].value
        ('dqn/loss', 1, 0.5)
    """

    def __init__(self) -> None:
        self._journals: list[Journal] = []
        # What the wall clock does later changes nothing.
        self._epoch = time.time() - time.monotonic()
        self._collected_at = time.monotonic()
        self._events: deque[Event] = deque(maxlen=MOST_EVENTS)  # appended and popped whole, by any thread

    def now(self) -> float:
        """The moment, in seconds since 1970."""
        return self._epoch + time.monotonic()

    def open(self, prefix: str) -> Journal:
        """Return a new journal; before the threads start."""
        journal = Journal(prefix)
        self._journals.append(journal)
        return journal

    def tell(self, kind: str, text: str, **details: Any) -> None:
        """Note an event; any thread."""
        self._events.append(Event(kind, self.now(), text, details))

    def collect(self) -> tuple[list[Point], list[Event]]:
        """Take what came since the last call, in the order of names and of time."""
        points: list[Point] = []
        since, self._collected_at = self._collected_at, time.monotonic()
        for journal in _family(self._journals):
            for name in list(journal):
                points += self._take(f"{journal.prefix}/{name}", journal[name], since)
        events = [self._events.popleft() for _ in range(len(self._events))]
        return points, events

    def _take(self, name: str, waiting: list[Any], since: float) -> list[Point]:
        # One operation each: what is logged between the two stays.
        taken = waiting[:]
        del waiting[: len(taken)]
        if not taken:
            return []
        values = list(map(float, taken[::2]))  # asks another device for those that are there
        marks = taken[1::2]
        points = []
        pieces = min(len(values), MOST_POINTS)
        ends = [len(values) * (i + 1) // pieces for i in range(pieces)]
        for begin, end in zip([0, *ends], ends, strict=False):
            piece = values[begin:end]
            mean = sum(piece) / len(piece)
            if math.isfinite(mean):  # and so are all of them: the quick way is right
                least, greatest = min(piece), max(piece)
            else:
                mean, least, greatest, _ = merged([(value, value, value, 1) for value in piece])
            step, moment = marks[end - 1]
            # A step may have begun long ago; its value came after the last collection all the same.
            moment = self._epoch + max(moment, since)
            points.append(Point(name, moment, step, mean, least, greatest, len(piece)))
        return points


def _family(journals: list[Journal]) -> Iterator[Journal]:
    for journal in journals:
        yield journal
        yield from _family(journal.children)
