"""The smallest whole program: an agent acts 100 times a second, and what it acts by is trained meanwhile."""

import argparse
import sys
from pathlib import Path

import torch
from torch import nn

from pamiq_sched import (
    Environment,
    FixedIntervalInteraction,
    System,
    TensorRingBuffer,
    TorchAgent,
    TorchTrainer,
    TorchTrainingModel,
)


class Plant(Environment[torch.Tensor, torch.Tensor]):
    """Shows a number, and wants to be told twice that number and one more."""

    def __init__(self) -> None:
        super().__init__()
        self.shown = torch.zeros(1)
        self.errors: list[float] = []

    def observe(self) -> torch.Tensor:
        self.shown = torch.rand(1)
        return self.shown

    def affect(self, action: torch.Tensor) -> None:
        self.errors.append(abs(action.item() - (2 * self.shown.item() + 1)))


class Regulator(TorchAgent[torch.Tensor, torch.Tensor]):
    """Answers by its model, and collects what would have been right."""

    def on_inference_models_attached(self) -> None:
        self.line = self.get_torch_inference_model("line", nn.Linear)

    def on_data_collectors_attached(self) -> None:
        self.collector = self.get_data_collector("seen")

    def step(self, observation: torch.Tensor) -> torch.Tensor:
        self.collector.collect({"shown": observation, "wanted": 2 * observation + 1})
        action: torch.Tensor = self.line(observation)
        return action


class Regression(TorchTrainer):
    """Trains the model on what was collected, ten steps whenever there are ten new items."""

    def __init__(self) -> None:
        super().__init__("seen", min_new_data_count=10)

    def create_optimizers(self) -> dict[str, torch.optim.Optimizer]:
        self.line = self.get_torch_training_model("line", nn.Linear)
        return {"sgd": torch.optim.SGD(self.line.model.parameters(), lr=0.1)}

    def train(self) -> None:
        for _ in range(10):
            batch = self.get_data_user("seen").sample(32)
            loss = (self.line(batch["shown"]) - batch["wanted"]).square().mean()
            self.optimizers["sgd"].zero_grad()
            loss.backward()
            self.optimizers["sgd"].step()


def main(arguments: list[str] | None = None) -> int:
    """Let it live for a few seconds, and tell what it learned."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("runs/minimum"), help="for the state (%(default)s)")
    parser.add_argument("--short", action="store_true", help="one second only")
    chosen = parser.parse_args(arguments)
    plant = Plant()
    system = System(
        FixedIntervalInteraction.with_sleep_adjustor(Regulator(), plant, interval=0.01),
        models={"line": TorchTrainingModel(nn.Linear(1, 1))},
        buffers={"seen": TensorRingBuffer(max_size=1000)},
        trainers={"regression": Regression()},
        config={"states_dir": chosen.out / "states"},
    )
    with system:  # its threads start here, and end with the block
        system.wait(timeout=1.0 if chosen.short else 5.0)
    first, last = (sum(errors) / len(errors) for errors in (plant.errors[:10], plant.errors[-10:]))
    status = system.status()
    print(f"{status.steps} steps, {status.sessions['regression']} training sessions, saved as {status.last_saved}")
    print(f"mean error of the first ten actions {first:.4f}, of the last ten {last:.4f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
