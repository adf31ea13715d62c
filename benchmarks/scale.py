"""What a step costs as a system grows: trainers, param groups, items. Runs only when it is named.

Ours alone. A round of the training thread with one trainer that trains and others that wait for data, and what
the runtime does at the end of an optimizer step, for 1 to 16 trainers; a step of three schedules for 1 to 64
param groups; drawing 256 items, adding one and counting the new ones in a buffer that holds 10^3 to 10^7 items of
8 floats. ``python -m benchmarks scale`` prints the rows and draws them into ``docs/images/scale.png``; filling the
buffers takes a minute.
"""

from __future__ import annotations

import importlib
import time
from itertools import pairwise
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

from benchmarks import schedule_step
from benchmarks.interactions import at_fixed_intervals
from benchmarks.process import ROOT
from benchmarks.report import Numbers, Row
from benchmarks.systems import running, sequential_buffer
from benchmarks.timing import alternate, repeat

TRAINERS = (1, 2, 4, 8, 16)
GROUPS = (1, 4, 16, 64)
ITEMS = tuple(10**exponent for exponent in range(3, 8))
STEPS = 100
"""Optimizer steps in a session."""
BLOCK = 1000
"""Items collected between two updates of the buffer."""

LINES = (
    ("round", "a round of the training thread, trainers: {:,}", TRAINERS),
    ("step", "the runtime at the end of an optimizer step, trainers: {:,}", TRAINERS),
    ("schedules", "a step of three schedules, param groups: {:,}", GROUPS),
    ("bare", "the bare assignment, param groups: {:,}", GROUPS),
    ("sample", "drawing 256 items, of {:,}", ITEMS),
    ("add", "adding an item, to {:,}", ITEMS),
    ("count", "counting the new items, of {:,}", ITEMS),
)
"""Key, what it is, and for which numbers."""


def measure(library: str) -> Numbers:
    if library != "pamiq_sched":
        return {}
    numbers: Numbers = {}
    for count in TRAINERS:
        numbers |= _trainers(library, count)
    for count in GROUPS:
        numbers |= _schedules(library, count)
    for count in ITEMS:
        numbers |= _buffer(library, count)
    return numbers


def rows(ours: Numbers, peer: Numbers) -> list[Row]:
    del peer
    return [Row(what.format(n), "us", ours[f"{key}_{n}"]) for key, what, counts in LINES for n in counts]


def draw(ours: Numbers) -> Path:
    """Draw what was measured; return where the picture is."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    panels = (
        ("trainers", TRAINERS, {"round": "round of the training thread", "step": "end of an optimizer step"}),
        ("param groups", GROUPS, {"schedules": "step of three schedules", "bare": "bare assignment"}),
        ("items in the buffer", ITEMS, {"sample": "draw 256", "add": "add one", "count": "count new ones"}),
    )
    figure, all_axes = plt.subplots(1, len(panels), figsize=(10, 4), sharey=True, layout="constrained")
    for axes, (name, counts, lines) in zip(all_axes, panels, strict=True):
        # Of Okabe and Ito's colours, told apart by the colour-blind too; markers differ as well.
        styles = zip(lines.items(), ("#0072B2", "#D55E00", "#009E73"), "os^", strict=False)
        for (key, label), colour, marker in styles:
            values = [ours[f"{key}_{n}"] for n in counts]
            axes.plot(counts, values, color=colour, marker=marker, label=label)
        axes.set_xscale("log", base=10 if counts is ITEMS else 2)
        axes.set_yscale("log")
        if counts is not ITEMS:
            axes.set_xticks(counts, [str(n) for n in counts])
        axes.set_xlabel(name)
        axes.grid(alpha=0.3)
        axes.legend(loc="lower left", bbox_to_anchor=(0.0, 1.0), frameon=False)
    all_axes[0].set_ylabel("time (µs)")
    path = ROOT / "docs" / "images" / "scale.png"
    path.parent.mkdir(exist_ok=True)
    figure.savefig(path, dpi=150)
    return path


def _trainers(library: str, count: int) -> Numbers:
    core: Any = importlib.import_module(library)
    sessions: list[tuple[float, float]] = []

    class Training(core.Trainer):  # type: ignore[misc] # a class of a library that is chosen at run time
        def train(self) -> None:
            start = perf_counter()
            for _ in range(STEPS):
                self.step_completed()
            sessions.append((start, perf_counter()))

    class Waiting(core.Trainer):  # type: ignore[misc] # likewise
        def train(self) -> None:
            raise AssertionError("there was nothing to train")

    waiting = {f"waiting_{i}": Waiting("nothing", min_new_data_count=1) for i in range(count - 1)}
    with running(
        library,
        at_fixed_intervals(library, 0.1),
        buffers={"nothing": sequential_buffer(library, 1)},
        trainers={"training": Training(), **waiting},
    ):
        time.sleep(1.0)
    rounds = [after[0] - before[1] for before, after in pairwise(sessions)]
    return {
        f"round_{count}": 1e6 * median(rounds),
        f"step_{count}": 1e6 * median((end - start) / STEPS for start, end in sessions),
    }


def _schedules(library: str, count: int) -> Numbers:
    step = schedule_step.schedules(importlib.import_module(library), schedule_step.make_optimizer(count))
    bare = schedule_step.bare_assignment(schedule_step.make_optimizer(count))
    stepping, assigning = alternate([repeat(step), bare], size=max(20, 2000 // count), rounds=31)
    return {f"schedules_{count}": 1e6 * median(stepping), f"bare_{count}": 1e6 * median(assigning)}


def _buffer(library: str, count: int) -> Numbers:
    core: Any = importlib.import_module(library)
    data: Any = importlib.import_module(f"{library}.data")
    import torch

    torch.set_num_threads(1)
    user = data.DataUser(data.TensorRingBuffer(count))
    item = {"item": torch.zeros(8)}
    middle = 0.0
    for added in range(0, count, BLOCK):
        if added >= count // 2:
            middle = middle or core.time.time()
        for _ in range(BLOCK):
            user.collector.collect(item)
        user.update()
    loops = {
        "sample": lambda: user.sample(256),
        "add": lambda: user.buffer.add(item),  # over the oldest
        "count": lambda: user.count_data_added_since(middle),
    }
    timings = alternate([repeat(loop) for loop in loops.values()], size=100, rounds=31)
    return {f"{key}_{count}": 1e6 * median(timing) for key, timing in zip(loops, timings, strict=True)}
