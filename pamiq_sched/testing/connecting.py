"""Components joined as a system joins them, for tests of one or two. Belongs to the caller's thread."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from pamiq_sched.data import DataBuffer, DataCollectorsDict, DataUsersDict
from pamiq_sched.interaction import Agent
from pamiq_sched.model import InferenceModelsDict, TrainingModel, TrainingModelsDict
from pamiq_sched.runtime.components import join
from pamiq_sched.trainer import Trainer, TrainersDict


class ConnectedComponents(NamedTuple):
    """What :func:`connect_components` joined."""

    data_users: DataUsersDict
    data_collectors: DataCollectorsDict
    training_models: TrainingModelsDict
    inference_models: InferenceModelsDict

    @classmethod
    def of(cls, models: TrainingModelsDict, users: DataUsersDict) -> ConnectedComponents:
        """Return both sides of models and data."""
        return cls(users, users.data_collectors_dict, models, models.inference_models_dict)


def connect_components(
    agent: Agent[Any, Any] | None = None,
    trainers: Trainer | Mapping[str, Trainer] | None = None,
    buffers: Mapping[str, DataBuffer[Any, Any]] | None = None,
    models: Mapping[str, TrainingModel[Any]] | None = None,
) -> ConnectedComponents:
    """Join components as a system would, without starting one.

    Args:
        agent: Gets the models and collectors.
        trainers: One or several; they get the models and data users.
        buffers: By name.
        models: By name.

    Raises:
        KeyError: If a component asks for a part that is not there.
        ValueError: If a training condition can never hold.

    Example:
        >>> from pamiq_sched.testing import FakeBuffer
        >>> parts = connect_components(buffers={"frames": FakeBuffer()})
        >>> parts.data_collectors["frames"].collect("frame")
        >>> parts.data_users["frames"].get_data()
        ['frame']
    """
    users = DataUsersDict.from_data_buffers(buffers)
    training_models = TrainingModelsDict(models or {})
    several = {"trainer": trainers} if isinstance(trainers, Trainer) else trainers or {}
    join(agent, TrainersDict(several), training_models, users)
    return ConnectedComponents.of(training_models, users)
