"""Schedulers that people carry from project to project, whose curve depends on the base: they decay to a value.

Each param group has a curve of its own, from its base. They step, save and resume as every :class:`Schedule`.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

from torch.optim import Optimizer
from typing_extensions import override

from pamiq_sched import _checks
from pamiq_sched.optim.curves import ConstantCurve, Curve, CyclicCurve, PolynomialCurve
from pamiq_sched.optim.groups import Groups
from pamiq_sched.optim.schedule import OnChangedCurve, Schedule


class _FromBase(Schedule):
    """A schedule with a curve for each base, which gives the values themselves."""

    def __init__(
        self,
        optimizer: Optimizer,
        parameters: Mapping[str, Any],
        schedule_target: str,
        groups: Groups,
        on_changed_curve: OnChangedCurve,
    ) -> None:
        self._parameters = dict(parameters)
        # What the curve is stands in the parameters; the one here is never asked.
        super().__init__(
            optimizer, ConstantCurve(), schedule_target, groups=groups, on_changed_curve=on_changed_curve
        )

    @abstractmethod
    def _curve_from(self, base: float) -> Curve:
        """Return the values of a group with this base."""

    @property
    @override
    def curve(self) -> Curve:
        """The values of the first scheduled group."""
        return self._retargeted(self._curve_from(self._bases[0]))

    @override
    def _rebuild(self) -> None:
        super()._rebuild()
        self._vector = None  # not one factor for all bases
        self._functions = [self._retargeted(self._curve_from(base)).function() for base in self._bases]

    @override
    def _values_at(self, t: float) -> list[float]:
        values = [function(t) for function in self._functions]
        self._refuse(values, t)
        return values

    @override
    def _config(self) -> dict[str, Any]:
        return {"name": type(self).__name__, **self._parameters}

    @override
    def _use_config(self, config: Mapping[str, Any]) -> None:
        own = self._config()
        _checks.state_keys(f"the parameters of a {type(self).__name__}", config, set(own))
        self._parameters = {key: config[key] for key in self._parameters}


class PolynomialLRDecay(_FromBase):
    r"""Decays from the base to a value, by a polynomial.

    .. math:: v(t) = (b - e)\,(1 - t / N)^p + e \quad (t \le N), \qquad v(t) = e \quad (t > N)

    It starts at f(0), the base; the widely copied original starts at f(1).

    Args:
        optimizer: Whose hyperparameter.
        max_decay_steps: N, above 1.
        end_learning_rate: e.
        power: p, above 0.
        schedule_target: The hyperparameter.
        groups: Which param groups, as for :class:`Schedule`.
        on_changed_curve: As for :class:`Schedule`.

    Raises:
        TypeError: If a number is none.
        ValueError: If one is out of its range.

    Example:
        >>> import torch
        >>> optimizer = torch.optim.SGD([torch.zeros(1)], lr=1.0)
        >>> schedule = PolynomialLRDecay(optimizer, max_decay_steps=5, end_learning_rate=0.1)
        >>> [round(schedule.schedule_at(t)[0], 2) for t in range(7)]
        [1.0, 0.82, 0.64, 0.46, 0.28, 0.1, 0.1]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        max_decay_steps: float,
        end_learning_rate: float = 0.0001,
        power: float = 1.0,
        *,
        schedule_target: str = "lr",
        groups: Groups = None,
        on_changed_curve: OnChangedCurve = "refuse",
    ) -> None:
        parameters = {
            "max_decay_steps": _checks.real("max_decay_steps", max_decay_steps, above=1.0),
            "end_learning_rate": _checks.real("end_learning_rate", end_learning_rate),
            "power": _checks.real("power", power, above=0.0),
        }
        super().__init__(optimizer, parameters, schedule_target, groups, on_changed_curve)

    @override
    def _curve_from(self, base: float) -> Curve:
        steps, end, power = self._parameters.values()
        return PolynomialCurve(base, end, steps, power)


class CosineAnnealingWarmupReduceRestarts(_FromBase):
    r"""Cycles of a warmup and half a cosine, each longer and with a lower peak than the one before.

    .. math:: v(t) = \begin{cases} e + (P_i - e)\,c / T_{up} & c < T_{up} \\
        e + \frac{1}{2} (P_i - e) \left(1 + \cos \pi \frac{c - T_{up}}{L_i - T_{up}}\right) & c \ge T_{up}
        \end{cases}

    Cycle i is of the length :math:`L_i = (T_0 - T_{up})\,T_{mult}^i + T_{up}` with the peak
    :math:`P_i = \max(e, b\,\gamma^i)`; c is the step within it.

    Args:
        optimizer: Whose hyperparameter.
        T_0: Steps of the first cycle, its warmup included.
        T_mult: How many times as long a cycle is, but for the warmup, as the one before; at least 1.
        eta_min: e, where cycles begin and end.
        T_up: Steps of the warmup, fewer than ``T_0``.
        gamma: What the peak is multiplied by from cycle to cycle, above 0.
        first_cycle_steps: The same as ``T_0`` in the other spelling; give one of the two, here and below.
        cycle_mult: ``T_mult``.
        max_lr: The peak b of the first cycle; the base of each group by default.
        min_lr: ``eta_min``.
        warmup_steps: ``T_up``.
        schedule_target: The hyperparameter.
        groups: Which param groups, as for :class:`Schedule`.
        on_changed_curve: As for :class:`Schedule`.

    Raises:
        TypeError: If a number is none, the cycle's length is missing, or something is given in both spellings.
        ValueError: If a number is out of its range.

    Example:
        >>> import torch
        >>> optimizer = torch.optim.SGD([torch.zeros(1)], lr=1.0)
        >>> schedule = CosineAnnealingWarmupReduceRestarts(optimizer, T_0=4, T_up=2, gamma=0.5)
        >>> [round(schedule.schedule_at(t)[0], 2) for t in range(8)]
        [0.0, 0.5, 1.0, 0.5, 0.0, 0.25, 0.5, 0.25]

    Source: Loshchilov & Hutter 2017, arXiv:1608.03983, with a warmup.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        T_0: float | None = None,  # noqa: N803 - its name everywhere
        T_mult: float | None = None,  # noqa: N803
        eta_min: float | None = None,
        T_up: float | None = None,  # noqa: N803
        gamma: float = 1.0,
        *,
        first_cycle_steps: float | None = None,
        cycle_mult: float | None = None,
        max_lr: float | None = None,
        min_lr: float | None = None,
        warmup_steps: float | None = None,
        schedule_target: str = "lr",
        groups: Groups = None,
        on_changed_curve: OnChangedCurve = "refuse",
    ) -> None:
        steps = _either("T_0", T_0, "first_cycle_steps", first_cycle_steps, None)
        if steps is None:
            raise TypeError("give T_0, or first_cycle_steps in the other spelling: the steps of the first cycle")
        length = _checks.real("T_0", steps, above=0.0)
        warmup = _checks.real("T_up", _either("T_up", T_up, "warmup_steps", warmup_steps, 0.0), least=0.0)
        if warmup >= length:
            raise ValueError(
                f"the warmup must be shorter than the first cycle, got T_up={warmup:g} and T_0={length:g}"
            )
        parameters = {
            "T_0": length,
            "T_mult": _checks.real("T_mult", _either("T_mult", T_mult, "cycle_mult", cycle_mult, 1.0), least=1.0),
            "eta_min": _checks.real("eta_min", _either("eta_min", eta_min, "min_lr", min_lr, 0.0)),
            "T_up": warmup,
            "gamma": _checks.real("gamma", gamma, above=0.0),
            "max_lr": None if max_lr is None else _checks.real("max_lr", max_lr),
        }
        super().__init__(optimizer, parameters, schedule_target, groups, on_changed_curve)

    @override
    def _curve_from(self, base: float) -> Curve:
        steps, mult, floor, warmup, gamma, peak = self._parameters.values()
        return CyclicCurve(steps, warmup, mult, base if peak is None else peak, floor, gamma)


def _either(
    name: str, value: float | None, other_name: str, other: float | None, default: float | None
) -> float | None:
    if value is not None and other is not None:
        raise TypeError(f"{name} and {other_name} are two names of one parameter; got {value!r} and {other!r}")
    return default if value is None and other is None else other if value is None else value
