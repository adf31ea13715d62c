"""A whole system in one thread: the order of things, agent time, pauses, errors, and nothing left behind."""

import random
import threading

import numpy as np
import pytest
import torch

from pamiq_sched import (
    Agent,
    Environment,
    FixedIntervalInteraction,
    Interaction,
    ManualClock,
    SequentialBuffer,
    Trainer,
)
from pamiq_sched.metrics.journal import NO_JOURNAL
from pamiq_sched.state.generators import environment_seed
from pamiq_sched.testing import FakeAgent, FakeBuffer, FakeEnvironment, FakeTrainingModel, run_steps


class Told:
    """A component that tells of the calls of its hooks, and raises in one of them."""

    def __init__(self, name, events, raise_in=()):
        super().__init__()
        self.name, self.events, self.raise_in = name, events, dict(raise_in)

    def tell(self, hook):
        self.events.append(f"{self.name}.{hook}")
        if f"{self.name}.{hook}" in self.raise_in:
            raise self.raise_in[f"{self.name}.{hook}"]

    def setup(self):
        super().setup()
        self.tell("setup")

    def teardown(self):
        super().teardown()
        self.tell("teardown")

    def on_paused(self):
        super().on_paused()
        self.tell("on_paused")

    def on_resumed(self):
        super().on_resumed()
        self.tell("on_resumed")

    def save_state(self, path):
        super().save_state(path)
        self.tell("save_state")


class ToldAgent(Told, Agent):
    def on_data_collectors_attached(self):
        self.collector = self.get_data_collector("data")

    def step(self, observation):
        self.tell("step")
        self.collector.collect(observation)


class ToldEnvironment(Told, Environment):
    def observe(self):
        self.tell("observe")

    def affect(self, action):
        self.tell("affect")


class ToldTrainer(Told, Trainer):
    def train(self):
        self.tell("train")

    def sync_models(self):
        super().sync_models()
        self.tell("sync_models")


def told(raise_in=(), **trainers):
    """All components of a system that tells what it does; trainers by name, with their conditions."""
    events = []
    interaction = Interaction(
        ToldAgent("agent", events, raise_in),
        ToldEnvironment("environment", events, raise_in),
        clock=ManualClock(),
    )
    made = {name: ToldTrainer(name, events, raise_in) for name in trainers or ("trainer",)}
    return events, (interaction, {}, {"data": FakeBuffer()}, made)


STEP = ["environment.observe", "agent.step", "environment.affect"]
TURN = ["trainer.setup", "trainer.train", "trainer.sync_models", "trainer.teardown"]


class Sampling(Trainer):
    """Draws one sample in each session, and says so."""

    def __init__(self, *args, counts=True, **kwargs):
        super().__init__(*args, **kwargs)
        self.counts = counts

    def on_data_users_attached(self):
        self.data = self.get_data_user("data")

    def train(self):
        if self.counts:
            self.data.count_samples(1)


class Doing(Trainer):
    """Trains by a function."""

    def __init__(self, action=lambda: None):
        super().__init__()
        self.action = action

    def train(self):
        self.action()


class Collecting(FakeAgent):
    """Collects what it sees."""

    def on_data_collectors_attached(self):
        self.collector = self.get_data_collector("data")

    def step(self, observation):
        self.collector.collect(observation)
        return super().step(observation)


def collecting(trainer, **kwargs):
    """Run an agent that collects an item in each step, with one trainer; return its sessions."""
    interaction = Interaction(Collecting(), FakeEnvironment(), clock=ManualClock())
    run = run_steps(interaction, {}, {"data": SequentialBuffer(100)}, {"trainer": trainer}, **kwargs)
    return run.sessions["trainer"]


def paced(interval=0.1, *, agent=None, environment=None, clock=None):
    return FixedIntervalInteraction.with_sleep_adjustor(
        agent or FakeAgent(),
        environment or FakeEnvironment(),
        interval,
        clock=ManualClock(autojump=True) if clock is None else clock,
    )


# The order of things


def test_each_step_is_followed_by_the_trainers_turns():
    events, parts = told()
    run = run_steps(*parts, steps=2)
    begin, end = ["agent.setup", "environment.setup"], ["agent.teardown", "environment.teardown"]
    assert events == [*begin, *STEP, *TURN, *STEP, *TURN, *end]
    assert run.sessions == {"trainer": 2}


def test_trainers_take_their_turns_in_their_order():
    events, parts = told(b=None, a=None)
    run_steps(*parts, steps=1)
    assert [event for event in events if "train" in event] == ["b.train", "a.train"]


def test_an_interaction_is_all_that_is_needed():
    agent = FakeAgent()
    run = run_steps(Interaction(agent, FakeEnvironment("ab"), clock=ManualClock()), steps=3)
    assert agent.observations == ["a", "b", "b"]
    assert (run.sessions, run.logged) == ({}, {})


def test_no_steps_are_a_setup_and_a_teardown():
    events, parts = told()
    run_steps(*parts, steps=0)
    assert events == ["agent.setup", "environment.setup", "agent.teardown", "environment.teardown"]


def test_steps_of_an_interaction_that_does_not_count_are_counted():
    class Own(Interaction):
        def step(self):
            self.agent.step(None)

    interaction = Own(FakeAgent(), FakeEnvironment(), clock=ManualClock())
    run_steps(interaction, steps=3)
    assert interaction.steps == 3


def test_after_each_step_and_its_turns_the_number_of_the_step_is_told():
    events, parts = told()
    run_steps(*parts, steps=2, on_step=events.append)
    assert [event for event in events if event in ("trainer.teardown", 1, 2)] == [
        "trainer.teardown",
        1,
        "trainer.teardown",
        2,
    ]


def test_a_trainer_without_a_condition_gets_so_many_turns_after_each_step():
    assert collecting(Sampling(), steps=3, turns_per_step=4) == 12


def test_a_trainer_waits_for_its_new_data_however_many_turns_there_are():
    assert collecting(Sampling("data", min_new_data_count=5), steps=12, turns_per_step=4) == 2


def test_a_trainer_with_a_replay_ratio_trains_as_much_as_that_allows():
    """Three samples are paid by each item, whatever the turns."""
    assert collecting(Sampling("data", max_replay_ratio=3), steps=10) == 30


def test_a_replay_ratio_below_1_lets_items_add_up():
    assert collecting(Sampling("data", max_replay_ratio=0.25), steps=10, turns_per_step=8) == 3


def test_a_replay_ratio_that_does_not_bind_does_not_train_for_ever(caplog):
    """A session that draws nothing that is counted leaves its credit as it was."""
    assert collecting(Sampling("data", max_replay_ratio=3, counts=False), steps=4) == 4
    assert "drew no sample that was counted" in caplog.text


def test_what_trainers_save_up_is_made_up_for_when_they_can_train():
    trainer = Sampling("data", min_buffer_size=8, max_replay_ratio=1)
    assert collecting(trainer, steps=8) == 8


def test_the_connected_components_are_returned():
    model = FakeTrainingModel()
    interaction = Interaction(Collecting(), FakeEnvironment("ab"), clock=ManualClock())
    parts = run_steps(interaction, {"model": model}, {"data": FakeBuffer()}, steps=2).components
    assert parts.data_users["data"].get_data() == ["a", "b"]
    assert parts.inference_models["model"] is model.inference_model


def test_wishes_of_a_trainer_do_not_block():
    trainer = Doing(lambda: (trainer.wake(), trainer.pause_point()))
    assert collecting(trainer, steps=2) == 2


# What is logged


def test_logged_values_are_returned_with_the_steps_of_their_component():
    class Logging(Trainer):
        def train(self):
            for _ in range(2):
                self.log("loss", self.step_count / 2)
                self.step_completed()

    class Child(FakeAgent):
        def step(self, observation):
            self.log("seen", observation)

    class Parent(FakeAgent):
        def __init__(self):
            super().__init__()
            self.child = Child()
            Agent.__init__(self, {"child": self.child})

        def step(self, observation):
            self.child.step(observation)
            self.log("return", torch.tensor(float(observation)))

    interaction = Interaction(Parent(), FakeEnvironment([5, 7]), clock=ManualClock())
    run = run_steps(interaction, trainers={"one": Logging(), "two": Logging()}, steps=2)
    losses = [(0, 0.0), (1, 0.5), (2, 1.0), (3, 1.5)]
    assert run.logged == {
        "agent/return": [(0, 5.0), (1, 7.0)],
        "agent/child/seen": [(0, 5.0), (1, 7.0)],
        "one/loss": losses,
        "two/loss": losses,
    }
    assert run.logged["one/loss"][-1].value == 1.5


def test_values_are_not_merged_however_many_there_are():
    agent = FakeAgent(lambda observation: [agent.log("x", i) for i in range(1000)])
    run = run_steps(Interaction(agent, FakeEnvironment(), clock=ManualClock()), steps=2)
    assert run.logged["agent/x"] == [(step, i) for step in (0, 1) for i in range(1000)]


def test_what_is_logged_in_the_teardown_is_kept():
    class Last(FakeAgent):
        def teardown(self):
            super().teardown()
            self.log("total", 3.0)

    run = run_steps(Interaction(Last(), FakeEnvironment(), clock=ManualClock()), steps=2)
    assert run.logged == {"agent/total": [(2, 3.0)]}


# Time


def test_a_paced_interaction_runs_through_agent_time_at_once():
    """A real wait of an hour would not go unnoticed."""
    interaction, seen = paced(3600.0), []
    clock = interaction.clock
    run_steps(interaction, trainers={"trainer": Doing(lambda: seen.append(clock.time()))}, steps=3)
    assert seen == [3600.0, 7200.0, 10800.0]
    assert interaction.adjustor.misses == 0


def test_data_is_stamped_by_the_clock_of_the_interaction():
    interaction = paced(1.0, agent=Collecting())
    users = run_steps(interaction, buffers={"data": FakeBuffer()}, steps=10).components.data_users
    users["data"].update()
    assert users["data"].count_data_added_since(6.5) == 3


def test_a_clock_that_nobody_moves_is_told_of_before_anything_waits():
    events, parts = told()
    interaction = paced(agent=parts[0].agent, environment=parts[0].environment, clock=ManualClock(7.0))
    with pytest.raises(RuntimeError, match=r"reads 7\.0 s and is moved by nobody.*does not jump.*autojump=True"):
        run_steps(interaction, *parts[1:], steps=2)
    assert events[-2:] == ["agent.teardown", "environment.teardown"]


def test_a_clock_that_the_environment_moves_needs_no_jumps():
    clock = ManualClock()
    agent = FakeAgent(lambda observation: clock.advance(0.1))
    run_steps(paced(0.1, agent=agent, clock=clock), steps=5)
    assert clock.time() == pytest.approx(0.5)


def test_a_clock_that_is_paused_on_the_way_is_told_of_before_anything_waits():
    clock = ManualClock(autojump=True)
    with pytest.raises(RuntimeError, match="it is paused"):
        run_steps(paced(agent=FakeAgent(lambda observation: clock.pause()), clock=clock), steps=2)


def test_a_clock_that_is_paused_before_is_refused():
    events, parts = told()
    parts[0].clock.pause()
    with pytest.raises(RuntimeError, match=r"the clock of the interaction is paused.*resume\(\)"):
        run_steps(*parts, steps=2)
    assert events == []


# Pauses


def test_a_pause_comes_between_two_steps():
    events, parts = told()
    run_steps(*parts, steps=3, pause_at=[2])
    at = [i for i, event in enumerate(events) if event == "agent.step"]
    paused = ["agent.on_paused", "environment.on_paused", "trainer.on_paused"]
    resumed = ["trainer.on_resumed", "agent.on_resumed", "environment.on_resumed"]
    assert [event for event in events[at[1] : at[2]] if "on_" in event] == [*paused, *resumed]
    assert sum("on_paused" in event for event in events) == 3


def test_agent_time_runs_when_components_are_resumed():
    class Asking(FakeAgent):
        def on_resumed(self):
            super().on_resumed()
            assert not clock.is_paused()

    clock = ManualClock()
    run_steps(Interaction(Asking(), FakeEnvironment(), clock=clock), steps=1, pause_at=[1])


def test_a_pause_ends_a_sequence_of_items():
    class Sequences(FakeBuffer):
        def break_sequence(self):
            self.items.append("|")

    interaction = Interaction(Collecting(), FakeEnvironment("abcd"), clock=ManualClock())
    run = run_steps(interaction, buffers={"data": Sequences()}, steps=4, pause_at=iter([3, 1]))
    assert run.components.data_users["data"].get_data() == ["a", "|", "b", "c", "|", "d"]


# Errors

HOOKS = [
    *(
        f"{who}.{hook}"
        for who in ("agent", "environment")
        for hook in ("setup", "teardown", "on_paused", "on_resumed")
    ),
    *("agent.step", "environment.observe", "environment.affect", "agent.save_state", "environment.save_state"),
    *(f"trainer.{hook}" for hook in ("setup", "train", "sync_models", "teardown", "on_paused", "on_resumed")),
    "trainer.save_state",
]


@pytest.mark.parametrize("hook", HOOKS)
@pytest.mark.parametrize("kind", [ValueError, KeyboardInterrupt])
def test_what_a_hook_raises_reaches_the_caller_as_itself_and_all_is_torn_down(hook, kind, tmp_path):
    error = kind("on purpose")
    events, parts = told({hook: error})
    with pytest.raises(kind) as caught:
        run_steps(*parts, steps=2, pause_at=[1], save_to=tmp_path / "state")
    assert caught.value is error
    assert ("agent.teardown" in events) == (hook != "agent.setup")  # which its own setup has not come to
    assert ("environment.teardown" in events) == (hook not in ("agent.setup", "environment.setup"))
    assert not parts[0].clock.is_paused()
    assert (tmp_path / "state").exists() == (hook in ("agent.teardown", "environment.teardown"))


def test_what_the_callback_raises_reaches_the_caller_and_all_is_torn_down():
    events, parts = told()
    with pytest.raises(ZeroDivisionError):
        run_steps(*parts, steps=2, on_step=lambda step: 1 / (step - 2))
    assert events[-2:] == ["agent.teardown", "environment.teardown"]


def test_several_errors_reach_the_caller_together():
    errors = {"agent.step": ValueError("first"), "environment.teardown": OSError("second")}
    _, parts = told(errors)
    with pytest.raises(BaseExceptionGroup) as caught:
        run_steps(*parts, steps=1)
    assert list(caught.value.exceptions) == list(errors.values())


def test_those_that_were_paused_are_resumed_if_another_raises():
    events, parts = told({"trainer.on_paused": ValueError("on purpose")})
    with pytest.raises(ValueError, match="on purpose"):
        run_steps(*parts, steps=2, pause_at=[1])
    assert [e for e in events if "on_resumed" in e] == ["agent.on_resumed", "environment.on_resumed"]


# What is refused


@pytest.mark.parametrize(
    ("wrong", "error", "text"),
    [
        ({"steps": -1}, ValueError, "steps must be"),
        ({"steps": 1.5}, TypeError, "steps must be"),
        ({"steps": 1, "turns_per_step": 0}, ValueError, "turns_per_step must be"),
        ({"steps": 3, "pause_at": [4]}, ValueError, "a step of pause_at must be"),
        ({"steps": 3, "pause_at": [0]}, ValueError, "a step of pause_at must be"),
        ({"steps": 3, "seed": -1}, ValueError, "seed must be"),
        ({"steps": 3, "seed": 2**32}, ValueError, "seed must be"),
        ({"steps": 3, "load_from": 1}, TypeError, "load_from must be"),
        ({"steps": 3, "trainers": {"a": "b"}}, TypeError, r"trainers\['a'\] must be a Trainer"),
        ({"steps": 3, "buffers": []}, TypeError, "must map names"),
    ],
)
def test_a_wrong_argument_is_refused_before_anything_runs(wrong, error, text):
    agent = FakeAgent()
    with pytest.raises(error, match=text):
        run_steps(Interaction(agent, FakeEnvironment(), clock=ManualClock()), **wrong)
    assert agent.observations == []


def test_what_is_no_interaction_is_refused():
    with pytest.raises(TypeError, match="interaction must be"):
        run_steps(FakeAgent(), steps=1)


def test_a_missing_part_is_refused_as_by_a_system():
    with pytest.raises(KeyError, match="no data collector 'data'"):
        run_steps(Interaction(Collecting(), FakeEnvironment()), steps=1)


def test_a_condition_that_can_never_hold_is_refused_as_by_a_system():
    with pytest.raises(ValueError, match="would never train"):
        collecting(Sampling("data", min_buffer_size=101), steps=1)


# What is left


def draws():
    return random.random(), float(np.random.random()), float(torch.rand(()))


def test_a_seed_decides_what_is_drawn_and_the_generators_are_put_back():
    drawn = []
    interaction = Interaction(FakeAgent(lambda _: drawn.append(draws())), FakeEnvironment(), clock=ManualClock())
    state = random.getstate(), np.random.get_state(), torch.get_rng_state()
    run_steps(interaction, steps=2, seed=3)
    run_steps(interaction, steps=2, seed=3)
    run_steps(interaction, steps=2, seed=4)
    assert drawn[0:2] == drawn[2:4]
    assert not set(drawn[0:2]) & set(drawn[4:6])
    assert random.getstate() == state[0]
    assert np.array_equal(np.random.get_state()[1], state[1][1])
    assert torch.equal(torch.get_rng_state(), state[2])


def test_the_generators_are_put_back_behind_an_error():
    _, parts = told({"agent.teardown": ValueError("on purpose")})
    state = random.getstate(), torch.get_rng_state()
    with pytest.raises(ValueError, match="on purpose"):
        run_steps(*parts, steps=1, seed=3, on_step=lambda _: draws())
    assert random.getstate() == state[0]
    assert torch.equal(torch.get_rng_state(), state[1])


def test_without_a_seed_the_process_draws_on():
    random.seed(5)
    expected = [random.random() for _ in range(3)]
    random.seed(5)
    drawn = []
    agent = FakeAgent(lambda _: drawn.append(random.random()))
    run_steps(Interaction(agent, FakeEnvironment(), clock=ManualClock()), steps=2)
    assert [*drawn, random.random()] == expected


def test_the_environment_gets_the_seed_that_a_system_would_give_it_before_its_setup():
    seeds = []

    class Seeded(FakeEnvironment):
        def attach_seed(self, seed):
            seeds.append(seed)

        def setup(self):
            seeds.append("setup")

    run_steps(Interaction(FakeAgent(), Seeded(), clock=ManualClock()), steps=1, seed=3)
    assert seeds == [environment_seed(3), "setup"]


def test_nothing_of_the_process_is_changed_and_no_thread_is_started():
    before = torch.get_num_threads(), threading.active_count()
    during = []
    agent = FakeAgent(lambda _: during.append((torch.get_num_threads(), threading.active_count())))
    interaction = Interaction(agent, FakeEnvironment())
    run_steps(interaction, trainers={"trainer": Doing()}, steps=2, pause_at=[1], seed=1)
    assert {before, *during, (torch.get_num_threads(), threading.active_count())} == {before}
    assert not interaction.clock.is_paused()


def test_what_is_logged_behind_the_run_is_not_kept():
    agent = FakeAgent(lambda _: agent.log("x", 1.0))
    run = run_steps(Interaction(agent, FakeEnvironment(), clock=ManualClock()), steps=2)
    agent.log("x", 2.0)
    assert run.logged == {"agent/x": [(0, 1.0), (1, 1.0)]}
    assert agent._journal is NO_JOURNAL


def test_an_interaction_can_wait_for_another_thread_again_behind_the_run():
    """Its pause point is the run's no more."""
    clock = ManualClock(autojump=True)
    interaction = paced(0.1, clock=clock)
    run_steps(interaction, steps=1)
    assert not interaction.adjustor.pause_point.is_requested()
    clock.pause()
    assert not interaction.adjustor.pause_point.is_requested()
    clock.resume()
