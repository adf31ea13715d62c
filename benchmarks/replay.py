"""Batches from a buffer of many items, as each library lets a trainer have them."""

from __future__ import annotations

import importlib
import random
from collections.abc import Mapping
from typing import Any

ITEMS = 100_000


def filled_buffer(library: str, widths: Mapping[str, int]) -> Any:
    """Make a buffer that is full of items of so many floats by name."""
    import torch

    if library == "pamiq_core":
        buffer = importlib.import_module("pamiq_core.data.impls").DictSequentialBuffer(list(widths), ITEMS)
    else:
        buffer = importlib.import_module(f"{library}.data").TensorRingBuffer(ITEMS)
    for _ in range(ITEMS):
        buffer.add({name: torch.rand(width) for name, width in widths.items()})
    return buffer


def sample(user: Any, batch_size: int) -> Mapping[str, Any]:
    """Draw a batch of tensors from a data user of either library."""
    if hasattr(user, "sample"):
        batch: Mapping[str, Any] = user.sample(batch_size)
        return batch
    return stack(user.get_data(), batch_size)


def stack(data: Mapping[str, list[Any]], batch_size: int) -> Mapping[str, Any]:
    """Draw a batch of tensors from lists of them, as a trainer of the peer has to."""
    import torch

    size = min(map(len, data.values()))
    drawn = [random.randrange(size) for _ in range(batch_size)]  # noqa: S311 - nothing secret
    return {name: torch.stack([items[i] for i in drawn]) for name, items in data.items()}
