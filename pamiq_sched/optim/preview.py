"""What a schedule would do, without doing it.

The one invariant: neither the optimizer nor the schedule that is asked about changes. Curves are asked for their
values; any other scheduler is copied, and the copy steps on a copy of the hyperparameters, without parameters.
Whoever steps the schedule may ask, or any thread while it is not stepped.
"""

from __future__ import annotations

import copy
import io
import shutil
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from pamiq_sched import _checks
from pamiq_sched.clock import Clock
from pamiq_sched.optim._terminal import panel
from pamiq_sched.optim.address import LR, Address, Group, domain_of
from pamiq_sched.optim.build import Config, build_optimizer, build_scheduler, read_config
from pamiq_sched.optim.plateau import MetricOrNone
from pamiq_sched.optim.schedule import Schedule
from pamiq_sched.optim.stand_in import copied, name_at, require_optimizer, underlying
from pamiq_sched.optim.synchronous import SynchronousSchedule

Array: TypeAlias = npt.NDArray[np.float64]

# A group of no optimizer in particular: that much OneCycleLR and CyclicLR look for.
_ANY_GROUP = {"lr": 1.0, "betas": (0.9, 0.999)}

# Okabe & Ito's palette, which colour-blind people can tell apart.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#777777", "#000000")


@dataclass(frozen=True, eq=False)
class Preview:
    """The values of hyperparameters over a number of steps; its arrays cannot be written to."""

    steps: npt.NDArray[Any]
    """Shape (steps + 1,): t, from where the schedule is."""
    values: dict[str, Array]
    """By hyperparameter (or the name of its schedule), of shape (steps + 1, groups); row 0 is what it has now."""
    unit: str
    """What t counts: ``"steps"``, ``"samples"`` or ``"seconds"``."""
    groups: dict[str, list[int]]
    """By hyperparameter, the indices of the param groups that the columns are of."""

    def array(self, name: str) -> Array:
        """Return the values of one hyperparameter, of shape (steps + 1, groups).

        Raises:
            KeyError: If there is none of that name.
        """
        if name not in self.values:
            raise KeyError(_checks.unknown("hyperparameter in this preview", name, self.values))
        return self.values[name]

    def lines(self, name: str) -> dict[str, Array]:
        """Return the values of one hyperparameter by label, each of shape (steps + 1,); equal groups share one.

        Raises:
            KeyError: If there is none of that name.
        """
        columns = self.array(name).T
        shared: dict[bytes, list[int]] = {}
        for column, values in enumerate(columns):
            shared.setdefault(values.tobytes(), []).append(column)
        indices = self.groups[name]
        return {_label([indices[one] for one in equal]): columns[equal[0]] for equal in shared.values()}

    def plot(self, width: int | None = None, height: int = 9) -> str:
        """Return a plot for the terminal: a panel for each hyperparameter, a line for each group that differs.

        Lines differ in colour if stdout is a terminal and the environment variable ``NO_COLOR`` is not set.

        Args:
            width: Characters in a row, at least 40; those of the terminal by default.
            height: Rows of a panel, at least 3.

        Raises:
            ImportError: If plotille is not installed.
            ValueError: If there is too little room.
        """
        if width is None:
            width = max(40, shutil.get_terminal_size().columns)
        t = self.steps.astype(np.float64)
        return "\n\n".join(
            panel(name, t, self.lines(name), unit=self.unit, width=width, height=height) for name in self.values
        )

    def save_png(self, path: str | Path) -> Path:
        """Write a picture: a panel for each hyperparameter over one axis.

        Args:
            path: Ends in ``.png``; a file that is there is replaced.

        Returns:
            The path.

        Raises:
            ImportError: If matplotlib is not installed.
            ValueError: If the path ends in something else.
            OSError: If it cannot be written.
        """
        path = Path(path)
        if path.suffix.lower() != ".png":
            raise ValueError(f"a preview is saved as a PNG, so its file must end in .png, got {str(path)!r}")
        try:
            from matplotlib.figure import Figure  # noqa: PLC0415 - an extra
        except ImportError as error:
            raise ImportError("pictures need matplotlib: pip install 'pamiq-sched[plot]'") from error
        # Not pyplot, which has a state of its own and belongs to one thread.
        figure = Figure(figsize=(8.0, 0.9 + 2.3 * len(self.values)), layout="constrained")
        panels = figure.subplots(len(self.values), sharex=True, squeeze=False)[:, 0]
        for axes, name in zip(panels, self.values, strict=True):
            lines = self.lines(name)
            for index, (label, line) in enumerate(lines.items()):
                axes.plot(self.steps, line, label=label, color=_COLOURS[index % len(_COLOURS)], linewidth=1.8)
            axes.set_ylabel(name)
            axes.grid(alpha=0.25)
            axes.margins(x=0.01, y=0.08)
            axes.ticklabel_format(axis="y", style="sci", scilimits=(-3, 4), useMathText=True)
            if len(lines) > 1:
                axes.legend(fontsize="small", ncols=1 + (len(lines) - 1) // 8)
        panels[-1].set_xlabel("t (s)" if self.unit == "seconds" else f"t ({self.unit})")
        picture = io.BytesIO()
        figure.savefig(picture, format="png", dpi=120)
        path.write_bytes(picture.getvalue())
        return path


def _label(groups: list[int]) -> str:
    if len(groups) == 1:
        return f"group {groups[0]}"
    if len(groups) > 4:
        return f"groups {', '.join(map(str, groups[:3]))}, ... ({len(groups)})"
    return f"groups {', '.join(map(str, groups))}"


def preview_schedule(
    what: Config | LRScheduler,
    steps: int,
    *,
    optimizer: Optimizer | None = None,
    bases: Mapping[str, float] | None = None,
) -> Preview:
    """Return what a schedule would do in its next steps; nothing changes, neither it nor its optimizer.

    One that follows a metric is given none: it keeps its value. Schedules by samples or seconds are asked for
    that many samples or seconds instead of steps. Groups that were added since the last step are left out.

    Args:
        what: A schedule that there is, previewed from where it is: of this library or any ``LRScheduler`` of
            torch. Or a config as for :func:`build_scheduler`, previewed from its start; one with the sections
            ``optimizer`` and ``scheduler`` has the bases with it.
        steps: How many, at least 1.
        optimizer: For a config: has the bases; it is only read.
        bases: For a config: bases by hyperparameter, as ``{"lr": 0.1}``; they go before any others. Without all
            of these a base is 1.0, or 0.9 where 1.0 is not allowed (``betas`` are Adam's).

    Raises:
        TypeError: If an argument is of the wrong kind, or there are bases for a schedule that has some.
        ValueError: If there are fewer than 1 steps, or schedules that count different things; and whatever the
            config, the scheduler or a value that is not allowed gives rise to.

    Example:
        >>> preview = preview_schedule({"name": "StepLR", "step_size": 2, "gamma": 0.5}, 4, bases={"lr": 0.1})
        >>> preview.array("lr")[:, 0].tolist()
        [0.1, 0.1, 0.05, 0.05, 0.025]
    """
    _checks.count("steps", steps, least=1)
    if not isinstance(what, LRScheduler):
        return _preview(_built(what, optimizer, bases), steps, begins=True)
    if optimizer is not None or bases is not None:
        raise TypeError(
            f"optimizer and bases are for a config, but this {type(what).__name__} has its own; leave them out"
        )
    return _preview(what, steps, begins=False)


# From a config.


def _built(config: Config, optimizer: Optimizer | None, bases: Mapping[str, float] | None) -> LRScheduler:
    """Make the schedule of a config on hyperparameters of their own."""
    if isinstance(config, Path) or (isinstance(config, str) and config.endswith((".yaml", ".yml"))):
        config = read_config(Path(config))
    sections: Mapping[str, Any] = {}
    if isinstance(config, Mapping) and "name" not in config and "scheduler" in config:
        sections = config
    if optimizer is None and "optimizer" in sections:
        optimizer = build_optimizer([torch.zeros(1, 1)], sections["optimizer"])
    if optimizer is None:
        shadow = _Shadow([{"params": [], **_ANY_GROUP}], _ANY_GROUP)
        for target in _targets(sections.get("scheduler", config)):
            _put(shadow.param_groups[0], target, None)
    else:
        require_optimizer(optimizer)
        shadow = _Shadow(optimizer.param_groups, optimizer.defaults)
    for key, base in (bases or {}).items():
        for group in shadow.param_groups:
            _put(group, key, _checks.real(f"the base of {key!r}", base))
    return build_scheduler(shadow, config)


def _targets(config: Any) -> Iterator[str]:
    """The hyperparameters in a config that come without a value."""
    for node in [config] if isinstance(config, Mapping) else config if isinstance(config, Sequence) else []:
        if isinstance(node, Mapping) and node.get("default_value") is None:
            yield node.get("schedule_target") or "lr"


def _put(group: Group, target: str, base: float | None) -> None:
    """Put a base into a group, which may not have the hyperparameter yet; None for any that is allowed."""
    address = Address.parse(target)
    fallback = 1.0 if 1.0 in domain_of(address) else 0.9
    if address.key not in group:
        group[address.key] = fallback if address.index is None else (fallback,) * (address.index + 1)
    if base is not None:
        address.write(group, base)


# Over steps.


def _preview(schedule: LRScheduler, steps: int, *, begins: bool) -> Preview:
    members = list(schedule.schedules.values()) if isinstance(schedule, SynchronousSchedule) else [schedule]
    counted = {member.by if isinstance(member, Schedule) else "steps" for member in members}
    if len(counted) > 1:
        raise ValueError(
            f"a preview has one axis, but these schedules count {' and '.join(sorted(counted))}; "
            "preview each by itself"
        )
    (unit,) = counted
    ahead = np.arange(steps + 1)
    values: dict[str, Array] = {}
    groups: dict[str, list[int]] = {}
    for member in members:
        if isinstance(member, Schedule):
            values[member.name] = _asked(member, (0.0 if begins else member.t) + ahead)
            groups[member.name] = member.indices
        else:
            stepped = _stepped(member, steps)
            values |= stepped
            groups |= {name: list(range(table.shape[1])) for name, table in stepped.items()}
    for table in values.values():
        table.setflags(write=False)
    first = members[0]
    start = 0 if begins else first.t if isinstance(first, Schedule) else _count(first)
    t = start + ahead
    t.setflags(write=False)
    return Preview(t, values, unit, groups)


def _asked(schedule: Schedule, ts: npt.NDArray[Any]) -> Array:
    # Of a shallow copy: what it works out ahead is not to take the place of the schedule's own.
    shadow = copy.copy(schedule)
    return np.array([shadow.schedule_at(t) for t in ts.tolist()], dtype=np.float64)


def _stepped(schedule: LRScheduler, steps: int) -> dict[str, Array]:
    """Step a copy; return the values of what it is for, and of all else that it moves."""
    shadow, optimizer = _shadowed(schedule)
    groups = optimizer.param_groups
    target = name_at(schedule.optimizer, LR)
    addresses = {target: Address.parse(target)}
    if target == "lr":
        addresses |= {name: Address.parse(name) for name in _numbers_in(groups) if name not in addresses}
    rows: dict[str, list[list[float]]] = {name: [] for name in addresses}
    # torch's own plateau cannot do without a metric.
    moves = not isinstance(shadow, ReduceLROnPlateau) or isinstance(shadow, MetricOrNone)
    for step in range(steps + 1):
        if step and moves:
            shadow.step()
        for name, address in addresses.items():
            rows[name].append([float(address.get(group)) for group in groups])
    tables = {name: np.array(table, dtype=np.float64) for name, table in rows.items()}
    return {name: table for name, table in tables.items() if name == target or (table != table[0]).any()}


def _numbers_in(groups: Sequence[Group]) -> list[str]:
    """What all groups have that a scheduler of the learning rate may move along, such as ``"betas[0]"``."""
    names: list[str] = []
    for key, value in groups[0].items():
        elements = value if isinstance(value, tuple | list) else None
        found = [key] if elements is None else [f"{key}[{index}]" for index in range(len(elements))]
        names += [name for name in found if key != "params" and all(_has_number(group, name) for group in groups)]
    return names


def _has_number(group: Group, name: str) -> bool:
    try:
        Address.parse(name).read(group)
    except (KeyError, TypeError, ValueError):
        return False
    return True


def _count(schedule: LRScheduler) -> int:
    """How many steps were made, which torch's chained scheduler does not count by itself."""
    members = getattr(schedule, "_schedulers", ())
    if not hasattr(schedule, "last_epoch") and members:
        return _count(members[0])
    return schedule.last_epoch


# Copies.


class _Shadow(Optimizer):
    """The hyperparameters of an optimizer, without its parameters and its state."""

    def __init__(self, groups: Sequence[Mapping[str, Any]], defaults: Mapping[str, Any]) -> None:
        # Not Optimizer.__init__, which wants parameters.
        self.param_groups = [
            {key: [] if key == "params" else copied(value) for key, value in group.items()} for group in groups
        ]
        self.defaults = dict(defaults)
        self.state = defaultdict(dict)
        _mark_as_stepped(self)


def _no_step(*_args: Any) -> None:
    """Stand for an optimizer's step()."""


_no_step._wrapped_by_lr_sched = True  # type: ignore[attr-defined]  # noqa: SLF001 - torch's mark


def _mark_as_stepped(optimizer: Any) -> None:
    """Keep torch from warning of a scheduler that steps before its optimizer: this one never steps."""
    optimizer.step = _no_step
    optimizer._opt_called = True  # noqa: SLF001 - torch's mark


def _shadowed(schedule: LRScheduler) -> tuple[LRScheduler, Optimizer]:
    """Return a copy of a schedule, and the copied hyperparameters that it moves."""
    memo: dict[int, Any] = {}
    for part in _parts(schedule, set()):
        if isinstance(part, Clock):
            memo[id(part)] = part
        else:
            # A stand-in is copied with the schedule; the optimizer behind it is not.
            optimizer = underlying(part)
            memo.setdefault(id(optimizer), _Shadow(optimizer.param_groups, optimizer.defaults))
    shadow = copy.deepcopy(schedule, memo)
    return shadow, underlying(shadow.optimizer)


def _parts(thing: Any, seen: set[int]) -> Iterator[Any]:
    """The optimizers and clocks in a scheduler and all that it is made of."""
    if id(thing) in seen:
        return
    seen.add(id(thing))
    if isinstance(thing, Optimizer | Clock):
        yield thing
    elif isinstance(thing, Mapping):
        for value in thing.values():
            yield from _parts(value, seen)
    elif isinstance(thing, list | tuple):
        for value in thing:
            yield from _parts(value, seen)
    elif isinstance(thing, LRScheduler) or isinstance(getattr(thing, "optimizer", None), Optimizer):
        for value in vars(thing).values():
            yield from _parts(value, seen)
