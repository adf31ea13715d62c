"""The least agent in the least environment, of either library."""

from __future__ import annotations

import importlib
from typing import Any


def at_fixed_intervals(library: str, seconds: float, agent: Any = None) -> Any:
    """Make an interaction that acts at fixed intervals, by an agent or by one that does nothing."""
    core: Any = importlib.import_module(library)
    return core.FixedIntervalInteraction.with_sleep_adjustor(agent or _idler(core), _nowhere(core), seconds)


def unpaced(library: str, agent: Any = None) -> Any:
    """Make an interaction that acts as fast as it can."""
    core: Any = importlib.import_module(library)
    return core.Interaction(agent or _idler(core), _nowhere(core))


def _idler(core: Any) -> Any:
    class Idler(core.Agent):  # type: ignore[misc] # a class of a library that is chosen at run time
        def step(self, observation: float) -> float:
            return observation

    return Idler()


def _nowhere(core: Any) -> Any:
    class Nowhere(core.Environment):  # type: ignore[misc] # likewise
        def observe(self) -> float:
            return 0.0

        def affect(self, action: float) -> None:
            pass

    return Nowhere()
