"""Numbers and events in a file, one JSON object a line.

The invariant is that every whole line is JSON that any reader takes, whatever crash cut the one before it: a run
begins on a line of its own. A sink belongs to the thread that writes; any process may follow the file.
"""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from json.encoder import encode_basestring_ascii
from pathlib import Path
from time import time
from typing import Any

from typing_extensions import override

import pamiq_sched
from pamiq_sched import _checks
from pamiq_sched._text import finite, program
from pamiq_sched.metrics.points import Event, MetricsSink, Point

_NOT_FINITE = {"nan": '"NaN"', "inf": '"Infinity"', "-inf": '"-Infinity"'}


class JsonLinesSink(MetricsSink):
    """Appends points and events to a file, which another process can follow.

    A point is ``{"name", "time", "step", "value", "least", "greatest", "count"}``, without the last three if it is
    one value; an event ``{"event", "time", "text", "details"}``; each run begins with ``{"run": {"started",
    "version", "pid", "program"}}``. What is not finite is one of the strings ``"NaN"``, ``"Infinity"`` and
    ``"-Infinity"``. ``pamiq-sched report`` draws it, :func:`read_json_lines` reads it.

    Args:
        path: The file; it and its directories are made, and what is in it is kept.
        every: Seconds; points of a name that are closer are merged into one, which keeps their mean, extremes
            and count. A point takes about 100 bytes: 60 names four times a second are 2 GB a day, and 70 MB with
            10 s. What waits is written when its seconds are over and another batch comes, or at the end.

    Raises:
        TypeError: If the path is none, or the seconds are no number.
        ValueError: If the path is empty, or the seconds are negative or not finite.
        OSError: If the file cannot be written.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     sink = JsonLinesSink(f"{folder}/metrics.jsonl")
        ...     sink.write([Point.single("dqn/loss", 1764000000.0, 100, 0.5)], [])
        ...     sink.close()
        ...     [run] = read_json_lines(f"{folder}/metrics.jsonl")
        >>> run.points
        (Point(name='dqn/loss', time=1764000000.0, step=100, value=0.5, least=0.5, greatest=0.5, count=1),)
    """

    # No field needs a guard: all belong to the thread that writes.

    def __init__(self, path: str | Path, *, every: float = 0.0) -> None:
        self._path = _checks.path("path", path)
        self._every = _checks.seconds("every", every, zero=True)
        self._path.parent.mkdir(parents=True, exist_ok=True)
        # Unbuffered: what could not be written is not tried again behind the writer's back.
        self._file = self._path.open("ab", buffering=0)
        self._is_cut = _ends_within_a_line(self._path)
        self._openings: dict[str, str] = {}
        """How the lines of a name begin."""
        self._pending: dict[str, list[Point]] = {}
        """Points that wait for others to be merged with, by name."""
        run = {
            "started": time(),
            "version": pamiq_sched.__version__,
            "pid": os.getpid(),
            "program": program(),
        }
        try:
            self._append(_json({"run": run}) + "\n")
        except OSError:
            self._file.close()
            raise

    @override
    def write(self, points: Sequence[Point], events: Sequence[Event]) -> None:
        if self._every:
            points = list(self._merged(points, max(_moments(points, events), default=0.0)))
        text = self._lines(points) + "".join(map(_event_line, events))
        if text:
            self._append(text)

    @override
    def close(self) -> None:
        if self._file.closed:
            return
        try:
            rest = [Point.merged(waiting) for waiting in self._pending.values()]
            self._pending.clear()
            if rest:
                self._append(self._lines(rest))
        finally:
            self._file.close()

    def _merged(self, points: Iterable[Point], now: float) -> Iterator[Point]:
        """Take points in; yield those that are not merged with any that come later."""
        for point in points:
            waiting = self._pending.setdefault(point.name, [])
            # The wall clock may have been set back: what seems to come before its time is not merged.
            if waiting and not 0 <= point.time - waiting[0].time < self._every:
                yield Point.merged(waiting)
                waiting.clear()
            waiting.append(point)
        for name, waiting in list(self._pending.items()):
            if now - waiting[0].time >= self._every:
                yield Point.merged(waiting)
                del self._pending[name]

    def _lines(self, points: Iterable[Point]) -> str:
        # By hand, since json.dumps() takes three times as long. float() because repr() of numpy's is no number.
        lines = []
        openings, odd = self._openings, _NOT_FINITE
        for point in points:
            opening = openings.get(point.name)
            if opening is None:
                opening = openings[point.name] = f'{{"name": {encode_basestring_ascii(point.name)}, "time": '
            value = repr(float(point.value))
            value = odd.get(value, value)
            line = f'{opening}{float(point.time)!r}, "step": {int(point.step)}, "value": {value}'
            if point.count == 1:
                lines.append(f"{line}}}\n")
                continue
            least, greatest = repr(float(point.least)), repr(float(point.greatest))
            least, greatest = odd.get(least, least), odd.get(greatest, greatest)
            lines.append(f'{line}, "least": {least}, "greatest": {greatest}, "count": {int(point.count)}}}\n')
        return "".join(lines)

    def _append(self, text: str) -> None:
        """Write whole lines: in one piece, but for a disk that takes less."""
        data = memoryview((f"\n{text}" if self._is_cut else text).encode("ascii"))
        self._is_cut = True
        while data:
            data = data[self._file.write(data) :]
        self._is_cut = False


@dataclass(frozen=True)
class RecordedRun:
    """What a file tells of one run."""

    started: float
    """Seconds since 1970; of a run whose first line is missing the earliest moment in it."""
    about: Mapping[str, Any]
    """``version``, ``pid`` and ``program``; empty if the first line is missing."""
    points: tuple[Point, ...] = field(repr=False)
    events: tuple[Event, ...] = field(repr=False)
    skipped: int
    """How many lines are damaged or of another kind; a crash leaves one."""


def read_json_lines(path: str | Path) -> list[RecordedRun]:
    """Read what a :class:`JsonLinesSink` wrote; the file may still grow.

    Args:
        path: The file.

    Returns:
        The runs in the order of the file. Lines that cannot be read are skipped and counted.

    Raises:
        OSError: If the file cannot be read.
    """
    runs: list[RecordedRun] = []
    open_run: _OpenRun | None = None
    with _checks.path("path", path).open("rb") as lines:
        for line in lines:
            if line.isspace():
                continue
            entry = _entry(line)
            if open_run is None or isinstance(entry, dict):
                if open_run is not None:
                    runs.append(open_run.closed())
                open_run = _OpenRun(entry if isinstance(entry, dict) else {})
            if isinstance(entry, Point):
                open_run.points.append(entry)
            elif isinstance(entry, Event):
                open_run.events.append(entry)
            elif entry is None:
                open_run.skipped += 1
    if open_run is not None:
        runs.append(open_run.closed())
    return runs


@dataclass
class _OpenRun:
    about: dict[str, Any]
    points: list[Point] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    skipped: int = 0

    def closed(self) -> RecordedRun:
        about = dict(self.about)
        started = about.pop("started", None)
        if started is None:
            started = min(_moments(self.points, self.events), default=0.0)
        return RecordedRun(started, about, tuple(self.points), tuple(self.events), self.skipped)


def _entry(line: bytes) -> Point | Event | dict[str, Any] | None:
    """Return what a line tells: a point, an event, the beginning of a run; None if it cannot be read."""
    try:
        found = json.loads(line.decode())
        if "name" in found:
            value = float(found["value"])
            count = found.get("count", 1)
            if type(count) is not int or count < 1:
                raise ValueError(f"count must be a whole number of at least 1, got {count!r}")
            return Point(
                sys.intern(found["name"]),
                _moment(found["time"]),
                int(found["step"]),
                value,
                float(found.get("least", value)),
                float(found.get("greatest", value)),
                count,
            )
        if "event" in found:
            return Event(str(found["event"]), _moment(found["time"]), str(found["text"]), dict(found["details"]))
        run = dict(found["run"])
        return run | {"started": _moment(run["started"])}
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError):
        return None


def _moment(value: Any) -> float:
    moment = float(value)
    if not math.isfinite(moment):
        raise ValueError(f"a moment must be finite, got {value!r}")
    return moment


def _moments(points: Iterable[Point], events: Iterable[Event]) -> list[float]:
    return [point.time for point in points] + [event.time for event in events]


def _event_line(event: Event) -> str:
    return (
        _json({"event": event.kind, "time": event.time, "text": event.text, "details": dict(event.details)}) + "\n"
    )


def _json(value: Any) -> str:
    try:
        return json.dumps(value, allow_nan=False, default=str)
    except ValueError:
        return json.dumps(finite(value, _in_words), allow_nan=False, default=str)


def _in_words(number: float) -> str:
    return _NOT_FINITE[repr(float(number))][1:-1]


def _ends_within_a_line(path: Path) -> bool:
    with path.open("rb") as file:
        if file.seek(0, os.SEEK_END) == 0:
            return False
        file.seek(-1, os.SEEK_END)
        return file.read(1) != b"\n"
