"""A running system of either library, with one handle for both."""

from __future__ import annotations

import importlib
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

Parts = Mapping[str, Any]
"""Models, buffers or trainers, by name."""

_NOTHING: Parts = {}


@dataclass(frozen=True)
class Handle:
    """What a benchmark asks of a running system; each call returns when it is done."""

    pause: Callable[[], object]
    resume: Callable[[], object]
    save: Callable[[], object]


@contextmanager
def running(
    library: str,
    interaction: Any,
    *,
    models: Parts = _NOTHING,
    buffers: Parts = _NOTHING,
    trainers: Parts = _NOTHING,
    **config: Any,
) -> Iterator[Handle]:
    """Run a system for the length of the block.

    Args:
        library: Whose.
        interaction: Made of the classes of that library, as all parts.
        models: By name.
        buffers: By name.
        trainers: By name.
        **config: More fields of our ``LaunchConfig``; the peer has none that matter here.
    """
    with tempfile.TemporaryDirectory() as states:
        if library == "pamiq_sched":
            ours: Any = importlib.import_module(library)
            config["states_dir"] = states
            with ours.System(interaction, models, buffers, trainers, config) as system:
                yield Handle(system.pause, system.resume, system.save_state)
        else:
            with _peer(interaction, models, buffers, trainers, states) as handle:
                yield handle


def sequential_buffer(library: str, size: int) -> Any:
    """Make the plain buffer of a library, which keeps the latest items."""
    module = "pamiq_core.data.impls" if library == "pamiq_core" else f"{library}.data"
    return importlib.import_module(module).SequentialBuffer(size)


@contextmanager
def _peer(interaction: Any, models: Parts, buffers: Parts, trainers: Parts, states: str) -> Iterator[Handle]:
    """Connect the peer's threads as its ``launch()`` does, which blocks and gives nobody a handle."""
    threads: Any = importlib.import_module("pamiq_core.thread.threads")
    persistence: Any = importlib.import_module("pamiq_core.state_persistence")
    data: Any = importlib.import_module("pamiq_core.data")
    model: Any = importlib.import_module("pamiq_core.model")
    trainer: Any = importlib.import_module("pamiq_core.trainer")

    training_models = model.TrainingModelsDict(models)
    users = data.DataUsersDict.from_data_buffers(buffers)
    all_trainers = trainer.TrainersDict(trainers)
    interaction.agent.attach_inference_models(training_models.inference_models_dict)
    interaction.agent.attach_data_collectors(users.data_collectors_dict)
    all_trainers.attach_training_models(training_models)
    all_trainers.attach_data_users(users)
    store = persistence.StateStore(states)
    for name, part in (
        ("interaction", interaction),
        ("models", training_models),
        ("data", users),
        ("trainers", all_trainers),
    ):
        store.register(name, part)

    control = threads.ControlThread(store, web_api_address=None)
    workers = [threads.InferenceThread(interaction), threads.TrainingThread(all_trainers)]
    for worker in workers:
        worker.attach_controller(control.controller)
    control.attach_thread_statuses({worker.THREAD_TYPE: worker.thread_status for worker in workers})
    # On a thread of its own, where launch() runs it on the caller's.
    controlling = threading.Thread(target=control.run)
    for worker in workers:
        worker.start()
    controlling.start()
    try:
        yield Handle(control.try_pause, control.resume, control.save_state)
    finally:
        control.shutdown()
        for thread in (*workers, controlling):
            thread.join()
