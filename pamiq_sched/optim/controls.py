"""What can be seen and moved of optimizers and their schedules while they are in use.

Any thread may look, since it reads what is replaced whole; moving something belongs to the thread that steps them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from pamiq_sched import _checks
from pamiq_sched.metrics.controls import Controls, Hyperparameter, ScheduleState
from pamiq_sched.optim.address import Address, domain_of
from pamiq_sched.optim.schedule import Schedule
from pamiq_sched.optim.stand_in import underlying
from pamiq_sched.optim.synchronous import SynchronousSchedule, targets


def named_schedules(schedules: Mapping[str, Any]) -> dict[str, LRScheduler]:
    """Return schedules one by one: those of a :class:`SynchronousSchedule` by their own names.

    Two of one name are told apart by the name of what they belong to, put before theirs.
    """
    members: list[tuple[str, str, LRScheduler]] = []
    for key, schedule in schedules.items():
        if isinstance(schedule, SynchronousSchedule):
            members += [(key, name, member) for name, member in schedule.schedules.items()]
        elif hasattr(schedule, "get_last_lr"):  # anything may be stepped, and nothing be known of it
            members.append((key, key, schedule))
    names = [name for _, name, _ in members]
    return {
        name if names.count(name) == 1 else f"{key}.{name}" if key != name else key: member
        for key, name, member in members
    }


def controls(optimizers: Mapping[str, Optimizer], schedules: Mapping[str, Any]) -> Controls:
    """Return what there is to be seen and moved; see :func:`named_schedules` for the names. Any thread.

    Hyperparameters that are on another device than the CPU are left out: to read them would wait for it.
    """
    named = named_schedules(schedules)
    return Controls(
        tuple(_hyperparameters(optimizers, named)),
        tuple(_state(name, schedule) for name, schedule in named.items()),
    )


def _state(name: str, schedule: LRScheduler) -> ScheduleState:
    values = [float(value) for value in schedule.get_last_lr()]
    if not isinstance(schedule, Schedule):
        return ScheduleState(name, values, None, None, None)
    t, end = schedule.t, schedule.curve.end
    return ScheduleState(name, values, t, schedule.by, end if end is not None and t < end else None)


def _hyperparameters(
    optimizers: Mapping[str, Optimizer], named: Mapping[str, LRScheduler]
) -> Iterator[Hyperparameter]:
    for optimizer_name, optimizer in optimizers.items():
        moved_by = {
            (address, group): name
            for name, schedule in named.items()
            if underlying(schedule.optimizer) is optimizer
            for address, groups in [targets(schedule)]
            for group in groups
        }
        for index, group in enumerate(optimizer.param_groups):
            for address, value in _numbers(group):
                moving = moved_by.get((address, index))
                yield Hyperparameter(optimizer_name, index, address, value, moving)


def _numbers(group: dict[str, Any]) -> Iterator[tuple[str, float]]:
    for key, value in list(group.items()):
        if key in {"params", "initial_lr"}:
            continue
        elements = [(f"{key}[{i}]", v) for i, v in enumerate(value)] if isinstance(value, tuple | list) else []
        for address, element in elements or [(key, value)]:
            is_number = isinstance(element, float | int) and not isinstance(element, bool)
            if is_number or (isinstance(element, torch.Tensor) and element.numel() == 1 and element.is_cpu):
                yield address, float(element)


def set_hyperparameter(
    optimizers: Mapping[str, Optimizer],
    schedules: Mapping[str, Any],
    name: str,
    value: float,
    *,
    optimizer: str | None = None,
    group: int | None = None,
) -> list[Hyperparameter]:
    """Set a hyperparameter that no schedule moves.

    Args:
        optimizers: By name.
        schedules: By name.
        name: Which one: ``"weight_decay"``, ``"betas[0]"``, a key of your own.
        value: What to set it to.
        optimizer: Of which optimizer; of all that have it if not given.
        group: Of which param group; of all that have it if not given.

    Returns:
        What was changed, with the old values.

    Raises:
        KeyError: If there is no such optimizer, or no such hyperparameter there.
        TypeError: If the value is no real number.
        ValueError: If the hyperparameter cannot take it, or a schedule moves it.
    """
    address = Address.parse(name)
    domain = domain_of(address)
    number = _checks.real(f"the value of {name!r}", value)
    if optimizer is not None and optimizer not in optimizers:
        raise KeyError(_checks.unknown("optimizer", optimizer, optimizers))
    every = _hyperparameters(optimizers, named_schedules(schedules))
    chosen = [h for h in every if optimizer in (None, h.optimizer) and group in (None, h.group)]
    found = [h for h in chosen if h.name == str(address)]
    if not found:
        raise KeyError(_checks.unknown("hyperparameter", str(address), {h.name: None for h in chosen}))
    for hyperparameter in found:
        if hyperparameter.schedule is not None:
            raise ValueError(
                f"{name!r} is moved by the schedule {hyperparameter.schedule!r}, which would overwrite {value!r} "
                "at its next step; move the schedule's horizon instead, or set a hyperparameter without a schedule"
            )
        if number not in domain:
            raise ValueError(
                f"{address} must be {domain.rule}, got {value!r}; it keeps the value that it had; "
                "register_domain() sets other bounds"
            )
    for hyperparameter in found:
        param_group = optimizers[hyperparameter.optimizer].param_groups[hyperparameter.group]
        is_whole = isinstance(address.get(param_group), int) and number.is_integer()
        address.write(param_group, int(number) if is_whole else number)
    return found


def move_horizon(schedules: Mapping[str, Any], name: str, horizon: float) -> float:
    """Let a schedule end at another moment, without a jump.

    Args:
        schedules: By name.
        name: Of one of :func:`named_schedules`.
        horizon: The new end, in what it counts.

    Returns:
        Where it would have ended.

    Raises:
        KeyError: If there is no such schedule.
        TypeError: If it is one whose end cannot be moved, or the horizon is no number.
        ValueError: If it has no end or has come to it, or the new one lies behind.
    """
    named = named_schedules(schedules)
    if name not in named:
        raise KeyError(_checks.unknown("schedule", name, named))
    schedule = named[name]
    if not isinstance(schedule, Schedule):
        raise TypeError(
            f"only the horizon of a Schedule of a curve can be moved, {name!r} is a {type(schedule).__name__}; "
            "make it a Schedule to be able to"
        )
    before = schedule.curve.end
    schedule.retarget(horizon)
    return float("inf") if before is None else before
