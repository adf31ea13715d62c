"""Run callbacks every so often.

A scheduler owns only what answers "is it due?". update() asks once, advances, then calls: a raising callback
is not retried at every tick, and nothing is lost between two readings of a clock. Not thread-safe: a
scheduler belongs to the thread that calls update().
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal, TypeAlias

from typing_extensions import override

from pamiq_sched import _checks
from pamiq_sched.clock import Clock, system_clock
from pamiq_sched.lifecycle import ErrorCollector

Callback: TypeAlias = Callable[[], object]
"""Called without arguments; what it returns is ignored."""
CallbackIterable: TypeAlias = Iterable[Callback]


class Scheduler(ABC):
    """Calls its callbacks whenever it is available.

    Subclass it by overriding :meth:`is_available` and :meth:`update`, the latter calling
    ``super().update()``.

    Args:
        callbacks: One callback, several, or none yet.

    Raises:
        TypeError: If a callback cannot be called.

    Example:
        >>> class Every(Scheduler):
        ...     def is_available(self) -> bool:
        ...         return True
        ...     def update(self) -> None:
        ...         super().update()
        >>> Every(lambda: print("now")).update()
        now
    """

    def __init__(self, callbacks: Callback | CallbackIterable | None = None) -> None:
        self._callbacks: list[Callback] = []
        if callbacks is None:
            callbacks = ()
        elif callable(callbacks):
            callbacks = (callbacks,)
        elif not _checks.is_several(callbacks):
            raise TypeError(f"callbacks must be one that can be called, or several, got {callbacks!r}")
        for callback in callbacks:
            self.register_callback(callback)

    def register_callback(self, callback: Callback) -> None:
        """Call ``callback`` too, from the next time on.

        Raises:
            TypeError: If it cannot be called.
        """
        if not callable(callback):
            raise TypeError(f"a callback must be callable without arguments, got {callback!r}")
        self._callbacks.append(callback)

    def remove_callback(self, callback: Callback) -> None:
        """Stop calling ``callback``.

        Raises:
            ValueError: If it is not registered.
        """
        if callback not in self._callbacks:
            raise ValueError(f"{callback!r} is not registered with this scheduler; nothing to remove")
        self._callbacks.remove(callback)

    @abstractmethod
    def is_available(self) -> bool:
        """Whether the callbacks are due; asked once per update."""

    @abstractmethod
    def update(self) -> None:
        """Call the callbacks if they are due; to be called often.

        Raises:
            BaseException: What a callback raised, after the others have run; a group if several did.
        """
        if self.is_available():
            # All calls that are due are made, whatever the first of them raises: they were advanced past.
            errors = ErrorCollector("several callbacks of a scheduler raised")
            for _ in range(self._advance()):
                self._call(errors)
            errors.raise_collected()

    def _advance(self) -> int:
        """Move on to the next due moment before any callback runs; return how often to call."""
        return 1

    def _call(self, errors: ErrorCollector) -> None:
        # Over a snapshot, since callbacks may register and remove callbacks; one that an earlier callback has
        # just removed is gone.
        for callback in tuple(self._callbacks):
            if callback in self._callbacks:
                with errors:
                    callback()


class TimeIntervalScheduler(Scheduler):
    """Calls its callbacks every so many seconds of agent time.

    The grid of due moments is fixed at construction: neither a late look nor a slow callback shifts it.
    Periods that passed unlooked-at are counted in :attr:`missed`. Pausing the clock pauses the interval.

    Args:
        interval_seconds: Seconds from one due moment to the next; with 0 every update is due.
        callbacks: One callback, several, or none yet.
        interval: The same as ``interval_seconds``, by pamiq-core's name; give one of the two.
        missed: What becomes of periods that passed unlooked-at: ``"coalesce"`` makes one call of all that is
            due, ``"each"`` a call for each.
        clock: Agent time; the system clock by default.

    Raises:
        TypeError: If the interval is not a number or missing.
        ValueError: If it is negative, not finite or below a nanosecond, or ``missed`` is unknown.

    Example:
        >>> from pamiq_sched import ManualClock
        >>> clock = ManualClock()
        >>> scheduler = TimeIntervalScheduler(5.0, lambda: print("fired at", clock.time()), clock=clock)
        >>> clock.advance(16.0)
        >>> scheduler.update()
        fired at 16.0
        >>> scheduler.missed
        2
    """

    def __init__(
        self,
        interval_seconds: float | None = None,
        callbacks: Callback | CallbackIterable | None = None,
        *,
        interval: float | None = None,
        missed: Literal["coalesce", "each"] = "coalesce",
        clock: Clock | None = None,
    ) -> None:
        super().__init__(callbacks)
        self._interval = _checks.interval(
            "interval_seconds",
            _one_of(interval_seconds, interval, "interval_seconds"),
            zero=True,
            remedy="to stop a scheduler, stop calling update()",
        )
        if missed not in ("coalesce", "each"):
            raise ValueError(f'missed must be "coalesce" or "each", got {missed!r}')
        self._call_each = missed == "each"
        self._clock = system_clock() if clock is None else clock
        self._source = self._clock.source
        self.missed = 0
        """How many periods passed without an update() of their own; with ``"each"`` they were made up for."""
        self._origin = self._clock.monotonic()
        self._marks = 0  # how many due moments since the origin are behind us
        # Nothing is due before the source reads this: all that an update() which is not due has to look at. It
        # is conservative; is_available() decides. Written by the owner, and by whoever changes the clock.
        self._quiet_until = -math.inf
        self._asks_first = type(self).is_available is not TimeIntervalScheduler.is_available
        self._clock.add_watcher(self)

    @property
    def interval_seconds(self) -> float:
        """Seconds from one due moment to the next."""
        return self._interval

    @override
    def is_available(self) -> bool:
        """Whether a due moment has come since the last one that was acted upon."""
        return self._clock.monotonic() >= self._next_due()

    def seconds_until_due(self) -> float:
        """Agent seconds to the next due moment; 0 if it has come."""
        return max(0.0, self._next_due() - self._clock.monotonic())

    @override
    def update(self) -> None:
        """Call the callbacks if a due moment has come; see :meth:`Scheduler.update`."""
        source = self._source  # a local: Python 3.11 is slow to call an attribute that holds a function
        if source() < self._quiet_until:
            return
        super().update()
        if not self._asks_first and self._interval:  # with 0 every update is due, of a paused clock too
            self._be_quiet()

    def _be_quiet(self) -> None:
        anchor = self._clock.anchor
        # A microsecond early, which outweighs the rounding of the conversion.
        self._quiet_until = self._clock.source_deadline(self._next_due()) - 1e-6
        if self._clock.anchor is not anchor:
            # The clock changed meanwhile, and we may have written over what on_clock_changed() wrote.
            self._quiet_until = -math.inf

    def on_clock_changed(self, shift: float) -> None:
        """Look again at the next update; the clock calls this, on whatever thread changes it.

        Args:
            shift: By how many seconds the clock jumped. The grid jumps with it: a state that was saved on a
                machine that had run for a month must not silence the scheduler for a month.
        """
        self._origin += shift
        self._quiet_until = -math.inf

    def _next_due(self) -> float:
        return self._origin + (self._marks + 1) * self._interval

    @override
    def _advance(self) -> int:
        if self._interval == 0.0:
            return 1
        now = self._clock.monotonic()
        due = max(1, int((now - self._origin) / self._interval) - self._marks)
        # The division may round down across a due moment; the grid decides.
        while now >= self._origin + (self._marks + due + 1) * self._interval:
            due += 1
        self._marks += due
        self.missed += due - 1
        return due if self._call_each else 1

    def state_dict(self) -> dict[str, float]:
        """What a resumed scheduler needs to fire when this one would have."""
        return {
            "interval": self._interval,
            "origin": self._origin,
            "marks": self._marks,
            "missed": self.missed,
            "now": self._clock.monotonic(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on where :meth:`state_dict` was taken, load the clock first if it is kept too.

        With another interval than that of the state, the new one is kept, counted from the last due moment.

        Raises:
            ValueError: If keys are missing or unknown.
        """
        _checks.state_keys("a TimeIntervalScheduler", state, {"interval", "origin", "marks", "missed", "now"})
        # On a clock that was loaded as well the shift is exactly 0: bit-equal to never having stopped.
        origin = float(state["origin"]) + (self._clock.monotonic() - float(state["now"]))
        marks = int(state["marks"])
        if state["interval"] != self._interval:
            origin, marks = origin + marks * float(state["interval"]), 0
        self._origin, self._marks, self.missed = origin, marks, int(state["missed"])
        self._quiet_until = -math.inf


class StepIntervalScheduler(Scheduler):
    """Calls its callbacks at every n-th update.

    Args:
        interval_steps: Updates from one call to the next, at least 1.
        callbacks: One callback, several, or none yet.
        interval: The same as ``interval_steps``, by pamiq-core's name; give one of the two.

    Raises:
        TypeError: If the interval is not a whole number (a bool is none) or missing.
        ValueError: If it is less than 1.

    Example:
        >>> scheduler = StepIntervalScheduler(2, lambda: print("every other step"))
        >>> scheduler.update()
        >>> scheduler.update()
        every other step
    """

    def __init__(
        self,
        interval_steps: int | None = None,
        callbacks: Callback | CallbackIterable | None = None,
        *,
        interval: int | None = None,
    ) -> None:
        super().__init__(callbacks)
        self._interval = _checks.count(
            "interval_steps",
            _one_of(interval_steps, interval, "interval_steps"),
            least=1,
            unit="step",
            remedy="to stop a scheduler, stop calling update()",
        )
        self._steps = 0

    @property
    def interval_steps(self) -> int:
        """Updates from one call to the next."""
        return self._interval

    @override
    def is_available(self) -> bool:
        """Whether so many updates have been counted since the last call."""
        return self._steps >= self._interval

    @override
    def update(self) -> None:
        """Count one step; call the callbacks if it is the n-th."""
        self._steps += 1
        super().update()

    @override
    def _advance(self) -> int:
        self._steps = 0
        return 1

    def state_dict(self) -> dict[str, int]:
        """How many steps have been counted since the last call."""
        return {"steps": self._steps}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on counting from :meth:`state_dict`.

        Raises:
            TypeError: If the number of steps is not whole.
            ValueError: If keys are missing or unknown, or the number is negative.
        """
        _checks.state_keys("a StepIntervalScheduler", state, {"steps"})
        self._steps = _checks.count("the number of steps", state["steps"])


def _one_of(value: object, alias: object, name: str) -> object:
    if (value is None) == (alias is None):
        raise TypeError(
            f"give {name}, or interval as pamiq-core calls it; got {name}={value!r}, interval={alias!r}"
        )
    return alias if value is None else value
