"""The control thread: it alone gives orders, saves and ends the system.

Everything reaches it through one mailbox: commands of the handle, acknowledgements and ends of the working
threads, the progress of a save, signals. So a pause that waits for acknowledgements hears of a shutdown or a
failure at once, and nothing here needs a lock. The mailbox may be filled from a signal handler.
"""

from __future__ import annotations

import logging
import math
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from enum import Enum
from functools import partial
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

from pamiq_sched import _checks
from pamiq_sched.clock import Clock
from pamiq_sched.lifecycle import ErrorCollector
from pamiq_sched.runtime.config import LaunchConfig
from pamiq_sched.runtime.controller import Controller, Errand, Errands, Kind
from pamiq_sched.runtime.saving import Progress, Save
from pamiq_sched.runtime.status import TOLD_AS_EVENT, SystemStatus
from pamiq_sched.runtime.threads import LONGEST_WAIT, WorkerThread, machine_seconds
from pamiq_sched.runtime.watchdog import Watchdog
from pamiq_sched.state import StateStore

_logger = logging.getLogger(__name__)

SECONDS_BETWEEN_QUESTIONS = 0.1
"""How often a save condition is asked that does not tell when it is due. Of the machine's time, for it may decide
by anything."""


class Verb(Enum):
    """What the handle may ask for."""

    PAUSE = "pause"
    RESUME = "resume"
    SAVE = "save"
    CHANGE = "change a setting"


@dataclass(frozen=True)
class Command:
    """Something to carry out, and where the outcome goes."""

    verb: Verb
    is_awaited: bool
    """Whether somebody takes the outcome; otherwise a failure is logged."""
    action: Callable[[], Any] | None = None
    """Of a change: what to do between two steps of the training thread."""
    outcome: Future[Any] = field(default_factory=Future)


@dataclass(frozen=True)
class Acknowledged:
    """A thread stands still for the pause of that number."""

    thread: WorkerThread
    number: int


@dataclass(frozen=True)
class Ended:
    """A thread has ended; its errors are complete."""

    thread: WorkerThread


@dataclass(frozen=True)
class ShutDown:
    """End the system."""

    reason: str
    level: int = logging.INFO
    """Of the line in the log."""


@dataclass(frozen=True)
class Progressed:
    """A save has come further."""

    save: Save


class ClockChanged:
    """How long to wait has to be reckoned anew."""


class StepDue:
    """A step is taken behind which the condition may want a save."""


Message = Command | Acknowledged | Ended | ShutDown | Progressed | ClockChanged | StepDue


class SystemStoppedError(RuntimeError):
    """What was asked for cannot be done because the system stops or has stopped."""


class ControlThread:
    """Carries out commands one after another until the system ends.

    Args:
        controller: Where orders are given.
        store: Saves the components.
        config: Says when to save and to stop.
        clock: Agent time; it is paused with the system.
        about: Returns what to note in the manifest of a state.
        cleanup: Called when all threads have ended, with the errors that ended the system.
        tell: Takes events; see :meth:`pamiq_sched.metrics.Recorder.tell`.
    """

    def __init__(
        self,
        controller: Controller,
        store: StateStore,
        config: LaunchConfig,
        clock: Clock,
        about: Callable[[], Mapping[str, Any]],
        cleanup: Callable[[Sequence[BaseException]], None],
        tell: Callable[..., None],
    ) -> None:
        self._tell = tell
        self._controller = controller
        self._store = store
        self._config = config
        self._clock = clock
        self._about = about
        self._cleanup = cleanup
        self._workers: Sequence[WorkerThread] = ()
        self._running: set[WorkerThread] = set()
        self._mailbox: SimpleQueue[Message] = SimpleQueue()
        self._deferred: deque[Command] = deque()
        self._lock = threading.Lock()  # guards _accepts: no command slips in behind the last look at the mailbox
        self._accepts = True
        self._is_stopping = False
        self._is_paused = False
        self._started_at: float | None = None
        self._errors = ErrorCollector("several errors ended the system")
        self._save: Save | None = None  # the one under way
        self._save_command: Command | None = None  # whoever asked for that one
        self._on_save_failure: Callable[[BaseException], None] = self._errors.errors.append
        self._watchdog = Watchdog(config.watchdog_deadline)
        self._thread = threading.Thread(target=self._main, name="pamiq-control", daemon=True)
        self.ended = threading.Event()
        """Set when everything is over."""
        self.at_end: Callable[[], None] = lambda: None
        """Called behind that; set before the start."""
        # Written by this thread only, read by any: a look at them is a recent one.
        self._state = SystemStatus.OFFLINE
        self.pauses = 0
        self.last_saved: Path | None = None
        self.last_saved_at: float | None = None
        """When it was on the disk, in seconds since 1970."""
        self._errands = Errands()  # those of the training thread, from the start on
        self.stuck: dict[str, str] = {}  # replaced as a whole

    # Called by any thread.

    @property
    def state(self) -> SystemStatus:
        """What the system is doing."""
        return self._state

    def _come_to(self, state: SystemStatus) -> None:
        self._state = state
        self._tell("state", state.status_name, state=state.status_name)

    def start(self, workers: Sequence[WorkerThread], errands: Errands) -> None:
        """Start the working threads and this one.

        Args:
            workers: The threads.
            errands: Where changes are handed over to the training thread.
        """
        self._errands = errands
        self._workers = workers
        self._running = set(workers)
        self._started_at = self._clock.monotonic()
        self._come_to(SystemStatus.ACTIVE)
        self._clock.add_listener(self._on_clock_changed)
        for worker in workers:
            worker.start()
        self._thread.start()

    def post(self, message: Message) -> None:
        """Put a message into the mailbox; safe in a signal handler, and after the end."""
        self._mailbox.put(message)

    def submit(self, verb: Verb, *, is_awaited: bool, action: Callable[[], Any] | None = None) -> Future[Any]:
        """Ask for something; of a change, ``action`` is what to do.

        Raises:
            SystemStoppedError: If the system has ended.
        """
        command = Command(verb, is_awaited, action)
        with self._lock:
            if not self._accepts:
                raise _ended(verb)
            self._mailbox.put(command)
        return command.outcome

    def is_current(self) -> bool:
        """Whether the caller is this thread, or that of a save."""
        save = self._save  # read once: another thread may look while it ends
        return threading.current_thread() is self._thread or (save is not None and save.is_current())

    @property
    def is_saving(self) -> bool:
        """Whether a state is being taken or written."""
        return self._save is not None

    def uptime(self) -> float:
        """Agent seconds since the start; 0 before it."""
        began = self._started_at
        return 0.0 if began is None else self._clock.monotonic() - began

    def state_dict(self) -> dict[str, int]:
        """What is counted here."""
        return {"pauses": self.pauses}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Count on from :meth:`state_dict`; before the start."""
        _checks.state_keys("a system", state, {"pauses"})
        self.pauses = _checks.count("the number of pauses", state["pauses"])

    def give_up(self) -> None:
        """End without ever having started: commands are refused, nobody waits."""
        self._refuse_commands()
        self.ended.set()

    def join(self) -> None:
        """Wait for the end of this thread, once :attr:`ended` is set."""
        if self._thread.ident is not None:
            self._thread.join()

    def raise_errors(self) -> None:
        """Raise what ended the system, if an error did; to be called after the end."""
        self._errors.raise_collected()

    # This thread.

    def _main(self) -> None:
        try:
            with self._errors:
                self._loop()
            with self._errors:
                self._end()
        finally:
            self._state = SystemStatus.OFFLINE
            self.ended.set()
            self.at_end()

    def _loop(self) -> None:
        self._watchdog.watch(self._workers)
        while not self._is_stopping:
            # Everything that is there is noted before one command is carried out: what ends the system comes
            # ahead of commands that wait.
            if self._next_command() is None:
                self._take_note(self._receive(self._patience()))
            for _ in range(self._mailbox.qsize()):  # and no more: a clock that never rests sends news for ever
                self._take_note(self._receive(0.0))
            command = self._next_command()
            if command is not None and not self._is_stopping:
                self._deferred.remove(command)
                self._carry_out(command)
            if not self._is_paused and not self._is_stopping:
                self._do_what_is_due()

    def _next_command(self) -> Command | None:
        """Return what to carry out next: the oldest command, but no save while one is under way."""
        ready = (c for c in self._deferred if c.verb is not Verb.SAVE or self._save is None)
        return next(ready, None)

    def _receive(self, timeout: float | None) -> Message | None:
        try:
            return self._mailbox.get(timeout=timeout)
        except Empty:
            return None

    def _patience(self) -> float | None:
        """How many seconds nothing will be due for; None for as long as nothing is said."""
        if self._is_paused:
            return None
        longest = min(self._watchdog.seconds_between_looks, LONGEST_WAIT)
        if self._clock.is_paused():
            return longest
        agent_seconds = self._config.max_uptime - self.uptime()
        condition = self._config.save_state_condition
        if condition is not None and self._save is None:  # else it is asked when that one is over
            until_due = getattr(condition, "seconds_until_due", None)
            if until_due is None:
                longest = min(longest, SECONDS_BETWEEN_QUESTIONS)
            else:
                agent_seconds = min(agent_seconds, until_due())
        return machine_seconds(self._clock, agent_seconds, longest)

    def _take_note(self, message: Message | None) -> None:
        if isinstance(message, Ended):
            self._running.discard(message.thread)
            self._errors.errors.extend(message.thread.errors)
            for error in message.thread.errors:
                text = "an error in the %s thread ends the system: %r"
                _logger.error(text, message.thread.name, error, extra=TOLD_AS_EVENT)
                self._tell_error(error)
            self._is_stopping = True
        elif isinstance(message, ShutDown):
            _logger.log(message.level, "shutting down: %s", message.reason)
            self._is_stopping = True
        elif isinstance(message, Command):
            self._deferred.append(message)
        elif isinstance(message, Progressed):
            self._note_progress(message.save)

    def _carry_out(self, command: Command) -> None:
        if command.verb is Verb.SAVE:
            self._begin_save(command)
            return
        if command.action is not None:
            self._errands.waiting.append(Errand(command.action, command.outcome))
            if self._is_paused:
                self._errands.run()  # the threads stand still, and only this one lets them go on
            else:
                self._controller.on_order()  # wakes a thread that waits
            return
        try:
            result = {Verb.PAUSE: self._pause, Verb.RESUME: self._resume}[command.verb]()
        except (OSError, SystemStoppedError) as error:
            # A slow thread is for whoever asked; the agent lives on.
            _fail(command, error)
        except BaseException as error:
            command.outcome.set_exception(error)
            raise
        else:
            command.outcome.set_result(result)

    def _do_what_is_due(self) -> None:
        if not self._clock.is_paused():  # or else a paced thread rests for as long as it is
            self.stuck = self._watchdog.look()
        if self.uptime() >= self._config.max_uptime:
            self._take_note(ShutDown("max_uptime is reached"))
            return
        condition = self._config.save_state_condition
        if condition is not None and self._save is None and condition():
            self._begin_save(None)

    def _pause(self) -> None:
        if self._is_paused:
            return
        late: list[WorkerThread] = []
        for attempt in range(1, self._config.max_attempts_to_pause_all_threads + 1):
            self._come_to(SystemStatus.PAUSING)
            late = self._stop_threads()
            if not late:
                self._clock.pause()
                self._is_paused = True
                self.stuck = {}
                self.pauses += 1
                self._come_to(SystemStatus.PAUSED)
                self._errands.run()  # those that came too late for the thread's last step
                return
            stacks = "".join(f"the {w.name} thread is at\n{w.stack()}" for w in late)
            self._controller.give(Kind.RUN)
            self._come_to(SystemStatus.ACTIVE)
            _logger.warning("attempt %d to pause timed out; %s", attempt, stacks)
        raise TimeoutError(
            f"a pause must be acknowledged within {self._config.timeout_for_all_threads_pause} s, but "
            f"{' and '.join(w.name for w in late)} did not stop in "
            f"{self._config.max_attempts_to_pause_all_threads} attempts; the system runs on. "
            f"Call pause_point() in long work, or raise the timeout. {stacks}"
        )

    def _stop_threads(self) -> list[WorkerThread]:
        """Order a pause and wait for all acknowledgements; return the threads that are late.

        Raises:
            SystemStoppedError: If the system is to stop meanwhile.
        """
        order = self._controller.give(Kind.PAUSE)
        awaited = set(self._running)
        deadline = time.monotonic() + self._config.timeout_for_all_threads_pause
        while awaited:
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                return [w for w in self._workers if w in awaited]
            message = self._receive(min(remaining, LONGEST_WAIT))
            if isinstance(message, Acknowledged):
                if message.number == order.number:
                    awaited.discard(message.thread)
            else:
                self._take_note(message)
            if self._is_stopping:
                raise SystemStoppedError("the pause was given up because the system stops")
        return []

    def _resume(self) -> None:
        if not self._is_paused:
            return
        self._clock.resume()
        self._is_paused = False
        self._come_to(SystemStatus.ACTIVE)
        self._watchdog.watch(self._workers)
        self._controller.give(Kind.RUN)

    def _begin_save(self, command: Command | None) -> None:
        """Stop the threads, let the state be taken, and let them run again while it is written.

        Args:
            command: Who asked for it; None if the condition did.
        """
        was_paused = self._is_paused
        try:
            if not was_paused:
                self._hold_training()
                self._pause()
        except BaseException as error:  # noqa: BLE001 - it is delivered
            self._fail_save(command, error)
            return
        self._come_to(SystemStatus.SAVING)
        save = self._start_save(command, partial(self._fail_save, command))
        if not self._await(save, Progress.WRITING):
            save.give_up()  # before anything runs again
        self._come_to(SystemStatus.PAUSED)
        if not was_paused:
            self._resume()
        self._note_progress(save)

    def _start_save(
        self,
        command: Command | None,
        on_failure: Callable[[BaseException], None],
        crash: Sequence[BaseException] = (),
    ) -> Save:
        self._save = save = Save(
            self._store,
            self._config.states_keeper,
            self._about,
            report=lambda save: self.post(Progressed(save)),
            errors=tuple(crash),
        )
        self._save_command, self._on_save_failure = command, on_failure
        self._watchdog.watch([save])
        save.start()
        return save

    def _hold_training(self) -> None:
        """Let the session under way end while the agent acts on, so that it is saved whole."""
        if not self._config.session_end_timeout:
            return
        order = self._controller.give(Kind.HOLD)
        deadline = time.monotonic() + self._config.session_end_timeout
        while (remaining := deadline - time.monotonic()) > 0:
            if self._is_stopping:
                raise SystemStoppedError("the save was given up because the system stops")
            if any(command.verb is Verb.PAUSE for command in self._deferred):
                return  # who wants a pause does not wait for a session
            message = self._receive(min(remaining, LONGEST_WAIT))
            if isinstance(message, Acknowledged) and message.number == order.number:
                return
            self._take_note(message)
        _logger.info(
            "a save stops the training session under way: it took longer than session_end_timeout=%s",
            self._config.session_end_timeout,
        )

    def _await(self, save: Save, progress: Progress) -> bool:
        """Wait until a save has come so far; once the system is to stop, no longer than for the threads.

        Returns:
            Whether it has.
        """
        deadline = math.inf
        while save.progress < progress:
            if self._is_stopping and deadline == math.inf:
                deadline = time.monotonic() + self._config.shutdown_timeout
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                return False
            self._take_note(self._receive(min(remaining, self._watchdog.seconds_between_looks, LONGEST_WAIT)))
            self.stuck = self._watchdog.look()
        self.stuck = {}
        return True

    def _note_progress(self, save: Save) -> None:
        """Tell whoever asked for a save what it has come to; does nothing the second time."""
        if save is not self._save or self.state is SystemStatus.SAVING:  # first the threads run again
            return
        progress = save.progress  # read before what the save writes before it
        if save.path is not None and self.last_saved != save.path and not save.is_of_crash:
            self.last_saved, self.last_saved_at = save.path, time.time()
            self._tell("saved", f"saved the state {save.path}", path=str(save.path.absolute()))
            _logger.info("saved the state %s", save.path, extra=TOLD_AS_EVENT)
            if self._save_command is not None:
                self._save_command.outcome.set_result(save.path)
        if progress is not Progress.OVER or save.is_given_up:
            return
        save.join()
        self._save = None
        if save.path is None and save.error is not None:
            self._on_save_failure(save.error)
        elif isinstance(save.error, OSError):
            _logger.error("old states could not be removed; the new one is saved: %s", save.error)
        elif save.error is not None:
            self._end_by(save.error)

    def _fail_save(self, command: Command | None, error: BaseException) -> None:
        """Deliver why there is no save. A slow thread or a full disk does not end the system, all else does."""
        if not isinstance(error, OSError | SystemStoppedError):
            self._end_by(error)
        self._tell("save failed", f"a save failed: {error}")
        if command is not None:
            _fail(command, error)
        elif isinstance(error, SystemStoppedError):
            _logger.warning("a periodic save was given up: %s", error)
        else:
            _logger.error("a periodic save failed; the earlier ones are untouched: %s", error, exc_info=error)

    def _end_by(self, error: BaseException) -> None:
        _logger.error("an error ends the system: %r", error, extra=TOLD_AS_EVENT)
        self._tell_error(error)
        self._errors.errors.append(error)
        self._is_stopping = True

    def _tell_error(self, error: BaseException) -> None:
        self._tell("error", "".join(traceback.format_exception(error)), type=type(error).__name__)

    def _end(self) -> None:
        self._come_to(SystemStatus.SHUTTING_DOWN)
        self._is_stopping = True
        self._clock.remove_listener(self._on_clock_changed)
        self._clock.resume()
        self._is_paused = False
        self._controller.give(Kind.SHUT_DOWN)
        self._await_ends()
        if self._save is not None:
            with self._errors:
                self._finish(self._save)
        if not self._running and self._save is None:
            with self._errors:
                self._save_at_end()
        self._refuse_commands()
        with self._errors:
            self._cleanup(tuple(self._errors.errors))

    def _finish(self, save: Save) -> None:
        """Wait for the end of a save. What is being written is never given up, a hook that hangs is.

        Raises:
            TimeoutError: If a component or the keeper hangs.
        """
        if not save.is_given_up and not self._await(save, Progress.WRITING):
            save.give_up()
        if not save.is_given_up:
            if save.progress is Progress.WRITING:
                _logger.info("the shutdown waits for a state that is being written")
            while save.progress is Progress.WRITING:
                self._take_note(self._receive(LONGEST_WAIT))
            is_over = self._await(save, Progress.OVER)
            self._note_progress(save)
            if is_over:
                return
        error = TimeoutError(
            f"{'components' if save.is_given_up else 'the keeper of states'} must be done with a save within "
            f"{self._config.shutdown_timeout} s of a shutdown; given up. The saving thread is at\n{save.stack()}"
        )
        if save.is_given_up and self._save_command is not None:
            _fail(self._save_command, error)
        raise error

    def _await_ends(self) -> None:
        deadline = time.monotonic() + self._config.shutdown_timeout
        while self._running:
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                stacks = "".join(f"the {w.name} thread is at\n{w.stack()}" for w in self._running)
                self._errors.errors.append(
                    TimeoutError(
                        f"threads must end within {self._config.shutdown_timeout} s of a shutdown; given up, and "
                        f"nothing was saved at the end, because threads still run: {stacks}"
                    )
                )
                return
            self._take_note(self._receive(min(remaining, LONGEST_WAIT)))
        for worker in self._workers:
            worker.join()

    def _save_at_end(self) -> None:
        crash = list(self._errors.errors)
        unsaved: list[BaseException] = []
        # Agent time stands still while components are saved, so that all of them are saved at one moment.
        self._clock.pause()
        try:
            save = self._start_save(None, unsaved.append, crash)
            self._finish(save)
        except TimeoutError as error:
            unsaved.append(error)
        finally:
            self._clock.resume()
        if not crash:
            self._errors.errors.extend(unsaved)
            return
        outcome = f"could not be saved: {unsaved}" if save.path is None else f"is in {save.path}"
        lacking = "".join(f"; {name} could not be saved: {why}" for name, why in save.unsaved.items())
        note = f"the state of the crashed run {outcome}{lacking}"
        _logger.error(note)
        crash[0].add_note(note)

    def _refuse_commands(self) -> None:
        with self._lock:
            self._accepts = False
        while (message := self._receive(0)) is not None:
            self._take_note(message)
        for command in self._deferred:
            command.outcome.set_exception(_ended(command.verb))
        for errand in self._errands.take():
            errand.refuse(_ended(Verb.CHANGE))

    def _on_clock_changed(self) -> None:
        self.post(ClockChanged())


def _ended(verb: Verb) -> SystemStoppedError:
    return SystemStoppedError(f"cannot {verb.value}: the system has ended; start a new one")


def _fail(command: Command, error: BaseException) -> None:
    command.outcome.set_exception(error)
    if not command.is_awaited:
        _logger.error("cannot %s: %s", command.verb.value, error)
