"""Gathers what the components of a system log.

Belongs to the thread that collects; any thread may tell of events.
"""

from __future__ import annotations

import math
import time
from bisect import bisect_left
from collections import deque
from typing import Any, Final

from pamiq_sched.metrics.journal import Journal, Mark
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
        >>> journal.new_list("loss").append(0.5)
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
        for journal in [journal for opened in self._journals for journal in opened.steps.journals]:
            for name, waiting in list(journal.lists.items()):
                points += self._take(f"{journal.prefix}/{name}", waiting, journal.steps.count, since)
        events = [self._events.popleft() for _ in range(len(self._events))]
        return points, events

    def _take(self, name: str, waiting: list[Any], step: int, since: float) -> list[Point]:
        # One operation each: what is logged between the two stays.
        taken = waiting[:]
        del waiting[: len(taken)]
        values, marks, ends = apart(taken, (step, self._collected_at))
        points = []
        pieces = min(len(values), MOST_POINTS)
        begin = 0
        for end in [len(values) * (i + 1) // pieces for i in range(pieces)]:
            piece = values[begin:end]
            begin = end
            mean = sum(piece) / len(piece)
            if math.isfinite(mean):  # and so are all of them: the quick way is right
                least, greatest = min(piece), max(piece)
            else:
                mean, least, greatest, _ = merged([(value, value, value, 1) for value in piece])
            step, moment = marks[bisect_left(ends, end)]
            # A step that ended before the last collection has a mark of then, but not these values of it.
            moment = self._epoch + max(moment, since)
            points.append(Point(name, moment, step, mean, least, greatest, len(piece)))
        return points


def apart(taken: list[Any], last: Mark) -> tuple[list[float], list[Mark], list[int]]:
    """Return values, marks, and for each mark how many of the values there are up to it.

    Args:
        taken: Values, and marks behind them: a list of a journal.
        last: The mark of the values behind the last one.
    """
    values: list[Any] = []
    marks: list[Mark] = []
    ends: list[int] = []
    # Loops of the interpreter's own throughout: there may be many thousands.
    kinds = list(map(type, taken))
    number_of_marks = kinds.count(tuple)
    begin = 0
    for _ in range(number_of_marks):
        place = kinds.index(tuple, begin)
        values += taken[begin:place]
        marks.append(taken[place])
        ends.append(len(values))
        begin = place + 1
    values += taken[begin:]
    if kinds.count(float) + number_of_marks < len(kinds):
        values = list(map(float, values))  # asks another device for those that are there
    return values, [*marks, last], [*ends, len(values)]
