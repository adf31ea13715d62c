"""Gymnasium environments: episodes follow one another, and their two ends are told apart."""

import sys

import gymnasium
import numpy as np
import pytest

from pamiq_sched import EnvReset, EnvStep, GymAction, GymEnvironment
from pamiq_sched.state import save


class Scripted(gymnasium.Env):
    """Ends its episodes as it is told; observations count the steps of an episode."""

    observation_space = gymnasium.spaces.Box(0, np.inf, (1,))
    action_space = gymnasium.spaces.Discrete(2)

    def __init__(self, ends):
        self.ends = iter(ends)
        self.resets = []
        self.actions = []
        self.closed = 0

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.resets.append(seed)
        self.steps = 0
        return np.array([0.0]), {"episode": len(self.resets)}

    def step(self, action):
        self.actions.append(action)
        self.steps += 1
        terminated, truncated = next(self.ends)
        return (
            np.array([float(self.steps)]),
            np.float32(0.5),
            np.bool_(terminated),
            truncated,
            {"step": self.steps},
        )

    def close(self):
        self.closed += 1


NOT_DONE = (False, False)


def start(ends=(), **kwargs):
    env = Scripted(ends)
    environment = GymEnvironment(env, **kwargs)
    environment.setup()
    return environment, env


def walk(environment, steps, choose):
    """Return the observations and rewards of so many steps."""
    seen = []
    for i in range(steps):
        environment.affect(GymAction(choose(i)))
        observation = environment.observe()
        if isinstance(observation, tuple):
            seen.append((*observation[0].obs, observation[0].reward, *observation[1].obs))
        else:
            seen.append((*observation.obs, observation.reward))
    return seen


def test_the_first_observation_is_that_of_a_reset():
    environment, _ = start()
    observation = environment.observe()
    assert isinstance(observation, EnvReset)
    assert (observation.obs, observation.info) == ([0.0], {"episode": 1})


def test_an_action_is_carried_out_and_what_came_of_it_observed():
    environment, env = start([NOT_DONE])
    environment.affect(GymAction(1))
    observation = environment.observe()
    assert env.actions == [1]
    assert isinstance(observation, EnvStep)
    assert (observation.obs, observation.reward, observation.info) == ([1.0], 0.5, {"step": 1})
    assert not observation.done


def test_observing_twice_changes_nothing():
    environment, _ = start([NOT_DONE])
    environment.affect(GymAction(1))
    assert environment.observe() is environment.observe()


@pytest.mark.parametrize("end", [(True, False), (False, True), (True, True)])
def test_terminated_and_truncated_are_told_apart(end):
    environment, env = start([end])
    environment.affect(GymAction(0))
    last, first = environment.observe()
    assert (last.terminated, last.truncated) == end
    assert last.done
    assert (last.obs, first.obs) == ([1.0], [0.0])
    assert first.info == {"episode": 2}
    assert len(env.resets) == 2


def test_an_episode_that_goes_on_is_not_reset():
    environment, env = start([NOT_DONE] * 5)
    for _ in range(5):
        environment.affect(GymAction(0))
    assert len(env.resets) == 1


def test_an_agent_may_ask_for_a_reset():
    environment, _ = start([NOT_DONE])
    environment.affect(GymAction(0, need_reset=True))
    last, first = environment.observe()
    assert (last.terminated, last.truncated, last.done) == (False, False, False)
    assert first.obs == [0.0]


def test_values_are_of_plain_types():
    environment, _ = start([NOT_DONE])
    environment.affect(GymAction(0))
    step = environment.observe()
    assert [type(v) for v in (step.reward, step.terminated, step.truncated)] == [float, bool, bool]


def test_only_the_first_reset_is_seeded():
    """The same seed at every reset would be the same episode again and again."""
    environment, env = start([(True, False)] * 3, seed=7)
    for _ in range(3):
        environment.affect(GymAction(0))
    assert env.resets == [7, None, None, None]


def test_teardown_closes_the_environment():
    environment, env = start()
    environment.teardown()
    assert env.closed == 1


def test_affecting_before_the_setup_is_refused():
    with pytest.raises(RuntimeError, match=r"takes no action before setup\(\)"):
        GymEnvironment(Scripted([])).affect(GymAction(0))


def test_something_else_than_an_environment_is_refused():
    with pytest.raises(
        TypeError, match=r"env must be a gymnasium.Env, a gymnasium.vector.VectorEnv or the id of one"
    ):
        GymEnvironment(gymnasium.spaces.Discrete(2))


# Errors.


class Failing(Scripted):
    """Raises where it is told to."""

    def __init__(self, where):
        super().__init__([NOT_DONE] * 9)
        self.where = where

    def reset(self, *, seed=None, options=None):
        if "reset" in self.where:
            raise ConnectionError("the simulator is gone")
        return super().reset(seed=seed)

    def step(self, action):
        if "step" in self.where:
            raise ConnectionError("the simulator is gone")
        return super().step(action)

    def close(self):
        super().close()
        if "close" in self.where:
            raise OSError("close")


def test_an_error_of_a_step_stays_as_it_is_and_names_the_environment():
    environment, _ = start()
    environment.env = Failing(["step"])
    with pytest.raises(ConnectionError, match="the simulator is gone") as caught:
        environment.affect(GymAction(0))
    assert caught.value.__notes__ == ["raised by step() of <Failing instance>"]


def test_so_does_that_of_a_vector_environment():
    environment = GymEnvironment(gymnasium.vector.SyncVectorEnv([lambda: Failing(["step"])]))
    environment.setup()
    with pytest.raises(ConnectionError) as caught:
        environment.affect(GymAction(np.array([0])))
    assert caught.value.__notes__ == ["raised by step() of SyncVectorEnv(num_envs=1)"]


def test_an_error_in_setup_closes_the_environment():
    env = Failing(["reset"])
    with pytest.raises(ConnectionError, match="the simulator is gone") as caught:
        GymEnvironment(env).setup()
    assert caught.value.__notes__ == ["raised by reset() of <Failing instance>"]
    assert env.closed == 1


def test_an_error_in_closing_then_is_raised_beside_it():
    with pytest.raises(ExceptionGroup) as caught:
        GymEnvironment(Failing(["reset", "close"])).setup()
    assert [type(error) for error in caught.value.exceptions] == [ConnectionError, OSError]


def test_observing_before_the_setup_is_refused():
    with pytest.raises(RuntimeError, match=r"no observation before setup\(\)"):
        GymEnvironment(Scripted([])).observe()


def test_keywords_beside_a_ready_environment_are_refused():
    with pytest.raises(TypeError, match="keywords are for making an environment by its id"):
        GymEnvironment(Scripted([]), render_mode="human")


# The real one.


@pytest.fixture
def cart_poles():
    """Make environments that are closed afterwards."""
    made = []

    def make(**kwargs):
        environment = GymEnvironment("CartPole-v1", **kwargs)
        environment.setup()
        made.append(environment)
        return environment

    yield make
    for environment in made:
        environment.teardown()


def test_cart_pole_falls_over_and_starts_again(cart_poles):
    environment = cart_poles(seed=0)
    for _ in range(50):
        environment.affect(GymAction(0))
        if isinstance(environment.observe(), tuple):
            break
    last, first = environment.observe()
    assert (last.terminated, last.truncated) == (True, False)
    assert np.abs(first.obs).max() <= 0.05


def test_cart_pole_is_cut_off_by_its_limit(cart_poles):
    environment = cart_poles(seed=0, max_episode_steps=3)
    for _ in range(3):
        environment.affect(GymAction(0))
    last, _ = environment.observe()
    assert (last.terminated, last.truncated) == (False, True)


def test_one_seed_makes_one_walk(cart_poles):
    walks = [walk(cart_poles(seed=3), 100, lambda i: i % 2) for _ in range(2)]
    assert walks[0] == walks[1]


def test_episodes_of_one_seed_differ_from_each_other(cart_poles):
    environment = cart_poles(seed=3)
    first = environment.observe().obs
    environment.affect(GymAction(0, need_reset=True))
    assert not np.array_equal(environment.observe()[1].obs, first)


def test_two_seeds_make_two_walks(cart_poles):
    walks = [walk(cart_poles(seed=seed), 10, lambda i: i % 2) for seed in (3, 4)]
    assert walks[0] != walks[1]


def test_keywords_reach_the_environment_made_by_its_id(cart_poles):
    assert cart_poles(render_mode="rgb_array").env.render_mode == "rgb_array"


def test_a_missing_extra_is_told_with_the_command_that_installs_it(monkeypatch):
    for name in [n for n in sys.modules if n.split(".")[0] == "gymnasium" or n.startswith("pamiq_sched.gym")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "gymnasium", None)  # what an import of it then finds
    import pamiq_sched

    monkeypatch.delitem(vars(pamiq_sched), "GymEnvironment", raising=False)
    with pytest.raises(ImportError, match=r'pip install "pamiq-sched\[gym\]"'):
        _ = pamiq_sched.GymEnvironment


def test_a_resumed_environment_draws_the_episodes_that_would_have_come_next(tmp_path):
    """Elsewhere it would begin again with the first episode of its seed."""

    def next_start(environment):
        environment.affect(GymAction(0, need_reset=True))
        return environment.observe()[1].obs.tolist()

    environment = GymEnvironment("CartPole-v1", seed=3)
    environment.setup()
    first = environment.observe().obs.tolist()
    next_start(environment)
    environment.save_state(tmp_path / "environment")
    to_come = [next_start(environment) for _ in range(3)]
    environment.teardown()

    resumed = GymEnvironment("CartPole-v1", seed=3)
    resumed.load_state(tmp_path / "environment")
    resumed.setup()
    came = [resumed.observe().obs.tolist(), next_start(resumed), next_start(resumed)]
    resumed.teardown()
    assert came == to_come
    assert first not in came


def test_statistics_of_a_wrapper_come_through():
    env = gymnasium.wrappers.RecordEpisodeStatistics(Scripted([NOT_DONE, (True, False)]))
    environment = GymEnvironment(env)
    environment.setup()
    for _ in range(2):
        environment.affect(GymAction(0))
    last, _ = environment.observe()
    assert (last.info["episode"]["r"], last.info["episode"]["l"]) == (1.0, 2)


def test_a_state_of_something_else_is_refused(tmp_path):
    save({"garbage": 1}, tmp_path / "environment")
    with pytest.raises(ValueError, match="the state of GymEnvironment must have exactly the keys"):
        GymEnvironment("CartPole-v1").load_state(tmp_path / "environment")
