"""The thirteen schedules that most people want, under torch-schedule-anything's names.

Each warms up to a multiple W of the base, or comes down to it, within L steps, then goes on to a multiple A by
step M and holds it. t counts ``step()`` calls and is 0 when the schedule is made. A schedule is all that they
return: its curve is the formula.
"""

from __future__ import annotations

import sys

from torch.optim import Optimizer

from pamiq_sched import _checks
from pamiq_sched.optim.curves import (
    ConstantCurve,
    CosineCurve,
    Curve,
    InverseWarmupCurve,
    PolynomialCurve,
    StepCurve,
    WarmupCurve,
)
from pamiq_sched.optim.schedule import Schedule


def _warmup(warmup_to_value: float, num_warmup_steps: int) -> Curve:
    peak = _checks.real("warmup_to_value", warmup_to_value)
    return WarmupCurve(_checks.count("num_warmup_steps", num_warmup_steps, most=sys.maxsize), peak)


def _inverse_warmup(warmup_to_value: float, num_warmup_steps: int, warmup_multiplier: float) -> Curve:
    peak = _checks.real("warmup_to_value", warmup_to_value)
    multiplier = _checks.real("warmup_multiplier", warmup_multiplier)
    steps = _checks.count("num_warmup_steps", num_warmup_steps, most=sys.maxsize)
    return InverseWarmupCurve(steps, peak, multiplier)


def _annealing(num_warmup_steps: int, num_training_steps: int) -> int:
    """Return M - L, the steps that are left after the warmup."""
    return (
        _checks.count(
            "num_training_steps",
            num_training_steps,
            least=num_warmup_steps,
            most=sys.maxsize,
            remedy="it counts the warmup too; for no annealing use constant_with_warmup",
        )
        - num_warmup_steps
    )


def _cosine(start: float, stop: float, steps: int) -> Curve:
    stop = _checks.real("anneal_to_value", stop)
    return CosineCurve(start, stop, steps, wave="quarter") if steps else _at_once(start, stop)


def _polynomial(start: float, stop: float, steps: int, power: float) -> Curve:
    stop, power = _checks.real("anneal_to_value", stop), _checks.real("polynomial_exponent", power, above=0.0)
    return PolynomialCurve(start, stop, steps, power) if steps else _at_once(start, stop)


def _at_once(start: float, stop: float) -> Curve:
    """Return the annealing that takes no time: t = L still belongs to the warmup, the next step to the end."""
    return StepCurve((1,), (start, stop))


def cosine_annealing_with_warmup(
    optimizer: Optimizer,
    warmup_to_value: float,
    anneal_to_value: float,
    num_warmup_steps: int,
    num_training_steps: int,
    schedule_target: str = "lr",
) -> Schedule:
    r"""Warms up to W, then follows a quarter of a cosine to A.

    .. math::

        \lambda(t) = \begin{cases}
        W\,t / L & t \le L \\
        A + (W - A) \cos\left(\frac{\pi}{2}\,p\right) & t > L
        \end{cases}, \quad
        p = \min\left(1, \frac{t - L}{M - L}\right)

    Args:
        optimizer: Whose hyperparameter.
        warmup_to_value: W, the multiple of the base that the warmup ends at.
        anneal_to_value: A, the multiple at the end.
        num_warmup_steps: L; with 0 it starts at W.
        num_training_steps: M, the warmup included; past it A is held.
        schedule_target: The hyperparameter, as ``"weight_decay"`` or ``"betas[0]"``.

    Raises:
        TypeError: If a number is none, or a count of steps not whole.
        ValueError: If one is out of its range.
        KeyError: If a param group lacks the hyperparameter.

    Example:
        >>> import torch
        >>> optimizer = torch.optim.SGD([torch.zeros(1)], lr=1.0)
        >>> schedule = cosine_annealing_with_warmup(optimizer, 1.0, 0.0, 1, 5)
        >>> [round(schedule.schedule_at(t)[0], 4) for t in range(6)]
        [0.0, 1.0, 0.9239, 0.7071, 0.3827, 0.0]
    """
    lead = _warmup(warmup_to_value, num_warmup_steps)
    steps = _annealing(num_warmup_steps, num_training_steps)
    return Schedule(optimizer, lead.then(_cosine(warmup_to_value, anneal_to_value, steps)), schedule_target)


def polynomial_schedule_with_warmup(
    optimizer: Optimizer,
    warmup_to_value: float,
    anneal_to_value: float,
    num_warmup_steps: int,
    num_training_steps: int,
    polynomial_exponent: float = 2.0,
    schedule_target: str = "lr",
) -> Schedule:
    r"""Warms up to W, then follows a polynomial to A.

    .. math::

        \lambda(t) = \begin{cases}
        W\,t / L & t \le L \\
        A + (W - A)(1 - p)^{P} & t > L
        \end{cases}, \quad
        p = \min\left(1, \frac{t - L}{M - L}\right)

    Args:
        optimizer: Whose hyperparameter.
        warmup_to_value: W, the multiple of the base that the warmup ends at.
        anneal_to_value: A, the multiple at the end.
        num_warmup_steps: L; with 0 it starts at W.
        num_training_steps: M, the warmup included; past it A is held.
        polynomial_exponent: P, above 0.
        schedule_target: The hyperparameter, as ``"weight_decay"`` or ``"betas[0]"``.

    Raises:
        TypeError: If a number is none, or a count of steps not whole.
        ValueError: If one is out of its range.
        KeyError: If a param group lacks the hyperparameter.

    Example:
        >>> import torch
        >>> optimizer = torch.optim.SGD([torch.zeros(1)], lr=1.0)
        >>> schedule = polynomial_schedule_with_warmup(optimizer, 1.0, 0.0, 1, 5)
        >>> [round(schedule.schedule_at(t)[0], 4) for t in range(6)]
        [0.0, 1.0, 0.5625, 0.25, 0.0625, 0.0]
    """
    lead = _warmup(warmup_to_value, num_warmup_steps)
    steps = _annealing(num_warmup_steps, num_training_steps)
    return Schedule(
        optimizer,
        lead.then(_polynomial(warmup_to_value, anneal_to_value, steps, polynomial_exponent)),
        schedule_target,
    )


def linear_schedule_with_warmup(
    optimizer: Optimizer,
    warmup_to_value: float,
    anneal_to_value: float,
    num_warmup_steps: int,
    num_training_steps: int,
    schedule_target: str = "lr",
) -> Schedule:
    r"""Warms up to W, then goes straight to A.

    .. math::

        \lambda(t) = \begin{cases}
        W\,t / L & t \le L \\
        A + (W - A)(1 - p) & t > L
        \end{cases}, \quad
        p = \min\left(1, \frac{t - L}{M - L}\right)

    Args:
        optimizer: Whose hyperparameter.
        warmup_to_value: W, the multiple of the base that the warmup ends at.
        anneal_to_value: A, the multiple at the end.
        num_warmup_steps: L; with 0 it starts at W.
        num_training_steps: M, the warmup included; past it A is held.
        schedule_target: The hyperparameter, as ``"weight_decay"`` or ``"betas[0]"``.

    Raises:
        TypeError: If a number is none, or a count of steps not whole.
        ValueError: If one is out of its range.
        KeyError: If a param group lacks the hyperparameter.

    Example:
        >>> import torch
        >>> optimizer = torch.optim.SGD([torch.zeros(1)], lr=1.0)
        >>> schedule = linear_schedule_with_warmup(optimizer, 1.0, 0.0, 1, 5)
        >>> [round(schedule.schedule_at(t)[0], 4) for t in range(6)]
        [0.0, 1.0, 0.75, 0.5, 0.25, 0.0]
    """
    lead = _warmup(warmup_to_value, num_warmup_steps)
    steps = _annealing(num_warmup_steps, num_training_steps)
    return Schedule(
        optimizer, lead.then(_polynomial(warmup_to_value, anneal_to_value, steps, 1.0)), schedule_target
    )


def quadratic_schedule_with_warmup(
    optimizer: Optimizer,
    warmup_to_value: float,
    anneal_to_value: float,
    num_warmup_steps: int,
    num_training_steps: int,
    schedule_target: str = "lr",
) -> Schedule:
    r"""Warms up to W, then follows a parabola to A: fast at first, then slowly.

    .. math::

        \lambda(t) = \begin{cases}
        W\,t / L & t \le L \\
        A + (W - A)(1 - p)^{2} & t > L
        \end{cases}, \quad
        p = \min\left(1, \frac{t - L}{M - L}\right)

    Args:
        optimizer: Whose hyperparameter.
        warmup_to_value: W, the multiple of the base that the warmup ends at.
        anneal_to_value: A, the multiple at the end.
        num_warmup_steps: L; with 0 it starts at W.
        num_training_steps: M, the warmup included; past it A is held.
        schedule_target: The hyperparameter, as ``"weight_decay"`` or ``"betas[0]"``.

    Raises:
        TypeError: If a number is none, or a count of steps not whole.
        ValueError: If one is out of its range.
        KeyError: If a param group lacks the hyperparameter.

    Example:
        >>> import torch
        >>> optimizer = torch.optim.SGD([torch.zeros(1)], lr=1.0)
        >>> schedule = quadratic_schedule_with_warmup(optimizer, 1.0, 0.0, 1, 5)
        >>> [round(schedule.schedule_at(t)[0], 4) for t in range(6)]
        [0.0, 1.0, 0.5625, 0.25, 0.0625, 0.0]
    """
    lead = _warmup(warmup_to_value, num_warmup_steps)
    steps = _annealing(num_warmup_steps, num_training_steps)
    return Schedule(
        optimizer, lead.then(_polynomial(warmup_to_value, anneal_to_value, steps, 2.0)), schedule_target
    )


def sqrt_schedule_with_warmup(
    optimizer: Optimizer,
    warmup_to_value: float,
    anneal_to_value: float,
    num_warmup_steps: int,
    num_training_steps: int,
    schedule_target: str = "lr",
) -> Schedule:
    r"""Warms up to W, then follows a square root to A: slowly at first, then fast.

    .. math::

        \lambda(t) = \begin{cases}
        W\,t / L & t \le L \\
        A + (W - A)(1 - p)^{1/2} & t > L
        \end{cases}, \quad
        p = \min\left(1, \frac{t - L}{M - L}\right)

    Args:
        optimizer: Whose hyperparameter.
        warmup_to_value: W, the multiple of the base that the warmup ends at.
        anneal_to_value: A, the multiple at the end.
        num_warmup_steps: L; with 0 it starts at W.
        num_training_steps: M, the warmup included; past it A is held.
        schedule_target: The hyperparameter, as ``"weight_decay"`` or ``"betas[0]"``.

    Raises:
        TypeError: If a number is none, or a count of steps not whole.
        ValueError: If one is out of its range.
        KeyError: If a param group lacks the hyperparameter.

    Example:
        >>> import torch
        >>> optimizer = torch.optim.SGD([torch.zeros(1)], lr=1.0)
        >>> schedule = sqrt_schedule_with_warmup(optimizer, 1.0, 0.0, 1, 5)
        >>> [round(schedule.schedule_at(t)[0], 4) for t in range(6)]
        [0.0, 1.0, 0.866, 0.7071, 0.5, 0.0]
    """
    lead = _warmup(warmup_to_value, num_warmup_steps)
    steps = _annealing(num_warmup_steps, num_training_steps)
    return Schedule(
        optimizer, lead.then(_polynomial(warmup_to_value, anneal_to_value, steps, 0.5)), schedule_target
    )


def constant_with_warmup(
    optimizer: Optimizer,
    warmup_to_value: float,
    num_warmup_steps: int,
    schedule_target: str = "lr",
) -> Schedule:
    r"""Warms up to W and stays there.

    .. math::

        \lambda(t) = \begin{cases}
        W\,t / L & t \le L \\
        W & t > L
        \end{cases}

    Args:
        optimizer: Whose hyperparameter.
        warmup_to_value: W, the multiple of the base that the warmup ends at.
        num_warmup_steps: L; with 0 it starts at W.
        schedule_target: The hyperparameter, as ``"weight_decay"`` or ``"betas[0]"``.

    Raises:
        TypeError: If a number is none, or a count of steps not whole.
        ValueError: If one is out of its range.
        KeyError: If a param group lacks the hyperparameter.

    Example:
        >>> import torch
        >>> optimizer = torch.optim.SGD([torch.zeros(1)], lr=1.0)
        >>> schedule = constant_with_warmup(optimizer, 1.0, 4)
        >>> [round(schedule.schedule_at(t)[0], 4) for t in range(6)]
        [0.0, 0.25, 0.5, 0.75, 1.0, 1.0]
    """
    return Schedule(optimizer, _warmup(warmup_to_value, num_warmup_steps), schedule_target)


def cosine_annealing_with_inverse_warmup(
    optimizer: Optimizer,
    warmup_to_value: float,
    anneal_to_value: float,
    num_warmup_steps: int,
    num_training_steps: int,
    warmup_multiplier: float = 20.0,
    schedule_target: str = "lr",
) -> Schedule:
    r"""Comes down to W from R times as much, then follows a quarter of a cosine to A.

    .. math::

        \lambda(t) = \begin{cases}
        W\,(R - (R - 1)\,t / L) & t \le L \\
        A + (W - A) \cos\left(\frac{\pi}{2}\,p\right) & t > L
        \end{cases}, \quad
        p = \min\left(1, \frac{t - L}{M - L}\right)

    Args:
        optimizer: Whose hyperparameter.
        warmup_to_value: W, the multiple of the base that the warmup ends at.
        anneal_to_value: A, the multiple at the end.
        num_warmup_steps: L; with 0 it starts at W.
        num_training_steps: M, the warmup included; past it A is held.
        warmup_multiplier: R; it starts at R times W.
        schedule_target: The hyperparameter, as ``"weight_decay"`` or ``"betas[0]"``.

    Raises:
        TypeError: If a number is none, or a count of steps not whole.
        ValueError: If one is out of its range.
        KeyError: If a param group lacks the hyperparameter.

    Example:
        >>> import torch
        >>> optimizer = torch.optim.SGD([torch.zeros(1)], lr=1.0)
        >>> schedule = cosine_annealing_with_inverse_warmup(optimizer, 1.0, 0.0, 1, 5, 2.0)
        >>> [round(schedule.schedule_at(t)[0], 4) for t in range(6)]
        [2.0, 1.0, 0.9239, 0.7071, 0.3827, 0.0]
    """
    lead = _inverse_warmup(warmup_to_value, num_warmup_steps, warmup_multiplier)
    steps = _annealing(num_warmup_steps, num_training_steps)
    return Schedule(optimizer, lead.then(_cosine(warmup_to_value, anneal_to_value, steps)), schedule_target)


def polynomial_schedule_with_inverse_warmup(
    optimizer: Optimizer,
    warmup_to_value: float,
    anneal_to_value: float,
    num_warmup_steps: int,
    num_training_steps: int,
    polynomial_exponent: float = 2.0,
    warmup_multiplier: float = 20.0,
    schedule_target: str = "lr",
) -> Schedule:
    r"""Comes down to W from R times as much, then follows a polynomial to A.

    .. math::

        \lambda(t) = \begin{cases}
        W\,(R - (R - 1)\,t / L) & t \le L \\
        A + (W - A)(1 - p)^{P} & t > L
        \end{cases}, \quad
        p = \min\left(1, \frac{t - L}{M - L}\right)

    Args:
        optimizer: Whose hyperparameter.
        warmup_to_value: W, the multiple of the base that the warmup ends at.
        anneal_to_value: A, the multiple at the end.
        num_warmup_steps: L; with 0 it starts at W.
        num_training_steps: M, the warmup included; past it A is held.
        polynomial_exponent: P, above 0.
        warmup_multiplier: R; it starts at R times W.
        schedule_target: The hyperparameter, as ``"weight_decay"`` or ``"betas[0]"``.

    Raises:
        TypeError: If a number is none, or a count of steps not whole.
        ValueError: If one is out of its range.
        KeyError: If a param group lacks the hyperparameter.

    Example:
        >>> import torch
        >>> optimizer = torch.optim.SGD([torch.zeros(1)], lr=1.0)
        >>> schedule = polynomial_schedule_with_inverse_warmup(optimizer, 1.0, 0.0, 1, 5, 2.0, 2.0)
        >>> [round(schedule.schedule_at(t)[0], 4) for t in range(6)]
        [2.0, 1.0, 0.5625, 0.25, 0.0625, 0.0]
    """
    lead = _inverse_warmup(warmup_to_value, num_warmup_steps, warmup_multiplier)
    steps = _annealing(num_warmup_steps, num_training_steps)
    return Schedule(
        optimizer,
        lead.then(_polynomial(warmup_to_value, anneal_to_value, steps, polynomial_exponent)),
        schedule_target,
    )


def linear_schedule_with_inverse_warmup(
    optimizer: Optimizer,
    warmup_to_value: float,
    anneal_to_value: float,
    num_warmup_steps: int,
    num_training_steps: int,
    warmup_multiplier: float = 20.0,
    schedule_target: str = "lr",
) -> Schedule:
    r"""Comes down to W from R times as much, then goes straight to A.

    .. math::

        \lambda(t) = \begin{cases}
        W\,(R - (R - 1)\,t / L) & t \le L \\
        A + (W - A)(1 - p) & t > L
        \end{cases}, \quad
        p = \min\left(1, \frac{t - L}{M - L}\right)

    Args:
        optimizer: Whose hyperparameter.
        warmup_to_value: W, the multiple of the base that the warmup ends at.
        anneal_to_value: A, the multiple at the end.
        num_warmup_steps: L; with 0 it starts at W.
        num_training_steps: M, the warmup included; past it A is held.
        warmup_multiplier: R; it starts at R times W.
        schedule_target: The hyperparameter, as ``"weight_decay"`` or ``"betas[0]"``.

    Raises:
        TypeError: If a number is none, or a count of steps not whole.
        ValueError: If one is out of its range.
        KeyError: If a param group lacks the hyperparameter.

    Example:
        >>> import torch
        >>> optimizer = torch.optim.SGD([torch.zeros(1)], lr=1.0)
        >>> schedule = linear_schedule_with_inverse_warmup(optimizer, 1.0, 0.0, 1, 5, 2.0)
        >>> [round(schedule.schedule_at(t)[0], 4) for t in range(6)]
        [2.0, 1.0, 0.75, 0.5, 0.25, 0.0]
    """
    lead = _inverse_warmup(warmup_to_value, num_warmup_steps, warmup_multiplier)
    steps = _annealing(num_warmup_steps, num_training_steps)
    return Schedule(
        optimizer, lead.then(_polynomial(warmup_to_value, anneal_to_value, steps, 1.0)), schedule_target
    )


def quadratic_schedule_with_inverse_warmup(
    optimizer: Optimizer,
    warmup_to_value: float,
    anneal_to_value: float,
    num_warmup_steps: int,
    num_training_steps: int,
    warmup_multiplier: float = 20.0,
    schedule_target: str = "lr",
) -> Schedule:
    r"""Comes down to W from R times as much, then follows a parabola to A: fast at first, then slowly.

    .. math::

        \lambda(t) = \begin{cases}
        W\,(R - (R - 1)\,t / L) & t \le L \\
        A + (W - A)(1 - p)^{2} & t > L
        \end{cases}, \quad
        p = \min\left(1, \frac{t - L}{M - L}\right)

    Args:
        optimizer: Whose hyperparameter.
        warmup_to_value: W, the multiple of the base that the warmup ends at.
        anneal_to_value: A, the multiple at the end.
        num_warmup_steps: L; with 0 it starts at W.
        num_training_steps: M, the warmup included; past it A is held.
        warmup_multiplier: R; it starts at R times W.
        schedule_target: The hyperparameter, as ``"weight_decay"`` or ``"betas[0]"``.

    Raises:
        TypeError: If a number is none, or a count of steps not whole.
        ValueError: If one is out of its range.
        KeyError: If a param group lacks the hyperparameter.

    Example:
        >>> import torch
        >>> optimizer = torch.optim.SGD([torch.zeros(1)], lr=1.0)
        >>> schedule = quadratic_schedule_with_inverse_warmup(optimizer, 1.0, 0.0, 1, 5, 2.0)
        >>> [round(schedule.schedule_at(t)[0], 4) for t in range(6)]
        [2.0, 1.0, 0.5625, 0.25, 0.0625, 0.0]
    """
    lead = _inverse_warmup(warmup_to_value, num_warmup_steps, warmup_multiplier)
    steps = _annealing(num_warmup_steps, num_training_steps)
    return Schedule(
        optimizer, lead.then(_polynomial(warmup_to_value, anneal_to_value, steps, 2.0)), schedule_target
    )


def sqrt_schedule_with_inverse_warmup(
    optimizer: Optimizer,
    warmup_to_value: float,
    anneal_to_value: float,
    num_warmup_steps: int,
    num_training_steps: int,
    warmup_multiplier: float = 20.0,
    schedule_target: str = "lr",
) -> Schedule:
    r"""Comes down to W from R times as much, then follows a square root to A: slowly at first, then fast.

    .. math::

        \lambda(t) = \begin{cases}
        W\,(R - (R - 1)\,t / L) & t \le L \\
        A + (W - A)(1 - p)^{1/2} & t > L
        \end{cases}, \quad
        p = \min\left(1, \frac{t - L}{M - L}\right)

    Args:
        optimizer: Whose hyperparameter.
        warmup_to_value: W, the multiple of the base that the warmup ends at.
        anneal_to_value: A, the multiple at the end.
        num_warmup_steps: L; with 0 it starts at W.
        num_training_steps: M, the warmup included; past it A is held.
        warmup_multiplier: R; it starts at R times W.
        schedule_target: The hyperparameter, as ``"weight_decay"`` or ``"betas[0]"``.

    Raises:
        TypeError: If a number is none, or a count of steps not whole.
        ValueError: If one is out of its range.
        KeyError: If a param group lacks the hyperparameter.

    Example:
        >>> import torch
        >>> optimizer = torch.optim.SGD([torch.zeros(1)], lr=1.0)
        >>> schedule = sqrt_schedule_with_inverse_warmup(optimizer, 1.0, 0.0, 1, 5, 2.0)
        >>> [round(schedule.schedule_at(t)[0], 4) for t in range(6)]
        [2.0, 1.0, 0.866, 0.7071, 0.5, 0.0]
    """
    lead = _inverse_warmup(warmup_to_value, num_warmup_steps, warmup_multiplier)
    steps = _annealing(num_warmup_steps, num_training_steps)
    return Schedule(
        optimizer, lead.then(_polynomial(warmup_to_value, anneal_to_value, steps, 0.5)), schedule_target
    )


def constant_with_inverse_warmup(
    optimizer: Optimizer,
    warmup_to_value: float,
    num_warmup_steps: int,
    warmup_multiplier: float = 20.0,
    schedule_target: str = "lr",
) -> Schedule:
    r"""Comes down to W from R times as much and stays there.

    .. math::

        \lambda(t) = \begin{cases}
        W\,(R - (R - 1)\,t / L) & t \le L \\
        W & t > L
        \end{cases}

    Args:
        optimizer: Whose hyperparameter.
        warmup_to_value: W, the multiple of the base that the warmup ends at.
        num_warmup_steps: L; with 0 it starts at W.
        warmup_multiplier: R; it starts at R times W.
        schedule_target: The hyperparameter, as ``"weight_decay"`` or ``"betas[0]"``.

    Raises:
        TypeError: If a number is none, or a count of steps not whole.
        ValueError: If one is out of its range.
        KeyError: If a param group lacks the hyperparameter.

    Example:
        >>> import torch
        >>> optimizer = torch.optim.SGD([torch.zeros(1)], lr=1.0)
        >>> schedule = constant_with_inverse_warmup(optimizer, 1.0, 4, 2.0)
        >>> [round(schedule.schedule_at(t)[0], 4) for t in range(6)]
        [2.0, 1.75, 1.5, 1.25, 1.0, 1.0]
    """
    return Schedule(
        optimizer, _inverse_warmup(warmup_to_value, num_warmup_steps, warmup_multiplier), schedule_target
    )


def constant_schedule(
    optimizer: Optimizer,
    value: float,
    schedule_target: str = "lr",
) -> Schedule:
    r"""Holds a multiple of the base.

    .. math:: \lambda(t) = \mathrm{value}

    Args:
        optimizer: Whose hyperparameter.
        value: The multiple.
        schedule_target: The hyperparameter, as ``"weight_decay"`` or ``"betas[0]"``.

    Raises:
        TypeError: If a number is none, or a count of steps not whole.
        ValueError: If one is out of its range.
        KeyError: If a param group lacks the hyperparameter.

    Example:
        >>> import torch
        >>> optimizer = torch.optim.SGD([torch.zeros(1)], lr=1.0)
        >>> schedule = constant_schedule(optimizer, 0.5)
        >>> [round(schedule.schedule_at(t)[0], 4) for t in range(6)]
        [0.5, 0.5, 0.5, 0.5, 0.5, 0.5]
    """
    return Schedule(optimizer, ConstantCurve(_checks.real("value", value)), schedule_target)
