"""Any scheduler that moves ``lr`` moves any hyperparameter: it is given a stand-in for its optimizer.

What the factory returns keeps its class and gains what torch's schedulers lack: its state holds the values that
it wrote, loading writes them, and a state of other parameters is refused. Belongs to the thread that steps it.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from numbers import Real
from typing import Any, TypeVar, cast

import torch
from torch.optim import Optimizer
from torch.optim.lr_scheduler import (
    ChainedScheduler,
    CyclicLR,
    LRScheduler,
    OneCycleLR,
    ReduceLROnPlateau,
    SequentialLR,
)
from typing_extensions import override

from pamiq_sched import _checks
from pamiq_sched.optim.address import LR, extend_optimizer
from pamiq_sched.optim.plateau import MetricOrNone, takes_metric
from pamiq_sched.optim.schedule import OnChangedCurve, Schedule
from pamiq_sched.optim.stand_in import StandIn, name_at, require_optimizer, restoring

_BESIDE = ("on_target", "members")  # in a state, beside what the class itself keeps
ScheduleT = TypeVar("ScheduleT", bound=LRScheduler)

# What torch's schedulers work out from their parameters and keep instead of them.
_DERIVED = {
    "total_steps", "total_size", "step_ratio", "max_lrs", "min_lrs", "base_momentums", "max_momentums",
    "_milestones", "_schedule_phases", "_anneal_func_type", "_anneal_strategy",
}  # fmt: skip
# What they note down in the param groups instead.
_NOTED = {"max_lr", "min_lr", "base_momentum", "max_momentum", "swa_lr"}
_NOT_COMPARED = {"self", "optimizer", "last_epoch", "schedulers", "lr_lambda", "base_lr"}


def arbitrary_schedule_factory(
    optimizer: Optimizer,
    schedule_factory: Callable[[Optimizer], ScheduleT],
    default_value: float | None = None,
    schedule_target: str = "lr",
) -> ScheduleT:
    """Make any scheduler move any hyperparameter.

    Args:
        optimizer: Whose hyperparameter.
        schedule_factory: Makes the scheduler on the stand-in that it is given, whose ``lr`` is the target.
        default_value: Given to param groups that lack the hyperparameter; none of them may otherwise.
        schedule_target: The hyperparameter, as ``"weight_decay"`` or ``"betas[0]"``.

    Returns:
        What the factory made. Its ``state_dict()`` also holds the values that it wrote, and its
        ``load_state_dict(state, curve="refuse")`` writes them; ``curve`` says what to do with a state that was
        saved with other parameters, as in :meth:`Schedule.load_state_dict`. A value that the hyperparameter cannot
        take is refused by ``step()``, and all values are put back; the scheduler has counted the step.

    Raises:
        KeyError: If a group lacks the hyperparameter and there is no default.
        TypeError: If the hyperparameter is not a number, or the factory returns no scheduler.
        ValueError: If the factory made a scheduler of something else than what it was given.

    Example:
        >>> from torch.optim.lr_scheduler import StepLR
        >>> optimizer = torch.optim.SGD([torch.zeros(1)], lr=0.1, weight_decay=0.5)
        >>> schedule = arbitrary_schedule_factory(
        ...     optimizer, lambda stand_in: StepLR(stand_in, 1, gamma=0.5), schedule_target="weight_decay"
        ... )
        >>> schedule.step()
        >>> optimizer.param_groups[0]["weight_decay"], optimizer.param_groups[0]["lr"]
        (0.25, 0.1)
    """
    require_optimizer(optimizer)
    with restoring(optimizer):
        if default_value is not None:
            extend_optimizer(optimizer, schedule_target, default_value)
        stand_in = StandIn(optimizer, schedule_target)
        schedule = schedule_factory(stand_in)
        if not hasattr(schedule, "step"):
            raise TypeError(f"schedule_factory must return the scheduler that it made, got {schedule!r}")
        if getattr(schedule, "optimizer", stand_in) is not stand_in:
            raise ValueError(
                f"schedule_factory must make its scheduler on the optimizer that it is given, which stands for "
                f"{stand_in.address}; the {type(schedule).__name__} that it returned belongs to another"
            )
        if not isinstance(schedule, Schedule) and isinstance(schedule, LRScheduler):
            adopt(schedule, stand_in)
        stand_in.find_tensors()
        stand_in.check_tensors()
    return schedule


def adopt(schedule: LRScheduler, stand_in: StandIn) -> None:
    """Give a scheduler that was made on a stand-in what the schedules of this library have."""
    for member in getattr(schedule, "_schedulers", ()):
        _make_restartable(member)
    mixins: list[type] = [OnTarget]
    if isinstance(schedule, ReduceLROnPlateau):
        mixins.append(MetricOrNone)
    if isinstance(schedule, ChainedScheduler):
        mixins.append(_CountsWithMembers)
    _mix_into(schedule, mixins)
    if isinstance(schedule, SequentialLR) and hasattr(schedule._schedulers[0], "_schedulers"):
        _restart(schedule)  # torch has brought the inner one to its second step
    stand_in.count = len(stand_in.param_groups)


class OnTarget(LRScheduler):
    """Mixed into the class of a scheduler on a stand-in; see the module."""

    optimizer: StandIn  # that is what makes it one

    @property
    def name(self) -> str:
        """The hyperparameter."""
        return name_at(self.optimizer, LR)

    @override
    def step(self, *args: Any, **kwargs: Any) -> None:
        """Move on, as the class does by itself."""
        stand_in = self.optimizer
        if not isinstance(self, ReduceLROnPlateau):  # which takes them up by itself
            stand_in.refuse_later_groups(type(self).__name__)
        stand_in.t = self.last_epoch + 1
        stand_in.begin()
        try:
            super().step(*args, **kwargs)
            stand_in.check_tensors()
        except BaseException:
            stand_in.end(undo=True)
            raise
        stand_in.end(undo=False)

    @override
    def get_lr(self) -> list[Any]:
        """What the class would write next, which must be real: a tensor drops what is imaginary."""
        values = super().get_lr()
        for index, _, _ in self.optimizer.tensors:
            if isinstance(value := values[index], torch.Tensor) and value.is_complex():
                self.optimizer.allowed(index, value)
        return values

    @override
    def state_dict(self) -> dict[str, Any]:
        """What the class keeps, and what it wrote."""
        state = copy.deepcopy(super().state_dict())
        if members := self._members():
            state["members"] = [member.state_dict() for member in members]
        stand_in = self.optimizer
        state["on_target"] = {"name": self.name, "values": stand_in.values(), "notes": stand_in.notes()}
        return state

    @override
    def load_state_dict(self, state_dict: Mapping[str, Any], *, curve: OnChangedCurve = "refuse") -> None:
        """Go on where the state was taken, and write the values of that place.

        Args:
            state_dict: From :meth:`state_dict`, or from the class by itself.
            curve: What to do if it was saved with other parameters.

        Raises:
            TypeError: If something in the state is of the wrong kind.
            ValueError: If it is the state of something else, or of other parameters; nothing has changed then.
        """
        state, values, notes = self.verify_state(state_dict, curve=curve)
        with _unchanged_on_error(self):
            self.optimizer.take_notes(notes)
            super().load_state_dict(state)
            for member, its_state in zip(self._members(), state_dict.get("members", ()), strict=True):
                member.load_state_dict(its_state, curve=curve)
            if self._members():
                values = self.combined()  # type: ignore[attr-defined]  # a Composite
            if values is None:
                self._go_to(self.last_epoch)
            else:
                self.optimizer.write(values)
            self._last_lr = self.optimizer.values()

    def _go_to(self, t: int) -> None:
        """Come to a step anew, with parameters that are not those of the steps that were made.

        One that follows a metric has no other way back to its metrics, and goes on from where it is.
        """
        if takes_metric(self):
            self.optimizer.write(self._last_lr)
            return
        _restart(self)
        for _ in range(t):
            super().step()

    def _members(self) -> list[Any]:
        """The members of a composite, each a schedule on a value of its own."""
        return getattr(self, "members", [])

    def verify_state(
        self, state: Mapping[str, Any], *, curve: OnChangedCurve = "refuse"
    ) -> tuple[dict[str, Any], list[Any] | None, list[dict[str, Any]]]:
        """Return the state to load, the values (None: to be computed) and the notes; change nothing.

        Raises:
            TypeError: As :meth:`load_state_dict`.
            ValueError: As there.
        """
        owner = f"the {type(self).__name__} of {self.name!r}"
        _checks.instance(f"the state of {owner} must be", state, Mapping)
        _checks.choice("curve", curve, ("refuse", "new", "old"))
        own = super().state_dict()
        loaded = _checked(self, owner, own, {key: value for key, value in state.items() if key not in _BESIDE})
        if "last_epoch" in loaded:  # those inside may not have begun
            _checks.count(f"last_epoch in the state of {owner}", loaded["last_epoch"])
        members, states = self._members(), state.get("members", [])
        if len(members) != len(states):
            raise ValueError(f"the state of {owner} is of {len(states)} members, this one has {len(members)}")
        for member, its_state in zip(members, states, strict=True):
            member.verify_state(its_state, curve=curve)
        on_target = state.get("on_target")
        if on_target is None:  # saved by the class itself, without us
            bases, own_notes = _bases(loaded), self.optimizer.notes()
            if len(bases) == len(own_notes):
                own_notes = [{**kept, "initial_lr": base} for kept, base in zip(own_notes, bases, strict=True)]
            on_target = {"name": self.name, "values": loaded.get("_last_lr", []), "notes": own_notes}
        _checks.instance(f"on_target in the state of {owner} must be", on_target, Mapping)
        _checks.state_keys(f"{owner} (on_target)", on_target, {"name", "values", "notes"})
        for key in ("values", "notes"):
            _checks.instance(f"{key} in the state of {owner} must be", on_target[key], list)
        for kept in on_target["notes"]:
            _checks.instance(f"a note in the state of {owner} must be", kept, Mapping)
            self.optimizer.check_notes(owner, kept)
        values, notes = list(on_target["values"]), [dict(kept) for kept in on_target["notes"]]
        if on_target["name"] != self.name:
            raise ValueError(f"the state of {owner} was saved for {on_target['name']!r}; load it where it belongs")
        count = len(self.optimizer.param_groups)
        if not len(values) == len(notes) == count:
            raise ValueError(
                f"the state of {owner} is of {len(values)} param groups, the optimizer has {count}; add the same "
                "groups before loading"
            )
        for index, value in enumerate(values):
            self.optimizer.allowed(index, value)
        return self._with_parameters(owner, loaded, own, values, notes, curve)

    def _with_parameters(
        self,
        owner: str,
        loaded: dict[str, Any],
        own: dict[str, Any],
        values: list[Any],
        notes: list[dict[str, Any]],
        curve: OnChangedCurve,
    ) -> tuple[dict[str, Any], list[Any] | None, list[dict[str, Any]]]:
        """Settle what happens where parameters differ."""
        changed = dict(_differences(self, own, loaded))
        own_notes = self.optimizer.notes()
        for saved, now in zip(notes, own_notes, strict=True):
            for key in sorted((_NOTED & set(now)) | self._noted_bases()):
                if not _same(saved.get(key), now.get(key)):
                    changed.setdefault(key, (saved.get(key), now.get(key)))
        if changed and curve == "refuse":
            said = ", ".join(f"{name}: saved {old!r}, now {new!r}" for name, (old, new) in changed.items())
            raise ValueError(
                f'the state of {owner} was saved with other parameters ({said}); load it with curve="new" to '
                'keep the new ones, or curve="old" to go on with the old ones'
            )
        if not changed or curve == "old":
            return loaded, values, notes
        _keep_own(self, own, loaded)
        for saved, now in zip(notes, own_notes, strict=True):
            saved.update({key: now[key] for key in (_NOTED & set(now)) | self._noted_bases()})
        return loaded, None, notes

    def _noted_bases(self) -> set[str]:
        """Which notes of the base are no value found in the optimizer, but a parameter."""
        return {"initial_lr"} if isinstance(self, OneCycleLR) else set()


def _checked(
    schedule: LRScheduler, owner: str, own: Mapping[str, Any], saved: Mapping[str, Any]
) -> dict[str, Any]:
    """Return a copy of a state of the class itself, once it is found to have all that its own has, and no more.

    Raises:
        TypeError: If something is of another kind.
        ValueError: If a key is missing or unknown, or a scheduler inside.
    """
    # Private names come and go between versions of torch.
    expected = {key for key in own if not _is_private(key) or key == "_schedulers"}
    compared = {key: value for key, value in saved.items() if key in expected or not _is_private(key)}
    _checks.state_keys(owner, compared, expected)
    loaded = {key: copy.deepcopy(saved.get(key, value)) for key, value in own.items()}
    for key, value in loaded.items():
        if _kind(value) != _kind(own[key]) and value is not None and own[key] is not None:
            raise TypeError(
                f"{key.lstrip('_')} in the state of {owner} must be like {own[key]!r}, got {value!r}; "
                "it was saved by something else"
            )
        if key.endswith("_lrs") and value is not None and len(value) != len(own[key]):
            raise ValueError(
                f"{key} in the state of {owner} is of {len(value)} param groups, here are {len(own[key])}; add "
                "the same groups before loading"
            )
    if hasattr(schedule, "_schedulers"):
        loaded["_schedulers"] = [
            _checked(part, f"the {type(part).__name__} in {owner}", mine, theirs)
            for _, part, mine, theirs in _members(schedule, own, loaded)
        ]
    return loaded


def _kind(value: Any) -> type:
    """What values may stand for one another: numbers of all types, lists and tuples."""
    if isinstance(value, Real) or (isinstance(value, torch.Tensor) and value.numel() == 1):
        return Real
    return next((kind for kind in (str, Sequence, Mapping) if isinstance(value, kind)), type(value))


def _bases(state: Mapping[str, Any]) -> list[Any]:
    """The bases in a state, or in that of the first scheduler inside."""
    if "base_lrs" in state or not state.get("_schedulers"):
        return list(state.get("base_lrs", ()))
    return _bases(state["_schedulers"][0])


@contextmanager
def _unchanged_on_error(schedule: LRScheduler) -> Iterator[None]:
    """Leave a scheduler and its target as they were if what is done inside fails."""
    stand_in = cast("StandIn", schedule.optimizer)
    values, notes = stand_in.values(), stand_in.notes()
    attributes = [(part, dict(vars(part))) for part in _all_inside(schedule)]
    try:
        yield
    except BaseException:
        stand_in.take_notes(notes)
        stand_in.write(values)
        for part, kept in attributes:
            vars(part).clear()
            vars(part).update(kept)
        raise


def _all_inside(schedule: LRScheduler) -> Iterator[LRScheduler]:
    yield schedule
    for part in getattr(schedule, "_schedulers", ()):
        yield from _all_inside(part)


def _is_private(key: object) -> bool:
    return not isinstance(key, str) or key.startswith("_") or key == "verbose"


def _parameters(schedule: LRScheduler, state: Mapping[str, Any]) -> list[str]:
    """The names in a state that are parameters of the scheduler, not where it is."""
    names = {name for cls in type(schedule).__mro__ for name in _signature(cls)} - _NOT_COMPARED
    # A CyclicLR is given its bases; others find them.
    derived = _DERIVED | ({"base_lrs"} if isinstance(schedule, CyclicLR) else set())
    return [name for name in state if name in names or name in derived]


def _signature(cls: type) -> list[str]:
    init = cls.__dict__.get("__init__")
    return list(inspect.signature(init).parameters) if init is not None and cls is not object else []


def _differences(
    schedule: LRScheduler, own: Mapping[str, Any], saved: Mapping[str, Any], path: str = ""
) -> Iterator[tuple[str, tuple[Any, Any]]]:
    """The parameters in which a saved state differs, with the saved and the own value."""
    for name in _parameters(schedule, own):
        if name in saved and not _same(saved[name], own[name]):
            yield path + name.lstrip("_"), (saved[name], own[name])
    for key, member, mine, theirs in _members(schedule, own, saved):
        yield from _differences(member, mine, theirs, f"{path}{key}.")


def _keep_own(schedule: LRScheduler, own: Mapping[str, Any], saved: dict[str, Any]) -> None:
    for name in _parameters(schedule, own):
        saved[name] = copy.deepcopy(own[name])
    for _, member, mine, theirs in _members(schedule, own, saved):
        _keep_own(member, mine, theirs)


def _members(
    schedule: LRScheduler, own: Mapping[str, Any], saved: Mapping[str, Any]
) -> Iterator[tuple[int, LRScheduler, Mapping[str, Any], dict[str, Any]]]:
    members = getattr(schedule, "_schedulers", ())
    mine, theirs = own.get("_schedulers", ()), saved.get("_schedulers", ())
    if len(mine) != len(theirs):
        raise ValueError(
            f"the state of a {type(schedule).__name__} is of {len(theirs)} schedulers, this one has {len(mine)}"
        )
    for index, (member, one, other) in enumerate(zip(members, mine, theirs, strict=True)):
        _checks.instance("the state of a scheduler must be", other, Mapping)
        yield index, member, one, cast("dict[str, Any]", other)


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, torch.Tensor) or isinstance(other, torch.Tensor):
        return bool(torch.equal(torch.as_tensor(one), torch.as_tensor(other)))
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(_same, one, other))
    return bool(one == other)


_MIXED: dict[tuple[type, ...], type] = {}  # written with equal values by whoever comes first; needs no guard


def _mix_into(schedule: LRScheduler, mixins: list[type]) -> None:
    """Give an object the methods of mixins, under the name that its class has."""
    cls = type(schedule)
    bases = (*mixins, cls)
    if bases not in _MIXED:
        names = {"__module__": cls.__module__, "__qualname__": cls.__qualname__, "__doc__": cls.__doc__}
        _MIXED[bases] = type(cls.__name__, bases, names | {"__reduce__": _reduce})
    schedule.__class__ = _MIXED[bases]


def _reduce(schedule: LRScheduler) -> tuple[Any, ...]:
    """Copy and pickle one with mixins, whose class goes by the name of another."""
    return _new_mixed, (type(schedule).__bases__,), dict(vars(schedule))


def _new_mixed(bases: tuple[type, ...]) -> LRScheduler:
    *mixins, cls = bases
    schedule = cast("LRScheduler", object.__new__(cls))
    _mix_into(schedule, mixins)
    return schedule


class _CountsWithMembers(LRScheduler):
    """Mixed into a chained scheduler, which keeps no count of its own."""

    @property
    @override
    def last_epoch(self) -> int:  # type: ignore[override]  # an attribute there
        """How many steps were made."""
        return int(self._schedulers[0].last_epoch)  # type: ignore[attr-defined]


class _Restartable(LRScheduler):
    """Mixed into chained and sequential schedulers inside others, which torch cannot start anew at a milestone."""

    @override
    def _update_lr(self, epoch: int | None = None) -> None:
        if epoch != 0:
            raise ValueError(f"a {type(self).__name__} can go on or start anew, not go to {epoch!r}")
        _restart(self)


def _make_restartable(schedule: LRScheduler) -> None:
    if members := getattr(schedule, "_schedulers", ()):
        _mix_into(schedule, [_Restartable])
    for member in members:
        _make_restartable(member)


def _restart(schedule: LRScheduler) -> None:
    """Bring a scheduler and all inside it to t = 0, from the bases."""
    cast("StandIn", schedule.optimizer).write([group["initial_lr"] for group in schedule.optimizer.param_groups])
    _begin(schedule)


# ruff: noqa: SLF001 - torch's composites have no public names for what is inside


def _begin(schedule: Any) -> None:
    """Bring a scheduler and all inside it to t = 0, on top of what the groups hold."""
    if isinstance(schedule, SequentialLR):
        _rewind(schedule)
        schedule.last_epoch = 0
        _begin(schedule._schedulers[0])
    elif isinstance(schedule, ChainedScheduler):
        for member in schedule._schedulers:
            _begin(member)
    else:
        _rewind(schedule)
        schedule._initial_step()
    schedule._last_lr = schedule.optimizer.values()


def _rewind(schedule: Any) -> None:
    for member in getattr(schedule, "_schedulers", ()):
        _rewind(member)
    if not isinstance(schedule, ChainedScheduler):
        schedule.last_epoch = -1
