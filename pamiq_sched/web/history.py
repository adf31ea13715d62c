"""What happened so far, in bounded memory: numbers by name, pauses, saves, log lines, errors, changes.

The invariant is that no number is ever dropped: what there is no room for is merged with its neighbour, and the
sum of all counts stays that of all values. Belongs to the event loop.
"""

from __future__ import annotations

import time
from array import array
from bisect import bisect_left
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any, Final

from pamiq_sched.metrics import Event, Point, points

MOST_NAMES: Final = 2000
"""More would be a mistake, a name made of a counter say; nobody looks at so many, and each takes memory."""

LONGEST_NAME: Final = 500
"""Characters. What a component logs by has at most 200; before it come the names of the components."""

MOST_POINTS: Final = 1000
"""Of a name: about as many as a chart has columns."""

MOST_POINTS_OF_ALL: Final = 500_000
"""Of all names together, at 48 bytes each: 24 MB. With more than 500 names, each gets fewer."""

MOST_LOG_LINES: Final = 500
MOST_ERRORS: Final = 50
MOST_CHANGES: Final = 200
MOST_PAUSES: Final = 1000
MOST_SAVES: Final = 1000

LONGEST_TEXT: Final = 20_000
"""Characters of a line of the log, so that 500 lines take at most 10 MB."""

LONGEST_ERROR: Final = 200_000
"""Characters of a traceback."""

LONGEST_DETAIL: Final = 4096
"""Characters of a string in the details of an event: as long as a path may be."""

MOST_DETAILS: Final = 20

STANDS_STILL: Final = frozenset({"paused", "saving"})
"""The states in which no thread runs."""

COLUMNS: Final = ("time", "step", "value", "least", "greatest", "count")

Row = tuple[float, int, float, float, float, int]
"""A point without its name."""


class Series:
    """The points of one name, the newer half as they came, the older half thinned out evenly over all of the past.

    A point of the older half stands for ``stride`` points that came. When the older half is full, its points are
    merged in pairs and the stride is doubled: so a chart of a whole day is as even as one of an hour.

    Example:
        >>> series = Series()
        >>> for step in range(10):
        ...     series.add((float(step), step, 1.0, 1.0, 1.0, 1), most=8)
        >>> series.columns(since=0.0)["count"]
        [2, 2, 2, 1, 1, 1, 1]
    """

    __slots__ = ("_columns", "_filled", "_past", "_stride")

    def __init__(self) -> None:
        self._columns: tuple[array[Any], ...] = tuple(map(array, "dqdddq"))
        self._past = 0
        """How many points belong to the older half."""
        self._stride = 1
        self._filled = 1
        """How many points that came are in the last one of the older half."""

    def __len__(self) -> int:
        """How many points there are."""
        return len(self._columns[0])

    def add(self, row: Row, most: int) -> None:
        """Put a point behind the others; merge some before if there are ``most``, which is at least 8."""
        while len(self) >= most:
            self._condense(most)
        for column, value in zip(self._columns, row, strict=True):
            column.append(value)

    def columns(self, since: float) -> dict[str, list[float]]:
        """Return the points whose time is not before a moment, by columns."""
        first = bisect_left(self._columns[0], since)
        return {name: list(column[first:]) for name, column in zip(COLUMNS, self._columns, strict=True)}

    def _condense(self, most: int) -> None:
        end = self._past + max(1, (len(self) - self._past) // 2)
        first = max(0, self._past - 1)  # the last one of the older half may have room for more
        rows = self._rows(first, end)
        past = rows[: self._past - first]
        for row in rows[self._past - first :]:
            if past and self._filled < self._stride:
                past[-1] = merged(past[-1], row)
                self._filled += 1
            else:
                past.append(row)
                self._filled = 1
        self._replace(first, end, past)
        self._past = first + len(past)
        while self._past > most // 2:
            rows = self._rows(0, self._past)
            if len(rows) % 2 == 0:
                self._filled += self._stride
            pairs = [merged(*rows[i : i + 2]) for i in range(0, len(rows), 2)]
            self._replace(0, self._past, pairs)
            self._past = len(pairs)
            self._stride *= 2

    def _rows(self, first: int, end: int) -> list[Row]:
        return list(zip(*(column[first:end] for column in self._columns), strict=True))

    def _replace(self, first: int, end: int, rows: Sequence[Row]) -> None:
        for column, values in zip(self._columns, zip(*rows, strict=True), strict=True):
            column[first:end] = array(column.typecode, values)


def merged(first: Row, second: Row | None = None) -> Row:
    """Return one point for two neighbours, or the only one.

    Example:
        >>> merged((1.0, 10, 4.0, 4.0, 4.0, 1), (2.0, 20, 1.0, 0.0, 2.0, 2))
        (2.0, 20, 2.0, 0.0, 4.0, 3)
    """
    if second is None:
        return first
    return second[0], second[1], *points.merged([first[2:], second[2:]])


class History:
    """All of it."""

    def __init__(self) -> None:
        self.pauses: deque[list[float | None]] = deque(maxlen=MOST_PAUSES)
        """From when to when; the last may have no end yet."""
        self.saves: deque[dict[str, Any]] = deque(maxlen=MOST_SAVES)
        self.log: deque[Event] = deque(maxlen=MOST_LOG_LINES)
        """All events but errors and changes, the oldest first."""
        self.errors: deque[Event] = deque(maxlen=MOST_ERRORS)
        self.changes: deque[Event] = deque(maxlen=MOST_CHANGES)
        self._series: dict[str, Series] = {}
        self._latest: dict[str, Point] = {}
        self._has_refused = False

    def add_points(self, new: Iterable[Point]) -> tuple[list[Point], list[Event]]:
        """Keep some points.

        Returns:
            Those that were kept, and events that this gave rise to: the first name that is refused is one.
        """
        kept: list[Point] = []
        notes: list[Event] = []
        for point in new:
            series = self._series.get(point.name)
            if series is None:
                if len(self._series) >= MOST_NAMES or len(point.name) > LONGEST_NAME:
                    notes += self._refusal(point.name)
                    continue
                series = self._series[point.name] = Series()
            # A series that gets no more points keeps those that it has: all take at most twice the bound.
            most = min(MOST_POINTS, MOST_POINTS_OF_ALL // len(self._series))
            row = (point.time, point.step, point.value, point.least, point.greatest, point.count)
            series.add(row, most)
            self._latest[point.name] = point
            kept.append(point)
        return kept, notes

    def add_event(self, event: Event) -> Event:
        """Keep an event, and return it as it is kept: what is too long is cut."""
        event = _cut(event)
        if event.kind == "error":
            self.errors.append(event)
        elif event.kind == "changed":
            self.changes.append(event)
        else:
            self.log.append(event)
        if event.kind == "saved":
            self.saves.append({"time": event.time, "path": event.details.get("path")})
        elif event.kind == "state":
            self._note_state(event.details.get("state"), event.time)
        return event

    def names(self) -> list[str]:
        """The names that there are points of, sorted."""
        return sorted(self._series)

    def columns(self, name: str, since: float) -> dict[str, list[float]] | None:
        """Return the points of a name from a moment on, by columns; None if there are none of that name."""
        series = self._series.get(name)
        return None if series is None else series.columns(since)

    def latest(self) -> dict[str, dict[str, float]]:
        """Return the latest value of each name, sorted by name."""
        return {
            name: {"value": point.value, "step": point.step, "time": point.time}
            for name, point in sorted(self._latest.items())
        }

    def _note_state(self, state: str | None, moment: float) -> None:
        stands_still = bool(self.pauses) and self.pauses[-1][1] is None
        if state in STANDS_STILL and not stands_still:
            self.pauses.append([moment, None])
        elif state not in STANDS_STILL and stands_still:
            self.pauses[-1][1] = moment

    def _refusal(self, name: str) -> Iterator[Event]:
        if self._has_refused:
            return
        self._has_refused = True
        text = (
            f"at most {MOST_NAMES} names of at most {LONGEST_NAME} characters are kept for the dashboard: "
            f"{name[:LONGEST_NAME]!r} and other new ones are not. Put what changes into the value, not into the "
            "name (said once)"
        )
        yield Event("log", time.time(), text, {"level": "WARNING", "logger": __name__})


def _cut(event: Event) -> Event:
    most = LONGEST_ERROR if event.kind == "error" else LONGEST_TEXT
    details = {
        key[:LONGEST_DETAIL]: _shortened(value, LONGEST_DETAIL) if isinstance(value, str) else value
        for key, value in list(event.details.items())[:MOST_DETAILS]
        if isinstance(value, str | int | float | None)
    }
    return replace(event, text=_shortened(event.text, most), details=details)


def _shortened(text: str, most: int) -> str:
    """Return a text without its middle if it is too long: a traceback says at its end what it is about."""
    if len(text) <= most:
        return text
    return f"{text[: most // 2]}\n... {len(text) - most} characters ...\n{text[-(most // 2) :]}"
