"""A curve tied to a hyperparameter: ``value(t) = base x curve(t)``, or the curve's own values.

The one invariant: a value is computed from (base, t), never from the value before it. So it does not matter in
which order optimizer and schedule are loaded, and nothing drifts. Belongs to the thread that steps it; what it
last wrote is a list that is replaced and never changed, so others may read :attr:`Schedule.last_values`.
"""

from __future__ import annotations

import copy
import math
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from typing_extensions import override

from pamiq_sched import _checks
from pamiq_sched.clock import Clock, system_clock
from pamiq_sched.optim.address import Address, Group, extend_optimizer, refusal
from pamiq_sched.optim.curves import Curve, FunctionCurve, VectorFunction
from pamiq_sched.optim.groups import Groups, chooser
from pamiq_sched.optim.lockstep import BLOCK, Lockstep
from pamiq_sched.optim.stand_in import StandIn, domain_at, name_at, require_optimizer, restoring

OnChangedCurve: TypeAlias = Literal["refuse", "new", "old"]
"""What to do with a state that was saved with another curve: refuse it, go on with the new one or the old one."""


_Ahead: TypeAlias = tuple[int, npt.NDArray[np.float64]]
_NOTHING_AHEAD: _Ahead = (-1, np.empty(0))  # the first t of a block, and its factors


class Schedule(LRScheduler):
    r"""Moves one hyperparameter along a curve, at every :meth:`step`.

    .. math:: \mathrm{value}(t) = \mathrm{base} \cdot \lambda(t)

    t is 0 when it is made and when that value is written first. The base is what a param group holds at that
    moment; a group that is added later brings its own.

    Args:
        optimizer: Whose hyperparameter.
        curve: λ: a :class:`~pamiq_sched.optim.curves.Curve`, or any function of t.
        schedule_target: The hyperparameter: ``"lr"``, ``"betas[0]"``, any key of the param groups.
        mode: ``"multiplier"``, or ``"absolute"`` for a curve that gives the values themselves.
        by: What t counts: calls of :meth:`step`, samples, or seconds of agent time since it was made.
        groups: Which param groups, by index, ``"name"``, several of those, or a predicate; all by default.
        name: What it is called beside others; the target by default.
        default_value: Given to param groups that lack the hyperparameter, as by
            :func:`~pamiq_sched.optim.extend_optimizer`.
        samples_per_step: By samples: how many each step adds when it is not told.
        clock: By seconds: whose; the process's system clock by default.
        on_changed_curve: What :meth:`load_state_dict` does with a state of another curve.

    Raises:
        TypeError: If an argument or the value to schedule is of the wrong kind.
        KeyError: If a group lacks the hyperparameter, or no group has such a name.
        ValueError: If the value is one that the hyperparameter cannot take.

    Example:
        >>> import torch
        >>> optimizer = torch.optim.AdamW([torch.zeros(1)], lr=0.1, weight_decay=0.5)
        >>> schedule = Schedule(optimizer, lambda t: 1 / (1 + t), "weight_decay")
        >>> schedule.step()
        >>> optimizer.param_groups[0]["weight_decay"], schedule.schedule_at(4)
        (0.25, [0.1])
    """

    def __init__(
        self,
        optimizer: Optimizer,
        curve: Curve | Callable[[float], float],
        schedule_target: str = "lr",
        *,
        mode: Literal["multiplier", "absolute"] = "multiplier",
        by: Literal["steps", "samples", "seconds"] = "steps",
        groups: Groups = None,
        name: str | None = None,
        default_value: float | None = None,
        samples_per_step: int | None = None,
        clock: Clock | None = None,
        on_changed_curve: OnChangedCurve = "refuse",
    ) -> None:
        # Not LRScheduler.__init__: it writes notes into the param groups and wraps optimizer.step.
        require_optimizer(optimizer)
        if not callable(curve):
            raise TypeError(f"curve must be a Curve or a function of t, got {curve!r}")
        self._curve = curve if isinstance(curve, Curve) else FunctionCurve(curve)
        self._mode = _checks.choice("mode", mode, ("multiplier", "absolute"))
        self._by = _checks.choice("by", by, ("steps", "samples", "seconds"))
        self._on_changed_curve = _checks.choice("on_changed_curve", on_changed_curve, ("refuse", "new", "old"))
        if samples_per_step is not None and by != "samples":
            raise ValueError(f'samples_per_step is for by="samples", got {samples_per_step!r} with by={by!r}')
        self._samples_per_step = (
            None if samples_per_step is None else _checks.count("samples_per_step", samples_per_step, least=1)
        )
        self.optimizer = optimizer
        self.address = Address.parse(schedule_target)
        self._domain = domain_at(optimizer, self.address)
        self.name = name_at(optimizer, self.address) if name is None else name
        self._clock = system_clock() if clock is None else clock
        self._origin = self._clock.monotonic()
        if by == "seconds":
            self._clock.add_watcher(self)
        self._samples = self._new_samples = 0
        self._is_alone = True
        self._retargets: list[tuple[float, float]] = []  # for each retarget() the t of it and the new end
        self._ahead = _NOTHING_AHEAD
        self._choose = chooser(groups, optimizer)
        self._bases: list[float] = []  # of the groups in _indices, 1.0 each if the values are absolute
        self._indices: list[int] = []  # the scheduled groups among those seen
        self._seen = 0  # how many param groups there were when they were last looked through
        self._warned_of_zero = self._mode == "absolute"

        self.offset = 0
        """Steps made in addition to those of :attr:`lockstep`."""
        self._lockstep = Lockstep([self])
        with restoring(optimizer):
            if default_value is not None:
                extend_optimizer(optimizer, str(self.address), default_value)
            self._take_up(optimizer.param_groups)
            self._written = self._values_at(0)
            self._write(self._written)

    # What it does at every step.

    @override
    def step(self, epoch: int | None = None, *, samples: int | None = None) -> None:
        """Move on: by one step, to the samples seen by now, or to the present.

        Args:
            epoch: By steps: go to this step instead of the next.
            samples: By samples: how many to add; ``samples_per_step`` by default.

        Raises:
            ValueError: If the next value is one that the hyperparameter cannot take; nothing has changed then.
        """
        if self._by == "steps":
            if epoch is None and self._is_alone:
                self._lockstep.step()
                return
            count = self.last_epoch + 1 if epoch is None else _checks.count("epoch", epoch)
            t: float = count
        elif epoch is not None:
            raise ValueError(f"only a schedule by steps can go to one, got epoch={epoch!r} with by={self._by!r}")
        else:
            count, t = self.last_epoch + 1, self._samples_then(samples) if self._by == "samples" else self.t
        self._write_at(t)
        self.last_epoch = count
        self._lockstep.publish()
        if self._by == "samples":
            self._samples, self._new_samples = int(t), 0

    def write_next(self) -> list[float]:
        """By steps: write the values of the next one, without counting it."""
        return self._write_at(self.last_epoch + 1)

    def _write_at(self, t: float) -> list[float]:
        groups = self.optimizer.param_groups
        if len(groups) != self._seen:
            self._take_up(groups)
        if not self._warned_of_zero:
            self._warn_of_zero()
        self._written = values = self._values_at(t)
        self._write(values)
        return values

    def _values_at(self, t: float) -> list[float]:
        """The values of the scheduled groups, each of which their hyperparameter can take."""
        factor = self._factor_at(t)
        # Rounding keeps the order, so where the extremes are allowed all between them are.
        if not (factor * self._least in self._domain and factor * self._most in self._domain):
            self._refuse([factor * base for base in self._bases], t)
        return [base * factor for base in self._bases]

    def _factor_at(self, t: float) -> float:
        if self._vector is not None and self._by == "steps" and (step := int(t)) == t:
            # As factors_ahead() has it, to the last bit.
            return float(self._block(self._vector, step)[step % BLOCK])
        try:
            factor = self._function(t)
        except OverflowError:
            factor = math.inf
        return factor if factor.__class__ is float else self._as_float(factor, t)

    def _block(self, vector: VectorFunction, t: int) -> npt.NDArray[np.float64]:
        """The factors of the block that t is in."""
        first = t - t % BLOCK
        start, factors = self._ahead  # in one, so that other threads may ask for values as well
        if start != first:
            with np.errstate(all="ignore"):  # what is not finite is refused when its step comes
                factors = vector(np.arange(first, first + BLOCK, dtype=np.float64))
            self._ahead = first, factors
        return factors

    def factors_ahead(self, base: float) -> list[float]:
        """Factors of the next steps that all bases allow, times a base; none if they are not known ahead."""
        if self._vector is None or self._by != "steps":
            return []
        t = self.last_epoch + 1
        factors = self._block(self._vector, t)[t % BLOCK :]
        with np.errstate(all="ignore"):  # what is not finite is not allowed
            low, high = factors * self._least, factors * self._most
        least, most = self._domain.least, self._domain.most
        allowed = (low >= least) & (low <= most) & (high >= least) & (high <= most)
        # Up to the first that is refused, which the step itself will do.
        values: list[float] = (factors[: len(factors) if allowed.all() else allowed.argmin()] * base).tolist()
        return values

    def bases_of_all(self) -> list[float] | None:
        """The base of every param group; None if it does not schedule them all, or not by a key of their own."""
        if self.address.index is not None or self._seen != len(self._indices) or not self._warned_of_zero:
            return None
        return self._bases

    def _write(self, values: list[float]) -> None:
        groups = self.optimizer.param_groups
        for index, value in zip(self._indices, values, strict=True):
            self.address.write(groups[index], value)

    @property
    def lockstep(self) -> Lockstep:
        """The schedules that it steps with; by itself unless they are in a SynchronousSchedule."""
        return self._lockstep

    def join(self, lockstep: Lockstep) -> None:
        """Step with others from now on."""
        last_epoch = self.last_epoch
        self._lockstep.forget()
        self._lockstep = lockstep
        self._is_alone = False
        self.last_epoch = last_epoch

    # Attributes of LRScheduler that follow from others here.

    @property  # type: ignore[explicit-override]
    def last_epoch(self) -> int:
        """How many steps were made."""
        return self._lockstep.count + self.offset

    @last_epoch.setter
    def last_epoch(self, count: int) -> None:
        self.offset = count - self._lockstep.count
        self._lockstep.forget()

    @property  # type: ignore[explicit-override]
    def _step_count(self) -> int:
        return self.last_epoch + 1

    @_step_count.setter
    def _step_count(self, count: int) -> None:
        """Ignore what Accelerate adds to it: it counts nothing but steps."""

    @property
    def _last_lr(self) -> list[Any]:  # type: ignore[override,explicit-override]
        return self.last_values

    def _samples_then(self, samples: int | None) -> int:
        """By samples: how many there are after a step."""
        if samples is not None:
            samples = _checks.count("samples", samples, least=1)
        elif self._new_samples == 0:
            samples = self._samples_per_step
        if samples is None and self._new_samples == 0:
            raise ValueError(
                "this schedule counts samples, and none were added since the last step(); call step(samples=n), "
                "add_samples(n) before it, or give samples_per_step"
            )
        return self._samples + self._new_samples + (samples or 0)

    def add_samples(self, count: int) -> None:
        """By samples: note that so many more were learned from, as of the next :meth:`step`.

        Raises:
            TypeError: If it is no whole number.
            ValueError: If it is less than 1, or the schedule does not count samples.
        """
        if self._by != "samples":
            raise ValueError(f'only a schedule made with by="samples" counts them, this one has by={self._by!r}')
        self._new_samples += _checks.count("samples", count, least=1)

    # What it answers.

    @property
    def t(self) -> float:
        """Where it is on the curve, in what it counts: steps, samples, or the seconds up to now."""
        if self._by == "steps":
            return self.last_epoch
        return self._samples if self._by == "samples" else self._clock.monotonic() - self._origin

    @property
    def by(self) -> Literal["steps", "samples", "seconds"]:
        """What t counts."""
        return self._by

    @property
    def curve(self) -> Curve:
        """λ, with its horizon moved by :meth:`retarget`."""
        return self._retargeted(self._curve)

    @property
    def base_lrs(self) -> list[Any]:  # type: ignore[override,explicit-override]
        """The bases of the scheduled groups; 1.0 each if the values are absolute."""
        return list(self._bases)

    @property
    def indices(self) -> list[int]:
        """Which param groups it schedules, of those that there were at the last step."""
        return list(self._indices)

    @property
    def last_values(self) -> list[float]:
        """What was last written, for each scheduled group."""
        # Those worked out ahead are not noted at each step; they are what they were.
        return self._values_at(self.last_epoch) if self._is_ahead else list(self._written)

    @property
    def _is_ahead(self) -> bool:
        """Whether its factors are worked out ahead."""
        return self._vector is not None and self._by == "steps"

    @override
    def get_last_lr(self) -> list[Any]:
        """The same as :attr:`last_values`, under the name that every scheduler has for it."""
        return list(self.last_values)

    @override
    def get_lr(self) -> list[Any]:
        """The values at the present t."""
        return self.schedule_at(self.t)

    def schedule_at(self, t: float) -> list[float]:
        """Return the values at any t, for each scheduled group, without going there.

        Raises:
            TypeError: If t is no real number.
            ValueError: If t is negative or not finite, or a value there is not allowed.
        """
        return self._values_at(_checks.real("t", t, least=0.0))

    def retarget(self, horizon: float) -> None:
        """Let the curve end at another t than it would, without a jump: what is left of it is stretched.

        A :class:`~pamiq_sched.optim.curves.WarmupStableDecayCurve` begins its decay in time to end there, at once
        if need be.

        Args:
            horizon: The new end, in what t counts.

        Raises:
            ValueError: If it lies behind, or the curve has no end or has come to it.
        """
        t = self.t
        self.curve.retarget(t, horizon)  # refuses what cannot be done before anything has changed
        self._retargets.append((t, _checks.real("horizon", horizon)))
        self._rebuild()

    # Resuming.

    @override
    def state_dict(self) -> dict[str, Any]:
        """All that another schedule, made alike, needs to go on: plain numbers, strings, lists and dicts."""
        state: dict[str, Any] = {
            "target": name_at(self.optimizer, self.address),
            "mode": self._mode,
            "by": self._by,
            "curve": self._config(),
            "retargets": [list(pair) for pair in self._retargets],
            "bases": list(self._bases),
            "groups": list(self._indices),
            "last_epoch": self.last_epoch,
        }
        if self._by == "samples":
            state |= {"samples": self._samples, "new_samples": self._new_samples}
        if self._by == "seconds":
            state |= {"origin": self._origin, "now": self._clock.monotonic()}
        return state

    @override
    def load_state_dict(self, state_dict: Mapping[str, Any], *, curve: OnChangedCurve | None = None) -> None:
        """Go on where :meth:`state_dict` was taken, and write the value of that place.

        Args:
            state_dict: The state.
            curve: What to do if it was saved with another curve; ``on_changed_curve`` by default.

        Raises:
            TypeError: If something in the state is of the wrong kind.
            ValueError: If it is the state of something else, or of another curve; nothing has changed then.
        """
        restored = self.verify_state(state_dict, curve=curve)
        self.__dict__.update({name: value for name, value in vars(restored).items() if name not in _OF_LOCKSTEP})
        self.last_epoch = restored.last_epoch
        self._write(self._written)

    def verify_state(self, state: Mapping[str, Any], *, curve: OnChangedCurve | None = None) -> Schedule:
        """Return what :meth:`load_state_dict` would make of this schedule, which stays as it is.

        Raises:
            TypeError: As there.
            ValueError: As there.
        """
        owner = f"a schedule of {self.name!r}"
        _checks.instance(f"the state of {owner} must be", state, Mapping)
        _checks.state_keys(owner, state, set(self.state_dict()))
        for key, own in (
            ("target", name_at(self.optimizer, self.address)),
            ("mode", self._mode),
            ("by", self._by),
        ):
            if state[key] != own:
                raise ValueError(
                    f"the state of {owner} was saved with {key}={state[key]!r}, this one has {key}={own!r}; "
                    "make it as it was made then"
                )
        restored: Schedule = object.__new__(type(self))
        restored.__dict__.update(self.__dict__)
        restored._lockstep = Lockstep([restored])
        policy = self._on_changed_curve if curve is None else curve
        restored._take_over_curve(owner, state, _checks.choice("curve", policy, ("refuse", "new", "old")))

        indices, bases = _listed("groups", state["groups"]), _listed("bases", state["bases"])
        # Groups may have come since the last step.
        restored._take_up(restored.optimizer.param_groups)
        if indices != restored._indices or len(bases) != len(indices):
            raise ValueError(
                f"the state of {owner} is of the param groups {state['groups']!r} with {len(bases)} bases, the "
                f"optimizer has {restored._indices!r} to schedule; add the same groups before loading"
            )
        restored._bases = [_checks.real("a base in the state", base) for base in bases]
        restored.last_epoch = _checks.count("last_epoch in the state", state["last_epoch"])
        if self._by == "samples":
            restored._samples = _checks.count("samples in the state", state["samples"])
            restored._new_samples = _checks.count("new_samples in the state", state["new_samples"])
        if self._by == "seconds":
            # On a clock that was loaded as well the shift is exactly 0: bit-equal to never having stopped.
            origin, now = (_checks.real(f"{key} in the state", state[key]) for key in ("origin", "now"))
            restored._origin = origin + (self._clock.monotonic() - now)
        restored._rebuild()
        restored._written = restored._values_at(restored.t)
        return restored

    def _take_over_curve(self, owner: str, state: Mapping[str, Any], policy: str) -> None:
        retargets = [tuple(_listed("a retarget", pair)) for pair in _listed("retargets", state["retargets"])]
        if any(len(pair) != 2 for pair in retargets):
            raise ValueError(f"retargets in the state of {owner} must be pairs (t, horizon), got {retargets!r}")
        if state["curve"] != self._config():
            if policy == "refuse":
                raise ValueError(
                    f"the state of {owner} was saved with the curve {state['curve']!r}, this one has "
                    f'{self._config()!r}; load it with curve="new" to keep the new one, or curve="old" to go on '
                    'with the old one (in a trainer: make it with on_changed_curve="new" or "old")'
                )
            if policy == "new":
                self._retargets = []
                return
            self._use_config(state["curve"])
        self._retargets = [
            (_checks.real("a retarget's t", t), _checks.real("its horizon", end)) for t, end in retargets
        ]

    # How bases and curves come together; what a subclass with a curve for each base overrides.

    def _config(self) -> dict[str, Any]:
        """What a state must agree with, as plain values."""
        return self._curve.to_config()

    def _use_config(self, config: Mapping[str, Any]) -> None:
        """Take over what :meth:`_config` returned."""
        self._curve = Curve.from_config(config)

    def _rebuild(self) -> None:
        """Prepare what every step needs; called whenever bases, curve or horizon changed."""
        curve = self.curve
        self._function, self._vector = curve.function(), curve.vector()
        self._ahead = _NOTHING_AHEAD
        self._lockstep.forget()
        self._least, self._most = min(self._bases, default=1.0), max(self._bases, default=1.0)

    def _retargeted(self, curve: Curve) -> Curve:
        for t, end in self._retargets:
            curve = curve.retarget(t, end)
        return curve

    def _take_up(self, groups: Sequence[Group]) -> None:
        """Find the base of each scheduled group that was not there before."""
        if len(groups) < self._seen:
            raise ValueError(
                f"{self._seen - len(groups)} of the {self._seen} param groups of the optimizer are gone; which, "
                "their schedule cannot know: make a new one"
            )
        new = [index for index in range(self._seen, len(groups)) if self._choose(index, groups[index])]
        bases = [self._base(groups[index]) for index in new]
        self._indices, self._bases = self._indices + new, self._bases + bases
        self._seen = len(groups)
        self._rebuild()

    def _base(self, group: Group) -> float:
        value = self.address.read(group)
        if self._mode == "absolute":
            return 1.0
        if isinstance(self.optimizer, StandIn) and self.address.key == "lr":
            # As torch's schedulers do, so that several in sequence share the base of the first.
            group.setdefault("initial_lr", value)
            return Address("initial_lr").read(group)
        return value

    def _warn_of_zero(self) -> None:
        # Not when it is made: a state that is loaded next may bring another base.
        self._warned_of_zero = True
        if 0.0 in self._bases:
            warnings.warn(
                f"{self.name!r} is 0 in param group {self._indices[self._bases.index(0.0)]}, and a multiplier "
                'leaves it 0; give it another value before the schedule is made, or mode="absolute"',
                stacklevel=3,
            )

    def _as_float(self, value: object, t: float) -> float:
        try:
            return _checks.real(f"the curve of {self.name!r} at t = {t:g}", value)
        except ValueError:
            return math.nan  # which the domain refuses, naming group and value

    def _refuse(self, values: Iterable[float], t: float) -> None:
        for index, value in zip(self._indices, values, strict=True):
            if value not in self._domain:
                raise refusal(self.name, self._domain, index, t, value)

    # What torch's schedulers expect of one another.

    @override
    def _initial_step(self) -> None:
        self._write_at(0)
        self.last_epoch = 0

    @override
    def _update_lr(self, epoch: int | None = None) -> None:
        self.step(epoch)

    def __deepcopy__(self, memo: dict[int, Any]) -> Schedule:
        memo[id(self._clock)] = self._clock  # agent time is one, and no copy of it
        copied: Schedule = object.__new__(type(self))
        memo[id(self)] = copied
        copied.__dict__.update(copy.deepcopy(self.__dict__, memo))
        if self._by == "seconds":
            self._clock.add_watcher(copied)
        return copied

    def on_clock_changed(self, shift: float) -> None:
        """By seconds: go on from where it is; the clock calls this, on whatever thread changes it."""
        self._origin += shift

    @override
    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r}, {self.curve!r}, t={self.t:g})"


_OF_LOCKSTEP = {"_lockstep", "offset", "_is_alone"}  # what a schedule keeps when it takes over a state


def _listed(what: str, value: object) -> list[Any]:
    if not isinstance(value, list | tuple):
        raise TypeError(f"{what} in the state of a schedule must be a list, got {value!r}")
    return list(value)
