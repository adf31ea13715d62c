"""Constants, lines and powers, cosines, and what decays for ever."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import cos, pi, sqrt
from typing import Literal

import numpy as np
from typing_extensions import override

from pamiq_sched import _checks
from pamiq_sched.optim.curves.base import EndlessCurve, Function, TransitionCurve, VectorFunction
from pamiq_sched.optim.curves.fields import exact, reals


@dataclass(frozen=True, repr=False)
class ConstantCurve(EndlessCurve):
    r"""The same value for ever; has no end.

    .. math:: f(t) = v

    Args:
        value: v.

    Raises:
        TypeError: If it is not a number.
        ValueError: If it is not finite.

    Example:
        >>> ConstantCurve(0.1)(10**9)
        0.1
    """

    value: float = 1.0

    @override
    def _checked(self) -> Mapping[str, object]:
        return reals(value=self.value)

    @override
    def _function(self) -> Function:
        value = self.value
        return lambda _: value

    @override
    def _vector(self) -> VectorFunction:
        value = self.value
        return lambda ts: np.full(ts.shape, value)


@dataclass(frozen=True, repr=False)
class LinearCurve(TransitionCurve):
    r"""A straight line from one value to another.

    .. math:: f(t) = b + (a - b)\left(1 - \frac{t}{T}\right)

    Args:
        start: a, the value at 0.
        stop: b, the value at the end.
        steps: T, when it ends, > 0.

    Raises:
        TypeError: If one is not a number.
        ValueError: If one is not finite or out of range.

    Example:
        >>> LinearCurve(1.0, 0.0, 4)(1)
        0.75
    """

    @override
    def _function(self) -> Function:
        stop, drop, steps = self.stop, self.start - self.stop, self.steps
        return lambda t: stop + drop * (1 - t / steps) if t < steps else stop

    @override
    def _vector(self) -> VectorFunction:
        stop, drop, steps = self.stop, self.start - self.stop, self.steps
        return lambda ts: np.where(ts < steps, stop + drop * (1 - ts / steps), stop)


@dataclass(frozen=True, repr=False)
class PolynomialCurve(TransitionCurve):
    r"""A power of the time that is left.

    .. math:: f(t) = b + (a - b)\left(1 - \frac{t}{T}\right)^P

    Args:
        start: a, the value at 0.
        stop: b, the value at the end.
        steps: T, when it ends, > 0.
        power: P, > 0; 1 is a straight line, 0.5 falls late.

    Raises:
        TypeError: If one is not a number.
        ValueError: If one is not finite or out of range.

    Example:
        >>> PolynomialCurve(1.0, 0.0, 4)(2)
        0.25
    """

    power: float = 2.0

    @override
    def _checked(self) -> Mapping[str, object]:
        return {**super()._checked(), "power": _checks.real("power", self.power, above=0)}

    @override
    def _function(self) -> Function:
        stop, drop, steps, power = self.stop, self.start - self.stop, self.steps, self.power
        # As numpy has them, which takes these powers for what they are.
        if power == 2:
            return lambda t: stop + drop * ((rest := 1 - t / steps) * rest) if t < steps else stop
        if power == 0.5:
            return lambda t: stop + drop * sqrt(1 - t / steps) if t < steps else stop
        return lambda t: stop + drop * (1 - t / steps) ** power if t < steps else stop

    @override
    def _vector(self) -> VectorFunction:
        stop, drop, steps, power = self.stop, self.start - self.stop, self.steps, self.power
        return lambda ts: np.where(ts < steps, stop + drop * (1 - np.minimum(ts, steps) / steps) ** power, stop)


@dataclass(frozen=True, repr=False)
class CosineCurve(TransitionCurve):
    r"""Half a wave of a cosine, or a quarter.

    .. math::

        f(t) = \begin{cases}
        b + (a - b) \frac{1 + \cos(\pi t / T)}{2} & \text{half} \\
        b + (a - b) \cos\left(\frac{\pi}{2} \frac{t}{T}\right) & \text{quarter}
        \end{cases}

    Args:
        start: a, the value at 0.
        stop: b, the value at the end.
        steps: T, when it ends, > 0.
        wave: ``"half"`` arrives gently, ``"quarter"`` is steepest at the end.

    Raises:
        TypeError: If one is not a number.
        ValueError: If one is not finite or out of range, or the wave is unknown.

    Example:
        >>> CosineCurve(1.0, 0.1, 100)(50)
        0.55

    Source: Loshchilov & Hutter 2017, SGDR, eq. 5 (the half wave).
    """

    wave: Literal["half", "quarter"] = "half"

    @override
    def _checked(self) -> Mapping[str, object]:
        _checks.choice("wave", self.wave, ("half", "quarter"))
        return super()._checked()

    @override
    def _function(self) -> Function:
        stop, drop, steps, right_angle = self.stop, self.start - self.stop, self.steps, pi / 2
        if self.wave == "quarter":
            return lambda t: stop + drop * cos(right_angle * t / steps) if t < steps else stop
        return lambda t: stop + drop * (1 + cos(pi * t / steps)) / 2 if t < steps else stop

    @override
    def _vector(self) -> VectorFunction:
        stop, drop, steps, right_angle = self.stop, self.start - self.stop, self.steps, pi / 2
        if self.wave == "quarter":
            return lambda ts: np.where(ts < steps, stop + drop * np.cos(right_angle * ts / steps), stop)
        return lambda ts: np.where(ts < steps, stop + drop * (1 + np.cos(pi * ts / steps)) / 2, stop)


@dataclass(frozen=True, repr=False)
class ExponentialCurve(EndlessCurve):
    r"""Multiplied by the same factor at every step; has no end.

    .. math:: f(t) = a \gamma^t

    Args:
        gamma: The factor, > 0. Above 1 the curve leaves the floats at last: an OverflowError.
        start: a, the value at 0.

    Raises:
        TypeError: If one is not a number.
        ValueError: If one is not finite or out of range.

    Example:
        >>> ExponentialCurve(0.5)(3)
        0.125
    """

    gamma: float
    start: float = 1.0

    @override
    def _checked(self) -> Mapping[str, object]:
        return {"gamma": _checks.real("gamma", self.gamma, above=0), **reals(start=self.start)}

    @override
    def _function(self) -> Function:
        gamma, start = self.gamma, self.start
        return lambda t: start * gamma**t

    @override
    def _vector(self) -> VectorFunction:
        gamma, start = self.gamma, self.start
        return lambda ts: start * gamma**ts


@dataclass(frozen=True, repr=False)
class InverseSqrtCurve(EndlessCurve):
    r"""One over the square root of the time; has no end.

    Noam's schedule over w steps of warmup is ``WarmupCurve(w).then(InverseSqrtCurve(w))``.

    .. math:: f(t) = \frac{a}{\sqrt{1 + t / \tau}}

    Args:
        timescale: The time constant, > 0: after three of them the value has halved.
        start: a, the value at 0.

    Raises:
        TypeError: If one is not a number.
        ValueError: If one is not finite or out of range.

    Example:
        >>> InverseSqrtCurve(100)(300)
        0.5

    Source: Vaswani et al. 2017, Attention Is All You Need, section 5.3.
    """

    timescale: float
    start: float = 1.0

    @override
    def _checked(self) -> Mapping[str, object]:
        return {"timescale": exact("timescale", self.timescale, above=0), **reals(start=self.start)}

    @override
    def _function(self) -> Function:
        timescale, start = self.timescale, self.start
        return lambda t: start / sqrt(1 + t / timescale)

    @override
    def _vector(self) -> VectorFunction:
        timescale, start = self.timescale, self.start
        return lambda ts: start / np.sqrt(1 + ts / timescale)
