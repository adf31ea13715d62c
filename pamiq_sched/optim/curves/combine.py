"""Curves made of curves."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from math import inf, nan, prod
from operator import mul

import numpy as np
from numpy.typing import NDArray
from typing_extensions import override

from pamiq_sched import _checks
from pamiq_sched.optim.curves.base import Curve, Function, VectorFunction, one_by_one
from pamiq_sched.optim.curves.fields import exact, increasing, items
from pamiq_sched.optim.curves.plain import ConstantCurve


@dataclass(frozen=True, repr=False)
class SequenceCurve(Curve):
    r"""One curve after another, each with a time of its own that starts at 0.

    A curve that ends before the next begins does what its own ``past_end`` says. The sequence ends with the
    last curve, and never if that repeats.

    .. math:: f(t) = f_i(t - m_i), \quad m_i \le t < m_{i+1}, \quad m_0 = 0

    Args:
        curves: At least one.
        milestones: When the next curve begins, one fewer than curves, strictly increasing and > 0; a 0 in front
            skips the first curve.

    Raises:
        TypeError: If there is something else than curves, or a milestone is not a number.
        ValueError: If the milestones do not increase, or are too few or too many.

    Example:
        >>> from pamiq_sched.optim.curves import ConstantCurve, LinearCurve, WarmupCurve
        >>> curve = SequenceCurve((WarmupCurve(10), ConstantCurve(), LinearCurve(1, 0, 10)), (10, 80))
        >>> curve.values([5, 50, 85, 90])
        array([0.5, 1. , 0.5, 0. ])
    """

    curves: Sequence[Curve]
    milestones: Sequence[float]
    _holds = True

    @override
    def _checked(self) -> Mapping[str, object]:
        curves = _curves(self.curves)
        milestones = increasing("milestones", self.milestones, least=0)
        if len(milestones) != len(curves) - 1:
            raise ValueError(
                f"a SequenceCurve must have one milestone between each curve and the next, got {len(curves)} "
                f"curves and {len(milestones)} milestones"
            )
        return {"curves": curves, "milestones": milestones}

    @property
    @override
    def end(self) -> float | None:
        last = _rest(self.curves[-1])
        return last if last is None or not self.milestones else self.milestones[-1] + last

    @override
    def _function(self) -> Function:
        parts, milestones = [curve.function() for curve in self.curves], self.milestones
        if len(parts) == 1:
            return parts[0]
        end, last = inf, nan
        if self.end is not None and self.curves[-1].past_end == "hold":
            # Of fractions, (at + duration) - at may fall short of the duration: say itself when it is over.
            curve, duration = _to_its_end(self.curves[-1])
            end, last = self.end, curve(duration)
        if len(parts) == 2:
            (first, second), (at,) = parts, milestones
            return lambda t: first(t) if t < at else second(t - at) if t < end else last
        starts = (0, *milestones)

        def sequence(t: float) -> float:
            i = bisect_right(milestones, t)
            return parts[i](t - starts[i]) if t < end else last

        return sequence

    @override
    def _vector(self) -> VectorFunction:
        slowly = one_by_one(self)
        vectors = [curve.vector() or one_by_one(curve) for curve in self.curves]
        starts = (0, *self.milestones)
        ends = (*self.milestones, inf if self.end is None else self.end)

        def sequence(ts: NDArray[np.float64]) -> NDArray[np.float64]:
            first, last = ts.min(), ts.max()
            for vector, start, end in zip(vectors, starts, ends, strict=True):
                if start <= first and last < end:
                    return vector(ts - start)
            return slowly(ts)  # a stretch across a milestone, or past the end

        return sequence

    @override
    def then(self, other: Curve, at: float | None = None) -> Curve:
        # One flat sequence for a.then(b).then(c), where nothing of this one is cut off or repeated.
        at = self.end if at is None else at
        if at is None or self.past_end != "hold" or not self.milestones or at <= self.milestones[-1]:
            return Curve.then(self, other, at)
        return SequenceCurve((*self.curves, other), (*self.milestones, at))


@dataclass(frozen=True, repr=False)
class ProductCurve(Curve):
    r"""The product of curves; what ``*`` makes, with numbers too.

    It ends when the last of its factors has ended, and never if one repeats or has no end; a ConstantCurve does
    not count. A factor that is past its own end does what its own ``past_end`` says.

    .. math:: f(t) = \prod_i f_i(t)

    Args:
        curves: The factors, at least one.

    Raises:
        TypeError: If there is something else than curves.
        ValueError: If there is no curve.

    Example:
        >>> from pamiq_sched.optim.curves import LinearCurve
        >>> curve = 0.5 * LinearCurve(1.0, 0.0, 10)
        >>> curve(5), curve.end
        (0.25, 10)
    """

    curves: Sequence[Curve]
    _holds = True  # by its factors

    @override
    def _checked(self) -> Mapping[str, object]:
        return {"curves": _curves(self.curves)}

    @property
    @override
    def end(self) -> float | None:
        ends = [_rest(curve) for curve in self.curves if not isinstance(curve, ConstantCurve)]
        known = [end for end in ends if end is not None]
        return max(known) if known and len(known) == len(ends) else None

    @override
    def _function(self) -> Function:
        factors = [curve.function() for curve in self.curves]
        if len(factors) == 2:
            first, second = factors
            return lambda t: first(t) * second(t)
        return lambda t: prod([factor(t) for factor in factors])

    @override
    def _vector(self) -> VectorFunction:
        factors = [curve.vector() or one_by_one(curve) for curve in self.curves]
        return lambda ts: reduce(mul, [factor(ts) for factor in factors])


@dataclass(frozen=True, repr=False)
class RepeatCurve(Curve):
    r"""A curve over and over, each time multiplied by the same factor once more.

    With ``gamma=1`` and no end it is what ``past_end="repeat"`` makes of the curve.

    .. math:: f(t) = \gamma^i f(t - i E), \quad i = \left\lfloor \frac{t}{E} \right\rfloor

    Args:
        curve: What is repeated; it ends at E > 0.
        times: How often, at least 1; then it keeps its last value. None: for ever.
        gamma: The factor, > 0.

    Raises:
        TypeError: If the curve is none, ``times`` is not whole, or ``gamma`` is not a number.
        ValueError: If the curve has no end, or a number is out of range.

    Example:
        >>> from pamiq_sched.optim.curves import LinearCurve
        >>> RepeatCurve(LinearCurve(1.0, 0.0, 2), times=2, gamma=0.5).values(range(6))
        array([1.  , 0.5 , 0.5 , 0.25, 0.  , 0.  ])
    """

    curve: Curve
    times: int | None = None
    gamma: float = 1.0
    _holds = True

    @override
    def _checked(self) -> Mapping[str, object]:
        _checks.instance("what is repeated must be", self.curve, Curve)
        if not self.curve.end:
            raise ValueError(
                f"only a curve that ends after 0 can be repeated, got {self.curve!r} with end={self.curve.end}"
            )
        return {
            "times": None if self.times is None else _checks.count("times", self.times, least=1),
            "gamma": _checks.real("gamma", self.gamma, above=0),
        }

    @property
    @override
    def end(self) -> float | None:
        period = self.curve.end
        return None if self.times is None or period is None else self.times * period

    @override
    def _function(self) -> Function:
        curve, period = _to_its_end(self.curve)
        gamma, end = self.gamma, self.end

        def repeated(t: float) -> float:
            i, own = divmod(t, period)
            value: float = curve(own) * gamma**i
            return value

        if self.times is None or end is None:
            return repeated
        last = curve(period) * gamma ** (self.times - 1)
        return lambda t: repeated(t) if t < end else last


@dataclass(frozen=True, repr=False)
class StretchedCurve(Curve):
    r"""A curve whose rest takes longer, or less long; what :meth:`Curve.retarget` makes.

    .. math::

        f(t) = \begin{cases}
        g(t) & t < s \\
        g\left(s + (t - s) \frac{E - s}{u - s}\right) & s \le t
        \end{cases}

    Args:
        curve: g; it ends at E.
        since: s, from when it is stretched, >= 0 and before E.
        until: u, when it ends now, after s.

    Raises:
        TypeError: If the curve is none, or a time is not a number.
        ValueError: If the curve has no end, or a time is out of range.

    Example:
        >>> from pamiq_sched.optim.curves import LinearCurve
        >>> StretchedCurve(LinearCurve(1.0, 0.0, 100), since=50, until=250)(150)
        0.25
    """

    curve: Curve
    since: float
    until: float
    _holds = True

    @override
    def _checked(self) -> Mapping[str, object]:
        _checks.instance("what is stretched must be", self.curve, Curve)
        if self.curve.end is None:
            raise ValueError(f"only a curve that ends can be stretched, got {self.curve!r}")
        since = exact("since", self.since, least=0, below=self.curve.end, remedy="nothing is left to stretch")
        return {"since": since, "until": exact("until", self.until, above=since)}

    @property
    @override
    def end(self) -> float:
        return self.until

    @override
    def _function(self) -> Function:
        curve, end = _to_its_end(self.curve)
        since, until, last = self.since, self.until, curve(end)
        old, new = end - since, until - since

        def stretched(t: float) -> float:
            if t < since:
                return curve(t)
            return curve(since + (t - since) * old / new) if t < until else last

        return stretched


def _curves(values: object) -> tuple[Curve, ...]:
    curves = items("curves", values)
    if not curves:
        raise ValueError("curves must have one curve at least, got none")
    for curve in curves:
        _checks.instance("curves must hold curves", curve, Curve)
    return curves


def _rest(curve: Curve) -> float | None:
    """From when a part of another curve is at rest: one that repeats never is."""
    return None if curve.past_end == "repeat" else curve.end


def _to_its_end(curve: Curve) -> tuple[Function, float]:
    """A curve that has an end as a function, and that end.

    Whatever its past_end: a t that rounding has put past the end shall find the last value.
    """
    end = curve.end
    if end is None:
        raise ValueError(f"a curve that ends is needed here, got {curve!r}")
    return replace(curve, past_end="hold").function(), end
