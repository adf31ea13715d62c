"""How long a pause takes while a trainer trains: 100 steps of 5 ms, without a pause point written in train().

Ours is ``System.pause()`` with a ``TorchTrainer`` whose step is a sleep of 5 ms and a small step of SGD. The
peer's is its control thread's ``try_pause()``, called directly, with a trainer that only sleeps: its pauses
come between sessions, whatever the session does, so its figure needs no torch. Pauses come at random moments
of a step, or of the peer's session. Beside them stands how long the sleeps really took: a busy machine makes
them longer, and no pause can be shorter than what is left of one. What a pause takes beyond the end of the
sleep under way, in the middle, is what the library answers for: the step of SGD, the hooks, the hand-overs
between threads. (Its high percentiles say nothing: an order that comes just behind a pause point waits for the
next one.)
"""

from __future__ import annotations

import importlib
import random
import time
from bisect import bisect_left
from statistics import median
from typing import Any

from benchmarks.interactions import at_fixed_intervals
from benchmarks.report import Numbers, Row
from benchmarks.systems import running
from benchmarks.timing import percentile

STEPS = 100
STEP_SECONDS = 0.005


def measure(library: str) -> Numbers:
    sleeps: list[tuple[float, float]] = []
    pauses = _of_peer(sleeps) if library == "pamiq_core" else _of_ours(sleeps)
    latencies = [done - asked for asked, done in pauses]
    ends = [end for _, end in sleeps]
    beyond = [done - ends[bisect_left(ends, asked)] for asked, done in pauses if asked < ends[-1]]
    return {
        "median": 1e3 * median(latencies),
        "p99": 1e3 * percentile(latencies, 99),
        "max": 1e3 * max(latencies),
        "pauses": len(latencies),
        "sleep_p99": 1e3 * percentile([end - start for start, end in sleeps], 99),
        "beyond_median": 1e3 * median(beyond),
    }


def rows(ours: Numbers, peer: Numbers) -> list[Row]:
    pauses = f"{ours['pauses']:.0f} pauses" + (f", the peer's {peer['pauses']:.0f}" if peer else "")
    return [
        Row(f"pause latency p99 ({pauses})", "ms", ours["p99"], peer.get("p99"), goal=7),
        Row("  median", "ms", ours["median"], peer.get("median")),
        Row("  longest", "ms", ours["max"], peer.get("max")),
        Row("  the sleep of 5 ms in each step, p99", "ms", ours["sleep_p99"], peer.get("sleep_p99")),
        Row("  beyond the end of that sleep, median", "ms", ours["beyond_median"], peer.get("beyond_median")),
    ]


Span = tuple[float, float]
"""When something began and ended, as ``perf_counter`` reads."""


def _sleep_one_step(sleeps: list[Span]) -> None:
    start = time.perf_counter()
    time.sleep(STEP_SECONDS)
    sleeps.append((start, time.perf_counter()))


def _of_ours(sleeps: list[Span]) -> list[Span]:
    import torch
    from typing_extensions import override

    from pamiq_sched import TorchTrainer

    class Training(TorchTrainer):
        @override
        def create_optimizers(self) -> dict[str, torch.optim.Optimizer]:
            parameter = torch.nn.Parameter(torch.zeros(1000))
            parameter.grad = torch.ones(1000)
            return {"sgd": torch.optim.SGD([parameter])}

        @override
        def train(self) -> None:
            for _ in range(STEPS):
                _sleep_one_step(sleeps)
                self.optimizers["sgd"].step()

    return _pauses("pamiq_sched", Training(), count=400, longest_wait=10 * STEP_SECONDS)


def _of_peer(sleeps: list[Span]) -> list[Span]:
    core: Any = importlib.import_module("pamiq_core")

    class Training(core.Trainer):  # type: ignore[misc] # a class of a library that is found at run time
        def train(self) -> None:
            for _ in range(STEPS):
                _sleep_one_step(sleeps)

    return _pauses("pamiq_core", Training(), count=50, longest_wait=STEPS * STEP_SECONDS)


def _pauses(library: str, trainer: Any, *, count: int, longest_wait: float) -> list[Span]:
    phases = random.Random(0)  # noqa: S311 - moments to pause at, nothing secret
    pauses = []
    with running(library, at_fixed_intervals(library, 0.1), trainers={"trainer": trainer}) as system:
        time.sleep(0.5)
        for _ in range(count):
            time.sleep(0.02 + phases.uniform(0.0, longest_wait))
            start = time.perf_counter()
            system.pause()
            pauses.append((start, time.perf_counter()))
            system.resume()
    return pauses
