"""Curves that are told value by value."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from typing_extensions import override

from pamiq_sched import _checks
from pamiq_sched.optim.curves.base import Curve, EndlessCurve, Function
from pamiq_sched.optim.curves.fields import exact, increasing, items, reals


@dataclass(frozen=True, repr=False)
class StepCurve(Curve):
    r"""One level after another, each from its milestone on.

    .. math:: f(t) = v_i, \quad m_i \le t < m_{i+1}, \quad m_0 = 0

    Args:
        milestones: When the next level begins, > 0 and strictly increasing, at least one.
        levels: The values, one more than milestones.

    Raises:
        TypeError: If one is not a sequence of numbers.
        ValueError: If a number is not finite, the milestones do not increase, or there are too few or too many
            levels.

    Example:
        >>> curve = StepCurve((10, 20), (1.0, 0.1, 0.01))
        >>> curve(9), curve(10), curve(20)
        (1.0, 0.1, 0.01)
    """

    milestones: Sequence[float]
    levels: Sequence[float]
    _holds = True

    @override
    def _checked(self) -> Mapping[str, object]:
        milestones = increasing("milestones", self.milestones, above=0)
        levels = tuple(_checks.real("every level", level) for level in items("levels", self.levels))
        if not milestones or len(levels) != len(milestones) + 1:
            raise ValueError(
                f"a StepCurve must have a milestone at least and one level more than milestones, got "
                f"{len(milestones)} milestones and {len(levels)} levels"
            )
        return {"milestones": milestones, "levels": levels}

    @property
    @override
    def end(self) -> float:
        return self.milestones[-1]

    @override
    def _function(self) -> Function:
        milestones, levels = self.milestones, self.levels
        return lambda t: levels[bisect_right(milestones, t)]


@dataclass(frozen=True, repr=False)
class StepDecayCurve(EndlessCurve):
    r"""Multiplied by the same factor every so many steps; has no end.

    .. math:: f(t) = a \gamma^{\lfloor t / s \rfloor}

    Args:
        step_size: s, how long a value stays, > 0.
        gamma: The factor, > 0. Above 1 the curve leaves the floats at last: an OverflowError.
        start: a, the value at 0.

    Raises:
        TypeError: If one is not a number.
        ValueError: If one is not finite or out of range.

    Example:
        >>> StepDecayCurve(30, 0.5)(60)
        0.25
    """

    step_size: float
    gamma: float
    start: float = 1.0

    @override
    def _checked(self) -> Mapping[str, object]:
        return {
            "step_size": exact("step_size", self.step_size, above=0),
            "gamma": _checks.real("gamma", self.gamma, above=0),
            **reals(start=self.start),
        }

    @override
    def _function(self) -> Function:
        step_size, gamma, start = self.step_size, self.gamma, self.start
        return lambda t: start * gamma ** (t // step_size)


@dataclass(frozen=True, repr=False)
class PiecewiseLinearCurve(Curve):
    r"""Straight lines from point to point; before the first point its value.

    .. math:: f(t) = v_i + (v_{i+1} - v_i) \frac{t - t_i}{t_{i+1} - t_i}, \quad t_i \le t < t_{i+1}

    Args:
        points: Pairs of a t and a value, at least one; t >= 0 and strictly increasing.

    Raises:
        TypeError: If it is not a sequence of pairs of numbers.
        ValueError: If a number is not finite, there is no point, or t does not increase.

    Example:
        >>> curve = PiecewiseLinearCurve([(0, 0.0), (10, 1.0), (30, 0.5)])
        >>> curve(5), curve(20), curve(99)
        (0.5, 0.75, 0.5)
    """

    points: Sequence[tuple[float, float]]
    _holds = True

    @override
    def _checked(self) -> Mapping[str, object]:
        points = [items("every point", point) for point in items("points", self.points)]
        if not points or any(len(point) != 2 for point in points):
            raise ValueError(f"points must be pairs (t, value), at least one, got {self.points!r}")
        times = increasing("every point's t", [t for t, _ in points], least=0)
        levels = [_checks.real("every point's value", value) for _, value in points]
        return {"points": tuple(zip(times, levels, strict=True))}

    @property
    @override
    def end(self) -> float:
        return self.points[-1][0]

    @override
    def _function(self) -> Function:
        times = [t for t, _ in self.points]
        (_, first), (end, last) = self.points[0], self.points[-1]
        pieces = [(t, v, w - v, u - t) for (t, v), (u, w) in pairwise(self.points)]

        def interpolated(t: float) -> float:
            if t >= end:
                return last
            i = bisect_right(times, t)
            if i == 0:
                return first
            since, value, rise, length = pieces[i - 1]
            return value + rise * (t - since) / length

        return interpolated
