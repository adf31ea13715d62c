"""What passes between a Gymnasium environment and its agent. Immutable; any thread."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeAlias, TypeVar

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

T = TypeVar("T")


@dataclass(frozen=True)
class EnvReset(Generic[T]):
    """The first observation of an episode; of a vector environment, the first ones of all episodes, batched."""

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


@dataclass(frozen=True)
class VectorStep(Generic[T]):
    """What came of the actions in the n sub-environments of a vector environment.

    The transition of sub-environment i, where ``acted[i]``: the observation and the action before, ``reward[i]``,
    ``next_obs[i]``, ``terminated[i]``. What to act on now is ``obs[i]``: the same as ``next_obs[i]`` within an
    episode, the first observation of the next one where ``first[i]``.
    """

    obs: T
    """What to act on now, batched."""
    reward: NDArray[np.float64]
    """Shape (n,): what the actions earned."""
    terminated: NDArray[np.bool_]
    """Shape (n,): whether the task ended: there is nothing to come."""
    truncated: NDArray[np.bool_]
    """Shape (n,): whether the episode was cut off: the future goes on without us."""
    info: dict[str, Any]
    """What the sub-environments tell with ``obs``, merged as Gymnasium does: an array for each key, and beside it
    ``_key``, which of them told it."""
    next_obs: T
    """What the actions led to, batched: where an episode ended, its last observation."""
    next_info: dict[str, Any]
    """As ``info``, but told with ``next_obs``."""
    first: NDArray[np.bool_]
    """Shape (n,): whether ``obs`` is the first observation of an episode."""
    acted: NDArray[np.bool_]
    """Shape (n,): whether the action was carried out. It was not where an environment that resets itself by
    ``AutoresetMode.NEXT_STEP`` began its next episode instead: there is no transition."""

    @property
    def done(self) -> NDArray[np.bool_]:
        """Shape (n,): whether the episode is over, either way."""
        return self.terminated | self.truncated


EnvOutput: TypeAlias = EnvReset[T] | EnvStep[T]
"""What an environment puts out at once: a first observation, or a further one."""

GymObs: TypeAlias = EnvReset[T] | EnvStep[T] | tuple[EnvStep[T], EnvReset[T]] | VectorStep[T]
"""An observation: a first one, a further one, or the last of one episode with the first of the next; of a vector
environment a first one, then :class:`VectorStep`."""


@dataclass(frozen=True)
class GymAction(Generic[T]):
    """An action, and whether to start a new episode after it; for a vector environment, in which to (n,)."""

    action: T
    need_reset: bool | NDArray[np.bool_] = False
