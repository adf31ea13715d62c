"""MuJoCo's and Atari's environments, as they come from PyPI. To make one takes half a second: so only a few."""

import sys

import gymnasium
import numpy as np
import pytest

from pamiq_sched import GymAction, GymAgent, GymEnvironment, Interaction
from pamiq_sched.lifecycle import without_state


class ByChance(GymAgent):
    """Acts by chance and keeps what it sees."""

    def __init__(self, space):
        super().__init__()
        self.space = space
        self.seen = []

    def act(self, obs):
        self.seen.append(np.array(obs))
        return self.space.sample()

    def on_reset(self, obs, info):
        return self.act(obs)

    def on_step(self, obs, reward, terminated, truncated, info):
        return self.act(obs)


def walk(environment, steps):
    agent = ByChance(environment.env.action_space)
    interaction = Interaction(agent, environment)
    interaction.setup()
    for _ in range(steps):
        interaction.step()
    return agent.seen


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of the packages among each other
def test_mujoco_walks_the_same_way_by_the_same_seed():
    pytest.importorskip("mujoco")
    walks = []
    for seed in (3, 3, 4):
        environment = GymEnvironment("InvertedPendulum-v5", seed=seed)
        walks.append(walk(environment, 60))
        environment.teardown()
    assert len(walks[0]) > 60  # an episode ended within
    assert np.array_equal(walks[0], walks[1])
    assert not np.array_equal(walks[0][0], walks[2][0])


@pytest.fixture(scope="module")
def atari():
    """One game for all tests; making it takes longer than playing."""
    pytest.importorskip("ale_py")
    return gymnasium.make  # ids of "ALE/" are registered by GymEnvironment


def breakout(seed=None, **kwargs):
    return GymEnvironment("ALE/Breakout-v5", seed=seed, obs_type="ram", max_episode_steps=30, **kwargs)


def test_atari_goes_on_as_it_would_have(atari):
    """Its emulator has a generator of its own, for sticky actions."""
    environment = breakout(seed=3)
    walk(environment, 40)
    state = environment.state_dict()
    expected = [environment.env.reset()[0], *(environment.env.step(i % 4)[0] for i in range(25))]

    resumed = breakout(seed=4)
    resumed.load_state_dict(state)
    resumed.setup()
    came = [resumed.observe().obs, *(resumed.env.step(i % 4)[0] for i in range(25))]
    assert np.array_equal(came, expected)
    resumed.teardown()
    environment.teardown()


def test_atari_renders_without_a_display(atari):
    environment = breakout(render_mode="rgb_array")
    film = environment.film(frames=3)
    walk(environment, 3)
    assert [frame.shape for frame in film.wait(30).frames] == [(210, 160, 3)] * 3
    environment.teardown()


def test_atari_s_own_vector_environment_names_what_it_cannot_save(atari):
    environment = GymEnvironment("ALE/Breakout-v5", num_envs=2, seed=0, autoreset_mode="SameStep")
    environment.setup()
    environment.affect(GymAction(np.array([1, 0])))
    assert environment.observe().obs.shape == (2, 4, 84, 84)
    environment.state_dict()
    assert without_state({"environment": environment}) == ["environment/random generators (OutOfReach)"]
    environment.teardown()


def test_missing_atari_is_told_with_the_command_that_installs_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "ale_py", None)  # what an import of it then finds
    with pytest.raises(
        ImportError, match=r'ALE/Pong-v5 needs Atari.s environments: pip install "gymnasium\[atari\]"'
    ):
        GymEnvironment("ALE/Pong-v5")
