"""What it costs to bring the agents' replica up to date, against one copy of the same parameters.

Two networks, of about 2 million and 12 thousand parameters. The copy is torch's own, of all tensors at once,
between two lists that are made beforehand.
"""

from __future__ import annotations

import importlib
from statistics import median
from typing import Any

from benchmarks.report import Numbers, Row
from benchmarks.timing import alternate, ratio


def measure(library: str) -> Numbers:
    large, small = _compare(library, width=512, depth=8), _compare(library, width=64, depth=3)
    return {**large, **{f"small_{name}": value for name, value in small.items()}}


def rows(ours: Numbers, peer: Numbers) -> list[Row]:
    return [
        Row("sync() of 2.1 M parameters / a copy of them", "x", ours["to_copy"], peer.get("to_copy"), goal=1.1),
        Row("  sync() of 2.1 M parameters", "us", ours["us"], peer.get("us")),
        Row("  sync() of 12 k parameters", "us", ours["small_us"], peer.get("small_us")),
        Row("  copy of 12 k parameters", "us", ours["small_copy_us"], peer.get("small_copy_us")),
    ]


def _compare(library: str, *, width: int, depth: int) -> Numbers:
    import torch
    from torch import nn

    models: Any = importlib.import_module(f"{library}.torch")
    torch.set_num_threads(1)
    network = nn.Sequential(*[layer for _ in range(depth) for layer in (nn.Linear(width, width), nn.ReLU())])
    model = models.TorchTrainingModel(network)
    _ = model.inference_model  # made at first use
    sources = [p.detach().clone() for p in network.parameters()]
    targets = [torch.empty_like(p) for p in sources]

    def sync(size: int) -> None:
        for _ in range(size):
            model.sync()

    def copy(size: int) -> None:
        for _ in range(size):
            torch._foreach_copy_(targets, sources)

    syncing, copying = alternate([sync, copy], size=20, rounds=31)
    return {"to_copy": ratio(syncing, copying), "us": 1e6 * median(syncing), "copy_us": 1e6 * median(copying)}
