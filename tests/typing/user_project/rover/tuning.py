"""Schedules of every kind, on an optimizer of their own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn
from torch.optim import SGD, Adam, Optimizer
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau, StepLR
from typing_extensions import override

from pamiq_sched import (
    ConstantCurve,
    CosineAnnealingWarmupReduceRestarts,
    Curve,
    FunctionCurve,
    LinearCurve,
    PiecewiseLinearCurve,
    Preview,
    ProductCurve,
    ProductScheduler,
    Schedule,
    SequenceScheduler,
    StepCurve,
    SynchronousSchedule,
    WarmupCurve,
    arbitrary_schedule_factory,
    build_optimizer,
    build_scheduler,
    constant_with_warmup,
    cosine_annealing_with_warmup,
    extend_optimizer,
    get_param_groups_regrouped_by_key,
    preview_schedule,
    register_domain,
    register_scheduler,
)


@dataclass(frozen=True)
class Square(Curve):
    """Grows as the square of t."""

    steps: float

    @property
    @override
    def end(self) -> float:
        return self.steps

    @override
    def _function(self) -> Callable[[float], float]:
        return lambda t: t * t


@register_scheduler("Halved")
def halved(optimizer: Optimizer, every: int) -> StepLR:
    return StepLR(optimizer, every, gamma=0.5)


def halving(optimizer: Optimizer) -> LRScheduler:
    return halved(optimizer, 1)


def tenth(optimizer: Optimizer, every: int) -> LRScheduler:
    return halved(optimizer, 10 * every)


def curves() -> list[Curve]:
    up_and_down = PiecewiseLinearCurve([(0, 0.0), (10, 1.0), (30, 0.5)])
    steps = StepCurve([10, 20], [1.0, 0.5, 0.25])
    product = ProductCurve([WarmupCurve(5), 0.5 * ConstantCurve()])
    return [up_and_down.then(steps), product, FunctionCurve(lambda t: 1 / (1 + t)), Square(3, past_end="repeat")]


def clipping(optimizer: Optimizer) -> Schedule:
    """A threshold of one's own as a hyperparameter."""
    register_domain("clip", above=0.0)
    extend_optimizer(optimizer, "clip", default_value=10.0)
    return Schedule(optimizer, LinearCurve(1.0, 0.1, 100), "clip", groups=[0])


def clip(optimizer: Optimizer) -> None:
    for threshold, parameters, _ in get_param_groups_regrouped_by_key(optimizer, "clip"):
        nn.utils.clip_grad_norm_(parameters, threshold)


def all_of_them() -> dict[str, list[float]]:
    optimizer = Adam([torch.zeros(1, requires_grad=True)], lr=0.1, weight_decay=0.1)
    step_lr: StepLR = arbitrary_schedule_factory(optimizer, lambda o: StepLR(o, 10), schedule_target="betas[0]")
    plateau = arbitrary_schedule_factory(optimizer, ReduceLROnPlateau, 10.0, "clip")
    plateau.step(0.5)  # pyright: ignore[reportUnknownMemberType] - torch leaves the type of epoch open
    together = SynchronousSchedule(
        [
            cosine_annealing_with_warmup(optimizer, 1.0, 0.0, 10, 100),
            constant_with_warmup(optimizer, 1.0, 5, "eps"),
        ]
    )
    together.step()
    sequence = arbitrary_schedule_factory(
        optimizer,
        lambda o: SequenceScheduler(o, [lambda o: StepLR(o, 10), lambda o: ProductScheduler(o, [halving])], [10]),
        schedule_target="betas[1]",
    )
    restarts = CosineAnnealingWarmupReduceRestarts(optimizer, 10, T_up=2)
    for schedule in (step_lr, sequence, restarts):
        schedule.step()
    return together.values


def from_configs(folder: Path) -> Preview:
    register_scheduler("Tenth", tenth)
    optimizer: Optimizer = build_optimizer(nn.Linear(1, 1), {"name": "AdamW", "lr": 0.1})
    schedule: LRScheduler = build_scheduler(optimizer, [{"name": "Halved", "every": 5}, {"name": "ConstantCurve"}])
    schedule.step()
    preview = preview_schedule(
        {"name": "StepLR", "step_size": 10}, steps=100, optimizer=SGD([torch.zeros(1)], 0.1)
    )
    preview.save_png(folder / "preview.png")
    return preview
