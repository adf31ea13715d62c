"""The least agent in the least environment, of either library."""

from __future__ import annotations

import importlib
from typing import Any


def at_fixed_intervals(library: str, seconds: float) -> Any:
    """Make an interaction that acts at fixed intervals and does nothing by it."""
    core: Any = importlib.import_module(library)

    class Idler(core.Agent):  # type: ignore[misc] # a class of a library that is chosen at run time
        def step(self, observation: float) -> float:
            return observation

    class Nowhere(core.Environment):  # type: ignore[misc] # likewise
        def observe(self) -> float:
            return 0.0

        def affect(self, action: float) -> None:
            pass

    return core.FixedIntervalInteraction.with_sleep_adjustor(Idler(), Nowhere(), seconds)
