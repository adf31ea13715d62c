"""What a system tells of itself to those who watch it: numbers over time, and a whole description as JSON has it.

Any thread may ask: everything that is read here is a count, or is replaced whole.
"""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Callable, Iterator
from typing import Any

from pamiq_sched._text import program
from pamiq_sched.clock import Clock
from pamiq_sched.data import DataUsersDict
from pamiq_sched.data.buffer import max_size_of
from pamiq_sched.interaction import FixedIntervalInteraction, Interaction
from pamiq_sched.metrics.durations import Durations
from pamiq_sched.metrics.points import Point
from pamiq_sched.model import TrainingModelsDict
from pamiq_sched.runtime.status import Status
from pamiq_sched.trainer import TrainersDict


class Reporter:
    """Tells of a system.

    Args:
        interaction: Of the system.
        users: Of the system.
        models: Of the system.
        trainers: Of the system.
        clock: Agent time.
        status: Returns how the system is.
        now: Reads the time, in seconds since 1970.
    """

    def __init__(
        self,
        interaction: Interaction[Any, Any],
        users: DataUsersDict,
        models: TrainingModelsDict,
        trainers: TrainersDict,
        clock: Clock,
        status: Callable[[], Status],
        now: Callable[[], float],
    ) -> None:
        self._interaction = interaction
        self._adjustor = interaction.adjustor if isinstance(interaction, FixedIntervalInteraction) else None
        self._users = users
        self._models = models
        self._trainers = trainers
        self._clock = clock
        self._status = status
        self._now = now
        self._started_at = now()
        # Written by the thread that samples, read by any.
        self._steps_per_second = 0.0
        self._seen = (0.0, 0, 0, 0)

    def start(self) -> None:
        """Count from now on; called before the threads start."""
        self._started_at = self._now()
        self._seen = self._counts()

    def _counts(self) -> tuple[float, int, int, int]:
        """The moment, the steps, and how many durations of steps and of lateness were counted by then."""
        late = self._adjustor.lateness.count if self._adjustor else 0
        return time.monotonic(), self._interaction.steps, self._interaction.step_times.count, late

    def sample(self) -> list[Point]:
        """Return the runtime's own numbers, of the time since the last call; one thread calls it."""
        before, now = self._seen, self._counts()
        self._seen = now
        self._steps_per_second = (now[1] - before[1]) / max(now[0] - before[0], 1e-9)
        moment, steps = self._now(), self._interaction.steps
        own = (*self._of_interaction(before), *self._of_data_and_models())
        points = [Point.single(name, moment, steps, value) for name, value in own]
        for key, trainer in self._trainers.items():
            count = trainer.step_count
            if trainer.replay_ratio is not None:
                points.append(Point.single(f"{key}/replay_ratio", moment, count, trainer.replay_ratio))
            for schedule in trainer.controls().schedules:
                for i, value in enumerate(schedule.values):
                    group = f"[{i}]" if len(schedule.values) > 1 else ""
                    points.append(Point.single(f"{key}/scheduled/{schedule.name}{group}", moment, count, value))
        return points

    def _of_interaction(self, before: tuple[float, int, int, int]) -> Iterator[tuple[str, float]]:
        yield "interaction/steps_per_second", self._steps_per_second
        times = self._interaction.step_times
        if times.count > before[2]:
            summary = times.summary(before[2])
            yield "interaction/step_time_p50", summary.p50
            yield "interaction/step_time_p99", summary.p99
        if self._adjustor is not None:
            if self._adjustor.lateness.count > before[3]:
                yield "interaction/lateness_p99", self._adjustor.lateness.summary(before[3]).p99
            yield "interaction/deadline_misses", self._adjustor.misses

    def _of_data_and_models(self) -> Iterator[tuple[str, float]]:
        for name, user in self._users.items():
            items, size = len(user), max_size_of(user.buffer)
            yield f"buffers/{name}/items", items
            if size:
                yield f"buffers/{name}/fill", items / size
            yield f"buffers/{name}/dropped", user.collector.dropped
        for name, staleness in self._models.staleness().items():
            yield f"models/{name}/seconds_behind", staleness.seconds_behind
            yield f"models/{name}/versions_behind", staleness.versions_behind

    def describe(self) -> dict[str, Any]:
        """Return all there is to tell, made of what JSON knows."""
        status = self._status()
        return {
            "state": status.state.status_name,
            "uptime": status.uptime,
            "started_at": self._started_at,
            "pid": os.getpid(),
            "program": program(),
            "time_scale": self._clock.get_time_scale(),
            "steps": status.steps,
            "steps_per_second": self._steps_per_second,
            "interval": None if self._adjustor is None else self._adjustor.interval,
            "deadline_misses": status.deadline_misses,
            "step_times": dataclasses.asdict(status.step_times),
            "lateness": dataclasses.asdict(status.lateness),
            "trainers": {name: self._of_trainer(name, status) for name in self._trainers},
            "buffers": {
                name: {"items": len(user), "max_size": max_size_of(user.buffer), "dropped": status.dropped[name]}
                for name, user in self._users.items()
            },
            "models": {name: dataclasses.asdict(staleness) for name, staleness in status.staleness.items()},
            "pauses": status.pauses,
            "last_saved": None if status.last_saved is None else str(status.last_saved.absolute()),
            "last_saved_at": status.last_saved_at,
            "is_saving": status.is_saving,
            "stuck": dict(status.stuck),
            "not_restored": list(status.not_restored),
        }

    def _of_trainer(self, name: str, status: Status) -> dict[str, Any]:
        trainer = self._trainers[name]
        controls = trainer.controls()
        summaries: dict[str, Durations] = {
            "cycle_times": trainer.cycle_times.summary(),
            "sync_times": trainer.sync_times.summary(),
        }
        return {
            "sessions": status.sessions[name],
            "is_in_session": trainer.is_in_session,
            "steps": trainer.step_count,
            "replay_ratio": status.replay_ratios[name],
            **{key: dataclasses.asdict(summary) for key, summary in summaries.items()},
            "hyperparameters": [dataclasses.asdict(h) for h in controls.hyperparameters],
            "schedules": [dataclasses.asdict(s) for s in controls.schedules],
        }
