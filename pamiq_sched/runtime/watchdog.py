"""Sees that threads come by, and names one that does not. Belongs to the control thread."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Iterable
from dataclasses import dataclass

from pamiq_sched.runtime.threads import LEAST_WAIT, WatchedThread

_logger = logging.getLogger(__name__)

LOOKS_PER_DEADLINE = 4


@dataclass
class _Sight:
    """When a thread was last seen to have come by."""

    passes: int
    at: float


class Watchdog:
    """Looks at threads now and then; costs them nothing but a count.

    Args:
        deadline: Seconds after which a thread that has not come by is named; it may take a quarter longer.
    """

    def __init__(self, deadline: float) -> None:
        self._deadline = deadline
        self.seconds_between_looks = max(deadline / LOOKS_PER_DEADLINE, LEAST_WAIT)
        """How often to call :meth:`look`."""
        self._sights: list[tuple[WatchedThread, _Sight]] = []
        self._looks_at = math.inf
        self._stuck: dict[str, str] = {}

    def watch(self, threads: Iterable[WatchedThread]) -> None:
        """Watch these from now on, and no others."""
        now = time.monotonic()
        self._sights = [(thread, _Sight(thread.passes, now)) for thread in threads]
        self._looks_at = now + self.seconds_between_looks
        self._stuck = {}

    def look(self) -> dict[str, str]:
        """Return those that have not come by for too long, each with its stack as it was seen first."""
        now = time.monotonic()
        if now < self._looks_at:
            return self._stuck
        self._looks_at = now + self.seconds_between_looks
        stuck = dict(self._stuck)
        for thread, sight in self._sights:
            passes = thread.passes
            if passes != sight.passes or thread.is_waiting():
                if stuck.pop(thread.name, None) is not None:
                    _logger.warning("the %s thread goes on, after %.0f s", thread.name, now - sight.at)
                sight.passes, sight.at = passes, now
            elif now - sight.at > self._deadline + thread.longest_rest() and thread.name not in stuck:
                stuck[thread.name] = thread.stack()
                _logger.error(
                    "the %s thread has not come by for %.0f s (watchdog_deadline=%s); it is at\n%s",
                    thread.name,
                    now - sight.at,
                    self._deadline,
                    stuck[thread.name],
                )
        self._stuck = stuck
        return stuck
