"""Run a system to its end in one call. Belongs to the thread that makes the call, usually the main one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pamiq_sched.data import DataBuffer
from pamiq_sched.interaction import Interaction
from pamiq_sched.model import TrainingModel
from pamiq_sched.runtime.config import LaunchConfig
from pamiq_sched.runtime.system import System
from pamiq_sched.trainer import Trainer


def launch(
    interaction: Interaction[Any, Any],
    models: Mapping[str, TrainingModel[Any]],
    buffers: Mapping[str, DataBuffer[Any, Any]],
    trainers: Mapping[str, Trainer],
    config: Mapping[str, Any] | LaunchConfig | None = None,
) -> None:
    """Run a system until it shuts down, and save it at the end.

    SIGINT and SIGTERM shut it down cleanly; a second one ends the process at once. To pause it from a thread
    of your own, make a :class:`System`, hand it to that thread, and call its ``run()``, as this does.

    Args:
        interaction: The agent in its environment.
        models: By name.
        buffers: By name.
        trainers: By name, in the order of their turns.
        config: A :class:`LaunchConfig`, or its fields by name.

    Raises:
        BaseException: What ended the system, as itself; a ``BaseExceptionGroup`` if several errors did.
    """
    System(interaction, models, buffers, trainers, config).run()
