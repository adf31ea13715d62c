"""A curve tied to a hyperparameter: base, t, and nothing else."""

import itertools
import math
import warnings

import pytest
import torch
from hypothesis import given, settings, strategies as st
from torch import nn
from torch.optim.lr_scheduler import LambdaLR, LRScheduler

from pamiq_sched import ManualClock
from pamiq_sched.optim import (
    ConstantCurve,
    CosineAnnealingWarmupReduceRestarts,
    CosineCurve,
    CyclicCurve,
    ExponentialCurve,
    InverseSqrtCurve,
    LinearCurve,
    PiecewiseLinearCurve,
    PolynomialCurve,
    PolynomialLRDecay,
    RepeatCurve,
    Schedule,
    StepCurve,
    WarmupCurve,
    WarmupStableDecayCurve,
    register_domain,
)
from pamiq_sched.optim.lockstep import BLOCK
from pamiq_sched.state import load, save


def make_optimizer(*, lr=0.1, groups=1, **defaults):
    """AdamW with a group for each base of ``lr``, or so many with one."""
    rates = lr if isinstance(lr, list) else [lr] * groups
    return torch.optim.AdamW(
        [{"params": [nn.Parameter(torch.zeros(1))], "lr": rate} for rate in rates], **defaults
    )


def values(optimizer, key="lr"):
    return [float(group[key]) for group in optimizer.param_groups]


def run(schedule, steps):
    """The values of the first group now and after each step."""
    seen = [schedule.get_last_lr()[0]]
    for _ in range(steps):
        schedule.step()
        seen.append(schedule.get_last_lr()[0])
    return seen


WARMUP_COSINE = WarmupCurve(5).then(CosineCurve(1.0, 0.1, 10))


# What it writes.


def test_the_value_is_the_base_times_the_curve_at_t_counted_in_steps():
    optimizer = make_optimizer(lr=[0.1, 0.4])
    schedule = Schedule(optimizer, WARMUP_COSINE)
    for t in range(20):
        assert values(optimizer) == [0.1 * WARMUP_COSINE(t), 0.4 * WARMUP_COSINE(t)]
        assert schedule.get_last_lr() == values(optimizer)
        assert schedule.last_epoch == t
        schedule.step()


def test_absolute_values_are_the_curve_s_own_whatever_the_base():
    optimizer = make_optimizer(lr=[0.1, 0.4])
    schedule = Schedule(optimizer, LinearCurve(1.0, 0.5, 2), mode="absolute")
    assert values(optimizer) == [1.0, 1.0]
    schedule.step()
    assert values(optimizer) == [0.75, 0.75]


@pytest.mark.parametrize("key", ["lr", "weight_decay", "eps"])
def test_any_key_can_be_scheduled_and_the_others_stay(key):
    optimizer = make_optimizer(lr=0.1, weight_decay=0.2, eps=0.3)
    before = dict(optimizer.param_groups[0])
    Schedule(optimizer, ConstantCurve(0.5), key)
    after = dict(optimizer.param_groups[0])
    assert after.pop(key) == before.pop(key) * 0.5
    assert after == before


def test_an_element_of_betas_can_be_scheduled_and_the_next_step_of_the_optimizer_works():
    optimizer = make_optimizer()
    schedule = Schedule(optimizer, LinearCurve(1.0, 0.5, 10), "betas[0]")
    schedule.step()
    assert optimizer.param_groups[0]["betas"] == (0.9 * 0.95, 0.999)
    optimizer.param_groups[0]["params"][0].grad = torch.ones(1)
    optimizer.step()


def test_a_tensor_is_filled_in_place_at_every_step():
    tensor = torch.tensor(0.5, dtype=torch.float64)
    optimizer = make_optimizer(lr=tensor)
    held = optimizer.param_groups[0]["lr"]
    schedule = Schedule(optimizer, LinearCurve(1.0, 0.0, 4))
    for t in range(6):
        assert optimizer.param_groups[0]["lr"] is held
        assert held.item() == 0.5 * LinearCurve(1.0, 0.0, 4)(t)
        schedule.step()


def test_a_number_that_becomes_a_tensor_midway_is_filled_from_then_on():
    optimizer = make_optimizer(lr=0.5, groups=2)
    schedule = Schedule(optimizer, LinearCurve(1.0, 0.0, 100))
    run(schedule, 10)
    tensor = torch.tensor(0.0, dtype=torch.float64)
    optimizer.param_groups[1]["lr"] = tensor
    schedule.step()
    assert optimizer.param_groups[1]["lr"] is tensor
    assert tensor.item() == optimizer.param_groups[0]["lr"] == 0.5 * 0.89


def test_a_default_value_is_given_to_groups_that_lack_the_key():
    optimizer = make_optimizer(groups=2)
    Schedule(optimizer, LinearCurve(0.5, 0.0, 10), "clip", default_value=10.0)
    assert values(optimizer, "clip") == [5.0, 5.0]


def test_a_missing_key_without_a_default_is_a_key_error_with_the_remedy():
    with pytest.raises(KeyError, match="default_value"):
        Schedule(make_optimizer(), LinearCurve(0.5, 0.0, 10), "clip")


def test_it_is_an_lr_scheduler_that_leaves_the_optimizer_alone():
    optimizer = make_optimizer()
    keys = set(optimizer.param_groups[0])
    schedule = Schedule(optimizer, WARMUP_COSINE)
    assert isinstance(schedule, LRScheduler)
    assert "step" not in vars(optimizer)
    assert set(optimizer.param_groups[0]) == keys


def test_a_plain_function_is_a_curve_and_is_asked_for_no_t_ahead_of_its_step():
    asked = []

    def function(t):
        asked.append(t)
        return 1 / (1 + t)

    optimizer = make_optimizer()
    schedule = Schedule(optimizer, function)
    schedule.step()
    schedule.step()
    assert asked == [0, 1, 2]
    assert values(optimizer) == [0.1 / 3]
    assert schedule.get_last_lr() == [0.1 / 3]
    assert asked == [0, 1, 2]


CURVES = [
    ConstantCurve(0.3),
    WARMUP_COSINE,
    CosineCurve(1.0, 0.1, 700, wave="quarter"),
    PolynomialCurve(1.0, 0.2, 900, 0.9),
    PolynomialCurve(1.0, 0.2, 900, 2.0),
    PolynomialCurve(1.0, 0.2, 900, 0.5),
    ExponentialCurve(0.999),
    InverseSqrtCurve(50),
    InverseSqrtCurve(50) * InverseSqrtCurve(70),
    StepCurve((100, 1500), (1.0, 0.5, 0.1)),
    PiecewiseLinearCurve(((0, 0.0), (300, 1.0), (1200, 0.2))),
    WarmupStableDecayCurve(100, 300, 800),
    CyclicCurve(97, 7, 2, 1.0, 0.05, 0.9),
    RepeatCurve(LinearCurve(1.0, 0.1, 130), gamma=0.9),
    LinearCurve(1.0, 0.1, 33, past_end="repeat"),
    LinearCurve(1.0, 0.1, 400).retarget(100, 2000),
]


@pytest.mark.parametrize("curve", CURVES, ids=lambda curve: type(curve).__name__)
def test_stepping_asking_and_the_curve_itself_agree_to_the_last_bit(curve):
    """Over two blocks of what is worked out ahead, and their seams."""
    optimizer = make_optimizer(lr=[0.1, 0.7])
    schedule = Schedule(optimizer, curve)
    other = Schedule(make_optimizer(lr=[0.1, 0.7]), curve)
    for t in range(2 * BLOCK + 3):
        assert values(optimizer) == [0.1 * curve(t), 0.7 * curve(t)] == other.schedule_at(t)
        schedule.step()


# Past the end.


@pytest.mark.parametrize(
    "curve", [LinearCurve(1, 0, 5), PolynomialCurve(1, 0, 5), PolynomialCurve(1, 0, 5, 0.5), CosineCurve(1, 0, 5)]
)
def test_past_its_end_a_curve_neither_turns_back_nor_goes_below(curve):
    optimizer = make_optimizer()
    run(Schedule(optimizer, curve), 15)
    assert values(optimizer) == [0.0]


def test_a_curve_that_raises_past_its_end_does_so_at_that_step_and_not_before():
    optimizer = make_optimizer()
    schedule = Schedule(optimizer, LinearCurve(1.0, 0.5, 3, past_end="raise"))
    run(schedule, 3)
    with pytest.raises(ValueError, match="at most 3"):
        schedule.step()
    assert schedule.last_epoch == 3


# What it refuses.


@pytest.mark.parametrize(
    ("target", "base", "factor"),
    [
        ("lr", 0.1, math.nan),
        ("lr", 0.1, math.inf),
        ("lr", 0.1, -1.0),
        ("weight_decay", 0.1, -0.5),
        ("betas[0]", 0.9, 2.0),
        ("lr", 1e300, 1e300),
    ],
)
def test_a_value_that_cannot_be_taken_is_refused_by_key_group_and_step_and_nothing_changes(target, base, factor):
    optimizer = make_optimizer(groups=2)
    for group in optimizer.param_groups:
        group.update({"betas": (base, 0.999)} if target == "betas[0]" else {target: base})
    schedule = Schedule(optimizer, lambda t: factor if t == 2 else 1.0, target)
    schedule.step()
    before = [dict(group) for group in optimizer.param_groups]
    for _ in range(2):
        with pytest.raises(ValueError, match=r"param group 0 at t = 2") as caught:
            schedule.step()
        assert target in str(caught.value)
    assert [dict(group) for group in optimizer.param_groups] == before
    assert schedule.last_epoch == 1


@pytest.mark.parametrize("factor", [True, "1", 1j, None, [1.0]])
def test_a_curve_that_returns_no_real_number_is_a_type_error(factor):
    with pytest.raises(TypeError, match="curve of 'lr' at t = 0"):
        Schedule(make_optimizer(), lambda t: factor)


def test_a_refusal_of_what_was_worked_out_ahead_comes_at_its_step_and_names_the_group():
    optimizer = make_optimizer(lr=[0.0, 0.1])
    schedule = Schedule(optimizer, LinearCurve(1.0, -1.0, 4))
    with pytest.warns(UserWarning, match="is 0 in param group 0"):
        schedule.step()
    schedule.step()
    with pytest.raises(ValueError, match=r"-0\.05 for param group 1 at t = 3"):
        schedule.step()
    assert values(optimizer) == [0.0, 0.0]
    assert schedule.last_epoch == 2


@pytest.mark.parametrize(("rates", "steps"), [([0.1], 3), ([0.0, 0.1], 3), ([1e200], 1)])
def test_what_overflows_is_refused_at_its_step(rates, steps):
    schedule = Schedule(make_optimizer(lr=rates), ExponentialCurve(1e100))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".* is 0 in param group")
        run(schedule, steps)
        with pytest.raises(ValueError, match=f"t = {steps + 1}"):
            schedule.step()


def test_a_domain_of_one_s_own_is_kept(monkeypatch):
    monkeypatch.setattr("pamiq_sched.optim.address._DOMAINS", {})
    register_domain("temperature", above=0.0, most=2.0)
    optimizer = make_optimizer()
    schedule = Schedule(optimizer, LinearCurve(1.0, 3.0, 2), "temperature", default_value=1.0)
    schedule.step()
    with pytest.raises(ValueError, match=r"above 0\.0 and of at most 2\.0, got 3\.0"):
        schedule.step()


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"curve": 3}, TypeError, "a Curve or a function"),
        ({"schedule_target": 3}, TypeError, "must be a string"),
        ({"schedule_target": "params"}, ValueError, "params"),
        ({"schedule_target": "betas"}, TypeError, r"betas\[0\]"),
        ({"schedule_target": "fused"}, TypeError, "fused"),
        ({"mode": "relative"}, ValueError, "multiplier"),
        ({"by": "epochs"}, ValueError, "steps"),
        ({"groups": 1}, KeyError, "from 0 to 0"),
        ({"groups": "head"}, KeyError, "head"),
        ({"groups": []}, KeyError, "must choose"),
        ({"groups": True}, KeyError, "must choose"),
        ({"groups": lambda group: False}, KeyError, "must choose"),
        ({"samples_per_step": 5}, ValueError, 'by="samples"'),
        ({"samples_per_step": 0, "by": "samples"}, ValueError, "at least 1"),
        ({"on_changed_curve": "guess"}, ValueError, "refuse"),
        ({"default_value": math.nan, "schedule_target": "x"}, TypeError, "finite"),
        ({"default_value": 1.0, "schedule_target": "x", "curve": lambda t: math.nan}, ValueError, "nan"),
    ],
)
def test_bad_arguments_are_refused_and_the_optimizer_stays(arguments, error, message):
    optimizer = make_optimizer()
    before = dict(optimizer.param_groups[0])
    with pytest.raises(error, match=message):
        Schedule(optimizer, **{"curve": ConstantCurve(0.5), **arguments})
    assert optimizer.param_groups[0] == before


def test_something_else_than_an_optimizer_is_refused():
    with pytest.raises(TypeError, match="Optimizer"):
        Schedule(nn.Linear(1, 1), ConstantCurve())


def test_a_base_of_zero_is_warned_of_once_at_the_first_step():
    """Not when it is made: a state may be loaded before."""
    schedule = Schedule(make_optimizer(weight_decay=0.0), ConstantCurve(), "weight_decay")
    with pytest.warns(UserWarning, match="'weight_decay' is 0 in param group 0"):
        schedule.step()
    schedule.step()


# Groups.


def named_groups():
    return torch.optim.SGD(
        [
            {"params": [nn.Parameter(torch.zeros(1))], "name": "body", "lr": 0.1},
            {"params": [nn.Parameter(torch.zeros(1))], "name": "head", "lr": 0.2},
            {"params": [nn.Parameter(torch.zeros(1))], "name": "tail", "lr": 0.3},
        ],
        lr=1.0,
    )


@pytest.mark.parametrize(
    ("groups", "expected"),
    [
        (1, [0.1, 0.1, 0.3]),
        ("head", [0.1, 0.1, 0.3]),
        ([0, "tail"], [0.05, 0.2, 0.15]),
        (lambda group: group["lr"] > 0.15, [0.1, 0.1, 0.15]),
        (None, [0.05, 0.1, 0.15]),
    ],
)
def test_groups_are_chosen_by_index_name_several_or_a_predicate(groups, expected):
    optimizer = named_groups()
    schedule = Schedule(optimizer, ConstantCurve(0.5), groups=groups)
    schedule.step()
    schedule.step()
    assert values(optimizer) == expected
    assert len(schedule.get_last_lr()) == len(schedule.indices)


@pytest.mark.parametrize("groups", [["head", "typo"], [0, 7]])
def test_one_group_that_is_not_there_is_enough_to_refuse(groups):
    with pytest.raises(KeyError, match="body"):
        Schedule(named_groups(), ConstantCurve(0.5), groups=groups)


def test_a_group_that_is_added_later_is_taken_up_with_its_own_base():
    optimizer = make_optimizer(lr=0.1)
    schedule = Schedule(optimizer, LinearCurve(1.0, 0.0, 10))
    run(schedule, 3)
    optimizer.add_param_group({"params": [nn.Parameter(torch.zeros(1))], "lr": 0.8})
    schedule.step()
    assert values(optimizer) == [0.1 * 0.6, 0.8 * 0.6]
    schedule.step()
    assert values(optimizer) == [0.1 * 0.5, 0.8 * 0.5]


def test_a_later_group_is_asked_whether_it_is_meant():
    optimizer = named_groups()
    schedule = Schedule(optimizer, ConstantCurve(0.5), groups=lambda group: group["name"] != "body")
    optimizer.add_param_group({"params": [nn.Parameter(torch.zeros(1))], "lr": 0.8, "name": "body"})
    optimizer.add_param_group({"params": [nn.Parameter(torch.zeros(1))], "lr": 0.6, "name": "new"})
    schedule.step()
    assert values(optimizer) == [0.1, 0.1, 0.15, 0.8, 0.3]


def test_a_later_group_without_the_key_is_a_key_error():
    optimizer = make_optimizer()
    optimizer.param_groups[0]["clip"] = 1.0
    schedule = Schedule(optimizer, ConstantCurve(0.5), "clip")
    run(schedule, 2)
    optimizer.add_param_group({"params": [nn.Parameter(torch.zeros(1))]})
    with pytest.raises(KeyError, match="no 'clip'"):
        schedule.step()


def test_a_key_that_is_gone_with_a_loaded_state_is_a_key_error_with_the_remedy():
    optimizer = make_optimizer()
    state = optimizer.state_dict()
    schedule = Schedule(optimizer, ConstantCurve(0.5), "clip", default_value=1.0)
    run(schedule, 3)
    optimizer.load_state_dict(state)
    with pytest.raises(KeyError, match="extend_optimizer"):
        schedule.step()
    assert schedule.last_epoch == 3


def test_a_group_that_is_gone_is_an_error():
    optimizer = make_optimizer(groups=2)
    schedule = Schedule(optimizer, ConstantCurve(0.5))
    run(schedule, 2)
    del optimizer.param_groups[0]
    with pytest.raises(ValueError, match="are gone"):
        schedule.step()


def test_a_plain_torch_scheduler_made_before_does_not_change_the_base_of_another_key():
    optimizer = make_optimizer(lr=0.1, weight_decay=0.5)
    LambdaLR(optimizer, lambda t: t / 10)
    assert optimizer.param_groups[0]["initial_lr"] == 0.1
    Schedule(optimizer, ConstantCurve(0.5), "weight_decay")
    assert values(optimizer, "weight_decay") == [0.25]


# What it counts.


def test_going_to_a_step_is_as_good_as_having_walked_there():
    schedule = Schedule(make_optimizer(), WARMUP_COSINE)
    walked = run(Schedule(make_optimizer(), WARMUP_COSINE), 12)
    for t in (7, 3, 12, 0):
        schedule.step(t)
        assert schedule.get_last_lr() == [walked[t]]
        assert schedule.last_epoch == t
    with pytest.raises(ValueError, match="-1"):
        schedule.step(-1)


def test_by_samples_it_moves_to_the_samples_seen():
    schedule = Schedule(make_optimizer(lr=1.0), LinearCurve(1.0, 0.0, 1000), by="samples")
    schedule.step(samples=100)
    assert schedule.get_last_lr() == [0.9]
    schedule.add_samples(200)
    schedule.add_samples(100)
    schedule.step()
    assert (schedule.get_last_lr(), schedule.t, schedule.last_epoch) == ([0.6], 400, 2)


def test_by_samples_each_step_adds_as_many_as_it_was_told():
    schedule = Schedule(make_optimizer(lr=1.0), LinearCurve(1.0, 0.0, 1000), by="samples", samples_per_step=250)
    assert run(schedule, 2) == [1.0, 0.75, 0.5]


def test_by_samples_a_step_without_samples_is_an_error_with_the_remedies():
    schedule = Schedule(make_optimizer(), ConstantCurve(), by="samples")
    with pytest.raises(ValueError, match=r"samples_per_step"):
        schedule.step()
    for bad in (0, -1):
        with pytest.raises(ValueError, match="samples"):
            schedule.step(samples=bad)
    with pytest.raises(TypeError, match="samples"):
        schedule.step(samples=1.5)


def test_samples_are_not_lost_by_a_step_that_is_refused():
    schedule = Schedule(make_optimizer(), lambda t: -1.0 if t == 10 else 1.0, by="samples")
    with pytest.raises(ValueError, match="t = 10"):
        schedule.step(samples=10)
    assert schedule.t == 0
    schedule.step(samples=11)
    assert schedule.t == 11


def test_only_a_schedule_by_samples_counts_them():
    schedule = Schedule(make_optimizer(), ConstantCurve())
    with pytest.raises(ValueError, match='by="samples"'):
        schedule.add_samples(1)


def test_by_seconds_it_follows_agent_time_and_stands_while_that_is_paused():
    clock = ManualClock()
    schedule = Schedule(make_optimizer(lr=1.0), LinearCurve(1.0, 0.0, 100), by="seconds", clock=clock)
    clock.advance(10.0)
    schedule.step()
    assert schedule.get_last_lr() == [pytest.approx(0.9)]
    clock.pause()
    clock.advance(50.0)
    clock.resume()
    schedule.step()
    assert schedule.get_last_lr() == [pytest.approx(0.9)]
    assert schedule.last_epoch == 2


def test_by_seconds_it_goes_on_from_where_it_is_when_the_clock_is_loaded():
    clock = ManualClock()
    schedule = Schedule(make_optimizer(lr=1.0), LinearCurve(1.0, 0.0, 100), by="seconds", clock=clock)
    clock.advance(10.0)
    clock.load_state_dict({"time": 5e6, "perf_counter": 5e6, "monotonic": 5e6})
    schedule.step()
    assert schedule.get_last_lr() == [pytest.approx(0.9)]


@pytest.mark.parametrize("by", ["samples", "seconds"])
def test_only_a_schedule_by_steps_can_go_to_one(by):
    with pytest.raises(ValueError, match="by steps"):
        Schedule(make_optimizer(), ConstantCurve(), by=by).step(3)


# Horizons.


def test_a_horizon_moves_without_a_jump_and_the_curve_ends_there():
    optimizer = make_optimizer(lr=1.0)
    schedule = Schedule(optimizer, LinearCurve(1.0, 0.0, 100))
    run(schedule, 50)
    schedule.retarget(250)
    assert schedule.get_last_lr() == [0.5] == schedule.schedule_at(50)
    schedule.step()
    assert schedule.get_last_lr() == [pytest.approx(0.5 - 0.5 / 200)]
    assert schedule.schedule_at(150) == [0.25]
    assert schedule.schedule_at(250) == schedule.schedule_at(10**6) == [0.0]


def test_a_decay_begins_on_demand():
    schedule = Schedule(make_optimizer(lr=1.0), WarmupStableDecayCurve(10, 20))
    run(schedule, 100)
    assert schedule.curve.end is None
    schedule.retarget(120)
    assert [schedule.schedule_at(t)[0] for t in (100, 110, 120)] == [1.0, 0.5, 0.0]


def test_a_horizon_that_cannot_be_moved_is_refused_and_nothing_changes():
    schedule = Schedule(make_optimizer(), LinearCurve(1.0, 0.0, 10))
    state = run(schedule, 4) and schedule.state_dict()
    with pytest.raises(ValueError, match="ahead"):
        schedule.retarget(3)
    with pytest.raises(ValueError, match="ends later than now"):
        Schedule(make_optimizer(), ConstantCurve()).retarget(30)
    assert schedule.state_dict() == state


def test_any_t_can_be_asked_without_going_there():
    optimizer = make_optimizer(lr=[1.0, 2.0])
    schedule = Schedule(optimizer, LinearCurve(1.0, 0.0, 10))
    assert schedule.schedule_at(2.5) == [0.75, 1.5]
    assert values(optimizer) == [1.0, 2.0]
    for bad in (-1, math.nan, math.inf):
        with pytest.raises(ValueError, match="t must"):
            schedule.schedule_at(bad)


# Resuming.

FAMILIES = {
    "warmup, cosine": lambda o: Schedule(o, WARMUP_COSINE),
    "element": lambda o: Schedule(o, LinearCurve(1.0, 0.1, 60), "betas[0]"),
    "function": lambda o: Schedule(o, lambda t: 1 / (1 + t / 7), "weight_decay"),
    "own key": lambda o: Schedule(o, CyclicCurve(17, 3, 2, gamma=0.9), "clip", default_value=5.0),
    "samples": lambda o: Schedule(o, ExponentialCurve(0.99), by="samples", samples_per_step=3),
    "absolute": lambda o: Schedule(o, InverseSqrtCurve(9, 0.3), mode="absolute"),
    "polynomial decay": lambda o: PolynomialLRDecay(o, 40, 0.01, 0.9),
    "restarts": lambda o: CosineAnnealingWarmupReduceRestarts(o, 6, 2, 0.01, 2, 0.5),
}


def make_run(family, *, tensor=False):
    rates = (
        [torch.tensor(0.1, dtype=torch.float64), torch.tensor(0.3, dtype=torch.float64)] if tensor else [0.1, 0.3]
    )
    optimizer = make_optimizer(lr=rates, weight_decay=0.2)
    return optimizer, FAMILIES[family](optimizer)


def hyperparameters(optimizer):
    return [
        {k: v.item() if isinstance(v, torch.Tensor) else v for k, v in group.items() if k != "params"}
        for group in optimizer.param_groups
    ]


ORDERS = ["make, optimizer, schedule", "make, schedule, optimizer", "optimizer, make, schedule"]


@pytest.mark.parametrize("tensor", [False, True])
@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("family", FAMILIES)
@settings(max_examples=50, deadline=None)
@given(at=st.integers(0, 80))
def test_a_resumed_run_is_bit_equal_in_whatever_order_it_is_loaded(family, order, tensor, at):
    if tensor and family not in {"warmup, cosine", "polynomial decay", "samples"}:
        return  # their hyperparameters are no tensors
    optimizer, schedule = make_run(family, tensor=tensor)
    for _ in range(at):
        schedule.step()
    saved_optimizer, saved = optimizer.state_dict(), schedule.state_dict()
    saved_optimizer = {"state": {}, "param_groups": [dict(group) for group in saved_optimizer["param_groups"]]}
    if tensor:
        for group in saved_optimizer["param_groups"]:
            group["lr"] = group["lr"].clone()
    expected = []
    for _ in range(25):
        schedule.step()
        expected.append(hyperparameters(optimizer))

    again = make_optimizer(lr=[torch.tensor(0.7, dtype=torch.float64)] * 2 if tensor else [0.7, 0.7])
    resumed = None
    for part in order.split(", "):
        if part == "make":
            resumed = FAMILIES[family](again)
        elif part == "optimizer":
            again.load_state_dict(saved_optimizer)
        else:
            resumed.load_state_dict(saved)
    if order == ORDERS[1] or at:
        assert resumed.last_epoch == at
    continued = []
    for _ in range(25):
        resumed.step()
        continued.append(hyperparameters(again))
    assert continued == expected


def test_loading_writes_the_value():
    schedule = Schedule(make_optimizer(lr=0.5), LinearCurve(1.0, 0.0, 10))
    run(schedule, 5)
    optimizer = make_optimizer(lr=123.0)
    Schedule(optimizer, LinearCurve(1.0, 0.0, 10)).load_state_dict(schedule.state_dict())
    assert values(optimizer) == [0.25]


def test_a_state_is_plain_and_survives_being_saved_in_both_ways(tmp_path):
    schedule = Schedule(make_optimizer(), WARMUP_COSINE)
    run(schedule, 4)
    save(schedule.state_dict(), tmp_path / "state")
    assert load(tmp_path / "state") == schedule.state_dict()
    torch.save(schedule.state_dict(), tmp_path / "torch")
    assert torch.load(tmp_path / "torch", weights_only=True) == schedule.state_dict()


def test_a_moved_horizon_is_part_of_the_state():
    schedule = Schedule(make_optimizer(), LinearCurve(1.0, 0.0, 10))
    run(schedule, 4)
    schedule.retarget(40)
    run(schedule, 4)
    schedule.retarget(60)
    resumed = Schedule(make_optimizer(), LinearCurve(1.0, 0.0, 10))
    resumed.load_state_dict(schedule.state_dict())
    assert run(resumed, 60) == run(schedule, 60)


def test_by_seconds_a_resumed_run_keeps_the_seconds_that_had_gone():
    clock = ManualClock()
    schedule = Schedule(make_optimizer(), LinearCurve(1.0, 0.0, 100), by="seconds", clock=clock)
    clock.advance(30.0)
    state = schedule.state_dict()
    later = ManualClock()
    later.advance(5000.0)
    resumed = Schedule(make_optimizer(), LinearCurve(1.0, 0.0, 100), by="seconds", clock=later)
    resumed.load_state_dict(state)
    assert resumed.t == pytest.approx(30.0)
    assert resumed.get_last_lr() == [pytest.approx(0.07)]


def test_a_state_of_another_curve_is_refused_unless_told_which_to_keep():
    old, new = LinearCurve(1.0, 0.0, 10), LinearCurve(1.0, 0.0, 100)
    schedule = Schedule(make_optimizer(lr=1.0), old)
    run(schedule, 5)
    state = schedule.state_dict()
    optimizer = make_optimizer(lr=1.0)
    changed = Schedule(optimizer, new)
    with pytest.raises(ValueError, match=r'curve="new".*curve="old"'):
        changed.load_state_dict(state)
    assert (values(optimizer), changed.last_epoch) == ([1.0], 0)
    changed.load_state_dict(state, curve="new")
    assert values(optimizer) == [0.95]
    changed.load_state_dict(state, curve="old")
    assert values(optimizer) == [0.5]
    assert changed.curve == old
    told_before = Schedule(make_optimizer(lr=1.0), new, on_changed_curve="new")
    told_before.load_state_dict(state)
    assert told_before.get_last_lr() == [0.95]


GARBAGE = [
    {},
    {"garbage": 1},
    {"last_epoch": 3},
    None,
    [1, 2],
    {"last_epoch": -1},
    {"last_epoch": 1.5},
    {"last_epoch": True},
    {"bases": [0.1, 0.2]},
    {"bases": []},
    {"bases": [math.nan]},
    {"bases": ["0.1"]},
    {"bases": 0.1},
    {"bases": [-0.1]},
    {"groups": [1]},
    {"target": "weight_decay"},
    {"mode": "absolute"},
    {"by": "seconds"},
    {"curve": None},
    {"retargets": [[1]]},
    {"retargets": [[5, 3]]},
    {"retargets": 3},
    {"unknown": 1},
]


@pytest.mark.parametrize("change", GARBAGE, ids=repr)
def test_a_garbage_state_is_refused_and_nothing_changes(change):
    optimizer = make_optimizer(lr=1.0)
    schedule = Schedule(optimizer, LinearCurve(1.0, 0.0, 10))
    run(schedule, 2)
    before = schedule.state_dict()
    whole = (
        isinstance(change, dict) and change and set(change) <= {*before, "unknown"} and change != {"last_epoch": 3}
    )
    with pytest.raises((ValueError, TypeError)):
        schedule.load_state_dict({**before, **change} if whole else change)
    assert schedule.state_dict() == before
    assert values(optimizer) == [0.8]
    schedule.step()
    assert values(optimizer) == [pytest.approx(0.7)]


def test_a_state_of_other_groups_is_refused_with_the_remedy():
    schedule = Schedule(make_optimizer(groups=2), ConstantCurve())
    with pytest.raises(ValueError, match="add the same groups before loading"):
        Schedule(make_optimizer(groups=3), ConstantCurve()).load_state_dict(schedule.state_dict())


def test_groups_added_since_the_last_step_are_there_when_a_state_is_loaded():
    schedule = Schedule(make_optimizer(lr=[0.1, 0.2]), LinearCurve(1.0, 0.0, 10))
    run(schedule, 5)
    optimizer = make_optimizer(lr=[0.1])
    resumed = Schedule(optimizer, LinearCurve(1.0, 0.0, 10))
    optimizer.add_param_group({"params": [nn.Parameter(torch.zeros(1))], "lr": 7.0})
    resumed.load_state_dict(schedule.state_dict())
    assert values(optimizer) == [0.05, 0.1]


def test_two_runs_do_not_share_what_a_state_holds():
    schedule = Schedule(make_optimizer(), LinearCurve(1.0, 0.0, 10))
    state = schedule.state_dict()
    state["bases"][0] = 9.0
    assert schedule.base_lrs == [0.1]


def test_torch_s_sequential_scheduler_takes_schedules_along():
    from torch.optim.lr_scheduler import SequentialLR

    from pamiq_sched.optim import arbitrary_schedule_factory

    def make(stand_in):
        rise, fall = Schedule(stand_in, WarmupCurve(4)), Schedule(stand_in, LinearCurve(1.0, 0.0, 4))
        return SequentialLR(stand_in, [rise, fall], [4])

    optimizer = make_optimizer(lr=1.0)
    schedule = arbitrary_schedule_factory(optimizer, make)
    seen = []
    for _ in range(9):
        seen += values(optimizer)
        schedule.step()
    assert seen == [0.0, 0.25, 0.5, 0.75, 1.0, 0.75, 0.5, 0.25, 0.0]


@pytest.mark.parametrize("pair", list(itertools.permutations(["lr", "weight_decay", "betas[0]", "eps"], 2)))
def test_schedules_of_different_addresses_do_not_touch_each_other(pair):
    one, other = pair
    optimizer = make_optimizer(lr=0.1, weight_decay=0.2, eps=0.3)
    Schedule(optimizer, ConstantCurve(0.5), one)
    before = hyperparameters(optimizer)[0]
    schedule = Schedule(optimizer, ConstantCurve(0.9), other)
    schedule.step()
    after = hyperparameters(optimizer)[0]
    key = other.partition("[")[0]
    assert {k: v for k, v in after.items() if k != key} == {k: v for k, v in before.items() if k != key}
