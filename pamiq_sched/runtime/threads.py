"""The two working threads: one acts, one learns.

Each runs its loop between pause points until it is told to shut down or something raises, tears down what
was set up, and reports its end with all that was raised. Counters are written by their own thread only; a
reader sees a recent value.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import traceback
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

from typing_extensions import override

from pamiq_sched.clock import Clock
from pamiq_sched.interaction import Interaction
from pamiq_sched.lifecycle import ErrorCollector, ShutdownRequested
from pamiq_sched.runtime.controller import Controller, ThreadPausePoint
from pamiq_sched.schedulers import TimeIntervalScheduler
from pamiq_sched.trainer import TrainersDict

_logger = logging.getLogger(__name__)

SECONDS_BETWEEN_QUESTIONS = 0.05
"""How often an idle training thread asks trainers that decide by something else than new data."""


class WorkerThread(ABC):
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
        self.name = name
        self.pause_point = ThreadPausePoint(
            controller, hooks.on_paused, hooks.on_resumed, lambda number: acknowledge(self, number)
        )
        self.errors: list[BaseException] = []
        """What was raised; complete when the end is reported."""
        self._report_end = report_end
        self._torch_threads = torch_threads
        # A daemon, so that user code that never returns cannot keep the process from ending.
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
        **kwargs: See :class:`WorkerThread`.
    """

    def __init__(
        self, interaction: Interaction[Any, Any], *, clock: Clock, log_interval: float, **kwargs: Any
    ) -> None:
        super().__init__("inference", hooks=interaction, **kwargs)
        self._interaction = interaction
        interaction.attach_pause_point(self.pause_point)
        self.steps = 0
        """Steps taken."""
        self._clock = clock
        self._logged_steps = 0
        self._logged_at = 0.0
        self._log_scheduler = TimeIntervalScheduler(log_interval, self._log_steps, clock=clock)

    @override
    def _work(self, errors: ErrorCollector) -> None:
        self._interaction.setup()
        self._logged_at = self._clock.monotonic()
        with errors:
            while True:
                self.pause_point()
                self._interaction.step()
                self.steps += 1
                self._log_scheduler.update()
        with errors:
            self._interaction.teardown()

    def _log_steps(self) -> None:
        now, steps = self._clock.monotonic(), self.steps - self._logged_steps
        _logger.info("%d steps, %.6f s each", steps, (now - self._logged_at) / steps)
        self._logged_at, self._logged_steps = now, self.steps


class TrainingThread(WorkerThread):
    """Lets each trainer in turn run a session when it can, and waits while none can.

    Args:
        trainers: In the order of their turns.
        **kwargs: See :class:`WorkerThread`.
    """

    def __init__(self, trainers: TrainersDict, **kwargs: Any) -> None:
        super().__init__("training", hooks=trainers, **kwargs)
        self._trainers = trainers
        trainers.attach_pause_point(self.pause_point)
        self.sessions = dict.fromkeys(trainers, 0)
        """Sessions run, by trainer."""
        self._news = threading.Event()
        asks = not all(trainer.waits_for_data_only for trainer in trainers.values())
        self._patience = SECONDS_BETWEEN_QUESTIONS if asks else None

    def wake(self) -> None:
        """Tell an idle thread to look again: new data, or a new order."""
        if not self._news.is_set():
            self._news.set()

    @override
    def _work(self, errors: ErrorCollector) -> None:
        while True:
            # Cleared before looking: what comes while we look is seen by the next look.
            self._news.clear()
            trained = False
            for name, trainer in self._trainers.items():
                self.pause_point()
                if trainer.run():
                    self.sessions[name] += 1
                    trained = True
            self.pause_point()
            if not trained:
                self._news.wait(self._patience)


def core_count() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def limit_torch_threads(number: int) -> int | None:
    """Let torch operations of the calling thread use so many cores.

    Returns:
        How many it was; None if torch is not loaded, for then nothing here uses it.
    """
    torch = sys.modules.get("torch")
    if torch is None:
        return None
    # Asked first, for it has a side effect: a thread's first use takes over the number that another thread
    # set last, and would undo ours if it came later.
    before: int = torch.get_num_threads()
    torch.set_num_threads(number)
    return before
