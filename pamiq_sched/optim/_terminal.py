"""Lines as text, for terminals: one panel of braille dots with labelled axes.

Returns strings and prints nothing. No state; any thread.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from pamiq_sched import _checks

Array = npt.NDArray[np.float64]

_COLOURS = ("cyan", "yellow", "magenta", "green", "red", "blue")
_SHOWN = 8
"""Lines that a legend tells of."""


def panel(title: str, t: Array, lines: Mapping[str, Array], *, unit: str, width: int, height: int) -> str:
    """Draw lines over one axis; in colours if stdout is a terminal and ``NO_COLOR`` is not set.

    Args:
        title: What they are.
        t: Shape (n,), growing.
        lines: By label, each of the shape of ``t``.
        unit: Of ``t``.
        width: Characters in a row, axes and labels included, at least 40.
        height: Rows of dots, at least 3; title, axis and legend come on top of it.

    Raises:
        ImportError: If plotille is not installed.
    """
    _checks.count("width", width, least=40, unit="characters")
    _checks.count("height", height, least=3, unit="rows")
    least = min(float(line.min()) for line in lines.values())
    most = max(float(line.max()) for line in lines.values())
    low, high = (least, most) if least < most else (least - (abs(least) or 1.0), most + (abs(most) or 1.0))
    scale = _numbers([high, (low + high) / 2, low])
    left = max(9, *map(len, scale))  # panels below one another mostly have one margin
    marks = _marks(lines, low, high, height) if len(lines) > 1 else {}
    columns = width - left - 2 - max(map(len, marks.values()), default=0)

    rows = _draw(t, lines, low, high, columns, height)
    labels = dict(zip((0, height // 2, height - 1), scale, strict=True))
    body = [
        f"{labels.get(row, ''):>{left}} {'┤' if row in labels else '│'}{dots}{marks.get(row, '')}".rstrip()
        for row, dots in enumerate(rows)
    ]
    first, middle, last = _numbers([t[0], (t[0] + t[-1]) / 2, t[-1]])
    last = f"{last} {unit}"
    gap = columns - len(first) - len(last)
    ruler = f"{first}{middle:^{gap}}{last}" if gap > len(middle) + 2 else f"{first}{'':{gap}}{last}"
    axis = [f"{'':{left}} └{'─' * columns}", f"{'':{left + 2}}{ruler}"]
    return "\n".join([*_heading(title, lines, least, most, width), *body, *axis])


def _heading(title: str, lines: Mapping[str, Array], least: float, most: float, width: int) -> list[str]:
    """The title with the extremes, and from where to where each line goes."""
    heading = f"{title}: min {least:.6g}, max {most:.6g}"
    ends = [f"first {line[0]:.6g}, last {line[-1]:.6g}" for line in lines.values()]
    if len(lines) == 1:
        return textwrap.wrap(f"{heading}, {ends[0]}", width, subsequent_indent="  ")
    legend: list[str] = []
    for index, (label, end) in enumerate(list(zip(lines, ends, strict=True))[:_SHOWN]):
        first, *others = textwrap.wrap(f"{label}: {end}", width - 5)
        legend += [f"  {_sample(index)} {first}", *(f"     {other}" for other in others)]
    if len(lines) > _SHOWN:
        legend.append(f"  and {len(lines) - _SHOWN} more")
    return [*textwrap.wrap(heading, width, subsequent_indent="  "), *legend]


def _marks(lines: Mapping[str, Array], low: float, high: float, height: int) -> dict[int, str]:
    """What stands behind the last dot of each line, by row: colours alone do not tell them apart."""
    at: dict[int, list[str]] = {}
    for label, line in lines.items():
        row = round((height - 1) * (high - float(line[-1])) / (high - low))
        at.setdefault(row, []).append(label.removeprefix("groups ").removeprefix("group "))
    joined = {row: " " + "; ".join(labels) for row, labels in at.items()}
    return {row: text if len(text) <= 12 else f"{text[:11]}…" for row, text in joined.items()}


def _draw(t: Array, lines: Mapping[str, Array], low: float, high: float, columns: int, height: int) -> list[str]:
    # The upper bounds of a canvas do not belong to it: they are put behind the last dots, 2 x 4 to a character.
    right = t[0] + max(t[-1] - t[0], 1e-9) * 2 * columns / (2 * columns - 1)
    top = low + (high - low) * 4 * height / (4 * height - 1)
    canvas = _plotille().Canvas(columns, height, xmin=float(t[0]), ymin=low, xmax=float(right), ymax=top)
    for index, line in enumerate(lines.values()):
        own = _colour(index) if len(lines) > 1 else None
        for (x0, y0), (x1, y1) in pairwise(_thinned(t, line, 2 * columns)):
            canvas.line(x0, y0, x1, y1, color=own)
    blank = "\N{BRAILLE PATTERN BLANK}"
    return str(canvas.plot("\n")).replace(blank, " ").split("\n")


def _thinned(t: Array, line: Array, dots: int) -> list[tuple[float, float]]:
    """Return the points to connect: all, or for each column of dots the first, the extremes and the last."""
    if len(t) <= 4 * dots:
        return list(zip(t.tolist(), line.tolist(), strict=True))
    points = []
    for ts, values in zip(np.array_split(t, dots), np.array_split(line, dots), strict=True):
        column = [values[0], values.min(), values.max(), values[-1]]
        points += [(float(ts[0]), float(value)) for value in column]
    return points


def _numbers(values: list[float]) -> list[str]:
    """Return numbers as short as they can be told apart."""
    texts: list[str] = []
    for digits in range(4, 18):
        texts = [f"{value:.{digits}g}" for value in values]
        if len(set(texts)) == len(set(values)):
            break
    return texts


def _colour(index: int) -> str:
    return _COLOURS[index % len(_COLOURS)]


def _sample(index: int) -> str:
    return str(_plotille().color("──", fg=_colour(index)))


def _plotille() -> Any:
    try:
        import plotille  # type: ignore[import-untyped]  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise ImportError("plots in the terminal need plotille: pip install 'pamiq-sched[console]'") from error
    return plotille
