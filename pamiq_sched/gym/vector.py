"""Vector environments, whose sub-environments reset themselves in three ways: one meaning for all of them.

A :class:`VectorStep` tells for each sub-environment what its action led to and what to act on now, so that no
transition spans two episodes and no reward is lost. Belongs to the inference thread.
"""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import numpy as np
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv, VectorEnv
from gymnasium.vector.utils import concatenate, create_empty_array, iterate
from numpy.typing import NDArray

from pamiq_sched.gym.types import EnvReset, VectorStep

Flags = NDArray[np.bool_]
FINAL = {"final_obs", "final_info"}


class VectorEpisodes:
    """Steps a vector environment through the episodes of its sub-environments.

    Args:
        env: With ``metadata["autoreset_mode"]``, as Gymnasium's have it since 1.1.

    Raises:
        ValueError: If it does not tell how it resets, reuses the arrays of its observations, or steps only some
            of its sub-environments at a time.
    """

    def __init__(self, env: VectorEnv[Any, Any, Any]) -> None:
        base: Any = env.unwrapped
        # The metadata come second: Atari's writes its mode into those of every class that has none of its own.
        mode = getattr(base, "autoreset_mode", env.metadata.get("autoreset_mode"))
        if not isinstance(mode, AutoresetMode):
            raise ValueError(
                f'metadata["autoreset_mode"] of {env} must be a gymnasium.vector.AutoresetMode, got {mode!r}; '
                "without it nobody can tell where its episodes begin"
            )
        if not getattr(base, "copy", True):
            raise ValueError(
                f"{env} was made with copy=False, so each step would change the observations that an agent "
                "has kept; make it with copy=True"
            )
        if getattr(base, "batch_size", env.num_envs) != env.num_envs:
            raise ValueError(
                f"{env} steps {base.batch_size} of its {env.num_envs} sub-environments at a time, so an action "
                "has no observation that it belongs to; make it with batch_size=0"
            )
        self._env = env
        self._mode = mode
        self._can_reset_some = (
            isinstance(base, SyncVectorEnv | AsyncVectorEnv) or self._mode is AutoresetMode.DISABLED
        )
        self.idle: Flags = np.zeros(env.num_envs, np.bool_)
        """Shape (n,): whose coming action will not be carried out, since the episode ended with the last one."""

    def reset(self, seed: int | None) -> EnvReset[Any]:
        """Begin an episode in every sub-environment."""
        self.idle = np.zeros(self._env.num_envs, np.bool_)
        return EnvReset(*self._env.reset(seed=seed))

    def wanted(self, need_reset: bool | Flags) -> Flags | None:
        """Return in which sub-environments the agent wants a new episode, None if in none.

        Raises:
            ValueError: If it is of another shape, or for only some where all or none can be reset.
        """
        if need_reset is False:
            return None
        wanted = np.asarray(need_reset, np.bool_)
        if wanted.shape not in {(), (self._env.num_envs,)}:
            raise ValueError(f"need_reset must be a bool or of shape ({self._env.num_envs},), got {need_reset!r}")
        wanted = np.broadcast_to(wanted, self._env.num_envs)
        if not wanted.any():
            return None
        if not self._can_reset_some and not wanted.all():
            raise ValueError(
                f"{self._env} cannot begin new episodes in only some of its sub-environments, which need_reset "
                f"asks for: {wanted.tolist()}; ask for all, or make it with vectorization_mode='sync' or 'async'"
            )
        return wanted

    def step(self, actions: Any, wanted: Flags | None) -> VectorStep[Any]:
        """Carry out actions; begin new episodes where they ended, and where the agent wants it.

        Args:
            actions: One for each, batched.
            wanted: From :meth:`wanted`.
        """
        obs, reward, terminated, truncated, info = self._env.step(actions)
        terminated, truncated = np.asarray(terminated, np.bool_), np.asarray(truncated, np.bool_)
        done = terminated | truncated
        first, acted = self.idle.copy(), ~self.idle
        next_obs, next_info = obs, info
        if self._mode is AutoresetMode.SAME_STEP and done.any():
            first |= done
            next_obs = self._with_final(obs, info, done)
            final_info = info.get("final_info")
            info = {key: value for key, value in info.items() if key.removeprefix("_") not in FINAL}
            next_info = info if final_info is None else merged(info, final_info, done)
        elif self._mode is AutoresetMode.NEXT_STEP:
            self.idle = done

        to_reset = done if self._mode is AutoresetMode.DISABLED else None
        if wanted is not None:
            if not self._can_reset_some:
                to_reset = wanted  # all of them
            else:
                # Those that ended, or have just begun, get their new episode anyway.
                wanted = wanted & acted & ~done
                to_reset = wanted if to_reset is None else to_reset | wanted
        if to_reset is not None and to_reset.any():
            first |= to_reset
            self.idle = self.idle & ~to_reset
            obs, info = self._reset_some(to_reset, info)
        return VectorStep(
            obs,
            np.asarray(reward, np.float64),
            terminated,
            truncated,
            info,
            next_obs,
            next_info,
            first,
            acted,
        )

    def _reset_some(self, which: Flags, info: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        if which.all():
            return self._env.reset()
        obs, newer = self._env.reset(options={"reset_mask": which.copy()})
        return obs, merged(info, newer, which)

    def _with_final(self, obs: Any, info: dict[str, Any], done: Flags) -> Any:
        """Return the observations with the last ones of the ended episodes in place of the first ones."""
        final = info.get("final_obs")
        if final is None:
            raise RuntimeError(
                f"{self._env} resets itself in the step in which an episode ends, but does not tell "
                'info["final_obs"], the last observation; another autoreset_mode would keep it'
            )
        if isinstance(final, np.ndarray) and final.dtype != object:  # of all, ended or not
            return final
        space = self._env.single_observation_space
        rows = list(iterate(self._env.observation_space, obs))
        for i in np.flatnonzero(done):
            rows[i] = final[i]
        empty: Any = create_empty_array(space, len(rows))
        return concatenate(space, rows, empty)


def merged(older: dict[str, Any], newer: dict[str, Any], which: Flags) -> dict[str, Any]:
    """Merge what sub-environments told: that of some is replaced whole.

    Args:
        older: An array for each key, and beside it ``_key``, who told it; a dict of the same kind for a dict.
        newer: Of the same kind.
        which: Shape (n,): whose part comes from ``newer``.

    Example:
        >>> older = {"a": np.array([1, 2]), "_a": np.array([True, True])}
        >>> newer = {"b": np.array([0, 3]), "_b": np.array([False, True])}
        >>> result = merged(older, newer, np.array([False, True]))
        >>> result["a"].tolist(), result["_a"].tolist(), result["b"].tolist(), result["_b"].tolist()
        ([1, 0], [True, False], [0, 3], [False, True])
    """
    nobody = np.zeros(len(which), np.bool_)
    result: dict[str, Any] = {}
    for key in {**older, **newer}:
        if key.startswith("_") and key[1:] in {**older, **newer}:
            continue
        if f"_{key}" not in older and f"_{key}" not in newer:  # of the whole, or told by all
            result[key] = newer.get(key, older.get(key))
            continue
        told = np.where(which, newer.get(f"_{key}", nobody), older.get(f"_{key}", nobody))
        if not told.any():
            continue
        result[f"_{key}"] = told
        before, after = older.get(key), newer.get(key)
        if isinstance(before, dict) or isinstance(after, dict):
            result[key] = merged(before or {}, after or {}, which)
            continue
        values = np.zeros_like(after) if before is None else deepcopy(before)
        values[which] = 0 if after is None else after[which]
        result[key] = values
    return result
