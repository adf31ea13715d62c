"""Where an agent acts. Belongs to the inference thread."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Generic, TypeVar

from pamiq_sched.interaction.parts import Component, SeededMixin

ObsT = TypeVar("ObsT")
ActT = TypeVar("ActT")


class Environment(ABC, Component, SeededMixin, Generic[ObsT, ActT]):
    """Gives observations and takes actions."""

    @abstractmethod
    def observe(self) -> ObsT:
        """Return what there is to observe now."""

    @abstractmethod
    def affect(self, action: ActT) -> None:
        """Carry out an action."""
