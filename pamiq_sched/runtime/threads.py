"""The two working threads: one acts, one learns.

Each runs its loop between pause points until it is told to shut down or something raises, tears down what
was set up, and reports its end with all that was raised. Counters are written by their own thread only; a
reader sees a recent value.
"""

from __future__ import annotations

import logging
import math
import sys
import threading
import traceback
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

from typing_extensions import override

from pamiq_sched.clock import Clock
from pamiq_sched.interaction import FixedIntervalInteraction, Interaction
from pamiq_sched.interaction.parts import set_up, tear_down
from pamiq_sched.lifecycle import ErrorCollector, ShutdownRequested
from pamiq_sched.runtime.budget import limit_torch_threads, sharpen_timers
from pamiq_sched.runtime.components import take_step
from pamiq_sched.runtime.controller import Controller, Errands, ThreadPausePoint
from pamiq_sched.schedulers import TimeIntervalScheduler
from pamiq_sched.state import StepSaveCondition
from pamiq_sched.trainer import Trainer, TrainersDict

_logger = logging.getLogger(__name__)

SECONDS_BETWEEN_QUESTIONS = 0.05
"""How often an idle training thread asks a trainer that cannot tell when it may be trainable: the price of an
``is_trainable()`` that was written for other systems. Of the machine's time, for it may decide by anything."""

LEAST_WAIT = 0.001
"""No shorter wait for agent time: a clock that stands still a rounding error before the moment is not spun on."""

LONGEST_WAIT = 86_400.0
"""A day: the lock underneath does not take centuries."""


def machine_seconds(clock: Clock, agent_seconds: float, longest: float = LONGEST_WAIT) -> float:
    """How long to wait for a span of agent time, or until somebody tells that the clock has changed."""
    span = math.inf if clock.is_paused() else agent_seconds / clock.get_time_scale()
    return min(max(span, LEAST_WAIT), longest)


class OwnThread(ABC):
    """A thread of the system's own.

    Args:
        name: What it does.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        # A daemon, so that user code that never returns, or a disk, cannot keep the process from ending.
        self._thread = threading.Thread(target=self._main, name=f"pamiq-{name}", daemon=True)

    def start(self) -> None:
        """Start working."""
        self._thread.start()

    def join(self) -> None:
        """Wait for the end of a thread that has reported it."""
        self._thread.join()

    def is_current(self) -> bool:
        """Whether the caller is this thread."""
        return threading.current_thread() is self._thread

    def stack(self) -> str:
        """Where the thread is now, as a traceback reads."""
        frame = sys._current_frames().get(self._thread.ident or 0)  # noqa: SLF001 - there is no public way
        return "".join(traceback.format_stack(frame)) if frame else "  (not running)\n"

    @abstractmethod
    def _main(self) -> None:
        """What it does, to its end."""


class WatchedThread(OwnThread):
    """A thread that the watchdog looks at."""

    @property
    @abstractmethod
    def passes(self) -> int:
        """How often it has come by, by which the watchdog sees that it lives; any thread."""

    def is_waiting(self) -> bool:
        """Whether it waits for something to do, and so need not come by; any thread."""
        return False

    def longest_rest(self) -> float:
        """How many seconds it may rest between two of its steps by its own plan; any thread."""
        return 0.0


class WorkerThread(WatchedThread):
    """A thread that works until it is told to stop.

    Args:
        name: ``"inference"`` or ``"training"``.
        controller: Holds the order.
        hooks: The component whose ``on_paused`` and ``on_resumed`` are called.
        acknowledge: Called with this thread and the number of a pause.
        report_end: Called with this thread as the last thing that it does.
        torch_threads: Cores that one torch operation may use here.
    """

    def __init__(
        self,
        name: str,
        controller: Controller,
        hooks: Interaction[Any, Any] | TrainersDict,
        acknowledge: Callable[[WorkerThread, int], None],
        report_end: Callable[[WorkerThread], None],
        torch_threads: int,
    ) -> None:
        super().__init__(name)
        self.errands = Errands()
        """What others want to be done in this thread."""
        self.pause_point = ThreadPausePoint(
            controller,
            hooks.on_paused,
            hooks.on_resumed,
            lambda number: acknowledge(self, number),
            self.errands,
        )
        self.errors: list[BaseException] = []
        """What was raised; complete when the end is reported."""
        self._report_end = report_end
        self._torch_threads = torch_threads

    @property
    @override
    def passes(self) -> int:
        """How often it came by its pause points; any thread."""
        return self.pause_point.passes

    @override
    def _main(self) -> None:
        self.pause_point.own()
        collector = ErrorCollector(f"several errors in the {self.name} thread")
        with collector:
            limit_torch_threads(self._torch_threads)
            self._work(collector)
        self.errors = [e for e in collector.errors if not isinstance(e, ShutdownRequested)]
        for error in self.errors:
            error.add_note(f"raised in the {self.name} thread of the system")
        self._report_end(self)

    @abstractmethod
    def _work(self, errors: ErrorCollector) -> None:
        """Work until a pause point raises, and clean up."""


class InferenceThread(WorkerThread):
    """Steps the interaction.

    Args:
        interaction: What to step.
        clock: Agent time.
        log_interval: Agent seconds between two log lines about the steps.
        condition: When to save; of those that go by steps this thread tells when it is time to ask.
        on_due_step: Called when it is.
        **kwargs: See :class:`WorkerThread`.
    """

    def __init__(
        self,
        interaction: Interaction[Any, Any],
        *,
        clock: Clock,
        log_interval: float,
        condition: Callable[[], bool] | None,
        on_due_step: Callable[[], None],
        **kwargs: Any,
    ) -> None:
        super().__init__("inference", hooks=interaction, **kwargs)
        self._interaction = interaction
        self._condition = condition if isinstance(condition, StepSaveCondition) else None
        self._on_due_step = on_due_step
        self._told_of: float = 0.0  # the last step that was due and told
        interaction.attach_pause_point(self.pause_point)
        self.adjustor = interaction.adjustor if isinstance(interaction, FixedIntervalInteraction) else None
        """What paces the steps, if something does."""
        self._clock = clock
        self._logged_steps = 0
        self._logged_at = 0.0
        self._log_scheduler = TimeIntervalScheduler(log_interval, self._log_steps, clock=clock)

    @override
    def _work(self, errors: ErrorCollector) -> None:
        sharpen_timers()
        set_up(self._interaction)
        self._logged_at, self._logged_steps = self._clock.monotonic(), self._interaction.steps
        with errors:
            while True:
                self.pause_point()
                self._step()
                self._log_scheduler.update()
        with errors:
            tear_down(self._interaction)

    def _step(self) -> None:
        interaction = self._interaction
        take_step(interaction)
        if self._condition is not None:
            due = self._condition.next_step
            if interaction.steps >= due != self._told_of:
                self._told_of = due
                self._on_due_step()

    @override
    def longest_rest(self) -> float:
        return self.adjustor.interval / self._clock.get_time_scale() if self.adjustor else 0.0

    def _log_steps(self) -> None:
        now, steps = self._clock.monotonic(), self._interaction.steps - self._logged_steps
        took = self._interaction.step_times.summary()
        _logger.info(
            "%d steps, one every %.6f s; they took %.6f s (p50), %.6f s (p99), %.6f s (longest so far); "
            "%d deadlines missed so far",
            steps,
            (now - self._logged_at) / max(steps, 1),
            took.p50,
            took.p99,
            took.longest,
            self.adjustor.misses if self.adjustor else 0,
        )
        self._logged_at, self._logged_steps = now, self._interaction.steps


class TrainingThread(WorkerThread):
    """Lets each trainer in turn run a session when it can, and waits while none can.

    Args:
        trainers: In the order of their turns.
        clock: Agent time.
        **kwargs: See :class:`WorkerThread`.
    """

    def __init__(self, trainers: TrainersDict, *, clock: Clock, **kwargs: Any) -> None:
        super().__init__("training", hooks=trainers, **kwargs)
        self._trainers = trainers
        trainers.attach_pause_point(self.pause_point)
        trainers.attach_waker(self.wake)
        self._clock = clock
        # Whether something came since the last look began. Set by any thread, always before the bell; cleared by
        # this thread alone, before it looks. A ring without news is a change of the clock, or an echo.
        self._has_news = False
        self._bell = threading.Event()
        self._is_waiting = False  # written by this thread, read by any

    def wake(self) -> None:
        """Tell an idle thread to look again: new data, a new order, a trainer's wish. Any thread."""
        self._has_news = True
        if not self._bell.is_set():
            self._bell.set()

    @override
    def _work(self, errors: ErrorCollector) -> None:
        self._clock.add_listener(self._bell.set)
        with errors:
            while True:
                # Cleared before looking: what comes while we look is seen by the next look.
                self._has_news = False
                trained, due, must_ask = False, math.inf, False
                for name, trainer in self._trainers.items():
                    self._pass_by()
                    # Asked before run(): a moment that comes while run() decides lies ahead of us, not behind.
                    moment = self._moment_to_ask(name, trainer)
                    if moment is None:
                        must_ask = True
                    else:
                        due = min(due, moment)
                    trained = trainer.run() or trained
                self._pass_by()
                if not trained:
                    self._wait_for_news(due, must_ask)
        self._clock.remove_listener(self._bell.set)

    def _pass_by(self) -> None:
        self.pause_point.between_sessions()
        self.pause_point()

    @override
    def is_waiting(self) -> bool:
        return self._is_waiting

    def _moment_to_ask(self, name: str, trainer: Trainer) -> float | None:
        """When a trainer wants to be asked again, as ``clock.monotonic()`` reads; None if it cannot tell."""
        seconds = trainer.seconds_until_trainable()
        if seconds is None:
            return None
        if math.isnan(seconds):
            raise ValueError(
                f"seconds_until_trainable() of the trainer {name!r} must return seconds, infinity or None, "
                f"got {seconds!r}"
            )
        if seconds <= 0:
            return math.inf
        now = self._clock.monotonic()
        # Ahead of us, whatever rounding says, or a clock that stands still is asked in a loop.
        return max(now + seconds, math.nextafter(now, math.inf))

    def _wait_for_news(self, due: float, must_ask: bool) -> None:
        """Wait until there is news, until agent time gets to ``due``, or for a moment only."""
        longest = SECONDS_BETWEEN_QUESTIONS if must_ask else LONGEST_WAIT
        self._is_waiting = True
        while not self._has_news and (remaining := due - self._clock.monotonic()) > 0:
            # A change of the clock rings the bell.
            self._bell.wait(machine_seconds(self._clock, remaining, longest))
            self._bell.clear()
            if must_ask:
                break
        self._is_waiting = False
