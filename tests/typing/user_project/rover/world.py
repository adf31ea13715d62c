"""The track, its sensors and motors."""

from __future__ import annotations

import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from typing_extensions import override

from pamiq_sched import (
    Actuator,
    ActuatorsDict,
    ActuatorWrapper,
    Environment,
    EnvironmentWrapper,
    LambdaWrapper,
    ModularEnvironment,
    Sensor,
    SensorsDict,
    SensorWrapper,
    Wrapper,
)


class Track:
    """What sensors and motors share."""

    def __init__(self) -> None:
        self.slope = 0.0
        self.speed = 0.0
        self.random = random.Random(0)

    def move(self, force: float) -> None:
        self.speed += force - self.slope
        self.slope = self.random.uniform(-1.0, 1.0)


class Inclinometer(Sensor[float]):
    def __init__(self, track: Track) -> None:
        super().__init__()
        self.track = track

    @override
    def attach_seed(self, seed: int) -> None:
        self.track.random.seed(seed)

    @override
    def read(self) -> float:
        return self.track.slope


class Motor(Actuator[float]):
    def __init__(self, track: Track) -> None:
        super().__init__()
        self.track = track

    @override
    def operate(self, action: float) -> None:
        self.track.move(action)

    @override
    def on_paused(self) -> None:
        super().on_paused()
        self.track.speed = 0.0


class ToTensor(Wrapper[float, Tensor]):
    """Makes a tensor of shape (1,)."""

    @override
    def wrap(self, value: float) -> Tensor:
        return torch.tensor([value])


class Smooth(Wrapper[float, float]):
    """Averages readings, and keeps the average in the state."""

    def __init__(self) -> None:
        super().__init__()
        self.average = 0.0

    @override
    def wrap(self, value: float) -> float:
        self.average += 0.5 * (value - self.average)
        return self.average

    @override
    def save_state(self, path: Path) -> None:
        path.with_suffix(".txt").write_text(repr(self.average), encoding="utf-8")

    @override
    def load_state(self, path: Path) -> None:
        self.average = float(path.with_suffix(".txt").read_text(encoding="utf-8"))


def by_parts(track: Track) -> ModularEnvironment[Tensor, float]:
    """A sensor and a motor, the reading as a tensor."""
    return ModularEnvironment(ToTensor().wrap_sensor(Inclinometer(track)), Motor(track))


def by_names(track: Track) -> ModularEnvironment[Mapping[str, Any], Mapping[str, Any]]:
    """Several of each, by name."""
    sensors = SensorsDict({"raw": Inclinometer(track)})
    sensors["smooth"] = SensorWrapper(Inclinometer(track), Smooth())
    actuators = ActuatorsDict(drive=Motor(track), brake=ActuatorWrapper(Motor(track), lambda force: -abs(force)))
    made = ModularEnvironment.from_dict(sensors, actuators)
    made.affect({"drive": 1.0, "brake": made.observe()["smooth"]})
    return made


class Plain(Environment[float, float]):
    def __init__(self, track: Track) -> None:
        super().__init__()
        self.track = track

    @override
    def observe(self) -> float:
        return self.track.slope

    @override
    def affect(self, action: float) -> None:
        self.track.move(action)


def make(track: Track) -> Environment[Tensor, float]:
    """A plain environment behind wrappers, one of them a function."""
    clip: LambdaWrapper[float, float] = LambdaWrapper(lambda force: max(-1.0, min(1.0, force)))
    return EnvironmentWrapper(Plain(track), ToTensor(), clip)


def in_kelvin(thermometer: Sensor[float]) -> Sensor[float]:
    return SensorWrapper(thermometer, lambda celsius: celsius + 273.15)


def limited(motor: Actuator[float]) -> Actuator[float]:
    return Smooth().wrap_actuator(motor)
