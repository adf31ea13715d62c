"""Where numbers go."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from typing_extensions import override

from pamiq_sched import JsonLinesSink, MetricsSink, read_json_lines
from pamiq_sched.metrics import Event, Point


class Latest(MetricsSink):
    """Keeps the latest value of each name."""

    def __init__(self) -> None:
        self.values: dict[str, float] = {}
        self.events: list[str] = []

    @override
    def write(self, points: Sequence[Point], events: Sequence[Event]) -> None:
        self.values.update({point.name: point.value for point in points})
        self.events += [event.kind for event in events]


def sinks(folder: Path) -> list[MetricsSink]:
    return [Latest(), JsonLinesSink(folder / "numbers.jsonl")]


def losses(file: Path) -> list[float]:
    return [point.value for run in read_json_lines(file) for point in run.points if point.name == "imitation/loss"]
