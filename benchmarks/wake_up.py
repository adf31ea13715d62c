"""How long a trainer that waits for data waits on when the data is there.

An agent at 50 Hz collects the moment of each step; every item makes the trainer trainable, and its ``train()``
compares that moment with its own.
"""

from __future__ import annotations

import importlib
import time
from statistics import median
from time import perf_counter
from typing import Any

from benchmarks.interactions import at_fixed_intervals
from benchmarks.report import Numbers, Row
from benchmarks.systems import running, sequential_buffer
from benchmarks.timing import percentile

SECONDS = 8.0


def measure(library: str) -> Numbers:
    core: Any = importlib.import_module(library)
    waits: list[float] = []

    class Collecting(core.Agent):  # type: ignore[misc] # a class of a library that is chosen at run time
        def on_data_collectors_attached(self) -> None:
            self.collector = self.get_data_collector("moments")

        def step(self, observation: float) -> float:
            self.collector.collect(perf_counter())
            return observation

    class Waiting(core.Trainer):  # type: ignore[misc] # likewise
        def train(self) -> None:
            now = perf_counter()
            waits.append(now - self.get_data_user("moments").get_data()[-1])

    with running(
        library,
        at_fixed_intervals(library, 0.02, Collecting()),
        buffers={"moments": sequential_buffer(library, 10)},
        trainers={"waiting": Waiting("moments", min_buffer_size=1, min_new_data_count=1)},
    ):
        time.sleep(SECONDS)
    return {"median": 1e3 * median(waits), "p99": 1e3 * percentile(waits, 99), "items": len(waits)}


def rows(ours: Numbers, peer: Numbers) -> list[Row]:
    return [
        Row("from collect() to train(), median", "ms", ours["median"], peer.get("median"), goal=1),
        Row("  p99", "ms", ours["p99"], peer.get("p99")),
        Row("  sessions", "", ours["items"], peer.get("items")),
    ]
