"""When a trainer trains, in which order, and what survives an error or a save."""

import math

import pytest

from pamiq_sched import (
    ManualClock,
    SequentialBuffer,
    ShutdownRequested,
    Trainer,
)
from pamiq_sched.testing import FakeBuffer, FakePausePoint, FakeTrainingModel, connect_components


class Noting(Trainer):
    """Notes its hooks, and raises where it is told to."""

    def __init__(self, *args, raises=None, **kwargs):
        super().__init__(*args, **kwargs)
        self.calls = []
        self.raises = raises or {}

    def note(self, hook):
        self.calls.append(hook)
        if hook in self.raises:
            raise self.raises[hook]

    def is_trainable(self):
        self.note("is_trainable")
        return super().is_trainable()

    def setup(self):
        super().setup()
        self.note("setup")

    def train(self):
        self.note("train")

    def sync_models(self):
        self.note("sync_models")
        super().sync_models()

    def teardown(self):
        super().teardown()
        self.note("teardown")


class Counting(Trainer):
    """Trains by counting."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.trained = 0

    def train(self):
        self.trained += 1


def connect(trainer, buffer=None):
    """Join a trainer with a buffer named "data"; return the function that collects into it."""
    parts = connect_components(trainers=trainer, buffers={"data": FakeBuffer() if buffer is None else buffer})
    collector = parts.data_collectors["data"]

    def collect(n=1):
        for _ in range(n):
            collector.collect("item")

    return collect


# The lifecycle.


def test_a_session_goes_through_the_lifecycle_in_order():
    trainer = Noting()
    assert trainer.run() is True
    assert trainer.calls == ["is_trainable", "setup", "train", "sync_models", "teardown"]


def test_a_trainer_that_is_not_trainable_does_nothing_else():
    trainer = Noting("data", min_buffer_size=1)
    connect(trainer)
    assert trainer.run() is False
    assert trainer.calls == ["is_trainable"]


ERRORS = [RuntimeError("no"), SystemExit(3), KeyboardInterrupt(), ShutdownRequested()]


@pytest.mark.parametrize("error", ERRORS, ids=lambda e: type(e).__name__)
@pytest.mark.parametrize(
    ("hook", "calls"),
    [
        ("is_trainable", ["is_trainable"]),
        ("setup", ["is_trainable", "setup"]),
        ("train", ["is_trainable", "setup", "train", "teardown"]),
        ("sync_models", ["is_trainable", "setup", "train", "sync_models", "teardown"]),
        ("teardown", ["is_trainable", "setup", "train", "sync_models", "teardown"]),
    ],
)
def test_an_error_is_raised_as_itself_and_teardown_runs_once_if_setup_returned(hook, calls, error):
    trainer = Noting(raises={hook: error})
    with pytest.raises(type(error)) as caught:
        trainer.run()
    assert caught.value is error
    assert trainer.calls == calls


def test_errors_of_the_session_and_of_teardown_are_raised_as_a_group():
    first, second = RuntimeError("train"), KeyError("teardown")
    trainer = Noting(raises={"train": first, "teardown": second})
    with pytest.raises(BaseExceptionGroup, match="Noting raised in its session and in teardown") as caught:
        trainer.run()
    assert caught.value.exceptions == (first, second)


def test_an_error_in_teardown_wins_over_a_shutdown():
    error = RuntimeError("teardown")
    trainer = Noting(raises={"train": ShutdownRequested(), "teardown": error})
    with pytest.raises(RuntimeError) as caught:
        trainer.run()
    assert caught.value is error


def test_a_session_after_a_raising_one_is_a_whole_one():
    trainer = Noting(raises={"train": RuntimeError("no")})
    with pytest.raises(RuntimeError):
        trainer.run()
    trainer.raises.clear()
    trainer.calls.clear()
    trainer.run()
    assert trainer.calls == ["is_trainable", "setup", "train", "sync_models", "teardown"]


def test_train_must_be_overridden():
    with pytest.raises(TypeError, match="train"):
        Trainer()


# Models.


def test_retrieved_models_are_synced_once_per_session():
    models = {name: FakeTrainingModel() for name in ("used", "unused")}
    trainer = Counting()
    connect_components(trainers=trainer, models=models)
    trainer.get_training_model("used")
    trainer.get_training_model("used")
    trainer.run()
    trainer.run()
    assert models["used"].inference_model.synced == 2
    assert models["unused"].inference_model.synced == 0


def test_a_trainer_without_models_runs_all_the_same():
    assert Counting().run() is True


def test_an_unknown_model_is_refused_with_those_there_are():
    trainer = Counting()
    connect_components(trainers=trainer, models={"a": FakeTrainingModel()})
    with pytest.raises(KeyError, match=r"no training model 'b'; there are \['a'\]"):
        trainer.get_training_model("b")


def test_an_unknown_data_user_is_refused_with_those_there_are():
    trainer = Counting()
    connect(trainer)
    with pytest.raises(KeyError, match=r"no data user 'b'; there are \['data'\]"):
        trainer.get_data_user("b")


@pytest.mark.parametrize(
    ("ask", "hook"),
    [
        ("get_training_model", "on_training_models_attached"),
        ("get_data_user", "on_data_users_attached"),
    ],
)
def test_asking_before_the_parts_are_attached_names_the_hook(ask, hook):
    with pytest.raises(RuntimeError, match=hook):
        getattr(Counting(), ask)("name")


def test_hooks_run_when_the_parts_are_there():
    class Taking(Counting):
        def on_training_models_attached(self):
            self.model = self.get_training_model("model")

        def on_data_users_attached(self):
            self.data = self.get_data_user("data")

    trainer = Taking()
    model = FakeTrainingModel()
    parts = connect_components(trainers=trainer, models={"model": model}, buffers={"data": FakeBuffer()})
    assert trainer.model is model
    assert trainer.data is parts.data_users["data"]


# When to train.


def test_without_a_condition_it_trains_all_the_time():
    trainer = Counting()
    assert [trainer.run() for _ in range(3)] == [True] * 3


def test_the_buffer_must_hold_enough():
    trainer = Counting("data", min_buffer_size=3)
    collect = connect(trainer)
    collect(2)
    assert not trainer.run()
    collect()
    assert trainer.run()
    assert trainer.run(), "what is held stays held"


def test_enough_must_be_new_since_the_last_session_began():
    trainer = Counting("data", min_new_data_count=2)
    collect = connect(trainer)
    results = []
    for n in (1, 1, 0, 1, 2, 5):
        collect(n)
        results.append(trainer.run())
    assert results == [False, True, False, False, True, True]


def test_asking_does_not_use_up_new_data():
    trainer = Counting("data", min_new_data_count=2)
    collect = connect(trainer)
    collect(2)
    assert [trainer.is_trainable() for _ in range(3)] == [True] * 3
    assert trainer.run()
    assert not trainer.is_trainable()


def test_new_data_is_kept_while_an_override_refuses():
    class Moody(Counting):
        willing = False

        def is_trainable(self):
            return super().is_trainable() and self.willing

    trainer = Moody("data", min_new_data_count=2)
    collect = connect(trainer)
    collect(2)
    assert not trainer.run()
    trainer.willing = True
    assert trainer.run()
    assert not trainer.run()


def test_an_item_that_arrives_between_update_and_stamp_counts_as_new_the_next_time():
    """pamiq-core stamped the session after the update; an item in between was never counted."""
    clock = ManualClock()

    class Interrupted(Counting):
        collect = staticmethod(lambda: None)

        def is_trainable(self):
            answer = super().is_trainable()
            self.collect()  # the agent acts here, at the very moment of the look
            return answer

    trainer = Interrupted("data", min_new_data_count=1, clock=clock)
    collect = connect(trainer)
    collect()
    trainer.collect = collect
    assert trainer.run()
    trainer.collect = lambda: None
    assert trainer.run()
    assert not trainer.run()


def test_an_item_that_arrives_during_a_session_counts_as_new_the_next_time():
    class Interrupted(Counting):
        def train(self):
            super().train()
            if self.trained == 1:
                collect()
                self.get_data_user("data").update()

    trainer = Interrupted("data", min_new_data_count=1)
    collect = connect(trainer)
    collect()
    assert [trainer.run() for _ in range(3)] == [True, True, False]


def test_no_item_is_counted_twice():
    trainer = Counting("data", min_new_data_count=3)
    collect = connect(trainer)
    for _ in range(30):
        collect()
        trainer.run()
    assert trainer.trained == 10


def test_new_data_counts_even_if_a_full_buffer_does_not_grow():
    trainer = Counting("data", min_buffer_size=2, min_new_data_count=2)
    collect = connect(trainer, SequentialBuffer(2))
    for _ in range(3):
        collect(2)
        assert trainer.run()


def test_a_session_that_an_override_forces_does_not_count_old_data_as_new(tmp_path):
    """After a load too, when the base has not looked at the data yet."""

    class Forced(Counting):
        force = False

        def is_trainable(self):
            return self.force or super().is_trainable()

    saved = Forced("data", min_new_data_count=2)
    collect = connect(saved)
    collect(2)
    assert saved.run()
    saved.save_state(tmp_path / "trainer")
    saved.get_data_user("data").save_state(tmp_path / "data")

    resumed = Forced("data", min_new_data_count=2)
    connect(resumed)
    resumed.load_state(tmp_path / "trainer")
    resumed.get_data_user("data").load_state(tmp_path / "data")
    resumed.force = True
    assert resumed.run()
    resumed.force = False
    assert not resumed.run()


def test_the_base_condition_waits_for_nothing_but_events():
    assert Counting("data").seconds_until_trainable() == math.inf
    assert Counting().seconds_until_trainable() == math.inf


def test_a_condition_of_its_own_may_depend_on_anything():
    class Custom(Counting):
        def is_trainable(self):
            return super().is_trainable()

    assert Custom("data").seconds_until_trainable() is None


def test_a_trainer_that_no_system_runs_wakes_nobody():
    Counting().wake()


# Conditions that are refused.


@pytest.mark.parametrize("name", ["min_buffer_size", "min_new_data_count"])
@pytest.mark.parametrize(
    ("value", "error"), [(-1, ValueError), (True, TypeError), (2.5, TypeError), ("3", TypeError)]
)
def test_a_count_that_is_none_is_refused_with_its_value(name, value, error):
    with pytest.raises(error, match=f"{name} must be a whole number of at least 0, got {value!r}"):
        Counting("data", **{name: value})


@pytest.mark.parametrize("name", ["min_buffer_size", "min_new_data_count"])
def test_a_count_without_data_to_count_is_refused(name):
    with pytest.raises(ValueError, match="training_condition_data_user, which is None"):
        Counting(**{name: 1})


@pytest.mark.parametrize("name", ["min_buffer_size", "min_new_data_count"])
def test_a_condition_above_the_capacity_is_refused_when_the_data_is_attached(name):
    trainer = Counting("data", **{name: 4})
    with pytest.raises(ValueError, match=f"would never train: {name}=4 is more than .* 'data' can hold, 3"):
        connect(trainer, SequentialBuffer(3))


@pytest.mark.parametrize("name", ["min_buffer_size", "min_new_data_count"])
def test_a_condition_of_just_the_capacity_is_met(name):
    trainer = Counting("data", **{name: 3})
    collect = connect(trainer, SequentialBuffer(3))
    collect(3)
    assert trainer.run()


def test_a_condition_on_data_that_is_not_there_is_refused_when_the_data_is_attached():
    with pytest.raises(KeyError, match=r"no data user 'other'; there are \['data'\]"):
        connect(Counting("other"))


# Pause points.


def test_a_trainer_that_no_system_runs_never_stops():
    Counting().pause_point()


def test_the_attached_pause_point_is_reached():
    trainer, stops = Counting(), FakePausePoint()
    trainer.attach_pause_point(stops)
    trainer.pause_point()
    trainer.step_completed()
    assert stops.calls == 2


def test_a_shutdown_out_of_train_tears_down_once_and_does_not_sync():
    class Stepping(Noting):
        def train(self):
            super().train()
            for _ in range(10):
                self.note("step")
                self.step_completed()

    trainer = Stepping()
    trainer.attach_pause_point(FakePausePoint(shut_down_at=2))
    with pytest.raises(ShutdownRequested):
        trainer.run()
    assert trainer.calls == ["is_trainable", "setup", "train", "step", "step", "teardown"]


# Embedded schedulers.


def test_every_steps_calls_at_every_nth_step():
    trainer, fired = Counting(), []
    trainer.every_steps(3, lambda: fired.append(step))
    for step in range(1, 10):
        trainer.step_completed()
    assert fired == [3, 6, 9]


def test_every_seconds_calls_at_the_first_step_after_it_is_due(clock):
    trainer, fired = Counting(clock=clock), []
    trainer.every_seconds(2.0, lambda: fired.append(clock.time()))
    for _ in range(10):
        clock.advance(0.75)
        trainer.step_completed()
    assert fired == [2.25, 4.5, 6.0]


def test_more_callbacks_may_be_registered():
    trainer, fired = Counting(), []
    trainer.every_steps(1, lambda: fired.append("a")).register_callback(lambda: fired.append("b"))
    trainer.step_completed()
    assert fired == ["a", "b"]


def test_callbacks_run_before_the_pause():
    trainer, order = Counting(), []
    trainer.every_steps(1, lambda: order.append("callback"))

    class Noted(FakePausePoint):
        def __call__(self):
            order.append("pause point")

    trainer.attach_pause_point(Noted())
    trainer.step_completed()
    assert order == ["callback", "pause point"]


def test_the_other_schedulers_are_updated_when_a_callback_raises():
    trainer, fired = Counting(), []

    def fail():
        raise RuntimeError("evaluation failed")

    trainer.every_steps(1, fail)
    trainer.every_steps(2, lambda: fired.append("other"))
    for _ in range(2):
        with pytest.raises(RuntimeError, match="evaluation failed"):
            trainer.step_completed()
    assert fired == ["other"]


@pytest.mark.parametrize("n", [0, -1, True, 0.5])
def test_an_interval_of_no_whole_step_is_refused(n):
    with pytest.raises((TypeError, ValueError), match=f"got {n!r}"):
        Counting().every_steps(n, print)


@pytest.mark.parametrize("s", [-1.0, True, float("nan"), float("inf")])
def test_an_interval_of_no_seconds_is_refused(s):
    with pytest.raises((TypeError, ValueError), match=f"got {s!r}"):
        Counting().every_seconds(s, print)


# State.


class Scheduled(Counting):
    """Embeds one scheduler of each kind."""

    def __init__(self, clock):
        super().__init__("data", min_new_data_count=2, clock=clock)
        self.fired = []
        self.every_steps(3, lambda: self.fired.append(("steps", clock.time())))
        self.every_seconds(5.0, lambda: self.fired.append(("seconds", clock.time())))

    def run_until(self, clock, end):
        while clock.time() < end:
            clock.advance(1.0)
            self.step_completed()


def test_resumed_schedulers_fire_exactly_when_uninterrupted_ones_do(tmp_path):
    clock = ManualClock()
    uninterrupted = Scheduled(clock)
    uninterrupted.run_until(clock, 7.0)
    uninterrupted.save_state(tmp_path / "trainer")
    kept = clock.state_dict()
    fired = list(uninterrupted.fired)
    uninterrupted.run_until(clock, 40.0)

    clock = ManualClock(start=500.0)
    resumed = Scheduled(clock)
    clock.load_state_dict(kept)
    resumed.load_state(tmp_path / "trainer")
    resumed.run_until(clock, 40.0)
    assert fired + resumed.fired == uninterrupted.fired


def test_a_resumed_trainer_knows_what_was_new(clock, tmp_path):
    saved = Counting("data", min_new_data_count=2)
    collect = connect(saved)
    collect(2)
    saved.run()
    collect(1)
    saved.save_state(tmp_path / "trainer")
    saved.get_data_user("data").save_state(tmp_path / "data")

    resumed = Counting("data", min_new_data_count=2)
    collect = connect(resumed)
    resumed.get_data_user("data").load_state(tmp_path / "data")
    resumed.load_state(tmp_path / "trainer")
    assert not resumed.run()
    collect(1)
    assert resumed.run()


def test_a_state_with_other_schedulers_is_refused(clock, tmp_path):
    Scheduled(clock).save_state(tmp_path / "trainer")
    with pytest.raises(ValueError, match=r"has 0 embedded schedulers, its state .* has 2"):
        Counting("data").load_state(tmp_path / "trainer")


def test_a_trainer_with_a_file_of_its_own_saves_beside_the_base(tmp_path):
    class Kept(Counting):
        def save_state(self, path):
            super().save_state(path)
            (path / "trained").write_text(str(self.trained))

        def load_state(self, path):
            super().load_state(path)
            self.trained = int((path / "trained").read_text())

    saved, loaded = Kept(), Kept()
    saved.run()
    saved.save_state(tmp_path / "trainer")
    loaded.load_state(tmp_path / "trainer")
    assert loaded.trained == 1
