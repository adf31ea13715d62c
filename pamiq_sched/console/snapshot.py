"""What a system told about itself at one moment, as far as the command line shows it. Immutable.

The invariant: whatever arrives is turned into values of the types named here, or refused by a :class:`Failure`, so
that nothing that shows them can meet with anything else. A key that is missing is taken for one without a value.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pamiq_sched._text import printable
from pamiq_sched.console.client import NotReachedError

OWN = ("cycle_time", "sync_time", "replay_ratio")
"""Numbers of a trainer by the runtime itself, which are shown in places of their own."""


@dataclass(frozen=True)
class Times:
    """How long something takes, in seconds; None if it is not known."""

    count: int
    p50: float | None
    p99: float | None


@dataclass(frozen=True)
class ScheduleView:
    """A schedule: its values by param group, and where it stands."""

    name: str
    values: tuple[float | None, ...]
    t: float | None
    by: str
    horizon: float | None


@dataclass(frozen=True)
class TrainerView:
    """A trainer."""

    name: str
    sessions: int
    is_in_session: bool
    steps: int
    replay_ratio: float | None
    cycle_times: Times
    settable: tuple[str, ...]
    """The hyperparameters that no schedule moves."""
    schedules: tuple[ScheduleView, ...]
    numbers: Mapping[str, float | None]
    """What it logged, without its own name."""


@dataclass(frozen=True)
class BufferView:
    """A buffer."""

    name: str
    items: int
    max_size: int | None
    dropped: int


@dataclass(frozen=True)
class ModelView:
    """How far what the agent acts upon is behind what was learned."""

    name: str
    version: int
    versions_behind: int
    seconds_behind: float | None


@dataclass(frozen=True)
class Snapshot:
    """A system at one moment."""

    state: str
    uptime: float | None
    pid: int
    program: str
    time_scale: float | None
    steps: int
    steps_per_second: float | None
    interval: float | None
    deadline_misses: int
    step_times: Times
    lateness: Times
    trainers: tuple[TrainerView, ...]
    buffers: tuple[BufferView, ...]
    models: tuple[ModelView, ...]
    pauses: int
    last_saved: str | None
    last_saved_at: float | None
    is_saving: bool
    stuck: Mapping[str, str]
    not_restored: tuple[str, ...]
    agent: Mapping[str, float | None]
    """What the agent logged, without the ``agent/``."""

    @classmethod
    def of(cls, document: Any) -> Snapshot:
        """Return what ``GET /api/status`` and the events of that name tell.

        Raises:
            NotReachedError: If it is something else.
        """
        try:
            return _snapshot(_Fields(document))
        except (AttributeError, TypeError, ValueError, OverflowError) as error:
            raise NotReachedError(
                f"the system tells about itself what this version does not know: {error}"
            ) from None


class _Fields:
    """An object of JSON, read by the kinds of what is in it."""

    def __init__(self, value: Any) -> None:
        if not isinstance(value, dict):
            raise TypeError(f"an object was expected, got {type(value).__name__}")
        self.values = value

    def number(self, key: str) -> float | None:
        value = self.values.get(key)
        return None if value is None else _number(value)

    def count(self, key: str) -> int:
        return int(self.number(key) or 0)

    def text(self, key: str) -> str:
        return self.text_or_none(key) or ""

    def text_or_none(self, key: str) -> str | None:
        value = self.values.get(key)
        return None if value is None else "\n".join(map(printable, str(value).splitlines()))

    def flag(self, key: str) -> bool:
        return self.values.get(key) is True

    def object(self, key: str) -> _Fields:
        value = self.values.get(key)
        return _Fields({} if value is None else value)

    def objects(self, key: str) -> dict[str, _Fields]:
        return {printable(name): _Fields(value) for name, value in self.object(key).values.items()}

    def list(self, key: str) -> list[Any]:
        value = self.values.get(key)
        if value is None:
            return []
        if not isinstance(value, list):
            raise TypeError(f"{key} must be a list, got {type(value).__name__}")
        return value

    def texts(self, key: str) -> dict[str, str]:
        fields = self.object(key)
        return {printable(name): fields.text(name) for name in fields.values}


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"a number was expected, got {value!r}")
    return float(value)


def _snapshot(status: _Fields) -> Snapshot:
    numbers = {name: value.number("value") for name, value in status.objects("numbers").items()}
    state = status.text("state")
    if not state:
        raise ValueError("it has no state")
    return Snapshot(
        state=state,
        uptime=status.number("uptime"),
        pid=status.count("pid"),
        program=status.text("program"),
        time_scale=status.number("time_scale"),
        steps=status.count("steps"),
        steps_per_second=status.number("steps_per_second"),
        interval=status.number("interval"),
        deadline_misses=status.count("deadline_misses"),
        step_times=_times(status.object("step_times")),
        lateness=_times(status.object("lateness")),
        trainers=tuple(_trainer(name, t, numbers) for name, t in status.objects("trainers").items()),
        buffers=tuple(
            BufferView(name, b.count("items"), b.count("max_size") or None, b.count("dropped"))
            for name, b in status.objects("buffers").items()
        ),
        models=tuple(
            ModelView(name, m.count("version"), m.count("versions_behind"), m.number("seconds_behind"))
            for name, m in status.objects("models").items()
        ),
        pauses=status.count("pauses"),
        last_saved=status.text_or_none("last_saved"),
        last_saved_at=status.number("last_saved_at"),
        is_saving=status.flag("is_saving"),
        stuck=status.texts("stuck"),
        not_restored=tuple(printable(str(what)) for what in status.list("not_restored")),
        agent=_below("agent/", numbers),
    )


def _times(times: _Fields) -> Times:
    return Times(times.count("count"), times.number("p50"), times.number("p99"))


def _trainer(name: str, trainer: _Fields, numbers: Mapping[str, float | None]) -> TrainerView:
    hyperparameters = [_Fields(each) for each in trainer.list("hyperparameters")]
    schedules = [_Fields(each) for each in trainer.list("schedules")]
    return TrainerView(
        name=name,
        sessions=trainer.count("sessions"),
        is_in_session=trainer.flag("is_in_session"),
        steps=trainer.count("steps"),
        replay_ratio=trainer.number("replay_ratio"),
        cycle_times=_times(trainer.object("cycle_times")),
        settable=tuple(dict.fromkeys(h.text("name") for h in hyperparameters if h.text("schedule") == "")),
        schedules=tuple(
            ScheduleView(
                s.text("name"),
                tuple(None if value is None else _number(value) for value in s.list("values")),
                s.number("t"),
                s.text("by"),
                s.number("horizon"),
            )
            for s in schedules
        ),
        numbers={
            key: value
            for key, value in _below(f"{name}/", numbers).items()
            if key not in OWN and not key.startswith("scheduled/")
        },
    )


def _below(prefix: str, numbers: Mapping[str, float | None]) -> dict[str, float | None]:
    return {name.removeprefix(prefix): value for name, value in numbers.items() if name.startswith(prefix)}
