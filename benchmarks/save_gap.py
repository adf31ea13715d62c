"""How long a save of a state of 100 MB keeps the agent from acting.

An agent at 100 Hz notes when it acts; the longest time between two actions around a save, less the interval,
is the gap. The state is a model of 25 million float32 parameters; beside the gap stands the time of a plain copy
of them into new memory, which the system has to find first, and into memory that is in use already. Saves come
at random moments. The peer's is its control thread's ``save_state()``.
"""

from __future__ import annotations

import importlib
import random
import time
from itertools import pairwise
from statistics import median
from time import perf_counter
from typing import Any

from benchmarks.interactions import at_fixed_intervals
from benchmarks.report import Numbers, Row
from benchmarks.systems import running

INTERVAL = 0.01
SAVES = 7


def measure(library: str) -> Numbers:
    core: Any = importlib.import_module(library)
    torch_parts: Any = importlib.import_module(f"{library}.torch")
    import torch

    actions: list[float] = []

    class Acting(core.Agent):  # type: ignore[misc] # a class of a library that is chosen at run time
        def step(self, observation: float) -> float:
            actions.append(perf_counter())
            return observation

    layer = torch.nn.Linear(5000, 5000, bias=False)
    moments = random.Random(0)  # noqa: S311 - moments to save at, nothing secret
    in_use = torch.empty_like(layer.weight)
    gaps, copies, copies_in_use, saves = [], [], [], []
    with running(
        library,
        at_fixed_intervals(library, INTERVAL, Acting()),
        models={"layer": torch_parts.TorchTrainingModel(layer, has_inference_model=False)},
    ) as system:
        for _ in range(SAVES):
            time.sleep(0.3 + moments.uniform(0.0, INTERVAL))
            first, start = len(actions), perf_counter()
            system.save()
            saves.append(perf_counter() - start)
            time.sleep(0.1)
            around = actions[first - 1 :]
            gaps.append(max(b - a for a, b in pairwise(around)) - INTERVAL)
            start = perf_counter()
            layer.weight.detach().clone()
            copies.append(perf_counter() - start)
            start = perf_counter()
            in_use.copy_(layer.weight.detach())
            copies_in_use.append(perf_counter() - start)
    return {
        "gap_ms": 1e3 * median(gaps),
        "longest_ms": 1e3 * max(gaps),
        "copy_ms": 1e3 * median(copies),
        "copy_in_use_ms": 1e3 * median(copies_in_use),
        "beyond_ms": 1e3 * median(gap - copy for gap, copy in zip(gaps, copies, strict=True)),
        "save_ms": 1e3 * median(saves),
    }


def rows(ours: Numbers, peer: Numbers) -> list[Row]:
    return [
        Row("gap between actions by a save of 100 MB", "ms", ours["gap_ms"], peer.get("gap_ms")),
        Row("  beyond a copy of them", "ms", ours["beyond_ms"], peer.get("beyond_ms"), goal=50),
        Row("  a copy of them", "ms", ours["copy_ms"], peer.get("copy_ms")),
        Row("  a copy into memory in use", "ms", ours["copy_in_use_ms"], peer.get("copy_in_use_ms")),
        Row("  longest gap", "ms", ours["longest_ms"], peer.get("longest_ms")),
        Row("  the whole save", "ms", ours["save_ms"], peer.get("save_ms")),
    ]
