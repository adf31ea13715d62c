"""When to save, and what to keep of the saves.

The control thread asks the condition, the thread that saves tells the keeper.
"""

from __future__ import annotations

import logging
import math
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, Literal

from typing_extensions import override

from pamiq_sched import _checks
from pamiq_sched.clock import Clock, system_clock
from pamiq_sched.state.files import FileSystem
from pamiq_sched.state.manifest import Manifest, complete_states
from pamiq_sched.state.store import remove_state

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


class StepSaveCondition:
    """True once for every so many steps of the interaction, of all runs that were continued.

    The threads are stopped right after such a step, or a few later: the agent is not held up for it.

    Args:
        interval: Steps between saves, at least 1.

    Raises:
        TypeError: If the interval is not a whole number.
        ValueError: If it is less than 1.

    Example:
        >>> due, steps = StepSaveCondition(100), 0
        >>> due.attach_step_counter(lambda: steps)
        >>> due()
        False
        >>> steps = 107
        >>> due(), due(), due.next_step
        (True, False, 200)
    """

    def __init__(self, interval: int) -> None:
        self._interval = _checks.count("the interval between saves", interval, least=1, unit="step")
        self._steps: Callable[[], int] | None = None
        self.next_step: float = math.inf
        """How many steps must have been taken for the next save; written by whoever asks, read by any."""

    def attach_step_counter(self, steps: Callable[[], int]) -> None:
        """Take what tells how many steps were taken; a system does this when it has loaded its state."""
        self._steps = steps
        self.next_step = self._behind(steps())

    def __call__(self) -> bool:
        """Whether a save is due."""
        if self._steps is None:
            raise RuntimeError(
                "a StepSaveCondition needs a counter of steps; use it in a LaunchConfig, or attach_step_counter()"
            )
        steps = self._steps()
        is_due = steps >= self.next_step
        if is_due:
            self.next_step = self._behind(steps)
        return is_due

    def seconds_until_due(self) -> float:
        """Infinity: no time makes it due."""
        return math.inf

    def _behind(self, steps: int) -> int:
        return (steps // self._interval + 1) * self._interval


class StatesKeeper(ABC):
    """Decides which saved states are removed."""

    files: FileSystem = FileSystem()
    """The disk; a system that has another one puts it here."""

    def about(self) -> Mapping[str, Any]:
        """What to note in the manifest of the state that is being saved; called while the threads stand still."""
        return {}

    def append(self, path: Path) -> None:  # noqa: B027 - a hook that need not be overridden
        """Take note of a new state; called after each save."""

    @abstractmethod
    def select_removal_states(self) -> Iterable[Path]:
        """Return the directories to remove now."""

    def cleanup(self) -> list[Path]:
        """Remove what :meth:`select_removal_states` returns; return what was removed.

        The last complete state of a directory stays, whatever that returns.

        Raises:
            OSError: If the disk refuses.
        """
        removed = []
        for path in self.select_removal_states():
            if not path.exists():
                continue
            if self._is_the_last(path):
                _logger.warning("the state %s is kept: there is no other that is complete", path)
                continue
            remove_state(path, self.files)
            removed.append(path)
            _logger.info("removed the state %s", path)
        return removed

    def _is_the_last(self, path: Path) -> bool:
        whole = complete_states(path.parent, self.files)
        return path in whole and len(whole) == 1


class LatestStatesKeeper(StatesKeeper):
    """Keeps the latest states and removes older ones.

    What is not a complete state, or is of a crashed run, is neither counted nor removed.

    Args:
        states_dir: Where the states of the run are.
        max_keep: How many to keep, at least 1.
        state_name_pattern: Which directories there are states.

    Raises:
        TypeError: If ``max_keep`` is not a whole number.
        ValueError: If it is less than 1.
    """

    def __init__(self, states_dir: str | Path, max_keep: int, state_name_pattern: str = "*.state") -> None:
        self._states_dir = _checks.path("states_dir", states_dir)
        self._max_keep = _checks.count("max_keep", max_keep, least=1, remedy="to keep all, use no keeper")
        self._pattern = _checked_pattern(state_name_pattern)

    @override
    def select_removal_states(self) -> Iterable[Path]:
        whole = complete_states(self._states_dir, self.files)
        return [path for path in whole if fnmatch(path.name, self._pattern)][: -self._max_keep]


class BestStatesKeeper(StatesKeeper):
    """Keeps the states with the best metric, and the latest to go on from; removes the others.

    The metric is asked at each save, while the threads stand still, and noted in the state: a later run goes on
    with the comparison. States without one, and those whose metric is not finite, are the worst.

    Args:
        states_dir: Where the states of the run are.
        metric: Tells how good the state is that is being saved.
        max_keep: How many of the best to keep, at least 1.
        mode: Whether the best is the ``"max"`` or the ``"min"``.
        keep_latest: How many of the latest to keep besides, at least 1.
        state_name_pattern: Which directories there are states.

    Raises:
        TypeError: If a count is not a whole number, or the metric cannot be called.
        ValueError: If a count is less than 1, or the mode is unknown.

    Example:
        ``BestStatesKeeper("states", lambda: trainer.mean_return, max_keep=3)``
    """

    def __init__(
        self,
        states_dir: str | Path,
        metric: Callable[[], float],
        max_keep: int = 1,
        mode: Literal["max", "min"] = "max",
        *,
        keep_latest: int = 1,
        state_name_pattern: str = "*.state",
    ) -> None:
        if not callable(metric):
            raise TypeError(f"metric must be callable and return a number, got {metric!r}")
        self._states_dir = _checks.path("states_dir", states_dir)
        self._metric = metric
        self._max_keep = _checks.count("max_keep", max_keep, least=1)
        self._sign = 1.0 if _checks.choice("mode", mode, ("max", "min")) == "max" else -1.0
        self._keep_latest = _checks.count("keep_latest", keep_latest, least=1)
        self._pattern = _checked_pattern(state_name_pattern)

    @override
    def about(self) -> Mapping[str, Any]:
        metric = float(self._metric())
        return {"metric": metric if math.isfinite(metric) else None}

    @override
    def select_removal_states(self) -> Iterable[Path]:
        whole = complete_states(self._states_dir, self.files)
        states = {path: manifest for path, manifest in whole.items() if fnmatch(path.name, self._pattern)}
        # Of equals the newer: it has learned longer.
        by_metric = sorted(states, key=lambda path: self._rank(states[path]))
        kept = {*by_metric[-self._max_keep :], *list(states)[-self._keep_latest :]}
        return [path for path in states if path not in kept]

    def _rank(self, manifest: Manifest) -> tuple[float, int]:
        metric = manifest.about.get("metric")
        if isinstance(metric, int | float) and abs(metric) <= sys.float_info.max:
            return self._sign * metric, manifest.number
        return -math.inf, manifest.number


def _checked_pattern(pattern: object) -> str:
    if not isinstance(pattern, str):
        raise TypeError(f"state_name_pattern must be a string, got {pattern!r}")
    if not pattern:
        raise ValueError("state_name_pattern must match names, got ''; for all states, give '*'")
    return pattern
