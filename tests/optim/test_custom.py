"""The carried-around schedulers: their vectors, both spellings, and what they refuse."""

import math

import pytest
import torch
from hypothesis import given, settings, strategies as st

from pamiq_sched.optim import CosineAnnealingWarmupReduceRestarts, PolynomialLRDecay

_SOME = settings(deadline=None, max_examples=60)


def sgd(*rates, **options):
    rates = rates or (1.0,)
    return torch.optim.SGD([{"params": [torch.zeros(1)], "lr": rate} for rate in rates], **options)


def run(schedule, steps):
    """Return the first group's values at t = 0, 1, ..."""
    values = []
    for _ in range(steps):
        values.append(float(schedule.optimizer.param_groups[0]["lr"]))
        schedule.step()
    return values


# PolynomialLRDecay.


def test_polynomial_decay_starts_at_the_base():
    """The widely copied original would begin with 0.82."""
    schedule = PolynomialLRDecay(sgd(), 5, 0.1)
    assert run(schedule, 8) == pytest.approx([1.0, 0.82, 0.64, 0.46, 0.28, 0.1, 0.1, 0.1], abs=1e-12)


@_SOME
@given(
    base=st.floats(1e-3, 10.0),
    end=st.floats(0.0, 1.0),
    power=st.floats(0.1, 5.0),
    total=st.integers(2, 60),
)
def test_polynomial_decay_follows_its_formula_and_holds_the_end(base, end, power, total):
    values = run(PolynomialLRDecay(sgd(base), total, end, power), total + 10)
    expected = [(base - end) * (1 - min(t, total) / total) ** power + end for t in range(total + 10)]
    assert values == pytest.approx(expected, rel=1e-12, abs=1e-14)
    assert set(values[total:]) == {end}


def test_polynomial_decay_answers_what_the_original_does_not():
    schedule = PolynomialLRDecay(sgd(), max_decay_steps=5, end_learning_rate=0.1)
    schedule.step()
    assert schedule.last_epoch == 1
    assert schedule.get_last_lr() == pytest.approx([0.82])


def test_polynomial_decay_has_defaults():
    assert PolynomialLRDecay(sgd(), 10).schedule_at(10) == [0.0001]


@pytest.mark.parametrize("steps", [1, 0, -3, 0.5])
def test_a_decay_within_one_step_is_refused(steps):
    with pytest.raises(ValueError, match="max_decay_steps must be a finite number above 1"):
        PolynomialLRDecay(sgd(), steps)


def test_retargeting_a_polynomial_decay_stretches_what_is_left():
    """At t = 4 of 10 it is at 0.64; a horizon of 16 leaves 12 steps for the other 0.54."""
    schedule = PolynomialLRDecay(sgd(), 10, 0.1)
    run(schedule, 4)
    schedule.retarget(16)
    values = run(schedule, 15)
    assert values[:13] == pytest.approx([0.64 - 0.54 * k / 12 for k in range(13)])
    assert values[12:] == [0.1, 0.1, 0.1]


def test_a_retargeted_decay_resumes():
    one = PolynomialLRDecay(sgd(1.0, 0.5), 10, 0.1)
    run(one, 4)
    one.retarget(16)
    run(one, 3)
    other = PolynomialLRDecay(sgd(1.0, 0.5), 10, 0.1)
    other.load_state_dict(one.state_dict())
    assert run(other, 15) == run(one, 15)


# CosineAnnealingWarmupReduceRestarts.

VECTOR = [
    *(0.1, 0.55, 1, 0.8682, 0.55, 0.2318),
    *(0.1, 0.3, 0.5, 0.4848, 0.4414, 0.3765, 0.3, 0.2235, 0.1586, 0.1152),
    *(0.1, 0.175, 0.25),
]
SPELLINGS = {
    "T_0": {"T_0": 6, "T_mult": 2, "eta_min": 0.1, "T_up": 2, "gamma": 0.5},
    "first_cycle_steps": {
        "first_cycle_steps": 6,
        "cycle_mult": 2.0,
        "max_lr": 1.0,
        "min_lr": 0.1,
        "warmup_steps": 2,
        "gamma": 0.5,
    },
}


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_restarts_give_their_vector_in_both_spellings(spelling):
    schedule = CosineAnnealingWarmupReduceRestarts(sgd(), **SPELLINGS[spelling])
    assert run(schedule, len(VECTOR)) == pytest.approx(VECTOR, abs=5e-5)


def restarts(t, base, floor, first, mult, warmup, gamma):
    """The cycle of a step, found by counting steps one by one."""
    cycle, within, length = 0, 0, first
    for _ in range(t):
        within += 1
        if within == length:
            cycle, within = cycle + 1, 0
            length = (first - warmup) * mult**cycle + warmup
    peak = max(floor, base * gamma**cycle)
    if within < warmup:
        return floor + (peak - floor) * within / warmup
    return floor + (peak - floor) * (1 + math.cos(math.pi * (within - warmup) / (length - warmup))) / 2


@_SOME
@given(data=st.data())
def test_restarts_follow_their_formula(data):
    first = data.draw(st.integers(1, 12))
    warmup = data.draw(st.integers(0, first - 1))
    mult = data.draw(st.integers(1, 3))
    gamma = data.draw(st.floats(0.1, 1.2))
    floor = data.draw(st.floats(0.0, 0.2))
    values = run(CosineAnnealingWarmupReduceRestarts(sgd(), first, mult, floor, warmup, gamma), 150)
    expected = [restarts(t, 1.0, floor, first, mult, warmup, gamma) for t in range(150)]
    assert values == pytest.approx(expected, rel=1e-12, abs=1e-14)


def test_restarts_at_exact_powers_begin_the_right_cycle():
    """With T_0=1 and T_mult=3 cycles begin at 1, 4, 13, 40, 121, 364; a logarithm misses some."""
    values = run(CosineAnnealingWarmupReduceRestarts(sgd(), 1, 3), 1200)
    begins = {(3**i - 1) // 2 for i in range(1, 8)}
    assert [t for t, value in enumerate(values) if value == 1.0] == [0, *sorted(t for t in begins if t < 1200)]


def test_a_peak_that_fell_below_the_floor_stays_on_it():
    values = run(CosineAnnealingWarmupReduceRestarts(sgd(), 2, eta_min=0.4, gamma=0.5), 8)
    assert values[:4] == pytest.approx([1.0, 0.7, 0.5, 0.45])
    assert values[4:] == [0.4] * 4


def test_the_peak_is_each_groups_base():
    schedule = CosineAnnealingWarmupReduceRestarts(sgd(1.0, 0.5), 4, eta_min=0.1)
    assert schedule.schedule_at(2) == pytest.approx([0.55, 0.3])


def test_max_lr_is_the_peak_of_all_groups():
    schedule = CosineAnnealingWarmupReduceRestarts(sgd(1.0, 0.5), first_cycle_steps=4, max_lr=2.0)
    assert schedule.schedule_at(0) == [2.0, 2.0]


def test_a_warmup_as_long_as_its_cycle_is_refused():
    with pytest.raises(ValueError, match="shorter than the first cycle, got T_up=4 and T_0=4"):
        CosineAnnealingWarmupReduceRestarts(sgd(), 4, T_up=4)


def test_one_parameter_in_two_spellings_is_refused():
    with pytest.raises(TypeError, match="T_0 and first_cycle_steps are two names of one parameter"):
        CosineAnnealingWarmupReduceRestarts(sgd(), 4, first_cycle_steps=4)


def test_restarts_without_a_length_are_refused():
    with pytest.raises(TypeError, match="give T_0, or first_cycle_steps"):
        CosineAnnealingWarmupReduceRestarts(sgd(), T_mult=2)


def test_restarts_have_no_horizon_to_move():
    schedule = CosineAnnealingWarmupReduceRestarts(sgd(), 4)
    with pytest.raises(ValueError, match="end"):
        schedule.retarget(10)


# Both.

MAKERS = {
    "PolynomialLRDecay": lambda o, **more: PolynomialLRDecay(o, 40, 0.01, 1.5, **more),
    "CosineAnnealingWarmupReduceRestarts": lambda o, **more: CosineAnnealingWarmupReduceRestarts(
        o, 6, 2, 0.01, 2, 0.5, **more
    ),
}
BAD = [
    ("PolynomialLRDecay", {"max_decay_steps": 10}, ["max_decay_steps", "end_learning_rate", "power"]),
    (
        "CosineAnnealingWarmupReduceRestarts",
        {"T_0": 10},
        ["T_0", "T_mult", "eta_min", "T_up", "gamma", "max_lr"],
    ),
]
CLASSES = {cls.__name__: cls for cls in (PolynomialLRDecay, CosineAnnealingWarmupReduceRestarts)}


@pytest.mark.parametrize(
    ("value", "error"),
    [(math.nan, ValueError), (math.inf, ValueError), (True, TypeError), ("1", TypeError), (1j, TypeError)],
)
@pytest.mark.parametrize(("name", "good", "key"), [(n, good, key) for n, good, keys in BAD for key in keys])
def test_what_is_no_finite_number_is_refused_before_the_optimizer_is_touched(name, good, key, value, error):
    optimizer = sgd()
    before = dict(optimizer.param_groups[0])
    with pytest.raises(error, match=f"{key} must be a finite number"):
        CLASSES[name](optimizer, **{**good, key: value})
    assert optimizer.param_groups[0] == before


@pytest.mark.parametrize(
    ("key", "value"), [("power", 0.0), ("T_0", 0), ("T_mult", 0.5), ("T_up", -1), ("gamma", 0.0)]
)
def test_what_is_out_of_range_is_refused(key, value):
    name, good, _ = BAD[0] if key == "power" else BAD[1]
    with pytest.raises(ValueError, match=f"{key} must be a finite number"):
        CLASSES[name](sgd(), **{**good, key: value})


@pytest.mark.parametrize("name", MAKERS)
def test_they_move_any_hyperparameter(name):
    optimizer = torch.optim.AdamW([torch.zeros(1)], lr=0.125, betas=(0.5, 0.99), weight_decay=0.5)
    schedule = MAKERS[name](optimizer, schedule_target="betas[0]")
    expected = run(MAKERS[name](sgd(0.5)), 30)
    for value in expected:
        assert optimizer.param_groups[0]["betas"] == (value, 0.99)
        schedule.step()
    assert (optimizer.param_groups[0]["lr"], optimizer.param_groups[0]["weight_decay"]) == (0.125, 0.5)


@pytest.mark.parametrize("name", MAKERS)
def test_they_move_the_chosen_groups_only(name):
    optimizer = sgd(1.0, 0.5)
    MAKERS[name](optimizer, groups=1).step()
    assert optimizer.param_groups[0]["lr"] == 1.0
    assert optimizer.param_groups[1]["lr"] != 0.5


@pytest.mark.parametrize("name", MAKERS)
def test_each_group_goes_from_its_own_base(name):
    both = MAKERS[name](sgd(1.0, 0.5))
    alone = [MAKERS[name](sgd(rate)) for rate in (1.0, 0.5)]
    for _ in range(50):
        assert both.get_last_lr() == [value for schedule in alone for value in schedule.get_last_lr()]
        for schedule in (both, *alone):
            schedule.step()


@pytest.mark.parametrize("name", MAKERS)
def test_a_group_added_later_brings_its_own_base(name):
    optimizer = sgd(1.0)
    schedule = MAKERS[name](optimizer)
    run(schedule, 7)
    optimizer.add_param_group({"params": [torch.zeros(1)], "lr": 0.5})
    schedule.step()
    assert optimizer.param_groups[1]["lr"] == MAKERS[name](sgd(0.5)).schedule_at(8)[0]


@pytest.mark.parametrize("name", MAKERS)
def test_a_tensor_is_filled_in_place(name):
    rate = torch.tensor(1.0, dtype=torch.float64)
    optimizer = torch.optim.AdamW([torch.zeros(1)], lr=rate, capturable=True)
    assert run(MAKERS[name](optimizer), 50) == run(MAKERS[name](sgd(1.0)), 50)
    assert optimizer.param_groups[0]["lr"] is rate


@pytest.mark.parametrize("order", ["optimizer first", "schedule first"])
@pytest.mark.parametrize("name", MAKERS)
@settings(deadline=None, max_examples=15)
@given(at=st.integers(0, 45))
def test_resumed_at_any_step_they_go_on_bit_by_bit(name, order, at):
    optimizer = sgd(1.0, 0.5)
    schedule = MAKERS[name](optimizer)
    run(schedule, at)
    states = optimizer.state_dict(), schedule.state_dict()
    fresh = sgd(1.0, 0.5)
    if order == "optimizer first":
        fresh.load_state_dict(states[0])
    resumed = MAKERS[name](fresh)
    if order == "schedule first":
        resumed.load_state_dict(states[1])
        fresh.load_state_dict(states[0])
    else:
        resumed.load_state_dict(states[1])
    for _ in range(20):
        assert [g["lr"] for g in fresh.param_groups] == [g["lr"] for g in optimizer.param_groups]
        assert resumed.get_last_lr() == schedule.get_last_lr()
        schedule.step()
        resumed.step()


def changed():
    """A schedule with other parameters than the saved one, and the values of both ten steps on."""
    saved = PolynomialLRDecay(sgd(), 40)
    run(saved, 10)
    return saved, PolynomialLRDecay(sgd(), 80)


def test_a_state_of_other_parameters_is_refused_and_nothing_changes():
    saved, other = changed()
    with pytest.raises(ValueError, match=r"saved with the curve .*'max_decay_steps': 40"):
        other.load_state_dict(saved.state_dict())
    assert (other.last_epoch, other.get_last_lr()) == (0, [1.0])


@pytest.mark.parametrize(("keep", "steps"), [("new", 80), ("old", 40)])
def test_a_state_of_other_parameters_is_taken_as_told(keep, steps):
    saved, other = changed()
    other.load_state_dict(saved.state_dict(), curve=keep)
    assert other.get_last_lr() == PolynomialLRDecay(sgd(), steps).schedule_at(10)


@pytest.mark.parametrize("name", MAKERS)
def test_garbage_is_refused(name):
    with pytest.raises(ValueError, match=r"unknown: \['garbage'\]"):
        MAKERS[name](sgd()).load_state_dict({"garbage": 1})


@pytest.mark.parametrize(
    "parameters", [{"garbage": 1}, {"max_decay_steps": "x", "end_learning_rate": 0.1, "power": 1.0}]
)
def test_garbage_for_parameters_is_refused_and_nothing_changes(parameters):
    schedule = PolynomialLRDecay(sgd(), 40)
    state = schedule.state_dict()
    state["curve"] = {**state["curve"], **parameters} if "power" in parameters else parameters
    before = schedule.state_dict()
    with pytest.raises((ValueError, TypeError)):
        schedule.load_state_dict(state, curve="old")
    assert schedule.state_dict() == before
