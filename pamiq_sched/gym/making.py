"""Environments made by their ids. No state; any thread."""

from __future__ import annotations

import importlib
from typing import Any

import gymnasium
from gymnasium.envs.registration import VectorizeMode

from pamiq_sched import _checks

AnyEnv = gymnasium.Env[Any, Any] | gymnasium.vector.VectorEnv[Any, Any, Any]


def make(env: AnyEnv | str, num_envs: int | None, keywords: dict[str, Any]) -> AnyEnv:
    """Return an environment, made by ``gymnasium.make`` or ``gymnasium.make_vec`` if it is an id.

    Args:
        env: An environment, or the id of one.
        num_envs: With an id: how many sub-environments a vector environment is to have; a single one if None.
        keywords: With an id: for the function that makes it.

    Raises:
        TypeError: If ``env`` is neither, or something for making one is given beside a ready one.
        ImportError: If it is one of Atari's, and they are not installed.
    """
    if isinstance(env, gymnasium.Env | gymnasium.vector.VectorEnv):
        if keywords or num_envs is not None:
            given = keywords if num_envs is None else {"num_envs": num_envs, **keywords}
            raise TypeError(f"keywords are for making an environment by its id, got {env!r} and {given}")
        return env
    if not isinstance(env, str):
        raise TypeError(f"env must be a gymnasium.Env, a gymnasium.vector.VectorEnv or the id of one, got {env!r}")
    if env.startswith("ALE/"):
        _register_atari(env)
    if num_envs is None:
        return gymnasium.make(env, **keywords)
    number = _checks.count("num_envs", num_envs, least=1)
    return gymnasium.make_vec(env, number, **_without_idle_steps(env, keywords))


def _register_atari(name: str) -> None:
    try:
        importlib.import_module("ale_py")  # which registers its environments
    except ImportError as error:
        raise ImportError(f'{name} needs Atari\'s environments: pip install "gymnasium[atari]"') from error


def _without_idle_steps(name: str, keywords: dict[str, Any]) -> dict[str, Any]:
    """Let Gymnasium's own vector environments reset in the step that ends an episode, unless told otherwise."""
    mode = keywords.get("vectorization_mode")
    if mode is None:
        # With an entry point of its own it would be made by that, which knows its own mode only.
        spec = gymnasium.registry.get(name)
        own = spec is None or spec.vector_entry_point is not None
    else:
        own = mode in {VectorizeMode.VECTOR_ENTRY_POINT, VectorizeMode.VECTOR_ENTRY_POINT.value}
    if own:
        return keywords
    same_step = {"autoreset_mode": gymnasium.vector.AutoresetMode.SAME_STEP}
    return {**keywords, "vector_kwargs": {**same_step, **(keywords.get("vector_kwargs") or {})}}
