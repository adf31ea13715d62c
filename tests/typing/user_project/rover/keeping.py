"""States: which to keep, what is in them, and components that save themselves."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from typing_extensions import override

from pamiq_sched import (
    BestStatesKeeper,
    PersistentStateMixin,
    StateDamagedError,
    StatesKeeper,
    StateStore,
    StepSaveCondition,
    compare_states,
    inspect_state,
    inspect_states,
    latest_state,
    time,
)
from pamiq_sched.state import StateDictMixin
from pamiq_sched.state_persistence import LatestStatesKeeper
from pamiq_sched.utils.schedulers import TimeIntervalScheduler


class Odometer(StateDictMixin):
    def __init__(self) -> None:
        super().__init__()
        self.metres = 0.0

    @override
    def state_dict(self) -> dict[str, Any]:
        return {"metres": self.metres}

    @override
    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.metres = state["metres"]


class Diary(PersistentStateMixin):
    @override
    def save_state(self, path: Path) -> None:
        path.with_suffix(".md").write_text("# A day\n", encoding="utf-8")


class KeepSundays(StatesKeeper):
    def __init__(self) -> None:
        self.weekdays: list[Path] = []

    @override
    def append(self, path: Path) -> None:
        self.weekdays.append(path)

    @override
    def select_removal_states(self) -> Iterable[Path]:
        return self.weekdays


def keepers(folder: Path) -> list[StatesKeeper]:
    return [KeepSundays(), BestStatesKeeper(folder, lambda: 1.0), LatestStatesKeeper(folder, 3)]


def drive(folder: Path) -> list[str]:
    store = StateStore(folder)
    odometer = Odometer()
    store.register("odometer", odometer)
    store.register("diary", Diary())
    first = store.save_state()
    odometer.metres += 1.0
    second = store.save_state()
    try:
        store.load_state(first)
    except StateDamagedError as error:
        return [str(error)]
    newest = latest_state(folder)
    found = [state.path.name for state in inspect_states(folder).states]
    if newest == second and inspect_state(second).verifies:
        found += [str(difference) for difference in compare_states(first, second).about]
    return found


def due() -> bool:
    condition = StepSaveCondition(100)
    scheduler = TimeIntervalScheduler(1.0, condition)
    start = time.time()
    time.sleep(0.0)
    return scheduler.is_available() or time.time() - start > time.get_time_scale()
