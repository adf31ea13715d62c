"""Soft actor-critic (arXiv:1812.05905) swings up Gymnasium's pendulum, with two trainers on one buffer."""

import argparse
import sys
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import Normal, TanhTransform, TransformedDistribution
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from pamiq_sched import FixedIntervalInteraction, JsonLinesSink, TensorRingBuffer, launch, read_json_lines
from pamiq_sched.gym import GymAgent, GymEnvironment
from pamiq_sched.optim import InverseSqrtCurve, Schedule, WarmupCurve
from pamiq_sched.report import write_report
from pamiq_sched.torch import TorchTrainer, TorchTrainingModel

BATCH, GAMMA, TAU, TARGET_ENTROPY = 128, 0.98, 0.01, -1.0


def perceptron(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inputs, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, outputs))


def policy(actor: nn.Module, obs: Tensor) -> TransformedDistribution:
    """Return which torques to draw, between -1 and 1: a Gaussian, squashed by tanh."""
    mean, log_std = actor(obs).chunk(2, -1)
    gaussian = Normal(mean, log_std.clamp(-5, 2).exp(), validate_args=False)
    return TransformedDistribution(gaussian, TanhTransform(cache_size=1), validate_args=False)


class Critics(nn.ModuleList):
    """Two opinions of what torques are worth. The lower one counts, or errors upwards would feed on themselves."""

    def forward(self, obs: Tensor, torque: Tensor) -> Tensor:
        return torch.cat([critic(torch.cat([obs, torque], -1)) for critic in self], -1)


class SACAgent(GymAgent[Any, Any]):
    """Draws torques from the policy, and collects what comes of them."""

    def setup(self) -> None:
        super().setup()
        self._policy = self.get_inference_model("actor")
        self._collector = self.get_data_collector("transitions")

    def on_reset(self, obs: Any, info: dict[str, Any]) -> Any:  # noqa: ARG002 - the parameters are given
        self._obs, self._torque = obs, self._policy(torch.from_numpy(obs)).sample().numpy()
        return 2 * self._torque  # in N m

    def on_step(self, obs: Any, reward: float, terminated: bool, truncated: bool, info: dict[str, Any]) -> Any:  # noqa: ARG002
        # Truncated is not terminated: a time limit hides the future, it does not make it worth nothing.
        discount = 0.0 if terminated else GAMMA
        item = {"obs": self._obs, "torque": self._torque, "reward": reward / 10, "next": obs, "discount": discount}
        self._collector.collect(item)
        return self.on_reset(obs, info)


class CriticTrainer(TorchTrainer):
    """Learns what torques are worth."""

    def create_optimizers(self) -> dict[str, torch.optim.Optimizer]:
        self._actor = self.get_torch_training_model("actor", nn.Sequential).model
        self._critics = self.get_torch_training_model("critics", Critics).model
        self._targets = self.get_torch_training_model("targets", AveragedModel).model
        return {"adam": torch.optim.Adam(self._critics.parameters(), lr=1e-3, fused=True)}

    def create_schedules(self) -> dict[str, Schedule]:
        return {"lr": Schedule(self.optimizers["adam"], InverseSqrtCurve(10_000))}

    def train(self) -> None:
        batch = self.get_data_user("transitions").sample(BATCH)
        with torch.no_grad():
            drawn, alpha = policy(self._actor, batch["next"]), self._actor.get_parameter("log_alpha").exp()
            torque = drawn.sample()
            worth = self._targets(batch["next"], torque).amin(-1) - alpha * drawn.log_prob(torque).squeeze(-1)
            goal = batch["reward"] + batch["discount"] * worth
        loss = (self._critics(batch["obs"], batch["torque"]) - goal[:, None]).square().mean()
        self.log("loss", loss)
        self.optimizers["adam"].zero_grad()
        loss.backward()
        self._targets.update_parameters(self._critics)  # before the step: at the end of that, a pause may save
        self.optimizers["adam"].step()


class ActorTrainer(TorchTrainer):
    """Learns what to do, and alpha: what a nat of chance in it is worth."""

    def create_optimizers(self) -> dict[str, torch.optim.Optimizer]:
        self._actor = self.get_torch_training_model("actor", nn.Sequential).model
        self._critics = self.get_torch_training_model("critics", Critics).model
        return {"adam": torch.optim.Adam(self._actor.parameters(), lr=1e-3, fused=True)}

    def create_schedules(self) -> dict[str, Schedule]:
        return {"lr": Schedule(self.optimizers["adam"], WarmupCurve(500))}  # the critics have to learn first

    def train(self) -> None:
        obs = self.get_data_user("transitions").sample(BATCH)["obs"]
        drawn, alpha = policy(self._actor, obs), self._actor.get_parameter("log_alpha").exp()
        torque = drawn.rsample()
        entropy = -drawn.log_prob(torque).mean()
        loss = -self._critics(obs, torque).amin(-1).mean() - alpha.detach() * entropy
        self.log("loss", loss)
        self.log("alpha", alpha)
        self.optimizers["adam"].zero_grad()
        (loss + alpha * (entropy.detach() - TARGET_ENTROPY)).backward(inputs=list(self._actor.parameters()))
        self.optimizers["adam"].step()


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("runs/pendulum_sac"))
    parser.add_argument("--short", action="store_true", help="2 s, in which nothing is learned")
    chosen = parser.parse_args(arguments)
    out: Path = chosen.out
    rate, seconds, warm_up = (500, 1.6, 200) if chosen.short else (50, 200, 1000)
    torch.manual_seed(chosen.seed)
    actor, critics = perceptron(3, 2), Critics([perceptron(4, 1), perceptron(4, 1)])
    actor.register_parameter("log_alpha", nn.Parameter(torch.tensor(-2.0)))
    targets = AveragedModel(critics, multi_avg_fn=get_ema_multi_avg_fn(1 - TAU))
    environment = GymEnvironment[Any, Any]("Pendulum-v1", seed=chosen.seed)
    sink = JsonLinesSink(out / "metrics.jsonl")
    launch(
        FixedIntervalInteraction.with_sleep_adjustor(SACAgent(), environment, 1 / rate, missed="catch_up"),
        models={
            "actor": TorchTrainingModel(actor, inference_procedure=policy),
            "critics": TorchTrainingModel(critics, has_inference_model=False),
            "targets": TorchTrainingModel(targets, has_inference_model=False),
        },
        buffers={"transitions": TensorRingBuffer(100_000)},
        trainers={
            "critics": CriticTrainer("transitions", warm_up, max_replay_ratio=BATCH / 2, max_replay_burst=10_000),
            "actor": ActorTrainer("transitions", warm_up, max_replay_ratio=BATCH / 4, max_replay_burst=10_000),
        },
        config={"states_dir": out / "states", "max_uptime": seconds, "metrics_sinks": [sink]},
    )
    points = read_json_lines(out / "metrics.jsonl")[-1].points
    returns = [point.value for point in points if point.name == "agent/episode_return"]
    mean = float(torch.tensor(returns[-20:]).mean())
    print(f"The last 20 of {len(returns)} episodes had a mean return of {mean:.0f}; see {write_report(out)[1]}.")
    if not mean >= -250:  # nan, too: of no episode at all
        print("Not learned: it must be at least -250, where an untrained agent has about -1,200.", file=sys.stderr)
    return int(not mean >= -250)


if __name__ == "__main__":
    sys.exit(main())
