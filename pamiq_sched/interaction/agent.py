"""Who acts: decides on an action for each observation, alone or with child agents.

An agent belongs to the inference thread. Models, collectors and all events reach its children too.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Generic, TypeVar

from typing_extensions import override

from pamiq_sched import _checks
from pamiq_sched.data import DataCollector, DataCollectorsDict
from pamiq_sched.interaction.parts import PartsMixin, named
from pamiq_sched.lifecycle import not_attached
from pamiq_sched.metrics.journal import Journal, LoggingMixin
from pamiq_sched.model import InferenceModel, InferenceModelsDict

ObsT = TypeVar("ObsT")
ActT = TypeVar("ActT")


class Agent(PartsMixin, LoggingMixin, Generic[ObsT, ActT]):
    """Decides on an action for each observation.

    Args:
        agents: Child agents by name. They get the same models and collectors, and every event and save;
            calling their ``step`` is up to the parent.

    Raises:
        TypeError: If a child is no agent.
        ValueError: If a name cannot be that of a file.
    """

    _tears_down_last_first = False
    # Here too, so that an agent whose constructor forgets super().__init__() is one without children.
    _agents: Mapping[str, Agent[Any, Any]] = MappingProxyType({})
    _inference_models: InferenceModelsDict | None = None
    _data_collectors: DataCollectorsDict | None = None

    def __init__(self, agents: Mapping[str, Agent[Any, Any]] | None = None) -> None:
        super().__init__()
        self._agents = {_checks.component_name("child agent", k): v for k, v in (agents or {}).items()}
        for name, agent in self._agents.items():
            _checks.instance(f"the child agent {name!r} must be", agent, Agent)

    @abstractmethod
    def step(self, observation: ObsT) -> ActT:
        """Return the action to take on an observation."""

    def attach_inference_models(self, inference_models: InferenceModelsDict) -> None:
        """Give the agent and its children the models; called once before the threads start."""
        self._inference_models = inference_models
        self.on_inference_models_attached()
        for name, agent in self._agents.items():
            with named("on_inference_models_attached", name, agent):
                agent.attach_inference_models(inference_models)

    def on_inference_models_attached(self) -> None:
        """Called when :meth:`get_inference_model` works; take the models here."""

    def attach_data_collectors(self, data_collectors: DataCollectorsDict) -> None:
        """Give the agent and its children the collectors; called once before the threads start."""
        self._data_collectors = data_collectors
        self.on_data_collectors_attached()
        for name, agent in self._agents.items():
            with named("on_data_collectors_attached", name, agent):
                agent.attach_data_collectors(data_collectors)

    def on_data_collectors_attached(self) -> None:
        """Called when :meth:`get_data_collector` works; take the collectors here."""

    def get_inference_model(self, name: str) -> InferenceModel:
        """Return a model to infer with.

        Raises:
            KeyError: If there is none of that name.
            RuntimeError: If the models are not attached yet.
        """
        if self._inference_models is None:
            raise RuntimeError(not_attached("inference models", "on_inference_models_attached"))
        return self._inference_models[name]

    def get_data_collector(self, name: str) -> DataCollector[Any]:
        """Return a collector for this agent's exclusive use.

        Raises:
            KeyError: If there is none of that name, or another agent has it.
            RuntimeError: If the collectors are not attached yet.
        """
        if self._data_collectors is None:
            raise RuntimeError(not_attached("data collectors", "on_data_collectors_attached"))
        return self._data_collectors.acquire(name)

    @override
    def attach_journal(self, journal: Journal) -> None:
        """Take where numbers are logged to, and hand on to each child a place of its own."""
        super().attach_journal(journal)
        for name, agent in self._agents.items():
            agent.attach_journal(journal.child(name))

    @override
    def _component_parts(self) -> Mapping[str, Agent[Any, Any]]:
        return self._agents
