"""The handle of a running system: start, pause, resume, save, shut down, wait, look.

Every method may be called from any thread. Those that wait must not be called from the system's own threads,
which they would wait for; such a call is refused, or does not wait.
"""

from __future__ import annotations

import atexit
import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from pamiq_sched.clock import Clock, system_clock
from pamiq_sched.data import DataBuffer
from pamiq_sched.interaction import Interaction
from pamiq_sched.metrics.durations import Durations
from pamiq_sched.metrics.recorder import Recorder
from pamiq_sched.model import TrainingModel
from pamiq_sched.runtime.budget import core_count, interpreter, limit_torch_threads, torch_threads
from pamiq_sched.runtime.changes import Changes
from pamiq_sched.runtime.components import Components
from pamiq_sched.runtime.config import LaunchConfig
from pamiq_sched.runtime.control import (
    Acknowledged,
    ControlThread,
    Ended,
    ShutDown,
    StepDue,
    SystemStoppedError,
    Verb,
)
from pamiq_sched.runtime.controller import Controller
from pamiq_sched.runtime.reporter import Reporter
from pamiq_sched.runtime.signals import shut_down_on_signals
from pamiq_sched.runtime.status import Status, SystemStatus
from pamiq_sched.runtime.threads import InferenceThread, TrainingThread, WorkerThread
from pamiq_sched.runtime.watching import Watch
from pamiq_sched.state import FileSystem, StateStore, StepSaveCondition
from pamiq_sched.trainer import Trainer

_logger = logging.getLogger(__name__)

# Which clocks belong to a running system: pausing one of two systems on a clock would freeze the other.
_clocks_in_use: set[int] = set()  # guarded by the lock below
_clocks_in_use_lock = threading.Lock()


class System:
    """An agent that learns while it acts.

    As a context manager it starts on entry and shuts down on exit.

    Args:
        interaction: The agent in its environment.
        models: By name.
        buffers: By name.
        trainers: By name, in the order of their turns.
        config: How to run it: a :class:`LaunchConfig`, or its fields by name.
        clock: Agent time, for this system alone; the system clock by default. Components that keep time take
            theirs at construction: give them the same.
        files: The disk that states are saved to; the operating system's by default.

    Raises:
        KeyError: If a component asks for a part that is not there.
        TypeError: If a part is of a wrong type.
        ValueError: If a value is out of range, or a training condition can never hold.
    """

    def __init__(
        self,
        interaction: Interaction[Any, Any],
        models: Mapping[str, TrainingModel[Any]],
        buffers: Mapping[str, DataBuffer[Any, Any]],
        trainers: Mapping[str, Trainer],
        config: Mapping[str, Any] | LaunchConfig | None = None,
        *,
        clock: Clock | None = None,
        files: FileSystem | None = None,
    ) -> None:
        self._config = LaunchConfig.of(config)
        self._clock = system_clock() if clock is None else clock
        self._components = components = Components(interaction, models, buffers, trainers, self._clock)
        self._interaction = interaction
        self._users = components.users
        self._models = components.models
        self._trainers = components.trainers
        self._not_restored: tuple[str, ...] = ()  # written before the threads start
        self._store = store = StateStore(self._config.states_dir, self._config.state_name_format, files=files)
        if self._config.states_keeper is not None and files is not None:
            self._config.states_keeper.files = files

        recorder = Recorder()
        reporter = Reporter(
            interaction, self._users, self._models, self._trainers, self._clock, self.status, recorder.now
        )
        self._watch = watch = Watch(self._config, components, recorder, reporter)
        self._changes = Changes(self._trainers, watch.tell)
        controller = Controller(self._wake_sleepers)
        self._control = control = ControlThread(
            controller,
            store,
            self._config,
            self._clock,
            about=self._about,
            cleanup=self._clean_up,
            tell=watch.tell,
        )
        components.register(store, control)
        common: dict[str, Any] = {
            "controller": controller,
            "acknowledge": self._acknowledge,
            "report_end": lambda thread: control.post(Ended(thread)),
        }
        budget = self._config.inference_torch_threads, self._config.training_torch_threads
        self._inference = InferenceThread(
            interaction,
            clock=self._clock,
            log_interval=self._config.log_tick_time_statistics_interval,
            torch_threads=budget[0] or 1,
            condition=self._config.save_state_condition,
            on_due_step=lambda: control.post(StepDue()),
            **common,
        )
        self._training = TrainingThread(
            self._trainers,
            clock=self._clock,
            torch_threads=budget[1] or max(1, core_count() - 1),
            **common,
        )
        for user in self._users.values():
            user.collector.attach_listener(self._training.wake)
        watch.attach(self._changes, control.submit, self.request_shutdown)
        self._scale_before = 1.0
        self._torch_threads_before: int | None = None
        self._is_started = False  # guarded by _clocks_in_use_lock

    def start(self) -> None:
        """Load the state to start from, if one is configured, and start the threads.

        Raises:
            RuntimeError: If it was started before, or another system runs on the same clock.
            BaseException: What loading raised; no thread was started then.
        """
        with _clocks_in_use_lock:
            if self._is_started:
                raise RuntimeError(
                    "a System runs once; make a new one, with saved_state_path to go on from a save"
                )
            if id(self._clock) in _clocks_in_use:
                raise RuntimeError(
                    "another System runs on this clock, and pausing one would freeze the other; "
                    "shut it down first, or give this one and its components a Clock() of their own"
                )
            _clocks_in_use.add(id(self._clock))
            self._is_started = True
        self._scale_before = self._clock.get_time_scale()
        try:
            self._watch.open()  # a port that is taken is told of before anything is loaded
            self._clock.set_time_scale(self._config.time_scale)
            self._clock.pause()  # so that all components are loaded at one moment
            self._store.remove_leftovers()
            if self._config.seed is not None:
                self._components.seed(self._config.seed)
            if self._config.saved_state_path is not None:
                self._load(self._config.saved_state_path)
            if isinstance(self._config.save_state_condition, StepSaveCondition):
                self._config.save_state_condition.attach_step_counter(lambda: self._interaction.steps)
            self._components.warm_up()
            self._watch.start()
        except BaseException as error:
            self._clean_up([error])
            self._control.give_up()
            raise
        self._torch_threads_before = torch_threads()
        # Behind the loading and the first calls: what they made lives long.
        interpreter.prepare(
            self,
            switch_interval=self._config.switch_interval,
            freeze_garbage=self._config.freeze_garbage,
        )
        self._clock.resume()
        # Before the threads, which may be over at once: the end takes it back.
        atexit.register(self._shut_down_at_exit)
        self._control.start([self._inference, self._training], self._training.errands)

    def _load(self, path: str | Path) -> None:
        manifest = self._store.load_state(
            path,
            allow_crashed=self._config.allow_crashed_state,
            fall_back=self._config.fall_back_to_older_state,
        )
        self._not_restored = self._components.not_restored(manifest)
        _logger.info("goes on from the state number %d of %s", manifest.number, manifest.saved_at)
        if self._not_restored:
            _logger.warning("begun anew, not restored: %s", "; ".join(self._not_restored))

    def _about(self) -> dict[str, Any]:
        """What to note in the manifest of a state; called while the threads stand still."""
        return self._components.about(self._control.uptime())

    def run(self) -> None:
        """Start, and wait for the end.

        Called on the main thread, SIGINT and SIGTERM shut the system down cleanly; a second one ends the
        process at once.

        Raises:
            BaseException: What ended the system, as itself; a ``BaseExceptionGroup`` if several errors did.
        """
        if threading.current_thread() is not threading.main_thread():
            self.start()
            self.wait()
            return
        # A warning is seen in the terminal though logging is not set up: whoever sent the signal waits there.
        on_signal = partial(self.request_shutdown, level=logging.WARNING)
        with shut_down_on_signals(on_signal, self._control.ended) as doorbell:
            self._control.at_end = doorbell.ring
            self.start()
            doorbell.wait()
            self.wait()

    def pause(self, *, wait: bool = True) -> None:
        """Stop acting and learning; agent time stops with them.

        Done when every thread stands still, after its ``on_paused`` hooks. Does nothing if it is paused.

        Args:
            wait: Whether to wait until it is done. The system's own threads must not.

        Raises:
            TimeoutError: If a thread does not stop in time, named with its stack; the system runs on.
            SystemStoppedError: If the system stops before it is done, or has ended.
            RuntimeError: If it was never started, or one of its own threads would wait.
        """
        self._ask(Verb.PAUSE, wait)

    def resume(self, *, wait: bool = True) -> None:
        """Go on acting and learning. Does nothing if it is not paused.

        Raises:
            SystemStoppedError: If the system stops before it is done, or has ended.
            RuntimeError: If it was never started, or one of its own threads would wait.
        """
        self._ask(Verb.RESUME, wait)

    def save_state(self) -> Path:
        """Save everything, and return the directory when it is on disk.

        A running system acts on until the training session under way has ended, is paused while its components are
        copied, and runs again while the disk works. It can be paused and resumed meanwhile; another save waits.

        Raises:
            OSError: If it cannot be written; earlier saves are untouched, the system goes on.
            TimeoutError: If a thread does not stop in time; the system goes on.
            SystemStoppedError: If the system stops before it is done, or has ended.
            RuntimeError: If it was never started, or one of its own threads would wait.
        """
        saved: Path = self._ask(Verb.SAVE, wait=True)
        return saved

    def set_hyperparameter(
        self, trainer: str, name: str, value: float, *, optimizer: str | None = None, group: int | None = None
    ) -> None:
        """Set a hyperparameter that no schedule moves, between two optimizer steps; the change is logged.

        Args:
            trainer: Of which trainer.
            name: Which one: ``"weight_decay"``, ``"betas[0]"``, a key of your own.
            value: What to set it to.
            optimizer: Of which optimizer, by name; of all that have it if not given.
            group: Of which param group; of all that have it if not given.

        Raises:
            KeyError: If there is no such trainer, optimizer or hyperparameter; there are none before a trainer's
                first session.
            TypeError: If the value is no real number.
            ValueError: If the hyperparameter cannot take it, or a schedule moves it.
            SystemStoppedError: If the system stops before it is done, or has ended.
            RuntimeError: If it was never started, or one of its own threads would wait.
        """
        action = partial(self._changes.set_hyperparameter, trainer, name, value, optimizer, group)
        self._ask(Verb.CHANGE, wait=True, action=action)

    def move_horizon(self, trainer: str, schedule: str, horizon: float) -> None:
        """Let a schedule of a curve end at another moment, without a jump in its value; the change is logged.

        Args:
            trainer: Of which trainer.
            schedule: By its name there; one within a ``SynchronousSchedule`` goes by its own.
            horizon: The new end, in what it counts.

        Raises:
            KeyError: If there is no such trainer or schedule; there are none before a trainer's first session.
            TypeError: If its end cannot be moved, or the horizon is no number.
            ValueError: If it has no end or has come to it, or the new one lies behind.
            SystemStoppedError: If the system stops before it is done, or has ended.
            RuntimeError: If it was never started, or one of its own threads would wait.
        """
        self._ask(Verb.CHANGE, wait=True, action=partial(self._changes.move_horizon, trainer, schedule, horizon))

    def shutdown(self, *, wait: bool = True) -> None:
        """End the system, in whatever state it is: tear down, save, let agent time run.

        Args:
            wait: Whether to wait for the end. The system's own threads never do.

        Raises:
            BaseException: As :meth:`wait`.
        """
        if not self._is_started:
            return
        self._control.post(ShutDown("shutdown() was called"))
        if wait and not self._is_own_thread():
            self.wait()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for the end.

        Args:
            timeout: Seconds to wait at the most; for ever if not given.

        Returns:
            Whether it has ended.

        Raises:
            BaseException: What ended the system, as itself; a ``BaseExceptionGroup`` if several errors did.
            RuntimeError: If it was never started, or one of its own threads would wait.
        """
        self._check_started()
        self._check_may_wait("wait for the end", "return from the hook instead")
        if not self._control.ended.wait(timeout):
            return False
        self._control.join()
        self._control.raise_errors()
        return True

    def status(self) -> Status:
        """Look at the system; never waits for it."""
        control = self._control
        state = control.state
        if state is SystemStatus.ACTIVE and any(
            w.pause_point.is_stopped for w in (self._inference, self._training)
        ):
            state = SystemStatus.RESUMING
        adjustor = self._inference.adjustor
        return Status(
            state=state,
            uptime=control.uptime(),
            steps=self._interaction.steps,
            sessions={name: trainer.session_count for name, trainer in self._trainers.items()},
            deadline_misses=adjustor.misses if adjustor else 0,
            step_times=self._interaction.step_times.summary(),
            lateness=adjustor.lateness.summary() if adjustor else Durations(),
            dropped={name: user.collector.dropped for name, user in self._users.items()},
            replay_ratios={name: trainer.replay_ratio for name, trainer in self._trainers.items()},
            staleness=self._models.staleness(),
            pauses=control.pauses,
            last_saved=control.last_saved,
            last_saved_at=control.last_saved_at,
            is_saving=control.is_saving,
            stuck=control.stuck,
            not_restored=self._not_restored,
        )

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.shutdown()
        except BaseException as own:
            if error is None or own is error or isinstance(error, SystemStoppedError):
                raise  # what stopped the system is the cause of what the block ran into
            raise BaseExceptionGroup("the block raised, and so did the system", [error, own]) from None

    def request_shutdown(self, reason: str, level: int = logging.INFO) -> None:
        """Ask for the end and return at once; safe in a signal handler."""
        self._control.post(ShutDown(reason, level))

    def _ask(self, verb: Verb, wait: bool, action: Callable[[], Any] | None = None) -> Any:
        self._check_started()
        if wait:
            self._check_may_wait(verb.value, f"use {verb.value}(wait=False), or another thread")
        outcome: Future[Any] = self._control.submit(verb, is_awaited=wait, action=action)
        return outcome.result() if wait else None

    def _check_started(self) -> None:
        if not self._is_started:
            raise RuntimeError("the system is not started; call start(), or use it as a context manager")

    def _check_may_wait(self, what: str, remedy: str) -> None:
        if self._is_own_thread():
            raise RuntimeError(f"a thread of the system cannot {what}: it would wait for itself; {remedy}")

    def _is_own_thread(self) -> bool:
        return any(thread.is_current() for thread in (self._inference, self._training, self._control))

    def _acknowledge(self, thread: WorkerThread, number: int) -> None:
        if thread is self._inference:
            self._components.break_sequences()  # the world went on while the agent stood still
        self._control.post(Acknowledged(thread, number))

    def _wake_sleepers(self) -> None:
        self._clock.wake()
        self._training.wake()

    def _clean_up(self, errors: Sequence[BaseException]) -> None:
        """Give back what is the process's own, and let those who watch know of the end.

        Args:
            errors: What ended the system.
        """
        self._clock.set_time_scale(self._scale_before)
        self._clock.resume()
        interpreter.restore(self)
        if self._torch_threads_before is not None:
            limit_torch_threads(self._torch_threads_before)  # what threads made later begin with
        atexit.unregister(self._shut_down_at_exit)
        with _clocks_in_use_lock:
            _clocks_in_use.discard(id(self._clock))
        self._watch.stop(errors)

    def _shut_down_at_exit(self) -> None:
        # The program ends without having ended the system: save what it learned all the same.
        self.shutdown()
