"""One way of learning: when to train, on what, and what happens at each step of it.

The lifecycle of a session is run(): is_trainable, setup, train, sync_models, teardown; teardown runs whenever
setup returned. Belongs to the training thread; a pause stops it between sessions and at its pause points.
"""

from __future__ import annotations

import logging
import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from typing_extensions import override

from pamiq_sched import _checks
from pamiq_sched.clock import Clock
from pamiq_sched.data import DataUser, DataUsersDict
from pamiq_sched.data.buffer import max_size_of
from pamiq_sched.lifecycle import (
    NO_PAUSE_POINT,
    ErrorCollector,
    PausePoint,
    PersistentStateMixin,
    ThreadEventMixin,
    call_all,
    not_attached,
)
from pamiq_sched.metrics.controls import Controls, Hyperparameter
from pamiq_sched.metrics.durations import DurationWindow
from pamiq_sched.metrics.journal import Journal, LoggingMixin
from pamiq_sched.model import TrainingModel, TrainingModelsDict
from pamiq_sched.schedulers import Callback, StepIntervalScheduler, TimeIntervalScheduler
from pamiq_sched.state import codec
from pamiq_sched.trainer.replay import ReplayAccount

_logger = logging.getLogger(__name__)

REPLAY_BURST = 1000
"""How many items' worth of training may be saved up, if nothing else is said."""


class Trainer(ABC, LoggingMixin, PersistentStateMixin, ThreadEventMixin):
    """Trains models on collected data; override :meth:`train`.

    A replay ratio (samples per insert) bounds how often an item is trained on, however fast training is: each
    item that is collected pays for ``max_replay_ratio`` samples, a session may begin while there is credit, and
    what it draws is taken off. So the samples trained never exceed the ratio times the items collected by more
    than one session, and they reach it in the long run if training keeps up. What is not used is saved up for
    ``max_replay_burst`` items at the most: neither a first filling of the buffer nor a stall is made up for
    beyond that. Items that a state brings back are not new. It is training that waits, never acting.

    Args:
        training_condition_data_user: The data that decides when to train; None trains all the time.
        min_buffer_size: How many items its buffer must hold.
        min_new_data_count: How many items must have been added since the last session began.
        clock: Agent time for :meth:`every_seconds`; the system clock by default.
        max_replay_ratio: How many samples of that data may be trained per item collected into it; no limit if
            not given. Counted are those that sessions of this trainer draw by :meth:`DataUser.sample` and its
            like, or tell by :meth:`DataUser.count_samples`.
        max_replay_burst: How many items' worth of training may be saved up; 1000 if not given, and at least
            ``min_new_data_count``. Less than what is collected in one go is never trained at the full ratio.

    Raises:
        TypeError: If a count is not a whole number, the ratio no number, or the name no string.
        ValueError: If a count or the ratio is out of range, or set without what it limits.

    Example:
        >>> from pamiq_sched import ManualClock, SequentialBuffer
        >>> from pamiq_sched.testing import connect_components
        >>> class Mean(Trainer):
        ...     def train(self) -> None:
        ...         data = self.get_data_user("numbers").get_data()
        ...         print(sum(data) / len(data))
        >>> trainer = Mean("numbers", min_buffer_size=2)
        >>> parts = connect_components(trainers=trainer, buffers={"numbers": SequentialBuffer(10)})
        >>> collector = parts.data_collectors["numbers"]
        >>> collector.collect(1.0)
        >>> trainer.run()
        False
        >>> collector.collect(2.0)
        >>> trainer.run()
        1.5
        True
    """

    def __init__(
        self,
        training_condition_data_user: str | None = None,
        min_buffer_size: int = 0,
        min_new_data_count: int = 0,
        *,
        clock: Clock | None = None,
        max_replay_ratio: float | None = None,
        max_replay_burst: int | None = None,
    ) -> None:
        super().__init__()
        if not isinstance(training_condition_data_user, str | None):
            raise TypeError(
                f"training_condition_data_user must be a name or None, got {training_condition_data_user!r}"
            )
        self._condition_name = training_condition_data_user
        self._min_buffer_size = _checks.count("min_buffer_size", min_buffer_size)
        self._min_new_data_count = _checks.count("min_new_data_count", min_new_data_count)
        if training_condition_data_user is None and (self._min_buffer_size or self._min_new_data_count):
            raise ValueError(
                f"min_buffer_size={min_buffer_size} and min_new_data_count={min_new_data_count} count the items "
                "of training_condition_data_user, which is None; name the data to count"
            )
        self._replay = self._open_account(max_replay_ratio, max_replay_burst)
        self._has_warned_of_no_samples = False
        self._has_drawn = False  # samples that are counted, in the last session
        self._clock = clock
        self._training_models: TrainingModelsDict | None = None
        self._data_users: DataUsersDict | None = None
        self._retrieved_model_names: dict[str, None] = {}  # a set that keeps its order
        self._added_at_last_session = 0  # how many items had ever been added when the last session began
        self.session_count = 0
        """Sessions that came to their end, in all runs that were continued. Written by the training thread."""
        self.is_in_session = False
        """Whether a session is under way. Written by the training thread."""
        self.step_count = 0
        """Optimizer steps, in all runs that were continued. Written by the training thread."""
        self.cycle_times = DurationWindow(1024)
        """Machine seconds of each session, from ``setup`` to the end of ``teardown``, pauses inside included."""
        self.sync_times = DurationWindow(1024)
        """Machine seconds of ``sync_models`` in each session."""
        self._pause_point: PausePoint = NO_PAUSE_POINT
        self._wake: Callable[[], None] = lambda: None
        self._schedulers: list[StepIntervalScheduler | TimeIntervalScheduler] = []

    def _open_account(self, ratio: float | None, burst: int | None) -> ReplayAccount:
        if ratio is None:
            if burst is not None:
                raise ValueError(
                    f"max_replay_burst={burst!r} is saved up for max_replay_ratio, which is None; give both"
                )
            return ReplayAccount(None, 0)
        checked = _checks.real("max_replay_ratio", ratio, above=0, remedy="for no limit, use None")
        if self._condition_name is None:
            raise ValueError(
                f"max_replay_ratio={ratio!r} counts the items of training_condition_data_user, which is None; "
                "name the data to count"
            )
        if burst is None:
            burst = max(REPLAY_BURST, self._min_new_data_count)
        return ReplayAccount(checked, _checks.count("max_replay_burst", burst, least=1, unit="item"))

    def attach_training_models(self, training_models: TrainingModelsDict) -> None:
        """Give the trainer the models; called once before the threads start."""
        self._training_models = training_models
        self.on_training_models_attached()

    def on_training_models_attached(self) -> None:
        """Called when :meth:`get_training_model` works; take the models here."""

    def attach_data_users(self, data_users: DataUsersDict) -> None:
        """Give the trainer the data; called once before the threads start.

        Raises:
            KeyError: If the data of the training condition is not there.
            ValueError: If the condition can never hold.
        """
        self._data_users = data_users
        self._take_condition()
        self.on_data_users_attached()

    def _take_condition(self) -> None:
        if self._condition_name is None:
            return
        user = self.get_data_user(self._condition_name)
        size = max_size_of(user.buffer)
        for name, least, most in (
            ("min_buffer_size", self._min_buffer_size, size),
            ("min_new_data_count", self._min_new_data_count, user.max_queue_size),
        ):
            if most is not None and least > most:
                raise ValueError(
                    f"{type(self).__name__} would never train: {name}={least} is more than the buffer "
                    f"{self._condition_name!r} can hold, {most}; lower {name} or enlarge the buffer"
                )
        self._replay.attach(user)

    def on_data_users_attached(self) -> None:
        """Called when :meth:`get_data_user` works; take the data users here."""

    def get_training_model(self, name: str) -> TrainingModel[Any]:
        """Return a model to train; it is synced after every session.

        Raises:
            KeyError: If there is none of that name to train.
            RuntimeError: If the models are not attached yet.
        """
        if self._training_models is None:
            raise RuntimeError(not_attached("training models", "on_training_models_attached"))
        model = self._training_models[name]
        self._retrieved_model_names[name] = None
        return model

    def get_data_user(self, name: str) -> DataUser[Any]:
        """Return the data to train on.

        Raises:
            KeyError: If there is none of that name.
            RuntimeError: If the data users are not attached yet.
        """
        if self._data_users is None:
            raise RuntimeError(not_attached("data users", "on_data_users_attached"))
        if name not in self._data_users:
            raise KeyError(f"there is no data user {name!r}; there are {sorted(self._data_users)}")
        return self._data_users[name]

    def attach_pause_point(self, pause_point: PausePoint) -> None:
        """Take the place where a session may be stopped; the runtime calls this before it starts."""
        self._pause_point = pause_point

    def attach_waker(self, wake: Callable[[], None]) -> None:
        """Take what wakes the training thread; the runtime calls this before it starts."""
        self._wake = wake

    def wake(self) -> None:
        """Have :meth:`is_trainable` asked now, though no data has come; any thread may call it."""
        self._wake()

    def pause_point(self) -> None:
        """Stop here while the system is paused; costs next to nothing otherwise.

        Raises:
            ShutdownRequested: If the system shuts down: the session ends here, ``teardown`` runs.
        """
        self._pause_point()

    @override
    def attach_journal(self, journal: Journal) -> None:
        """Take where numbers are logged to; the runtime calls this before it starts."""
        super().attach_journal(journal)
        journal.steps.advance(self.step_count)

    def every_steps(self, n: int, callback: Callback) -> StepIntervalScheduler:
        """Call ``callback`` at every n-th optimizer step; saved and resumed with the trainer.

        To be called in the constructor or in an ``on_..._attached`` hook, in the same order in every run.

        Returns:
            The scheduler, to register more callbacks.
        """
        scheduler = StepIntervalScheduler(n, callback)
        self._schedulers.append(scheduler)
        return scheduler

    def every_seconds(self, s: float, callback: Callback) -> TimeIntervalScheduler:
        """Call ``callback`` every ``s`` seconds of agent time, at the first optimizer step after it is due.

        To be called in the constructor or in an ``on_..._attached`` hook, in the same order in every run.

        Returns:
            The scheduler, to register more callbacks.
        """
        scheduler = TimeIntervalScheduler(s, callback, clock=self._clock)
        self._schedulers.append(scheduler)
        return scheduler

    def step_completed(self) -> None:
        """Tell that an optimizer step is done: embedded schedulers run, and a pause may stop here.

        ``TorchTrainer`` calls it by itself; a trainer with optimizers of its own kind calls it after each step.

        Raises:
            BaseException: What a callback raised.
            ShutdownRequested: If the system shuts down.
        """
        self.step_count += 1
        self._journal.steps.advance(self.step_count)
        call_all("several embedded schedulers raised", [scheduler.update for scheduler in self._schedulers])
        self._pause_point()

    def controls(self) -> Controls:
        """What can be seen and moved of this trainer while it learns; nothing without optimizers. Any thread."""
        return Controls()

    def set_hyperparameter(
        self,
        name: str,
        value: float,  # noqa: ARG002 - of those that have optimizers
        *,
        optimizer: str | None = None,  # noqa: ARG002 - likewise
        group: int | None = None,  # noqa: ARG002 - likewise
    ) -> Sequence[Hyperparameter]:
        """Set a hyperparameter that no schedule moves; in the training thread.

        Args:
            name: Which one: ``"weight_decay"``, ``"betas[0]"``, a key of your own.
            value: What to set it to.
            optimizer: Of which optimizer, by name; of all that have it if not given.
            group: Of which param group; of all that have it if not given.

        Returns:
            What was changed, with the old values.

        Raises:
            KeyError: If there is no such optimizer, or no such hyperparameter there.
            TypeError: If the value is no real number.
            ValueError: If the hyperparameter cannot take it, or a schedule moves it.
        """
        raise KeyError(f"{type(self).__name__} has no hyperparameter {name!r}: it has no optimizers to be set")

    def move_horizon(self, schedule: str, horizon: float) -> float:  # noqa: ARG002 - of those that have schedules
        """Let a schedule end at another moment, without a jump; in the training thread.

        Args:
            schedule: Its name, as :meth:`controls` gives it.
            horizon: The new end, in what it counts.

        Returns:
            Where it would have ended.

        Raises:
            KeyError: If there is no such schedule.
            TypeError: If it is one whose end cannot be moved, or the horizon is no number.
            ValueError: If it has no end or has come to it, or the new one lies behind.
        """
        raise KeyError(f"{type(self).__name__} has no schedule {schedule!r}: it has no schedules to be moved")

    def warm_up(self) -> None:
        """Pay first-call costs; the runtime calls this before it starts the threads."""

    def is_trainable(self) -> bool:
        """Whether to train now: enough data, and enough of it new since the last session began."""
        if self._condition_name is None:
            return True
        user = self.get_data_user(self._condition_name)
        user.update()
        return (
            len(user) >= self._min_buffer_size
            and user.added - self._added_at_last_session >= self._min_new_data_count
        )

    def seconds_until_trainable(self) -> float | None:
        """In how many agent seconds time alone may make it trainable.

        While no trainer can train, they are asked again when an item is collected, when the system resumes, after
        a session, and at :meth:`wake`. What depends on none of these has to say when to ask. Override this
        together with :meth:`is_trainable`; it is called right before it.

        Returns:
            Agent seconds; infinity, or 0 if the time has come, for nothing but those events. None if it cannot
            tell: it is asked 20 times a second then, which is what an overridden ``is_trainable`` costs by
            default.

        Example:
            >>> import math
            >>> class OnDemand(Trainer):
            ...     is_wanted = False
            ...     def is_trainable(self):
            ...         return self.is_wanted
            ...     def seconds_until_trainable(self):
            ...         return math.inf
            ...     def demand(self):
            ...         self.is_wanted = True
            ...         self.wake()
            ...     def train(self):
            ...         self.is_wanted = False
        """
        return math.inf if type(self).is_trainable is Trainer.is_trainable else None

    @property
    def replay_ratio(self) -> float | None:
        """Samples trained per item collected since this process began to count; None before the first item.

        Of the data of the training condition, in sessions that are over; also without a limit. Any thread.
        """
        return self._replay.ratio

    @property
    def has_replay_credit(self) -> bool:
        """Whether ``max_replay_ratio`` leaves something to train behind the last session; for the training thread.

        False without a limit, and when that session drew nothing that is counted, so that the limit does not bind.
        """
        return self._replay.max_ratio is not None and self._has_drawn and self._replay.allows()

    def setup(self) -> None:
        """Called before a session; an override calls ``super().setup()``."""

    @abstractmethod
    def train(self) -> None:
        """Train: one session, which may be stopped and continued at its pause points."""

    def sync_models(self) -> None:
        """Carry over to the agents what the models that were retrieved here have learned."""
        if self._training_models is not None:
            for name in self._retrieved_model_names:
                self._training_models[name].sync()

    def teardown(self) -> None:
        """Called after a session, whatever it raised; an override calls ``super().teardown()``."""

    def run(self) -> bool:
        """Run one session if it is time for one.

        Returns:
            Whether there was a session.

        Raises:
            BaseException: What a hook raised; a group if teardown raised as well.
        """
        # The limit comes first, and is not part of is_trainable(): an override cannot switch it off, and what it
        # answers once only is not asked in vain.
        if not self._replay.allows() or not self.is_trainable():
            return False
        if self._condition_name is not None:
            # Here and not in is_trainable(): what an override turns down is still new the next time.
            self._added_at_last_session = self.get_data_user(self._condition_name).added
        self.is_in_session = True
        self._replay.begin()
        try:
            self._run_session()
        finally:
            self._has_drawn = self._replay.end() > 0
            self.is_in_session = False
        self.session_count += 1
        if self._replay.max_ratio is not None and not self._has_drawn and not self._has_warned_of_no_samples:
            self._has_warned_of_no_samples = True
            _logger.warning(
                "a session of %s drew no sample that was counted, so max_replay_ratio=%s does not limit it; draw "
                "by DataUser.sample() of %r, or tell its DataUser.count_samples(n) (said once)",
                type(self).__name__,
                self._replay.max_ratio,
                self._condition_name,
            )
        return True

    def _run_session(self) -> None:
        begin = time.perf_counter()
        self._journal.steps.advance(
            self.step_count
        )  # of values that are logged before the first step, or without any
        self.setup()
        errors = ErrorCollector(f"{type(self).__name__} raised in its session and in teardown")
        with errors:
            self.train()
            trained = time.perf_counter()
            self.sync_models()
            self._count_time("sync_time", self.sync_times, trained)
        with errors:
            self.teardown()
        errors.raise_collected()
        self._count_time("cycle_time", self.cycle_times, begin)

    def _count_time(self, name: str, window: DurationWindow, since: float) -> None:
        seconds = time.perf_counter() - since
        window.add(seconds)
        self.log(name, seconds)

    @override
    def save_state(self, path: Path) -> None:
        """Save into the directory ``path``, which this makes; an override calls this first."""
        path.mkdir()
        state = {
            "added_at_last_session": self._added_at_last_session,
            "session_count": self.session_count,
            "step_count": self.step_count,
            "replay": self._replay.state_dict(),
            "schedulers": [scheduler.state_dict() for scheduler in self._schedulers],
        }
        codec.save(state, path / "trainer")

    @override
    def load_state(self, path: Path) -> None:
        """Load from the directory ``path``; an override calls this first.

        Raises:
            ValueError: If the state has other embedded schedulers.
        """
        state = codec.load(path / "trainer")
        keys = {"added_at_last_session", "session_count", "step_count", "replay", "schedulers"}
        _checks.state_keys(type(self).__name__, state, keys)
        if len(state["schedulers"]) != len(self._schedulers):
            raise ValueError(
                f"{type(self).__name__} has {len(self._schedulers)} embedded schedulers, its state {path} has "
                f"{len(state['schedulers'])}; embed the same ones, in the same order"
            )
        for scheduler, scheduler_state in zip(self._schedulers, state["schedulers"], strict=True):
            scheduler.load_state_dict(scheduler_state)
        self._added_at_last_session = int(state["added_at_last_session"])
        self.session_count = int(state["session_count"])
        self.step_count = int(state["step_count"])
        self._journal.steps.advance(self.step_count)
        self._replay.load_state_dict(state["replay"])
