"""Buffers: one of one's own, and how the given ones are made."""

from __future__ import annotations

import torch
from typing_extensions import override

from pamiq_sched import (
    DataBuffer,
    DictSequentialBuffer,
    RandomReplacementBuffer,
    SequentialBuffer,
    TensorRingBuffer,
)


class Sum(DataBuffer[float, float]):
    """Keeps the sum of what it was given."""

    def __init__(self) -> None:
        super().__init__(max_queue_size=100)
        self.total = 0.0
        self.count = 0

    @override
    def add(self, data: float) -> None:
        self.total += data
        self.count += 1

    @override
    def get_data(self) -> float:
        return self.total

    @override
    def __len__(self) -> int:
        return self.count


def experience() -> TensorRingBuffer:
    return TensorRingBuffer(
        max_size=1000, columns={"slope": ((1,), torch.float32), "force": ((1,), torch.float32)}
    )


def seen() -> DictSequentialBuffer[float]:
    return DictSequentialBuffer(["slope"], max_size=100)


def words() -> SequentialBuffer[str]:
    buffer: SequentialBuffer[str] = SequentialBuffer(10)
    buffer.add("steep")
    first: str = buffer.get_data()[0]
    buffer.add(first)
    return buffer


def sample() -> list[int]:
    buffer = RandomReplacementBuffer[int](max_size=10)
    buffer.add(1)
    return buffer.get_data()
