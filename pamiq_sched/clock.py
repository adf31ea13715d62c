"""Agent time: monotonic, pausable, scalable.

Every reading is computed from one immutable anchor, replaced as a whole, on top of the machine's monotonic
clock. So readings take no lock (but to wait for a change under way), never see half of a change, and a step of
the wall clock changes nothing: ``time()`` starts at the wall clock's reading and goes on by the monotonic one.
Any thread may read, sleep, pause and resume; changes are serialized by a lock.

The module's functions (``time()``, ``sleep()``, ``pause()``, ...) act on the process's system clock; the
``fixed_*`` ones are the interpreter's own, which nothing pauses. :class:`ManualClock` stands still until it
is told to move: for tests, and for running recorded data as fast as it goes.
"""

from __future__ import annotations

import math
import threading
import time as _time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol
from weakref import WeakSet

from typing_extensions import override

from pamiq_sched import _checks

LARGEST_TIME_SCALE = 1e9
"""The finest step of the machine's clock, a nanosecond, is an agent second then: beyond it time is not told but
jumps, until it overflows."""


class Anchor(NamedTuple):
    """One moment of a clock and how it goes on from there."""

    source: float
    """The source's reading then, in seconds."""
    rate: float
    """Agent seconds per source second; 0 while paused."""
    time: float
    perf_counter: float
    monotonic: float


class Watcher(Protocol):
    """Who keeps something that holds for one anchor only."""

    def on_clock_changed(self, shift: float) -> None:
        """Called when the anchor was replaced, by the thread that did it, under the clock's lock.

        Args:
            shift: By how many seconds ``monotonic()`` jumped; 0 unless a state was loaded.
        """


class Clock:
    """Agent time on top of a monotonic source.

    Args:
        source: Seconds that never go back; the machine's monotonic clock by default.

    Example:
        >>> clock = ManualClock()
        >>> clock.set_time_scale(2.0)
        >>> clock.advance(3.0)
        >>> clock.monotonic()
        6.0
    """

    def __init__(self, source: Callable[[], float] = _time.monotonic) -> None:
        self.source = source
        # Guards changes of anchor and scale, and carries the wake-ups of sleepers. Readers do without: they
        # take the anchor in one read.
        self._changed = threading.Condition()
        self._scale = 1.0  # guarded by _changed; what the rate returns to after a pause
        # Set under _changed from before the last reading by the old anchor until the new one is there.
        self._is_changing = False
        self._before_pause: Anchor | None = None  # guarded by _changed; while paused, if nothing was loaded
        self._listeners: tuple[Callable[[], None], ...] = ()  # replaced as a whole under _changed
        self._watchers: WeakSet[Watcher] = WeakSet()  # guarded by _changed
        self.anchor = self._first_anchor()

    def _first_anchor(self) -> Anchor:
        return Anchor(self.source(), 1.0, _time.time(), _time.perf_counter(), _time.monotonic())

    # A reading looks at the anchor again behind the source: a change between the two, or one under way, would
    # extend the old anchor past its end, and time would go back afterwards. Written out three times, to spare
    # each reading a call: they are on every hot path.

    def time(self) -> float:
        """Seconds since the epoch, in agent time."""
        anchor = self.anchor
        now = self.source()
        if self.anchor is not anchor or self._is_changing:
            anchor, now = self._look()
        at, rate, time, _, _ = anchor
        return time + (now - at) * rate

    def perf_counter(self) -> float:
        """Seconds since an arbitrary moment, in agent time."""
        anchor = self.anchor
        now = self.source()
        if self.anchor is not anchor or self._is_changing:
            anchor, now = self._look()
        at, rate, _, perf_counter, _ = anchor
        return perf_counter + (now - at) * rate

    def monotonic(self) -> float:
        """Seconds since an arbitrary moment, in agent time; what intervals are measured by."""
        anchor = self.anchor
        now = self.source()
        if self.anchor is not anchor or self._is_changing:
            anchor, now = self._look()
        at, rate, _, _, monotonic = anchor
        return monotonic + (now - at) * rate

    def _look(self) -> tuple[Anchor, float]:
        """Return anchor and source of one moment, when the change under way is over."""
        with self._changed:
            return self.anchor, self.source()

    def is_paused(self) -> bool:
        """Whether agent time stands still."""
        return self.anchor.rate == 0.0

    def pause(self) -> None:
        """Stop agent time; sleepers return at once. Does nothing if it stands still already."""
        with self._changed:
            if not self.is_paused():
                running = self.anchor
                self._replace_anchor(rate=0.0)
                self._before_pause = running
        self._tell_listeners()

    def resume(self) -> None:
        """Let agent time go on. Does nothing if it runs already."""
        with self._changed:
            if self.is_paused():
                self._replace_anchor(rate=self._scale)
        self._tell_listeners()

    def set_time_scale(self, time_scale: float) -> None:
        """Let agent time run ``time_scale`` times as fast as the source.

        Raises:
            TypeError: If it is not a number.
            ValueError: If it is not above 0, or above 1e9; to stop time, use :meth:`pause`.
        """
        checked = _checks.real(
            "the time scale (agent seconds per second)",
            time_scale,
            above=0,
            most=LARGEST_TIME_SCALE,
            remedy="to stop time, pause()",
        )
        with self._changed:
            self._scale = checked
            if not self.is_paused():
                self._replace_anchor(rate=checked)
        self._tell_listeners()

    def get_time_scale(self) -> float:
        """Agent seconds per source second, while not paused."""
        return self._scale

    def sleep(self, seconds: float, *, wake_if: Callable[[], bool] | None = None) -> None:
        """Sleep for a span of agent time.

        Args:
            seconds: Agent seconds, at least 0.
            wake_if: Tells whether to stop sleeping; asked at every change of the clock and whenever someone
                calls :meth:`wake`. If it is not given, a pause of the clock ends the sleep.

        Raises:
            TypeError: If ``seconds`` is not a number.
            ValueError: If it is negative or not finite.
        """
        span = _checks.seconds("the time to sleep", seconds, zero=True)
        is_over = self.is_paused if wake_if is None else wake_if
        with self._changed:
            deadline = self.monotonic() + span
            while not is_over():
                remaining = deadline - self.monotonic()
                if remaining <= 0:
                    return
                self._wait(remaining)

    def _wait(self, remaining: float) -> None:
        """Wait under the lock for a change of the clock, for ``remaining`` agent seconds at most."""
        # No longer than a lock can wait; whoever sleeps asks again.
        self._changed.wait(None if self.is_paused() else min(remaining / self.anchor.rate, threading.TIMEOUT_MAX))

    def wake(self) -> None:
        """Let every sleeper ask its ``wake_if`` again."""
        with self._changed:
            self._changed.notify_all()

    def source_deadline(self, monotonic: float) -> float:
        """The source's reading at which :meth:`monotonic` gets there; infinity while paused.

        It holds as long as :attr:`anchor` is the same object.
        """
        at, rate, _, _, now = self.anchor
        return at + (monotonic - now) / rate if rate else math.inf

    def add_watcher(self, watcher: Watcher) -> None:
        """Tell ``watcher`` of every new anchor for as long as it lives; it is not kept alive."""
        with self._changed:
            self._watchers.add(watcher)

    def add_listener(self, listener: Callable[[], None]) -> None:
        """Call ``listener`` after every change: pause, resume, scale, load, and a manual advance.

        It is called by the thread that made the change, without a lock held.
        """
        with self._changed:
            self._listeners = (*self._listeners, listener)

    def remove_listener(self, listener: Callable[[], None]) -> None:
        """Stop calling ``listener``.

        Raises:
            ValueError: If it is not registered.
        """
        with self._changed:
            listeners = list(self._listeners)
            listeners.remove(listener)
            self._listeners = tuple(listeners)

    def state_dict(self) -> dict[str, float]:
        """All three readings of one moment, in seconds."""
        with self._changed:
            return self._present()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from the readings of :meth:`state_dict`; whether it is paused stays as it is.

        Interval schedulers on this clock keep the time that is left to them.

        Raises:
            TypeError: If a reading is not a number.
            ValueError: If a reading is missing, unknown or not finite.
        """
        _checks.state_keys("a clock", state, {"time", "perf_counter", "monotonic"})
        readings = {key: _checks.seconds(f"the clock's {key}", state[key], zero=True) for key in state}
        with self._changed:
            self._replace_anchor(rate=self.anchor.rate, **readings)
        self._tell_listeners()

    def _replace_anchor(self, *, rate: float, **readings: float) -> None:
        """Go on at another rate, from the present readings or from given ones; under the lock."""
        self._is_changing = True
        try:
            source = self.source()
            present = self._present(source)
            going_on = readings or present
            before, self._before_pause = self._before_pause, None
            if readings:
                self.anchor = self._loaded_anchor(source, rate, readings)
            elif before is not None and before.rate == rate and source == self.anchor.source:
                # The source stood still for the whole pause, so that no sum was split by it: a run on a manual
                # clock reads the same to the last bit, however often it is paused.
                self.anchor = Anchor(*before)
            else:
                self.anchor = Anchor(source, rate, **present)
        finally:
            self._is_changing = False
        for watcher in self._watchers:
            watcher.on_clock_changed(going_on["monotonic"] - present["monotonic"])
        self._changed.notify_all()

    def _loaded_anchor(self, source: float, rate: float, readings: Mapping[str, float]) -> Anchor:
        """Return where to go on from after a load; under the lock."""
        return Anchor(source, rate, **readings)

    def _present(self, source: float | None = None) -> dict[str, float]:
        """All readings at a reading of the source; under the lock."""
        at, rate, time, perf_counter, monotonic = self.anchor
        gone = ((self.source() if source is None else source) - at) * rate
        return {"time": time + gone, "perf_counter": perf_counter + gone, "monotonic": monotonic + gone}

    def _tell_listeners(self) -> None:
        for listener in self._listeners:
            listener()


class ManualClock(Clock):
    """A clock that stands still until it is told to move.

    Args:
        start: The first reading of every kind, in seconds.
        autojump: Let a sleep move the clock by itself, so that a single thread runs as fast as it can;
            otherwise a sleeper waits until another thread has advanced the clock far enough.

    Example:
        >>> clock = ManualClock()
        >>> clock.advance(1.5)
        >>> clock.time()
        1.5
        >>> jumping = ManualClock(autojump=True)
        >>> jumping.sleep(60.0)
        >>> jumping.time()
        60.0
    """

    def __init__(self, start: float = 0.0, *, autojump: bool = False) -> None:
        self._reading = _checks.seconds("the start", start, zero=True)  # written under _changed, read in one go
        self._autojump = _checks.flag("autojump", autojump)
        super().__init__(source=lambda: self._reading)

    @property
    def autojump(self) -> bool:
        """Whether a sleep moves it by itself."""
        return self._autojump

    @override
    def _first_anchor(self) -> Anchor:
        start = self._reading
        return Anchor(start, 1.0, start, start, start)

    @override
    def _loaded_anchor(self, source: float, rate: float, readings: Mapping[str, float]) -> Anchor:
        if len(set(readings.values())) > 1 or self._scale != 1.0:
            return super()._loaded_anchor(source, rate, readings)
        # The reading becomes the saved one: further advances add up as they did there, to the last bit.
        self._reading = at = readings["monotonic"]
        origin = Anchor(0.0, 1.0, 0.0, 0.0, 0.0)
        if rate:
            return origin
        self._before_pause = origin
        return Anchor(at, rate, at, at, at)

    def advance(self, seconds: float) -> None:
        """Move the source by so many seconds, waking sleepers whose time has come.

        Raises:
            TypeError: If it is not a number.
            ValueError: If it is negative or not finite, or makes the reading so.
        """
        span = _checks.seconds("the time to advance by", seconds, zero=True)
        with self._changed:
            self._reading = _checks.real(f"the reading after an advance by {span!r} seconds", self._reading + span)
            self._changed.notify_all()
        self._tell_listeners()

    @override
    def sleep(self, seconds: float, *, wake_if: Callable[[], bool] | None = None) -> None:
        super().sleep(seconds, wake_if=wake_if)
        if self._autojump:
            self._tell_listeners()

    @override
    def _wait(self, remaining: float) -> None:
        if self._autojump and not self.is_paused():
            target = self.source_deadline(self.monotonic() + remaining)
            # Rounding may fall short of the deadline by one unit in the last place; never stand still.
            self._reading = max(target, math.nextafter(self._reading, math.inf))
        else:
            self._changed.wait()


_system_clock = Clock()


def system_clock() -> Clock:
    """The process's clock, which every component uses unless it is given another."""
    return _system_clock


# pamiq-core's names.
TimeController = Clock
get_global_time_controller = system_clock

time = _system_clock.time
perf_counter = _system_clock.perf_counter
monotonic = _system_clock.monotonic
sleep = _system_clock.sleep
pause = _system_clock.pause
resume = _system_clock.resume
is_paused = _system_clock.is_paused
set_time_scale = _system_clock.set_time_scale
get_time_scale = _system_clock.get_time_scale
state_dict = _system_clock.state_dict
load_state_dict = _system_clock.load_state_dict

fixed_time = _time.time
fixed_perf_counter = _time.perf_counter
fixed_monotonic = _time.monotonic
fixed_sleep = _time.sleep
