"""What the runtime itself costs: training beside an idle agent, and acting in an environment that costs nothing.

Batches per second of a trainer under the runtime, with an agent at 10 Hz that does nothing, against the same loop
in a bare thread while the system is paused; in turns, with one thread for torch's operations in both. Then steps
per second of an agent that acts without pacing, in a system that trains nothing.
"""

from __future__ import annotations

import importlib
import time
from concurrent.futures import ThreadPoolExecutor
from statistics import median
from time import perf_counter
from typing import Any

from benchmarks import learning
from benchmarks.interactions import at_fixed_intervals, unpaced
from benchmarks.report import Numbers, Row
from benchmarks.systems import running
from benchmarks.timing import ratio

ROUNDS = 25
SECONDS = 0.6


def measure(library: str) -> Numbers:
    return {"steps": _interaction_steps(library), **(_training(library) if library == "pamiq_sched" else {})}


def rows(ours: Numbers, peer: Numbers) -> list[Row]:
    times = ours["steps"] / peer["steps"] if peer else None
    return [
        Row("training under the runtime / in a bare thread", "x", ours["to_bare"], goal=0.97, at_least=True),
        Row("  batches under the runtime", "/s", ours["batches"]),
        Row("  batches in a bare thread", "/s", ours["bare_batches"]),
        Row("steps of a trivial environment", "/s", ours["steps"], peer.get("steps")),
        Row("  ours / pamiq-core's", "x", times, goal=5, at_least=True),
    ]


def _training(library: str) -> Numbers:
    import torch

    torch_parts: Any = importlib.import_module(f"{library}.torch")
    torch.set_num_threads(1)
    load = learning.Load()
    load.go()
    network = learning.network()
    under, bare = [], []
    with (
        running(
            library,
            at_fixed_intervals(library, 0.1),
            models={"network": torch_parts.TorchTrainingModel(network)},
            trainers={"learner": learning.trainer(library, load)},
            training_torch_threads=1,
        ) as system,
        ThreadPoolExecutor(max_workers=1) as bare_thread,
    ):
        # Of the very parameters, so that both find them at the same place of memory.
        optimizer, data = torch.optim.Adam(network.parameters()), learning.batch()
        for _ in range(ROUNDS + 1):
            system.resume()
            steps, start = load.steps, perf_counter()
            time.sleep(SECONDS)
            system.pause()  # comes at the end of a batch
            under.append((load.steps - steps) / (perf_counter() - start))
            bare.append(bare_thread.submit(_bare_rate, network, optimizer, data).result())
    under, bare = under[1:], bare[1:]  # the first turns warm up
    return {"to_bare": ratio(under, bare), "batches": median(under), "bare_batches": median(bare)}


def _bare_rate(network: Any, optimizer: Any, data: Any) -> float:
    """Return the batches per second of a plain loop."""
    import torch

    torch.get_num_threads()  # a thread's first use takes over what was set last elsewhere
    torch.set_num_threads(1)
    steps, start = 0, perf_counter()
    while (gone := perf_counter() - start) < SECONDS:
        learning.step(network, optimizer, data)
        steps += 1
    return steps / gone


def _interaction_steps(library: str) -> float:
    core: Any = importlib.import_module(library)

    class Counting(core.Agent):  # type: ignore[misc] # a class of a library that is chosen at run time
        steps = 0

        def step(self, observation: float) -> float:
            self.steps += 1
            return observation

    agent, rates = Counting(), []
    with running(library, unpaced(library, agent)):
        for _ in range(ROUNDS):
            steps, start = agent.steps, perf_counter()
            time.sleep(0.2)
            rates.append((agent.steps - steps) / (perf_counter() - start))
    return median(rates)
