"""A kernel that runs simulated threads on one real thread, in an order that a seed decides.

Each simulated thread is a greenlet. Every operation of a lock, an event, a queue or a clock is a switch point:
there the seed decides who goes on. Time is virtual. It moves by a microsecond at each operation, and jumps to the
next deadline when nobody can run. If there is none, or it lies absurdly far ahead, the threads wait for each other
for ever, and the simulation fails with all their stacks. The same seed gives the same run, operation by operation.

The primitives have the interfaces of :mod:`threading`, :mod:`queue` and :mod:`time`, as far as the package uses
them; anything else is an AttributeError, which says that it has to be written. A kernel belongs to the thread that
runs it.
"""

from __future__ import annotations

import hashlib
import heapq
import queue
import random
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from types import FrameType
from typing import Any, NoReturn, TypeVar

import greenlet

T = TypeVar("T")

TICK = 1e-6
"""Virtual seconds that an operation takes."""

EPOCH = 1_767_225_600.0
"""What the wall clock reads at virtual time 0."""

TIMEOUT_MAX = 9_223_372_036.0
"""As ``threading.TIMEOUT_MAX``: a longer timeout is refused, as a real lock refuses it."""

OUTSIDE = "a simulated primitive is used outside the simulation"


class SimulationError(Exception):
    """What a simulation found; it tells the end of the trace and where every thread was."""


class DeadlockError(SimulationError):
    """Nobody can run, and no deadline changes that."""


class CrashError(Exception):
    """The process was killed, as was wanted."""


class Killed(BaseException):
    """Raised in what is left of a simulation that is over, to unwind it."""


class Thread:
    """A simulated thread."""

    def __init__(
        self,
        kernel: Kernel,
        group: None = None,
        target: Callable[..., object] = lambda: None,
        name: str | None = None,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
        *,
        daemon: bool | None = None,
    ) -> None:
        self.kernel = kernel
        self.name = name or kernel.label("Thread")
        self.daemon = bool(daemon)
        self.ident: int | None = None
        self.error: BaseException | None = None
        """What escaped from it."""
        self.is_blocked = False
        self.timed_out = False
        self.waiters: list[Thread] | None = None  # those it waits with
        self.wait_number = 0
        self.waits_for = ""
        self._target = partial(target, *args, **(kwargs or {}))
        self._finished = False
        self._joiners: list[Thread] = []
        self.greenlet: Any = None

    def start(self) -> None:
        if self.ident is not None:
            raise RuntimeError("threads can only be started once")
        self.kernel.step(f"start {self.name}")
        self.kernel.adopt(self)
        self.kernel.step("started")

    def run_in_greenlet(self) -> None:
        try:
            self._target()
        except Killed:
            pass
        except BaseException as error:  # noqa: BLE001 - for whoever looks at the thread
            self.error = error
        self._finished = True
        self.kernel.end(self)
        self.kernel.wake_all(self._joiners)

    def join(self, timeout: float | None = None) -> None:
        if self.ident is None:
            raise RuntimeError("cannot join thread before it is started")
        if self is self.kernel.current:
            raise RuntimeError("cannot join current thread")
        self.kernel.step(f"join {self.name}")
        deadline = self.kernel.deadline(timeout)
        while not self._finished:
            if not self.kernel.block(self._joiners, f"the end of {self.name}", deadline):
                return

    def is_alive(self) -> bool:
        self.kernel.step(f"is_alive {self.name}")
        return self.ident is not None and not self._finished

    @property
    def is_over(self) -> bool:
        """As :meth:`is_alive`, but no switch point; for those who look from outside."""
        return self._finished

    def __repr__(self) -> str:
        return f"<{self.name}>"


class Lock:
    """A simulated ``threading.Lock``; unfair, as the real one."""

    is_reentrant = False

    def __init__(self, kernel: Kernel, label: str | None = None) -> None:
        self._kernel = kernel
        self._label = label or kernel.label(type(self).__name__)
        self._acquire, self._release = f"acquire {self._label}", f"release {self._label}"
        self._owner: Thread | None = None
        self._depth = 0
        self._waiters: list[Thread] = []

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        kernel = self._kernel
        kernel.step(self._acquire)
        if kernel.is_dead:
            return True
        current = kernel.current
        if self.is_reentrant and self._owner is current:
            self._depth += 1
            return True
        deadline = kernel.deadline(None if timeout == -1 else timeout)
        while self._owner is not None:
            if not blocking or not kernel.block(self._waiters, self._label, deadline):
                return False
        self._owner, self._depth = current, 1
        return True

    def release(self) -> None:
        self._kernel.step(self._release)
        if self._kernel.is_dead:
            return
        if self._owner is None or (self.is_reentrant and self._owner is not self._kernel.current):
            raise RuntimeError("cannot release un-acquired lock")
        self._depth -= 1
        if not self._depth:
            self.give_up()
            self._kernel.step("released")

    def give_up(self) -> int:
        """Release it however often it is held; return how often that was."""
        depth, self._depth, self._owner = self._depth, 0, None
        self._kernel.wake_one(self._waiters)
        return depth

    def take_back(self, depth: int) -> None:
        while self._owner is not None:
            self._kernel.block(self._waiters, self._label)
        self._owner, self._depth = self._kernel.current, depth

    def locked(self) -> bool:
        self._kernel.step(f"look at {self._label}")
        return self._owner is not None

    def is_owned(self) -> bool:
        return self._owner is self._kernel.current

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(self, *_: object) -> None:
        self.release()


class RLock(Lock):
    """A simulated ``threading.RLock``."""

    is_reentrant = True


class Condition:
    """A simulated ``threading.Condition``."""

    def __init__(self, kernel: Kernel, lock: Lock | None = None) -> None:
        self._kernel = kernel
        self._label = kernel.label("Condition")
        self._lock = RLock(kernel, f"the lock of {self._label}") if lock is None else lock
        self.acquire, self.release = self._lock.acquire, self._lock.release
        self._waiters: list[Thread] = []

    def __enter__(self) -> bool:
        return self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()

    def wait(self, timeout: float | None = None) -> bool:
        self._check_owned()
        deadline = self._kernel.deadline(timeout)
        self._kernel.step(f"wait for {self._label}")
        depth = self._lock.give_up()
        woken = self._kernel.block(self._waiters, self._label, deadline)
        self._lock.take_back(depth)
        return woken

    def wait_for(self, predicate: Callable[[], T], timeout: float | None = None) -> T:
        deadline = self._kernel.deadline(timeout)
        while not (result := predicate()):
            if deadline is not None and deadline <= self._kernel.now:
                break
            self.wait(None if deadline is None else deadline - self._kernel.now)
        return result

    def notify(self, n: int = 1) -> None:
        self._check_owned()
        self._kernel.step(f"notify {self._label}")
        for _ in range(n):
            self._kernel.wake_one(self._waiters)

    def notify_all(self) -> None:
        self._check_owned()
        self._kernel.step(f"notify all of {self._label}")
        self._kernel.wake_all(self._waiters)

    def _check_owned(self) -> None:
        if not self._lock.is_owned():
            raise RuntimeError("cannot wait for or notify on un-acquired lock")


class Event:
    """A simulated ``threading.Event``."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self._label = kernel.label("Event")
        self._is_set = False
        self._waiters: list[Thread] = []

    def is_set(self) -> bool:
        self._kernel.step(f"look at {self._label}")
        return self._is_set

    def set(self) -> None:
        self._kernel.step(f"set {self._label}")
        self._is_set = True
        self._kernel.wake_all(self._waiters)
        self._kernel.step("was set")

    def clear(self) -> None:
        self._kernel.step(f"clear {self._label}")
        self._is_set = False

    def wait(self, timeout: float | None = None) -> bool:
        deadline = self._kernel.deadline(timeout)
        self._kernel.step(f"wait for {self._label}")
        if not self._is_set:
            # As the real one: whoever was woken has seen it set, even if it is cleared by now.
            return self._kernel.block(self._waiters, self._label, deadline)
        return True


class SimpleQueue:
    """A simulated ``queue.SimpleQueue``."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self._label = kernel.label("SimpleQueue")
        self._items: list[Any] = []
        self._waiters: list[Thread] = []

    def put(self, item: Any, block: bool = True, timeout: float | None = None) -> None:
        self._kernel.step(f"put into {self._label}")
        self._items.append(item)
        self._kernel.wake_one(self._waiters)
        self._kernel.step("was put")

    put_nowait = put

    def get(self, block: bool = True, timeout: float | None = None) -> Any:
        if timeout is not None and timeout < 0:
            raise ValueError("'timeout' must be a non-negative number")
        deadline = self._kernel.deadline(timeout)
        self._kernel.step(f"get from {self._label}")
        while not self._items:
            if not block or not self._kernel.block(self._waiters, self._label, deadline):
                raise queue.Empty
        return self._items.pop(0)

    def get_nowait(self) -> Any:
        return self.get(block=False)

    def qsize(self) -> int:
        self._kernel.step(f"size of {self._label}")
        return len(self._items)

    def empty(self) -> bool:
        return self.qsize() == 0


class Kernel:
    """Runs simulated threads; see the module.

    Args:
        seed: Decides everything.
        most_operations: A simulation that takes more goes on for ever.
        longest_jump: Virtual seconds. No deadline of an honest simulation lies further ahead: a wait that only
            such a deadline would end is a lost wake-up.
        stay: How likely a thread goes on at a switch point; drawn from the seed if not given. Rare switches find
            what needs a thread to get far while another one stands at an unlucky place.
        now: The virtual time to begin at.
        crash_at: The operation at which :meth:`run` raises CrashError, as if the process were killed there.
    """

    def __init__(
        self,
        seed: int,
        *,
        most_operations: int = 400_000,
        longest_jump: float = 1000.0,
        stay: float | None = None,
        now: float = 0.0,
        crash_at: int | None = None,
    ) -> None:
        self.random = random.Random(seed)
        self.now = now
        self.trace: list[tuple[str, str]] = []
        self.threads: list[Thread] = []
        self.stay = self.random.choice([0.0, 0.3, 0.7, 0.9, 0.97]) if stay is None else stay
        # Statements between two switches that no operation explains; 0 for none.
        self.statements = self.random.choice([0, 0, 1000, 100, 10])
        self._statements_left = self.statements
        self.is_dead = False
        self._unwound = 0
        self._most_operations = most_operations
        self._longest_jump = longest_jump
        self._crash_at = crash_at
        self._hub = greenlet.getcurrent()
        self._current: Thread | None = None
        self._ready: list[Thread] = []
        self._timers: list[tuple[float, int, Thread]] = []
        self._waits = 0
        self._labels: dict[str, int] = {}
        self._failure: Exception | None = None
        # Nothing runs on it: what is asked from the main thread behaves otherwise, signals above all.
        self._main = Thread(self, name="main")
        self.threading = Names(
            "threading",
            Thread=partial(Thread, self),
            Lock=partial(Lock, self),
            RLock=partial(RLock, self),
            Condition=partial(Condition, self),
            Event=partial(Event, self),
            get_ident=lambda: self.current.ident,
            current_thread=lambda: self.current,
            main_thread=lambda: self._main,
            TIMEOUT_MAX=TIMEOUT_MAX,
        )
        self.time = Names(
            "time",
            time=lambda: EPOCH + self.read_clock(),
            monotonic=self.read_clock,
            perf_counter=self.read_clock,
            sleep=self.sleep,
        )

    # What simulated threads call.

    @property
    def current(self) -> Thread:
        """The simulated thread that runs."""
        assert self._current is not None, OUTSIDE
        return self._current

    def label(self, kind: str) -> str:
        """Name an object by the order in which they are made."""
        number = self._labels[kind] = self._labels.get(kind, 0) + 1
        return f"{kind} {number}"

    def step(self, operation: str) -> None:
        """Note an operation that is about to happen; another thread may go first."""
        if self.is_dead:
            self._unwind()
            return
        current = self._current
        assert current is not None, OUTSIDE
        self.trace.append((current.name, operation))
        self.now += TICK
        if self._timers and self._timers[0][0] <= self.now:
            self._fire_timers()
        if len(self.trace) == self._crash_at:
            self._hub.switch()
            raise Killed
        if len(self.trace) > self._most_operations:
            self.fail(f"the simulation goes on for ever: {self._most_operations} operations")
        if self._ready and self.random.random() >= self.stay:
            self._ready.append(current)
            self._go_on(current)

    def preempt(self) -> None:
        """Let another thread go first now and then; called between statements of the code that is simulated."""
        self._statements_left -= 1
        if self._statements_left > 0 or not self._ready or self._current is None or self.is_dead:
            return
        self._statements_left = self.random.randint(1, 2 * self.statements)
        self.trace.append((self._current.name, "preempted"))
        self._ready.append(self._current)
        self._go_on(self._current)

    def block(self, waiters: list[Thread], what: str, deadline: float | None = None) -> bool:
        """Wait until somebody wakes one of ``waiters``, or until the deadline; return whether somebody did."""
        if self.is_dead:
            self._unwind()
            return False
        current = self.current
        if deadline is not None and deadline <= self.now:
            return False
        self._waits += 1
        current.is_blocked, current.timed_out = True, False
        current.waiters, current.waits_for, current.wait_number = waiters, what, self._waits
        waiters.append(current)
        if deadline is not None:
            heapq.heappush(self._timers, (deadline, self._waits, current))
        self._go_on(current)
        return not current.timed_out

    def wake_one(self, waiters: list[Thread]) -> None:
        if waiters:
            self._make_ready(waiters[self.random.randrange(len(waiters))])

    def wake_all(self, waiters: list[Thread]) -> None:
        while waiters:
            self._make_ready(waiters[0])

    def deadline(self, timeout: float | None) -> float | None:
        """When a wait that begins now is over."""
        if timeout is None:
            return None
        if timeout > TIMEOUT_MAX:
            raise OverflowError("timeout value is too large")
        return self.now + max(timeout, 0.0)

    def read_clock(self) -> float:
        self.step("read the clock")
        return self.now

    def sleep(self, seconds: float) -> None:
        self.step("sleep")
        self.block([], "a sleep", self.now + seconds)

    def hang(self) -> NoReturn:
        """Never return: user code that is stuck."""
        self.step("hang")
        while True:
            self.block([], "nothing, for ever")

    def fail(self, finding: str | Exception) -> NoReturn:
        """End the simulation: something is wrong. Nothing in the simulation can catch it."""
        if self.is_dead:
            raise Killed  # what is unwound breaks rules that hold for what runs
        self._failure = finding if isinstance(finding, Exception) else SimulationError(finding)
        self._hub.switch()
        raise Killed

    # What the test calls.

    def run(self, main: Callable[[], T]) -> T:
        """Run ``main`` as a simulated thread until it returns; return what it returns.

        Other threads stay where they are; :meth:`kill` ends them.

        Raises:
            SimulationError: With the end of the trace and all stacks in its notes.
            BaseException: What ``main`` raised.
        """
        result: list[T] = []
        thread = Thread(self, target=lambda: result.append(main()), name="test")
        self.adopt(thread)
        while not thread.is_over and self._failure is None:
            if self._crash_at is not None and len(self.trace) >= self._crash_at:
                raise CrashError
            if self._ready or self._wait_for_timers():
                self._current = self._pop_ready()
                self._current.greenlet.switch()
        self._current = None
        if self._failure is not None:
            failure = self._failure
            failure.add_note(self.report())
            raise failure
        if thread.error is not None:
            if isinstance(thread.error, Exception):
                thread.error.add_note(self.report())
            raise thread.error
        return result[0]

    def kill(self) -> None:
        """Unwind what still runs: every operation of it raises Killed from now on."""
        self.is_dead = True
        for thread in self.threads:
            if not thread.is_over and not thread.greenlet.dead:
                self._current = thread
                with suppress(Killed):  # which one that never ran lets out
                    thread.greenlet.throw(Killed)
                assert thread.greenlet.dead, f"{thread} outlives its simulation"
        self._current = None

    def report(self, lines: int = 40) -> str:
        """The end of the trace, and where every thread is."""
        end = "\n".join(f"  {name}: {operation}" for name, operation in self.trace[-lines:])
        return f"virtual time {self.now:.6f}, {len(self.trace)} operations, the last ones:\n{end}\n{self.stacks()}"

    def stacks(self) -> str:
        """Where every thread is that is not over."""
        parts = []
        for thread in self.threads:
            frame = thread.greenlet.gr_frame
            if not thread.is_over and frame is not None:
                state = f"waits for {thread.waits_for}" if thread.is_blocked else "can run"
                own = [e for e in traceback.extract_stack(frame) if e.filename != __file__]
                parts.append(f"{thread.name} {state}, at\n{''.join(traceback.format_list(own))}")
        return "\n".join(parts)

    def current_frames(self) -> dict[int, FrameType]:
        """As ``sys._current_frames()``."""
        frames = {}
        for thread in self.threads:
            frame = sys._getframe() if thread is self._current else thread.greenlet.gr_frame
            if thread.ident is not None and frame is not None and not thread.is_over:
                frames[thread.ident] = frame
        return frames

    def digest(self) -> str:
        """A hash of all that happened, in order."""
        return hashlib.blake2b(repr(self.trace).encode(), digest_size=16).hexdigest()

    # What only the kernel and its threads call.

    def adopt(self, thread: Thread) -> None:
        """Let a thread run from now on."""
        self.threads.append(thread)
        thread.ident = len(self.threads)
        thread.greenlet = greenlet.greenlet(thread.run_in_greenlet, parent=self._hub)
        self._ready.append(thread)

    def end(self, thread: Thread) -> None:
        """Note that a thread is over."""
        if not self.is_dead:
            self.trace.append((thread.name, "ends"))

    def _unwind(self) -> None:
        # A loop that goes on whatever is raised would never end: now and then it finds that all is well.
        self._unwound += 1
        if self._unwound % 30 < 20:
            raise Killed

    def _make_ready(self, thread: Thread) -> None:
        assert thread.waiters is not None
        thread.waiters.remove(thread)
        thread.is_blocked, thread.waiters = False, None
        self._ready.append(thread)

    def _pop_ready(self) -> Thread:
        # The last one takes the place of the one that goes: no list is moved, and the order is still the seed's.
        place = int(self.random.random() * len(self._ready))
        self._ready[place], self._ready[-1] = self._ready[-1], self._ready[place]
        return self._ready.pop()

    def _go_on(self, current: Thread) -> None:
        """Give the turn to somebody who can run; return when ``current`` has it again."""
        if not self._ready and not self._wait_for_timers():
            self._hub.switch()
            raise Killed
        chosen = self._pop_ready()
        if chosen is not current:
            self._current = chosen
            chosen.greenlet.switch()

    def _fire_timers(self) -> None:
        while self._timers and self._timers[0][0] <= self.now:
            _, number, thread = heapq.heappop(self._timers)
            if thread.is_blocked and thread.wait_number == number:
                thread.timed_out = True
                self._make_ready(thread)

    def _wait_for_timers(self) -> bool:
        """Let time jump until somebody can run; note the failure and return False if nobody ever can."""
        while not self._ready:
            while self._timers and not (
                self._timers[0][2].is_blocked and self._timers[0][2].wait_number == self._timers[0][1]
            ):
                heapq.heappop(self._timers)  # of a wait that is over
            if not self._timers:
                self._failure = DeadlockError("nobody can run, and no deadline changes that")
                return False
            if self._timers[0][0] > self.now + self._longest_jump:
                name = self._timers[0][2].name
                gap = self._timers[0][0] - self.now
                self._failure = DeadlockError(f"nobody can run for {gap:.0f} s, until a deadline of {name}")
                return False
            self.now = max(self.now, self._timers[0][0])
            self._fire_timers()
        return True


class Names:
    """Stands for a module: the given names, and no others."""

    def __init__(self, module: str, **names: object) -> None:
        self._module = module
        self.__dict__.update(names)

    def __getattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"the simulation has no {self._module}.{name} yet; add it to {__name__}")


class Overlay:
    """Stands for a module: some of its names replaced, the others as they are."""

    def __init__(self, module: object, **names: object) -> None:
        self._module = module
        self.__dict__.update(names)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._module, name)
