"""Keep the steps of a loop at fixed moments of agent time.

Deadlines lie on a grid that starts at reset(), so that neither a long step nor a late wake-up shifts those
that follow. Belongs to the inference thread.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, Literal

from typing_extensions import override

from pamiq_sched import _checks
from pamiq_sched.clock import Clock, system_clock
from pamiq_sched.lifecycle import NO_PAUSE_POINT, PausePoint
from pamiq_sched.metrics import DurationWindow


class IntervalAdjustor(ABC):
    """Waits for the next of equally spaced deadlines; subclasses say how.

    A deadline that has passed when it is waited for is a miss: there is no wait. Each call of :meth:`adjust`
    counts how late it returned, which is when the step that was due at the deadline begins.

    Args:
        interval: Agent seconds between deadlines, above 0.
        offset: How many agent seconds earlier the whole grid lies, at most an interval.
        missed: What follows a miss. ``"skip"`` leaves out the other deadlines that have passed, counts them as
            misses too, and goes on with the next that is to come. ``"catch_up"`` leaves out none: steps follow
            each other without a wait until each that was due is taken. Steps that always take longer than the
            interval never catch up, and are later and later.
        clock: Agent time; the system clock by default.

    Raises:
        TypeError: If a time is not a number.
        ValueError: If a value is out of range, or ``missed`` is unknown.
    """

    def __init__(
        self,
        interval: float,
        offset: float = 0.0,
        *,
        missed: Literal["skip", "catch_up"] = "skip",
        clock: Clock | None = None,
    ) -> None:
        self.interval = _checks.interval("interval", interval, remedy="to act without pacing, use Interaction")
        self._offset = _checks.real("offset", offset, least=0, most=self.interval)
        self._skips = _checks.choice("missed", missed, ("skip", "catch_up")) == "skip"
        self.clock = system_clock() if clock is None else clock
        self.pause_point: PausePoint = NO_PAUSE_POINT
        """Where a wait may be stopped; the runtime attaches one before the thread starts."""
        self.misses = 0
        """How many deadlines had passed before they were waited for."""
        self.lateness = DurationWindow()
        """Agent seconds from each deadline that was waited for, or had passed by then, to the beginning of its
        step. Deadlines that were skipped have no step, and count as misses only."""
        self._origin: float | None = None
        self._passed = 0  # deadlines of the grid that are behind us
        self._last = 0.0
        self.is_waiting = False
        """Whether a wait was begun and has not ended."""
        self._saved: Mapping[str, Any] | None = None  # a grid to go on with, from load_state_dict() until reset()

    @property
    def deadline(self) -> float:
        """The next deadline, as ``clock.perf_counter()`` reads."""
        return self._moment(self._passed + 1)

    def _moment(self, number: int) -> float:
        """Return a deadline of the grid: never added up, so that nothing drifts."""
        origin = self.reset() if self._origin is None else self._origin
        return origin + number * self.interval

    def reset(self) -> float:
        """Start the grid anew, now; or go on with the one that was loaded, as if no time had passed since.

        Returns:
            Now, as ``clock.perf_counter()`` reads.
        """
        self._last = now = self.clock.perf_counter()
        self._origin = now - self._offset
        self._passed = 0
        self.is_waiting = False
        saved, self._saved = self._saved, None
        if saved is not None and saved["interval"] == self.interval:
            # On a clock that was loaded as well the shift is exactly 0, but for what the setup took.
            shift = now - saved["now"]
            self._origin, self._last = saved["origin"] + shift, saved["last"] + shift
            self._passed = saved["passed"]
            self.is_waiting = saved["is_waiting"]
        return now

    def state_dict(self) -> dict[str, Any]:
        """The grid, how far it has come, and whether a wait was begun."""
        if self._origin is None:
            self.reset()
        return {
            "interval": self.interval,
            "origin": self._origin,
            "passed": self._passed,
            "last": self._last,
            "is_waiting": self.is_waiting,
            "misses": self.misses,
            "now": self.clock.perf_counter(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from :meth:`state_dict`, at the next :meth:`reset`; with another interval the grid starts anew.

        Raises:
            ValueError: If keys are missing or unknown.
        """
        keys = {"interval", "origin", "passed", "last", "is_waiting", "misses", "now"}
        _checks.state_keys("the pacing of an interaction", state, keys)
        self.misses = _checks.count("the number of misses", state["misses"])
        self._saved = dict(state)

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
        deadline = self.deadline
        now = self.clock.perf_counter()
        if now > deadline:
            self._miss(now)
        else:
            self.is_waiting = True
            self.adjust_impl()
            self.is_waiting = False
            self._passed += 1
            now = self.clock.perf_counter()
        self.lateness.add(max(0.0, now - deadline))  # a subclass may not wait all the time
        gone, self._last = now - self._last, now
        return gone

    def _miss(self, now: float) -> None:
        """Move on from a deadline that has passed."""
        first = last = self._passed + 1
        if self._skips:
            last += int((now - self._moment(first)) / self.interval)
            # The division may round across a deadline; the grid decides.
            if self._moment(last) > now:
                last -= 1
            elif self._moment(last + 1) <= now:
                last += 1
        self._passed = last
        # The last one is met, and no miss, if the step begins right at it.
        self.misses += last - first + (self._moment(last) < now)


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
