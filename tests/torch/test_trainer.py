"""Optimizers that live as long as the run, schedules stepped with them, pauses after every step."""

import copy
import subprocess
import sys

import pytest
import torch
from torch import nn
from torch.optim import SGD, Adam, lr_scheduler

from pamiq_sched import ManualClock, ShutdownRequested, TensorRingBuffer, TorchTrainer, TorchTrainingModel
from pamiq_sched.optim import (
    CosineCurve,
    Schedule,
    SynchronousSchedule,
    WarmupCurve,
    arbitrary_schedule_factory,
    build_scheduler,
)
from pamiq_sched.testing import FakePausePoint, FakeTrainingModel, connect_components

STEPS = 3  # of each session


class Fitting(TorchTrainer):
    """Fits a line with one optimizer; the tests say how it is made."""

    def __init__(self, make_optimizer=None, make_schedule=None, **kwargs):
        super().__init__(**kwargs)
        self.make_optimizer = make_optimizer or (lambda parameters: SGD(parameters, lr=0.1, momentum=0.9))
        self.make_schedule = make_schedule
        self.created = 0

    def on_training_models_attached(self):
        self.line = self.get_torch_training_model("line", nn.Linear)

    def create_optimizers(self):
        self.created += 1
        return {"main": self.make_optimizer(self.line.model.parameters())}

    def create_schedules(self):
        return {} if self.make_schedule is None else {"rate": self.make_schedule(self.optimizers["main"])}

    def train(self):
        for _ in range(STEPS):
            self.step("main")

    def step(self, name):
        optimizer = self.optimizers[name]

        def loss():
            optimizer.zero_grad()
            value = (self.line(torch.ones(1, 2)) - 1.0).square().sum()
            value.backward()
            return value

        optimizer.step(loss)


class Pair(Fitting):
    """Two optimizers on one line, stepped unevenly: twice "weight", once "bias"."""

    def create_optimizers(self):
        return {"weight": SGD([self.line.model.weight], lr=1.0), "bias": SGD([self.line.model.bias], lr=1.0)}

    def create_schedules(self):
        return {name: lr_scheduler.ExponentialLR(o, gamma=0.5) for name, o in self.optimizers.items()}

    def train(self):
        for name in ("weight", "bias", "weight"):
            self.step(name)


def connect(trainer):
    torch.manual_seed(0)
    connect_components(trainers=trainer, models={"line": TorchTrainingModel(nn.Linear(2, 2))})
    return trainer


def run(trainer, sessions):
    for _ in range(sessions):
        trainer.run()
    return trainer


def rates(trainer):
    return {name: optimizer.param_groups[0]["lr"] for name, optimizer in trainer.optimizers.items()}


def same(a, b):
    """Whether two states are bit-equal."""
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b, strict=True))
    return a == b


# Optimizers.


def test_optimizers_are_created_once_and_live_over_many_sessions():
    trainer = run(
        connect(
            Fitting(),
        ),
        1,
    )
    optimizer = trainer.optimizers["main"]
    run(trainer, 4)
    assert trainer.created == 1
    assert trainer.optimizers["main"] is optimizer


def test_an_override_of_setup_that_forgets_the_inherited_one_is_told():
    class Forgetful(TorchTrainer):
        def create_optimizers(self):
            return {"sgd": torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))])}

        def setup(self):
            pass

        def train(self):
            self.optimizers["sgd"].step()

    with pytest.raises(KeyError, match=r"no 'sgd' yet.*super\(\)\.setup\(\)"):
        Forgetful().run()


def test_optimizers_are_not_created_before_the_first_session():
    trainer = connect(Fitting())
    assert (trainer.created, trainer.optimizers) == (0, {})


def test_momentum_lives_over_sessions():
    """Five sessions of three steps are fifteen steps in one go."""
    trainer = run(connect(Fitting()), 5)
    torch.manual_seed(0)
    line = nn.Linear(2, 2)
    optimizer = SGD(line.parameters(), lr=0.1, momentum=0.9)
    for _ in range(5 * STEPS):
        optimizer.zero_grad()
        (line(torch.ones(1, 2)) - 1.0).square().sum().backward()
        optimizer.step()
    assert torch.equal(trainer.line.model.weight, line.weight)


def test_agents_get_what_was_trained_after_each_session():
    trainer = connect(Fitting())
    for _ in range(3):
        trainer.run()
        with trainer.line.inference_model.unwrap() as replica:
            assert torch.equal(replica.weight, trainer.line.model.weight)


def test_the_module_of_a_model_may_be_checked():
    trainer = connect(Fitting())
    with pytest.raises(
        TypeError,
        match="module of the model 'line' must be of the class Conv2d, got an object of the class Linear",
    ):
        trainer.get_torch_training_model("line", nn.Conv2d)


def test_a_model_without_torch_is_refused():
    trainer = connect(Fitting())
    connect_components(trainers=trainer, models={"line": trainer.line, "fake": FakeTrainingModel()})
    with pytest.raises(
        TypeError, match="'fake' must be of the class TorchTrainingModel, got an object of the class FakeT"
    ):
        trainer.get_torch_training_model("fake")


@pytest.mark.parametrize("name", ["../x", "", ".x", "a/b"])
def test_a_name_that_cannot_be_a_file_is_refused(name):
    class Misnamed(Fitting):
        def create_optimizers(self):
            return {name: SGD(self.line.model.parameters())}

    with pytest.raises(ValueError, match="name becomes a file name"):
        connect(Misnamed()).run()


def test_an_error_in_create_optimizers_is_raised_as_itself_and_tried_again():
    class Late(Fitting):
        ready = False

        def create_optimizers(self):
            if not self.ready:
                raise RuntimeError("not ready")
            return super().create_optimizers()

    trainer = connect(Late())
    with pytest.raises(RuntimeError, match="not ready"):
        trainer.run()
    trainer.ready = True
    assert trainer.run()


def test_warming_up_touches_nothing_of_the_trainer():
    trainer = connect(Fitting())
    weight = trainer.line.model.weight.clone()
    trainer.warm_up()
    assert trainer.optimizers == {}
    assert torch.equal(trainer.line.model.weight, weight)


def test_warming_up_pays_for_what_the_first_optimizer_imports():
    """In a fresh interpreter: without it, hundreds of modules, for seconds, while an agent acts."""
    code = """
import sys
from pamiq_sched import TorchTrainer
import torch

class Warm(TorchTrainer):
    def create_optimizers(self):
        return {}
    def train(self):
        pass

Warm().warm_up()
before = set(sys.modules)
parameter = torch.nn.Parameter(torch.zeros(1))
optimizer = torch.optim.Adam([parameter])
parameter.grad = torch.ones(1)
optimizer.step()
print(len(set(sys.modules) - before))
"""
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert int(done.stdout) == 0


# Every optimizer step.


def test_there_is_a_pause_point_after_every_optimizer_step():
    trainer, stops = connect(Fitting()), FakePausePoint()
    trainer.attach_pause_point(stops)
    run(trainer, 4)
    assert stops.calls == 4 * STEPS


def test_steps_of_every_optimizer_reach_a_pause_point():
    trainer, stops = connect(Pair()), FakePausePoint()
    trainer.attach_pause_point(stops)
    trainer.run()
    assert stops.calls == 3


def test_the_step_is_done_when_the_pause_point_is_reached():
    trainer = connect(Fitting())
    before, seen = trainer.line.model.weight.clone(), []

    class Looking(FakePausePoint):
        def __call__(self):
            seen.append(torch.equal(trainer.line.model.weight, before))

    trainer.attach_pause_point(Looking())
    trainer.run()
    assert seen == [False] * STEPS


def test_embedded_schedulers_are_updated_at_every_optimizer_step():
    trainer, fired = connect(Fitting()), []
    trainer.every_steps(2, lambda: fired.append(1))
    run(trainer, 4)
    assert len(fired) == 4 * STEPS // 2


def test_embedded_time_schedulers_are_updated_at_every_optimizer_step():
    clock = ManualClock()
    trainer, fired = connect(Fitting(clock=clock)), []
    trainer.every_seconds(1.0, lambda: fired.append(clock.time()))
    trainer.every_steps(1, lambda: clock.advance(0.5))
    run(trainer, 2)
    assert fired == [1.0, 2.0]


def test_schedules_have_moved_when_callbacks_run():
    trainer, seen = connect(Fitting(make_schedule=lambda o: lr_scheduler.ExponentialLR(o, 0.5))), []
    trainer.every_steps(1, lambda: seen.append(rates(trainer)["main"]))
    trainer.run()
    assert seen == [0.05, 0.025, 0.0125]


def test_a_shutdown_out_of_a_step_tears_down_once_and_does_not_sync():
    class Noting(Fitting):
        torn_down = 0

        def teardown(self):
            super().teardown()
            self.torn_down += 1

    trainer = connect(Noting())
    version = trainer.line.inference_model.version
    trainer.attach_pause_point(FakePausePoint(shut_down_at=2))
    with pytest.raises(ShutdownRequested):
        trainer.run()
    assert trainer.torn_down == 1
    assert trainer.line.inference_model.version == version


# Schedules.


def test_each_schedule_steps_once_per_step_of_its_own_optimizer():
    trainer = run(connect(Pair()), 2)
    assert rates(trainer) == {"weight": 0.5**4, "bias": 0.5**2}


def test_a_schedule_without_an_optimizer_steps_with_any():
    class Counter:
        steps = 0

        def step(self):
            self.steps += 1

        def state_dict(self):
            return {"steps": self.steps}

        def load_state_dict(self, state_dict):
            self.steps = state_dict["steps"]

    class Counted(Pair):
        def create_schedules(self):
            return {"counter": Counter()}

    trainer = run(connect(Counted()), 2)
    assert trainer.schedules["counter"].steps == 6


def test_a_schedule_of_a_foreign_optimizer_is_refused():
    foreign = SGD([nn.Parameter(torch.zeros(1))], lr=0.1)
    trainer = connect(Fitting(make_schedule=lambda _: lr_scheduler.ExponentialLR(foreign, 0.5)))
    with pytest.raises(ValueError, match="'rate' of Fitting belongs to an optimizer that create_optimizers"):
        trainer.run()


def test_a_schedule_of_another_hyperparameter_steps_with_the_optimizer_behind_it():
    def make(optimizer):
        return arbitrary_schedule_factory(
            optimizer, lambda stand_in: lr_scheduler.ExponentialLR(stand_in, 0.5), schedule_target="momentum"
        )

    trainer = run(connect(Fitting(make_schedule=make)), 1)
    assert trainer.optimizers["main"].param_groups[0]["momentum"] == 0.9 * 0.5**STEPS


def test_a_schedule_of_another_hyperparameter_of_a_foreign_optimizer_is_refused():
    foreign = SGD([nn.Parameter(torch.zeros(1))], lr=0.1, momentum=0.9)
    trainer = connect(Fitting(make_schedule=lambda _: Schedule(foreign, WarmupCurve(5), "momentum")))
    with pytest.raises(ValueError, match="'rate' of Fitting belongs to an optimizer that create_optimizers"):
        trainer.run()


def test_a_plateau_keeps_its_value_until_train_gives_it_a_metric():
    class Watching(Fitting):
        def train(self):
            super().train()
            self.schedules["rate"].step(3.0)

    plateau = {"name": "ReduceLROnPlateau", "patience": 0, "factor": 0.5}
    trainer = run(connect(Watching(make_schedule=lambda o: build_scheduler(o, plateau))), 3)
    assert rates(trainer) == {"main": 0.1 * 0.5**2}


def test_a_plain_plateau_is_refused_with_what_to_use_instead():
    trainer = connect(Fitting(make_schedule=lr_scheduler.ReduceLROnPlateau))
    with pytest.raises(TypeError, match="build_scheduler"):
        trainer.run()


def test_lr_schedulers_are_not_stepped_for_you():
    class Manual(Fitting):
        def create_optimizers(self):
            optimizers = super().create_optimizers()
            return optimizers, {"rate": lr_scheduler.ExponentialLR(optimizers["main"], 0.5)}

        def train(self):
            super().train()
            self.lr_schedulers["rate"].step()

    trainer = run(connect(Manual()), 2)
    assert rates(trainer) == {"main": 0.1 * 0.5**2}


# State.


LR_SCHEDULERS = {
    "StepLR": lambda o: lr_scheduler.StepLR(o, 2, 0.5),
    "MultiStepLR": lambda o: lr_scheduler.MultiStepLR(o, [2, 8], 0.5),
    "ConstantLR": lambda o: lr_scheduler.ConstantLR(o, total_iters=8),
    "LinearLR": lambda o: lr_scheduler.LinearLR(o, total_iters=20),
    "ExponentialLR": lambda o: lr_scheduler.ExponentialLR(o, 0.9),
    "PolynomialLR": lambda o: lr_scheduler.PolynomialLR(o, total_iters=10),
    "CosineAnnealingLR": lambda o: lr_scheduler.CosineAnnealingLR(o, 10),
    "CosineAnnealingWarmRestarts": lambda o: lr_scheduler.CosineAnnealingWarmRestarts(o, 4),
    "CyclicLR": lambda o: lr_scheduler.CyclicLR(o, 0.01, 0.1, step_size_up=5),
    "OneCycleLR": lambda o: lr_scheduler.OneCycleLR(o, 0.1, total_steps=100),
    "LambdaLR": lambda o: lr_scheduler.LambdaLR(o, lambda t: 0.9**t),
    "MultiplicativeLR": lambda o: lr_scheduler.MultiplicativeLR(o, lambda _: 0.9),
    "SequentialLR": lambda o: lr_scheduler.SequentialLR(
        o, [lr_scheduler.ConstantLR(o), lr_scheduler.MultiStepLR(o, [3])], [7]
    ),
    "ChainedScheduler": lambda o: lr_scheduler.ChainedScheduler(
        [lr_scheduler.ConstantLR(o), lr_scheduler.ExponentialLR(o, 0.9)]
    ),
}
OPTIMIZERS = {
    "SGD": lambda p: SGD(p, lr=0.1, momentum=0.9, nesterov=True),
    "Adam": lambda p: Adam(p, lr=0.1, amsgrad=True),
    "AdamW": lambda p: torch.optim.AdamW(p, lr=torch.tensor(0.1), foreach=False),
    "Adagrad": lambda p: torch.optim.Adagrad(p, lr=0.1),
    "RMSprop": lambda p: torch.optim.RMSprop(p, lr=0.1),
    "LBFGS": lambda p: torch.optim.LBFGS(p, lr=0.1),
}


def resume(trainer, path, make):
    """Save a trainer and its model, and load them into new ones."""
    trainer.save_state(path / "trainer")
    trainer.line.save_state(path / "line")
    resumed = connect(make())
    resumed.line.load_state(path / "line")
    resumed.load_state(path / "trainer")
    return resumed


def assert_bit_equal(a, b):
    assert same(a.line.model.state_dict(), b.line.model.state_dict())
    for name in a.optimizers:
        assert same(a.optimizers[name].state_dict(), b.optimizers[name].state_dict())


def everything(optimizer):
    """Three hyperparameters, one of the trainer's own, by a curve, a scheduler of torch and a config."""
    return SynchronousSchedule(
        [
            Schedule(optimizer, WarmupCurve(4).then(CosineCurve(1.0, 0.1, 9))),
            arbitrary_schedule_factory(
                optimizer, lambda o: lr_scheduler.StepLR(o, 4, gamma=0.5), schedule_target="momentum"
            ),
            build_scheduler(
                optimizer,
                {"name": "ExponentialLR", "gamma": 0.9, "schedule_target": "clip", "default_value": 2.0},
            ),
        ]
    )


@pytest.mark.parametrize("sessions", [0, 1, 2, 4])
def test_a_run_resumed_with_schedules_of_any_hyperparameter_is_the_uninterrupted_one(sessions, tmp_path):
    make = lambda: Fitting(make_schedule=everything)  # noqa: E731
    uninterrupted = run(connect(make()), sessions)
    resumed = resume(uninterrupted, tmp_path, make)
    for _ in range(3):
        uninterrupted.run()
        resumed.run()
        assert resumed.schedules["rate"].values == uninterrupted.schedules["rate"].values
        assert_bit_equal(resumed, uninterrupted)


@pytest.mark.parametrize("name", LR_SCHEDULERS)
def test_a_run_resumed_with_any_lr_scheduler_is_the_uninterrupted_one(name, tmp_path):
    make = lambda: Fitting(make_schedule=LR_SCHEDULERS[name])  # noqa: E731
    uninterrupted = run(connect(make()), 2)
    resumed = resume(uninterrupted, tmp_path, make)
    for _ in range(3):
        uninterrupted.run()
        resumed.run()
        assert rates(resumed) == rates(uninterrupted)
        assert_bit_equal(resumed, uninterrupted)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_run_resumed_with_any_optimizer_is_the_uninterrupted_one(name, tmp_path):
    make = lambda: Fitting(OPTIMIZERS[name], LR_SCHEDULERS["ExponentialLR"])  # noqa: E731
    uninterrupted = run(connect(make()), 2)
    resumed = resume(uninterrupted, tmp_path, make)
    for _ in range(3):
        uninterrupted.run()
        resumed.run()
        assert_bit_equal(resumed, uninterrupted)


def test_lr_schedulers_of_ones_own_are_resumed_too(tmp_path):
    class Manual(Fitting):
        def create_optimizers(self):
            optimizers = super().create_optimizers()
            return optimizers, {"rate": lr_scheduler.CosineAnnealingLR(optimizers["main"], 10)}

        def train(self):
            super().train()
            self.lr_schedulers["rate"].step()

    uninterrupted = run(connect(Manual()), 2)
    resumed = resume(uninterrupted, tmp_path, Manual)
    run(resumed, 3)
    run(uninterrupted, 3)
    assert_bit_equal(resumed, uninterrupted)


def test_a_state_loaded_between_sessions_takes_the_run_back(tmp_path):
    trainer = run(connect(Fitting(make_schedule=LR_SCHEDULERS["StepLR"])), 1)
    trainer.save_state(tmp_path / "trainer")
    trainer.line.save_state(tmp_path / "line")
    optimizer = trainer.optimizers["main"]
    expected = copy.deepcopy(run(trainer, 2).line.model.state_dict())
    trainer.line.load_state(tmp_path / "line")
    trainer.load_state(tmp_path / "trainer")
    assert same(run(trainer, 2).line.model.state_dict(), expected)
    assert trainer.optimizers["main"] is optimizer


def test_pause_points_go_on_after_a_load(tmp_path):
    make = Fitting
    resumed = resume(run(connect(make()), 1), tmp_path, make)
    resumed.attach_pause_point(stops := FakePausePoint())
    resumed.run()
    assert stops.calls == STEPS


def test_a_save_before_the_first_session_keeps_the_loaded_state(tmp_path):
    """Resume, save at once, resume from that: nothing is lost on the way."""
    uninterrupted = run(connect(Fitting()), 2)
    loaded = resume(uninterrupted, tmp_path, Fitting)
    (tmp_path / "again").mkdir()
    again = resume(loaded, tmp_path / "again", Fitting)
    assert_bit_equal(run(again, 2), run(uninterrupted, 2))


def test_a_state_of_before_the_first_session_replaces_a_loaded_one(tmp_path):
    """The later load counts: there were no optimizers in it."""
    connect(Fitting()).save_state(tmp_path / "fresh")
    run(connect(Fitting()), 2).save_state(tmp_path / "trained")
    trainer = connect(Fitting())
    trainer.load_state(tmp_path / "trained")
    trainer.load_state(tmp_path / "fresh")
    assert_bit_equal(run(trainer, 1), run(connect(Fitting()), 1))


def test_a_fresh_trainer_is_saved_and_loaded(tmp_path):
    resumed = resume(connect(Fitting()), tmp_path, Fitting)
    assert_bit_equal(run(resumed, 2), run(connect(Fitting()), 2))


class Renamed(Fitting):
    """Names its optimizer otherwise."""

    def create_optimizers(self):
        return {"other": self.make_optimizer(self.line.model.parameters())}

    def train(self):
        self.step("other")


def test_a_state_with_other_optimizers_is_refused_by_their_names(tmp_path):
    run(connect(Fitting()), 1).save_state(tmp_path / "trainer")
    trainer = connect(Renamed())
    trainer.load_state(tmp_path / "trainer")
    with pytest.raises(ValueError, match=r"optimizers of Renamed.*missing: \['other'\], unknown: \['main'\]"):
        trainer.run()


def test_a_running_trainer_refuses_a_state_with_other_optimizers_at_once(tmp_path):
    run(connect(Fitting()), 1).save_state(tmp_path / "trainer")
    trainer = run(connect(Renamed()), 1)
    with pytest.raises(ValueError, match=r"missing: \['other'\], unknown: \['main'\]"):
        trainer.load_state(tmp_path / "trainer")


def test_a_state_with_other_schedules_is_refused_by_their_names(tmp_path):
    """Not silently a fresh schedule."""
    run(connect(Fitting()), 1).save_state(tmp_path / "trainer")
    trainer = connect(Fitting(make_schedule=LR_SCHEDULERS["StepLR"]))
    trainer.load_state(tmp_path / "trainer")
    with pytest.raises(ValueError, match=r"schedules of Fitting.*missing: \['rate'\]"):
        trainer.run()


def test_a_state_without_its_optimizer_file_is_refused(tmp_path):
    """Not silently a fresh optimizer."""
    run(connect(Fitting()), 1).save_state(tmp_path / "trainer")
    (tmp_path / "trainer" / "optimizers.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"optimizers\.json"):
        connect(Fitting()).load_state(tmp_path / "trainer")


# The replay ratio.


def test_the_replay_ratio_limits_it_as_any_trainer():
    """By what it draws from its buffer."""

    class Sampling(Fitting):
        def train(self):
            batch = self.get_data_user("data").sample(4)
            assert batch["x"].shape == (4,)
            super().train()

    trainer = Sampling(
        training_condition_data_user="data", min_buffer_size=1, max_replay_ratio=0.5, max_replay_burst=4
    )
    parts = connect_components(
        trainers=trainer,
        models={"line": TorchTrainingModel(nn.Linear(2, 2))},
        buffers={"data": TensorRingBuffer(100)},
    )
    began = []
    for item in range(1, 26):
        parts.data_collectors["data"].collect({"x": float(item)})
        if trainer.run():
            began.append(item)
    assert began == [1, 9, 17, 25]
    assert trainer.replay_ratio == 16 / 25
    for item in range(100):
        parts.data_collectors["data"].collect({"x": float(item)})
    assert [trainer.run() for _ in range(2)] == [True, False], "four items' worth is saved up, not a hundred's"
