"""Nothing polls: who waits is woken by what it waits for, whenever that comes, and by nothing else."""

import math
import threading
import time

import pytest

from pamiq_sched import (
    Clock,
    FixedIntervalInteraction,
    ManualClock,
    SequentialBuffer,
    System,
    Trainer,
)
from pamiq_sched.testing import FakeAgent, FakeEnvironment


class Log:
    """Counts what happens on one thread, for another to wait for."""

    def __init__(self):
        self._changed = threading.Condition()
        self._times = 0

    def note(self):
        with self._changed:
            self._times += 1
            self._changed.notify_all()

    @property
    def times(self):
        with self._changed:
            return self._times

    def wait_for(self, times):
        with self._changed:
            assert self._changed.wait_for(lambda: self._times >= times, 30.0), f"only {self._times} of {times}"


class Waiting(Trainer):
    """Notes when it was asked, and its sessions; ``at_ask`` and ``in_session`` run inside."""

    def __init__(self, *args, at_ask=lambda: None, in_session=lambda: None, **kwargs):
        super().__init__(*args, **kwargs)
        self.asked, self.sessions = Log(), Log()
        self.at_ask, self.in_session = at_ask, in_session

    def is_trainable(self):
        answer = super().is_trainable()
        self.at_ask()
        self.asked.note()
        return answer

    def seconds_until_trainable(self):
        return math.inf

    def train(self):
        self.in_session()
        self.sessions.note()


class Asked(Waiting):
    """Cannot tell when it may be trainable, and never is."""

    def is_trainable(self):
        self.asked.note()
        return False

    def seconds_until_trainable(self):
        return None


class Counted(ManualClock):
    """Counts how often it is read by the training thread."""

    readings = 0

    def monotonic(self):
        if threading.current_thread().name == "pamiq-training":
            self.readings += 1
        return super().monotonic()


def make_system(states_dir, trainers, *, clock=None, buffers=("data",), **config):
    """A system whose agent does nothing, once an hour; trainers are by name, or one."""
    return System(
        FixedIntervalInteraction.with_sleep_adjustor(FakeAgent(), FakeEnvironment(), 3600.0, clock=clock),
        {},
        {name: SequentialBuffer(1000) for name in buffers},
        trainers if isinstance(trainers, dict) else {"trainer": trainers},
        {"states_dir": states_dir, **config},
        clock=clock,
    )


def collect(trainer, n=1, name="data"):
    """Collect items from the calling thread, which is a foreign one to the system."""
    for _ in range(n):
        trainer.get_data_user(name).collector.collect("item")


@pytest.fixture
def a_while(tmp_path):
    """Let time pass in which a poller would have asked: one does, in a system of its own."""
    poller = Asked()
    with make_system(tmp_path / "other", poller, clock=Clock()):

        def pass_by():
            poller.asked.wait_for(poller.asked.times + 4)

        yield pass_by


def gate():
    """Return what blocks the first who calls it, an event that tells of that, and one that lets it go on."""
    reached, go_on = threading.Event(), threading.Event()

    def block():
        if not reached.is_set():
            reached.set()
            assert go_on.wait(30.0)

    return block, reached, go_on


# How often.


def test_who_waits_for_data_is_asked_once_at_the_start_and_then_once_per_item_at_the_most(tmp_path, a_while):
    trainers = {name: Waiting("data", min_buffer_size=1000) for name in "abc"}
    with make_system(tmp_path, trainers):
        trainers["c"].asked.wait_for(1)
        a_while()
        assert [t.asked.times for t in trainers.values()] == [1, 1, 1]
        for n in range(2, 22):
            collect(trainers["a"])
            trainers["c"].asked.wait_for(n)
        a_while()
        assert [t.asked.times for t in trainers.values()] == [21, 21, 21]
        collect(trainers["a"], 100)
        a_while()
        assert all(22 <= t.asked.times <= 121 for t in trainers.values())


def test_a_bunch_of_items_that_comes_while_training_is_busy_is_asked_for_once(tmp_path, a_while):
    block, reached, go_on = gate()
    trainer = Waiting("data", min_buffer_size=1000, at_ask=block)
    with make_system(tmp_path, trainer):
        assert reached.wait(30.0)
        collect(trainer, 100)
        go_on.set()
        trainer.asked.wait_for(2)
        a_while()
        assert trainer.asked.times == 2


def test_a_clock_that_is_changed_asks_nobody_who_waits_for_data(tmp_path, a_while):
    clock = ManualClock()
    trainer = Waiting("data", min_buffer_size=1000)
    with make_system(tmp_path, trainer, clock=clock):
        trainer.asked.wait_for(1)
        for _ in range(10):
            clock.advance(1.0)
            clock.pause()
            clock.resume()
        a_while()
        assert trainer.asked.times == 1


def test_the_base_condition_needs_no_hint(tmp_path, a_while):
    """Neither does a limit of the replay ratio: its trainers wait for data as well."""

    class Plain(Trainer):
        def __init__(self, **kwargs):
            super().__init__("data", min_buffer_size=1000, **kwargs)
            self.asked = Log()

        def train(self):
            raise AssertionError

        def seconds_until_trainable(self):
            self.asked.note()
            return super().seconds_until_trainable()

    trainers = {"plain": Plain(), "limited": Plain(max_replay_ratio=1)}
    with make_system(tmp_path, trainers):
        trainers["limited"].asked.wait_for(1)
        a_while()
        assert [t.asked.times for t in trainers.values()] == [1, 1]


def test_who_cannot_tell_is_asked_again_and_again_of_the_machines_time(tmp_path):
    """It may decide by anything, on a clock that stands still too."""
    trainer = Asked()
    clock = ManualClock()
    with make_system(tmp_path, trainer, clock=clock):
        trainer.asked.wait_for(3)
        clock.pause()
        trainer.asked.wait_for(6)


# Whenever an item comes.


def test_an_item_that_comes_while_its_trainer_is_asked_is_not_missed(tmp_path):
    """Behind the look at the data, before the answer."""
    block, reached, go_on = gate()
    trainer = Waiting("data", min_buffer_size=1, at_ask=block)
    with make_system(tmp_path, trainer):
        assert reached.wait(30.0)
        collect(trainer)
        go_on.set()
        trainer.sessions.wait_for(1)


def test_an_item_that_comes_between_the_last_look_and_the_wait_is_not_missed(tmp_path):
    class Interrupting(Counted):
        """Has an item collected in the first reading, behind which the training thread waits."""

        def monotonic(self):
            now = super().monotonic()
            if self.readings == 1 and threading.current_thread().name == "pamiq-training":
                collect(trainer)
            return now

    trainer = Waiting("data", min_buffer_size=1)
    clock = Interrupting()
    with make_system(tmp_path, trainer, clock=clock):
        trainer.sessions.wait_for(1)


def test_an_item_that_comes_in_the_session_of_another_trainer_is_not_missed(tmp_path):
    """Its own trainer was asked before, in this turn, and said no."""
    block, reached, go_on = gate()
    trainers = {"waits": Waiting("data", min_buffer_size=2), "trains": Waiting("data", 1, 1, in_session=block)}
    with make_system(tmp_path, trainers):
        collect(trainers["waits"])
        assert reached.wait(30.0)
        collect(trainers["waits"])
        go_on.set()
        trainers["waits"].sessions.wait_for(1)


def test_an_item_that_comes_during_a_pause_is_not_missed(tmp_path):
    trainer = Waiting("data", min_buffer_size=1)
    with make_system(tmp_path, trainer) as system:
        trainer.asked.wait_for(1)
        system.pause()
        collect(trainer)
        system.resume()
        trainer.sessions.wait_for(1)


@pytest.mark.parametrize("hook", ["on_paused", "on_resumed"])
def test_an_item_that_comes_on_the_brink_of_a_pause_is_not_missed(tmp_path, hook):
    trainer = Waiting("data", min_buffer_size=1)
    setattr(trainer, hook, lambda: collect(trainer))
    with make_system(tmp_path, trainer) as system:
        trainer.asked.wait_for(1)
        system.pause()
        system.resume()
        trainer.sessions.wait_for(1)


def test_an_item_that_comes_with_the_order_to_resume_is_not_missed(tmp_path):
    """The training thread is between its wake-up and its next look, held there by its own hook."""
    block, reached, go_on = gate()
    trainer = Waiting("data", min_buffer_size=1)
    trainer.on_resumed = block
    with make_system(tmp_path, trainer) as system:
        trainer.asked.wait_for(1)
        system.pause()
        system.resume()
        assert reached.wait(30.0)
        collect(trainer)
        go_on.set()
        trainer.sessions.wait_for(1)


def test_the_last_of_many_items_from_many_threads_is_not_missed(tmp_path):
    rounds, threads = 50, 4
    trainer = Waiting("data", min_new_data_count=threads)
    ready = threading.Barrier(threads + 1)

    def collect_with_the_others():
        for _ in range(rounds):
            ready.wait(30.0)
            collect(trainer)

    with make_system(tmp_path, trainer):
        collectors = [threading.Thread(target=collect_with_the_others) for _ in range(threads)]
        for collector in collectors:
            collector.start()
        for n in range(1, rounds + 1):
            ready.wait(30.0)
            trainer.sessions.wait_for(n)  # the last of the four makes it trainable
        for collector in collectors:
            collector.join(30.0)


def test_no_item_is_missed_while_the_clock_keeps_ringing(tmp_path):
    """Rings without news, and news, one right behind the other."""
    clock = ManualClock()
    trainer = Waiting("data", min_new_data_count=1)
    is_over = threading.Event()

    def ring():
        while not is_over.is_set():
            clock.advance(0.001)

    ringing = threading.Thread(target=ring)
    with make_system(tmp_path, trainer, clock=clock):
        ringing.start()
        try:
            for n in range(1, 301):
                collect(trainer)
                trainer.sessions.wait_for(n)
        finally:
            is_over.set()
            ringing.join(30.0)


def test_who_waits_for_several_kinds_of_data_is_asked_at_every_item_of_each(tmp_path):
    class Both(Waiting):
        def is_trainable(self):
            users = [self.get_data_user(name) for name in ("left", "right")]
            for user in users:
                user.update()
            self.asked.note()
            return all(len(user) for user in users)

    for names in (("left", "right"), ("right", "left")):
        trainer = Both()
        with make_system(tmp_path / names[0], trainer, buffers=names):
            trainer.asked.wait_for(1)
            collect(trainer, name=names[0])
            trainer.asked.wait_for(2)
            assert trainer.sessions.times == 0
            collect(trainer, name=names[1])
            trainer.sessions.wait_for(1)


def test_a_trainer_that_the_replay_ratio_holds_back_is_woken_by_the_item_that_pays(tmp_path):
    class Drawing(Trainer):
        def __init__(self):
            super().__init__("data", max_replay_ratio=0.5)
            self.sessions = Log()

        def train(self):
            self.get_data_user("data").count_samples(2)
            self.sessions.note()

    trainer = Drawing()
    with make_system(tmp_path, trainer):
        for n in range(1, 20):
            collect(trainer)
            trainer.sessions.wait_for(n)
            collect(trainer, 3)
    assert trainer.sessions.times == 19


# Other than data.


def test_a_trainer_may_be_woken_by_whoever_has_changed_its_mind(tmp_path):
    class OnDemand(Waiting):
        is_wanted = False

        def is_trainable(self):
            self.asked.note()
            return self.is_wanted

        def train(self):
            self.is_wanted = False
            super().train()

    trainer = OnDemand()
    with make_system(tmp_path, trainer):
        for n in range(1, 4):
            trainer.is_wanted = True
            trainer.wake()
            trainer.sessions.wait_for(n)
        asked = trainer.asked.times
    assert asked <= 1 + 3 + 3, "at the start, at each demand, behind each session"


def test_a_session_has_every_other_trainer_asked_again(tmp_path):
    """The first waits for what the second does, and had its turn before."""

    class Behind(Waiting):
        def is_trainable(self):
            self.asked.note()
            return trainers["second"].sessions.times > self.sessions.times

    trainers = {"first": Behind(), "second": Waiting("data", min_new_data_count=1)}
    with make_system(tmp_path, trainers):
        for n in range(1, 4):
            collect(trainers["first"])
            trainers["first"].sessions.wait_for(n)


class Hourly(Waiting):
    """Trains an hour of agent time after the last session."""

    def __init__(self, clock, **kwargs):
        super().__init__(**kwargs)
        self.clock = clock
        self.due_at = clock.monotonic() + 3600.0

    def is_trainable(self):
        is_due = self.clock.monotonic() >= self.due_at
        self.asked.note()
        return is_due

    def seconds_until_trainable(self):
        return self.due_at - self.clock.monotonic()

    def train(self):
        self.due_at += 3600.0
        super().train()


def test_who_waits_for_a_moment_is_asked_when_agent_time_gets_there(tmp_path):
    clock = ManualClock()
    trainer = Hourly(clock)
    with make_system(tmp_path, trainer, clock=clock):
        trainer.asked.wait_for(1)
        for session in range(1, 4):
            for _ in range(10):
                clock.advance(359.0)
            assert trainer.asked.times == 2 * session - 1, "and not before"
            clock.advance(10.0)
            trainer.sessions.wait_for(session)
            trainer.asked.wait_for(2 * session + 1)


def test_a_moment_comes_the_sooner_the_faster_agent_time_runs(tmp_path):
    clock = Clock()
    trainer = Hourly(clock)
    with make_system(tmp_path, trainer, clock=clock):
        trainer.asked.wait_for(1)
        clock.set_time_scale(100_000.0)
        trainer.sessions.wait_for(3)


def test_no_moment_comes_while_agent_time_stands_still(tmp_path, a_while):
    """Nor does anyone look whether it comes, though it is near."""
    clock = Counted()
    trainer = Hourly(clock)
    with make_system(tmp_path, trainer, clock=clock):
        trainer.asked.wait_for(1)
        clock.advance(3599.999)
        clock.pause()
        clock.advance(7200.0)
        a_while()
        readings = clock.readings
        a_while()
        assert clock.readings == readings
        assert trainer.asked.times == 1
        clock.resume()
        clock.advance(0.002)
        trainer.sessions.wait_for(1)


def test_a_pause_of_the_system_puts_a_moment_off(tmp_path):
    clock = ManualClock()
    trainer = Hourly(clock)
    with make_system(tmp_path, trainer, clock=clock) as system:
        trainer.asked.wait_for(1)
        clock.advance(3000.0)
        system.pause()
        clock.advance(7200.0)
        system.resume()
        collect(trainer)  # has it asked, for certain
        trainer.asked.wait_for(2)
        clock.advance(599.0)
        system.pause()
        assert trainer.sessions.times == 0
        system.resume()
        clock.advance(1.0)
        trainer.sessions.wait_for(1)


def test_who_is_not_trainable_though_its_moment_has_come_waits_for_events(tmp_path, a_while):
    """It does not turn in a loop."""

    class Mistaken(Waiting):
        def seconds_until_trainable(self):
            return 0.0

    trainer = Mistaken("data", min_buffer_size=1)
    with make_system(tmp_path, trainer):
        trainer.asked.wait_for(1)
        a_while()
        assert trainer.asked.times == 1
        collect(trainer)
        trainer.sessions.wait_for(1)


def test_a_moment_that_comes_while_its_trainer_is_asked_is_not_missed(tmp_path):
    """Behind its look at the clock, before its answer: the hint would say by then that it is time."""
    clock = ManualClock()
    trainer = Hourly(clock)
    block, reached, go_on = gate()
    trainer.asked.note = block
    with make_system(tmp_path, trainer, clock=clock):
        assert reached.wait(30.0)
        clock.advance(3600.0)
        go_on.set()
        trainer.sessions.wait_for(1)


@pytest.mark.parametrize("seconds", [1e-17, 5e-17, 1e-9])
def test_a_clock_that_stands_a_rounding_error_before_the_moment_is_not_spun_on(tmp_path, a_while, seconds):
    class Close(Waiting):
        def is_trainable(self):
            self.asked.note()
            return clock.monotonic() > 0.3

        def seconds_until_trainable(self):
            return seconds

    clock = Counted(start=0.3)
    trainer = Close()
    began = time.monotonic()
    with make_system(tmp_path, trainer, clock=clock):
        trainer.asked.wait_for(1)
        a_while()
        assert trainer.asked.times == 1
        assert clock.readings <= 2000 * (time.monotonic() - began) + 100, "a millisecond between two readings"
        clock.advance(1.0)
        trainer.sessions.wait_for(1)


def test_a_hint_that_is_no_number_ends_the_system(tmp_path):
    class Confused(Waiting):
        def seconds_until_trainable(self):
            return math.nan

    system = make_system(tmp_path, Confused("data", 1))
    system.start()
    with pytest.raises(ValueError, match=r"seconds_until_trainable\(\) of the trainer 'trainer' .*, got nan"):
        system.wait(30.0)


# Save conditions.


def test_a_save_condition_that_cannot_tell_is_asked_of_the_machines_time(tmp_path):
    """It may decide by anything, however slowly agent time goes."""
    asked = Log()

    def condition():
        asked.note()
        return False

    with make_system(tmp_path, {}, save_state_condition=condition, time_scale=1e-6):
        asked.wait_for(3)


class Due:
    """A save condition that says when it is due, and never is."""

    def __init__(self, seconds):
        self.seconds = seconds
        self.asked = Log()

    def __call__(self):
        self.asked.note()
        return False

    def seconds_until_due(self):
        return self.seconds


def test_a_save_condition_that_waits_for_no_moment_is_asked_when_something_happens(tmp_path, a_while):
    condition = Due(math.inf)
    with make_system(tmp_path, {}, save_state_condition=condition) as system:
        a_while()
        asked = condition.asked.times
        a_while()
        assert condition.asked.times == asked
        system.pause()
        system.resume()
        condition.asked.wait_for(asked + 1)


def test_a_save_condition_that_is_not_due_when_it_says_so_is_not_spun_on(tmp_path):
    condition = Due(0.0)
    began = time.monotonic()
    with make_system(tmp_path, {}, save_state_condition=condition):
        condition.asked.wait_for(20)
        asked, took = condition.asked.times, time.monotonic() - began
    assert asked <= 1000 * took + 5, "a millisecond between two questions"
