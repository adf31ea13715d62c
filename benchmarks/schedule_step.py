"""What it costs to move three hyperparameters at every optimizer step.

Three schedules (a warmup, then a cosine, a parabola and a line) on ``lr``, ``weight_decay`` and ``eps``, stepped
as one, on 1, 8 and 64 param groups; against the least that could do the same, a loop that assigns the products of
bases and factors that it is given. Beside them: the same with the three formulas worked out by hand at each step;
torch-schedule-anything, with the same functions; and torch, with a LambdaLR of the learning rate for each of three
optimizers, since it schedules nothing else. All in one process, taken in turn.
"""

from __future__ import annotations

import importlib
import math
import warnings
from collections.abc import Callable
from statistics import median
from typing import Any

from benchmarks import beside
from benchmarks.report import Numbers, Row
from benchmarks.timing import alternate, ratio, repeat

BESIDE = "torch-schedule-anything==1.2.3"
GROUPS = (1, 8, 64)
WARMUP, END = 100, 1_000_000
KEYS = ("lr", "weight_decay", "eps")


def measure(library: str) -> Numbers:
    beside.add_to_path()
    numbers: Numbers = {}
    for count in GROUPS:
        numbers |= {f"{name}_{count}": value for name, value in _measure(library, count).items()}
    return numbers


def rows(ours: Numbers, peer: Numbers) -> list[Row]:
    del peer  # which runs in the process of ours
    table = []
    for count in GROUPS:
        groups = f"{count} group" if count == 1 else f"{count} groups"
        table += [
            Row(
                f"3 schedules, {groups}: step / bare assignment",
                "x",
                ours[f"to_bare_{count}"],
                ours.get(f"peer_to_bare_{count}"),
                goal=3,
            ),
            Row(
                "  torch-schedule-anything / ours", "x", ours.get(f"peer_to_ours_{count}"), goal=10, at_least=True
            ),
            Row("  step / the formulas by hand", "x", ours[f"to_by_hand_{count}"]),
            Row("  three LambdaLR of torch / bare assignment", "x", ours[f"torch_to_bare_{count}"]),
            Row("  step", "us", ours[f"us_{count}"], ours.get(f"peer_us_{count}")),
            Row("  bare assignment", "us", ours[f"bare_us_{count}"]),
        ]
    return table


def _measure(library: str, count: int) -> Numbers:
    loops = [
        bare_assignment(make_optimizer(count)),
        _by_hand(make_optimizer(count)),
        repeat(schedules(importlib.import_module(library), make_optimizer(count))),
        _torch([make_optimizer(count) for _ in KEYS]),
    ]
    try:
        peer: Any = importlib.import_module("torch_schedule_anything")
    except ImportError:
        peer = None
    if peer is not None:
        loops.append(repeat(schedules(peer, make_optimizer(count))))
    bare, by_hand, ours, torchs, *peers = alternate(loops, size=max(20, 2000 // count), rounds=31)
    numbers = {
        "to_bare": ratio(ours, bare),
        "to_by_hand": ratio(ours, by_hand),
        "torch_to_bare": ratio(torchs, bare),
        "us": 1e6 * median(ours),
        "bare_us": 1e6 * median(bare),
    }
    for timing in peers:
        numbers |= {
            "peer_to_bare": ratio(timing, bare),
            "peer_to_ours": ratio(timing, ours),
            "peer_us": 1e6 * median(timing),
        }
    return numbers


def make_optimizer(count: int) -> Any:
    """Make one of so many groups with bases of their own, as layer-wise learning rates have them."""
    import torch

    groups = [{"params": [torch.zeros(1)], "lr": 0.1 / (1 + i)} for i in range(count)]
    optimizer = torch.optim.AdamW(groups, weight_decay=0.01, eps=1e-8)
    warnings.simplefilter("ignore")  # of schedulers that step without their optimizers
    return optimizer


def schedules(library: Any, optimizer: Any) -> Callable[[], object]:
    """Make three schedules of a library; return what steps them as one."""
    functions = (
        library.cosine_annealing_with_warmup,
        library.quadratic_schedule_with_warmup,
        library.linear_schedule_with_warmup,
    )
    return library.SynchronousSchedule(  # type: ignore[no-any-return]
        [f(optimizer, 1.0, 0.1, WARMUP, END, schedule_target=key) for f, key in zip(functions, KEYS, strict=True)]
    ).step


def _bases(optimizer: Any) -> list[tuple[float, ...]]:
    return [tuple(group[key] for key in KEYS) for group in optimizer.param_groups]


def bare_assignment(optimizer: Any) -> Callable[[int], None]:
    """Make the least that does it: a loop that is given the factors."""
    groups, bases = optimizer.param_groups, _bases(optimizer)

    def loop(size: int) -> None:
        first = second = third = 0.5
        for _ in range(size):
            for group, (lr, decay, eps) in zip(groups, bases):  # noqa: B905 - the least that does it
                group["lr"] = lr * first
                group["weight_decay"] = decay * second
                group["eps"] = eps * third

    return loop


def _by_hand(optimizer: Any) -> Callable[[int], None]:
    groups, bases = optimizer.param_groups, _bases(optimizer)
    t = 0

    def loop(size: int) -> None:
        nonlocal t
        for _ in range(size):
            t += 1
            p = min(1.0, (t - WARMUP) / (END - WARMUP))
            first = t / WARMUP if t <= WARMUP else 0.1 + 0.9 * math.cos(math.pi / 2 * p)
            second = t / WARMUP if t <= WARMUP else 0.1 + 0.9 * (1 - p) ** 2
            third = t / WARMUP if t <= WARMUP else 0.1 + 0.9 * (1 - p)
            for group, (lr, decay, eps) in zip(groups, bases):  # noqa: B905 - the least that does it
                group["lr"] = lr * first
                group["weight_decay"] = decay * second
                group["eps"] = eps * third

    return loop


def _torch(optimizers: list[Any]) -> Callable[[int], None]:
    from torch.optim.lr_scheduler import LambdaLR

    steps = [LambdaLR(optimizer, lambda t: min(1.0, t / WARMUP)).step for optimizer in optimizers]

    def loop(size: int) -> None:
        for _ in range(size):
            for step in steps:
                step()

    return loop
