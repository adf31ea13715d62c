"""Trainers with PyTorch optimizers, which are created once and live as long as the run.

After every optimizer step, by a hook on the optimizers that were created here: schedules step, embedded
interval schedulers are updated, and a pause may stop the training thread. So an unmodified train() pauses
within one step. Belongs to the training thread.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeAlias, cast

import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau
from typing_extensions import TypeVar, override

from pamiq_sched import _checks
from pamiq_sched.clock import Clock
from pamiq_sched.metrics.controls import Controls, Hyperparameter
from pamiq_sched.optim.controls import controls, move_horizon, set_hyperparameter
from pamiq_sched.optim.plateau import MetricOrNone
from pamiq_sched.optim.stand_in import underlying
from pamiq_sched.state import codec
from pamiq_sched.torch.model import TorchTrainingModel
from pamiq_sched.trainer import Trainer

ModuleT = TypeVar("ModuleT", bound=nn.Module, default=nn.Module)

StateDict: TypeAlias = dict[str, Any]
OptimizersDict: TypeAlias = dict[str, Optimizer]
LRSchedulersDict: TypeAlias = dict[str, LRScheduler]
OptimizersSetup: TypeAlias = OptimizersDict | tuple[OptimizersDict, LRSchedulersDict]
"""What :meth:`TorchTrainer.create_optimizers` may return."""


class Schedule(Protocol):
    """What ``create_schedules`` returns: schedules of :mod:`pamiq_sched.optim`, and what steps and keeps state.

    One with an ``optimizer`` is stepped after each step of that optimizer, one without after each step of any.
    """

    def step(self) -> object:
        """Move on by one optimizer step."""

    def state_dict(self) -> dict[str, Any]:
        """What a resumed schedule needs."""

    def load_state_dict(self, state_dict: dict[str, Any]) -> object:
        """Take over a state."""


class _NotMade(dict[str, Any]):
    """Stands for what the first session makes."""

    def __missing__(self, key: str) -> Any:
        raise KeyError(
            f"there is no {key!r} yet: TorchTrainer.setup() makes optimizers and schedules at the first session; "
            "an override of it calls super().setup()"
        )


class TorchTrainer(Trainer):
    """Trains PyTorch models; override :meth:`create_optimizers` and :meth:`train`.

    A pause, and so a save, may come inside ``optimizer.step()``, when the step is done. What belongs to a step
    and is kept by hand, a counter or a target network, is best brought up to date before it, so that no save
    finds one without the other.

    Args:
        training_condition_data_user: As for :class:`Trainer`.
        min_buffer_size: As there.
        min_new_data_count: As there.
        clock: As there.
        max_replay_ratio: As there.
        max_replay_burst: As there.

    Example:
        >>> from pamiq_sched.testing import connect_components
        >>> class Regression(TorchTrainer):
        ...     def create_optimizers(self):
        ...         model = self.get_torch_training_model("line", nn.Linear)
        ...         return {"sgd": torch.optim.SGD(model.model.parameters(), lr=1.0)}
        ...     def create_schedules(self):
        ...         return {"lr": torch.optim.lr_scheduler.StepLR(self.optimizers["sgd"], 1, gamma=0.5)}
        ...     def train(self):
        ...         self.optimizers["sgd"].zero_grad()
        ...         self.get_training_model("line")(torch.ones(1, 1)).sum().backward()
        ...         self.optimizers["sgd"].step()
        >>> trainer = Regression()
        >>> parts = connect_components(trainers=trainer, models={"line": TorchTrainingModel(nn.Linear(1, 1))})
        >>> trainer.run(), trainer.optimizers["sgd"].param_groups[0]["lr"]
        (True, 0.5)
    """

    def __init__(
        self,
        training_condition_data_user: str | None = None,
        min_buffer_size: int = 0,
        min_new_data_count: int = 0,
        *,
        clock: Clock | None = None,
        max_replay_ratio: float | None = None,
        max_replay_burst: int | None = None,
    ) -> None:
        super().__init__(
            training_condition_data_user,
            min_buffer_size,
            min_new_data_count,
            clock=clock,
            max_replay_ratio=max_replay_ratio,
            max_replay_burst=max_replay_burst,
        )
        self.optimizers: OptimizersDict = _NotMade()
        """What :meth:`create_optimizers` returned, from the first ``setup()`` on."""
        self.lr_schedulers: LRSchedulersDict = _NotMade()
        """The learning-rate schedulers that it returned beside them, stepped by ``train()``."""
        self.schedules: dict[str, Schedule] = _NotMade()
        """What :meth:`create_schedules` returned, stepped after every optimizer step."""
        self._owners: dict[str, Optimizer | None] = {}  # after whose steps a schedule steps; None: after any
        self._is_created = False
        # A state that was loaded before there were optimizers to load it into; a save keeps it.
        self._pending_state: dict[str, Any] | None = None

    def get_torch_training_model(
        self,
        name: str,
        module_cls: type[ModuleT] = nn.Module,  # type: ignore[assignment]
    ) -> TorchTrainingModel[ModuleT]:
        """Return a PyTorch model to train; it is synced after every session.

        Args:
            name: Its name in the system.
            module_cls: What its module must be an instance of.

        Raises:
            KeyError: If there is none of that name to train.
            TypeError: If it is not a PyTorch model, or its module of another class.
        """
        model = self.get_training_model(name)
        _checks.instance(f"the model {name!r} must be", model, TorchTrainingModel)
        torch_model = cast("TorchTrainingModel[ModuleT]", model)
        _checks.instance(f"the module of the model {name!r} must be", torch_model.model, module_cls)
        return torch_model

    @abstractmethod
    def create_optimizers(
        self,
    ) -> Mapping[str, Optimizer] | tuple[Mapping[str, Optimizer], Mapping[str, LRScheduler]]:
        """Make the optimizers, by name; called once, at the first ``setup()``.

        Returns:
            The optimizers, or the optimizers and learning-rate schedulers that ``train()`` steps itself.
        """

    def create_schedules(self) -> Mapping[str, Schedule]:
        """Make the schedules of :attr:`optimizers`, by name; called once, right after them.

        They are stepped for you after every step of their optimizer, and saved with the trainer.
        """
        return {}

    @override
    def warm_up(self) -> None:
        # The first optimizer imports half of torch and holds the GIL for it; not while an agent acts.
        super().warm_up()
        parameter = nn.Parameter(torch.zeros(1))
        optimizer = torch.optim.AdamW([parameter])
        parameter.grad = torch.zeros_like(parameter)
        optimizer.step()

    @override
    def setup(self) -> None:
        """Make optimizers and schedules at the first session; an override calls ``super().setup()``."""
        super().setup()
        if not self._is_created:
            self._create()
            self._is_created = True

    def _create(self) -> None:
        created = self.create_optimizers()
        optimizers, lr_schedulers = created if isinstance(created, tuple) else (created, {})
        for name in (*optimizers, *lr_schedulers):
            _checks.component_name("optimizer or scheduler", name)
        self.optimizers = dict(optimizers)
        self.lr_schedulers = dict(lr_schedulers)
        self.schedules = dict(self.create_schedules())
        self._owners = {name: _owner(schedule) for name, schedule in self.schedules.items()}
        for name, owner in self._owners.items():
            if owner is not None and all(owner is not o for o in self.optimizers.values()):
                raise ValueError(
                    f"the schedule {name!r} of {type(self).__name__} belongs to an optimizer that "
                    "create_optimizers() did not return, so it would never step; make it on self.optimizers[...]"
                )
            if _needs_metric(self.schedules[name]):
                raise TypeError(
                    f"the schedule {name!r} of {type(self).__name__} is a plain ReduceLROnPlateau, whose step() "
                    "needs a metric; make it by build_scheduler() or arbitrary_schedule_factory(): it keeps its "
                    "value without one, and is given one by self.schedules[...].step(metric)"
                )
        if self._pending_state is not None:
            self._load_optimizers(self._pending_state)
            self._pending_state = None
        # Each once, though it may go by two names.
        for optimizer in {id(o): o for o in self.optimizers.values()}.values():
            optimizer.register_step_post_hook(self._after_optimizer_step)

    def _after_optimizer_step(self, optimizer: Optimizer, _args: object, _kwargs: object) -> None:
        for name, schedule in self.schedules.items():
            if self._owners[name] in (None, optimizer):
                schedule.step()
        self.step_completed()

    @override
    def controls(self) -> Controls:
        return controls(self.optimizers, self._all_schedules())

    @override
    def set_hyperparameter(
        self, name: str, value: float, *, optimizer: str | None = None, group: int | None = None
    ) -> Sequence[Hyperparameter]:
        return set_hyperparameter(
            self.optimizers, self._all_schedules(), name, value, optimizer=optimizer, group=group
        )

    @override
    def move_horizon(self, schedule: str, horizon: float) -> float:
        return move_horizon(self._all_schedules(), schedule, horizon)

    def _all_schedules(self) -> dict[str, Any]:
        return {**self.lr_schedulers, **self.schedules}

    @override
    def save_state(self, path: Path) -> None:
        """Save the trainer with its optimizers and schedules; an override calls this first."""
        super().save_state(path)
        state = self._pending_state
        if state is None:
            state = {kind: {k: v.state_dict() for k, v in parts.items()} for kind, parts in self._parts().items()}
        codec.save(state, path / "optimizers")

    @override
    def load_state(self, path: Path) -> None:
        """Load the trainer; optimizers that do not exist yet are loaded when they are made."""
        super().load_state(path)
        state = codec.load(path / "optimizers")
        _checks.state_keys(type(self).__name__, state, set(self._parts()))
        if self._is_created:
            self._load_optimizers(state)
        else:
            self._pending_state = state if any(state.values()) else None

    def _parts(self) -> dict[str, dict[str, Any]]:
        return {
            "optimizers": self.optimizers,
            "lr_schedulers": self.lr_schedulers,
            "schedules": self.schedules,
        }

    def _load_optimizers(self, state: dict[str, Any]) -> None:
        for kind, parts in self._parts().items():
            _checks.state_keys(f"the {kind} of {type(self).__name__}", state[kind], set(parts))
        for kind, parts in self._parts().items():
            for name, part in parts.items():
                part.load_state_dict(state[kind][name])


def _owner(schedule: Schedule) -> Optimizer | None:
    """Return the optimizer whose steps a schedule follows, which may be behind a stand-in."""
    optimizer = getattr(schedule, "optimizer", None)
    return None if optimizer is None else underlying(optimizer)


def _needs_metric(schedule: object) -> bool:
    return isinstance(schedule, ReduceLROnPlateau) and not isinstance(schedule, MetricOrNone)
