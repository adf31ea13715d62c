"""A pole to balance, by Gymnasium."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import numpy.typing as npt
from typing_extensions import override

from pamiq_sched import GymAgent, GymEnvironment, Interaction
from pamiq_sched.gym import VectorGymAgent, VectorStep

Observation = npt.NDArray[np.float32]


class Balancer(GymAgent[Observation, int]):
    @override
    def on_reset(self, obs: Observation, info: dict[str, Any]) -> int:
        return 0

    @override
    def on_step(
        self, obs: Observation, reward: float, terminated: bool, truncated: bool, info: dict[str, Any]
    ) -> int:
        self.need_reset = truncated
        return int(obs[2] > 0)

    @override
    def on_episode_end(self, episode_return: float, episode_length: int) -> None:
        super().on_episode_end(episode_return, episode_length)
        self.log("mean reward", episode_return / episode_length)


class ManyBalancers(VectorGymAgent[Observation, npt.NDArray[np.int64]]):
    @override
    def on_reset(self, obs: Observation, info: dict[str, Any]) -> npt.NDArray[np.int64]:
        return np.zeros(len(obs), np.int64)

    @override
    def on_step(self, step: VectorStep[Observation]) -> npt.NDArray[np.int64]:
        return (step.obs[:, 2] > 0).astype(np.int64)


def balancing() -> Interaction[Any, Any]:
    return Interaction(Balancer(), GymEnvironment[Observation, int]("CartPole-v1", seed=1))


def side_by_side() -> Interaction[Any, Any]:
    environment: GymEnvironment[Observation, npt.NDArray[np.int64]] = GymEnvironment("CartPole-v1", num_envs=2)
    return Interaction(ManyBalancers(), environment)


def of_ones_own(env: gymnasium.Env[Observation, int]) -> Interaction[Any, Any]:
    return Interaction(Balancer(), GymEnvironment(env))
