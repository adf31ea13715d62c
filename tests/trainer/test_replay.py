"""How many samples are trained per item collected: never above the ratio, and in the long run at it."""

import math
from fractions import Fraction

import pytest
from hypothesis import given, settings, strategies as st

from pamiq_sched import SequentialBuffer, ShutdownRequested, Trainer
from pamiq_sched.testing import FakeBuffer, FakePausePoint, connect_components


class Drawing(Trainer):
    """Draws so many samples a session, in two halves with a pause point between them."""

    def __init__(self, session=32, ratio=1.0, **kwargs):
        super().__init__("data", max_replay_ratio=ratio, **kwargs)
        self.session = session
        self.drawn = 0

    def train(self):
        for size in (self.session // 2, self.session - self.session // 2):
            self.get_data_user("data").count_samples(size)
            self.drawn += size
            self.pause_point()


def connect(*trainers, size=100_000):
    """Join trainers with a buffer named "data"; return the function that collects into it."""
    named = {f"trainer{n}": trainer for n, trainer in enumerate(trainers)}
    parts = connect_components(trainers=named, buffers={"data": SequentialBuffer(size)})

    def collect(n=1):
        for _ in range(n):
            parts.data_collectors["data"].collect("item")

    collect.users = parts.data_users
    return collect


def run_out(trainer):
    """Run sessions until there is none; return how many there were."""
    sessions = 0
    while trainer.run():
        sessions += 1
    return sessions


# What is held.


@pytest.mark.parametrize("new_data", [0, 3])
@pytest.mark.parametrize("session", [1, 7, 256])
@pytest.mark.parametrize("ratio", [0.25, 1, 8])
def test_the_ratio_is_never_exceeded_by_more_than_a_session_and_reached_in_the_long_run(ratio, session, new_data):
    trainer = Drawing(session, ratio, min_new_data_count=new_data)
    collect = connect(trainer)
    for collected in range(1, 10_001):
        collect()
        run_out(trainer)
        assert trainer.drawn <= ratio * collected + session
    most = session * (10_000 // new_data) if new_data else math.inf  # the new data may be what limits it
    assert trainer.drawn >= min(ratio * 10_000, most) - session


def test_the_ratio_is_reached_when_items_come_in_bunches():
    """An agent that hands over whole episodes, which are no longer than what may be saved up."""
    trainer = Drawing(32, 1.0)
    collect = connect(trainer)
    for _ in range(50):
        collect(200)
        run_out(trainer)
    assert abs(trainer.drawn - 10_000) <= 32


def test_the_ratio_is_reached_by_sessions_of_any_length_if_they_keep_up_on_the_whole():
    """Items come while training is busy, now too many for a session, now too few."""
    trainer = Drawing(100, 1.0)
    collect = connect(trainer)
    collected = 0
    for n in [30, 170, 0, 250, 10, 50] * 100:
        collect(n)
        collected += n
        trainer.run()
    run_out(trainer)
    assert abs(trainer.drawn - collected) <= 100


def items_with_a_session(trainer, items):
    """The numbers, from 1, of those items behind which a session ran, if they come one by one."""
    collect = connect(trainer)
    began = []
    for item in range(1, items + 1):
        collect()
        if trainer.run():
            began.append(item)
    return began


def test_an_item_pays_for_the_session_that_it_allows():
    assert items_with_a_session(Drawing(1, 0.25), 12) == [1, 5, 9]


def test_a_tenth_is_a_tenth():
    """Ten times the float 0.1 is more than 1, exactly, and adding it up gives less."""
    assert items_with_a_session(Drawing(1, 0.1), 1001) == list(range(1, 1002, 10))


def test_without_a_limit_there_is_none():
    trainer = Drawing(100, None)
    collect = connect(trainer)
    collect()
    assert [trainer.run() for _ in range(5)] == [True] * 5


def test_the_other_conditions_hold_as_well():
    assert items_with_a_session(Drawing(1, 8, min_buffer_size=3, min_new_data_count=2), 8) == [3, 5, 7]


def test_an_overridden_condition_cannot_switch_the_limit_off():
    class Eager(Drawing):
        def is_trainable(self):
            return True

    trainer = Eager(10, 1.0)
    collect = connect(trainer)
    assert not trainer.run()
    collect()
    assert trainer.run()
    collect(9)
    assert not trainer.run()
    collect()
    assert trainer.run()


def test_a_condition_that_holds_once_only_is_not_asked_while_the_limit_holds_it_back():
    class Once(Drawing):
        wanted = True

        def is_trainable(self):
            wanted, self.wanted = self.wanted, False
            return wanted

    trainer = Once(10, 1.0)
    collect = connect(trainer)
    assert not trainer.run()
    collect()
    assert trainer.run(), "the wish was kept"


def test_two_trainers_on_the_same_data_have_a_ratio_each():
    rare, often = Drawing(5, 0.5), Drawing(3, 2.0)
    collect = connect(rare, often)
    for _ in range(1000):
        collect()
        run_out(often)
        run_out(rare)
    assert abs(rare.drawn - 500) <= 5
    assert abs(often.drawn - 2000) <= 3
    assert rare.replay_ratio == rare.drawn / 1000
    assert often.replay_ratio == often.drawn / 1000


def test_a_session_that_raises_has_paid_for_what_it_drew():
    trainer = Drawing(10, 1.0)
    collect = connect(trainer)
    trainer.attach_pause_point(FakePausePoint(shut_down_at=1))
    collect()
    with pytest.raises(ShutdownRequested):
        trainer.run()
    collect(4)
    assert not trainer.run(), "five were drawn, five paid"
    collect()
    assert trainer.run()


# Bursts.


def allowed_after(items, **kwargs):
    """How many sessions of one sample follow when so many items were collected at one go."""
    trainer = Drawing(1, 1.0, **kwargs)
    collect = connect(trainer)
    collect(items)
    return run_out(trainer)


def test_a_stall_is_made_up_for_within_the_burst_only():
    assert allowed_after(40, max_replay_burst=50) == 40
    assert allowed_after(60, max_replay_burst=50) == 50


def test_what_may_be_saved_up_is_a_thousand_items_by_default():
    assert allowed_after(5000) == 1000


def test_the_filling_of_a_large_buffer_is_not_made_up_for():
    assert allowed_after(5000, min_buffer_size=5000) == 1000


def test_new_data_that_a_session_waits_for_is_always_saved_up():
    """Small and large sessions by turns: the small ones leave what the large ones need."""
    trainer = Drawing(1, 1.0, min_new_data_count=2000)
    collect = connect(trainer)
    for _ in range(40_000):
        collect()
        if trainer.run():
            trainer.session = 4000 if trainer.session == 1 else 1
    assert abs(trainer.drawn - 40_000) <= 4001


def test_a_debt_is_paid_back_whole():
    """What a session draws beyond its credit is waited for, though it is more than may be saved up."""
    trainer = Drawing(100, 1.0, max_replay_burst=1)
    collect = connect(trainer)
    collect()
    assert trainer.run()
    collect(99)
    assert not trainer.run()
    collect()
    assert trainer.run()


# Against a model that counts in the simplest way.


class Model:
    """A bucket that is filled item by item."""

    def __init__(self, ratio, burst):
        self.ratio = Fraction(ratio)
        self.most = self.ratio * burst
        self.credit = Fraction(0)

    def collect(self, n):
        for _ in range(n):
            self.credit = min(self.credit + self.ratio, self.most)

    def run(self, session):
        if self.credit <= 0:
            return False
        self.credit -= session
        return True


@settings(deadline=None)
@given(
    ratio=st.sampled_from(["0.1", "0.25", "0.3", "1", "2.5", "8"]),
    burst=st.integers(1, 20),
    steps=st.lists(st.tuples(st.integers(0, 30), st.integers(1, 40), st.integers(0, 3)), max_size=30),
)
def test_any_course_of_collecting_and_training_is_that_of_the_model(ratio, burst, steps):
    trainer, model = Drawing(1, float(ratio), max_replay_burst=burst), Model(ratio, burst)
    collect = connect(trainer)
    collected = largest = 0
    for items, session, asked in steps:
        collect(items)
        model.collect(items)
        collected, largest = collected + items, max(largest, session)
        trainer.session = session
        for _ in range(asked):
            assert trainer.run() is model.run(session)
            assert trainer.drawn <= Fraction(ratio) * collected + largest


# What is saved.


def save(trainer, path):
    path.mkdir(exist_ok=True)
    trainer.get_data_user("data").save_state(path / "data")
    trainer.save_state(path / "trainer")


def load(path, trainer):
    collect = connect(trainer)
    trainer.get_data_user("data").load_state(path / "data")
    trainer.load_state(path / "trainer")
    return collect


@pytest.mark.parametrize("saved_at", [1, 2, 99, 150, 151, 152])
def test_a_resumed_trainer_trains_when_the_uninterrupted_one_does(tmp_path, saved_at):
    def go_on(trainer, collect, first, last):
        return [item for item in range(first, last) if (collect(), trainer.run())[1]]

    trainer = Drawing(7, 0.3)
    collect = connect(trainer)
    began = go_on(trainer, collect, 0, saved_at)
    save(trainer, tmp_path)
    after = go_on(trainer, collect, saved_at, 400)

    whole = Drawing(7, 0.3)
    assert began + after == go_on(whole, connect(whole), 0, 400), "to be saved changes nothing"
    resumed = Drawing(7, 0.3)
    assert go_on(resumed, load(tmp_path, resumed), saved_at, 400) == after


def test_a_session_that_a_save_interrupts_has_paid_for_what_it_drew(tmp_path):
    class Saved(Drawing):
        def pause_point(self):
            if self.drawn == 5:
                save(self, tmp_path)

    trainer = Saved(10, 1.0)
    collect = connect(trainer)
    collect()
    trainer.run()
    collect(9)
    assert not trainer.run(), "to be saved changes nothing: ten were drawn, ten paid"

    resumed = Drawing(10, 1.0)
    collect = load(tmp_path, resumed)
    collect(4)
    assert not resumed.run(), "five were drawn, five paid"
    collect()
    assert resumed.run()


def test_items_that_no_session_has_looked_at_when_the_save_comes_pay_after_it(tmp_path):
    trainer = Drawing(10, 1.0)
    collect = connect(trainer)
    collect()
    trainer.run()
    collect(9)
    save(trainer, tmp_path)
    resumed = Drawing(10, 1.0)
    collect = load(tmp_path, resumed)
    assert not resumed.run()
    collect()
    assert resumed.run()


def test_items_that_come_with_a_loaded_buffer_pay_for_nothing(tmp_path):
    trainer = Drawing(100, 1.0)
    collect = connect(trainer)
    collect(100)
    run_out(trainer)
    save(trainer, tmp_path)
    resumed = Drawing(100, 1.0)
    load(tmp_path, resumed)
    assert not resumed.run()


def test_items_that_were_there_before_the_trainer_pay_for_nothing():
    collect = connect()
    collect(100)
    collect.users["data"].update()
    trainer = Drawing(1, 1.0)
    trainer.attach_data_users(collect.users)
    assert not trainer.run()
    collect()
    assert trainer.run()


def test_another_ratio_after_a_resume_holds_from_there_on(tmp_path):
    """The debt is carried over in samples, not reckoned anew for all that was ever collected."""
    trainer = Drawing(10, 1.0)
    collect = connect(trainer)
    for _ in range(1000):
        collect()
        trainer.run()
    save(trainer, tmp_path)
    for ratio in (0.5, 4.0):
        resumed = Drawing(10, ratio)
        collect = load(tmp_path, resumed)
        drawn = resumed.drawn
        for _ in range(1000):
            collect()
            run_out(resumed)
        assert abs(resumed.drawn - drawn - ratio * 1000) <= 10


def test_a_limit_that_a_resumed_run_is_the_first_to_have_begins_there(tmp_path):
    trainer = Drawing(10, None)
    collect = connect(trainer)
    collect(500)
    trainer.run()
    save(trainer, tmp_path)
    resumed = Drawing(10, 1.0)
    collect = load(tmp_path, resumed)
    assert not resumed.run()
    collect()
    assert resumed.run()


def test_a_state_that_knows_nothing_of_the_ratio_is_refused(tmp_path):
    from pamiq_sched.state import codec

    (tmp_path / "trainer").mkdir()
    codec.save({"added_at_last_session": 0, "schedulers": []}, tmp_path / "trainer" / "trainer")
    with pytest.raises(ValueError, match=r"missing: \['replay', 'session_count', 'step_count'\]"):
        Drawing().load_state(tmp_path / "trainer")


# What it has come to.


def test_the_ratio_so_far_is_told_with_and_without_a_limit():
    for limit in (None, 8):
        trainer = Drawing(30, limit)
        collect = connect(trainer)
        assert trainer.replay_ratio is None
        collect(10)
        trainer.run()
        assert trainer.replay_ratio == 3.0


def test_the_ratio_so_far_counts_from_the_resume(tmp_path):
    trainer = Drawing(30, 8)
    collect = connect(trainer)
    collect(10)
    trainer.run()
    save(trainer, tmp_path)
    resumed = Drawing(30, 8)
    collect = load(tmp_path, resumed)
    assert resumed.replay_ratio is None
    collect(60)
    resumed.run()
    assert resumed.replay_ratio == 0.5


def test_without_data_to_count_there_is_no_ratio():
    class Free(Trainer):
        def train(self):
            pass

    trainer = Free()
    connect(trainer)
    trainer.run()
    assert trainer.replay_ratio is None


# What is refused, and what is warned of.


@pytest.mark.parametrize("ratio", [0, -1, -0.5, math.nan, math.inf, 10**400])
def test_a_ratio_out_of_range_is_refused(ratio):
    with pytest.raises(ValueError, match=f"max_replay_ratio must be a finite number above 0, got {ratio!r}"):
        Drawing(ratio=ratio)


@pytest.mark.parametrize("ratio", [True, False, "8", 1j])
def test_a_ratio_that_is_no_number_is_refused(ratio):
    with pytest.raises(TypeError, match="max_replay_ratio must be a finite number above 0, got "):
        Drawing(ratio=ratio)


def test_a_ratio_without_data_to_count_is_refused():
    class Free(Trainer):
        def train(self):
            pass

    with pytest.raises(ValueError, match="max_replay_ratio=8 counts the items of training_condition_data_user"):
        Free(max_replay_ratio=8)


@pytest.mark.parametrize(
    ("burst", "error"), [(0, ValueError), (-1, ValueError), (True, TypeError), (1.5, TypeError)]
)
def test_a_burst_of_no_item_is_refused(burst, error):
    with pytest.raises(error, match=f"max_replay_burst must be a whole number of at least 1 item, got {burst}"):
        Drawing(max_replay_burst=burst)


def test_a_burst_without_a_ratio_is_refused():
    with pytest.raises(ValueError, match="max_replay_burst=5 is saved up for max_replay_ratio, which is None"):
        Drawing(ratio=None, max_replay_burst=5)


def test_a_limit_that_counts_nothing_is_warned_of_once(caplog):
    """The trainer takes all data and tells nobody."""

    class Silent(Trainer):
        def train(self):
            self.get_data_user("data").get_data()

    trainer = Silent("data", max_replay_ratio=0.5)
    parts = connect_components(trainers=trainer, buffers={"data": FakeBuffer()})
    parts.data_collectors["data"].collect(1)
    assert [trainer.run() for _ in range(3)] == [True] * 3
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert "a session of Silent drew no sample" in record.getMessage()
    assert "count_samples(n)" in record.getMessage()


def test_a_limit_that_counts_is_not_warned_of(caplog):
    for ratio, session in ((1.0, 10), (None, 0)):
        trainer = Drawing(session, ratio)
        collect = connect(trainer)
        collect()
        assert trainer.run()
    assert not caplog.records
