"""What a system costs that acts at 10 Hz and has nothing to train: CPU time of its process over 5 s.

The trainer waits for data that nobody collects. A second figure is that of a trainer which decides by
something else than data, so that it has to be asked again and again.
"""

from __future__ import annotations

import importlib
import tempfile
import threading
import time
from typing import Any

from benchmarks.interactions import at_fixed_intervals
from benchmarks.report import Numbers, Row

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
    core: Any = importlib.import_module(library)
    used: list[float] = []

    def watch() -> None:
        time.sleep(0.5)  # past the start
        cpu, wall = time.process_time(), time.perf_counter()
        time.sleep(SECONDS)
        used.append((time.process_time() - cpu) / (time.perf_counter() - wall))

    watcher = threading.Thread(target=watch)
    with tempfile.TemporaryDirectory() as states:
        buffers = {"data": core.data.SequentialBuffer(10) if library == "pamiq_sched" else _peer_buffer(10)}
        watcher.start()
        core.launch(
            at_fixed_intervals(library, 0.1),
            {},
            buffers,
            {"trainer": trainer},
            core.LaunchConfig(states_dir=states, max_uptime=SECONDS + 1.0, web_api_address=None),
        )
        watcher.join()
    return 100.0 * used[0]


def _peer_buffer(size: int) -> Any:
    buffers: Any = importlib.import_module("pamiq_core.data.impls")
    return buffers.SequentialBuffer(size)
