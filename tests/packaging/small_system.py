"""A system without torch from its start to a resumed one: run by the interpreter of an environment without it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
from typing_extensions import override

from pamiq_sched import (
    Agent,
    Environment,
    FixedIntervalInteraction,
    InferenceModel,
    SequentialBuffer,
    System,
    SystemStatus,
    Trainer,
    TrainingModel,
)
from pamiq_sched.state import StateDictMixin


class Slope(Environment[float, float]):
    def __init__(self) -> None:
        super().__init__()
        self.random = np.random.default_rng(0)
        self.shown = 0.0

    @override
    def observe(self) -> float:
        self.shown = float(self.random.uniform(-1.0, 1.0))
        return self.shown

    @override
    def affect(self, action: float) -> None:
        self.error = action - 3 * self.shown


class Gain(InferenceModel):
    def __init__(self) -> None:
        self.value = 0.0

    @override
    def infer(self, slope: float) -> float:
        return self.value * slope


class TrainedGain(StateDictMixin, TrainingModel[Gain]):
    def __init__(self) -> None:
        super().__init__()
        self.value = 0.0

    @override
    def _create_inference_model(self) -> Gain:
        return Gain()

    @override
    def forward(self, slope: float) -> float:
        return self.value * slope

    @override
    def sync_impl(self, inference_model: Gain) -> None:
        inference_model.value = self.value

    @override
    def state_dict(self) -> dict[str, Any]:
        return {"value": self.value}

    @override
    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.value = state["value"]


class Driver(Agent[float, float]):
    @override
    def on_inference_models_attached(self) -> None:
        self.gain = self.get_inference_model("gain")

    @override
    def on_data_collectors_attached(self) -> None:
        self.slopes = self.get_data_collector("slopes")

    @override
    def step(self, observation: float) -> float:
        self.slopes.collect(observation)
        force: float = self.gain(observation)
        return force


class Teacher(Trainer):
    def __init__(self) -> None:
        super().__init__("slopes", min_buffer_size=2, min_new_data_count=1)

    @override
    def train(self) -> None:
        gain = self.get_training_model("gain")
        assert isinstance(gain, TrainedGain)
        slopes = np.array(self.get_data_user("slopes").get_data())
        gain.value += 0.5 * float(np.mean((3.0 - gain.value) * slopes**2))
        self.step_completed()


def make(folder: Path, **config: object) -> tuple[System, TrainedGain]:
    gain = TrainedGain()
    system = System(
        FixedIntervalInteraction.with_sleep_adjustor(Driver(), Slope(), 0.002),
        {"gain": gain},
        {"slopes": SequentialBuffer[float](100)},
        {"teacher": Teacher()},
        {"states_dir": folder, **config},
    )
    return system, gain


def learn(system: System, sessions: int) -> None:
    while system.status().sessions["teacher"] < sessions:
        assert not system.wait(timeout=0.01)


def main(folder: Path) -> None:
    system, gain = make(folder)
    with system:
        learn(system, 5)
        system.pause()
        assert system.status().state is SystemStatus.PAUSED
        saved = system.save_state()
        learned = gain.value
        system.resume()
        learn(system, 8)
    assert learned > 0.0

    resumed, gain = make(folder, saved_state_path=saved)
    with resumed:
        assert resumed.status().sessions["teacher"] >= 5
        assert gain.value >= learned
        learn(resumed, 10)
    assert len(list(folder.glob("*.state"))) == 3
    assert "torch" not in sys.modules
    sys.stdout.write("it ran to its end\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
