"""Agents for Gymnasium environments, single and vector ones. Belongs to the inference thread."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray
from typing_extensions import override

from pamiq_sched.gym.masks import action_mask
from pamiq_sched.gym.types import EnvReset, EnvStep, GymAction, GymObs, VectorStep
from pamiq_sched.interaction import Agent

ObsT = TypeVar("ObsT")
ActT = TypeVar("ActT")


class GymAgent(Agent[GymObs[ObsT], GymAction[ActT]], Generic[ObsT, ActT]):
    """Acts in a Gymnasium environment; override :meth:`on_reset` and :meth:`on_step`.

    Setting ``self.need_reset = True`` starts a new episode after the current action.

    Both are called by keyword, so their parameters may stand in any order, and must have these names.

    Args:
        agents: Child agents by name; see :class:`Agent`.

    Example:
        >>> class Leaning(GymAgent):
        ...     def on_reset(self, obs, info):
        ...         return 0
        ...
        ...     def on_step(self, obs, reward, terminated, truncated, info):
        ...         return 1 if obs[2] > 0 else 0
        >>> Leaning().step(EnvReset([0.0, 0.0, 0.1, 0.0], {}))
        GymAction(action=0, need_reset=False)
    """

    def __init__(self, agents: Mapping[str, Agent[Any, Any]] | None = None) -> None:
        super().__init__(agents)
        self.need_reset = False
        # Mangled: a derived agent may well have a return of its own by these names.
        self.__current: EnvReset[ObsT] | EnvStep[ObsT] | None = None  # what to act on
        self.__return = 0.0
        self.__length = 0

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

    def on_episode_end(self, episode_return: float, episode_length: int) -> None:
        """Called when an episode is over, behind its last :meth:`on_step`; logs both numbers.

        An override that does not call ``super().on_episode_end(...)`` logs nothing.

        Args:
            episode_return: The sum of its rewards.
            episode_length: How many steps it had.
        """
        self.log("episode_return", episode_return)
        self.log("episode_length", episode_length)

    @property
    def action_mask(self) -> Any:
        """The mask of the actions that are allowed now; None without one. Asked in a step.

        Shape (actions,), not 0 where an action is allowed.
        """
        return None if self.__current is None else action_mask(self.__current.obs, self.__current.info)

    @override
    def step(self, observation: GymObs[ObsT]) -> GymAction[ActT]:
        if isinstance(observation, EnvStep):
            action = self._on_step(observation)
        elif isinstance(observation, tuple):
            last, first = observation
            self._on_step(last)
            self.on_episode_end(self.__return, self.__length)
            action = self._on_reset(first)
        elif isinstance(observation, EnvReset):
            action = self._on_reset(observation)
        else:
            raise TypeError(
                f"{type(self).__name__} is for a single environment, and this one is a vector environment; "
                "derive the agent from VectorGymAgent"
            )
        return GymAction(action, self.need_reset)

    def _on_step(self, step: EnvStep[ObsT]) -> ActT:
        self.__current = step
        self.__return += step.reward
        self.__length += 1
        return self.on_step(
            obs=step.obs,
            reward=step.reward,
            terminated=step.terminated,
            truncated=step.truncated,
            info=step.info,
        )

    def _on_reset(self, reset: EnvReset[ObsT]) -> ActT:
        self.__current = reset
        self.__return, self.__length = 0.0, 0
        self.need_reset = False
        return self.on_reset(obs=reset.obs, info=reset.info)


class VectorGymAgent(Agent[GymObs[ObsT], GymAction[ActT]], Generic[ObsT, ActT]):
    """Acts in the n sub-environments of a vector environment; override :meth:`on_reset` and :meth:`on_step`.

    Setting ``self.need_reset``, to True or to an array of shape (n,), starts new episodes after the current
    actions.

    Args:
        agents: Child agents by name; see :class:`Agent`.

    Example:
        >>> class Leaning(VectorGymAgent):
        ...     def on_reset(self, obs, info):
        ...         return (obs[:, 2] > 0).astype(int)
        ...
        ...     def on_step(self, step):
        ...         return (step.obs[:, 2] > 0).astype(int)
        >>> Leaning().step(EnvReset(np.eye(2, 4, 1), {})).action.tolist()
        [0, 1]
    """

    def __init__(self, agents: Mapping[str, Agent[Any, Any]] | None = None) -> None:
        super().__init__(agents)
        self.need_reset: bool | NDArray[np.bool_] = False
        # Mangled, as above.
        self.__current: EnvReset[ObsT] | VectorStep[ObsT] | None = None  # what to act on
        self.__returns = np.zeros(0)
        self.__lengths = np.zeros(0, np.int64)

    @override
    def setup(self) -> None:
        super().setup()
        self.need_reset = False

    @abstractmethod
    def on_reset(self, obs: ObsT, info: dict[str, Any]) -> ActT:
        """Return the actions on the first observations of all sub-environments; called once, at the start."""

    @abstractmethod
    def on_step(self, step: VectorStep[ObsT]) -> ActT:
        """Return the actions on what came of the last ones, one for each sub-environment."""

    def on_episode_end(
        self,
        episode_return: float,
        episode_length: int,
        index: int,  # noqa: ARG002 - for overrides
    ) -> None:
        """Called when an episode is over, behind the :meth:`on_step` that was told of its end; logs both numbers.

        An override that does not call ``super().on_episode_end(...)`` logs nothing.

        Args:
            episode_return: The sum of its rewards.
            episode_length: How many steps it had.
            index: In which sub-environment.
        """
        self.log("episode_return", episode_return)
        self.log("episode_length", episode_length)

    @property
    def action_mask(self) -> Any:
        """The masks of the actions that are allowed now; None without any. Asked in a step.

        Shape (n, actions), not 0 where an action is allowed; sub-environments that tell none allow all.
        """
        return None if self.__current is None else action_mask(self.__current.obs, self.__current.info)

    @override
    def step(self, observation: GymObs[ObsT]) -> GymAction[ActT]:
        if isinstance(observation, VectorStep):
            action = self._on_step(observation)
        elif isinstance(observation, EnvReset):
            self.__current = observation
            self.__returns = np.zeros(0)
            action = self.on_reset(obs=observation.obs, info=observation.info)
        else:
            raise TypeError(
                f"{type(self).__name__} is for a vector environment, and this one is a single environment; "
                "derive the agent from GymAgent, or make the environment with num_envs=..."
            )
        need_reset, self.need_reset = self.need_reset, False
        return GymAction(action, need_reset)

    def _on_step(self, step: VectorStep[ObsT]) -> ActT:
        self.__current = step
        if not self.__returns.size:
            self.__returns, self.__lengths = np.zeros(len(step.reward)), np.zeros(len(step.reward), np.int64)
        self.__returns += step.reward
        self.__lengths += step.acted
        action = self.on_step(step)
        # Where the agent wanted a new episode, the old one is over as well.
        over = step.done | (step.first & step.acted)
        if over.any():
            for i in np.flatnonzero(over).tolist():
                self.on_episode_end(float(self.__returns[i]), int(self.__lengths[i]), i)
            self.__returns[over] = 0.0
            self.__lengths[over] = 0
        return action
