"""What can be seen and moved of optimizers and schedules in use."""

import math

import pytest
import torch
from torch.optim.lr_scheduler import StepLR

from pamiq_sched.metrics.controls import Hyperparameter
from pamiq_sched.optim import (
    ConstantCurve,
    LinearCurve,
    Schedule,
    SynchronousSchedule,
    arbitrary_schedule_factory,
    extend_optimizer,
)
from pamiq_sched.optim.controls import controls, move_horizon, named_schedules, set_hyperparameter


def adamw(**kwargs):
    parameters = [torch.nn.Parameter(torch.zeros(1)), torch.nn.Parameter(torch.zeros(1))]
    groups = [{"params": [parameters[0]]}, {"params": [parameters[1]], "lr": 0.5}]
    return torch.optim.AdamW(groups, lr=0.1, weight_decay=0.5, **kwargs)


def values(optimizers, schedules=None):
    found = controls(optimizers, schedules or {}).hyperparameters
    return {(h.optimizer, h.group, h.name): (h.value, h.schedule) for h in found}


def test_every_number_of_every_group_is_shown_with_what_moves_it():
    optimizer = extend_optimizer(adamw(), "clip", 10)
    found = values({"adamw": optimizer}, {"decay": Schedule(optimizer, LinearCurve(1.0, 0.0, 10), "lr", groups=1)})
    assert found[("adamw", 0, "lr")] == (0.1, None)
    assert found[("adamw", 1, "lr")] == (0.5, "decay")
    assert found[("adamw", 0, "betas[1]")] == (0.999, None)
    assert found[("adamw", 1, "clip")] == (10.0, None)
    assert not any(name in {"amsgrad", "params", "foreach", "initial_lr"} for _, _, name in found)


def test_what_a_scheduler_of_torch_moves_is_shown_too_also_behind_a_stand_in():
    optimizer = adamw()
    schedules = {
        "steps": StepLR(optimizer, 2),
        "decay": arbitrary_schedule_factory(optimizer, lambda o: StepLR(o, 2), schedule_target="weight_decay"),
    }
    found = values({"adamw": optimizer}, schedules)
    assert found[("adamw", 0, "lr")][1] == "steps"
    assert found[("adamw", 1, "weight_decay")][1] == "decay"


def test_a_tensor_is_shown_and_set_in_place():
    lr = torch.tensor(0.1)
    optimizer = torch.optim.Adam([torch.nn.Parameter(torch.zeros(1))], lr=lr, capturable=False, foreach=False)
    assert math.isclose(values({"adam": optimizer})[("adam", 0, "lr")][0], 0.1, rel_tol=1e-6)
    set_hyperparameter({"adam": optimizer}, {}, "lr", 0.25)
    assert optimizer.param_groups[0]["lr"] is lr
    assert lr.item() == 0.25


def test_the_members_of_a_synchronous_schedule_go_by_their_own_names():
    optimizer = adamw()
    both = SynchronousSchedule(
        [Schedule(optimizer, LinearCurve(1.0, 0.0, 10)), Schedule(optimizer, ConstantCurve(), "weight_decay")]
    )
    assert list(named_schedules({"all": both})) == ["lr", "weight_decay"]
    lr, decay = controls({"adamw": optimizer}, {"all": both}).schedules
    assert (lr.name, lr.values, lr.t, lr.by, lr.horizon) == ("lr", [0.1, 0.5], 0, "steps", 10.0)
    assert (decay.name, decay.horizon) == ("weight_decay", None)


def test_schedules_of_one_name_are_told_apart_by_what_they_belong_to():
    first, second = adamw(), adamw()
    named = named_schedules(
        {
            "actor": SynchronousSchedule([Schedule(first, ConstantCurve())]),
            "critic": SynchronousSchedule([Schedule(second, ConstantCurve())]),
        }
    )
    assert list(named) == ["actor.lr", "critic.lr"]


def test_what_is_no_scheduler_is_left_out():
    class Annealing:
        def step(self):
            pass

    assert named_schedules({"own": Annealing()}) == {}


def test_a_hyperparameter_is_set_in_all_groups_or_one_and_the_old_values_come_back():
    optimizer = adamw()
    old = set_hyperparameter({"adamw": optimizer}, {}, "weight_decay", 0.25)
    assert [h.value for h in old] == [0.5, 0.5]
    old = set_hyperparameter({"adamw": optimizer}, {}, "betas[0]", 0.8, optimizer="adamw", group=1)
    assert old == [Hyperparameter("adamw", 1, "betas[0]", 0.9, None)]
    assert [g["weight_decay"] for g in optimizer.param_groups] == [0.25, 0.25]
    assert [g["betas"] for g in optimizer.param_groups] == [(0.9, 0.999), (0.8, 0.999)]


def test_a_whole_number_stays_one():
    optimizer = extend_optimizer(adamw(), "clip", 10)
    optimizer.param_groups[0]["repeats"] = 2
    set_hyperparameter({"adamw": optimizer}, {}, "repeats", 3.0)
    assert repr(optimizer.param_groups[0]["repeats"]) == "3"


@pytest.mark.parametrize(
    ("error", "pattern", "arguments"),
    [
        (KeyError, "no hyperparameter 'weight_decey'; did you mean 'weight_decay'", ("weight_decey", 0.1)),
        (KeyError, "no optimizer 'sgd'", ("weight_decay", 0.1, "sgd")),
        (KeyError, "no hyperparameter 'weight_decay'", ("weight_decay", 0.1, None, 2)),
        (ValueError, "'lr' is moved by the schedule 'lr'", ("lr", 0.1)),
        (ValueError, r"weight_decay must be a finite real number of at least 0.0, got -1", ("weight_decay", -1)),
        (ValueError, r"betas\[0\] must be .* below 1.0, got 1", ("betas[0]", 1)),
        (ValueError, "finite number, got nan", ("weight_decay", math.nan)),
        (TypeError, "got '0.1'", ("weight_decay", "0.1")),
        (TypeError, "got True", ("weight_decay", True)),
        (ValueError, "params", ("params", 1)),
    ],
)
def test_what_cannot_be_set_is_refused_and_nothing_has_changed(error, pattern, arguments):
    optimizer = adamw()
    schedules = {"lr": Schedule(optimizer, LinearCurve(1.0, 0.0, 10))}
    before = [{k: v for k, v in g.items() if k != "params"} for g in optimizer.param_groups]
    name, value, *rest = arguments
    keywords = dict(zip(("optimizer", "group"), rest, strict=False))
    with pytest.raises(error, match=pattern):
        set_hyperparameter({"adamw": optimizer}, schedules, name, value, **keywords)
    assert [{k: v for k, v in g.items() if k != "params"} for g in optimizer.param_groups] == before


def test_one_group_that_is_scheduled_keeps_all_from_being_set():
    optimizer = adamw()
    schedules = {"decay": Schedule(optimizer, LinearCurve(1.0, 0.0, 10), "lr", groups=1)}
    with pytest.raises(ValueError, match="moved by the schedule 'decay'"):
        set_hyperparameter({"adamw": optimizer}, schedules, "lr", 0.2)
    assert optimizer.param_groups[0]["lr"] == 0.1
    set_hyperparameter({"adamw": optimizer}, schedules, "lr", 0.2, group=0)
    assert [g["lr"] for g in optimizer.param_groups] == [0.2, 0.5]


def test_a_horizon_is_moved_without_a_jump_also_within_a_synchronous_schedule():
    optimizer = adamw()
    schedules = {
        "all": SynchronousSchedule(
            [
                Schedule(optimizer, LinearCurve(1.0, 0.0, 10)),
                Schedule(optimizer, LinearCurve(1.0, 0.0, 10), "weight_decay"),
            ]
        )
    }
    for _ in range(5):
        schedules["all"].step()
    assert move_horizon(schedules, "lr", 25) == 10
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.05)
    for _ in range(10):
        schedules["all"].step()
    lr, decay = controls({"adamw": optimizer}, schedules).schedules
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.025)
    assert optimizer.param_groups[0]["weight_decay"] == 0.0
    assert (lr.horizon, lr.t, decay.horizon) == (25.0, 15, None)


@pytest.mark.parametrize(
    ("error", "pattern", "name", "horizon"),
    [
        (KeyError, "no schedule 'lrr'; did you mean 'lr'", "lrr", 20),
        (TypeError, "'steps' is a StepLR; make it a Schedule", "steps", 20),
        (ValueError, "the new end must be ahead", "lr", 0),
        (ValueError, "append one with then", "endless", 20),
        (ValueError, "finite", "lr", math.inf),
        (TypeError, "got 'far'", "lr", "far"),
    ],
)
def test_a_horizon_that_cannot_be_moved_is_refused(error, pattern, name, horizon):
    optimizer = adamw()
    schedules = {
        "steps": StepLR(adamw(), 2),
        "lr": Schedule(optimizer, LinearCurve(1.0, 0.0, 10)),
        "endless": Schedule(optimizer, ConstantCurve(), "weight_decay"),
    }
    with pytest.raises(error, match=pattern):
        move_horizon(schedules, name, horizon)
    assert schedules["lr"].curve.end == 10
