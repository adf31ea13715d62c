"""For tests of your own trainers and agents: joined components without threads, and fakes.

Together with :class:`pamiq_sched.clock.ManualClock`, everything here runs on the test's own thread.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from typing_extensions import override

from pamiq_sched.data import DataBuffer, DataCollectorsDict, DataUsersDict
from pamiq_sched.interaction import Agent, Environment
from pamiq_sched.lifecycle import ShutdownRequested
from pamiq_sched.model import InferenceModel, InferenceModelsDict, TrainingModel, TrainingModelsDict
from pamiq_sched.state import codec
from pamiq_sched.trainer import Trainer, TrainersDict


class ConnectedComponents(NamedTuple):
    """What :func:`connect_components` joined."""

    data_users: DataUsersDict
    data_collectors: DataCollectorsDict
    training_models: TrainingModelsDict
    inference_models: InferenceModelsDict


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
        >>> parts = connect_components(buffers={"frames": FakeBuffer()})
        >>> parts.data_collectors["frames"].collect("frame")
        >>> parts.data_users["frames"].get_data()
        ['frame']
    """
    users = DataUsersDict.from_data_buffers(buffers)
    training_models = TrainingModelsDict(models or {})
    parts = ConnectedComponents(
        users, users.data_collectors_dict, training_models, training_models.inference_models_dict
    )
    if agent is not None:
        agent.attach_inference_models(parts.inference_models)
        agent.attach_data_collectors(parts.data_collectors)
    if trainers is not None:
        trainers_dict = TrainersDict({"trainer": trainers} if isinstance(trainers, Trainer) else trainers)
        trainers_dict.attach_training_models(parts.training_models)
        trainers_dict.attach_data_users(parts.data_users)
    return parts


class FakeBuffer(DataBuffer[Any, list[Any]]):
    """A buffer that keeps everything, in order.

    Args:
        max_queue_size: As for :class:`DataBuffer`.
    """

    def __init__(self, max_queue_size: int = 1000) -> None:
        super().__init__(max_queue_size)
        self.items: list[Any] = []

    @override
    def add(self, data: Any) -> None:
        self.items.append(data)

    @override
    def get_data(self) -> list[Any]:
        return list(self.items)

    @override
    def __len__(self) -> int:
        return len(self.items)

    @override
    def save_state(self, path: Path) -> None:
        codec.save(self.items, path)

    @override
    def load_state(self, path: Path) -> None:
        self.items = codec.load(path)


class FakeInferenceModel(InferenceModel):
    """Answers as it is told and keeps what it was asked.

    Args:
        answer: Called with the question's arguments; returns the answer.
    """

    def __init__(self, answer: Callable[..., Any] = lambda *_, **__: None) -> None:
        self.answer = answer
        self.questions: list[tuple[tuple[Any, ...], dict[str, Any]]] = []
        self.synced = 0
        """How often its training model was synced."""

    @override
    def infer(self, *args: Any, **kwds: Any) -> Any:
        self.questions.append((args, kwds))
        return self.answer(*args, **kwds)


class FakeTrainingModel(TrainingModel[FakeInferenceModel]):
    """A model without a network: both sides answer as they are told.

    Args:
        answer: Called with the arguments; returns the answer.
        has_inference_model: As for :class:`TrainingModel`.
        inference_thread_only: As there.

    Example:
        >>> model = FakeTrainingModel(lambda x: 2 * x)
        >>> model(3), model.inference_model(4)
        (6, 8)
    """

    def __init__(
        self,
        answer: Callable[..., Any] = lambda *_, **__: None,
        has_inference_model: bool = True,
        inference_thread_only: bool = False,
    ) -> None:
        super().__init__(has_inference_model, inference_thread_only)
        self.answer = answer

    @override
    def _create_inference_model(self) -> FakeInferenceModel:
        return FakeInferenceModel(self.answer)

    @override
    def forward(self, *args: Any, **kwds: Any) -> Any:
        return self.answer(*args, **kwds)

    @override
    def sync_impl(self, inference_model: FakeInferenceModel) -> None:
        inference_model.synced += 1


class FakePausePoint:
    """A pause point that counts its calls, and shuts down at a given one.

    Args:
        shut_down_at: The call, counted from 1, that raises ShutdownRequested; 0 for none.

    Example:
        >>> point = FakePausePoint(shut_down_at=2)
        >>> point()
        >>> point.calls
        1
    """

    def __init__(self, shut_down_at: int = 0) -> None:
        self.calls = 0
        self.shut_down_at = shut_down_at

    def __call__(self) -> None:
        """Count; raise if this is the call to shut down at."""
        self.calls += 1
        if self.calls == self.shut_down_at:
            raise ShutdownRequested

    def is_requested(self) -> bool:
        """Return False: nothing waits for it to stop."""
        return False


class FakeEnvironment(Environment[Any, Any]):
    """Shows what it is given and keeps the actions.

    Args:
        observations: Shown one after another, the last one for ever; None if there is none.
    """

    def __init__(self, observations: Iterable[Any] = ()) -> None:
        super().__init__()
        self._observations: Iterator[Any] = iter(observations)
        self._shown: Any = None
        self.actions: list[Any] = []

    @override
    def observe(self) -> Any:
        self._shown = next(self._observations, self._shown)
        return self._shown

    @override
    def affect(self, action: Any) -> None:
        self.actions.append(action)


class FakeAgent(Agent[Any, Any]):
    """Decides by a function and keeps the observations.

    Args:
        decide: Called with the observation; returns the action.
    """

    def __init__(self, decide: Callable[[Any], Any] = lambda _: None) -> None:
        super().__init__()
        self.decide = decide
        self.observations: list[Any] = []

    @override
    def step(self, observation: Any) -> Any:
        self.observations.append(observation)
        return self.decide(observation)
