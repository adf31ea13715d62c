"""A replay buffer for the CartPole demo: an example of a ``DataBuffer`` of one's own.

A trainer that needs a few rows at a time calls :meth:`ReplayBuffer.sample`; nothing but the rows asked for is
copied. Belongs to the training thread, as every buffer does.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from typing_extensions import override

from pamiq_sched import DataBuffer
from pamiq_sched.state import load, save


class Transitions(NamedTuple):
    """One n-step transition, or columns of them: rewards are summed, discount is 0 where the task ended."""

    observation: Any
    action: Any
    reward: Any
    next_observation: Any
    discount: Any


class ReplayBuffer(DataBuffer[Transitions, Transitions]):
    """The latest transitions, in columns made once; samples are tensors.

    Args:
        max_size: How many to hold.
        seed: Of the samples.
    """

    def __init__(self, max_size: int, seed: int) -> None:
        super().__init__(max_size)
        self.max_size = max_size
        self._columns = Transitions(
            np.zeros((max_size, 4), np.float32),
            np.zeros((max_size, 1), np.int64),
            np.zeros((max_size, 1), np.float32),
            np.zeros((max_size, 4), np.float32),
            np.zeros((max_size, 1), np.float32),
        )
        # The same memory: rows are written as arrays, which is quick, and gathered as tensors.
        self._tensors = Transitions(*map(torch.from_numpy, self._columns))
        self._added = 0
        self._generator = torch.Generator().manual_seed(seed)

    @override
    def add(self, data: Transitions) -> None:
        row = self._added % self.max_size
        for column, value in zip(self._columns, data, strict=True):
            column[row] = value
        self._added += 1

    @override
    def get_data(self) -> Transitions:
        return Transitions(*(tensor[: len(self)].clone() for tensor in self._tensors))

    def sample(self, batch_size: int) -> Transitions:
        """Return transitions drawn uniformly, with replacement; columns have ``batch_size`` rows."""
        rows = torch.randint(len(self), (batch_size,), generator=self._generator)
        return Transitions(*(tensor[rows] for tensor in self._tensors))

    @override
    def __len__(self) -> int:
        return min(self._added, self.max_size)

    @override
    def save_state(self, path: Path) -> None:
        state = {"added": self._added, "columns": list(self.get_data()), "rng": self._generator.get_state()}
        save(state, path)

    @override
    def load_state(self, path: Path) -> None:
        state = load(path)
        self._added = state["added"]
        for tensor, saved in zip(self._tensors, state["columns"], strict=True):
            tensor[: len(saved)] = saved
        self._generator.set_state(state["rng"])
