"""Where an agent acts. Belongs to the inference thread."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Generic, TypeVar

from pamiq_sched.lifecycle import InteractionEventMixin, PersistentStateMixin, ThreadEventMixin

ObsT = TypeVar("ObsT")
ActT = TypeVar("ActT")


class Environment(ABC, InteractionEventMixin, PersistentStateMixin, ThreadEventMixin, Generic[ObsT, ActT]):
    """Gives observations and takes actions."""

    @abstractmethod
    def observe(self) -> ObsT:
        """Return what there is to observe now."""

    @abstractmethod
    def affect(self, action: ActT) -> None:
        """Carry out an action."""

    def attach_seed(self, seed: int) -> None:
        """Take a seed that follows from the run's; called before :meth:`setup` if ``LaunchConfig.seed`` is given.

        What draws from the process's own random generators needs nothing here: those are seeded too.
        """
