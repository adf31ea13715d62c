"""What the CartPole demo collects: no transition that never was."""

from pathlib import Path

import numpy as np
import pytest

from pamiq_sched import EnvReset, EnvStep, TorchTrainingModel
from pamiq_sched.testing import FakeBuffer, connect_components

pytest.importorskip("gymnasium")
SAMPLES = Path(__file__).parents[2] / "samples"


@pytest.fixture
def parts(monkeypatch):
    """The sample's module of agents and trainers, found as by a program that runs beside it."""
    monkeypatch.syspath_prepend(str(SAMPLES))
    import cartpole_dqn_parts

    return cartpole_dqn_parts


def connected_agent(parts):
    settings = parts.Settings()
    agent = parts.DQNAgent(settings, lambda: 0.0, seed=0)
    joined = connect_components(
        agent=agent,
        buffers={"transitions": FakeBuffer()},
        models={"network": TorchTrainingModel(settings.make_network())},
    )
    agent.setup()
    return agent, joined.data_users["transitions"]


def seen(episode: int) -> np.ndarray:
    """An observation that tells its episode."""
    return np.full(4, episode, np.float32)


def act(agent, episode: int, steps: int) -> None:
    """Live through an episode that ends in its last step."""
    agent.step(EnvReset(seen(episode), {}))
    for step in range(1, steps + 1):
        agent.step(EnvStep(seen(episode), 1.0, step == steps, False, {}))


def test_no_transition_spans_a_restart_or_an_episode(parts, tmp_path):
    agent, user = connected_agent(parts)
    act(agent, episode=1, steps=5)
    act(agent, episode=2, steps=2)  # shorter than the window
    agent.step(EnvReset(seen(3), {}))
    agent.step(EnvStep(seen(3), 1.0, False, False, {}))
    agent.save_state(tmp_path / "agent")
    transitions = user.get_data()

    resumed, user = connected_agent(parts)
    resumed.load_state(tmp_path / "agent")
    act(resumed, episode=4, steps=4)
    transitions += user.get_data()

    episodes = [(t["observation"][0], t["next"][0]) for t in transitions]
    assert all(first == last for first, last in episodes)
    assert sorted(first for first, _ in episodes) == [1] * 5 + [2] * 2 + [4] * 4
    assert resumed.steps == 12
