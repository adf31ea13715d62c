"""``python -m rover FOLDER``: drive for a moment, stop, and go on from there."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from pamiq_sched import (
    DataBuffer,
    FixedIntervalInteraction,
    LatestStatesKeeper,
    LaunchConfig,
    PeriodicSaveCondition,
    Status,
    System,
    SystemStatus,
    Trainer,
    TrainingModel,
    launch,
)
from rover import buffers, models, world
from rover.agent import Crew, Driver, Watchman
from rover.numbers import sinks
from rover.trainers import Averaging, Imitation


def parts() -> tuple[dict[str, TrainingModel[Any]], dict[str, DataBuffer[Any, Any]], dict[str, Trainer]]:
    return (
        {"policy": models.make(), "table": models.TrainedTable(1)},
        {"experience": buffers.experience(), "seen": buffers.seen()},
        {"imitation": Imitation(), "averaging": Averaging("seen", min_new_data_count=1)},
    )


def main(folder: Path) -> int:
    environment = world.make(world.Track())
    interaction = FixedIntervalInteraction.with_sleep_adjustor(Crew(Driver(), Watchman()), environment, 0.01)
    config = LaunchConfig(
        states_dir=folder / "states",
        save_state_condition=PeriodicSaveCondition(60.0),
        states_keeper=LatestStatesKeeper(folder / "states", 3),
        metrics_sinks=sinks(folder),
        seed=1,
    )
    with System(interaction, *parts(), config) as system:
        while system.status().sessions["imitation"] < 3:
            system.wait(timeout=0.02)
        system.pause()
        saved: Path = system.save_state()
        status: Status = system.status()
        assert status.state is SystemStatus.PAUSED
        system.resume()
    sys.stdout.write(f"{status.steps} steps, the longest {status.step_times.longest} s; saved {saved.name}\n")

    launch(
        FixedIntervalInteraction.with_sleep_adjustor(
            Crew(Driver(), Watchman()), world.by_parts(world.Track()), 0.01
        ),
        {"policy": models.make(), "table": models.TrainedTable(1)},
        {"experience": buffers.experience(), "seen": buffers.seen()},
        {"imitation": Imitation(), "averaging": Averaging("seen", min_new_data_count=1)},
        {"states_dir": folder / "more", "max_uptime": 0.1},
    )
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
