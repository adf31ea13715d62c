"""Time loops against each other."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from statistics import median
from time import perf_counter


def alternate(loops: Sequence[Callable[[int], object]], *, size: int, rounds: int) -> list[list[float]]:
    """Time each loop in turn, round after round: what slows the machine down meets all of them.

    Args:
        loops: Called with a number of iterations.
        size: That number.
        rounds: How often each is timed; one more, not counted, goes before.

    Returns:
        For each loop the seconds per iteration of every round.
    """
    timings: list[list[float]] = [[] for _ in loops]
    for _ in range(rounds + 1):
        for loop, timing in zip(loops, timings, strict=True):
            start = perf_counter()
            loop(size)
            timing.append((perf_counter() - start) / size)
    return [timing[1:] for timing in timings]


def repeat(act: Callable[[], object]) -> Callable[[int], None]:
    """Make a loop of a call, for :func:`alternate`."""

    def loop(size: int) -> None:
        for _ in range(size):
            act()

    return loop


def ratio(numerators: Sequence[float], denominators: Sequence[float]) -> float:
    """The median of the ratios of the rounds."""
    return median(n / d for n, d in zip(numerators, denominators, strict=True))


def percentile(values: Sequence[float], percent: float) -> float:
    """The smallest value that so many percent do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]
