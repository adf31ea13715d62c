"""How long an agent waits for its network while the same network is trained.

An agent at 100 Hz asks a network (64-512-512-512-8, batch 1) at every step; the time of each call is taken by
the agent itself. In turns of three seconds, in one process: the trainer waits; it trains on one batch of 256 with
Adam over and over, with a sync after every 20; it spends as long again in pure Python after each batch; it draws
each batch from a buffer of 100,000 items, in the way of its library. Percentiles are taken of each turn, and of
those the median over all turns of a kind.
"""

from __future__ import annotations

import importlib
import time
from itertools import pairwise
from statistics import median
from time import perf_counter
from typing import Any, NamedTuple

from benchmarks import learning, replay
from benchmarks.interactions import at_fixed_intervals
from benchmarks.report import Numbers, Row
from benchmarks.systems import running
from benchmarks.timing import percentile

ROUNDS = 5
SECONDS = 3.0
SETTLING = 0.3
"""Seconds at the start of a turn that are not counted."""


class Kind(NamedTuple):
    """What the trainer does in a turn."""

    key: str
    what: str
    load: dict[str, bool] | None
    goal: float | None
    """Of its p99 in relation to that without training."""
    peer_goal: float | None = None
    """How many times as long the peer's p99 is to be."""


KINDS = (
    Kind("quiet", "without training", None, None),
    Kind("batches", "while training", {}, 1.5, 20),
    Kind("python", "training, half the time Python", {"computes_in_python": True}, 3),
    Kind("sampled", "training on samples of 100,000", {"samples": True}, 1.5, 20),
)

Span = tuple[float, float]
"""When a call began and ended, as ``perf_counter`` reads."""


def measure(library: str) -> Numbers:
    torch_parts: Any = importlib.import_module(f"{library}.torch")
    calls: list[Span] = []
    load = learning.Load()
    turns: dict[str, list[Numbers]] = {kind.key: [] for kind in KINDS}
    with running(
        library,
        at_fixed_intervals(library, 0.01, asking_agent(library, calls)),
        models={"network": torch_parts.TorchTrainingModel(learning.network())},
        buffers={"items": replay.filled_buffer(library, learning.WIDTHS)},
        trainers={"learner": learning.trainer(library, load)},
    ):
        try:
            for _ in range(ROUNDS):
                for kind in KINDS:
                    load.hold() if kind.load is None else load.go(**kind.load)
                    turns[kind.key].append(turn(calls, load))
        finally:
            load.go()  # a trainer that waits could not be stopped
    return {
        f"{key}_{name}": median(turn[name] for turn in of_kind)
        for key, of_kind in turns.items()
        for name in of_kind[0]
    }


def rows(ours: Numbers, peer: Numbers) -> list[Row]:
    table = []
    for key, what, load, goal, peer_goal in KINDS:
        p99 = f"{key}_p99"
        table.append(Row(f"inference p99, {what}", "ms", ours[p99], peer.get(p99)))
        if goal is not None:
            to_quiet, peer_to_quiet = (n[p99] / n["quiet_p99"] if n else None for n in (ours, peer))
            table.append(Row("  / without training", "x", to_quiet, peer_to_quiet, goal=goal))
        if peer_goal is not None:
            times = peer[p99] / ours[p99] if peer else None
            table.append(Row("  pamiq-core's / ours", "x", times, goal=peer_goal, at_least=True))
        table += [
            Row("  median", "ms", ours[f"{key}_p50"], peer.get(f"{key}_p50")),
            Row("  longest time between two actions", "ms", ours[f"{key}_gap"], peer.get(f"{key}_gap")),
        ]
        if load is not None:
            table.append(Row("  batches trained", "/s", ours[f"{key}_steps"], peer.get(f"{key}_steps")))
    return table


def asking_agent(library: str, calls: list[Span]) -> Any:
    """Make an agent that times each of its inferences."""
    core: Any = importlib.import_module(library)
    import torch

    class Asking(core.Agent):  # type: ignore[misc] # a class of a library that is chosen at run time
        def on_inference_models_attached(self) -> None:
            self.model = self.get_inference_model("network")
            self.features = torch.zeros(1, 64)

        def step(self, observation: float) -> float:
            start = perf_counter()
            self.model(self.features)
            calls.append((start, perf_counter()))
            return observation

    return Asking()


def turn(calls: list[Span], load: learning.Load) -> Numbers:
    """Let a few seconds pass, and return what they were like."""
    time.sleep(SETTLING)
    first, steps = len(calls), load.steps
    time.sleep(SECONDS)
    counted, trained = calls[first:], load.steps - steps
    seconds = [end - start for start, end in counted]
    ends = [end for _, end in counted]
    return {
        "p50": 1e3 * percentile(seconds, 50),
        "p99": 1e3 * percentile(seconds, 99),
        "gap": 1e3 * max(after - before for before, after in pairwise(ends)),
        "steps": trained / SECONDS,
    }
