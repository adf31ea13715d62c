"""What is done to all trainers is done to each, in their order."""

import pytest

from pamiq_sched import Trainer, TrainersDict
from pamiq_sched.lifecycle import NO_PAUSE_POINT


class Noting(Trainer):
    """Notes what is done to it in a list shared by all."""

    def __init__(self, name, calls, raises=None):
        super().__init__()
        self.name = name
        self.calls = calls
        self.raises = raises

    def note(self, what):
        self.calls.append((self.name, what))
        if self.raises is not None:
            raise self.raises

    def train(self):
        pass

    def on_training_models_attached(self):
        self.note("models")

    def on_data_users_attached(self):
        self.note("data")

    def attach_pause_point(self, pause_point):
        super().attach_pause_point(pause_point)
        self.note("pause point")

    def on_paused(self):
        super().on_paused()
        self.note("paused")

    def on_resumed(self):
        super().on_resumed()
        self.note("resumed")

    def save_state(self, path):
        super().save_state(path)
        self.note("saved")

    def load_state(self, path):
        super().load_state(path)
        self.note("loaded")


def test_everything_reaches_every_trainer_in_order(tmp_path):
    calls = []
    trainers = TrainersDict({name: Noting(name, calls) for name in ("b", "a")})
    trainers.attach_training_models({})
    trainers.attach_data_users({})
    trainers.attach_pause_point(NO_PAUSE_POINT)
    trainers.on_paused()
    trainers.on_resumed()
    trainers.save_state(tmp_path / "trainers")
    trainers.load_state(tmp_path / "trainers")
    whats = ["models", "data", "pause point", "paused", "resumed", "saved", "loaded"]
    assert calls == [(name, what) for what in whats for name in ("b", "a")]


@pytest.mark.parametrize(("hook", "what"), [("on_paused", "paused"), ("on_resumed", "resumed")])
def test_every_hook_runs_though_one_raises(hook, what):
    calls, error = [], RuntimeError("no")
    trainers = TrainersDict(a=Noting("a", calls, error), b=Noting("b", calls))
    with pytest.raises(RuntimeError) as caught:
        getattr(trainers, hook)()
    assert caught.value is error
    assert calls == [("a", what), ("b", what)]


def test_errors_of_several_hooks_are_raised_as_a_group():
    errors = RuntimeError("a"), SystemExit(3)
    trainers = TrainersDict(a=Noting("a", [], errors[0]), b=Noting("b", [], errors[1]))
    with pytest.raises(BaseExceptionGroup, match="several trainers raised in on_paused") as caught:
        trainers.on_paused()
    assert caught.value.exceptions == errors


@pytest.mark.parametrize("name", ["../x", "", ".x", "a/b", "a\\b"])
def test_a_name_that_cannot_be_a_file_is_refused(name):
    with pytest.raises(ValueError, match="a trainer's name becomes a file name"):
        TrainersDict({name: Noting("a", [])})
