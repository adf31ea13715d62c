"""Schedules that follow a metric."""

import pytest
import torch
from torch.optim.lr_scheduler import ExponentialLR, ReduceLROnPlateau

from pamiq_sched.optim import ProductScheduler, arbitrary_schedule_factory


def _plateau(make=lambda o: ReduceLROnPlateau(o, patience=0, factor=0.5)):
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=1.0)
    return optimizer.param_groups[0], arbitrary_schedule_factory(optimizer, make)


def test_a_step_without_a_metric_keeps_the_value_and_the_count():
    group, schedule = _plateau()
    schedule.step(1.0)
    for _ in range(5):
        schedule.step()
    assert group["lr"] == 1.0
    assert schedule.last_epoch == 1


def test_a_metric_that_stalls_reduces_the_value():
    group, schedule = _plateau()
    schedule.step(torch.tensor(1.0))
    schedule.step(1.0)
    assert group["lr"] == 0.5


@pytest.mark.parametrize("metric", [float("nan"), torch.tensor(float("nan"))])
def test_a_nan_is_refused_and_changes_nothing(metric):
    group, schedule = _plateau()
    state = schedule.state_dict()
    with pytest.raises(ValueError, match="neither better nor worse"):
        schedule.step(metric)
    assert schedule.state_dict() == state
    assert group["lr"] == 1.0


def test_in_a_product_it_is_a_factor_and_others_go_on_without_a_metric():
    group, schedule = _plateau(
        lambda o: ProductScheduler(
            o, [lambda p: ReduceLROnPlateau(p, patience=0, factor=0.5), lambda p: ExponentialLR(p, 0.5)]
        )
    )
    schedule.step(1.0)
    schedule.step(1.0)
    assert group["lr"] == 0.125
    schedule.step()
    assert group["lr"] == 0.0625
