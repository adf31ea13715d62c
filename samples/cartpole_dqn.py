"""An agent learns CartPole while it acts, is paused twice, saved, and continued from the save: ``make demo``.

The agent acts in the inference thread and collects what it sees; a trainer learns from it in the training thread,
by double Q-learning (arXiv:1509.06461); the main thread controls both, as somebody at a console would.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

import gymnasium
import torch
from torch import nn

import pamiq_sched as ps
from pamiq_sched.report import write_report


class DQNAgent(ps.state.StateDictMixin, ps.GymAgent[Any, int], ps.TorchAgent[Any, Any]):
    """Does what the network values most, or now and then something random."""

    steps, mean_return = 0, 0.0
    returns: tuple[float, ...] = ()  # of the latest 100 episodes

    def setup(self) -> None:
        super().setup()
        self.network = self.get_torch_inference_model("q", nn.Sequential)
        self.collector = self.get_data_collector("seen")

    def on_reset(self, obs: Any, info: dict[str, Any]) -> int:  # noqa: ARG002 - the parameters are given
        self.pending: list[dict[str, Any]] = []  # what was done last, of which more is to be earned
        return self.act(obs)

    def on_step(self, obs: Any, reward: float, terminated: bool, truncated: bool, info: dict[str, Any]) -> int:  # noqa: ARG002
        self.steps += 1
        for item in self.pending:
            item["reward"] += item["discount"] * reward
            item["discount"] *= 0.0 if terminated else 0.99
        while len(self.pending) == 3 or (self.pending and (terminated or truncated)):
            self.collector.collect({**self.pending.pop(0), "next": obs})
        return self.act(obs)

    def on_episode_end(self, episode_return: float, episode_length: int) -> None:
        super().on_episode_end(episode_return, episode_length)
        self.returns = (*self.returns[-99:], episode_return)
        self.mean_return = sum(self.returns) / len(self.returns)
        self.log("mean_return", self.mean_return)

    def act(self, obs: Any) -> int:
        is_random = torch.rand(()) < 1 / (1 + self.steps / 1000)  # less and less often, without an end
        action = int(torch.randint(2, ()) if is_random else self.network(torch.from_numpy(obs)).argmax())
        self.pending.append({"obs": obs, "action": action, "reward": 0.0, "discount": 1.0})
        return action

    def state_dict(self) -> dict[str, Any]:
        return {"steps": self.steps, "returns": self.returns}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.steps, self.returns = state["steps"], state["returns"]


class DQNTrainer(ps.TorchTrainer):
    """Learns what actions are worth: 128 samples for every four that come, however fast the machine is."""

    def __init__(self) -> None:
        super().__init__("seen", min_buffer_size=1000, max_replay_ratio=32, max_replay_burst=16)
        self.every_steps(2000, self.evaluate)

    def create_optimizers(self) -> dict[str, torch.optim.Optimizer]:
        self.network = self.get_torch_training_model("q", nn.Sequential)
        self.target = self.network.inference_model  # a moving average, which the agent acts upon
        self.adamw = torch.optim.AdamW(self.network.model.parameters(), lr=3e-3, weight_decay=1e-4, fused=True)
        return {"adamw": ps.extend_optimizer(self.adamw, "gradient_clip", 10.0)}

    def create_schedules(self) -> dict[str, ps.Schedule]:
        falling, clip = ps.InverseSqrtCurve(2000) * ps.InverseSqrtCurve(2000), ps.CosineCurve(1.0, 0.2, 10_000)
        curves = {"lr": falling, "weight_decay": ps.WarmupCurve(4000), "gradient_clip": clip}
        return {name: ps.Schedule(self.adamw, curve, name) for name, curve in curves.items()}

    def train(self) -> None:
        for _ in range(4):
            batch = self.get_data_user("seen").sample(128)
            with torch.no_grad():
                best = self.network(batch["next"]).argmax(1, keepdim=True)
                future = self.target(batch["next"]).gather(1, best).squeeze(1).clamp(max=100)  # 1 / (1 - 0.99)
                wanted = batch["reward"] + batch["discount"] * future
            values = self.network(batch["obs"]).gather(1, batch["action"][:, None]).squeeze(1)
            loss = nn.functional.smooth_l1_loss(values, wanted)
            self.log("loss", loss)
            self.adamw.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(self.network.model.parameters(), self.adamw.param_groups[0]["gradient_clip"])
            self.adamw.step()  # a paused system stops here

    def evaluate(self) -> None:
        environment, total, done = gymnasium.make("CartPole-v1"), 0.0, False
        obs, _ = environment.reset(seed=self.step_count)
        while not done:
            self.pause_point()
            obs, reward, *ends, _ = environment.step(int(self.target(torch.from_numpy(obs)).argmax()))
            total, done = total + float(reward), any(ends)
        self.log("evaluation", total)


def build(chosen: argparse.Namespace, **config: Any) -> tuple[ps.System, DQNAgent]:
    torch.manual_seed(chosen.seed)
    agent, environment = DQNAgent(), ps.GymEnvironment[Any, int]("CartPole-v1", seed=chosen.seed)
    interaction = ps.FixedIntervalInteraction.with_sleep_adjustor(agent, environment, interval=0.001)
    network = nn.Sequential(nn.Linear(4, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, 2))
    models, buffers = {"q": ps.TorchTrainingModel(network, ema_decay=0.8)}, {"seen": ps.TensorRingBuffer(200_000)}
    sinks = [ps.JsonLinesSink(chosen.out / "metrics.jsonl"), ps.TensorBoardSink(chosen.out / "tensorboard")]
    web = ("127.0.0.1", chosen.port) if chosen.web else None
    config |= {"states_dir": chosen.out / "states", "metrics_sinks": sinks, "web_api_address": web}
    return ps.System(interaction, models, buffers, {"dqn": DQNTrainer()}, config), agent


def main(arguments: list[str] | None = None) -> int:
    """Return 0 if the agent learned, else 1."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=165.0, help="end then at the latest (%(default)s)")
    parser.add_argument("--target", type=float, default=475.0, help="end at this mean return (%(default)s)")
    parser.add_argument("--out", type=Path, default=Path("runs/cartpole"), help="for saves, numbers, picture")
    parser.add_argument("--web", action="store_true", help="serve a dashboard on this machine")
    parser.add_argument("--port", type=int, default=8391, help="of the dashboard (%(default)s)")
    chosen = parser.parse_args(arguments)
    (chosen.out / "metrics.jsonl").unlink(missing_ok=True)  # or the picture would show earlier runs too
    system, agent = build(chosen)
    with system:
        for share, command in 2 * ((0.06, system.pause), (0.015, system.resume)):
            system.wait(share * chosen.seconds)
            command()
            print(f"{system.status().state.value}, mean return {agent.mean_return:.1f}", flush=True)
        system.wait(0.08 * chosen.seconds)
        saved = system.save_state()
    system, agent = build(chosen, saved_state_path=saved, max_uptime=0.77 * chosen.seconds)
    with system:
        while not system.wait(5.0) and agent.mean_return < chosen.target:
            print(f"step {system.status().steps:,}, mean return {agent.mean_return:.1f}", flush=True)
    result = f"seed {chosen.seed}: mean return over 100 episodes {agent.mean_return:.1f} at step {agent.steps:,}"
    print(f"{result}, 2 pauses, continued from {saved}; see {write_report(chosen.out)[1]}")
    if agent.mean_return < 195:
        print("not learned: the mean return over 100 episodes must reach 195; try more --seconds", file=sys.stderr)
    return int(agent.mean_return < 195)


if __name__ == "__main__":
    sys.exit(main())
