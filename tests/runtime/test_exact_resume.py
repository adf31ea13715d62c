"""A run that is stopped at a save and resumed in other objects ends bit-equal to the one that was not stopped."""

import random
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from pamiq_sched import (
    Agent,
    Environment,
    Interaction,
    ManualClock,
    RandomReplacementBuffer,
    SequentialBuffer,
    System,
    SystemStoppedError,
    TensorRingBuffer,
    TorchTrainer,
    TorchTrainingModel,
)
from pamiq_sched.optim import CosineCurve, Schedule
from pamiq_sched.state import codec

STEPS = 200


class World(Environment):
    """Moves by what it is told and by chance, and agent time with it."""

    def __init__(self, clock):
        self.clock = clock
        self.position = torch.zeros(3)

    def observe(self):
        return self.position.clone()

    def affect(self, action):
        """Too late to change anything: training has begun on what the step has collected."""

    def move(self, action):
        self.position = 0.9 * self.position + action + torch.from_numpy(np.random.normal(size=3)).float()
        self.clock.advance(0.01)

    def save_state(self, path):
        codec.save(self.position, path)

    def load_state(self, path):
        self.position = codec.load(path)


class Actor(Agent):
    """Acts once for each session of training, so that no step depends on how fast that is; does nothing else."""

    def __init__(self, world, learner):
        super().__init__()
        self.world = world
        self.learner = learner
        self.acts = 0
        self.on_end = lambda: None

    def on_inference_models_attached(self):
        self.policy = self.get_inference_model("policy")
        self.averaged = self.get_inference_model("averaged")

    def on_data_collectors_attached(self):
        self.collectors = [self.get_data_collector(name) for name in ("list", "sample", "ring")]

    def step(self, observation):
        if self.learner.sessions_done < self.acts:
            return
        if self.acts == STEPS:
            self.on_end()
            return
        self.acts += 1
        action = self.policy(observation) + self.averaged(observation) + random.gauss(0.0, 0.1)
        self.world.move(action)
        items = (self.acts, float(observation[0])), observation.numpy(), {"x": observation, "y": action}
        for collector, item in zip(self.collectors, items, strict=True):
            collector.collect(item)  # the one that training waits for comes last

    def save_state(self, path):
        super().save_state(path)
        codec.save(self.acts, path)

    def load_state(self, path):
        super().load_state(path)
        self.acts = codec.load(path)


class Learner(TorchTrainer):
    """Several updates for each item, with dropout, two schedules, and callbacks by steps and by agent time."""

    def __init__(self, clock):
        super().__init__("ring", min_new_data_count=1, clock=clock)
        self.notes = []
        self.sessions_done = 0
        self.every_steps(7, lambda: self.notes.append(("steps", self.updates)))
        self.every_seconds(0.055, lambda: self.notes.append(("seconds", self.updates)))
        self.updates = 0

    def on_data_users_attached(self):
        self.ring, self.list, self.sample = map(self.get_data_user, ("ring", "list", "sample"))

    def on_training_models_attached(self):
        self.policy = self.get_torch_training_model("policy")
        self.averaged = self.get_torch_training_model("averaged")

    def create_optimizers(self):
        parameters = [*self.policy.model.parameters(), *self.averaged.model.parameters()]
        return {"adam": torch.optim.AdamW(parameters, lr=1e-2)}

    def create_schedules(self):
        adam = self.optimizers["adam"]
        return {
            "lr": Schedule(adam, CosineCurve(1.0, 0.1, 300)),
            "decay": Schedule(adam, CosineCurve(1.0, 0.0, 900), "weight_decay"),
        }

    def train(self):
        for _ in range(3):
            batch = self.ring.sample(8)
            noise = random.random() + float(np.random.random())
            answer = self.policy(batch["x"]) + self.averaged(batch["x"])
            loss = (answer - batch["y"] + noise * 1e-3).square().mean()
            loss = loss + 1e-3 * len(self.list.get_data()) + 1e-3 * float(np.mean(self.sample.get_data()))
            self.optimizers["adam"].zero_grad()
            loss.backward()
            self.updates += 1
            self.optimizers["adam"].step()

    def sync_models(self):
        if self.session_count % 4 == 0:  # so that agents act upon what is older than what is saved
            super().sync_models()

    def teardown(self):
        super().teardown()
        self.sessions_done += 1

    def save_state(self, path):
        super().save_state(path)
        state = {"notes": self.notes, "updates": self.updates, "done": self.sessions_done}
        codec.save(state, path / "learner")

    def load_state(self, path):
        super().load_state(path)
        state = codec.load(path / "learner")
        self.notes, self.updates, self.sessions_done = state["notes"], state["updates"], state["done"]


def network() -> nn.Module:
    return nn.Sequential(nn.Linear(3, 16), nn.Tanh(), nn.Dropout(0.2), nn.Linear(16, 3))


def make(states: Path, **config) -> System:
    """Make all components anew, as another process would."""
    random.seed(7)
    np.random.seed(7)
    torch.manual_seed(7)
    clock = ManualClock()
    world, learner = World(clock), Learner(clock)
    actor = Actor(world, learner)
    system = System(
        Interaction(actor, world, clock=clock),
        models={
            "policy": TorchTrainingModel(network(), clock=clock),
            "averaged": TorchTrainingModel(network(), ema_decay=0.9, clock=clock),
        },
        buffers={
            "ring": TensorRingBuffer(64),
            "list": SequentialBuffer(50),
            "sample": RandomReplacementBuffer(20, replace_probability=0.5),
        },
        trainers={"learner": learner},
        config={"states_dir": states, "freeze_garbage": False, **config},
        clock=clock,
    )
    actor.on_end = lambda: system.shutdown(wait=False)
    return system


def saves_on_the_way(states: Path) -> list[Path]:
    """Run to the end and save as often as that goes; return the saves, the last one that of the end."""
    saved = []
    with make(states) as system:
        while not system.wait(0):
            try:
                saved.append(system.save_state())
            except SystemStoppedError:
                break
    return [*saved, system.status().last_saved]


def end_of(state: Path, states: Path) -> Path:
    """Go on from a state to the end; return the state there."""
    system = make(states, saved_state_path=state)
    system.run()
    return system.status().last_saved


def contents(state: Path) -> dict[str, object]:
    """All that was saved, bit for bit, but for what depends on how often the run was paused."""
    found = {str(f.relative_to(state)): f.read_bytes() for f in state.rglob("*") if f.is_file()}
    # The steps in which the agent waited; the pauses; the breaks that pauses are in a sequence.
    for name in ("interaction/loop.json", "system.json", "manifest.json", "manifest.json.sha256"):
        del found[name]
    ring = codec.load(state / "data" / "ring" / "buffer")
    for name in [name for name in found if name.startswith("data/ring/buffer")]:
        del found[name]
    found["ring"] = [ring["columns"][name].numpy().tobytes() for name in ("x", "y")]
    found["ring's generator"] = ring["random"].numpy().tobytes()
    return found


def differences(state: Path, reference: Path) -> list[str]:
    ours, theirs = contents(state), contents(reference)
    return sorted(name for name in ours.keys() | theirs.keys() if ours.get(name) != theirs.get(name))


def acts_in(state: Path) -> int:
    return codec.load(state / "interaction" / "agent")


@pytest.fixture(scope="module")
def saves(tmp_path_factory) -> list[Path]:
    return saves_on_the_way(tmp_path_factory.mktemp("uninterrupted"))


def test_two_runs_that_are_not_stopped_end_alike(saves, tmp_path):
    """Or else the rest of this file compares chance with chance."""
    system = make(tmp_path)
    system.run()
    assert differences(system.status().last_saved, saves[-1]) == []
    assert acts_in(saves[-1]) == STEPS


def test_what_is_compared_differs_from_save_to_save(saves):
    way = [path for path in saves if 0 < acts_in(path) < STEPS]
    assert len({acts_in(path) for path in way}) >= 3
    changed = set(differences(way[0], saves[-1]))
    assert {"models/policy.safetensors", "ring", "random.json", "time.json", "ring's generator"} <= changed


@pytest.mark.parametrize("share", [0.0, 0.4, 0.8])
def test_a_run_that_is_resumed_ends_bit_equal_to_the_one_that_was_not_stopped(share, saves, tmp_path):
    assert differences(end_of(saves[int(share * len(saves))], tmp_path), saves[-1]) == []


@pytest.mark.stress
def test_a_run_that_is_stopped_at_any_of_its_saves_ends_bit_equal(saves, tmp_path):
    for i, state in enumerate(saves):
        assert differences(end_of(state, tmp_path / str(i)), saves[-1]) == [], f"from {acts_in(state)} acts on"
