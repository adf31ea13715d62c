"""A small system with HTTP control for the browser tests: ``watched_system.py STATES_DIR``.

It prints its address, with the token, and runs until it is shut down.
"""

from __future__ import annotations

import logging
import math
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn
from typing_extensions import override

from pamiq_sched import (
    Agent,
    CosineCurve,
    Environment,
    FixedIntervalInteraction,
    LaunchConfig,
    Schedule,
    System,
    TensorRingBuffer,
    TorchTrainer,
    TorchTrainingModel,
)
from pamiq_sched.web.records import running

EPISODE = 50
"""Steps."""


class Wanderer(Agent[float, float]):
    """Infers, collects what it sees, and logs a return that rises."""

    def __init__(self) -> None:
        super().__init__()
        self.steps = 0

    @override
    def on_inference_models_attached(self) -> None:
        self.line = self.get_inference_model("line")

    @override
    def on_data_collectors_attached(self) -> None:
        self.collector = self.get_data_collector("seen")

    @override
    def step(self, observation: float) -> float:
        self.steps += 1
        self.collector.collect({"x": torch.tensor([observation])})
        if self.steps % EPISODE == 0:
            self.log("return", 100 * (1 - math.exp(-self.steps / 4000)) + 8 * math.sin(self.steps))
        if self.steps % (20 * EPISODE) == 0:
            logging.getLogger("wanderer").warning("<b>%d</b> steps, and still wandering", self.steps)
        return float(self.line(torch.tensor([observation])))


class Circle(Environment[float, float]):
    """What there is to see goes round."""

    def __init__(self) -> None:
        self.angle = 0.0

    @override
    def observe(self) -> float:
        return math.sin(self.angle)

    @override
    def affect(self, action: float) -> None:
        self.angle += 0.01


class Fitter(TorchTrainer):
    """Fits a line to a curve, and logs how well."""

    def __init__(self) -> None:
        super().__init__("seen", min_buffer_size=64, min_new_data_count=8)

    @override
    def on_training_models_attached(self) -> None:
        self.model = self.get_torch_training_model("line", nn.Linear)

    @override
    def on_data_users_attached(self) -> None:
        self.seen: Any = self.get_data_user("seen")

    @override
    def create_optimizers(self) -> Mapping[str, torch.optim.Optimizer]:
        return {"sgd": torch.optim.SGD(self.model.model.parameters(), lr=1e-2, momentum=0.9, weight_decay=1e-4)}

    @override
    def create_schedules(self) -> Mapping[str, Schedule]:
        return {"lr": Schedule(self.optimizers["sgd"], CosineCurve(1.0, 0.01, 2_000))}

    @override
    def train(self) -> None:
        x = self.seen.sample(32)["x"]
        loss = (self.model(x) - x.exp()).square().mean()
        self.optimizers["sgd"].zero_grad()
        loss.backward()
        self.log("loss", loss)
        self.log("weight", self.model.model.weight.detach()[0, 0])
        self.optimizers["sgd"].step()


def main(states: Path) -> None:
    """Run it."""
    logging.basicConfig(level=logging.INFO)
    torch.manual_seed(0)
    system = System(
        FixedIntervalInteraction.with_sleep_adjustor(Wanderer(), Circle(), 0.01),
        models={"line": TorchTrainingModel(nn.Linear(1, 1))},
        buffers={"seen": TensorRingBuffer(5_000)},
        trainers={"fitter": Fitter()},
        config=LaunchConfig(states_dir=states, web_api_address=("127.0.0.1", 0), training_torch_threads=1),
    )
    with system:
        [record] = [one for one in running() if one.pid == os.getpid()]
        print(f"http://{record.host}:{record.port}/?token={record.token}", flush=True)  # noqa: T201 - the tests read it
        system.wait()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
