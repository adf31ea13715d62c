"""An optimizer whose ``lr`` is some other optimizer's hyperparameter.

torch's schedulers, and everybody's made after them, know one name: ``lr``. Given a stand-in they move whatever it
stands for. What they write beside ``lr`` is kept here, for this target alone, so schedules of one optimizer
cannot take each other's notes for their own. A stand-in never steps. It belongs to the thread that steps its
schedule.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch.optim import Optimizer
from typing_extensions import override

from pamiq_sched import _checks
from pamiq_sched.optim.address import LR, Address, Domain, domain_of, refusal

# What schedulers note down in a param group; those of others mean nothing to ours.
_NOTES = {"initial_lr", "max_lr", "min_lr", "base_momentum", "max_momentum", "swa_lr"}
# Layer-wise scales of the learning rate, as timm's optimizers set them; no other target has a part in them.
_OF_LR_ONLY = {"lr_scale"}


class StandIn(Optimizer):
    """Stands for one hyperparameter of an optimizer; hand it to a scheduler as its optimizer.

    Args:
        optimizer: The one that it stands for, which may be a stand-in itself.
        schedule_target: What its ``lr`` is, as ``"weight_decay"`` or ``"betas[0]"``.
        held: Keep ``lr`` here, starting from what the optimizer has, and never write it there.

    Raises:
        TypeError: If the optimizer is none, or the hyperparameter is not a number.
        KeyError: If a param group has no such hyperparameter.

    Example:
        >>> optimizer = torch.optim.SGD([torch.zeros(1)], lr=0.1, weight_decay=0.01)
        >>> stand_in = StandIn(optimizer, "weight_decay")
        >>> stand_in.param_groups[0]["lr"] = 0.5
        >>> optimizer.param_groups[0]["weight_decay"]
        0.5
    """

    # torch's schedulers ask for it, to warn of a scheduler that steps before its optimizer; this one never steps.
    _opt_called = True

    def __init__(self, optimizer: Optimizer, schedule_target: str | Address = "lr", *, held: bool = False) -> None:
        # Not Optimizer.__init__: there are no parameters and no state of our own.
        require_optimizer(optimizer)
        self.optimizer = optimizer
        self.address = Address.parse(schedule_target)
        self.domain = domain_at(optimizer, self.address)
        self.t = 0
        """Steps of its schedule, which the errors name."""
        self.count = len(optimizer.param_groups)
        """How many param groups there were when its schedule was made."""
        self.held: list[float] | None = None
        if held:
            self.held = [self.address.read(group) for group in optimizer.param_groups]
        self.moved: set[str] = set()
        """Keys of the optimizer that its schedule moves with the learning rate, as ``"betas"``."""
        self._groups: list[_Group] = []
        # While a scheduler steps: how to undo what it wrote.
        self._undo: list[Callable[[], object]] | None = None
        self.tensors: list[tuple[int, torch.Tensor, torch.Tensor]] = []
        """Param group, tensor and what it held before the step, of those whose value is one."""
        for index, group in enumerate(self.param_groups):
            self.allowed(index, self.address.read(group.real))

    @property
    def is_of_lr(self) -> bool:
        """Whether it stands for the learning rate itself, so that what goes with it goes through."""
        return self.held is None and str(self.address) == "lr"

    @property
    @override
    def defaults(self) -> dict[str, Any]:  # type: ignore[override]  # an attribute there
        """Those of the optimizer."""
        return self.optimizer.defaults

    @property
    @override
    def state(self) -> Any:  # type: ignore[override]  # an attribute there
        """That of the optimizer."""
        return self.optimizer.state

    @property
    @override
    def param_groups(self) -> list[Any]:  # type: ignore[override]  # an attribute there
        """One for each param group of the optimizer, those added later as well."""
        groups, real = self._groups, self.optimizer.param_groups
        if len(groups) == len(real):
            return groups
        for index in range(len(groups), len(real)):
            if self.held is not None and index >= len(self.held):
                self.held.append(self.address.read(self.optimizer.param_groups[index]))
            groups.append(_Group(self, index))
        return groups

    @override
    def step(self, closure: Callable[[], float] | None = None) -> Any:
        raise self._no_optimizer("step()")

    # Spares torch's schedulers wrapping it, to notice whether it was called.
    step._wrapped_by_lr_sched = True  # type: ignore[attr-defined]  # noqa: SLF001 - they ask for it

    @override
    def zero_grad(self, set_to_none: bool = True) -> None:
        raise self._no_optimizer("zero_grad()")

    @override
    def add_param_group(self, param_group: dict[str, Any]) -> None:
        raise self._no_optimizer("add_param_group()")

    @override
    def state_dict(self) -> dict[str, Any]:
        raise self._no_optimizer("state_dict()")

    @override
    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        raise self._no_optimizer("load_state_dict()")

    # Copied as any object: an optimizer leaves out all but its parameters and state.
    @override
    def __getstate__(self) -> dict[str, Any]:
        return dict(self.__dict__)

    @override
    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)

    def _no_optimizer(self, what: str) -> TypeError:
        return TypeError(
            f"this only stands for {self.address} of an optimizer, for schedulers to move it; "
            f"call {what} of the optimizer itself"
        )

    @override
    def __repr__(self) -> str:
        return f"StandIn({self.address} of {type(self.optimizer).__name__})"

    def values(self) -> list[Any]:
        """The present values, tensors as copies."""
        return [copied(group["lr"]) for group in self.param_groups]

    def notes(self) -> list[dict[str, Any]]:
        """What schedulers keep beside ``lr``, and what they move with it, by param group."""
        moved = sorted(self.moved)
        return [{**group.notes, **{key: copied(group.real[key]) for key in moved}} for group in self.param_groups]

    def write(self, values: Sequence[Any]) -> None:
        """Put back what :meth:`values` returned."""
        for group, value in zip(self.param_groups, values, strict=True):
            group["lr"] = value

    def take_notes(self, notes: Sequence[Mapping[str, Any]]) -> None:
        """Put back what :meth:`notes` returned."""
        for group, kept in zip(self.param_groups, notes, strict=True):
            group.notes.clear()
            group.update(kept)

    def check_notes(self, owner: str, notes: Mapping[str, Any]) -> None:
        """Refuse notes that would move a hyperparameter which its schedule does not.

        Raises:
            ValueError: Naming the keys.
        """
        others = {str(key) for group in self.optimizer.param_groups for key in group} - self.moved
        if wrong := sorted(others.intersection(notes) - _NOTES):
            raise ValueError(f"the state of {owner} has values of {wrong}, which this one does not move")

    def refuse_later_groups(self, owner: str) -> None:
        """Refuse groups that were added after the schedule was made.

        Raises:
            RuntimeError: Naming the group.
        """
        if len(self.optimizer.param_groups) != self.count:
            raise RuntimeError(
                f"param group {self.count} was added after the {owner} of {name_at(self, LR)!r} was made, "
                "which cannot take it up; add all groups first, or use a Schedule with a curve, which takes "
                "up later ones"
            )

    def allowed(self, index: int, value: Any) -> float:
        """Return a value as a float.

        Raises:
            TypeError: If it is no real number.
            ValueError: If the hyperparameter cannot take it; naming the param group and the step.
        """
        if isinstance(value, torch.Tensor):
            value = value.item()
        if value.__class__ is float and self.domain.least <= value <= self.domain.most:
            return value
        name = name_at(self, LR)
        try:
            number = _checks.real(f"{name} of param group {index} at t = {self.t}", value)
        except ValueError:
            number = math.nan  # not finite, which no domain contains
        if number not in self.domain:
            raise refusal(name, self.domain, index, self.t, value)
        return number

    def begin(self) -> None:
        """Note from now on how to undo what a scheduler writes, until :meth:`end`."""
        self._undo = []
        self.find_tensors()

    def find_tensors(self) -> None:
        """Note which values are tensors, and what they hold.

        They are filled behind our back, where numbers are noted and checked as they are written.
        """
        self.tensors = []
        for index, group in enumerate(self.param_groups):
            value = group["lr"]
            if value.__class__ is not float and isinstance(value, torch.Tensor):
                self.tensors.append((index, value, value.clone()))

    def end(self, *, undo: bool) -> None:
        """Stop noting; put everything back if asked to."""
        noted, self._undo = self._undo or [], None
        if undo:
            for _, tensor, old in self.tensors:
                tensor.copy_(old)
            for put_back in reversed(noted):
                put_back()

    def note_undo(self, put_back: Callable[[], object]) -> None:
        """Note how to undo what is written next."""
        if self._undo is not None:
            self._undo.append(put_back)

    def check_tensors(self) -> None:
        """Refuse tensors that hold what the hyperparameter cannot be.

        Raises:
            ValueError: As :meth:`allowed`.
        """
        for index, tensor, _ in self.tensors:
            self.allowed(index, tensor)


class _Group(MutableMapping[str, Any]):
    """A param group in which ``lr`` is something else."""

    def __init__(self, stand_in: StandIn, index: int) -> None:
        self._stand_in = stand_in
        self._index = index
        self.notes: dict[str, Any] = {}

    @property
    def real(self) -> Any:
        """The group that it stands for; asked for each time, since loading a state replaces it."""
        return self._stand_in.optimizer.param_groups[self._index]

    @override
    def __getitem__(self, key: str) -> Any:
        if key == "lr":
            stand_in = self._stand_in
            if stand_in.held is not None:
                return stand_in.held[self._index]
            real = stand_in.optimizer.param_groups[self._index]
            address = stand_in.address
            value = real.get(address.key)
            return value if value.__class__ is float else address.get(real)
        if key in self.notes:
            return self.notes[key]
        if self._is_hidden(key):
            raise KeyError(key)
        return self.real[key]

    @override
    def __setitem__(self, key: str, value: Any) -> None:
        if key == "lr":
            self._write(value)
        elif self._stand_in.is_of_lr and not self._is_hidden(key) and key in self.real:
            self._stand_in.moved.add(key)
            self._put(self.real, key, value)  # OneCycleLR and CyclicLR move the momentum with the learning rate
        else:
            # Not the tensor that lr is, which is filled with other values later.
            self._put(self.notes, key, copied(value))

    def _put(self, where: MutableMapping[str, Any], key: str, value: Any) -> None:
        if key in where:
            self._stand_in.note_undo(partial(where.__setitem__, key, where[key]))
        else:
            self._stand_in.note_undo(partial(where.pop, key, None))
        where[key] = value

    def _write(self, value: Any) -> None:
        stand_in, index = self._stand_in, self._index
        number = stand_in.allowed(index, value)
        if stand_in.held is not None:
            stand_in.note_undo(partial(stand_in.held.__setitem__, index, stand_in.held[index]))
            stand_in.held[index] = number
            return
        real, address = stand_in.optimizer.param_groups[index], stand_in.address
        old = self["lr"]
        if old.__class__ is float and address.index is None:  # by far the most common
            stand_in.note_undo(partial(real.__setitem__, address.key, old))
            real[address.key] = number
            return
        if not isinstance(old, torch.Tensor):  # that one is filled, and put back as a whole
            stand_in.note_undo(partial(address.write, real, old))
        address.write(real, number)

    @override
    def __delitem__(self, key: str) -> None:
        if key not in self.notes:
            raise KeyError(f"a scheduler may only delete what it wrote, not {key!r}")
        del self.notes[key]

    @override
    def __iter__(self) -> Iterator[str]:
        own = {"lr": None, **self.notes}
        yield from own
        yield from (key for key in self.real if key not in own and not self._is_hidden(key))

    @override
    def __len__(self) -> int:
        return sum(1 for _ in self)

    def _is_hidden(self, key: str) -> bool:
        return key in _NOTES or (key in _OF_LR_ONLY and name_at(self._stand_in, LR) != "lr")


def underlying(optimizer: Optimizer) -> Optimizer:
    """Return the optimizer behind any stand-ins."""
    while isinstance(optimizer, StandIn):
        optimizer = optimizer.optimizer
    return optimizer


def domain_at(optimizer: Optimizer, address: Address) -> Domain:
    """Return the values allowed at an address, which in a stand-in is that of what it stands for."""
    if isinstance(optimizer, StandIn) and str(address) == "lr":
        return optimizer.domain
    return domain_of(address)


def name_at(optimizer: Optimizer, address: Address) -> str:
    """Return what an address means in the optimizer behind any stand-ins."""
    if isinstance(optimizer, StandIn) and str(address) == "lr":
        return name_at(optimizer.optimizer, optimizer.address)
    return str(address)


def require_optimizer(optimizer: object) -> None:
    """Refuse what is no optimizer.

    Raises:
        TypeError: Naming its class.
    """
    if not isinstance(optimizer, Optimizer):
        raise TypeError(
            f"a schedule needs a torch.optim.Optimizer, got an object of the class {type(optimizer).__name__}"
        )


@contextmanager
def restoring(optimizer: Optimizer) -> Iterator[None]:
    """Put all hyperparameters back as they were if what is done inside fails: nothing is half-built."""
    optimizer = underlying(optimizer)
    before = [
        (group, {key: _kept(value) for key, value in group.items() if key != "params"})
        for group in optimizer.param_groups
    ]
    defaults = dict(optimizer.defaults)
    step = vars(optimizer).get("step")
    try:
        yield
    except BaseException:
        for group, values in before:
            for key in set(group) - set(values) - {"params"}:
                del group[key]
            for key, value in values.items():
                _put_back(group, key, value)
        optimizer.defaults.clear()
        optimizer.defaults.update(defaults)
        if step is None:
            vars(optimizer).pop("step", None)  # torch's schedulers wrap it
        raise


def copied(value: Any) -> Any:
    """Return a value that shares no tensor with the one given: those are filled with other values later."""
    if type(value) in {tuple, list}:
        return type(value)(map(copied, value))
    return value.detach().clone() if isinstance(value, torch.Tensor) else value


def _kept(value: Any) -> Any:
    """A value with the contents that its tensors have now, beside the tensors themselves."""
    elements = value if isinstance(value, tuple | list) else [value]
    return value, [(e, e.detach().clone()) for e in elements if isinstance(e, torch.Tensor)]


def _put_back(group: dict[str, Any], key: str, kept: Any) -> None:
    value, tensors = kept
    for tensor, contents in tensors:
        with torch.no_grad():
            tensor.copy_(contents)
    group[key] = value
