"""Agents for Gymnasium environments: episodes begin with on_reset, go on with on_step."""

import numpy as np
import pytest

from pamiq_sched import EnvReset, EnvStep, GymAction, GymAgent
from pamiq_sched.gym import VectorGymAgent, VectorStep
from pamiq_sched.metrics import Recorder


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


def test_hooks_are_called_by_keyword():
    """The order of pamiq-core's own example is another one; by position the two ends would be mixed up."""

    class Ported(GymAgent):
        def on_reset(self, info, obs):
            return obs, info

        def on_step(self, obs, reward, truncated, terminated, info):
            return obs, reward, truncated, terminated, info

    agent = Ported()
    assert agent.step(EnvReset("obs", {"a": 1})).action == ("obs", {"a": 1})
    assert agent.step(EnvStep("obs", 0.5, True, False, {})).action == ("obs", 0.5, False, True, {})


# Returns.


class Ending(Noting):
    def on_episode_end(self, episode_return, episode_length):
        self.told.append(("end", episode_return, episode_length))


def test_an_episode_is_summed_up_at_its_end():
    agent = Ending()
    agent.step(EnvReset("first", {}))
    for _ in range(2):
        agent.step(step("next"))
    agent.step((step("last", truncated=True), EnvReset("first", {})))
    assert [told[0] for told in agent.told] == ["reset", "step", "step", "step", "end", "reset"]
    assert agent.told[4] == ("end", 1.5, 3)


def test_the_next_one_begins_from_nothing():
    agent = Ending()
    agent.step(step("cut off by a restart"))
    agent.step(EnvReset("first", {}))
    agent.step((step("last", terminated=True), EnvReset("first", {})))
    assert ("end", 0.5, 1) in agent.told


def logged(agent, observations):
    recorder = Recorder()
    agent.attach_journal(recorder.open("agent"))
    for observation in observations:
        agent.step(observation)
    return [(point.name, point.value) for point in recorder.collect()[0]]


def test_returns_and_lengths_are_logged():
    end = step("last", terminated=True), EnvReset("first", {})
    assert logged(Noting(), [EnvReset("first", {}), step("next"), end, step("next")]) == [
        ("agent/episode_return", 1.0),
        ("agent/episode_length", 2.0),
    ]


class NotingAll(VectorGymAgent):
    """Acts in two sub-environments; asks for new episodes where it is told to."""

    def __init__(self, need_reset=False):
        super().__init__()
        self.wanted = need_reset

    def on_reset(self, obs, info):
        return obs

    def on_step(self, step):
        self.need_reset = self.wanted
        return step.obs


def steps(reward, terminated=(False, False), first=(False, False), acted=(True, True)):
    flags = [np.array(each) for each in (terminated, (False, False), first, acted)]
    return VectorStep("obs", np.array(reward), *flags[:2], {}, "obs", {}, *flags[2:])


def test_those_of_sub_environments_are_logged_each_at_its_end():
    steps_ = [
        EnvReset("first", {}),
        steps([1.0, 2.0]),
        steps([1.0, 2.0], terminated=(True, False)),
        steps([0.0, 2.0], first=(True, False), acted=(False, True)),  # no step of the first one
        steps([5.0, 2.0], first=(False, True)),  # which the agent wanted
        steps([5.0, 2.0], terminated=(True, True), first=(True, True)),
    ]
    assert sorted(logged(NotingAll(), steps_)) == sorted(
        [("agent/episode_return", value) for value in (2.0, 8.0, 10.0, 2.0)]
        + [("agent/episode_length", value) for value in (2.0, 4.0, 2.0, 1.0)]
    )


def test_a_wanted_reset_of_some_is_wanted_once():
    agent = NotingAll(need_reset=np.array([True, False]))
    agent.step(EnvReset("first", {}))
    assert agent.step(steps([0.0, 0.0])).need_reset.tolist() == [True, False]
    agent.wanted = False
    assert agent.step(steps([0.0, 0.0])) == GymAction("obs", need_reset=False)


def test_setup_forgets_a_wanted_reset_of_some():
    agent = NotingAll()
    agent.need_reset = np.array([True, False])
    agent.setup()
    assert agent.need_reset is False


def test_what_it_does_not_know_is_refused():
    with pytest.raises(TypeError, match="derive the agent from VectorGymAgent"):
        Noting().step(VectorStep(*[None] * 9))
