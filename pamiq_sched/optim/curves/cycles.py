"""Cycles with a warmup and a peak that falls."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import cos, pi

from typing_extensions import override

from pamiq_sched import _checks
from pamiq_sched.optim.curves.base import EndlessCurve, Function
from pamiq_sched.optim.curves.fields import exact, reals


@dataclass(frozen=True, repr=False)
class CyclicCurve(EndlessCurve):
    r"""Cosine annealing with warm restarts: longer and longer cycles, lower and lower peaks; has no end.

    In cycle i, c steps after its start:

    .. math::

        f = \begin{cases}
        A + (W_i - A) \frac{c}{U} & c < U \\
        A + (W_i - A) \frac{1 + \cos(\pi (c - U) / (T_i - U))}{2} & U \le c < T_i
        \end{cases}
        \quad T_i = (T_0 - U) M^i + U, \quad W_i = \max(W \gamma^i, A)

    Args:
        cycle_steps: The length of the first cycle, > 0.
        warmup_steps: U, how long every cycle goes up from the floor, >= 0 and shorter than the first cycle.
        cycle_mult: M, by how much the part after the warmup grows from cycle to cycle, >= 1.
        peak: W.
        floor: A.
        gamma: By how much the peak shrinks from cycle to cycle, > 0; never below the floor.

    Raises:
        TypeError: If one is not a number.
        ValueError: If one is not finite or out of range.

    Example:
        >>> curve = CyclicCurve(6, warmup_steps=2, cycle_mult=2, floor=0.1, gamma=0.5)
        >>> curve.values(range(9)).round(4)
        array([0.1   , 0.55  , 1.    , 0.8682, 0.55  , 0.2318, 0.1   , 0.3   ,
               0.5   ])

    Source: Loshchilov & Hutter 2017, SGDR, eq. 5.
    """

    cycle_steps: float
    warmup_steps: float = 0
    cycle_mult: float = 1
    peak: float = 1.0
    floor: float = 0.0
    gamma: float = 1.0

    @override
    def _checked(self) -> Mapping[str, object]:
        cycle = exact("cycle_steps", self.cycle_steps, above=0)
        return {
            "cycle_steps": cycle,
            "warmup_steps": exact(
                "warmup_steps",
                self.warmup_steps,
                least=0,
                below=cycle,
                remedy="a cycle must be longer than its warmup",
            ),
            "cycle_mult": exact("cycle_mult", self.cycle_mult, least=1),
            **reals(peak=self.peak, floor=self.floor),
            "gamma": _checks.real("gamma", self.gamma, above=0),
        }

    @override
    def _function(self) -> Function:
        cycle, warmup, mult = self.cycle_steps, self.warmup_steps, self.cycle_mult
        peak, floor, gamma = self.peak, self.floor, self.gamma
        first = cycle - warmup

        def cyclic(t: float) -> float:
            annealing = first
            if mult == 1:
                i, c = divmod(t, cycle)
            else:
                # A logarithm would land in the wrong cycle where t is an exact power; sums of ints do not.
                i, c = 0, t
                while c >= annealing + warmup:
                    c -= annealing + warmup
                    annealing *= mult
                    i += 1
            height: float = max(peak * gamma**i, floor) - floor
            if c < warmup:
                return floor + height * c / warmup
            return floor + height * (1 + cos(pi * (c - warmup) / annealing)) / 2

        return cyclic
