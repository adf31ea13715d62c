"""The network of the figures, and a trainer of either library that trains it without a rest."""

from __future__ import annotations

import importlib
import threading
from collections.abc import Callable, Mapping
from time import perf_counter
from typing import Any

from benchmarks import replay

BATCH = 256
SESSION = 20
"""Batches between two syncs."""
WIDTHS = {"inputs": 64, "targets": 8}


def network() -> Any:
    """Make the network: 64 inputs, three hidden layers of 512, 8 outputs."""
    from torch import nn

    return nn.Sequential(
        *(nn.Linear(64, 512), nn.ReLU()),
        *(nn.Linear(512, 512), nn.ReLU()),
        *(nn.Linear(512, 512), nn.ReLU()),
        nn.Linear(512, 8),
    )


def batch() -> Mapping[str, Any]:
    """Make inputs and targets."""
    import torch

    return {name: torch.rand(BATCH, width) for name, width in WIDTHS.items()}


def step(model: Callable[[Any], Any], optimizer: Any, data: Mapping[str, Any]) -> None:
    """Train on one batch."""
    from torch.nn.functional import mse_loss

    optimizer.zero_grad()
    loss = mse_loss(model(data["inputs"]), data["targets"])
    loss.backward()  # type: ignore[no-untyped-call]
    optimizer.step()


class Load:
    """How a trainer is to work; the thread that measures changes it while the system runs."""

    def __init__(self) -> None:
        self._go = threading.Event()
        # Each is one reference, replaced as a whole, and read at every batch.
        self.samples = False
        """Whether batches are drawn from the buffer ``"items"``; otherwise it is always the same one."""
        self.computes_in_python = False
        """Whether each batch is followed by as long a time of arithmetic in Python."""
        self.steps = 0
        """Batches done; written by the trainer alone."""

    def hold(self) -> None:
        """Let the trainer wait, after the batch that it is at."""
        self._go.clear()

    def go(self, *, samples: bool = False, computes_in_python: bool = False) -> None:
        """Let it train, in one way or another."""
        self.samples, self.computes_in_python = samples, computes_in_python
        self._go.set()

    def wait(self) -> None:
        """Wait while it is held; for the trainer."""
        self._go.wait()


def trainer(library: str, load: Load) -> Any:
    """Make a trainer of the model ``"network"`` that runs sessions back to back."""
    torch_parts: Any = importlib.import_module(f"{library}.torch")
    import torch

    same = batch()

    class Learner(torch_parts.TorchTrainer):  # type: ignore[misc] # a class of a library that is chosen at run time
        def on_training_models_attached(self) -> None:
            self.model = self.get_torch_training_model("network")

        def create_optimizers(self) -> dict[str, Any]:
            return {"adam": torch.optim.Adam(self.model.model.parameters())}

        def train(self) -> None:
            for _ in range(SESSION):
                load.wait()
                start = perf_counter()
                data = replay.sample(self.get_data_user("items"), BATCH) if load.samples else same
                step(self.model, self.optimizers["adam"], data)
                load.steps += 1
                if load.computes_in_python:
                    _compute_for(perf_counter() - start)

    return Learner()


def _compute_for(seconds: float) -> None:
    until, x = perf_counter() + seconds, 1.0
    while perf_counter() < until:
        x = 0.5 * x + 1.0
