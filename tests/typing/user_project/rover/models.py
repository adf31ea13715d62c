"""What is learned: a network, and a table that needs none of torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from typing_extensions import override

from pamiq_sched import InferenceModel, TorchTrainingModel, TrainingModel


class Policy(nn.Module):
    """A force for a slope; shapes (..., 1)."""

    def __init__(self) -> None:
        super().__init__()
        self.line = nn.Linear(1, 1)
        self.exploration = 0.1

    @override
    def forward(self, slope: Tensor) -> Tensor:
        force: Tensor = self.line(slope)
        return force

    def explore(self, slope: Tensor) -> Tensor:
        force = self.forward(slope)
        return force + self.exploration * torch.randn_like(force)


def explore(policy: Policy, slope: Tensor) -> Tensor:
    return policy.explore(slope)


def make() -> TorchTrainingModel[Policy]:
    return TorchTrainingModel(
        Policy(), inference_procedure=explore, ema_decay=0.9, example_inputs=(torch.zeros(1),)
    )


class Table(InferenceModel):
    def __init__(self, values: npt.NDArray[np.float64]) -> None:
        self.values = values

    @override
    def infer(self, row: int) -> float:
        return float(self.values[row])


class TrainedTable(TrainingModel[Table]):
    def __init__(self, size: int) -> None:
        super().__init__()
        self.values = np.zeros(size)

    @override
    def _create_inference_model(self) -> Table:
        return Table(self.values.copy())

    @override
    def forward(self, row: int) -> float:
        return float(self.values[row])

    @override
    def sync_impl(self, inference_model: Table) -> None:
        inference_model.values = self.values.copy()

    @override
    def save_state(self, path: Path) -> None:
        np.save(path.with_suffix(".npy"), self.values)

    @override
    def load_state(self, path: Path) -> None:
        self.values[:] = np.load(path.with_suffix(".npy"))


def keyword(model: InferenceModel, **question: Any) -> Any:
    return model(**question)
