"""Random generators of environments: seeded from the run, saved, and what cannot be saved is named."""

import gymnasium
import numpy as np
import pytest
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv

from pamiq_sched import GymAction, GymEnvironment
from pamiq_sched.gym import generators
from pamiq_sched.lifecycle import without_state


class Drawing(gymnasium.Env):
    """Shows a number that is drawn for each episode."""

    observation_space = gymnasium.spaces.Dict({"x": gymnasium.spaces.Box(0, 1, (1,))})
    action_space = gymnasium.spaces.Tuple([gymnasium.spaces.Discrete(1000), gymnasium.spaces.Discrete(1000)])

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return {"x": np.array([self.draw()], np.float32)}, {}

    def draw(self):
        return self.np_random.random()

    def step(self, action):
        return {"x": np.zeros(1, np.float32)}, 0.0, True, False, {}


class Legacy(Drawing):
    """Draws from a generator of numpy's old kind."""

    def reset(self, *, seed=None, options=None):
        if seed is not None:
            self.np_random = np.random.RandomState(seed)
        return super().reset(options=options)

    def draw(self):
        return self.np_random.random_sample()


class Property(Drawing):
    """Keeps its generator elsewhere, and tells it under the usual name."""

    mine = np.random.default_rng(0)

    @property
    def np_random(self):
        return self.mine

    def reset(self, *, seed=None, options=None):
        if seed is not None:
            self.mine = np.random.default_rng(seed)
        return super().reset(options=options)


class Hidden(Drawing):
    """Draws from a generator that nobody knows of."""

    def reset(self, *, seed=None, options=None):
        if seed is not None:
            self.hidden = np.random.default_rng(seed)
        return {"x": np.array([self.hidden.random()], np.float32)}, {}


def begin(env, seed=None, attached=None):
    environment = GymEnvironment(env, seed=seed)
    if attached is not None:
        environment.attach_seed(attached)
    environment.setup()
    return environment


def draws(environment, number):
    """What the next episodes show, and what the spaces draw."""
    result = []
    action = (0, 0)
    if isinstance(environment.env, gymnasium.vector.VectorEnv):
        action = tuple(np.zeros((2, environment.env.num_envs), np.int64))
    for _ in range(number):
        environment.affect(GymAction(action, need_reset=True))
        now = environment.observe()
        result.append((now[1] if isinstance(now, tuple) else now).obs["x"].tolist())
        result.append(np.asarray(environment.env.action_space.sample()).tolist())
        result.append(environment.env.observation_space.sample()["x"].tolist())
    return result


def first(environment):
    return float(environment.observe().obs["x"][0])


def test_the_seed_of_the_run_is_taken():
    environment = begin(Drawing(), attached=3)
    assert first(environment) == first(begin(Drawing(), seed=3))
    assert draws(environment, 3) == draws(begin(Drawing(), attached=3), 3)


def test_a_seed_of_its_own_wins():
    assert first(begin(Drawing(), seed=3, attached=4)) == first(begin(Drawing(), seed=3))


def test_without_any_seed_episodes_are_those_of_no_seed():
    assert first(begin(Drawing())) != first(begin(Drawing()))


def test_spaces_draw_other_numbers_than_the_environment():
    """By the same seed a random policy would follow the environment's own chances."""
    environment = begin(Drawing(), seed=3)
    of_environment = np.random.default_rng(3).integers(1000, size=2).tolist()
    spaces = [environment.env.action_space, environment.env.observation_space]
    seeds = [space.np_random.bit_generator.state["state"]["state"] for space in spaces]
    assert list(environment.env.action_space.sample()) != of_environment
    assert len({*seeds, Drawing().np_random.bit_generator.state["state"]["state"]}) == 3


def test_a_seed_that_is_none_is_refused():
    with pytest.raises(TypeError, match="seed must be a whole number"):
        GymEnvironment(Drawing()).attach_seed("3")


def several(kind, mode=AutoresetMode.SAME_STEP):
    return lambda: kind([Drawing] * 2, autoreset_mode=mode)


def in_processes(env_fns, **kwargs):
    return AsyncVectorEnv(env_fns, context="fork", **kwargs)


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")  # from 3.12 on; its processes run no code of ours
@pytest.mark.parametrize(
    "make",
    [
        Drawing,
        Legacy,
        Property,
        lambda: gymnasium.wrappers.TimeLimit(Drawing(), 5),
        several(SyncVectorEnv),
        several(in_processes),
        several(in_processes, AutoresetMode.DISABLED),
    ],
    ids=["single", "legacy", "property", "wrapped", "sync", "async", "async, disabled"],
)
def test_a_resumed_environment_draws_what_would_have_come_next(make, tmp_path):
    environment = begin(make(), seed=3)
    draws(environment, 2)
    environment.save_state(tmp_path / "environment")
    assert environment.persistent_parts() == {}
    expected = draws(environment, 4)
    environment.teardown()

    resumed = GymEnvironment(make(), seed=3)
    resumed.load_state(tmp_path / "environment")
    resumed.setup()
    came = [resumed.observe().obs["x"].tolist(), *draws(resumed, 3)]
    resumed.teardown()
    # Its first episode is the next one; from then on spaces are one draw behind the episodes.
    assert came[0] == expected[0]
    assert came[1::3] == expected[3::3]
    assert [came[2::3], came[3::3]] == [expected[1:-3:3], expected[2:-3:3]]


def test_a_generator_that_nobody_knows_of_is_named(tmp_path):
    environment = begin(Hidden(), seed=3)
    environment.save_state(tmp_path / "environment")
    named = ["environment/random generators (OutOfReach)"]
    assert without_state({"environment": environment}) == named

    resumed = GymEnvironment(Hidden(), seed=3)
    assert without_state({"environment": resumed}) == []
    resumed.load_state(tmp_path / "environment")
    assert without_state({"environment": resumed}) == named
    resumed.setup()


def test_one_without_a_seed_that_has_drawn_nothing_lacks_nothing():
    class Fixed(Drawing):
        def draw(self):
            return 0.5

    environment = begin(Fixed())
    environment.state_dict()
    assert environment.persistent_parts() == {}


def test_an_environment_that_is_vectorized_by_itself_draws_what_would_have_come_next():
    def starts(environment):
        environment.affect(GymAction(np.zeros(2, np.int64), need_reset=True))
        return environment.observe().obs.tolist()

    environment = GymEnvironment("CartPole-v1", num_envs=2, seed=3)
    environment.setup()
    state = environment.state_dict()
    resumed = GymEnvironment("CartPole-v1", num_envs=2, seed=3)
    resumed.load_state_dict(state)
    resumed.setup()
    assert resumed.observe().obs.tolist() == starts(environment)
    assert starts(resumed) == starts(environment)


def test_a_state_of_other_environments_is_refused():
    state = begin(several(SyncVectorEnv)()).state_dict()
    environment = GymEnvironment(Drawing())
    environment.load_state_dict(state)
    with pytest.raises(
        ValueError, match=r"has the generators of 2 environments and .* make the environment as it was"
    ):
        environment.setup()


def test_parts_of_spaces_are_found_at_any_depth():
    inner = gymnasium.spaces.Dict({"a": gymnasium.spaces.Discrete(2), "b": gymnasium.spaces.Discrete(2)})
    space = gymnasium.spaces.Tuple([inner, gymnasium.spaces.Sequence(gymnasium.spaces.Discrete(2))])
    env = Drawing()
    env.action_space = space
    assert len(generators.state_of(env, is_seeded=False)["spaces"]) == 6 + 2
