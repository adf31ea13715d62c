"""Who drives."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor
from typing_extensions import override

from pamiq_sched import Agent, DataCollector, InferenceModel, TorchAgent, TorchInferenceModel
from rover.models import Policy


class Watchman(Agent[float, bool]):
    """A child: says whether a slope is too steep, and remembers what it has seen."""

    seen: DataCollector[dict[str, float]]
    table: InferenceModel

    @override
    def on_data_collectors_attached(self) -> None:
        super().on_data_collectors_attached()
        self.seen = self.get_data_collector("seen")

    @override
    def on_inference_models_attached(self) -> None:
        super().on_inference_models_attached()
        self.table = self.get_inference_model("table")

    @override
    def step(self, observation: float) -> bool:
        self.seen.collect({"slope": observation})
        worth: float = self.table(0)
        staleness = self.table.staleness()
        if staleness is not None:
            self.log("seconds behind", staleness.seconds_behind)
        return abs(observation) > 0.9 + worth


class Driver(TorchAgent[Tensor, float]):
    policy: TorchInferenceModel[Policy]

    def __init__(self, agents: Mapping[str, Agent[Any, Any]] | None = None) -> None:
        super().__init__(agents)
        self.watchman = Watchman()

    @override
    def on_inference_models_attached(self) -> None:
        super().on_inference_models_attached()
        self.policy = self.get_torch_inference_model("policy", Policy)

    @override
    def on_data_collectors_attached(self) -> None:
        super().on_data_collectors_attached()
        self.experience = self.get_data_collector("experience")

    @override
    def step(self, observation: Tensor) -> float:
        force: Tensor = self.policy(observation)
        self.experience.collect({"slope": observation, "force": force})
        self.log("force", force.item())
        with self.policy.unwrap() as policy:
            self.log("exploration", policy.exploration)
        self.log("versions behind", self.policy.staleness().versions_behind)
        return force.item()


class Crew(Agent[Tensor, float]):
    """A parent that leaves the driving to its children."""

    def __init__(self, driver: Driver, watchman: Watchman) -> None:
        super().__init__({"driver": driver, "watchman": watchman})
        self.driver = driver
        self.watchman = watchman

    @override
    def step(self, observation: Tensor) -> float:
        if self.watchman.step(observation.item()):
            return 0.0
        return self.driver.step(observation)

    @override
    def on_resumed(self) -> None:
        super().on_resumed()
        self.log("resumed", 1)
