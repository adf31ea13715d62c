"""Who acts: decides on an action for each observation, alone or with child agents.

An agent belongs to the inference thread. Models, collectors and all events reach its children too.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, Generic, TypeVar

from typing_extensions import override

from pamiq_sched import _checks
from pamiq_sched.data import DataCollector, DataCollectorsDict
from pamiq_sched.lifecycle import (
    ErrorCollector,
    InteractionEventMixin,
    PersistentStateMixin,
    ThreadEventMixin,
    call_all,
    load_parts,
    not_attached,
    save_parts,
)
from pamiq_sched.metrics.journal import Journal, LoggingMixin
from pamiq_sched.model import InferenceModel, InferenceModelsDict

ObsT = TypeVar("ObsT")
ActT = TypeVar("ActT")


class Agent(ABC, InteractionEventMixin, LoggingMixin, PersistentStateMixin, ThreadEventMixin, Generic[ObsT, ActT]):
    """Decides on an action for each observation.

    Args:
        agents: Child agents by name. They get the same models and collectors, and every event and save;
            calling their ``step`` is up to the parent.

    Raises:
        ValueError: If a name cannot be that of a file.
    """

    def __init__(self, agents: Mapping[str, Agent[Any, Any]] | None = None) -> None:
        super().__init__()
        self._agents = {_checks.component_name("child agent", k): v for k, v in (agents or {}).items()}
        self._set_up_agents: list[Agent[Any, Any]] = []
        self._inference_models: InferenceModelsDict | None = None
        self._data_collectors: DataCollectorsDict | None = None

    @abstractmethod
    def step(self, observation: ObsT) -> ActT:
        """Return the action to take on an observation."""

    def attach_inference_models(self, inference_models: InferenceModelsDict) -> None:
        """Give the agent and its children the models; called once before the threads start."""
        self._inference_models = inference_models
        self.on_inference_models_attached()
        for agent in self._agents.values():
            agent.attach_inference_models(inference_models)

    def on_inference_models_attached(self) -> None:
        """Called when :meth:`get_inference_model` works; take the models here."""

    def attach_data_collectors(self, data_collectors: DataCollectorsDict) -> None:
        """Give the agent and its children the collectors; called once before the threads start."""
        self._data_collectors = data_collectors
        self.on_data_collectors_attached()
        for agent in self._agents.values():
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
    def setup(self) -> None:
        """Set the children up; an override calls ``super().setup()``."""
        super().setup()
        for agent in self._agents.values():
            set_up_agent(agent)
            self._set_up_agents.append(agent)

    @override
    def teardown(self) -> None:
        """Tear the children down; an override calls ``super().teardown()``."""
        super().teardown()
        self.teardown_children()

    def teardown_children(self) -> None:
        """Tear down those children that were set up, each once."""
        agents, self._set_up_agents = self._set_up_agents, []
        call_all("several child agents raised in teardown", [partial(tear_down_agent, a) for a in agents])

    @override
    def on_paused(self) -> None:
        super().on_paused()
        call_all("several child agents raised in on_paused", [a.on_paused for a in self._agents.values()])

    @override
    def on_resumed(self) -> None:
        super().on_resumed()
        call_all("several child agents raised in on_resumed", [a.on_resumed for a in self._agents.values()])

    @override
    def save_state(self, path: Path) -> None:
        """Save the children below ``path``; without children nothing is written."""
        super().save_state(path)
        if self._agents:
            save_parts(self._agents, path)

    @property
    @override
    def keeps_state(self) -> bool:
        return type(self).save_state is not Agent.save_state

    @override
    def persistent_parts(self) -> Mapping[str, PersistentStateMixin]:
        return self._agents

    @override
    def load_state(self, path: Path) -> None:
        """Load the children from below ``path``."""
        super().load_state(path)
        load_parts(self._agents, path)


def set_up_agent(agent: Agent[Any, Any]) -> None:
    """Set an agent up; if that raises, tear down those of its children that were set up."""
    errors = ErrorCollector("an agent raised in setup and its children in teardown")
    with errors:
        agent.setup()
    if errors.errors:
        with errors:
            agent.teardown_children()
    errors.raise_collected()


def tear_down_agent(agent: Agent[Any, Any]) -> None:
    """Tear an agent down, and its children even if its own teardown does not get to them."""
    call_all("an agent and its children raised in teardown", [agent.teardown, agent.teardown_children])
