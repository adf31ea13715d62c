"""What passes between a Gymnasium environment and its agent. Immutable; any thread."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Generic, TypeAlias, TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class EnvReset(Generic[T]):
    """The first observation of an episode."""

    obs: T
    info: dict[str, Any]


@dataclass(frozen=True)
class EnvStep(Generic[T]):
    """What came of an action."""

    obs: T
    reward: float
    terminated: bool
    """Whether the task ended here: there is nothing to come."""
    truncated: bool
    """Whether the episode was cut off: the future goes on without us."""
    info: dict[str, Any]

    @property
    def done(self) -> bool:
        """Whether the episode is over, either way."""
        return self.terminated or self.truncated


GymObs: TypeAlias = EnvReset[T] | EnvStep[T] | tuple[EnvStep[T], EnvReset[T]]
"""An observation: a first one, a further one, or the last of one episode with the first of the next."""


@dataclass(frozen=True)
class GymAction(Generic[T]):
    """An action, and whether to start a new episode after it."""

    action: T
    need_reset: bool = False
