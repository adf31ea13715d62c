"""What an agent may return as an action, and what the environment is given. No state; any thread.

Tensors, numpy's scalars and arrays become what the action space takes, where there is one way to do that. What
has the right form already is passed on after a look at its type.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

Converter = Callable[[Any], Any]
_LONGEST = 200


def converter(space: gymnasium.Space[Any]) -> Converter:
    """Return a function that turns an action into one of a space, or raises a ValueError.

    Bounds of a Box are not looked at: some environments clip, and say so.

    Example:
        >>> converter(gymnasium.spaces.Discrete(3))(np.array([2]))
        2
        >>> converter(gymnasium.spaces.Discrete(3))(1.5)
        Traceback (most recent call last):
        ValueError: the action 1.5 (float) is not in the action space Discrete(3); it must be a whole number
    """
    if isinstance(space, gymnasium.spaces.Discrete):
        return _discrete(space)
    if isinstance(space, gymnasium.spaces.Box | gymnasium.spaces.MultiDiscrete | gymnasium.spaces.MultiBinary):
        return _array(space)
    if isinstance(space, gymnasium.spaces.Dict):
        return _dict(space)
    if isinstance(space, gymnasium.spaces.Tuple):
        return _tuple(space)
    return lambda action: action


def refusal(action: Any, space: gymnasium.Space[Any], rule: str = "") -> ValueError:
    """Return the error that names an action and the space that it is not in.

    Args:
        action: What the agent returned.
        space: The action space, or the part of it.
        rule: What it must be.
    """
    text = repr(action)
    form = f", {action.dtype}" if hasattr(action, "dtype") else ""
    form += f" of shape {tuple(action.shape)}" if getattr(action, "shape", ()) else ""
    if len(text) > _LONGEST:
        text = f"{text[:_LONGEST]}..."
    return ValueError(
        f"the action {text} ({type(action).__name__}{form}) is not in the action space {space}"
        + (f"; {rule}" if rule else "")
    )


def _discrete(space: gymnasium.spaces.Discrete[Any]) -> Converter:
    low, end = int(space.start), int(space.start) + int(space.n)

    def convert(action: Any) -> Any:
        if action.__class__ is not int or not low <= action < end:
            array = _numpy(action, space)
            if array.size != 1 or array.dtype.kind not in "iub":
                raise refusal(action, space, "it must be a whole number")
            number = int(array.item())
            if not low <= number < end:
                raise refusal(action, space, f"it must be from {low} to {end - 1}")
            return number
        return action

    return convert


def _array(space: Any) -> Converter:
    shape, dtype = space.shape, space.dtype
    kinds = "fiub" if dtype.kind == "f" else "iub"
    bounds: tuple[Any, Any] | None = None
    if isinstance(space, gymnasium.spaces.MultiDiscrete):
        bounds = space.start, space.start + (space.nvec - 1)
    elif isinstance(space, gymnasium.spaces.MultiBinary):
        bounds = 0, 1
    form = f"it must be an array of shape {shape} whose values {dtype} can hold"

    def convert(action: Any) -> Any:
        if action.__class__ is np.ndarray and action.dtype == dtype and action.shape == shape:
            array = action
        else:
            array = _numpy(action, space)
            # (1, 2) stands for (2,), as models put it out, and one number for (1,).
            if array.shape != shape and _without_leading_ones(array.shape) != _without_leading_ones(shape):
                raise refusal(action, space, form)
            if array.dtype.kind not in kinds:
                raise refusal(action, space, form)
            cast = array.astype(dtype)
            if dtype.kind != "f" and not np.array_equal(cast, array):
                raise refusal(action, space, form)
            array = cast.reshape(shape)
        # As space.contains() does it, in half the time: it is looked at in every step.
        if bounds is not None and not ((array >= bounds[0]).all() and (array <= bounds[1]).all()):
            raise refusal(action, space)
        return array

    return convert


def _dict(space: gymnasium.spaces.Dict) -> Converter:
    converters = {key: converter(part) for key, part in space.spaces.items()}

    def convert(action: Any) -> Any:
        if not isinstance(action, Mapping) or set(action) != set(converters):
            raise refusal(action, space, f"it must be a dict with the keys {sorted(map(str, converters))}")
        return {key: part(action[key]) for key, part in converters.items()}

    return convert


def _tuple(space: gymnasium.spaces.Tuple[Any]) -> Converter:
    converters = [converter(part) for part in space.spaces]

    def convert(action: Any) -> Any:
        if not isinstance(action, tuple | list) or len(action) != len(converters):
            raise refusal(action, space, f"it must be a tuple of {len(converters)}")
        return tuple(part(one) for part, one in zip(converters, action, strict=True))

    return convert


def _numpy(action: Any, space: gymnasium.Space[Any]) -> NDArray[Any]:
    try:
        if hasattr(action, "detach"):  # a tensor, with a graph or on another device
            action = action.detach().cpu()
        return np.asarray(action)
    except (TypeError, ValueError, RuntimeError) as error:
        raise refusal(action, space, "it cannot be made an array") from error


def _without_leading_ones(shape: tuple[int, ...]) -> tuple[int, ...]:
    while shape and shape[0] == 1:
        shape = shape[1:]
    return shape
