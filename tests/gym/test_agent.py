"""Agents for Gymnasium environments: episodes begin with on_reset, go on with on_step."""

import pytest

from pamiq_sched import EnvReset, EnvStep, GymAction, GymAgent


class Noting(GymAgent):
    """Notes what it is told; its actions count up."""

    def __init__(self, reset_at=()):
        super().__init__()
        self.told = []
        self.reset_at = reset_at

    def act(self, *told):
        self.told.append(told)
        return len(self.told)

    def on_reset(self, obs, info):
        return self.act("reset", obs, info)

    def on_step(self, obs, reward, terminated, truncated, info):
        if obs in self.reset_at:
            self.need_reset = True
        return self.act("step", obs, reward, terminated, truncated, info)


def step(obs, terminated=False, truncated=False):
    return EnvStep(obs, 0.5, terminated, truncated, {})


def test_an_episode_begins_with_on_reset():
    agent = Noting()
    assert agent.step(EnvReset("obs", {"a": 1})) == GymAction(1)
    assert agent.told == [("reset", "obs", {"a": 1})]


def test_it_goes_on_with_on_step():
    agent = Noting()
    assert agent.step(EnvStep("obs", 0.5, False, True, {"a": 1})) == GymAction(1)
    assert agent.told == [("step", "obs", 0.5, False, True, {"a": 1})]


def test_at_its_end_both_are_told_and_the_action_is_that_of_the_new_one():
    agent = Noting()
    action = agent.step((step("last", terminated=True), EnvReset("first", {})))
    assert [told[:2] for told in agent.told] == [("step", "last"), ("reset", "first")]
    assert action == GymAction(2)


def test_a_wanted_reset_goes_with_the_action():
    agent = Noting(reset_at=["bored"])
    assert agent.step(step("bored")) == GymAction(1, need_reset=True)


def test_a_wanted_reset_is_wanted_once():
    agent = Noting(reset_at=["bored"])
    agent.step(step("bored"))
    action = agent.step((step("last"), EnvReset("first", {})))
    assert action == GymAction(3)
    assert agent.step(step("next")) == GymAction(4)


def test_a_reset_wanted_at_the_end_of_an_episode_is_the_one_that_comes_anyway():
    agent = Noting(reset_at=["last"])
    assert agent.step((step("last", terminated=True), EnvReset("first", {}))) == GymAction(2)


def test_setup_forgets_a_wanted_reset_of_the_last_run():
    agent = Noting(reset_at=["bored"])
    agent.step(step("bored"))
    agent.setup()
    assert not agent.need_reset


def test_both_hooks_must_be_overridden():
    with pytest.raises(TypeError, match="abstract"):
        GymAgent()
