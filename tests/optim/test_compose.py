"""Composites that take along what torch's own cannot."""

import pytest
import torch
from torch.optim.lr_scheduler import ConstantLR, ExponentialLR, LinearLR, ReduceLROnPlateau

from pamiq_sched.optim import (
    LinearCurve,
    ProductScheduler,
    Schedule,
    SequenceScheduler,
    arbitrary_schedule_factory,
)


def _halve(optimizer):
    return ExponentialLR(optimizer, 0.5)


def _stall(optimizer):
    return ReduceLROnPlateau(optimizer, patience=0, factor=0.5)


def _run(make, count, metrics=(), lr=1.0):
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=lr)
    schedule = arbitrary_schedule_factory(optimizer, make)
    values = []
    for t in range(count):
        values.append(optimizer.param_groups[0]["lr"])
        schedule.step(*metrics[t : t + 1])
    return values


def test_a_product_starts_each_member_from_the_base():
    assert _run(lambda o: ProductScheduler(o, [lambda p: ConstantLR(p, 0.5, 2), _halve]), 3) == [0.5, 0.25, 0.25]


def test_a_product_of_a_base_of_zero_is_zero():
    assert _run(lambda o: ProductScheduler(o, [_halve, _halve]), 2, lr=0.0) == [0.0, 0.0]


def test_a_sequence_starts_each_member_at_its_own_beginning():
    rise = lambda o: LinearLR(o, 0.5, total_iters=2)  # noqa: E731
    assert _run(lambda o: SequenceScheduler(o, [rise, _halve], [2]), 5) == [0.5, 0.75, 1.0, 0.5, 0.25]


def test_composites_nest_and_hand_metrics_to_those_that_follow_them():
    inner = lambda o: SequenceScheduler(o, [_halve, _stall], [1])  # noqa: E731
    got = _run(lambda o: ProductScheduler(o, [inner, _halve]), 4, [1.0, 1.0, 1.0])
    assert got == [1.0, 0.5, 0.25, 0.0625]


def test_a_schedule_of_ours_is_a_member():
    ours = lambda o: Schedule(o, LinearCurve(1.0, 0.0, 4))  # noqa: E731
    assert _run(lambda o: ProductScheduler(o, [ours, _halve]), 3) == [1.0, 0.375, 0.125]


@pytest.mark.parametrize("milestones", [[], [2, 3], [0], [1.5]])
def test_milestones_that_do_not_fit_are_refused(milestones):
    with pytest.raises((ValueError, TypeError), match="milestone"):
        _run(lambda o: SequenceScheduler(o, [_halve, _halve], milestones), 1)


def test_an_empty_composite_is_refused():
    with pytest.raises(ValueError, match="at least one"):
        _run(lambda o: ProductScheduler(o, []), 1)


def test_one_on_a_plain_optimizer_is_told_the_way():
    with pytest.raises(TypeError, match="arbitrary_schedule_factory"):
        ProductScheduler(torch.optim.SGD([torch.zeros(1)]), [_halve])
