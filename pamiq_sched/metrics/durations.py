"""Count how long things take.

The invariant is that counting is cheap: it stores a number, and what the numbers amount to is worked out only
when somebody asks. A window is written by one thread, the one whose time is measured; any thread may read.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass

import numpy as np

from pamiq_sched import _checks


@dataclass(frozen=True)
class Durations:
    """What a :class:`DurationWindow` amounts to, in seconds; all 0 if nothing was counted."""

    count: int = 0
    """How many durations were ever counted."""
    p50: float = 0.0
    """The median of the window: half of its durations are at most this."""
    p99: float = 0.0
    """At most this are 99 of 100 in the window."""
    max: float = 0.0
    """The longest in the window."""
    longest: float = 0.0
    """The longest ever."""


class DurationWindow:
    """The latest durations of something that is done again and again.

    Args:
        size: How many to keep, at least 1.

    Raises:
        TypeError: If the size is not a whole number.
        ValueError: If it is less than 1.

    Example:
        >>> window = DurationWindow(size=3)
        >>> for seconds in (9.0, 0.1, 0.2, 0.3):
        ...     window.add(seconds)
        >>> window.summary()
        Durations(count=4, p50=0.2, p99=0.3, max=0.3, longest=9.0)
    """

    # No field needs a lock: one thread writes, and the interpreter makes each read and each write of a field or
    # an element whole, and in the order in which they are written here. add() counts a duration last, and
    # summary() reads the count first, so that it never takes a place that was not yet written for a duration.
    # What is added while it reads may take the place of an old duration that it would have seen.

    def __init__(self, size: int = 4096) -> None:
        self._size = _checks.count("size", size, least=1, unit="duration")
        self._window = array("d", bytes(8 * self._size))
        self._count = 0
        self._longest = 0.0

    def add(self, seconds: float) -> None:
        """Count one duration, of at least 0 seconds; only one thread may."""
        if seconds > self._longest:  # noqa: PLR1730 - max() would take half of the time of this method
            self._longest = seconds
        count = self._count
        self._window[count % self._size] = seconds
        self._count = count + 1

    @property
    def count(self) -> int:
        """How many durations were ever counted."""
        return self._count

    def summary(self, since: int = 0) -> Durations:
        """What the window amounts to now; any thread.

        A percentile is the smallest duration of the window that so many of 100 do not exceed, and so one that
        was measured, of a single one too.

        Args:
            since: Look at those durations of the window only that were counted after that :attr:`count`.
        """
        count = self._count
        size = min(count - since, count, self._size)
        if size <= 0:
            return Durations(count, longest=self._longest)
        window = np.frombuffer(self._window)
        end = count % self._size
        latest = window[end - size : end] if size <= end else np.concatenate([window[end - size :], window[:end]])
        places = [(size * percent - 1) // 100 for percent in (50, 99)]
        # A selection, not a sort, of a copy: 20 us for 4,096, where a sort of Python's held the GIL for 300.
        p50, p99, greatest = np.partition(latest, [*places, size - 1])[[*places, size - 1]].tolist()
        # Read last: no duration in the window is longer, for add() notes the longest first.
        return Durations(count, p50, p99, greatest, self._longest)
