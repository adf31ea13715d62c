"""Action masks: told to the agent, and kept by the environment."""

import gymnasium
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from pamiq_sched import EnvReset, EnvStep, GymAction, GymAgent, GymEnvironment, Interaction
from pamiq_sched.gym import VectorGymAgent

N_ACTIONS = 3


class Alternating(gymnasium.Env):
    """Forbids the action that was taken last; episodes have four steps. Its actions begin with 5."""

    observation_space = gymnasium.spaces.Discrete(9)
    action_space = gymnasium.spaces.Discrete(N_ACTIONS, start=5)
    tells = True

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.count, self.last = 0, None
        return 0, self.told()

    def step(self, action):
        assert action != self.last
        self.count, self.last = self.count + 1, action
        return self.count, 1.0, self.count == 4, False, self.told()

    def told(self):
        mask = np.ones(N_ACTIONS, np.int8)
        if self.last is not None:
            mask[self.last - 5] = 0
        return {"action_mask": mask} if self.tells else {}


class Observed(Alternating):
    """Tells the mask in the observation, as PettingZoo's environments do."""

    observation_space = gymnasium.spaces.Dict(
        {"observation": gymnasium.spaces.Discrete(9), "action_mask": gymnasium.spaces.MultiBinary(N_ACTIONS)}
    )

    def reset(self, *, seed=None, options=None):
        obs, info = super().reset(seed=seed)
        return {"observation": obs, **info}, {}

    def step(self, action):
        obs, *rest, info = super().step(action)
        return {"observation": obs, **info}, *rest, {}


class First(GymAgent):
    """Takes the first action that is allowed."""

    def __init__(self):
        super().__init__()
        self.masks = []

    def act(self):
        self.masks.append(self.action_mask.tolist())
        return 5 + int(np.flatnonzero(self.action_mask)[0])

    def on_reset(self, obs, info):
        return self.act()

    def on_step(self, obs, reward, terminated, truncated, info):
        return self.act()


class FirstOfEach(VectorGymAgent):
    """The same for several."""

    def __init__(self):
        super().__init__()
        self.masks = []

    def act(self):
        self.masks.append(self.action_mask.tolist())
        return 5 + self.action_mask.argmax(1)

    def on_reset(self, obs, info):
        return self.act()

    def on_step(self, step):
        return self.act()


def run(agent, environment, steps=12):
    interaction = Interaction(agent, environment)
    interaction.setup()
    for _ in range(steps):
        interaction.step()
    interaction.teardown()


@pytest.mark.parametrize("env", [Alternating, Observed])
def test_an_agent_sees_the_mask_of_what_it_acts_on(env):
    agent = First()
    run(agent, GymEnvironment(env()), 6)
    # The last observation of an episode has one too.
    assert agent.masks == [[1, 1, 1], [0, 1, 1], [1, 0, 1], [0, 1, 1], [1, 0, 1], [1, 1, 1], [0, 1, 1]]


@pytest.mark.parametrize("mode", AutoresetMode)
@pytest.mark.parametrize("env", [Alternating, Observed])
def test_an_agent_for_several_sees_a_row_for_each(env, mode):
    agent = FirstOfEach()
    run(agent, GymEnvironment(SyncVectorEnv([env] * 2, autoreset_mode=mode)))
    assert agent.masks[:2] == [[[1, 1, 1]] * 2, [[0, 1, 1]] * 2]


def test_there_is_no_mask_where_none_is_told():
    agent = First()
    assert agent.action_mask is None
    agent.act = lambda: agent.action_mask
    assert agent.step(EnvReset(0, {})) == GymAction(None)
    assert agent.step(EnvStep({"x": 1}, 0.0, False, False, {})) == GymAction(None)


def test_a_forbidden_action_is_refused_with_those_that_are_allowed():
    environment = GymEnvironment(Alternating())
    environment.setup()
    environment.affect(GymAction(6))
    with pytest.raises(
        ValueError, match=r"forbids the action 6; allowed are \[5, 7\]; choose by GymAgent.action_mask"
    ):
        environment.affect(GymAction(6))
    assert environment.env.count == 1  # it did not come to that
    environment.affect(GymAction(7))


def test_so_it_is_in_an_observation():
    environment = GymEnvironment(Observed())
    environment.setup()
    environment.affect(GymAction(6))
    with pytest.raises(ValueError, match="forbids the action 6"):
        environment.affect(GymAction(6))


def test_so_it_is_in_one_of_several():
    environment = GymEnvironment(SyncVectorEnv([Alternating] * 2))
    environment.setup()
    environment.affect(GymAction(np.array([5, 6])))
    with pytest.raises(ValueError, match=r"forbids the action 6 in sub-environment 1; allowed are \[5, 7\]"):
        environment.affect(GymAction(np.array([6, 6])))


def test_an_action_that_will_not_be_carried_out_may_be_any():
    """Where the episode ended with the last one and the next begins instead."""
    environment = GymEnvironment(SyncVectorEnv([Alternating] * 2, autoreset_mode=AutoresetMode.NEXT_STEP))
    environment.setup()
    for action in (5, 6, 5, 6, 6):
        environment.affect(GymAction(np.array([action] * 2)))
    assert environment.observe().first.all()


def test_sub_environments_that_tell_none_allow_all():
    class Untold(Alternating):
        tells = False

    agent = FirstOfEach()
    run(agent, GymEnvironment(SyncVectorEnv([Alternating, Untold])), 1)
    assert agent.masks[1:] == []
    agent.step(EnvReset(0, {"action_mask": np.zeros((2, 3)), "_action_mask": np.array([True, False])}))
    assert agent.masks[-1] == [[0, 0, 0], [1, 1, 1]]


def test_it_can_be_switched_off():
    environment = GymEnvironment(Alternating(), check_action_mask=False)
    environment.setup()
    environment.affect(GymAction(6))
    with pytest.raises(AssertionError):  # the environment's own
        environment.affect(GymAction(6))


def test_a_mask_of_another_shape_is_refused():
    class Wrong(Alternating):
        def told(self):
            return {"action_mask": np.ones(2)}

    environment = GymEnvironment(Wrong())
    environment.setup()
    with pytest.raises(ValueError, match=r"must have the shape \(3,\), got \(2,\)"):
        environment.affect(GymAction(6))


def test_taxi_tells_the_moves_that_lead_somewhere():
    class Random(GymAgent):
        def on_reset(self, obs, info):
            return environment.env.action_space.sample(self.action_mask)

        def on_step(self, obs, reward, terminated, truncated, info):
            assert info["action_mask"] is self.action_mask
            return environment.env.action_space.sample(self.action_mask)

    environment = GymEnvironment("Taxi-v4" if "Taxi-v4" in gymnasium.registry else "Taxi-v3", seed=0)
    run(Random(), environment, 30)
