"""Agents for Gymnasium environments. Belongs to the inference thread."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, Generic, TypeVar

from typing_extensions import override

from pamiq_sched.gym.types import EnvReset, EnvStep, GymAction, GymObs
from pamiq_sched.interaction import Agent

ObsT = TypeVar("ObsT")
ActT = TypeVar("ActT")


class GymAgent(Agent[GymObs[ObsT], GymAction[ActT]], Generic[ObsT, ActT]):
    """Acts in a Gymnasium environment; override :meth:`on_reset` and :meth:`on_step`.

    Setting ``self.need_reset = True`` starts a new episode after the current action.

    Args:
        agents: Child agents by name; see :class:`Agent`.
    """

    def __init__(self, agents: Mapping[str, Agent[Any, Any]] | None = None) -> None:
        super().__init__(agents)
        self.need_reset = False

    @override
    def setup(self) -> None:
        super().setup()
        self.need_reset = False

    @abstractmethod
    def on_reset(self, obs: ObsT, info: dict[str, Any]) -> ActT:
        """Return the action on the first observation of an episode."""

    @abstractmethod
    def on_step(self, obs: ObsT, reward: float, terminated: bool, truncated: bool, info: dict[str, Any]) -> ActT:
        """Return the action on an observation; at the end of an episode it is not carried out.

        Args:
            obs: What there is to observe after the last action.
            reward: What that action earned.
            terminated: Whether the task ended here.
            truncated: Whether the episode was cut off here.
            info: What else the environment tells.
        """

    @override
    def step(self, observation: GymObs[ObsT]) -> GymAction[ActT]:
        if isinstance(observation, tuple):
            last, first = observation
            self._on_step(last)
            action = self._on_reset(first)
        elif isinstance(observation, EnvReset):
            action = self._on_reset(observation)
        else:
            action = self._on_step(observation)
        return GymAction(action, self.need_reset)

    def _on_step(self, step: EnvStep[ObsT]) -> ActT:
        return self.on_step(step.obs, step.reward, step.terminated, step.truncated, step.info)

    def _on_reset(self, reset: EnvReset[ObsT]) -> ActT:
        self.need_reset = False
        return self.on_reset(reset.obs, reset.info)
