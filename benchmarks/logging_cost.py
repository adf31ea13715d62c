"""What logging costs training: 100,000 values a second by ten names, for a file and the dashboard.

Batches per second of a trainer that never rests, in turns without and with logging, in one running system whose
sinks and whose server run all the time. After each batch as many values are logged as are due by then. Then what a
single value costs the interpreter, a number and a tensor, the merging by the thread that collects included.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

from benchmarks import learning
from benchmarks.interactions import at_fixed_intervals
from benchmarks.report import Numbers, Row
from benchmarks.systems import running
from benchmarks.timing import alternate, ratio, repeat

VALUES_PER_SECOND = 100_000
NAMES = [f"value {i}" for i in range(10)]
ROUNDS = 40
SECONDS = 0.6


def measure(library: str) -> Numbers:
    if library != "pamiq_sched":
        return {}
    with_tensorboard = _training(with_tensorboard=True)["to_none"]
    return {**_training(with_tensorboard=False), "to_none_with_tensorboard": with_tensorboard, **_calls()}


def rows(ours: Numbers, _peer: Numbers) -> list[Row]:
    return [
        Row("training with 100,000 values logged / s / without", "x", ours["to_none"], goal=0.97, at_least=True),
        Row("  with TensorBoard as a sink, too", "x", ours["to_none_with_tensorboard"]),
        Row("  values logged", "/s", ours["logged"]),
        Row("  batches trained without", "/s", ours["batches"]),
        Row("self.log() of a float, and its collection", "us", ours["float"]),
        Row("self.log() of a tensor, and its collection", "us", ours["tensor"]),
    ]


def _training(*, with_tensorboard: bool) -> Numbers:
    from pamiq_sched import JsonLinesSink, TensorBoardSink, TorchTrainingModel

    load = learning.Load()
    load.go()
    logs: list[bool] = [False]  # whether to log, which the thread that measures replaces
    counts: list[int] = [0]
    trainer = _logging(learning.trainer("pamiq_sched", load), logs, counts)
    without, with_logs, logged = [], [], []
    with (
        tempfile.TemporaryDirectory() as directory,
        running(
            "pamiq_sched",
            at_fixed_intervals("pamiq_sched", 0.1),
            models={"network": TorchTrainingModel(learning.network())},
            trainers={"learner": trainer},
            training_torch_threads=1,
            metrics_sinks=[
                JsonLinesSink(Path(directory) / "metrics.jsonl"),
                *([TensorBoardSink(directory)] if with_tensorboard else []),
            ],
            web_api_address=("127.0.0.1", 0),
        ),
    ):
        for _ in range(ROUNDS + 1):
            for is_logging, rates in ((False, without), (True, with_logs)):
                logs[0] = is_logging
                time.sleep(0.1)  # a batch is over, and has seen it
                steps, values, start = load.steps, counts[0], perf_counter()
                time.sleep(SECONDS)
                took = perf_counter() - start
                rates.append((load.steps - steps) / took)
                if is_logging:
                    logged.append((counts[0] - values) / took)
    without, with_logs = without[1:], with_logs[1:]  # the first turns warm up
    return {"to_none": ratio(with_logs, without), "batches": median(without), "logged": median(logged[1:])}


def _logging(trainer: Any, logs: list[bool], counts: list[int]) -> Any:
    """Let a trainer log what is due, behind each of its optimizer steps."""
    since = 0.0

    def log() -> None:
        nonlocal since
        now = perf_counter()
        due = int(VALUES_PER_SECOND * min(now - since, 0.1) / len(NAMES))
        since = now
        # The numbers are made in either turn: it is their logging that is to be measured.
        if logs[0]:
            for i in range(due):
                for name in NAMES:
                    trainer.log(name, 0.001 * i)
            counts[0] += due * len(NAMES)
        else:
            for i in range(due):
                for _ in NAMES:
                    0.001 * i

    trainer.every_steps(1, log)
    return trainer


def _calls() -> Numbers:
    import torch

    from pamiq_sched.metrics import LoggingMixin, Recorder

    class Component(LoggingMixin):
        pass

    recorder, component = Recorder(), Component()
    component.attach_journal(recorder.open("component"))
    value = torch.tensor(0.5, requires_grad=True)

    def loop_of(logged: Any) -> Any:
        calls = repeat(lambda: component.log("loss", logged))

        def loop(size: int) -> None:
            calls(size)
            recorder.collect()  # the other half of its price

        return loop

    timings = alternate([loop_of(0.5), loop_of(value)], size=2500, rounds=200)
    return {"float": 1e6 * median(timings[0]), "tensor": 1e6 * median(timings[1])}
