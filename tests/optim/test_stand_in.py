"""The optimizer that a scheduler sees."""

import copy

import pytest
import torch

from pamiq_sched.optim.address import Address
from pamiq_sched.optim.stand_in import StandIn, name_at, underlying


def _optimizer(lr=0.1):
    return torch.optim.AdamW([torch.zeros(1)], lr=lr, weight_decay=0.01)


def test_lr_is_the_target_and_notes_stay_here():
    optimizer = _optimizer()
    keys = set(optimizer.param_groups[0])
    group = StandIn(optimizer, "betas[0]").param_groups[0]
    group["lr"] = 0.5
    group["initial_lr"] = group["betas"] = 3.0
    assert optimizer.param_groups[0]["betas"] == (0.5, 0.999)
    assert optimizer.param_groups[0]["lr"] == 0.1
    assert set(optimizer.param_groups[0]) == keys


def test_a_noted_tensor_does_not_follow_the_value():
    optimizer = _optimizer(torch.tensor(0.5))
    group = StandIn(optimizer).param_groups[0]
    group.setdefault("initial_lr", group["lr"])
    group["lr"] = 0.25
    assert float(group["initial_lr"]) == 0.5
    assert float(optimizer.param_groups[0]["lr"]) == 0.25


def test_a_held_value_is_never_written():
    optimizer = _optimizer()
    group = StandIn(optimizer, held=True).param_groups[0]
    group["lr"] = 0.5
    assert (group["lr"], optimizer.param_groups[0]["lr"]) == (0.5, 0.1)


def test_the_notes_of_others_are_not_seen():
    optimizer = _optimizer()
    torch.optim.lr_scheduler.StepLR(optimizer, 1)
    assert "initial_lr" not in StandIn(optimizer, "weight_decay").param_groups[0]


def test_a_stand_in_of_a_stand_in_means_what_that_means():
    optimizer = _optimizer()
    inner = StandIn(StandIn(optimizer, "weight_decay"))
    inner.param_groups[0]["lr"] = 0.5
    assert optimizer.param_groups[0]["weight_decay"] == 0.5
    assert name_at(inner, Address("lr")) == "weight_decay"
    assert underlying(inner) is optimizer


@pytest.mark.parametrize("call", ["step", "zero_grad", "state_dict"])
def test_it_is_no_optimizer_to_train_with(call):
    with pytest.raises(TypeError, match="of the optimizer itself"):
        getattr(StandIn(_optimizer()), call)()


def test_groups_outlive_the_loading_of_a_state():
    optimizer = _optimizer()
    group = StandIn(optimizer).param_groups[0]
    optimizer.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    group["lr"] = 0.5
    assert optimizer.param_groups[0]["lr"] == 0.5


def test_what_a_scheduler_did_not_write_it_may_not_delete():
    group = StandIn(_optimizer()).param_groups[0]
    group["initial_lr"] = 1.0
    del group["initial_lr"]
    with pytest.raises(KeyError, match="only delete"):
        del group["eps"]


@pytest.mark.parametrize("optimizer", [None, {"lr": 0.1}])
def test_what_is_no_optimizer_is_refused(optimizer):
    with pytest.raises(TypeError, match="Optimizer"):
        StandIn(optimizer)


def test_a_copy_stands_for_a_copy():
    stand_in = StandIn(_optimizer())
    copied = copy.deepcopy(stand_in)
    copied.param_groups[0]["lr"] = 0.5
    assert stand_in.param_groups[0]["lr"] == 0.1
    assert copied.optimizer.param_groups[0]["lr"] == 0.5
