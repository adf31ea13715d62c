"""Models in two roles: one that is trained, one that infers.

A training model belongs to the training thread, its inference model to the inference thread; ``sync()``, on
the training thread, carries over what was learned.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import UserDict
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from typing_extensions import override

from pamiq_sched import _checks
from pamiq_sched.lifecycle import PersistentStateMixin, load_parts, noting, save_parts


@dataclass(frozen=True)
class Staleness:
    """How far what agents act upon is behind what was learned."""

    version: int
    """How many syncs the agents' side is the result of."""
    versions_behind: int
    """How many of them came after the version that the latest inference used."""
    seconds_behind: float
    """Agent seconds since its values were taken from the model in training."""


class InferenceModel(ABC):
    """What an agent asks; calling it infers."""

    @abstractmethod
    def infer(self, *args: Any, **kwds: Any) -> Any:
        """Return the model's answer."""

    def staleness(self) -> Staleness | None:
        """How far it is behind the model in training; None if it does not measure that. Any thread."""
        return None

    def __call__(self, *args: Any, **kwds: Any) -> Any:
        """Return :meth:`infer`'s answer."""
        return self.infer(*args, **kwds)


T = TypeVar("T", bound=InferenceModel)


class TrainingModel(ABC, PersistentStateMixin, Generic[T]):
    """What a trainer trains; calling it runs :meth:`forward`.

    Args:
        has_inference_model: Whether agents can ask it.
        inference_thread_only: Whether it is not trained at all: agents use the very model, nothing is synced.

    Raises:
        TypeError: If one is neither True nor False.
        ValueError: If neither side could use it.
    """

    def __init__(self, has_inference_model: bool = True, inference_thread_only: bool = False) -> None:
        _checks.flag("has_inference_model", has_inference_model)
        _checks.flag("inference_thread_only", inference_thread_only)
        if inference_thread_only and not has_inference_model:
            raise ValueError(
                "a model with inference_thread_only=True needs has_inference_model=True, or no thread could use it"
            )
        self.has_inference_model = has_inference_model
        self.inference_thread_only = inference_thread_only
        self._inference_model: T | None = None

    @property
    def inference_model(self) -> T:
        """The agents' side, made at first use.

        Raises:
            RuntimeError: If it was made without one.
        """
        if not self.has_inference_model:
            raise RuntimeError("this model has no inference side; make it with has_inference_model=True")
        if self._inference_model is None:
            self._inference_model = self._create_inference_model()
        return self._inference_model

    @abstractmethod
    def _create_inference_model(self) -> T:
        """Make the agents' side; called once."""

    @abstractmethod
    def forward(self, *args: Any, **kwds: Any) -> Any:
        """Run the model for training."""

    def __call__(self, *args: Any, **kwds: Any) -> Any:
        """Run :meth:`forward`."""
        return self.forward(*args, **kwds)

    def sync(self) -> None:
        """Carry over what was learned to the agents' side, if there is one of its own."""
        if self.is_synced:
            self.sync_impl(self.inference_model)

    @property
    def is_synced(self) -> bool:
        """Whether the agents' side is one of its own, which :meth:`sync` brings up to date."""
        return self.has_inference_model and not self.inference_thread_only

    @abstractmethod
    def sync_impl(self, inference_model: T) -> None:
        """Carry over what was learned to ``inference_model``."""

    def refresh(self) -> None:
        """Give the agents' side what was loaded; a sync, unless a model makes a difference."""
        self.sync()

    def warm_up(self) -> None:
        """Pay first-call costs; the runtime calls this before it starts the threads."""


class InferenceModelsDict(UserDict[str, InferenceModel]):
    """Inference models by name."""

    def __missing__(self, key: str) -> InferenceModel:
        """Tell which models there are.

        Raises:
            KeyError: Always.
        """
        raise KeyError(f"there is no inference model {key!r}; there are {sorted(self)}")


class TrainingModelsDict(UserDict[str, TrainingModel[Any]], PersistentStateMixin):
    """Training models by name; their agents' sides are in :attr:`inference_models_dict`."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._inference_models_dict = InferenceModelsDict()
        super().__init__(*args, **kwargs)

    @property
    def inference_models_dict(self) -> InferenceModelsDict:
        """The agents' side of every model here that has one."""
        return self._inference_models_dict

    @override
    def __getitem__(self, key: str) -> TrainingModel[Any]:
        if key not in self.data:
            raise KeyError(f"there is no training model {key!r}; there are {sorted(self.data)}")
        model = self.data[key]
        if model.inference_thread_only:
            raise KeyError(f"the model {key!r} is for the inference thread only and cannot be trained")
        return model

    @override
    def __setitem__(self, key: str, model: TrainingModel[Any]) -> None:
        super().__setitem__(_checks.component_name("model", key), model)
        if model.has_inference_model:
            with noting(f"raised while the agents' side of the model {key!r} was made"):
                self._inference_models_dict[key] = model.inference_model

    @override
    def persistent_parts(self) -> dict[str, TrainingModel[Any]]:
        return self.data

    @override
    def save_state(self, path: Path) -> None:
        save_parts(self.data, path)

    @override
    def load_state(self, path: Path) -> None:
        """Load every model, agents' sides too: they act on what was loaded from their first step."""
        load_parts(self.data, path)
        for model in self.data.values():
            model.refresh()

    def warm_up(self) -> None:
        """Let every model pay its first-call costs; what one raises says which."""
        for name, model in self.data.items():
            with noting(f"raised while the model {name!r} was warmed up"):
                model.warm_up()

    def staleness(self) -> dict[str, Staleness]:
        """How far the agents' side is behind, of each model that is synced and measures it; any thread."""
        measured = {k: m.inference_model.staleness() for k, m in self.data.items() if m.is_synced}
        return {name: staleness for name, staleness in measured.items() if staleness is not None}
