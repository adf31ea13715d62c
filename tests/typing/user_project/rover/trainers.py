"""Who teaches."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.optim import Adam, Optimizer
from torch.optim.lr_scheduler import LRScheduler, StepLR
from typing_extensions import override

from pamiq_sched import (
    CosineCurve,
    DataUser,
    ExponentialCurve,
    Schedule,
    SequenceCurve,
    SynchronousSchedule,
    TorchTrainer,
    TorchTrainingModel,
    Trainer,
    WarmupCurve,
    build_scheduler,
)
from pamiq_sched.torch import OptimizersSetup
from rover.models import Policy, TrainedTable
from rover.schedulers import EveryDoubling


class Imitation(TorchTrainer):
    """Teaches the policy to drive as hard as it is steep."""

    policy: TorchTrainingModel[Policy]
    experience: DataUser[dict[str, Tensor]]

    def __init__(self) -> None:
        super().__init__("experience", min_buffer_size=8, min_new_data_count=1, max_replay_ratio=64)
        self.losses: list[float] = []
        self.doubling = EveryDoubling(lambda: self.log("doubled", self.step_count))
        self.every_steps(5, self.doubling.update)
        self.every_seconds(1.0, lambda: self.log("sessions", self.session_count))

    @override
    def on_training_models_attached(self) -> None:
        super().on_training_models_attached()
        self.policy = self.get_torch_training_model("policy", Policy)

    @override
    def on_data_users_attached(self) -> None:
        super().on_data_users_attached()
        self.experience = self.get_data_user("experience")

    @override
    def create_optimizers(self) -> dict[str, Optimizer]:
        return {"adam": Adam(self.policy.model.parameters(), lr=0.05, weight_decay=0.01)}

    @override
    def create_schedules(self) -> dict[str, LRScheduler]:
        adam = self.optimizers["adam"]
        lr = Schedule(adam, SequenceCurve([WarmupCurve(10), CosineCurve(1.0, 0.1, 100)], [10]), "lr")
        decay = Schedule(adam, ExponentialCurve(0.99), "weight_decay")
        beta = build_scheduler(
            adam, {"name": "LinearCurve", "start": 1.0, "stop": 0.9, "steps": 100, "schedule_target": "betas[0]"}
        )
        return {"both": SynchronousSchedule([lr, decay]), "beta": beta}

    @override
    def train(self) -> None:
        batch = self.experience.sample(16)
        force: Tensor = self.policy(batch["slope"])
        loss = (force - batch["slope"]).square().mean()
        adam = self.optimizers["adam"]
        adam.zero_grad()
        torch.autograd.backward(loss)
        adam.step()
        self.losses.append(loss.item())
        self.log("loss", loss.item())


class WithTorchsSchedulers(TorchTrainer):
    """Steps schedulers of torch by itself, as one is used to."""

    @override
    def create_optimizers(self) -> OptimizersSetup:
        policy = self.get_torch_training_model("policy", Policy)
        adam = Adam(policy.model.parameters())
        return {"adam": adam}, {"lr": StepLR(adam, 10)}

    @override
    def train(self) -> None:
        self.optimizers["adam"].step()
        self.lr_schedulers["lr"].step()


class Averaging(Trainer):
    """Needs no torch: a table of the mean slope."""

    table: TrainedTable

    @override
    def on_training_models_attached(self) -> None:
        model = self.get_training_model("table")
        assert isinstance(model, TrainedTable)
        self.table = model

    @override
    def on_data_users_attached(self) -> None:
        self.seen: DataUser[dict[str, list[float]]] = self.get_data_user("seen")

    @override
    def train(self) -> None:
        slopes = self.seen.get_data()["slope"]
        if slopes:
            self.table.values[0] = sum(slopes) / len(slopes)
        self.step_completed()

    @override
    def is_trainable(self) -> bool:
        return super().is_trainable() and self.seen.count_data_added_since(0.0) > 0
