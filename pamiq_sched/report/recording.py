"""What the files of a run tell, on one axis of time.

A run that was continued leaves several recordings with gaps between them. The axis has the time in which something
ran: gaps are cut out, and noted. Pure data; any thread.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pamiq_sched.metrics import Event, Point, RecordedRun, read_json_lines

Array = npt.NDArray[np.float64]

NaturalOrder = list[tuple[int, str]]

USUAL_FILE = "metrics.jsonl"


@dataclass(frozen=True)
class Series:
    """All points of a name. The arrays have the shape (n,), n > 0, in the order of time."""

    name: str
    time: Array
    """Seconds on the axis."""
    step: Array
    value: Array
    least: Array
    greatest: Array
    count: Array

    @property
    def last(self) -> float:
        """The value of the last point."""
        return float(self.value[-1])

    @property
    def is_finite(self) -> npt.NDArray[np.bool_]:
        """Which points are numbers, with their extremes."""
        return np.isfinite(self.value) & np.isfinite(self.least) & np.isfinite(self.greatest)


@dataclass(frozen=True)
class Part:
    """One of the runs that follow each other."""

    started: float
    """Seconds since 1970."""
    begin: float
    """Seconds on the axis."""
    end: float
    gap: float
    """Seconds that were cut out before it."""
    program: str
    version: str


@dataclass(frozen=True)
class Happening:
    """An event on the axis."""

    at: float
    """Seconds on the axis."""
    event: Event


@dataclass(frozen=True)
class Recording:
    """A run, with all that continued it."""

    directory: Path
    files: tuple[Path, ...]
    parts: tuple[Part, ...]
    series: dict[str, Series]
    """By name, in the natural order of names."""
    happenings: tuple[Happening, ...]
    pauses: tuple[tuple[float, float], ...]
    """From where to where on the axis."""
    duration: float
    """Seconds, all parts together."""
    skipped: int
    """Lines that could not be read."""

    def of_kind(self, *kinds: str) -> list[Happening]:
        """Return the events of some kinds."""
        return [happening for happening in self.happenings if happening.event.kind in kinds]


def read_recording(directory: Path) -> Recording:
    """Read the numbers in a directory: of ``metrics.jsonl``, or, if there is none, of all ``*.jsonl``.

    Raises:
        FileNotFoundError: If there is no such directory.
        ValueError: If there are no numbers in it.
        OSError: If a file cannot be read.
    """
    if not directory.is_dir():
        raise FileNotFoundError(f"there is no directory {str(directory)!r}")
    usual = directory / USUAL_FILE
    files = (usual,) if usual.is_file() else tuple(sorted(directory.glob("*.jsonl")))
    if not files:
        raise ValueError(
            f"there are no numbers in {str(directory)!r}: it has neither {USUAL_FILE} nor another .jsonl file; "
            "give the directory that a JsonLinesSink writes to"
        )
    runs = [run for file in files for run in read_json_lines(file)]
    if not any(run.points for run in runs):
        raise ValueError(_no_numbers(files, runs))
    return _arranged(directory, files, sorted(runs, key=lambda run: run.started))


def natural_order(name: str) -> NaturalOrder:
    """Return a key to sort names by as people do.

    Example:
        >>> sorted(["joint_10", "joint_9"], key=natural_order)
        ['joint_9', 'joint_10']
    """
    parts = re.split(r"([0-9]{1,18})", name.lower())  # every other one is a number
    return [(int(part), "") if i % 2 else (0, part) for i, part in enumerate(parts)]


def _no_numbers(files: Sequence[Path], runs: Sequence[RecordedRun]) -> str:
    names = ", ".join(repr(str(file)) for file in files)
    if not runs:
        return f"there are no numbers in {names}: nothing was written yet"
    skipped = sum(run.skipped for run in runs)
    if skipped and not any(run.events or run.about for run in runs):
        return f"there are no numbers in {names}: none of its lines was written by a JsonLinesSink"
    return f"there are no numbers in {names}: the run ended before it logged one, or it logs none"


def _arranged(directory: Path, files: tuple[Path, ...], runs: Sequence[RecordedRun]) -> Recording:
    parts: list[Part] = []
    points: dict[str, list[tuple[Point, float]]] = {}
    happenings: list[Happening] = []
    pauses: list[tuple[float, float]] = []
    first, latest, cut = 0.0, 0.0, 0.0
    for run in runs:
        moments = [item.time for items in (run.points, run.events) for item in items]
        start, stop = min([run.started, *moments]), max([run.started, *moments])
        if not parts:
            first = latest = start
        # Recordings that overlap, of two sinks say, keep their distance.
        gap = max(0.0, start - latest)
        cut += gap
        shift = first + cut
        latest = max(latest, stop)
        parts.append(Part(start, start - shift, stop - shift, gap, *_about(run)))
        for point in run.points:
            points.setdefault(point.name, []).append((point, shift))
        own = sorted((Happening(event.time - shift, event) for event in run.events), key=lambda h: h.at)
        happenings += own
        pauses += _pauses(own, stop - shift)
    return Recording(
        directory,
        files,
        tuple(parts),
        {name: _series(name, points[name]) for name in sorted(points, key=natural_order)},
        tuple(happenings),
        tuple(sorted(pauses)),
        max(part.end for part in parts),
        sum(run.skipped for run in runs),
    )


def _about(run: RecordedRun) -> tuple[str, str]:
    return str(run.about.get("program", "")), str(run.about.get("version", ""))


def _series(name: str, points: Iterable[tuple[Point, float]]) -> Series:
    rows = [(p.time - shift, p.step, p.value, p.least, p.greatest, p.count) for p, shift in points]
    columns = np.array(rows, dtype=np.float64).T
    columns = columns[:, np.argsort(columns[0], kind="stable")]
    return Series(name, *columns)


def _pauses(happenings: Iterable[Happening], end: float) -> Iterable[tuple[float, float]]:
    since: float | None = None
    for happening in happenings:
        if happening.event.kind != "state":
            continue
        state: Any = happening.event.details.get("state")
        if state == "paused" and since is None:
            since = happening.at
        elif state not in ("paused", "saving") and since is not None:  # a paused system is saved as it stands
            yield since, happening.at
            since = None
    if since is not None:
        yield since, end
