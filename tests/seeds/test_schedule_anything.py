"""The examples of seed document 004 (schedules of any hyperparameter), after changing the imports."""

import pytest
import torch
from torch import nn
from torch.optim import Adam, AdamW
from torch.optim.lr_scheduler import CosineAnnealingLR, ExponentialLR, StepLR

import pamiq_sched as tsa


@pytest.fixture
def model():
    return nn.Linear(10, 1)


@pytest.fixture
def optimizer(model):
    return AdamW(model.parameters(), lr=0.001, weight_decay=0.01)


def train(model, optimizer):
    """The training code that the document leaves out."""
    optimizer.zero_grad()
    model(torch.ones(1, 10)).square().sum().backward()
    optimizer.step()


def value(optimizer, key):
    return optimizer.param_groups[0][key]


def test_a_schedule_is_a_multiplier_of_the_initial_value(optimizer):
    """From 0.001 by 1.0 and 0.1 to 0.001 and 0.0001."""
    schedule = tsa.cosine_annealing_with_warmup(optimizer, 1.0, 0.1, 10, 100)
    assert schedule.schedule_at(10) == [0.001]
    assert schedule.schedule_at(100) == [pytest.approx(0.0001)]


def test_a_hyperparameter_that_is_1_makes_the_values_absolute(optimizer):
    tsa.extend_optimizer(optimizer, "temperature", default_value=1.0)
    schedule = tsa.linear_schedule_with_warmup(optimizer, 7.0, 3.0, 0, 10, schedule_target="temperature")
    assert (schedule.schedule_at(0), schedule.schedule_at(10)) == ([7.0], [3.0])


def test_weight_decay_follows_a_cosine(model, optimizer):
    """The quick example, all 1000 steps of it."""
    scheduler = tsa.cosine_annealing_with_warmup(
        optimizer,
        warmup_to_value=1.0,
        anneal_to_value=0.01,
        num_warmup_steps=100,
        num_training_steps=1000,
        schedule_target="weight_decay",
    )
    scheduler = tsa.SynchronousSchedule([scheduler])

    assert value(optimizer, "weight_decay") == 0.0
    for step in range(1000):
        train(model, optimizer)
        scheduler.step()
        if step == 99:
            assert value(optimizer, "weight_decay") == 0.01
    assert value(optimizer, "weight_decay") == pytest.approx(0.0001)
    assert value(optimizer, "lr") == 0.001


def test_an_existing_parameter_needs_no_default(model):
    optimizer = Adam(model.parameters(), lr=0.001, weight_decay=0.01)
    scheduler = tsa.arbitrary_schedule_factory(
        optimizer=optimizer,
        schedule_factory=lambda opt: CosineAnnealingLR(opt, T_max=100),
        schedule_target="weight_decay",
    )
    for _ in range(50):
        scheduler.step()
    assert value(optimizer, "weight_decay") == pytest.approx(0.005)


def test_a_new_parameter_is_created_by_its_default(optimizer):
    scheduler = tsa.arbitrary_schedule_factory(
        optimizer=optimizer,
        schedule_factory=lambda opt: ExponentialLR(opt, gamma=0.95),
        default_value=1.0,
        schedule_target="gradient_clip_value",
    )
    assert value(optimizer, "gradient_clip_value") == 1.0
    scheduler.step()
    assert value(optimizer, "gradient_clip_value") == 0.95


def test_an_optimizer_is_extended_and_then_scheduled(optimizer):
    tsa.extend_optimizer(optimizer, "gradient_clip_threshold", default_value=10.0)
    scheduler = tsa.arbitrary_schedule_factory(
        optimizer=optimizer,
        schedule_factory=lambda opt: StepLR(opt, step_size=100, gamma=0.5),
        schedule_target="gradient_clip_threshold",
    )
    for _ in range(100):
        scheduler.step()
    assert value(optimizer, "gradient_clip_threshold") == 5.0


@pytest.fixture
def pair(optimizer):
    lr_scheduler = tsa.cosine_annealing_with_warmup(
        optimizer,
        warmup_to_value=1.0,
        anneal_to_value=0.001,
        num_warmup_steps=100,
        num_training_steps=1000,
        schedule_target="lr",
    )
    wd_scheduler = tsa.quadratic_schedule_with_warmup(
        optimizer,
        warmup_to_value=1.0,
        anneal_to_value=0.01,
        num_warmup_steps=100,
        num_training_steps=1000,
        schedule_target="weight_decay",
    )
    return lr_scheduler, wd_scheduler


def test_one_that_is_forgotten_falls_behind(optimizer, pair):
    """What the document warns of: schedules that are stepped one by one."""
    lr_scheduler, wd_scheduler = pair
    for _ in range(50):
        lr_scheduler.step()
    assert (lr_scheduler.last_epoch, wd_scheduler.last_epoch) == (50, 0)
    assert value(optimizer, "weight_decay") == 0.0


def test_get_last_lr_of_one_schedule_is_the_value_of_its_target(pair):
    """The other warning: the name of the method says something else."""
    _, wd_scheduler = pair
    for _ in range(100):
        wd_scheduler.step()
    assert wd_scheduler.get_last_lr() == [0.01]


def test_a_single_step_updates_both_and_values_are_known_by_name(optimizer, pair):
    sync = tsa.SynchronousSchedule(list(pair))
    for _ in range(1000):
        sync.step()
    assert sync.get_last_schedule("lr") == sync.get_last_lr() == [pytest.approx(0.000001)]
    assert sync.get_last_schedule("weight_decay") == [pytest.approx(0.0001)]
    assert value(optimizer, "lr") == sync.get_last_lr()[0]


def test_schedules_that_collide_are_refused(pair, optimizer):
    with pytest.raises(RuntimeError, match="weight_decay"):
        tsa.SynchronousSchedule([*pair, tsa.constant_schedule(optimizer, 1.0, "weight_decay")])


def test_what_was_added_survives_the_state_of_the_optimizer(model, optimizer, tmp_path):
    """The tip on serialization: a saved dictionary has the new terms."""
    tsa.extend_optimizer(optimizer, "gradient_clip_threshold", default_value=10.0)
    torch.save(optimizer.state_dict(), tmp_path / "optimizer.pt")
    again = AdamW(model.parameters())
    again.load_state_dict(torch.load(tmp_path / "optimizer.pt", weights_only=True))
    assert value(again, "gradient_clip_threshold") == 10.0


def test_all_thirteen_are_there_by_name():
    for name in (
        "cosine_annealing_with_warmup",
        "cosine_annealing_with_inverse_warmup",
        "polynomial_schedule_with_warmup",
        "polynomial_schedule_with_inverse_warmup",
        "linear_schedule_with_warmup",
        "linear_schedule_with_inverse_warmup",
        "quadratic_schedule_with_warmup",
        "quadratic_schedule_with_inverse_warmup",
        "sqrt_schedule_with_warmup",
        "sqrt_schedule_with_inverse_warmup",
        "constant_with_warmup",
        "constant_with_inverse_warmup",
        "constant_schedule",
    ):
        assert callable(getattr(tsa, name))
