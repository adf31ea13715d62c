"""What it costs to bring the agents' replica up to date, and how long a call waits for it.

Three networks, of about 8.4 million, 2.1 million and 12 thousand parameters; the copy beside each sync is torch's
own, of all of the parameters at once, into tensors that are made beforehand. Then a thread borrows the largest
one a thousand times a second, in turns: nothing is synced; syncs run back to back. What it waits beyond the
median of the quiet turns is what a sync holds it up. The interpreter switches threads as often as in a running
system.
"""

from __future__ import annotations

import importlib
import sys
import threading
import time
from collections.abc import Callable
from statistics import median
from time import perf_counter
from typing import Any

from benchmarks.report import Numbers, Row
from benchmarks.timing import alternate, percentile, ratio, repeat

TURNS = 7
SECONDS = 0.7


def measure(library: str) -> Numbers:
    import torch

    torch.set_num_threads(1)
    sizes = {"large": (1024, 8), "middle": (512, 8), "small": (64, 3)}
    models = {name: _model(library, width=width, depth=depth) for name, (width, depth) in sizes.items()}
    numbers = {f"{name}_{what}": n for name, model in models.items() for what, n in _compare(model).items()}
    return {**numbers, **_waits(library, models["large"])}


def rows(ours: Numbers, peer: Numbers) -> list[Row]:
    def row(what: str, unit: str, key: str, goal: float | None = None) -> Row:
        return Row(what, unit, ours[key], peer.get(key), goal=goal)

    return [
        row("sync() of 34 MB / a copy of them", "x", "large_to_copy", 1.1),
        row("  sync() of 34 MB", "us", "large_us"),
        row("  sync() of 8 MB / a copy of them", "x", "middle_to_copy"),
        row("  sync() of 12 k parameters", "us", "small_us"),
        row("  copy of 12 k parameters", "us", "small_copy_us"),
        row("a call held up by syncs of 34 MB, p99", "us", "wait_p99", 50),
        row("  median", "us", "wait_p50", 50),
        row("  entering a call while nothing is synced, p99", "us", "quiet_p99"),
    ]


def _model(library: str, *, width: int, depth: int) -> Any:
    from torch import nn

    network = nn.Sequential(*[layer for _ in range(depth) for layer in (nn.Linear(width, width), nn.ReLU())])
    model = importlib.import_module(f"{library}.torch").TorchTrainingModel(network)
    _ = model.inference_model  # made at first use
    return model


def _compare(model: Any) -> Numbers:
    import torch

    sources = [p.detach() for p in model.model.parameters()]  # those that a sync reads
    targets = [torch.empty_like(p) for p in sources]

    syncing, copying = alternate(
        [repeat(model.sync), repeat(lambda: torch._foreach_copy_(targets, sources))],
        size=min(200, 80_000_000 // sum(p.numel() for p in sources)),
        rounds=31,
    )
    return {"to_copy": ratio(syncing, copying), "us": 1e6 * median(syncing), "copy_us": 1e6 * median(copying)}


def _waits(library: str, model: Any) -> Numbers:
    interval = sys.getswitchinterval()
    if library == "pamiq_sched":
        chosen = importlib.import_module(library).LaunchConfig().switch_interval
        sys.setswitchinterval(interval if chosen is None else chosen)
    quiet_turns, waits = [], []
    try:
        for _ in range(TURNS):
            quiet = _entering(model, lambda: time.sleep(0.01))
            usual = percentile(quiet, 50)
            quiet_turns.append(quiet)
            waits.append([max(0.0, seconds - usual) for seconds in _entering(model, model.sync)])
    finally:
        sys.setswitchinterval(interval)
    return {
        **{f"wait_p{p}": 1e6 * median(percentile(turn, p) for turn in waits) for p in (50, 99)},
        "quiet_p99": 1e6 * median(percentile(turn, 99) for turn in quiet_turns),
    }


def _entering(model: Any, meanwhile: Callable[[], object]) -> list[float]:
    """Return how long a thread took each time to borrow the replica while this one does something else."""
    seconds: list[float] = []
    is_over = threading.Event()

    def borrow() -> None:
        while not is_over.is_set():
            start = perf_counter()
            with model.inference_model.unwrap():
                seconds.append(perf_counter() - start)
            time.sleep(0.001)

    thread = threading.Thread(target=borrow)
    thread.start()
    end = perf_counter() + SECONDS
    while perf_counter() < end:
        meanwhile()
    is_over.set()
    thread.join()
    return seconds
