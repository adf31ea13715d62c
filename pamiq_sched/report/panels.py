"""Which names are drawn together, how far the axes go, and which of many points are drawn.

Many points are thinned to a mean for each column of a picture with the extremes around it: no extreme is lost.
Pure functions and data; any thread.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from pamiq_sched.report.recording import Array, NaturalOrder, Recording, Series, natural_order

MOST_LINES = 6
"""In a panel; there are as many colours."""
MOST_PANELS = 120
"""More are not looked at; the table has all names."""
COLUMNS = 500
"""How finely a line is drawn."""
_TINY = 1e-300
"""Beyond this and its inverse, numbers of an axis could not be told apart, or their sums be infinite."""

LOSSES, RETURNS, HYPERPARAMETERS = "Losses", "Returns", "Hyperparameters"
ACTING, TRAINING, MODELS, BUFFERS, OTHERS = "Acting", "Training", "Models", "Buffers", "Other numbers"
GROUPS = (LOSSES, RETURNS, HYPERPARAMETERS, ACTING, TRAINING, MODELS, BUFFERS, OTHERS)

_OF_INTERACTION = {
    "step_time_p50": "Step time and lateness",
    "step_time_p99": "Step time and lateness",
    "lateness_p99": "Step time and lateness",
    "steps_per_second": "Steps per second",
    "deadline_misses": "Deadline misses",
}
_OF_TRAINERS = {
    "cycle_time": "Cycle time",
    "sync_time": "Sync time",
    "replay_ratio": "Replay ratio",
}
_OF_MODELS = {"seconds_behind": "Staleness", "versions_behind": "Staleness in versions"}
_IN_SECONDS = {"Step time and lateness", "Cycle time", "Sync time", "Staleness"}
_OF_BUFFERS = {"fill": "Buffer fill", "items": "Buffer items", "dropped": "Items dropped"}


@dataclass(frozen=True)
class Line:
    """What is drawn of a series. Arrays of the shape (m,); NaN breaks the line."""

    series: Series
    time: Array
    mean: Array
    least: Array
    greatest: Array
    is_band: bool
    """Whether the extremes differ from the mean."""
    not_finite: Array
    """When there were values that are not finite, thinned."""


@dataclass(frozen=True)
class Panel:
    """Lines over one axis."""

    group: str
    title: str
    lines: tuple[Line, ...]
    low: float
    high: float
    is_log: bool
    unit: str
    """``"s"``, or empty."""
    ticks: tuple[tuple[float, str], ...]
    """Values on the vertical axis, with their labels."""
    steps: tuple[str, ...]
    """The steps at each tick of the time axis; empty if nothing was counted."""

    def height(self, values: Array | float) -> Array:
        """Return how high values stand, 0 for the bottom and 1 for the top."""
        low, high, at = self.low, self.high, np.asarray(values, dtype=np.float64)
        if self.is_log:
            low, high, at = math.log(low), math.log(high), np.log(at)
        # Halved: the difference of two floats may be no float.
        return np.asarray((at / 2 - low / 2) / (high / 2 - low / 2))


def panels_of(recording: Recording) -> list[Panel]:
    """Return the panels of a recording, in the order of the groups."""
    together: dict[tuple[str, str], list[Series]] = {}
    for name, series in recording.series.items():
        together.setdefault(_place(name), []).append(series)
    ticks = time_ticks(recording.duration)
    panels = []
    for group, title in sorted(together, key=_rank):
        for chunk in _alike(together[group, title], keep=_unit(group, title) == "s"):
            panels.append(_panel(group, title, chunk, recording, [at for at, _ in ticks]))
    return panels


def _rank(place: tuple[str, str]) -> tuple[int, NaturalOrder]:
    return GROUPS.index(place[0]), natural_order(place[1])


def _unit(group: str, title: str) -> str:
    return "s" if group in (ACTING, TRAINING, MODELS) and title in _IN_SECONDS else ""


def time_ticks(duration: float) -> list[tuple[float, str]]:
    """Return where the marks of the time axis stand, and what is written there.

    Example:
        >>> time_ticks(400.0)
        [(0.0, '0'), (120.0, '2 min'), (240.0, '4 min'), (360.0, '6 min')]
    """
    unit, length, width = "d", 86400.0, 0.0
    for name, seconds, widths in (
        ("s", 1.0, (1, 2, 5, 10, 20, 30)),
        ("min", 60.0, (1, 2, 5, 10, 20, 30)),
        ("h", 3600.0, (1, 2, 3, 6, 12)),
    ):
        width = next((float(width) for width in widths if duration <= 4 * width * seconds), 0.0)
        if width:
            unit, length = name, seconds
            break
    if duration < 4 or not width:
        width = _nice(duration / length / 4)
    last = math.floor(duration / (width * length) * (1 + 1e-9)) if duration > 0 else 0
    return [(i * width * length, f"{_short(i * width)} {unit}" if i else "0") for i in range(last + 1)]


def span(seconds: float) -> str:
    """Return a length of time in two units.

    Example:
        >>> span(0.25), span(75.0), span(7322.0), span(90000.0)
        ('0.25 s', '1 min 15 s', '2 h 2 min', '1 d 1 h')
    """
    if seconds < 60:
        return f"{seconds:.3g} s"
    units = (("d", 86400), ("h", 3600), ("min", 60), ("s", 1))
    first = next(i for i, (_, length) in enumerate(units) if seconds >= length)
    (large, length), (small, part) = units[first : first + 2]
    whole, rest = divmod(seconds, length)
    return f"{whole:.0f} {large}" + (f" {rest // part:.0f} {small}" if rest >= part else "")


def thousands(number: float) -> str:
    """Return a number of things in few characters.

    Example:
        >>> thousands(950), thousands(12345), thousands(2_500_000)
        ('950', '12.3k', '2.5M')
    """
    for ending, factor in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if abs(number) >= factor:
            return f"{number / factor:.3g}{ending}"
    return f"{number:.4g}"


def amount(value: float, unit: str = "") -> str:
    """Return a value in few characters; seconds in the unit that suits them.

    Example:
        >>> amount(0.00031), amount(0.00031, "s"), amount(12.0, "s"), amount(250_000.0)
        ('0.00031', '0.31 ms', '12 s', '250000')
    """
    if unit == "s" and 0 < abs(value) < 1:
        small, factor = ("ms", 1e3) if abs(value) >= 0.9999e-4 else ("µs", 1e6)
        return f"{_short(value * factor)} {small}"
    text = str(round(value)) if 1e4 <= abs(value) < 1e7 and value == round(value) else _short(value)
    return f"{text} {unit}" if unit else text


def _place(name: str) -> tuple[str, str]:  # noqa: PLR0911 - a table would hide the rules
    """Return the group of a name and the title of its panel."""
    parts = name.split("/")
    last = parts[-1]
    if len(parts) == 2 and parts[0] == "interaction" and last in _OF_INTERACTION:
        return ACTING, _OF_INTERACTION[last]
    if len(parts) == 3 and parts[0] == "models" and last in _OF_MODELS:
        return MODELS, _OF_MODELS[last]
    if len(parts) == 3 and parts[0] == "buffers" and last in _OF_BUFFERS:
        return BUFFERS, _OF_BUFFERS[last]
    if len(parts) > 2 and parts[1] == "scheduled":
        return HYPERPARAMETERS, "/".join(parts[2:])
    if len(parts) == 2 and last in _OF_TRAINERS:
        return TRAINING, _OF_TRAINERS[last]
    word = last.lower()
    if "loss" in word:
        return LOSSES, last
    if any(part in word for part in ("return", "reward", "score")):
        return RETURNS, last
    return OTHERS, last


def _alike(several: Sequence[Series], *, keep: bool) -> Iterable[list[Series]]:
    """Split what would not be readable together: values of other magnitudes, and too many lines."""
    sizes = {series.name: _size(series) for series in several}
    chunk: list[Series] = []
    for series in sorted(several, key=lambda s: (0.0 if keep else sizes[s.name], s.name)):
        if chunk:
            smallest, size = sizes[chunk[0].name], sizes[series.name]
            if len(chunk) == MOST_LINES or (not keep and smallest > 0 and size / smallest > 50):
                yield sorted(chunk, key=lambda s: s.name)
                chunk = []
        chunk.append(series)
    yield sorted(chunk, key=lambda s: s.name)


def _size(series: Series) -> float:
    values = np.abs(series.value[series.is_finite])
    return float(np.median(values)) if values.size else 0.0


def _panel(group: str, title: str, several: Sequence[Series], recording: Recording, at: Sequence[float]) -> Panel:
    unit = _unit(group, title)
    lines = tuple(_line(series, recording) for series in several)
    least = min((float(np.nanmin(line.least)) for line in lines if _has_numbers(line)), default=math.nan)
    most = max((float(np.nanmax(line.greatest)) for line in lines if _has_numbers(line)), default=math.nan)
    is_log = group != HYPERPARAMETERS and _is_wide(lines, least, most)
    low, high = (least / 1.2, most * 1.2) if is_log else _range(title, least, most)
    if len(several) == 1 and group in (LOSSES, RETURNS, HYPERPARAMETERS, OTHERS):
        title = several[0].name
    steps = several[0].step
    counted = (
        tuple(thousands(round(float(n))) for n in np.interp(at, several[0].time, steps)) if steps.any() else ()
    )
    ticks = tuple((tick, amount(tick, unit)) for tick in (_log_ticks(low, high) if is_log else _ticks(low, high)))
    return Panel(group, title, lines, low, high, is_log, unit, ticks, counted)


def _has_numbers(line: Line) -> bool:
    return bool(np.isfinite(line.mean).any())


def _line(series: Series, recording: Recording) -> Line:
    duration, good = recording.duration, series.is_finite
    column = np.zeros(series.time.shape, dtype=np.int64)
    if duration > 0:
        column = np.clip(series.time / duration * COLUMNS, 0, COLUMNS - 1).astype(np.int64)
    bad_columns = np.unique(column[~good])
    bad = (bad_columns + 0.5) / COLUMNS * duration
    # A column with nothing but NaN breaks the line, and so does a pause between two points.
    breaks = np.concatenate([bad[~np.isin(bad_columns, column[good])], _pauses_between(series.time, recording)])
    time, mean, least, greatest = (
        part[good] for part in (series.time, series.value, series.least, series.greatest)
    )
    if time.size > 2 * COLUMNS:
        count, (_, first) = series.count[good], np.unique(column[good], return_index=True)
        least, greatest = np.minimum.reduceat(least, first), np.maximum.reduceat(greatest, first)
        # Divided before it is summed up, lest a sum of large numbers be infinite.
        share = count / np.repeat(np.add.reduceat(count, first), np.diff([*first, count.size]))
        time, mean = (np.add.reduceat(part * share, first) for part in (time, mean))
    is_band = bool(np.any(greatest > least))
    order = np.argsort(np.concatenate([time, breaks]), kind="stable")
    nothing = np.full(breaks.shape, np.nan)
    time, mean, least, greatest = (
        np.concatenate([part, extra])[order]
        for part, extra in ((time, breaks), (mean, nothing), (least, nothing), (greatest, nothing))
    )
    return Line(series, time, mean, least, greatest, is_band, bad)


def _pauses_between(time: Array, recording: Recording) -> Array:
    """Return the middles of those pauses that are most of the time between two points."""
    found = []
    for begin, end in recording.pauses:
        after = int(np.searchsorted(time, (begin + end) / 2))
        if 0 < after < time.size and end - begin > 0.5 * (time[after] - time[after - 1]):
            found.append((begin + end) / 2)
    return np.array(found, dtype=np.float64)


def _is_wide(lines: Iterable[Line], least: float, most: float) -> bool:
    """Whether a linear axis would press most of the values together at its bottom."""
    if not (least > _TINY and most < 1 / _TINY):
        return False
    values = np.concatenate([line.mean for line in lines])
    low, middle = np.nanpercentile(values, [5, 50])
    return bool(most / middle > 20 or middle / low > 20)


def _range(title: str, least: float, most: float) -> tuple[float, float]:
    if math.isnan(least):
        return 0.0, 1.0
    if title == _OF_BUFFERS["fill"] and least >= 0 and most <= 1:
        return 0.0, 1.0
    if least == most == 0:
        return 0.0, 1.0
    if most / 2 - least / 2 < _TINY:
        margin = max(_TINY, abs(most) / 10)
        return least - margin, most + margin
    margin = most / 20 - least / 20
    if 0 <= least < 0.4 * most:
        return 0.0, most + margin
    return max(least - margin, -1.7e308), min(most + margin, 1.7e308)


def _ticks(low: float, high: float) -> list[float]:
    width = _nice(high / 5 - low / 5)
    first, last = math.ceil(low / width), math.floor(high / width)
    return [i * width for i in range(first, last + 1)][:12]


def _log_ticks(low: float, high: float) -> list[float]:
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    within = [10.0**d for d in decades if low <= 10.0**d <= high]
    if len(within) > 2:
        return within[:: math.ceil(len(within) / 5)]
    return [m * 10.0**d for d in decades for m in (1, 3) if low <= m * 10.0**d <= high]


def _nice(width: float) -> float:
    """Return the next larger 1, 2 or 5 times a power of ten."""
    if not _TINY < width < 1 / _TINY:
        return width
    power = 10.0 ** math.floor(math.log10(width))
    return next(m * power for m in (1, 2, 5, 10) if m * power >= width * (1 - 1e-9))


def _short(value: float) -> str:
    text = "NaN" if math.isnan(value) else f"{value:.5g}"
    return text.replace("e-0", "e-").replace("e+0", "e+").replace("e+", "e")
