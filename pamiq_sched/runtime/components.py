"""The components of a system: checked, joined, saved as one.

What :class:`~pamiq_sched.System` and :func:`pamiq_sched.testing.run_steps` have in common, so that what is tested
by the one runs in the other. Belongs to the thread that makes it; once threads are started, nothing here changes.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from pamiq_sched.clock import Clock
from pamiq_sched.data import DataBuffer, DataUsersDict
from pamiq_sched.interaction import Agent, Interaction
from pamiq_sched.lifecycle import without_state
from pamiq_sched.metrics.journal import Journal
from pamiq_sched.model import TrainingModel, TrainingModelsDict
from pamiq_sched.state import Manifest, StateDictMixin, StateStore
from pamiq_sched.state.generators import RandomGenerators, environment_seed, seed_generators
from pamiq_sched.trainer import Trainer, TrainersDict

_logger = logging.getLogger(__name__)


class HasStateDict(Protocol):
    """What has a state, but does not know of the codec."""

    def state_dict(self) -> dict[str, Any]:
        """The state."""

    def load_state_dict(self, state: dict[str, Any], /) -> None:
        """Take over a state."""


class Components:
    """All components of a system.

    Args:
        interaction: The agent in its environment.
        models: By name.
        buffers: By name.
        trainers: By name, in the order of their turns.
        clock: Agent time.

    Raises:
        KeyError: If a component asks for a part that is not there.
        TypeError: If a part is of a wrong type.
        ValueError: If a training condition can never hold.
    """

    def __init__(
        self,
        interaction: Interaction[Any, Any],
        models: Mapping[str, TrainingModel[Any]],
        buffers: Mapping[str, DataBuffer[Any, Any]],
        trainers: Mapping[str, Trainer],
        clock: Clock,
    ) -> None:
        if not isinstance(interaction, Interaction):
            raise TypeError(f"interaction must be an Interaction, got {interaction!r}")
        if interaction.clock is not clock:
            _logger.warning(
                "the interaction goes by another clock than its system: time goes on for it in a pause; give both "
                "the same clock=, or neither"
            )
        _check_values("models", models, TrainingModel)
        _check_values("buffers", buffers, DataBuffer)
        _check_values("trainers", trainers, Trainer)
        self.clock = clock
        self.interaction = interaction
        self.users = DataUsersDict.from_data_buffers(buffers, clock=clock)
        self.models = TrainingModelsDict(models)
        self.trainers = TrainersDict(trainers)
        join(interaction.agent, self.trainers, self.models, self.users)
        self.generators = RandomGenerators()

    def seed(self, seed: int) -> None:
        """Seed the process's random generators, and the environment."""
        seed_generators(seed)
        self.interaction.environment.attach_seed(environment_seed(seed))

    def warm_up(self) -> None:
        """Pay first-call costs."""
        self.models.warm_up()
        for trainer in self.trainers.values():
            trainer.warm_up()

    def attach_journals(self, journal_of: Callable[[str], Journal]) -> None:
        """Let agent and trainers log to the journals of their names."""
        self.interaction.attach_journal(journal_of("agent"))
        for name, trainer in self.trainers.items():
            trainer.attach_journal(journal_of(name))

    def break_sequences(self) -> None:
        """Tell the data of a pause: what the agent sees next does not follow what it saw last."""
        for user in self.users.values():
            user.collector.break_sequence()

    def register(self, store: StateStore, system: HasStateDict) -> None:
        """Have everything kept by a store.

        Args:
            store: Saves and loads.
            system: What the system itself counts.
        """
        store.register("time", _StateDict(self.clock))  # first: others measure by it when they are loaded
        store.register("interaction", self.interaction)
        store.register("models", self.models)
        store.register("data", self.users)
        store.register("trainers", self.trainers)
        store.register("system", _StateDict(system))
        store.register("random", self.generators)  # last: what loading draws changes nothing

    def without_state(self) -> list[str]:
        """Name the components that keep no state, as paths with their classes."""
        return without_state(
            {
                "interaction": self.interaction,
                "models": self.models,
                "data": self.users,
                "trainers": self.trainers,
            }
        )

    def not_restored(self, manifest: Manifest) -> tuple[str, ...]:
        """Name what begins anew in a run that goes on from a state.

        Args:
            manifest: Of the state, which was loaded just now.
        """
        return (
            *(f"{part}: it is not in this system" for part in self._of_nobody(manifest)),
            *(f"{part}: it keeps no state" for part in self.without_state()),
            *(f"the rest of a session of {name}" for name in manifest.about.get("cut_sessions", ())),
            *self.generators.not_restored,
        )

    def _of_nobody(self, manifest: Manifest) -> list[str]:
        """Name what a state has of models, data and trainers that are not here."""
        here: dict[str, Mapping[str, object]] = {
            "models": self.models.data,
            "data": self.users.data,
            "trainers": self.trainers.data,
        }
        found = set()
        for kind, saved, *_ in (file.split("/") for file in manifest.files if "/" in file):
            # A component has a directory of its name, or files whose names begin with it.
            if kind in here and not any(saved == name or saved.startswith(f"{name}.") for name in here[kind]):
                found.add(
                    f"{kind}/{saved.removesuffix('.json').removesuffix('.safetensors').removesuffix('.arrays')}"
                )
        return sorted(found)

    def about(self, uptime: float) -> dict[str, Any]:
        """What to note in the manifest of a state; called while nothing runs.

        Args:
            uptime: Agent seconds since the start.
        """
        return {
            **{name: sys.modules[name].__version__ for name in ("numpy", "torch") if name in sys.modules},
            "steps": self.interaction.steps,
            "sessions": {name: trainer.session_count for name, trainer in self.trainers.items()},
            "uptime": uptime,
            "cut_sessions": [name for name, trainer in self.trainers.items() if trainer.is_in_session],
            "without_state": self.without_state(),
        }


class _StateDict(StateDictMixin):
    """As a component that is saved, what has a state but does not know of the codec."""

    def __init__(self, whole: HasStateDict) -> None:
        self.state_dict = whole.state_dict  # type: ignore[method-assign]
        self.load_state_dict = whole.load_state_dict  # type: ignore[assignment, method-assign]


def join(
    agent: Agent[Any, Any] | None, trainers: TrainersDict, models: TrainingModelsDict, users: DataUsersDict
) -> None:
    """Give an agent and trainers the models and data that they ask for.

    Raises:
        KeyError: If one asks for a part that is not there.
        ValueError: If a training condition can never hold.
    """
    if agent is not None:
        agent.attach_inference_models(models.inference_models_dict)
        agent.attach_data_collectors(users.data_collectors_dict)
    trainers.attach_training_models(models)
    trainers.attach_data_users(users)


def take_step(interaction: Interaction[Any, Any]) -> None:
    """Let an interaction take a step, and see to it that it is counted."""
    steps = interaction.steps
    interaction.step()
    if interaction.steps == steps:
        interaction.count_step()  # a step() of the user's own, which does not


def _check_values(name: str, parts: Mapping[str, Any], kind: type) -> None:
    if not isinstance(parts, Mapping):
        raise TypeError(f"{name} must map names to {kind.__name__} objects, got {parts!r}")
    for key, part in parts.items():
        if not isinstance(part, kind):
            raise TypeError(f"{name}[{key!r}] must be a {kind.__name__}, got {part!r}")
