"""What a system costs that acts at 10 Hz and has nothing to train: CPU time of its process over 5 s.

The trainer waits for data that nobody collects. A second figure is that of a trainer which decides by
something else than data, so that it has to be asked again and again.
"""

from __future__ import annotations

import importlib
import time
from typing import Any

from benchmarks.interactions import at_fixed_intervals
from benchmarks.report import Numbers, Row
from benchmarks.systems import running, sequential_buffer

SECONDS = 5.0


def measure(library: str) -> Numbers:
    core: Any = importlib.import_module(library)

    class Waiting(core.Trainer):  # type: ignore[misc] # a class of a library that is chosen at run time
        def train(self) -> None:
            raise AssertionError("there was nothing to train")

    class Asked(Waiting):
        def is_trainable(self) -> bool:
            return False

    waiting = Waiting("data", min_buffer_size=1, min_new_data_count=1)
    return {"waiting": _percent_of_core(library, waiting), "asked": _percent_of_core(library, Asked())}


def rows(ours: Numbers, peer: Numbers) -> list[Row]:
    return [
        Row("idle CPU at 10 Hz, waiting for data", "% of a core", ours["waiting"], peer.get("waiting"), goal=1),
        Row("  with a trainer that has to be asked", "% of a core", ours["asked"], peer.get("asked"), goal=1),
    ]


def _percent_of_core(library: str, trainer: Any) -> float:
    with running(
        library,
        at_fixed_intervals(library, 0.1),
        buffers={"data": sequential_buffer(library, 10)},
        trainers={"trainer": trainer},
    ):
        time.sleep(0.5)  # past the start
        cpu, wall = time.process_time(), time.perf_counter()
        time.sleep(SECONDS)
        return 100.0 * (time.process_time() - cpu) / (time.perf_counter() - wall)
