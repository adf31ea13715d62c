"""The random generators of an environment and of its spaces: seeded, saved, restored.

Those of Gymnasium's convention (``np_random``), in the sub-environments of its vector environments too, and the
emulator of Atari's. What keeps its randomness elsewhere cannot be saved from here, and is named. Called by the
thread that owns the environment, or while that stands still.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import gymnasium
import numpy as np
from gymnasium.vector import AsyncVectorEnv, SyncVectorEnv, VectorEnv

from pamiq_sched import _checks
from pamiq_sched.gym.making import AnyEnv

_SPACES = ("action_space", "observation_space", "single_action_space", "single_observation_space")


def seed_spaces(env: AnyEnv, seed: int) -> None:
    """Seed the generators from which an environment's spaces draw samples."""
    # Not by the seed itself: the first draws of a space would be those of the environment.
    seeds = np.random.SeedSequence(seed).generate_state(len(_SPACES))
    for name, one in zip(_SPACES, seeds.tolist(), strict=True):
        if hasattr(env, name):
            getattr(env, name).seed(one)


def state_of(env: AnyEnv, *, is_seeded: bool) -> dict[str, Any]:
    """Return the state of all generators that can be reached, None for those that cannot.

    Args:
        env: Which was reset.
        is_seeded: Whether it was given a seed. One that was not, and has no generator, has drawn nothing so far.
    """
    environments, emulators = [_state(generator) for generator in _generators(env)], _emulators(env)
    return {
        "environments": environments,
        "emulators": emulators,
        "spaces": [_state(space.np_random) for space in _spaces(env)],
        "is_whole": None not in emulators and not (is_seeded and None in environments),
    }


def restore(env: AnyEnv, state: dict[str, Any]) -> None:
    """Set the generators of an environment that was reset, so that it has them.

    Raises:
        ValueError: If the state is that of an environment of another kind.
    """
    generators, spaces = _generators(env), list(_spaces(env))
    if len(generators) != len(state["environments"]) or len(spaces) != len(state["spaces"]):
        raise ValueError(
            f"the state has the generators of {len(state['environments'])} environments and "
            f"{len(state['spaces'])} spaces, {env} has {len(generators)} and {len(spaces)}; "
            "make the environment as it was made when the state was saved"
        )
    for generator, saved in zip(generators, state["environments"], strict=True):
        if generator is not None and saved is not None:
            _set(generator, saved)
    base = env.unwrapped
    if isinstance(base, AsyncVectorEnv) and None not in generators:
        base.set_attr("np_random", generators)  # what came from the processes were copies
    for single, saved in zip(_singles(base), state["emulators"], strict=False):
        if saved is not None:
            single.restore_state(sys.modules["ale_py"].ALEState(saved))
    for space, saved in zip(spaces, state["spaces"], strict=True):
        _set(space.np_random, saved)


def check(state: dict[str, Any]) -> None:
    """Refuse what is no state of :func:`state_of`.

    Raises:
        ValueError: If keys are missing or unknown.
    """
    _checks.state_keys("GymEnvironment", state, {"environments", "emulators", "spaces", "is_whole"})


def _generators(env: AnyEnv) -> list[Any]:
    """The generator of each environment, None where it does not use one of Gymnasium's convention."""
    base = env.unwrapped
    if isinstance(base, AsyncVectorEnv):
        return list(base.get_attr("np_random"))
    return [_generator(one) for one in (_singles(base) or [base])]


def _generator(base: Any) -> Any:
    # What a seed and the first draw assign; asking for np_random would make a generator that nobody uses.
    generator = getattr(base, "_np_random", None)
    if generator is None and type(base).np_random not in {gymnasium.Env.np_random, VectorEnv.np_random}:
        generator = base.np_random
    return generator if isinstance(generator, np.random.Generator | np.random.RandomState) else None


def _singles(base: Any) -> list[Any]:
    """The single environments that can be reached in this process."""
    if isinstance(base, SyncVectorEnv):
        return [one.unwrapped for one in base.envs]
    return [] if isinstance(base, VectorEnv) else [base]


def _emulators(env: AnyEnv) -> list[bytes | None]:
    """The states of Atari's emulators, whose generators are in there."""
    base = env.unwrapped
    ale_py = sys.modules.get("ale_py")
    if ale_py is None:
        return []
    if isinstance(base, AsyncVectorEnv) and getattr(base.spec, "id", "").startswith("ALE/"):
        return [None] * base.num_envs
    return [
        single.clone_state(include_rng=True).__getstate__()
        for single in _singles(base)
        if isinstance(single, ale_py.AtariEnv)
    ]


def _state(generator: Any) -> Any:
    if generator is None:
        return None
    if isinstance(generator, np.random.RandomState):
        return generator.get_state(legacy=False)
    return generator.bit_generator.state


def _set(generator: Any, state: Any) -> None:
    if isinstance(generator, np.random.RandomState):
        generator.set_state(state)
    else:
        generator.bit_generator.state = state


def _spaces(env: AnyEnv) -> Iterator[gymnasium.Space[Any]]:
    """The spaces of an environment and those that they are made of, always in the same order."""
    for name in _SPACES:
        if hasattr(env, name):
            yield from _with_parts(getattr(env, name))


def _with_parts(space: gymnasium.Space[Any]) -> Iterator[gymnasium.Space[Any]]:
    yield space
    for attribute in vars(space).values():
        parts = attribute.values() if isinstance(attribute, dict) else attribute
        for part in parts if isinstance(attribute, dict | list | tuple) else (attribute,):
            if isinstance(part, gymnasium.Space):
                yield from _with_parts(part)
