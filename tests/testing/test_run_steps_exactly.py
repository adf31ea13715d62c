"""Runs that are equal to the bit: by one seed, and resumed half-way; states for systems, and of systems."""

import random

import numpy as np
import pytest
import torch
from torch import nn

from pamiq_sched import (
    Environment,
    FixedIntervalInteraction,
    ManualClock,
    System,
    TensorRingBuffer,
    TorchAgent,
    TorchTrainer,
    TorchTrainingModel,
)
from pamiq_sched.optim import InverseSqrtCurve, Schedule
from pamiq_sched.state import codec, inspect_state
from pamiq_sched.testing import FakeAgent, FakeEnvironment, run_steps

INTERVAL = 0.1


class Walk(Environment):
    """A state that drifts with the actions and by a generator of its own, and by numpy's."""

    def __init__(self):
        self.generator = torch.Generator()
        self.position = torch.zeros(3)

    def attach_seed(self, seed):
        self.generator.manual_seed(seed)

    def observe(self):
        return self.position.clone()

    def affect(self, action):
        noise = torch.randn(3, generator=self.generator) + float(np.random.normal())
        self.position = 0.9 * self.position + noise + (0.1 if action else -0.1)

    def save_state(self, path):
        codec.save({"position": self.position, "generator": self.generator.get_state()}, path)

    def load_state(self, path):
        state = codec.load(path)
        self.position = state["position"]
        self.generator.set_state(state["generator"])


class Greedy(TorchAgent):
    """Does what is valued most, or now and then something random."""

    def __init__(self):
        super().__init__()
        self.last = None

    def on_inference_models_attached(self):
        self.values = self.get_torch_inference_model("values")

    def on_data_collectors_attached(self):
        self.collector = self.get_data_collector("steps")

    def step(self, observation):
        if self.last is not None:
            before, action = self.last
            reward = -float(observation.square().sum())
            self.log("reward", reward)
            self.collector.collect({"before": before, "action": action, "reward": reward, "after": observation})
        action = random.randrange(2) if random.random() < 0.2 else int(self.values(observation).argmax())
        self.last = observation, action
        return action

    def save_state(self, path):
        super().save_state(path)
        codec.save(self.last, path)

    def load_state(self, path):
        super().load_state(path)
        self.last = codec.load(path)


class Learner(TorchTrainer):
    """Q-learning on sequences, with a target network, dropout, a schedule, and a callback by agent time."""

    def __init__(self, clock):
        super().__init__("steps", min_buffer_size=4, max_replay_ratio=6, clock=clock)
        self.moments = []
        self.every_seconds(0.35, lambda: self.moments.append(clock.time()))

    def on_training_models_attached(self):
        self.values = self.get_torch_training_model("values")
        self.target = self.get_torch_training_model("target")

    def on_data_users_attached(self):
        self.steps = self.get_data_user("steps")

    def create_optimizers(self):
        return {"adam": torch.optim.AdamW(self.values.model.parameters(), lr=1e-2)}

    def create_schedules(self):
        return {"lr": Schedule(self.optimizers["adam"], InverseSqrtCurve(10))}

    def train(self):
        for _ in range(2):
            batch = self.steps.sample(2) if random.random() < 0.5 else self.windows()
            future = self.target(batch["after"]).detach().max(-1).values
            value = self.values(batch["before"]).gather(-1, batch["action"].unsqueeze(-1)).squeeze(-1)
            loss = (value - batch["reward"] - 0.9 * future).square().mean()
            self.log("loss", loss)
            self.optimizers["adam"].zero_grad()
            loss.backward()
            for mine, other in zip(self.target.model.parameters(), self.values.model.parameters(), strict=True):
                mine.data.lerp_(other.data, 0.1)
            self.optimizers["adam"].step()

    def windows(self):
        return self.steps.sample_sequences(1, 2)

    def save_state(self, path):
        super().save_state(path)
        codec.save(self.moments, path / "moments")

    def load_state(self, path):
        super().load_state(path)
        self.moments[:] = codec.load(path / "moments")


def network():
    return nn.Sequential(nn.Linear(3, 8), nn.Dropout(0.2), nn.Linear(8, 2))


def build():
    """All components, new, as for System."""
    torch.manual_seed(11)
    clock = ManualClock(autojump=True)
    return (
        FixedIntervalInteraction.with_sleep_adjustor(Greedy(), Walk(), INTERVAL, clock=clock),
        {
            "values": TorchTrainingModel(network(), clock=clock),
            "target": TorchTrainingModel(network(), has_inference_model=False, clock=clock),
        },
        {"steps": TensorRingBuffer(64)},
        {"learner": Learner(clock)},
    )


def contents(parts, run):
    """What a run came to, bit for bit."""
    interaction, models, buffers, trainers = parts
    tensors = [*models["values"].model.parameters(), *models["target"].model.parameters()]
    adam = trainers["learner"].optimizers["adam"]
    tensors += [value for state in adam.state.values() for value in state.values()]
    tensors += list(buffers["steps"].get_data().values())
    with models["values"].inference_model.unwrap() as module:
        tensors += list(module.parameters())
    return {
        "tensors": [tensor.detach().numpy().tobytes() for tensor in (*tensors, interaction.environment.position)],
        "moments": trainers["learner"].moments,
        "time": interaction.clock.time(),
        "sessions": trainers["learner"].session_count,
        "lr": adam.param_groups[0]["lr"],
        "logged": run.logged,
    }


def outcome(**kwargs):
    parts = build()
    return contents(parts, run_steps(*parts, **kwargs))


@pytest.fixture(scope="module")
def whole():
    """20 steps that were paused behind the 10th, since a save is a pause."""
    return outcome(steps=20, seed=1, pause_at=[10])


def test_two_runs_by_one_seed_are_equal_to_the_bit(whole):
    assert outcome(steps=20, seed=1, pause_at=[10]) == whole


def test_it_is_the_seed_that_decides(whole):
    assert outcome(steps=20, seed=2, pause_at=[10])["tensors"] != whole["tensors"]


def test_what_is_compared_has_learned(whole):
    assert whole["sessions"] > 10
    assert len(whole["logged"]["learner/loss"]) == 2 * whole["sessions"]
    assert len(whole["moments"]) == 5
    assert whole["time"] == pytest.approx(20 * INTERVAL)


@pytest.mark.parametrize("seed", [1, None, 99])
def test_a_run_that_is_resumed_half_way_is_equal_to_the_bit(seed, whole, tmp_path):
    """The generators are in the state: whether there is another seed does not matter."""
    first = outcome(steps=10, seed=1, save_to=tmp_path / "half")
    second = outcome(steps=10, seed=seed, load_from=tmp_path / "half")
    logged = {name: [*first["logged"][name], *second["logged"][name]] for name in whole["logged"]}
    assert {**second, "logged": logged} == whole


def test_a_component_that_does_not_save_all_of_its_state_is_found_out(whole, tmp_path, monkeypatch):
    """Or else the test above compares too little."""
    monkeypatch.setattr(Walk, "save_state", lambda self, path: None)
    monkeypatch.setattr(Walk, "load_state", lambda self, path: None)
    outcome(steps=10, seed=1, save_to=tmp_path / "half")
    second = outcome(steps=10, seed=1, load_from=tmp_path / "half")
    assert second["tensors"] != whole["tensors"]


def test_the_generators_are_put_back_behind_a_load(tmp_path):
    run_steps(*build(), steps=2, seed=1, save_to=tmp_path / "state")
    parts = build()
    state = random.getstate(), torch.get_rng_state()
    run_steps(*parts, steps=2, load_from=tmp_path / "state")
    assert random.getstate() == state[0]
    assert torch.equal(torch.get_rng_state(), state[1])


def test_a_state_tells_of_itself_like_any_other(tmp_path):
    run_steps(*build(), steps=6, seed=1, save_to=tmp_path / "100%d")
    state = inspect_state(tmp_path / "100%d")
    assert state.manifest.about["steps"] == 6
    assert state.manifest.about["uptime"] == pytest.approx(6 * INTERVAL)
    assert state.manifest.about["sessions"]["learner"] > 0


def test_sessions_are_those_of_the_run(tmp_path):
    parts = build()
    first = run_steps(*parts, steps=10, seed=1, save_to=tmp_path / "state")
    parts = build()
    second = run_steps(*parts, steps=10, load_from=tmp_path / "state")
    total = parts[3]["learner"].session_count
    assert total == first.sessions["learner"] + second.sessions["learner"] > second.sessions["learner"]


def test_what_keeps_no_state_is_named(tmp_path):
    def interaction():
        return FixedIntervalInteraction.with_sleep_adjustor(
            FakeAgent(), FakeEnvironment(), 1.0, clock=ManualClock(autojump=True)
        )

    assert run_steps(interaction(), steps=1, save_to=tmp_path / "state").not_restored == ()
    assert run_steps(interaction(), steps=1, load_from=tmp_path / "state").not_restored == (
        "interaction/agent (FakeAgent): it keeps no state",
        "interaction/environment (FakeEnvironment): it keeps no state",
    )


def test_nothing_is_overwritten(tmp_path):
    (tmp_path / "state").mkdir()
    with pytest.raises(FileExistsError, match="save_to must be a path where there is nothing yet"):
        run_steps(*build(), steps=1, save_to=tmp_path / "state")


def test_a_state_that_is_not_there_is_told_of_and_nothing_is_set_up(tmp_path):
    parts = build()
    set_up = []
    parts[0].environment.setup = lambda: set_up.append(1)
    with pytest.raises(FileNotFoundError):
        run_steps(*parts, steps=1, load_from=tmp_path / "none")
    assert set_up == []
    assert not parts[0].clock.is_paused()


def live(tmp_path, **config):
    """A system of the same components, on the machine's time."""
    interaction, models, buffers, trainers = build()
    clock = interaction.clock
    config = {"states_dir": tmp_path / "live", "freeze_garbage": False, **config}
    return System(interaction, models, buffers, trainers, config, clock=clock), trainers["learner"]


def test_a_system_goes_on_from_what_was_saved_here(tmp_path):
    parts = build()
    run_steps(*parts, steps=10, seed=1, save_to=tmp_path / "state")
    system, learner = live(tmp_path, saved_state_path=tmp_path / "state")
    with system:
        assert system.status().not_restored == ()
        assert system.status().steps >= 10
        assert learner.session_count >= parts[3]["learner"].session_count


def test_a_run_here_goes_on_from_what_a_system_saved(tmp_path):
    system, _ = live(tmp_path)
    with system:
        pass
    steps = inspect_state(system.status().last_saved).manifest.about["steps"]
    parts = build()
    run_steps(*parts, steps=3, load_from=system.status().last_saved)
    assert parts[0].steps == steps + 3
