"""The pendulum sample: what its agent collects, what its trainers do with it, and a short run of all of it."""

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from pamiq_sched import EnvReset, EnvStep, TensorRingBuffer, TorchTrainingModel, latest_state
from pamiq_sched.state import load
from pamiq_sched.testing import connect_components

for extra in ("gymnasium", "matplotlib"):
    pytest.importorskip(extra)


@pytest.fixture(autouse=True, scope="module")
def single_threaded_torch():
    """As in a training thread on two cores; several threads wait for each other where the machine is busy."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def sample(monkeypatch):
    """The sample, found as by a program that runs beside it."""
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "samples"))
    import pendulum_sac

    return pendulum_sac


def connected(sample):
    """Agent and trainers as in a system: an update of the critics every 2 items, one of the actor every 4."""
    torch.manual_seed(0)
    agent = sample.SACAgent()
    trainers = {
        "critics": sample.CriticTrainer("transitions", 4, max_replay_ratio=sample.BATCH / 2),
        "actor": sample.ActorTrainer("transitions", 4, max_replay_ratio=sample.BATCH / 4),
    }
    actor = sample.perceptron(3, 2)
    actor.register_parameter("log_alpha", nn.Parameter(torch.tensor(0.0)))
    critics = sample.Critics([sample.perceptron(4, 1), sample.perceptron(4, 1)])
    targets = AveragedModel(critics, multi_avg_fn=get_ema_multi_avg_fn(1 - sample.TAU))
    models = {
        "actor": TorchTrainingModel(actor, inference_procedure=sample.policy),
        "critics": TorchTrainingModel(critics, has_inference_model=False),
        "targets": TorchTrainingModel(targets, has_inference_model=False),
    }
    parts = connect_components(agent, trainers, {"transitions": TensorRingBuffer(100)}, models)
    agent.setup()
    return agent, trainers, parts, (actor, critics, targets)


def act(agent, steps):
    """Begin an episode and take so many steps in it."""
    agent.step(EnvReset(np.zeros(3, np.float32), {}))
    for _ in range(steps):
        agent.step(EnvStep(np.ones(3, np.float32), -1.0, False, False, {}))


def train(trainers):
    """Let both take turns until neither may."""
    while sum(trainer.run() for trainer in trainers.values()):
        pass


@pytest.mark.parametrize(("terminated", "truncated", "discount"), [(True, False, 0.0), (False, True, 0.98)])
def test_only_what_comes_after_a_terminated_episode_is_worth_nothing(sample, terminated, truncated, discount):
    agent, _, parts, _ = connected(sample)
    first, last = np.zeros(3, np.float32), np.ones(3, np.float32)

    agent.step(EnvReset(first, {}))
    agent.step((EnvStep(last, -5.0, terminated, truncated, {}), EnvReset(first, {})))

    collected = parts.data_users["transitions"].get_data()
    assert collected["discount"].tolist() == pytest.approx([discount])
    assert collected["next"].tolist() == [[1.0, 1.0, 1.0]]  # not the first observation of the next episode


def test_each_trainer_keeps_to_its_replay_ratio(sample):
    agent, trainers, _, _ = connected(sample)
    act(agent, 40)

    train(trainers)

    assert {name: trainer.step_count for name, trainer in trainers.items()} == {"critics": 20, "actor": 10}


def test_targets_follow_the_critics_by_tau(sample):
    agent, trainers, _, (_, critics, targets) = connected(sample)
    act(agent, 4)
    trainers["critics"].run()  # the first update takes the critics over
    before = copy.deepcopy(targets.module).state_dict()
    source = copy.deepcopy(critics).state_dict()

    trainers["critics"].run()

    for name, value in targets.module.state_dict().items():
        torch.testing.assert_close(value, before[name].lerp(source[name], sample.TAU))


def test_trainers_leave_each_others_models_alone(sample):
    agent, trainers, _, (actor, critics, _) = connected(sample)
    act(agent, 40)
    trainers["actor"].run()
    trainers["actor"].run()  # the first step has a learning rate of 0
    changed = copy.deepcopy((actor.state_dict(), critics.state_dict()))

    trainers["critics"].run()

    assert all(value.equal(changed[0][name]) for name, value in actor.state_dict().items())
    assert not any(value.equal(changed[1][name]) for name, value in critics.state_dict().items())


def test_alpha_falls_while_there_is_more_chance_than_wanted(sample):
    agent, trainers, _, (actor, _, _) = connected(sample)
    act(agent, 40)

    train(trainers)

    assert actor.get_parameter("log_alpha") < 0.0


def test_short_run(sample, tmp_path, capsys):
    """It tells that it has not learned, and leaves a picture and a state."""
    assert sample.main(["--short", "--out", str(tmp_path)]) == 1

    told = capsys.readouterr()
    assert "Not learned" in told.err
    assert str(tmp_path / "report.png") in told.out
    assert (tmp_path / "report.png").stat().st_size > 10_000
    saved = load(latest_state(tmp_path / "states") / "models" / "targets")
    assert saved["module"]["n_averaged"] > 0
