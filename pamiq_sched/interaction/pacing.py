"""Keep the steps of a loop at fixed moments of agent time.

Deadlines lie on a grid that starts at reset(), so that neither a long step nor a late wake-up shifts those
that follow. Belongs to the inference thread.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

from typing_extensions import override

from pamiq_sched import _checks
from pamiq_sched.clock import Clock, system_clock
from pamiq_sched.lifecycle import NO_PAUSE_POINT, PausePoint


class IntervalAdjustor(ABC):
    """Waits for the next of equally spaced deadlines; subclasses say how.

    A deadline that has passed when the wait for it begins is a miss: there is no wait, and the next deadline
    is the first on the grid that is still to come.

    Args:
        interval: Agent seconds between deadlines, above 0.
        offset: How many agent seconds earlier the whole grid lies.
        clock: Agent time; the system clock by default.

    Raises:
        ValueError: If a value is out of range.
    """

    def __init__(self, interval: float, offset: float = 0.0, *, clock: Clock | None = None) -> None:
        self.interval = _checks.seconds("interval", interval, remedy="to act without pacing, use Interaction")
        self._offset = _checks.seconds("offset", offset, zero=True)
        self.clock = system_clock() if clock is None else clock
        self.pause_point: PausePoint = NO_PAUSE_POINT
        """Where a wait may be stopped; the runtime attaches one before the thread starts."""
        self.misses = 0
        """How many deadlines had passed before they were waited for."""
        self._origin: float | None = None
        self._passed = 0  # deadlines of the grid that are behind us
        self._last = 0.0

    @property
    def deadline(self) -> float:
        """The next deadline, as ``clock.perf_counter()`` reads."""
        origin = self.reset() if self._origin is None else self._origin
        return origin + (self._passed + 1) * self.interval

    def reset(self) -> float:
        """Start the grid anew, now.

        Returns:
            Now, as ``clock.perf_counter()`` reads.
        """
        self._last = now = self.clock.perf_counter()
        self._origin = now - self._offset
        self._passed = 0
        return now

    @abstractmethod
    def adjust_impl(self) -> None:
        """Wait until :attr:`deadline`."""

    def adjust(self) -> float:
        """Wait for the next deadline, unless it has passed.

        Returns:
            Agent seconds since the last call, or since :meth:`reset`.

        Raises:
            ShutdownRequested: If the system shuts down meanwhile.
        """
        late = self.clock.perf_counter() - self.deadline
        if late > 0:
            missed = 1 + int(late / self.interval)
            self.misses += missed
            self._passed += missed
        else:
            self.adjust_impl()
            self._passed += 1
        now = self.clock.perf_counter()
        gone, self._last = now - self._last, now
        return gone


class SleepIntervalAdjustor(IntervalAdjustor):
    """Sleeps until the deadline; a pause or a shutdown ends the sleep at once.

    Example:
        >>> from pamiq_sched import ManualClock
        >>> adjustor = SleepIntervalAdjustor(0.1, clock=ManualClock(autojump=True))
        >>> start = adjustor.reset()
        >>> round(adjustor.adjust(), 6)
        0.1
    """

    @override
    def adjust_impl(self) -> None:
        deadline = self.deadline
        while (remaining := deadline - self.clock.perf_counter()) > 0:
            self.clock.sleep(remaining, wake_if=self.pause_point.is_requested)
            # Agent time stands still while we are stopped here, so what is left to sleep stays the same.
            self.pause_point()
