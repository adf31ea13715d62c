"""Action masks: which actions an observation allows. No state; any thread.

They are where Gymnasium's environments put them, in ``info["action_mask"]``, or where PettingZoo's do, in the
observation: ``obs["action_mask"]``. True, or not 0, is allowed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

KEY = "action_mask"


def action_mask(obs: Any, info: Mapping[str, Any]) -> Any:
    """Return the mask that comes with an observation, or None.

    Args:
        obs: The observation, or several batched.
        info: What was told with it. If only some of several sub-environments told a mask, the others allow all.

    Example:
        >>> info = {"action_mask": np.array([[1, 0], [0, 0]]), "_action_mask": np.array([True, False])}
        >>> action_mask(None, info).tolist()
        [[1, 0], [1, 1]]
    """
    mask = info.get(KEY)
    if mask is None:
        return obs.get(KEY) if isinstance(obs, Mapping) else None
    told = info.get(f"_{KEY}")
    if told is not None and not told.all():
        mask = mask.copy()
        mask[~told] = 1
    return mask


def refuse_forbidden(mask: Any, action: Any, space: Any, env: object, exempt: NDArray[np.bool_]) -> None:
    """Refuse actions that a mask forbids.

    Args:
        mask: Shape (actions,), or (n, actions) for n sub-environments.
        action: One, or (n,), out of the space.
        space: The Discrete action space, of one of the sub-environments.
        env: Named in the error.
        exempt: Shape (n,): whose actions will not be carried out; not looked at for a single environment.

    Raises:
        ValueError: Naming the action and those that are allowed.
    """
    allowed, start = np.asarray(mask) != 0, int(space.start)
    several = isinstance(action, np.ndarray)
    expected = (*action.shape, int(space.n)) if several else (int(space.n),)
    if allowed.shape != expected:
        raise ValueError(
            f"the action mask of {env} must have the shape {expected}, got {allowed.shape}; "
            "GymEnvironment(..., check_action_mask=False) does not look at it"
        )
    if not several:
        if allowed[action - start]:
            return
        where = ""
    else:
        refused = np.flatnonzero(~allowed[np.arange(len(action)), action - start] & ~exempt)
        if not refused.size:
            return
        action, allowed = action[refused[0]], allowed[refused[0]]
        where = f" in sub-environment {refused[0]}"
    raise ValueError(
        f"the action mask of {env} forbids the action {action}{where}; allowed are "
        f"{(np.flatnonzero(allowed) + start).tolist()}; choose by GymAgent.action_mask, "
        "or give GymEnvironment(..., check_action_mask=False) to let it pass"
    )
