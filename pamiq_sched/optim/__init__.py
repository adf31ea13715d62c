"""Hyperparameter schedules: any hyperparameter of an optimizer, along any curve, from code or from a config.

- ``curves``: pure functions of t; no optimizer, no torch.
- ``address``, ``stand_in``: where a hyperparameter lives, which values it may take, and how a scheduler that only
  knows ``lr`` comes to move it.
- ``schedule``, ``builtin``, ``custom``: a curve tied to a hyperparameter, and the ready-made ones; ``groups`` and
  ``lockstep``: of which param groups, and how they step for little.
- ``factory``, ``plateau``, ``compose``, ``timm``: torch's schedulers and everybody's, on any hyperparameter.
- ``synchronous``: several that step as one.
- ``build``, ``preview``: from a config, and what it would do.

A name is looked up when it is first used: the curves load no torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pamiq_sched._lazy import lookup

if TYPE_CHECKING:
    from pamiq_sched.optim.address import (
        extend_optimizer as extend_optimizer,
        get_param_groups_regrouped_by_key as get_param_groups_regrouped_by_key,
        register_domain as register_domain,
    )
    from pamiq_sched.optim.build import (
        build_optimizer as build_optimizer,
        build_scheduler as build_scheduler,
        register_scheduler as register_scheduler,
    )
    from pamiq_sched.optim.builtin import (
        constant_schedule as constant_schedule,
        constant_with_inverse_warmup as constant_with_inverse_warmup,
        constant_with_warmup as constant_with_warmup,
        cosine_annealing_with_inverse_warmup as cosine_annealing_with_inverse_warmup,
        cosine_annealing_with_warmup as cosine_annealing_with_warmup,
        linear_schedule_with_inverse_warmup as linear_schedule_with_inverse_warmup,
        linear_schedule_with_warmup as linear_schedule_with_warmup,
        polynomial_schedule_with_inverse_warmup as polynomial_schedule_with_inverse_warmup,
        polynomial_schedule_with_warmup as polynomial_schedule_with_warmup,
        quadratic_schedule_with_inverse_warmup as quadratic_schedule_with_inverse_warmup,
        quadratic_schedule_with_warmup as quadratic_schedule_with_warmup,
        sqrt_schedule_with_inverse_warmup as sqrt_schedule_with_inverse_warmup,
        sqrt_schedule_with_warmup as sqrt_schedule_with_warmup,
    )
    from pamiq_sched.optim.compose import (
        ProductScheduler as ProductScheduler,
        SequenceScheduler as SequenceScheduler,
    )
    from pamiq_sched.optim.curves import (
        ConstantCurve as ConstantCurve,
        CosineCurve as CosineCurve,
        Curve as Curve,
        CyclicCurve as CyclicCurve,
        ExponentialCurve as ExponentialCurve,
        FunctionCurve as FunctionCurve,
        InverseSqrtCurve as InverseSqrtCurve,
        InverseWarmupCurve as InverseWarmupCurve,
        LinearCurve as LinearCurve,
        PiecewiseLinearCurve as PiecewiseLinearCurve,
        PolynomialCurve as PolynomialCurve,
        ProductCurve as ProductCurve,
        RepeatCurve as RepeatCurve,
        SequenceCurve as SequenceCurve,
        StepCurve as StepCurve,
        StepDecayCurve as StepDecayCurve,
        StretchedCurve as StretchedCurve,
        WarmupCurve as WarmupCurve,
        WarmupStableDecayCurve as WarmupStableDecayCurve,
    )
    from pamiq_sched.optim.custom import (
        CosineAnnealingWarmupReduceRestarts as CosineAnnealingWarmupReduceRestarts,
        PolynomialLRDecay as PolynomialLRDecay,
    )
    from pamiq_sched.optim.factory import arbitrary_schedule_factory as arbitrary_schedule_factory
    from pamiq_sched.optim.preview import Preview as Preview, preview_schedule as preview_schedule
    from pamiq_sched.optim.schedule import Schedule as Schedule
    from pamiq_sched.optim.synchronous import Snapshot as Snapshot, SynchronousSchedule as SynchronousSchedule

_NAMES = {
    "address": ["extend_optimizer", "get_param_groups_regrouped_by_key", "register_domain"],
    "build": ["build_optimizer", "build_scheduler", "register_scheduler"],
    "builtin": [
        "constant_schedule",
        "constant_with_inverse_warmup",
        "constant_with_warmup",
        "cosine_annealing_with_inverse_warmup",
        "cosine_annealing_with_warmup",
        "linear_schedule_with_inverse_warmup",
        "linear_schedule_with_warmup",
        "polynomial_schedule_with_inverse_warmup",
        "polynomial_schedule_with_warmup",
        "quadratic_schedule_with_inverse_warmup",
        "quadratic_schedule_with_warmup",
        "sqrt_schedule_with_inverse_warmup",
        "sqrt_schedule_with_warmup",
    ],
    "compose": ["ProductScheduler", "SequenceScheduler"],
    "curves": [
        "ConstantCurve",
        "CosineCurve",
        "Curve",
        "CyclicCurve",
        "ExponentialCurve",
        "FunctionCurve",
        "InverseSqrtCurve",
        "InverseWarmupCurve",
        "LinearCurve",
        "PiecewiseLinearCurve",
        "PolynomialCurve",
        "ProductCurve",
        "RepeatCurve",
        "SequenceCurve",
        "StepCurve",
        "StepDecayCurve",
        "StretchedCurve",
        "WarmupCurve",
        "WarmupStableDecayCurve",
    ],
    "custom": ["CosineAnnealingWarmupReduceRestarts", "PolynomialLRDecay"],
    "factory": ["arbitrary_schedule_factory"],
    "preview": ["Preview", "preview_schedule"],
    "schedule": ["Schedule"],
    "synchronous": ["Snapshot", "SynchronousSchedule"],
}
_MODULE_OF = {name: module for module, names in _NAMES.items() for name in names}

__all__ = list(_MODULE_OF)

if not TYPE_CHECKING:  # which would take any misspelt name for one
    __getattr__ = lookup(__name__, _MODULE_OF, (*_NAMES, "plateau", "stand_in", "timm"))


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULE_OF})
