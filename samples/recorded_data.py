"""Training from a recording on virtual time: far faster than it was made, and the same to the bit each time.

An agent predicts what it will see of a pendulum, a trainer teaches it: twice from a recording, then live.
"""

from __future__ import annotations

import argparse
import math
import random
import shutil
import sys
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

from pamiq_sched.clock import Clock, ManualClock
from pamiq_sched.data import TensorRingBuffer
from pamiq_sched.interaction import Environment, FixedIntervalInteraction
from pamiq_sched.runtime import System
from pamiq_sched.state import compare_states
from pamiq_sched.testing import run_steps
from pamiq_sched.torch import TorchAgent, TorchTrainer, TorchTrainingModel

HZ, SEED = 20, 0


def pendulum(seed: int) -> Iterator[Tensor]:
    """Yield what there is to see, for ever; shape (4,): cosine, sine, speed, and the push that it gets now."""
    rng, push = random.Random(seed), 0.0  # noqa: S311 - no secrets
    angle, speed = rng.uniform(-math.pi, math.pi), rng.uniform(-8, 8)
    while True:
        push = 0.9 * push + rng.gauss(0.0, 0.4)
        yield torch.tensor([math.cos(angle), math.sin(angle), speed / 8, push])
        speed = 0.98 * speed + (15 * math.sin(angle) + 6 * push) / HZ
        angle += speed / HZ


class Watching(Environment[Tensor, None]):
    """Shows frames, be they live or recorded; nothing that the agent does changes them."""

    def __init__(self, frames: Iterator[Tensor]) -> None:
        super().__init__()
        self.frames = frames

    def observe(self) -> Tensor:
        return next(self.frames)

    def affect(self, action: None) -> None:
        pass


class Predictor(TorchAgent[Tensor, None]):
    """Predicts each frame from the one before, and keeps how far off it was."""

    def __init__(self) -> None:
        super().__init__()
        self.errors: list[float] = []
        self.last: tuple[Tensor, Tensor] | None = None  # a frame, and the state that should follow

    def on_inference_models_attached(self) -> None:
        self.model = self.get_torch_inference_model("dynamics")

    def on_data_collectors_attached(self) -> None:
        self.collector = self.get_data_collector("changes")

    def on_paused(self) -> None:
        super().on_paused()
        self.last = None  # what is seen after a pause does not follow what was seen before

    def step(self, observation: Tensor) -> None:
        state = observation[:3]
        if self.last is not None:
            frame, expected = self.last
            self.errors.append(float((state - expected).square().mean().sqrt()))
            self.collector.collect({"frame": frame, "change": state - frame[:3]})
        self.last = observation, state + self.model(observation)


class DynamicsTrainer(TorchTrainer):
    """Learns how a frame changes into the next."""

    def create_optimizers(self) -> dict[str, torch.optim.Optimizer]:
        self.model = self.get_torch_training_model("dynamics")
        return {"adam": torch.optim.Adam(self.model.model.parameters(), lr=1e-3)}

    def train(self) -> None:
        batch = self.get_data_user("changes").sample(64)
        self.optimizers["adam"].zero_grad()
        nn.functional.mse_loss(self.model(batch["frame"]), batch["change"]).backward()
        self.optimizers["adam"].step()


def build(frames: Iterator[Tensor], agent: Predictor, clock: Clock) -> tuple[Any, Any, Any, Any]:
    """Return all components, which train 16 samples for each frame; frames and clock tell what they live in."""
    torch.manual_seed(SEED)
    network = nn.Sequential(nn.Linear(4, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 3))
    interaction = FixedIntervalInteraction.with_sleep_adjustor(agent, Watching(frames), 1 / HZ, clock=clock)
    models, buffers = {"dynamics": TorchTrainingModel(network, clock=clock)}, {"changes": TensorRingBuffer(20_000)}
    return interaction, models, buffers, {"dynamics": DynamicsTrainer("changes", 64, max_replay_ratio=16)}


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/recorded_data"), help="made anew (%(default)s)")
    parser.add_argument("--short", action="store_true", help="half a minute of recording, not ten")
    chosen = parser.parse_args(arguments)
    torch.set_num_threads(1)  # so small a network gains nothing from more
    seconds, out = 30 if chosen.short else 600, chosen.out
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    np.save(out / "recording.npy", torch.stack([*islice(pendulum(SEED), seconds * HZ)]))

    for name in ("first", "second"):
        frames, agent = torch.from_numpy(np.load(out / "recording.npy")), Predictor()
        parts, began = build(iter(frames), agent, ManualClock(autojump=True)), time.perf_counter()
        run = run_steps(*parts, steps=len(frames), seed=SEED, save_to=out / name)
        took = time.perf_counter() - began
        print(f"{name}: {seconds} s in {took:.1f} s, {seconds / took:.0f} times as fast as live, {run.sessions}")
    are_equal = compare_states(out / "first", out / "second").are_equal
    print(f"what the two runs came to is {'equal to the bit' if are_equal else 'NOT equal'}")

    live, clock = Predictor(), Clock()
    config = {"states_dir": out / "states", "saved_state_path": out / "first", "seed": SEED}
    with System(*build(pendulum(SEED + 1), live, clock), config, clock=clock) as system:
        system.wait(1.0)
    error = sum(live.errors) / len(live.errors)
    means = torch.tensor(agent.errors[: len(agent.errors) // HZ * HZ]).view(-1, HZ).mean(1)  # of a second each
    print(
        f"off by {means[:10].mean():.4f} in the first 10 s, {means[-10:].mean():.4f} in the last, {error:.4f} live"
    )
    axes = (figure := Figure(figsize=(8, 4), layout="constrained")).add_subplot()
    axes.semilogy(torch.arange(len(means)) / 60, means, linewidth=0.8, label="from the recording")
    axes.axhline(error, color="tab:orange", label="live, from the saved state on")
    axes.set(xlabel="minutes of the recording", ylabel="how far predictions are off")
    axes.legend()
    figure.savefig(out / "recorded_data.png", dpi=110)
    return 0 if are_equal else 1


if __name__ == "__main__":
    sys.exit(main())
