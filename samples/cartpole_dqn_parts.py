"""Who acts and who learns in the CartPole demo: an agent that explores, a trainer by double Q-learning.

They share nothing but a data collector and a model: the agent belongs to the inference thread, the trainer to
the training thread. Others may read their public counters and lists, and only read.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import gymnasium
import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from typing_extensions import override

from pamiq_sched import (
    CosineCurve,
    GymAction,
    GymAgent,
    InverseSqrtCurve,
    Schedule,
    SynchronousSchedule,
    TorchAgent,
    TorchTrainer,
    WarmupCurve,
    extend_optimizer,
    get_param_groups_regrouped_by_key,
)
from pamiq_sched.gym import GymObs
from pamiq_sched.state import load, save

Observation: TypeAlias = npt.NDArray[np.float32]
Reading: TypeAlias = tuple[float, float]
"""A moment, in seconds of the demo, and a value."""


@dataclass(frozen=True)
class Settings:
    """What was found to learn reliably; steps are those of the agent, updates those of the optimizer."""

    steps_per_second: float = 1000.0
    gamma: float = 0.99
    n_step: int = 3
    buffer_size: int = 200_000
    warmup_steps: int = 1_000
    steps_per_update: int = 4
    updates_per_session: int = 4
    batch_size: int = 128
    hidden: int = 128
    lr: float = 3e-3
    lr_halved_after: int = 2_000
    """Updates t: the rate falls as 1 / (1 + t / this), which has no end, like the agent's life."""
    weight_decay: float = 1e-4
    weight_decay_from: int = 4_000
    """Updates until it is in full force: early on there is little to forget."""
    gradient_clip: float = 10.0
    """The largest norm of a gradient at first; it comes down to :attr:`gradient_clip_end`."""
    gradient_clip_end: float = 2.0
    gradient_clip_steps: int = 10_000
    target_rate: float = 0.01
    """How far the target network follows at each update."""
    epsilon_halved_after: int = 1_000
    """Steps: the chance of a random action, 1 at first, falls likewise."""
    updates_per_evaluation: int = 2_000

    def make_network(self) -> nn.Sequential:
        """Return a network from observations, shape (B, 4), to the values of both actions, shape (B, 2)."""
        n = self.hidden
        return nn.Sequential(nn.Linear(4, n), nn.ReLU(), nn.Linear(n, n), nn.ReLU(), nn.Linear(n, 2))


class Episode(NamedTuple):
    """What is kept of an episode."""

    seconds: float
    """When it ended."""
    total: float
    """Its return: the undiscounted sum of rewards."""
    epsilon: float
    """Chance of a random action at its end."""


def mean_return(episodes: list[Episode], last: int) -> float:
    """Return the mean over the last episodes; 0 before there is one."""
    totals = [episode.total for episode in episodes[-last:]]
    return sum(totals) / len(totals) if totals else 0.0


class DQNAgent(GymAgent[Observation, int], TorchAgent[GymObs[Observation], GymAction[int]]):
    """Does what the network values most, or now and then something random.

    Args:
        settings: How to explore, and how to sum up rewards.
        seconds: Reads the time of the demo.
        seed: Of the random actions.
    """

    def __init__(self, settings: Settings, seconds: Callable[[], float], seed: int) -> None:
        super().__init__()
        self._settings = settings
        self._seconds = seconds
        self._rng = np.random.default_rng(seed)
        self._recent: deque[tuple[Observation, int, float]] = deque()  # transitions that wait for n-step rewards
        self._last = np.zeros(4, np.float32), 0  # the latest observation and what was done about it
        self._return = 0.0
        self.steps = 0
        self.episodes: list[Episode] = []

    @override
    def on_inference_models_attached(self) -> None:
        self._network = self.get_torch_inference_model("network", nn.Sequential)

    @override
    def on_data_collectors_attached(self) -> None:
        self._collector = self.get_data_collector("transitions")

    @property
    def epsilon(self) -> float:
        """Chance of a random action."""
        return 1 / (1 + self.steps / self._settings.epsilon_halved_after)

    @override
    def on_reset(self, obs: Observation, info: dict[str, Any]) -> int:
        self._recent.clear()
        self._return = 0.0
        return self._choose(obs)

    @override
    def on_step(
        self, obs: Observation, reward: float, terminated: bool, truncated: bool, info: dict[str, Any]
    ) -> int:
        self.steps += 1
        self._return += reward
        self._recent.append((*self._last, reward))
        if len(self._recent) == self._settings.n_step:
            self._collect_oldest(obs, terminated)
        if terminated or truncated:
            while self._recent:
                self._collect_oldest(obs, terminated)
            self.episodes.append(Episode(self._seconds(), self._return, self.epsilon))
            self.log("return", self._return)
            self.log("epsilon", self.epsilon)
        return self._choose(obs)

    def _collect_oldest(self, obs: Observation, terminated: bool) -> None:
        gamma = self._settings.gamma
        reward = sum(gamma**i * r for i, (_, _, r) in enumerate(self._recent))
        discount = 0.0 if terminated else gamma ** len(self._recent)
        first, action, _ = self._recent.popleft()
        self._collector.collect(
            {"observation": first, "action": action, "reward": reward, "next": obs, "discount": discount}
        )

    def _choose(self, obs: Observation) -> int:
        if self._rng.random() < self.epsilon:
            action = int(self._rng.integers(2))
        else:
            action = int(self._network(torch.from_numpy(obs)).argmax())
        self._last = obs, action
        return action

    @override
    def save_state(self, path: Path) -> None:
        super().save_state(path)
        episodes = np.array(self.episodes, dtype=np.float64)
        save({"steps": self.steps, "episodes": episodes, "rng": self._rng.bit_generator.state}, path)

    @override
    def load_state(self, path: Path) -> None:
        super().load_state(path)
        state = load(path)
        self.steps = state["steps"]
        self.episodes = [Episode(*row) for row in state["episodes"].tolist()]
        self._rng.bit_generator.state = state["rng"]


class DQNTrainer(TorchTrainer):
    """Learns the value of actions by double Q-learning (van Hasselt et al. 2016, arXiv:1509.06461).

    Args:
        settings: How to learn.
        seconds: Reads the time of the demo.
    """

    def __init__(self, settings: Settings, seconds: Callable[[], float]) -> None:
        super().__init__(
            "transitions",
            settings.warmup_steps,
            max_replay_ratio=settings.batch_size / settings.steps_per_update,
            # Not to train at length on the first few transitions.
            max_replay_burst=settings.updates_per_session * settings.steps_per_update,
        )
        self._settings = settings
        self._seconds = seconds
        self.updates = 0
        self.cycles = 0
        self.scheduled: dict[str, list[Reading]] = {name: [] for name in ("lr", "weight_decay", "gradient_clip")}
        self.evaluations: list[Reading] = []
        self.every_seconds(0.5, self._record_scheduled)
        self.every_steps(settings.updates_per_evaluation, self._evaluate)

    @override
    def on_training_models_attached(self) -> None:
        self._network = self.get_torch_training_model("network", nn.Sequential).model
        self._target = self.get_torch_training_model("target", nn.Sequential).model

    @override
    def on_data_users_attached(self) -> None:
        self._user = self.get_data_user("transitions")

    @override
    def create_optimizers(self) -> Mapping[str, torch.optim.Optimizer]:
        settings = self._settings
        adamw = torch.optim.AdamW(
            self._network.parameters(), settings.lr, weight_decay=settings.weight_decay, fused=True
        )
        return {"adamw": extend_optimizer(adamw, "gradient_clip", settings.gradient_clip)}

    @override
    def create_schedules(self) -> Mapping[str, SynchronousSchedule]:
        settings, adamw = self._settings, self.optimizers["adamw"]
        sqrt = InverseSqrtCurve(settings.lr_halved_after)
        clip = CosineCurve(1.0, settings.gradient_clip_end / settings.gradient_clip, settings.gradient_clip_steps)
        self._schedule = SynchronousSchedule(
            [
                Schedule(adamw, sqrt * sqrt),
                Schedule(adamw, WarmupCurve(settings.weight_decay_from), "weight_decay"),
                Schedule(adamw, clip, "gradient_clip"),
            ]
        )
        return {"all": self._schedule}

    @override
    def train(self) -> None:
        for _ in range(self._settings.updates_per_session):
            # Counted before the step, whose end is a pause point: a save there includes it.
            self.updates += 1
            self._update(self._user.sample(self._settings.batch_size))
        self.cycles += 1

    def _update(self, batch: Mapping[str, torch.Tensor]) -> None:
        with torch.no_grad():
            best = self._network(batch["next"]).argmax(1, keepdim=True)
            future = self._target(batch["next"]).gather(1, best).squeeze(1)
            # No return is higher with a reward of 1 a step: so overestimates cannot feed on themselves.
            future.clamp_(max=1 / (1 - self._settings.gamma))
        values = self._network(batch["observation"]).gather(1, batch["action"][:, None]).squeeze(1)
        loss = nn.functional.smooth_l1_loss(values, batch["reward"] + batch["discount"] * future)
        self.log("loss", loss)
        self.optimizers["adamw"].zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]  # as torch ships it
        for norm, parameters, _ in get_param_groups_regrouped_by_key(self.optimizers["adamw"], "gradient_clip"):
            nn.utils.clip_grad_norm_(parameters, norm)
        # Before the step: that one ends in a pause point, and a save there should find the update whole.
        with torch.no_grad():
            for target, source in zip(self._target.parameters(), self._network.parameters(), strict=True):
                target.lerp_(source, self._settings.target_rate)
        self.optimizers["adamw"].step()

    def _record_scheduled(self) -> None:
        for name, (value,) in self._schedule.values.items():
            self.scheduled[name].append((self._seconds(), value))

    @torch.inference_mode()
    def _evaluate(self) -> None:
        """Let the network act without exploring, in four environments side by side: at most 500 batches."""
        environments = gymnasium.make_vec("CartPole-v1", 4, vectorization_mode="vector_entry_point")
        observations, _ = environments.reset(seed=self.updates)
        returns, alive = np.zeros(4), np.ones(4, dtype=bool)
        while alive.any():
            self.pause_point()
            actions = self._network(torch.from_numpy(observations)).argmax(1).numpy()
            observations, rewards, terminated, truncated, _ = environments.step(actions)
            returns += alive * rewards
            alive &= ~(terminated | truncated)
        environments.close()
        self.evaluations.append((self._seconds(), float(returns.mean())))
        self.log("evaluation", returns.mean())

    @override
    def save_state(self, path: Path) -> None:
        super().save_state(path)
        names = ("updates", "cycles", "scheduled", "evaluations")
        save({name: getattr(self, name) for name in names}, path / "progress")

    @override
    def load_state(self, path: Path) -> None:
        super().load_state(path)
        for name, value in load(path / "progress").items():
            setattr(self, name, value)
