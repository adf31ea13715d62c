"""The control thread: it alone gives orders, saves and ends the system.

Everything reaches it through one mailbox: commands of the handle, acknowledgements and ends of the working
threads, signals. So a pause that waits for acknowledgements hears of a shutdown or a failure at once, and
nothing here needs a lock. The mailbox may be filled from a signal handler.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

from pamiq_sched.clock import Clock
from pamiq_sched.lifecycle import ErrorCollector
from pamiq_sched.runtime.config import LaunchConfig
from pamiq_sched.runtime.controller import Controller, Kind
from pamiq_sched.runtime.status import SystemStatus
from pamiq_sched.runtime.threads import LONGEST_WAIT, WorkerThread, machine_seconds
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


@dataclass(frozen=True)
class Command:
    """Something to carry out, and where the outcome goes."""

    verb: Verb
    is_awaited: bool
    """Whether somebody takes the outcome; otherwise a failure is logged."""
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


class ClockChanged:
    """How long to wait has to be reckoned anew."""


Message = Command | Acknowledged | Ended | ShutDown | ClockChanged


class SystemStoppedError(RuntimeError):
    """What was asked for cannot be done because the system stops or has stopped."""


class ControlThread:
    """Carries out commands one after another until the system ends.

    Args:
        controller: Where orders are given.
        store: Saves the components.
        config: Says when to save and to stop.
        clock: Agent time; it is paused with the system.
        cleanup: Called when all threads have ended.
    """

    def __init__(
        self,
        controller: Controller,
        store: StateStore,
        config: LaunchConfig,
        clock: Clock,
        cleanup: Callable[[], None],
    ) -> None:
        self._controller = controller
        self._store = store
        self._config = config
        self._clock = clock
        self._cleanup = cleanup
        self._workers: Sequence[WorkerThread] = ()
        self._running: set[WorkerThread] = set()
        self._mailbox: SimpleQueue[Message] = SimpleQueue()
        self._deferred: deque[Command] = deque()
        self._lock = threading.Lock()  # guards _accepts: no command slips in behind the last look at the mailbox
        self._accepts = True
        self._is_stopping = False
        self._is_paused = False
        self._started_at = 0.0
        self._errors = ErrorCollector("several errors ended the system")
        self._thread = threading.Thread(target=self._main, name="pamiq-control", daemon=True)
        self.ended = threading.Event()
        """Set when everything is over."""
        self.at_end: Callable[[], None] = lambda: None
        """Called behind that; set before the start."""
        # Written by this thread only, read by any: a look at them is a recent one.
        self.state = SystemStatus.OFFLINE
        self.pauses = 0
        self.last_saved: Path | None = None

    # Called by any thread.

    def start(self, workers: Sequence[WorkerThread]) -> None:
        """Start the working threads and this one."""
        self._workers = workers
        self._running = set(workers)
        self._started_at = self._clock.monotonic()
        self.state = SystemStatus.ACTIVE
        self._clock.add_listener(self._on_clock_changed)
        for worker in workers:
            worker.start()
        self._thread.start()

    def post(self, message: Message) -> None:
        """Put a message into the mailbox; safe in a signal handler, and after the end."""
        self._mailbox.put(message)

    def submit(self, verb: Verb, *, is_awaited: bool) -> Future[Any]:
        """Ask for something.

        Raises:
            SystemStoppedError: If the system has ended.
        """
        command = Command(verb, is_awaited)
        with self._lock:
            if not self._accepts:
                raise SystemStoppedError(f"cannot {verb.value}: the system has ended; start a new one")
            self._mailbox.put(command)
        return command.outcome

    def is_current(self) -> bool:
        """Whether the caller is this thread."""
        return threading.current_thread() is self._thread

    def uptime(self) -> float:
        """Agent seconds since the start."""
        return self._clock.monotonic() - self._started_at

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
            self.state = SystemStatus.OFFLINE
            self.ended.set()
            self.at_end()

    def _loop(self) -> None:
        while not self._is_stopping:
            # Everything that is there is noted before one command is carried out: what ends the system comes
            # ahead of commands that wait.
            if not self._deferred:
                self._take_note(self._receive(self._patience()))
            for _ in range(self._mailbox.qsize()):  # and no more: a clock that never rests sends news for ever
                self._take_note(self._receive(0.0))
            if self._deferred and not self._is_stopping:
                self._carry_out(self._deferred.popleft())
            if not self._is_paused and not self._is_stopping:
                self._do_what_is_due()

    def _receive(self, timeout: float | None) -> Message | None:
        try:
            return self._mailbox.get(timeout=timeout)
        except Empty:
            return None

    def _patience(self) -> float | None:
        """How many seconds nothing will be due for; None for as long as nothing is said."""
        if self._is_paused or self._clock.is_paused():
            return None
        agent_seconds = self._config.max_uptime - self.uptime()
        longest = LONGEST_WAIT
        condition = self._config.save_state_condition
        if condition is not None:
            until_due = getattr(condition, "seconds_until_due", None)
            if until_due is None:
                longest = SECONDS_BETWEEN_QUESTIONS
            else:
                agent_seconds = min(agent_seconds, until_due())
        return machine_seconds(self._clock, agent_seconds, longest)

    def _take_note(self, message: Message | None) -> None:
        if isinstance(message, Ended):
            self._running.discard(message.thread)
            self._errors.errors.extend(message.thread.errors)
            for error in message.thread.errors:
                _logger.error("an error in the %s thread ends the system: %r", message.thread.name, error)
            self._is_stopping = True
        elif isinstance(message, ShutDown):
            _logger.info("shutting down: %s", message.reason)
            self._is_stopping = True
        elif isinstance(message, Command):
            self._deferred.append(message)

    def _carry_out(self, command: Command) -> None:
        try:
            result = {Verb.PAUSE: self._pause, Verb.RESUME: self._resume, Verb.SAVE: self._save}[command.verb]()
        except (OSError, SystemStoppedError) as error:
            # A slow thread or a full disk is for whoever asked; the agent lives on.
            command.outcome.set_exception(error)
            if not command.is_awaited:
                _logger.error("cannot %s: %s", command.verb.value, error)
        except BaseException as error:
            command.outcome.set_exception(error)
            raise
        else:
            command.outcome.set_result(result)

    def _do_what_is_due(self) -> None:
        if self.uptime() >= self._config.max_uptime:
            self._take_note(ShutDown("max_uptime is reached"))
        elif self._config.save_state_condition is not None and self._config.save_state_condition():
            try:
                self._save()
            except OSError:
                _logger.exception("a periodic save failed; the earlier ones are untouched, the run goes on")
            except SystemStoppedError as error:
                _logger.warning("a periodic save was given up: %s", error)

    def _pause(self) -> None:
        if self._is_paused:
            return
        late: list[WorkerThread] = []
        for attempt in range(1, self._config.max_attempts_to_pause_all_threads + 1):
            self.state = SystemStatus.PAUSING
            late = self._stop_threads()
            if not late:
                self._clock.pause()
                self._is_paused = True
                self.pauses += 1
                self.state = SystemStatus.PAUSED
                return
            stacks = "".join(f"the {w.name} thread is at\n{w.stack()}" for w in late)
            self._controller.give(Kind.RUN)
            self.state = SystemStatus.ACTIVE
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
        self.state = SystemStatus.ACTIVE
        self._controller.give(Kind.RUN)

    def _save(self) -> Path:
        was_paused = self._is_paused
        self._pause()
        self.state = SystemStatus.SAVING
        try:
            staged = self._store.stage()
        finally:
            self.state = SystemStatus.PAUSED
            if not was_paused:
                self._resume()
        # The threads run again while the disk works.
        self.last_saved = self._store.publish(staged)
        _logger.info("saved the state %s", self.last_saved)
        self._tell_keeper(self.last_saved)
        return self.last_saved

    def _tell_keeper(self, saved: Path) -> None:
        if self._config.states_keeper is not None:
            self._config.states_keeper.append(saved)
            try:
                self._config.states_keeper.cleanup()
            except OSError:
                _logger.exception("old states could not be removed; the new one is saved")

    def _end(self) -> None:
        self.state = SystemStatus.SHUTTING_DOWN
        self._clock.remove_listener(self._on_clock_changed)
        self._clock.resume()
        self._is_paused = False
        self._controller.give(Kind.SHUT_DOWN)
        self._await_ends()
        if not self._running:
            with self._errors:
                self._save_at_end()
        with self._errors:
            self._cleanup()
        self._refuse_commands()

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
        # Agent time stands still while components are saved, so that all of them are saved at one moment.
        self._clock.pause()
        try:
            if not self._errors.errors:
                self.last_saved = self._store.publish(self._store.stage())
                self._tell_keeper(self.last_saved)
                return
            try:
                kept = self._store.publish(self._store.stage(crashed=True))
                note = f"the state of the crashed run is in {kept}"
            except BaseException as error:  # noqa: BLE001 - it must not hide what ended the run
                note = f"the state of the crashed run could not be saved: {error!r}"
            _logger.error(note)
            self._errors.errors[0].add_note(note)
        finally:
            self._clock.resume()

    def _refuse_commands(self) -> None:
        with self._lock:
            self._accepts = False
        while (message := self._receive(0)) is not None:
            self._take_note(message)
        for command in self._deferred:
            command.outcome.set_exception(
                SystemStoppedError(f"cannot {command.verb.value}: the system has ended; start a new one")
            )

    def _on_clock_changed(self) -> None:
        self.post(ClockChanged())
