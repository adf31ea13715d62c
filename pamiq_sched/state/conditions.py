"""When to save, and what to keep of the saves.

Both belong to the control thread, which asks the condition and tells the keeper.
"""

from __future__ import annotations

import logging
import shutil
from abc import ABC, abstractmethod
from collections.abc import Iterable
from pathlib import Path

from typing_extensions import override

from pamiq_sched import _checks
from pamiq_sched.clock import Clock, system_clock

_logger = logging.getLogger(__name__)


class PeriodicSaveCondition:
    """True once for every so many seconds of agent time.

    It is armed at its first call, after the clock was restored: a day-old state does not silence it.

    Args:
        interval: Seconds between saves, above 0.
        clock: Agent time; the system clock by default.

    Raises:
        ValueError: If the interval is not above 0 and finite.

    Example:
        >>> from pamiq_sched import ManualClock
        >>> clock = ManualClock()
        >>> due = PeriodicSaveCondition(60.0, clock=clock)
        >>> due()
        False
        >>> clock.advance(60.0)
        >>> due(), due()
        (True, False)
    """

    def __init__(self, interval: float, *, clock: Clock | None = None) -> None:
        self._interval = _checks.seconds("the interval between saves", interval)
        self._clock = system_clock() if clock is None else clock
        self._due_at: float | None = None

    def __call__(self) -> bool:
        """Whether a save is due; the next one is due an interval after this call."""
        now = self._clock.monotonic()
        is_due = self._due_at is not None and now >= self._due_at
        if self._due_at is None or is_due:
            self._due_at = now + self._interval
        return is_due

    def seconds_until_due(self) -> float:
        """Agent seconds until it is worth asking again.

        A condition of your own that has such a method is asked when it says so, at infinity when something else
        happens; one without is asked ten times a second.
        """
        return 0.0 if self._due_at is None else max(0.0, self._due_at - self._clock.monotonic())


class StatesKeeper(ABC):
    """Decides which saved states are removed."""

    def append(self, path: Path) -> None:  # noqa: B027 - a hook that need not be overridden
        """Take note of a new state; called after each save."""

    @abstractmethod
    def select_removal_states(self) -> Iterable[Path]:
        """Return the directories to remove now."""

    def cleanup(self) -> list[Path]:
        """Remove what :meth:`select_removal_states` returns; return what was removed."""
        removed = [path for path in self.select_removal_states() if path.exists()]
        for path in removed:
            shutil.rmtree(path)
            _logger.info("removed the state %s", path)
        return removed


class LatestStatesKeeper(StatesKeeper):
    """Keeps the latest states and removes older ones.

    Args:
        states_dir: Where the states of the run are.
        max_keep: How many to keep, at least 1.
        state_name_pattern: Which directories there are states.

    Raises:
        ValueError: If ``max_keep`` is less than 1.
    """

    def __init__(self, states_dir: str | Path, max_keep: int, state_name_pattern: str = "*.state") -> None:
        self._max_keep = _checks.count("max_keep", max_keep, least=1, remedy="to keep all, use no keeper")
        found = (p for p in Path(states_dir).glob(state_name_pattern) if not p.name.startswith("."))
        self._states = sorted(found, key=lambda p: (p.stat().st_mtime_ns, p.name))

    @override
    def append(self, path: Path) -> None:
        self._states.append(path)

    @override
    def select_removal_states(self) -> Iterable[Path]:
        # Those that are still there: one that could not be removed is tried again.
        self._states = [path for path in self._states if path.exists()]
        return self._states[: -self._max_keep]
