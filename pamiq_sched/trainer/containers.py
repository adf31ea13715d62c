"""All trainers of a system by name, in the order in which they take their turns."""

from __future__ import annotations

from collections import UserDict
from collections.abc import Callable, Mapping
from pathlib import Path

from typing_extensions import override

from pamiq_sched import _checks
from pamiq_sched.data import DataUsersDict
from pamiq_sched.lifecycle import (
    PausePoint,
    PersistentStateMixin,
    ThreadEventMixin,
    call_all,
    load_parts,
    save_parts,
)
from pamiq_sched.model import TrainingModelsDict
from pamiq_sched.trainer.trainer import Trainer


class TrainersDict(UserDict[str, Trainer], PersistentStateMixin, ThreadEventMixin):
    """Trainers by name; what is done to it is done to each."""

    @override
    def __setitem__(self, key: str, item: Trainer) -> None:
        super().__setitem__(_checks.component_name("trainer", key), item)

    def attach_training_models(self, training_models: TrainingModelsDict) -> None:
        """Give every trainer the models."""
        for trainer in self.values():
            trainer.attach_training_models(training_models)

    def attach_data_users(self, data_users: DataUsersDict) -> None:
        """Give every trainer the data."""
        for trainer in self.values():
            trainer.attach_data_users(data_users)

    def attach_pause_point(self, pause_point: PausePoint) -> None:
        """Give every trainer the place where its sessions may be stopped."""
        for trainer in self.values():
            trainer.attach_pause_point(pause_point)

    def attach_waker(self, wake: Callable[[], None]) -> None:
        """Give every trainer what wakes the thread that asks it."""
        for trainer in self.values():
            trainer.attach_waker(wake)

    @override
    def on_paused(self) -> None:
        super().on_paused()
        call_all("several trainers raised in on_paused", [t.on_paused for t in self.values()])

    @override
    def on_resumed(self) -> None:
        super().on_resumed()
        call_all("several trainers raised in on_resumed", [t.on_resumed for t in self.values()])

    @override
    def persistent_parts(self) -> Mapping[str, PersistentStateMixin]:
        return self

    @override
    def save_state(self, path: Path) -> None:
        save_parts(self, path)

    @override
    def load_state(self, path: Path) -> None:
        load_parts(self, path)
