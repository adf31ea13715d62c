"""Several schedules of one optimizer that step as one.

Belongs to the thread that steps it. What others may read is either a count, which is raised when all values of a
step have been written and from which they follow, or one tuple that is replaced and never changed. So
:meth:`SynchronousSchedule.snapshot` may be called from any thread and sees no schedule a step ahead of another.
"""

from __future__ import annotations

import copy
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau
from typing_extensions import override

from pamiq_sched import _checks
from pamiq_sched.optim.address import LR, Address
from pamiq_sched.optim.lockstep import Lockstep
from pamiq_sched.optim.plateau import takes_metric
from pamiq_sched.optim.schedule import OnChangedCurve, Schedule
from pamiq_sched.optim.stand_in import name_at, underlying

_last_values = attrgetter("_last_lr")  # what every LRScheduler replaces at each step


@dataclass(frozen=True)
class Snapshot:
    """The values of all schedules after one step."""

    last_epoch: int
    """How many steps were made."""
    values: dict[str, list[float]]
    """By name of the schedule, one value for each of its param groups."""


class SynchronousSchedule(LRScheduler):
    """Steps schedules of one optimizer together and tells their values by name.

    Args:
        schedules: Schedules of one optimizer, no two of the same hyperparameter; a SynchronousSchedule among
            them stands for its own.

    Raises:
        TypeError: If something among them is no schedule.
        ValueError: If there is none, or they belong to several optimizers.
        RuntimeError: If two move the same hyperparameter, or go by one name.

    Example:
        >>> import torch
        >>> from pamiq_sched.optim import constant_with_warmup, linear_schedule_with_warmup
        >>> optimizer = torch.optim.AdamW([torch.zeros(1)], lr=0.1, weight_decay=0.5)
        >>> schedule = SynchronousSchedule([
        ...     constant_with_warmup(optimizer, 1.0, 4),
        ...     linear_schedule_with_warmup(optimizer, 1.0, 0.0, 0, 2, schedule_target="weight_decay"),
        ... ])
        >>> schedule.step()
        >>> schedule.get_last_lr(), schedule.get_last_schedule("weight_decay")
        ([0.025], [0.25])
    """

    def __init__(self, schedules: Iterable[LRScheduler]) -> None:
        # Not LRScheduler.__init__: it writes notes into the param groups and wraps optimizer.step.
        members: list[LRScheduler] = []
        for schedule in schedules:
            if not isinstance(getattr(schedule, "optimizer", None), Optimizer):
                raise TypeError(
                    f"a SynchronousSchedule is made of schedules of an optimizer, got {schedule!r} of the class "
                    f"{type(schedule).__name__}"
                )
            members += schedule.schedules.values() if isinstance(schedule, SynchronousSchedule) else [schedule]
        if not members:
            raise ValueError("a SynchronousSchedule needs at least one schedule, got none")
        self.optimizer = underlying(members[0].optimizer)
        for member in members:
            if underlying(member.optimizer) is not self.optimizer:
                raise ValueError(
                    f"the schedules {_name(members[0])!r} and {_name(member)!r} belong to different optimizers; "
                    "make a SynchronousSchedule for each optimizer"
                )
        _refuse_collisions(members)
        self.schedules: dict[str, LRScheduler] = {_name(member): member for member in members}
        """The schedules by name; do not change it."""
        self._step_count = 1  # Accelerate adds to it
        self._members = tuple(members)
        # Where all are curves by steps, they step in lockstep; elsewhere each by itself.
        self._lockstepped = [
            member for member in members if isinstance(member, Schedule) and self._can_join(member)
        ]
        self._lockstep: Lockstep | None = None
        if len(self._lockstepped) == len(members):
            self._lockstep = Lockstep(self._lockstepped)
            for member in self._lockstepped:
                member.join(self._lockstep)
        self._published: tuple[int, list[list[Any]]] = (0, [])
        # Held while the members of a lockstep move one by one, which a snapshot must not see half done. A step of
        # all together does without it.
        self._irregular = threading.Lock()
        self._publish()

    def _can_join(self, schedule: Schedule) -> bool:
        return schedule.by == "steps" and schedule.optimizer is self.optimizer

    @override
    def step(self, *args: Any, **kwargs: Any) -> None:
        """Step all schedules.

        What is given is passed on: a metric to those that follow one if there are any, ``samples`` to those that
        count them, anything else to all.
        """
        lockstep = self._lockstep
        if lockstep is None:
            self._step_each(args, kwargs)
            self._publish()
        elif args or kwargs:
            with self._irregular:
                self._step_each(args, kwargs)
                self._publish()
        else:
            lockstep.step()

    def _step_each(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        samples = {key: kwargs.pop(key) for key in ("samples",) if key in kwargs}
        follows_metric = any(takes_metric(member) for member in self._members)
        member: Any  # whose step() takes what its class takes
        for member in self._members:
            if isinstance(member, ReduceLROnPlateau) and not args and not kwargs:
                continue  # torch's own has to be given a metric
            own = samples if isinstance(member, Schedule) and member.by == "samples" else {}
            if follows_metric and not takes_metric(member):
                member.step(**own)
            else:
                member.step(*args, **kwargs, **own)

    def _publish(self) -> None:
        if self._lockstep is None:
            self._published = self.last_epoch, [_last_values(member) for member in self._members]
        else:
            self._lockstep.publish()

    @property
    def last_epoch(self) -> int:  # type: ignore[override,explicit-override]  # an attribute there
        """How many steps were made."""
        return self._members[0].last_epoch

    @property
    def schedule_names(self) -> list[str]:
        """The names of the schedules: what each moves, or the ``name`` that it was given."""
        return list(self.schedules)

    def get_last_schedule(self, name: str) -> list[float]:
        """Return the last values of a schedule, one for each of its param groups.

        Raises:
            KeyError: If there is no schedule of that name.
        """
        if name not in self.schedules:
            raise KeyError(_checks.unknown("schedule", name, self.schedules))
        return [float(value) for value in self.schedules[name].get_last_lr()]

    @override
    def get_last_lr(self) -> list[Any]:
        """Return the last learning rates; those that the optimizer has if none of the schedules moves them."""
        if "lr" in self.schedules:
            return self.get_last_schedule("lr")
        return [LR.read(group) for group in self.optimizer.param_groups]

    def snapshot(self) -> Snapshot:
        """Return all values as they were after one and the same step; callable from any thread."""
        count, values = self._last_step()
        named = zip(self.schedules, values, strict=True)
        return Snapshot(count, {name: [float(value) for value in last] for name, last in named})

    def _last_step(self) -> tuple[int, list[list[Any]]]:
        if self._lockstep is None:
            return self._published
        with self._irregular:
            count, written = self._lockstep.count, self._lockstep.written
            if written is not None:
                count, values = written
            else:
                # Pure functions of a count that is only raised when all values have been written.
                values = [member.schedule_at(count + member.offset) for member in self._lockstepped]
            return count + self._lockstepped[0].offset, values

    @property
    def values(self) -> dict[str, list[float]]:
        """All current values by name, as :meth:`snapshot` has them."""
        return self.snapshot().values

    @override
    def state_dict(self) -> dict[str, Any]:
        """The states of the schedules by name."""
        return {name: schedule.state_dict() for name, schedule in self.schedules.items()}

    @override
    def load_state_dict(self, state_dict: Mapping[str, Any], *, curve: OnChangedCurve | None = None) -> None:
        """Load all schedules, or none if one refuses.

        Args:
            state_dict: From :meth:`state_dict`.
            curve: What to do with those that were saved with another curve; each decides if it is left out.

        Raises:
            TypeError: If something in the state is of the wrong kind.
            ValueError: If a schedule is missing or unknown, or refuses its state.
        """
        self.verify_state(state_dict, curve=curve)
        policy: dict[str, Any] = {} if curve is None else {"curve": curve}
        with self._irregular:
            for name, schedule in self.schedules.items():
                if hasattr(schedule, "verify_state"):
                    schedule.load_state_dict(state_dict[name], **policy)
                else:
                    schedule.load_state_dict(dict(state_dict[name]))
                    _write_last(schedule)
            self._publish()

    def verify_state(self, state: Mapping[str, Any], *, curve: OnChangedCurve | None = None) -> None:
        """Refuse a state that cannot be loaded; change nothing.

        Raises:
            TypeError: As :meth:`load_state_dict`.
            ValueError: As there.
        """
        _checks.instance("the state of a SynchronousSchedule must be", state, Mapping)
        _checks.state_keys("a SynchronousSchedule", state, set(self.schedules))
        policy: dict[str, Any] = {} if curve is None else {"curve": curve}
        for name, schedule in self.schedules.items():
            if hasattr(schedule, "verify_state"):
                schedule.verify_state(state[name], **policy)
            else:
                _checks.instance(f"the state of {name!r} must be", state[name], Mapping)
                _checks.state_keys(
                    f"the {type(schedule).__name__} of {name!r}", state[name], set(schedule.state_dict())
                )

    def __deepcopy__(self, memo: dict[int, Any]) -> SynchronousSchedule:
        memo[id(self._irregular)] = threading.Lock()
        copied: SynchronousSchedule = object.__new__(type(self))
        memo[id(self)] = copied
        copied.__dict__.update(copy.deepcopy(self.__dict__, memo))
        return copied


def _name(schedule: LRScheduler) -> str:
    if isinstance(schedule, Schedule):
        return schedule.name
    return name_at(schedule.optimizer, LR)


def targets(schedule: LRScheduler) -> tuple[str, set[int]]:
    """What a schedule moves, and in which param groups."""
    if isinstance(schedule, Schedule):
        return name_at(schedule.optimizer, schedule.address), set(schedule.indices)
    return name_at(schedule.optimizer, LR), set(range(len(schedule.optimizer.param_groups)))


def _moves_momentum(schedule: LRScheduler) -> bool:
    """Whether it is a OneCycleLR or CyclicLR of the learning rate that moves the momentum along with it."""
    return bool(getattr(schedule, "cycle_momentum", False)) and targets(schedule)[0] == "lr"


def _refuse_collisions(members: list[LRScheduler]) -> None:
    for index, one in enumerate(members):
        target, groups = targets(one)
        for other in members[index + 1 :]:
            other_target, other_groups = targets(other)
            if target == other_target and groups & other_groups:
                raise RuntimeError(
                    f"two schedules move {target!r} of param groups {sorted(groups & other_groups)}, and only "
                    "the last would have an effect; multiply their curves, or chain the schedulers"
                )
            if _name(one) == _name(other):
                raise RuntimeError(
                    f"two schedules go by the name {_name(one)!r}; give one of them a name=... of its own"
                )
        if _moves_momentum(one):
            for other in members:
                if Address.parse(targets(other)[0]).key in {"betas", "momentum"}:
                    raise RuntimeError(
                        f"the {type(one).__name__} of 'lr' moves the momentum as well, and so does the schedule "
                        f"of {targets(other)[0]!r}; make it with cycle_momentum=False"
                    )


def _write_last(schedule: LRScheduler) -> None:
    """Write the values that a scheduler of torch's own says it wrote last, which its loading does not."""
    for group, value in zip(schedule.optimizer.param_groups, schedule.get_last_lr(), strict=True):
        LR.write(group, float(value))
