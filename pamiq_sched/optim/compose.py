"""Schedulers that take others along which torch's own cannot: plateaus, schedules of ours, timm's.

Each member moves a value of its own that starts from the base; what they make together is written. What a member
would move beside it, as OneCycleLR moves the momentum, stays where it is. Made on a stand-in, so by
:func:`~pamiq_sched.optim.arbitrary_schedule_factory` or from a config. Belongs to the thread that steps it.
"""

from __future__ import annotations

from abc import abstractmethod
from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from math import prod
from typing import Any

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from typing_extensions import override

from pamiq_sched import _checks
from pamiq_sched.optim.address import LR
from pamiq_sched.optim.factory import arbitrary_schedule_factory
from pamiq_sched.optim.plateau import takes_metric
from pamiq_sched.optim.stand_in import StandIn

Factory = Callable[[Optimizer], LRScheduler]


class Composite(LRScheduler):
    """Members on values of their own, and how their values become one.

    Args:
        optimizer: A stand-in.
        factories: Each makes a member on the optimizer that it is given.
    """

    def __init__(self, optimizer: Optimizer, factories: Iterable[Factory]) -> None:
        if not isinstance(optimizer, StandIn):
            raise TypeError(
                f"a {type(self).__name__} is made on what arbitrary_schedule_factory() hands to its "
                f"schedule_factory, got an object of the class {type(optimizer).__name__}"
            )
        self.optimizer: StandIn = optimizer
        self.last_epoch = 0
        self._step_count = 1
        self.base_lrs = [LR.read(group) for group in optimizer.param_groups]
        # Each sees the bases: nothing is written before all are made.
        self.members = [_held(optimizer, factory) for factory in factories]
        if not self.members:
            raise ValueError(f"a {type(self).__name__} needs at least one scheduler, got none")
        self._write()

    @property
    def takes_metric(self) -> bool:
        """Whether one of the members follows a metric."""
        return any(takes_metric(member) for member in self.members)

    @override
    def step(self, metrics: Any = None) -> None:
        """Move on; a metric is handed to those members that follow one."""
        self.last_epoch += 1
        self._step_count += 1
        self._step_members(metrics)
        self._write()

    @abstractmethod
    def _step_members(self, metrics: Any) -> None:
        """Move the members on to ``last_epoch``."""

    @abstractmethod
    def combined(self) -> list[float]:
        """Return the values that the members make together, by param group."""

    def _values_of(self, member: LRScheduler) -> list[float]:
        return [group["lr"] for group in member.optimizer.param_groups]

    def _write(self) -> None:
        for group, value in zip(self.optimizer.param_groups, self.combined(), strict=True):
            group["lr"] = value
        self._last_lr = self.optimizer.values()

    @override
    def state_dict(self) -> dict[str, Any]:
        """All but the members, whose states are kept beside it."""
        kept = self.__dict__.items()
        return {key: value for key, value in kept if key not in {"optimizer", "members"}}


class ProductScheduler(Composite):
    r"""Multiplies schedulers: each is a factor on the base.

    .. math:: v(t) = b \prod_i \frac{v_i(t)}{b}

    where :math:`v_i` is what member i would make of the base b by itself; 0 for a base of 0. A plateau among them
    is a factor that falls whenever its metric stalls.

    Example:
        >>> import torch
        >>> from torch.optim.lr_scheduler import ReduceLROnPlateau, StepLR
        >>> optimizer = torch.optim.SGD([torch.zeros(1)], lr=1.0)
        >>> halve = lambda o: StepLR(o, 1, gamma=0.5)
        >>> stall = lambda o: ReduceLROnPlateau(o, patience=0, factor=0.1)
        >>> schedule = arbitrary_schedule_factory(optimizer, lambda o: ProductScheduler(o, [halve, stall]))
        >>> for loss in [3.0, 3.0]:
        ...     schedule.step(loss)
        >>> round(optimizer.param_groups[0]["lr"], 4)
        0.025
    """

    @override
    def _step_members(self, metrics: Any) -> None:
        for member in self.members:
            _step(member, metrics)

    @override
    def combined(self) -> list[float]:
        columns = zip(self.base_lrs, *(self._values_of(member) for member in self.members), strict=True)
        return [base * prod(value / base for value in values) if base else 0.0 for base, *values in columns]


class SequenceScheduler(Composite):
    """One scheduler after the other, each from its own t = 0 on.

    Args:
        optimizer: A stand-in.
        factories: Each makes a member on the optimizer that it is given.
        milestones: At which step the second, third, ... takes over.

    Raises:
        ValueError: If there is not one milestone fewer than schedulers, or they do not grow.

    Example:
        >>> import torch
        >>> from torch.optim.lr_scheduler import ExponentialLR, LinearLR
        >>> optimizer = torch.optim.SGD([torch.zeros(1)], lr=1.0)
        >>> rise = lambda o: LinearLR(o, 0.5, total_iters=2)
        >>> fall = lambda o: ExponentialLR(o, 0.5)
        >>> schedule = arbitrary_schedule_factory(optimizer, lambda o: SequenceScheduler(o, [rise, fall], [2]))
        >>> for expected in [0.5, 0.75, 1.0, 0.5]:
        ...     assert optimizer.param_groups[0]["lr"] == expected
        ...     schedule.step()
    """

    def __init__(self, optimizer: Optimizer, factories: Iterable[Factory], milestones: Sequence[int]) -> None:
        factories = list(factories)
        self.milestones = checked_milestones(milestones, len(factories))
        super().__init__(optimizer, factories)

    @override
    def _step_members(self, metrics: Any) -> None:
        # One that takes over at this step is at its own t = 0, where it was made.
        if self.last_epoch not in self.milestones:
            _step(self._active(), metrics)

    @override
    def combined(self) -> list[float]:
        return self._values_of(self._active())

    def _active(self) -> LRScheduler:
        return self.members[bisect_right(self.milestones, self.last_epoch)]


def checked_milestones(milestones: object, schedulers: int) -> list[int]:
    """Return the steps at which the second, third, ... of so many schedulers takes over.

    Raises:
        TypeError: If they are no list of whole numbers.
        ValueError: If there is not one fewer than schedulers, or they do not grow.
    """
    if not isinstance(milestones, list | tuple):
        raise TypeError(f"the milestones of a sequence are a list of steps, got {milestones!r}")
    steps = [_checks.count("a milestone", milestone, least=1) for milestone in milestones]
    if len(steps) != schedulers - 1 or steps != sorted(set(steps)):
        raise ValueError(
            f"a sequence needs growing milestones, one fewer than schedulers, got {steps} for {schedulers}"
        )
    return steps


def _held(optimizer: StandIn, factory: Factory) -> LRScheduler:
    """Make a member on a value of its own."""
    return arbitrary_schedule_factory(StandIn(optimizer, held=True), factory)


def _step(member: LRScheduler, metrics: Any) -> None:
    if metrics is not None and takes_metric(member):
        member.step(metrics)
    else:
        member.step()
