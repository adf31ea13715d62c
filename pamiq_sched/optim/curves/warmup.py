"""How a run begins, and how one without a horizon ends."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import cos, pi, sqrt
from typing import Literal

import numpy as np
from typing_extensions import override

from pamiq_sched import _checks
from pamiq_sched.optim.curves.base import Curve, Function, VectorFunction
from pamiq_sched.optim.curves.fields import exact, reals


@dataclass(frozen=True, repr=False)
class WarmupCurve(Curve):
    r"""A straight line up from 0.

    .. math:: f(t) = W \frac{t}{L}

    Args:
        steps: L, when the peak is reached, >= 0; with 0 it is there at once.
        peak: W.

    Raises:
        TypeError: If one is not a number.
        ValueError: If one is not finite or out of range.

    Example:
        >>> WarmupCurve(100).values([0, 50, 100, 150])
        array([0. , 0.5, 1. , 1. ])

    Source: Goyal et al. 2017, Accurate, Large Minibatch SGD, section 2.2.
    """

    steps: float
    peak: float = 1.0
    _holds = True

    @override
    def _checked(self) -> Mapping[str, object]:
        return {"steps": exact("steps", self.steps, least=0), **reals(peak=self.peak)}

    @property
    @override
    def end(self) -> float:
        return self.steps

    @override
    def _function(self) -> Function:
        steps, peak = self.steps, self.peak
        return lambda t: peak * t / steps if t < steps else peak

    @override
    def _vector(self) -> VectorFunction:
        steps, peak = self.steps, self.peak
        return lambda ts: np.where(ts < steps, peak * ts / (steps or 1), peak)


@dataclass(frozen=True, repr=False)
class InverseWarmupCurve(Curve):
    r"""A straight line down to the peak, from a multiple of it.

    .. math:: f(t) = W \left(R - (R - 1) \frac{t}{L}\right)

    Args:
        steps: L, when the peak is reached, >= 0; with 0 it is there at once.
        peak: W.
        multiplier: R, how many times the peak it is at 0, > 0.

    Raises:
        TypeError: If one is not a number.
        ValueError: If one is not finite or out of range.

    Example:
        >>> InverseWarmupCurve(100).values([0, 50, 100])
        array([20. , 10.5,  1. ])
    """

    steps: float
    peak: float = 1.0
    multiplier: float = 20.0
    _holds = True

    @override
    def _checked(self) -> Mapping[str, object]:
        return {
            "steps": exact("steps", self.steps, least=0),
            **reals(peak=self.peak),
            "multiplier": _checks.real("multiplier", self.multiplier, above=0),
        }

    @property
    @override
    def end(self) -> float:
        return self.steps

    @override
    def _function(self) -> Function:
        steps, peak, multiplier, excess = self.steps, self.peak, self.multiplier, self.multiplier - 1
        return lambda t: peak * (multiplier - excess * t / steps) if t < steps else peak

    @override
    def _vector(self) -> VectorFunction:
        steps, peak, multiplier, excess = self.steps, self.peak, self.multiplier, self.multiplier - 1
        return lambda ts: np.where(ts < steps, peak * (multiplier - excess * ts / (steps or 1)), peak)


@dataclass(frozen=True, repr=False)
class WarmupStableDecayCurve(Curve):
    r"""Up to the peak, there for as long as it takes, and down to the floor at the end (WSD).

    With ``stable_steps=None`` it stays at the peak until :meth:`retarget` says when the run will end.

    .. math::

        f(t) = \begin{cases}
        W \frac{t}{L} & t < L \\
        W & L \le t < D \\
        A + (W - A) g\left(\frac{t - D}{T}\right) & D \le t
        \end{cases}
        \quad g(p) = 1 - p, \quad \frac{1 + \cos \pi p}{2} \quad \text{or} \quad 1 - \sqrt{p}

    Args:
        warmup_steps: L, >= 0.
        decay_steps: T, > 0.
        stable_steps: D - L, >= 0; None until it is known.
        peak: W.
        floor: A.
        decay: g: ``"linear"``, ``"cosine"`` or ``"sqrt"``.

    Raises:
        TypeError: If one is not a number.
        ValueError: If one is not finite or out of range, or the decay is unknown.

    Example:
        >>> curve = WarmupStableDecayCurve(10, 20)
        >>> curve(5), curve(10**6)
        (0.5, 1.0)
        >>> curve.retarget(1000, end=2000).values([1000, 1980, 1990, 2000])
        array([1. , 1. , 0.5, 0. ])

    Source: Hu et al. 2024, MiniCPM, section 4; Hägele et al. 2024, Scaling Laws and Compute-Optimal Training
    Beyond Fixed Training Durations, section 3 (1 - sqrt).
    """

    warmup_steps: float
    decay_steps: float
    stable_steps: float | None = None
    peak: float = 1.0
    floor: float = 0.0
    decay: Literal["linear", "cosine", "sqrt"] = "linear"
    _holds = True

    @override
    def _checked(self) -> Mapping[str, object]:
        _checks.choice("decay", self.decay, ("linear", "cosine", "sqrt"))
        stable = self.stable_steps
        return {
            "warmup_steps": exact("warmup_steps", self.warmup_steps, least=0),
            "decay_steps": exact("decay_steps", self.decay_steps, above=0),
            "stable_steps": None if stable is None else exact("stable_steps", stable, least=0),
            **reals(peak=self.peak, floor=self.floor),
        }

    @property
    def _decay_start(self) -> float | None:
        return None if self.stable_steps is None else self.warmup_steps + self.stable_steps

    @property
    @override
    def end(self) -> float | None:
        start = self._decay_start
        return None if start is None else start + self.decay_steps

    @override
    def _function(self) -> Function:
        warmup, peak, floor, start = self.warmup_steps, self.peak, self.floor, self._decay_start
        if start is None:
            return WarmupCurve(warmup, peak).function()
        duration, end = self.decay_steps, start + self.decay_steps
        left: Function = {
            "linear": lambda p: 1 - p,
            "cosine": lambda p: (1 + cos(pi * p)) / 2,
            "sqrt": lambda p: 1 - sqrt(p),
        }[self.decay]

        def warmup_stable_decay(t: float) -> float:
            if t < warmup:
                return peak * t / warmup
            if t < start:
                return peak
            return floor + (peak - floor) * left((t - start) / duration) if t < end else floor

        return warmup_stable_decay

    @override
    def retarget(self, t: float, end: float) -> Curve:
        """Return a curve that ends at ``end`` instead, and is the same up to ``t``.

        Before the decay, the stable phase is made as long as that takes; where the time does not suffice, the
        decay begins now, or after the warmup, and is shortened. A decay that has begun is stretched.

        Args:
            t: Now: how far the curve has been followed.
            end: When the decay shall end.

        Raises:
            ValueError: If the curve is past its end, or ``end`` is not after ``t`` and the warmup.

        Example:
            >>> WarmupStableDecayCurve(10, 20).retarget(50, end=60)
            WarmupStableDecayCurve(warmup_steps=10, decay_steps=10, stable_steps=40, peak=1.0, floor=0.0, \
decay='linear')
        """
        t = exact("t", t, least=0)
        if self._decay_start is not None and t > self._decay_start:
            return Curve.retarget(self, t, end)
        earliest = max(t, self.warmup_steps)
        end = exact("end", end, above=earliest, remedy="the decay needs time after now and after the warmup")
        decay = min(self.decay_steps, end - earliest)
        # Of the two, earliest is exact where the decay was shortened.
        start = earliest if decay < self.decay_steps else end - decay
        return replace(self, stable_steps=start - self.warmup_steps, decay_steps=decay)
