"""The loop: observe, decide, affect; and both parts hear of everything."""

import contextlib

import pytest

from pamiq_sched import (
    Agent,
    Environment,
    FixedIntervalInteraction,
    Interaction,
    ManualClock,
    ShutdownRequested,
    SleepIntervalAdjustor,
    system_clock,
)
from pamiq_sched.testing import FakeAgent, FakeEnvironment


class Part:
    """Notes its hooks, and raises where it is told to."""

    def __init__(self, name, calls, raises=None):
        super().__init__()
        self.name = name
        self.calls = calls
        self.raises = raises or {}

    def note(self, hook):
        self.calls.append(f"{self.name} {hook}")
        if hook in self.raises:
            raise self.raises[hook]

    def setup(self):
        super().setup()
        self.note("setup")

    def teardown(self):
        self.note("teardown")
        super().teardown()

    def on_paused(self):
        super().on_paused()
        self.note("on_paused")

    def on_resumed(self):
        super().on_resumed()
        self.note("on_resumed")

    def save_state(self, path):
        super().save_state(path)
        path.with_name(path.name + ".txt").write_text(self.name)

    def load_state(self, path):
        super().load_state(path)
        self.note("loaded " + path.with_name(path.name + ".txt").read_text())


class NotingAgent(Part, Agent):
    """An agent that notes."""

    def step(self, observation):
        self.note(f"step {observation}")
        return observation + 1


class NotingEnvironment(Part, Environment):
    """An environment that notes; observations count up."""

    seen = 0

    def observe(self):
        self.note("observe")
        self.seen += 10
        return self.seen

    def affect(self, action):
        self.note(f"affect {action}")


def make(calls, agent=None, environment=None):
    return Interaction(
        NotingAgent("agent", calls, agent),
        NotingEnvironment("environment", calls, environment),
    )


def test_a_step_observes_decides_and_affects():
    calls = []
    interaction = make(calls)
    interaction.step()
    interaction.step()
    assert calls == [
        "environment observe",
        "agent step 10",
        "environment affect 11",
        "environment observe",
        "agent step 20",
        "environment affect 21",
    ]


@pytest.mark.parametrize("hook", ["setup", "teardown", "on_paused", "on_resumed"])
def test_both_parts_hear_of_an_event_the_agent_first(hook):
    calls = []
    getattr(make(calls), hook)()
    assert calls == [f"agent {hook}", f"environment {hook}"]


@pytest.mark.parametrize("error", [RuntimeError("no"), SystemExit(3), KeyboardInterrupt()], ids=repr)
@pytest.mark.parametrize("hook", ["teardown", "on_paused", "on_resumed"])
@pytest.mark.parametrize("part", ["agent", "environment"])
def test_both_parts_hear_of_an_event_though_one_raises(hook, part, error):
    calls = []
    with pytest.raises(type(error)) as caught:
        getattr(make(calls, **{part: {hook: error}}), hook)()
    assert caught.value is error
    assert calls == [f"agent {hook}", f"environment {hook}"]


@pytest.mark.parametrize("hook", ["teardown", "on_paused", "on_resumed"])
def test_errors_of_both_parts_are_raised_as_a_group(hook):
    errors = RuntimeError("a"), RuntimeError("b")
    with pytest.raises(BaseExceptionGroup, match=f"agent and environment raised in {hook}") as caught:
        getattr(make([], {hook: errors[0]}, {hook: errors[1]}), hook)()
    assert caught.value.exceptions == errors


def test_an_environment_that_fails_in_setup_has_the_agent_torn_down():
    calls, error = [], RuntimeError("no")
    with pytest.raises(RuntimeError) as caught:
        make(calls, environment={"setup": error}).setup()
    assert caught.value is error
    assert calls == ["agent setup", "environment setup", "agent teardown"]


def test_an_agent_that_fails_in_setup_leaves_the_environment_alone():
    calls = []
    with pytest.raises(RuntimeError):
        make(calls, agent={"setup": RuntimeError("no")}).setup()
    assert calls == ["agent setup"]


def test_a_grandchild_that_was_set_up_is_torn_down_when_the_environment_fails():
    calls = []

    class Parent(Part, Agent):
        def __init__(self, name, child=None):
            Agent.__init__(self, {"child": child} if child else None)
            self.name, self.calls, self.raises = name, calls, {}

        def step(self, observation):
            return observation

    agent = Parent("parent", Parent("child", Parent("grandchild")))
    environment = NotingEnvironment("environment", calls, {"setup": RuntimeError("no")})
    with pytest.raises(RuntimeError):
        Interaction(agent, environment).setup()
    assert sorted(c for c in calls if "teardown" in c) == [
        "child teardown",
        "grandchild teardown",
        "parent teardown",
    ]


def test_children_are_torn_down_though_their_parent_raises_before_it_hands_on():
    calls = []

    class Parent(Agent):
        def step(self, observation):
            return observation

        def teardown(self):
            raise RuntimeError("before super()")

    interaction = Interaction(Parent({"child": NotingAgent("child", calls)}), FakeEnvironment())
    interaction.setup()
    with pytest.raises(RuntimeError, match="before super"):
        interaction.teardown()
    assert calls == ["child setup", "child teardown"]


def test_both_parts_are_saved_and_loaded(tmp_path):
    make([]).save_state(tmp_path / "interaction")
    calls = []
    make(calls).load_state(tmp_path / "interaction")
    assert calls == ["agent loaded agent", "environment loaded environment"]


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ((FakeEnvironment(), FakeAgent()), "agent must be of the class Agent, got an object of the class FakeEnv"),
        ((FakeAgent(), FakeAgent), "environment must be of the class Environment"),
    ],
)
def test_agent_and_environment_must_be_what_they_are_called(parts, message):
    with pytest.raises(TypeError, match=message):
        Interaction(*parts)


# How long the steps take.


class TakingTime(FakeEnvironment):
    """An environment that takes a second to observe and four to affect."""

    def __init__(self, clock):
        super().__init__()
        self.clock = clock

    def observe(self):
        self.clock.advance(1.0)
        return super().observe()

    def affect(self, action):
        self.clock.advance(4.0)
        super().affect(action)


def test_a_step_counts_the_time_of_all_three_parts(clock):
    agent = FakeAgent(lambda _: clock.advance(2.0))
    interaction = Interaction(agent, TakingTime(clock), clock=clock)
    interaction.step()
    clock.advance(100.0)
    interaction.step()
    times = interaction.step_times.summary()
    assert (times.count, times.p50, times.longest) == (2, 7.0, 7.0)


def test_steps_are_measured_in_agent_time(clock):
    clock.set_time_scale(3.0)
    interaction = Interaction(FakeAgent(), TakingTime(clock), clock=clock)
    interaction.step()
    assert interaction.step_times.summary().longest == 15.0


def test_steps_are_measured_by_the_system_clock_unless_another_is_given():
    interaction = Interaction(FakeAgent(), FakeEnvironment())
    system_clock().pause()
    try:
        interaction.step()
    finally:
        system_clock().resume()
    times = interaction.step_times.summary()
    assert (times.count, times.longest) == (1, 0.0)


@pytest.mark.parametrize("hook", ["environment.observe", "agent.step", "environment.affect"])
def test_a_step_that_raises_counts_nothing(clock, hook):
    interaction = Interaction(FakeAgent(), TakingTime(clock), clock=clock)
    part, name = hook.split(".")

    def fail(*_):
        raise OSError("no camera")

    setattr(getattr(interaction, part), name, fail)
    with pytest.raises(OSError, match="no camera"):
        interaction.step()
    assert interaction.step_times.summary().count == 0


def test_a_step_of_ones_own_counts_what_the_inherited_one_takes(clock):
    class Noting(Interaction):
        def step(self):
            clock.advance(10.0)
            super().step()
            clock.advance(10.0)

    interaction = Noting(FakeAgent(), TakingTime(clock), clock=clock)
    interaction.step()
    times = interaction.step_times.summary()
    assert (times.count, times.longest) == (1, 5.0)


# At fixed moments.


def test_a_paced_step_acts_and_then_waits_for_the_next_moment():
    clock = ManualClock(autojump=True)
    agent = FakeAgent(lambda _: clock.time())
    environment = FakeEnvironment()
    interaction = FixedIntervalInteraction.with_sleep_adjustor(agent, environment, 0.5, clock=clock)
    interaction.setup()
    for _ in range(4):
        interaction.step()
    assert environment.actions == [0.0, 0.5, 1.0, 1.5]
    assert clock.time() == 2.0


def test_the_grid_starts_when_everything_is_set_up():
    clock = ManualClock(autojump=True)

    class Slow(FakeEnvironment):
        def setup(self):
            super().setup()
            clock.advance(7.3)

    interaction = FixedIntervalInteraction.with_sleep_adjustor(FakeAgent(), Slow(), 0.5, clock=clock)
    interaction.setup()
    interaction.step()
    assert clock.time() == pytest.approx(7.8)
    assert interaction.adjustor.misses == 0


def test_the_attached_pause_point_stops_a_pacing_sleep():
    class ShutDown:
        def is_requested(self):
            return True

        def __call__(self):
            raise ShutdownRequested

    clock = ManualClock()
    interaction = FixedIntervalInteraction.with_sleep_adjustor(FakeAgent(), FakeEnvironment(), 1.0, clock=clock)
    interaction.attach_pause_point(ShutDown())
    interaction.setup()
    with pytest.raises(ShutdownRequested):
        interaction.step()
    assert clock.time() == 0.0


def test_an_adjustor_of_ones_own_is_used():
    adjustor = SleepIntervalAdjustor(2.0, clock=ManualClock(autojump=True))
    interaction = FixedIntervalInteraction(FakeAgent(), FakeEnvironment(), adjustor)
    assert interaction.adjustor is adjustor
    interaction.setup()
    interaction.step()
    assert adjustor.clock.time() == 2.0


def test_the_offset_reaches_the_adjustor():
    clock = ManualClock(autojump=True)
    interaction = FixedIntervalInteraction.with_sleep_adjustor(
        FakeAgent(), FakeEnvironment(), 1.0, 0.25, clock=clock
    )
    interaction.setup()
    interaction.step()
    assert clock.time() == 0.75


def test_the_wait_is_no_part_of_the_step_time():
    clock = ManualClock(autojump=True)
    interaction = FixedIntervalInteraction.with_sleep_adjustor(FakeAgent(), TakingTime(clock), 60.0, clock=clock)
    interaction.setup()
    interaction.step()
    interaction.step()
    assert clock.time() == 120.0
    times = interaction.step_times.summary()
    assert (times.count, times.p50, times.longest) == (2, 5.0, 5.0)


@pytest.mark.parametrize(
    ("policy", "moments"),
    [
        ({}, [0.0, 3.5, 4.0, 5.0, 6.0]),
        ({"missed": "skip"}, [0.0, 3.5, 4.0, 5.0, 6.0]),
        ({"missed": "catch_up"}, [0.0, 3.5, 3.5, 3.5, 4.0]),
    ],
    ids=str,
)
def test_what_becomes_of_missed_moments_is_up_to_the_maker(policy, moments):
    """The first step takes 3.5 intervals."""
    clock = ManualClock(autojump=True)
    begun = []

    def decide(_):
        begun.append(clock.time())
        if len(begun) == 1:
            clock.advance(3.5)

    interaction = FixedIntervalInteraction.with_sleep_adjustor(
        FakeAgent(decide), FakeEnvironment(), 1.0, clock=clock, **policy
    )
    interaction.setup()
    for _ in moments:
        interaction.step()
    assert begun == moments
    assert interaction.adjustor.misses == 3


# Going on from a save.


def saved_and_loaded(interaction, make, folder):
    """Save a clock and an interaction, load them into others that were made anew; return these."""
    interaction.save_state(folder / "interaction")
    clock = ManualClock(autojump=True)
    later = make(clock)
    clock.load_state_dict(interaction._clock.state_dict())
    later.load_state(folder / "interaction")
    later.setup()
    return later


def test_steps_are_counted_on(tmp_path):
    def make(clock):
        return Interaction(FakeAgent(), FakeEnvironment(), clock=clock)

    interaction = make(ManualClock())
    for _ in range(3):
        interaction.step()
    later = saved_and_loaded(interaction, make, tmp_path)
    later.step()
    assert later.steps == 4


class StopsInTheWait:
    """Shuts down at its n-th pause point, as a system that is saved in the middle of a pacing sleep."""

    def __init__(self, n):
        self.left = n

    def __call__(self):
        self.left -= 1
        if self.left == 0:
            raise ShutdownRequested

    def is_requested(self):
        return self.left == 1


@pytest.mark.parametrize("stopped_in_the_wait", [True, False])
def test_a_resumed_interaction_takes_each_step_at_the_moment_of_the_uninterrupted_one(
    stopped_in_the_wait, tmp_path
):
    """What is left of a wait is waited for first, and no step is taken twice."""

    def make(clock, moments=None):
        decide = moments.append if moments is not None else (lambda _: None)
        agent = FakeAgent(lambda _: decide(clock.perf_counter()))
        return FixedIntervalInteraction.with_sleep_adjustor(agent, FakeEnvironment(), 0.1, clock=clock)

    whole = []
    interaction = make(ManualClock(autojump=True), whole)
    interaction.setup()
    for _ in range(8):
        interaction.step()

    moments = []
    interaction = make(ManualClock(autojump=True), moments)
    if stopped_in_the_wait:
        interaction.attach_pause_point(StopsInTheWait(3))
    interaction.setup()
    with contextlib.suppress(ShutdownRequested):
        for _ in range(3):
            interaction.step()
    later = saved_and_loaded(interaction, lambda clock: make(clock, moments), tmp_path)
    assert later.steps == 3
    for _ in range(5):
        later.step()
    assert moments == whole
    assert later.adjustor.misses == 0


def test_time_that_the_setup_takes_is_no_miss(tmp_path):
    """A simulator takes its time to start; the steps that would have been are not caught up."""

    def make(clock):
        class Slow(FakeEnvironment):
            def setup(self):
                clock.advance(10.0)

        return FixedIntervalInteraction.with_sleep_adjustor(
            FakeAgent(), Slow(), 0.1, missed="catch_up", clock=clock
        )

    interaction = make(ManualClock(autojump=True))
    interaction.setup()
    interaction.step()
    later = saved_and_loaded(interaction, make, tmp_path)
    later.step()
    later.step()
    assert later.adjustor.misses == 0
    assert later.adjustor.lateness.summary().longest == pytest.approx(0.0, abs=1e-9)


def test_with_another_interval_the_grid_starts_anew(tmp_path):
    def make(clock, interval=0.5):
        return FixedIntervalInteraction.with_sleep_adjustor(FakeAgent(), FakeEnvironment(), interval, clock=clock)

    interaction = make(ManualClock(autojump=True))
    interaction.setup()
    interaction.step()
    later = saved_and_loaded(interaction, lambda clock: make(clock, 0.25), tmp_path)
    later.step()
    assert later.adjustor.clock.monotonic() == 0.75


def test_an_interaction_that_is_paced_in_another_way_goes_on(tmp_path):
    def make(clock):
        return Interaction(FakeAgent(), FakeEnvironment(), clock=clock)

    def make_paced(clock):
        return FixedIntervalInteraction.with_sleep_adjustor(FakeAgent(), FakeEnvironment(), 0.5, clock=clock)

    for i, (before, after) in enumerate([(make, make_paced), (make_paced, make)]):
        (tmp_path / str(i)).mkdir()
        interaction = before(ManualClock(autojump=True))
        interaction.setup()
        interaction.step()
        assert saved_and_loaded(interaction, after, tmp_path / str(i)).steps == 1
