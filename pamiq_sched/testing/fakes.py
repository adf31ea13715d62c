"""Components that do as they are told and keep what they were given. Each belongs to the thread that uses it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from typing_extensions import override

from pamiq_sched.data import DataBuffer
from pamiq_sched.interaction import Agent, Environment
from pamiq_sched.lifecycle import ShutdownRequested
from pamiq_sched.model import InferenceModel, TrainingModel
from pamiq_sched.state import codec


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
