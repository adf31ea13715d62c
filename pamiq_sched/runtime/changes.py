"""What may be changed of a system while it runs. Belongs to the training thread, or to one that holds it still."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

from pamiq_sched import _checks
from pamiq_sched.runtime.status import TOLD_AS_EVENT
from pamiq_sched.trainer import Trainer

_logger = logging.getLogger(__name__)


class Changes:
    """Changes settings of trainers, and tells of it.

    Args:
        trainers: By name.
        tell: Takes events; see :meth:`pamiq_sched.metrics.Recorder.tell`.
    """

    def __init__(self, trainers: Mapping[str, Trainer], tell: Callable[..., None]) -> None:
        self._trainers = trainers
        self._tell = tell

    def set_hyperparameter(
        self, trainer: str, name: str, value: float, optimizer: str | None, group: int | None
    ) -> None:
        """Set a hyperparameter; see :meth:`pamiq_sched.Trainer.set_hyperparameter`."""
        for old in self._trainer(trainer).set_hyperparameter(name, value, optimizer=optimizer, group=group):
            what = f"{trainer}: {old.name} of {old.optimizer}, group {old.group},"
            self._note(what, trainer, name, old.value, value)

    def move_horizon(self, trainer: str, schedule: str, horizon: float) -> None:
        """Let a schedule end at another moment; see :meth:`pamiq_sched.Trainer.move_horizon`."""
        before = self._trainer(trainer).move_horizon(schedule, horizon)
        self._note(f"{trainer}: the horizon of {schedule}", trainer, schedule, before, horizon)

    def _trainer(self, name: str) -> Trainer:
        if name not in self._trainers:
            raise KeyError(_checks.unknown("trainer", str(name), self._trainers))
        return self._trainers[name]

    def _note(self, what: str, trainer: str, name: str, before: float, after: float) -> None:
        text = f"{what} set from {before:g} to {after:g}"
        _logger.info("%s", text, extra=TOLD_AS_EVENT)
        details: dict[str, Any] = {"trainer": trainer, "name": name, "from": before, "to": float(after)}
        self._tell("changed", text, **details)
