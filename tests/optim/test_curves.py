"""Curves: what they are at t, past their end, put together, stretched, saved."""

import dataclasses
import json
import math
import pickle
import subprocess
import sys
from dataclasses import dataclass
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from pamiq_sched import _checks
from pamiq_sched.optim import curves
from pamiq_sched.optim.curves import (
    ConstantCurve,
    CosineCurve,
    Curve,
    CyclicCurve,
    ExponentialCurve,
    FunctionCurve,
    InverseSqrtCurve,
    InverseWarmupCurve,
    LinearCurve,
    PiecewiseLinearCurve,
    PolynomialCurve,
    ProductCurve,
    RepeatCurve,
    SequenceCurve,
    StepCurve,
    StepDecayCurve,
    StretchedCurve,
    WarmupCurve,
    WarmupStableDecayCurve,
)

examples = settings(deadline=None, database=None)

ENDING = [
    LinearCurve(1.0, 0.1, 9),
    PolynomialCurve(1.0, 0.1, 9.5),
    PolynomialCurve(0.1, 1.0, 9, power=0.5),
    PolynomialCurve(1.0, 0.1, 9, power=0.9, past_end="raise"),
    CosineCurve(1.0, 0.1, 9),
    CosineCurve(0.3, 0.1, 9, wave="quarter"),
    StepCurve((3, 5.5), (1, 0.5, 0.25)),
    PiecewiseLinearCurve(((1, 0.5), (4, 1.0), (6, 0.1))),
    WarmupCurve(9, peak=0.7),
    WarmupCurve(0),
    InverseWarmupCurve(9, multiplier=3),
    WarmupStableDecayCurve(2, 4, 3, floor=0.1),
    WarmupStableDecayCurve(0, 4, 0, decay="cosine"),
    WarmupStableDecayCurve(2, 4, 3, peak=0.7, floor=0.1, decay="sqrt", past_end="repeat"),
    SequenceCurve((WarmupCurve(3), ConstantCurve(), LinearCurve(1.0, 0.0, 3)), (3, 6)),
    WarmupCurve(0.1).then(CosineCurve(1, 0.1, 0.7, wave="quarter")),
    ProductCurve((LinearCurve(1.0, 0.5, 4), ConstantCurve(0.5), CosineCurve(1.0, 0.5, 9))),
    RepeatCurve(LinearCurve(1.0, 0.1, 3), times=3, gamma=0.5),
    StretchedCurve(CosineCurve(1.0, 0.1, 9), since=3, until=5.5),
    LinearCurve(1.0, 0.1, 9, past_end="repeat"),
]
ENDLESS = [
    ConstantCurve(0.3),
    ExponentialCurve(0.9, start=2.0),
    InverseSqrtCurve(4),
    StepDecayCurve(3, 0.5),
    WarmupStableDecayCurve(2, 4),
    CyclicCurve(4, warmup_steps=1, cycle_mult=2, peak=0.7, floor=0.1, gamma=0.5),
    CyclicCurve(2.5),
    WarmupCurve(3).then(InverseSqrtCurve(3)),
    0.5 * ExponentialCurve(0.9),
    RepeatCurve(CosineCurve(1.0, 0.1, 3), gamma=0.5),
    FunctionCurve(math.sqrt),
]
ALL = ENDING + ENDLESS
every_curve = pytest.mark.parametrize("curve", ALL, ids=repr)
every_ending_curve = pytest.mark.parametrize("curve", ENDING, ids=repr)


def test_the_examples_leave_no_class_out():
    public = {c for c in vars(curves).values() if isinstance(c, type) and issubclass(c, Curve)}
    assert {type(curve) for curve in ALL} == {c for c in public if not c.__name__.startswith("_")} - {Curve}


def angle(t, steps):
    return math.pi * t / steps


CLOSED_FORMS = [
    (ConstantCurve(), lambda t: 1.0),
    (LinearCurve(1.0, 0.2, 8), lambda t: 1.0 - 0.8 * t / 8),
    (PolynomialCurve(1.0, 0.2, 8), lambda t: 0.2 + 0.8 * ((8 - t) / 8) ** 2),
    (PolynomialCurve(1.0, 0.2, 8, power=0.5), lambda t: 0.2 + 0.8 * math.sqrt((8 - t) / 8)),
    (PolynomialCurve(1.0, 0.2, 8, power=3), lambda t: 0.2 + 0.8 * ((8 - t) / 8) ** 3),
    (CosineCurve(1.0, 0.2, 8), lambda t: 0.6 + 0.4 * math.cos(angle(t, 8))),
    (CosineCurve(1.0, 0.2, 8, wave="quarter"), lambda t: 0.2 + 0.8 * math.sin(angle(8 - t, 16))),
    (ExponentialCurve(0.5, start=3.0), lambda t: 3.0 * math.exp(-math.log(2) * t)),
    (InverseSqrtCurve(4, start=3.0), lambda t: 3.0 * math.sqrt(4 / (4 + t))),
    (StepCurve((2, 5), (1.0, 0.5, 0.1)), lambda t: 1.0 if t < 2 else 0.5 if t < 5 else 0.1),
    (StepDecayCurve(3, 0.5, start=2.0), lambda t: 2.0 / 2 ** int(t / 3)),
    (PiecewiseLinearCurve(((2, 0.5), (4, 1.0), (8, 0.0))), lambda t: float(np.interp(t, [2, 4, 8], [0.5, 1, 0]))),
    (WarmupCurve(8, peak=0.4), lambda t: 0.05 * t),
    (InverseWarmupCurve(8, peak=0.4), lambda t: 0.4 * (20 - 19 * t / 8)),
    (WarmupStableDecayCurve(2, 4, 2), lambda t: min(t / 2, 1.0, (8 - t) / 4)),
    (WarmupStableDecayCurve(0, 8, 0, floor=0.2, decay="sqrt"), lambda t: 1.0 - 0.8 * math.sqrt(t / 8)),
    (WarmupStableDecayCurve(0, 8, 0, floor=0.2, decay="cosine"), lambda t: 0.6 + 0.4 * math.cos(angle(t, 8))),
    (WarmupCurve(4).then(InverseSqrtCurve(4)), lambda t: min(t / 4, math.sqrt(4 / max(t, 1)))),
    (LinearCurve(1, 0, 8) * LinearCurve(0, 1, 8) * 2, lambda t: 2 * (t / 8) * (1 - t / 8)),
    (RepeatCurve(LinearCurve(1, 0, 4), gamma=0.5), lambda t: (1 - t % 4 / 4) / 2 ** (t // 4)),
    (StretchedCurve(LinearCurve(1, 0, 4), 2, 8), lambda t: 1 - t / 4 if t < 2 else (8 - t) / 12),
    (FunctionCurve(math.exp), math.exp),
]


@pytest.mark.parametrize(
    ("curve", "closed_form"), CLOSED_FORMS, ids=lambda x: repr(x) if isinstance(x, Curve) else ""
)
def test_a_curve_is_its_closed_form(curve, closed_form):
    for t in np.linspace(0, 8, 33).tolist():
        assert curve(t) == pytest.approx(closed_form(t), rel=1e-14, abs=1e-15)


def test_a_cyclic_curve_warms_up_and_shrinks():
    """The vector of the common scheduler of this kind, cycle by cycle."""
    curve = CyclicCurve(6, warmup_steps=2, cycle_mult=2, peak=1.0, floor=0.1, gamma=0.5)
    first = [0.1, 0.55, 1.0, 0.8682, 0.55, 0.2318]
    second = [0.1, 0.3, 0.5, 0.4848, 0.4414, 0.3765, 0.3, 0.2235, 0.1586, 0.1152]
    third = [0.1, 0.175, 0.25]
    assert curve.values(range(19)) == pytest.approx([*first, *second, *third], abs=5e-5)


def test_a_cycle_begins_exactly_where_a_logarithm_would_miss_it():
    curve = CyclicCurve(1, cycle_mult=3)
    starts = np.cumsum([3**i for i in range(30)]).tolist()
    assert 121 in starts
    assert [curve(t) for t in starts] == [1.0] * 30
    assert all(curve(t - 1) < 0.9 for t in starts[1:20])


def test_a_peak_is_never_below_the_floor():
    curve = CyclicCurve(4, warmup_steps=1, floor=0.4, gamma=0.5)
    assert curve.values(range(8, 100)).tolist() == [0.4] * 92


@examples
@given(
    cycle=st.integers(2, 12),
    warmup=st.integers(0, 11),
    mult=st.integers(1, 4),
    gamma=st.floats(0.3, 1.2),
    t=st.integers(0, 400),
)
def test_a_cyclic_curve_is_what_walking_there_step_by_step_finds(cycle, warmup, mult, gamma, t):
    warmup = min(warmup, cycle - 1)
    i, c, length = 0, 0, cycle
    for _ in range(t):
        c += 1
        if c == length:
            i, c, length = i + 1, 0, (length - warmup) * mult + warmup
    peak = max(gamma**i, 0.1)
    share = c / warmup if c < warmup else (1 + math.cos(angle(c - warmup, length - warmup))) / 2
    curve = CyclicCurve(cycle, warmup, mult, floor=0.1, gamma=gamma)
    assert curve(t) == pytest.approx(0.1 + (peak - 0.1) * share, rel=1e-12)


def test_far_out_a_curve_is_as_exact_as_at_the_beginning():
    far = 10**12
    assert CyclicCurve(10, warmup_steps=5)(far + 7) == CyclicCurve(10, warmup_steps=5)(7)
    assert RepeatCurve(LinearCurve(1, 0, 8))(far) == 1.0
    assert StepDecayCurve(3, 0.5)(far) == 0.0
    assert PolynomialCurve(1.0, 0.1, 9, power=0.5)(far) == 0.1


def test_a_warmup_of_no_steps_is_at_its_peak_at_once():
    assert WarmupCurve(0, peak=0.3)(0) == 0.3
    assert InverseWarmupCurve(0, peak=0.3)(0) == 0.3
    assert WarmupCurve(0).then(LinearCurve(0.5, 0.0, 10))(0) == 0.5


def test_a_factor_above_1_that_leaves_the_floats_is_an_error():
    with pytest.raises(OverflowError):
        ExponentialCurve(1.1)(10**6)


@every_curve
def test_calls_values_and_functions_agree_bit_for_bit(curve):
    end = 30 if curve.end is None or curve.past_end != "raise" else curve.end
    ts = np.linspace(0, end, 61)
    by_call = [curve(t) for t in ts]
    assert curve.values(ts).tolist() == by_call
    assert list(map(curve.function(), ts.tolist())) == by_call
    assert curve.values(iter(range(5))).tolist() == list(map(curve.function(), range(5)))


@every_curve
def test_a_vector_is_the_function_up_to_the_last_bit(curve):
    vector = curve.vector()
    if vector is None:
        assert curve.past_end == "raise" or isinstance(curve, FunctionCurve)
        return
    for ts in (np.linspace(0, 40, 81), np.arange(3.0), np.arange(6.0, 8.0), np.arange(50.0, 52.0)):
        assert vector(ts) == pytest.approx(curve.values(ts), rel=1e-14, abs=1e-16)


@every_ending_curve
def test_an_end_is_where_it_comes_to_rest(curve):
    held = dataclasses.replace(curve, past_end="hold")
    last = held(held.end)
    assert held.values([held.end * 1.0001, held.end + 1, held.end + 1e9]).tolist() == [last] * 3
    if held.end:
        assert held(held.end * 0.99) != last or isinstance(curve, StepCurve)


@pytest.mark.parametrize(
    ("curve", "stop"),
    [
        (LinearCurve(1.0, 0.1, 7), 0.1),
        (PolynomialCurve(0.3, 0.1, 7, power=0.3), 0.1),
        (CosineCurve(0.3, 0.1, 7), 0.1),
        (CosineCurve(0.3, 0.1, 7, wave="quarter"), 0.1),
        (WarmupCurve(7, peak=0.1), 0.1),
        (InverseWarmupCurve(7, peak=0.1), 0.1),
        (WarmupStableDecayCurve(7, 7, 7, peak=0.3, floor=0.1), 0.1),
        (WarmupCurve(0.1).then(CosineCurve(1, 0.1, 0.7)), 0.1),
        (LinearCurve(1.0, 0.1, 7).retarget(3.3, 4.7), 0.1),
    ],
)
def test_the_last_value_is_the_stop_to_the_last_bit(curve, stop):
    assert curve(curve.end) == stop


def test_past_the_end_it_holds():
    assert LinearCurve(1.0, 0.0, 4).values([4, 5, 99]).tolist() == [0.0, 0.0, 0.0]


def test_past_the_end_it_repeats():
    assert LinearCurve(1.0, 0.0, 4, past_end="repeat").values([3, 4, 5, 8]).tolist() == [0.25, 1.0, 0.75, 1.0]


def test_past_the_end_it_raises():
    curve = LinearCurve(1.0, 0.0, 4, past_end="raise")
    assert curve(4) == 0.0
    with pytest.raises(ValueError, match=r"t must be at most 4, where LinearCurve\(.*\) ends, got 5"):
        curve.function()(5)


@pytest.mark.parametrize("past_end", ["repeat", "raise"])
def test_what_has_no_end_has_nothing_past_it(past_end):
    with pytest.raises(ValueError, match=f"ends after 0, got '{past_end}' for one with end=None"):
        ConstantCurve(past_end=past_end)
    with pytest.raises(ValueError, match="with end=0"):
        WarmupCurve(0, past_end=past_end)
    with pytest.raises(ValueError, match="past_end"):
        FunctionCurve(math.exp, past_end=past_end)


def test_then_changes_over_where_the_first_ends():
    curve = WarmupCurve(4).then(LinearCurve(0.5, 0.0, 5))
    assert curve.values([2, 3.999, 4, 9, 10]).tolist() == [0.5, 3.999 / 4, 0.5, 0.0, 0.0]
    assert curve.end == 9


def test_then_may_cut_the_first_short_or_let_it_hold():
    assert WarmupCurve(4).then(ConstantCurve(9.0), at=2).values([1, 2]).tolist() == [0.25, 9.0]
    assert WarmupCurve(4).then(ConstantCurve(9.0), at=6).values([5, 6]).tolist() == [1.0, 9.0]


def test_then_needs_to_know_when():
    with pytest.raises(ValueError, match="give at="):
        ConstantCurve().then(WarmupCurve(3))


def test_a_chain_of_thens_is_one_sequence():
    a, b, c = WarmupCurve(4), ConstantCurve(), LinearCurve(1.0, 0.0, 5)
    assert a.then(b).then(c, at=10) == SequenceCurve((a, b, c), (4, 10))


def test_a_part_that_repeats_goes_on_until_the_next():
    wave = LinearCurve(1.0, 0.0, 2, past_end="repeat")
    assert wave.then(ConstantCurve(7.0), at=5).values([4, 4.5, 5]).tolist() == [1.0, 0.75, 7.0]
    assert ConstantCurve().then(wave, at=5).end is None


def test_a_product_keeps_moving_as_long_as_one_of_its_factors():
    short, long = LinearCurve(1.0, 0.5, 4), LinearCurve(1.0, 0.0, 8)
    assert (short * long).end == 8
    assert (short * long)(6) == 0.5 * 0.25
    assert (short * 3).end == 4
    assert (short * ExponentialCurve(0.9)).end is None


def test_a_number_times_a_repeating_curve_repeats_too():
    curve = 2 * LinearCurve(1.0, 0.0, 4, past_end="repeat")
    assert curve.end is None
    assert curve(5) == 1.5


@pytest.mark.parametrize("factor", [True, "2", None])
def test_only_curves_and_numbers_are_factors(factor):
    with pytest.raises(TypeError, match="must be a finite number"):
        LinearCurve(1, 0, 4) * factor


def test_a_repetition_ends_with_the_value_of_its_last_round():
    curve = RepeatCurve(LinearCurve(1.0, 0.5, 2), times=3, gamma=0.1)
    assert curve.end == 6
    assert curve(6) == curve(99) == 0.5 * 0.1**2


@examples
@given(
    curve=st.sampled_from(
        [c for c in ENDING if c.end and c.past_end == "hold" and not isinstance(c, WarmupStableDecayCurve)]
    ),
    now=st.floats(0, 0.99),
    left=st.floats(0.01, 100),
)
def test_a_new_end_makes_no_jump_and_is_met(curve, now, left):
    t = now * curve.end
    end = t + left
    again = curve.retarget(t, end)
    assert again.values([0, t / 3, t / 2]).tolist() == curve.values([0, t / 3, t / 2]).tolist()
    assert again(t) == pytest.approx(curve(t), rel=1e-12, abs=1e-12)
    assert again.end == pytest.approx(end)
    assert again(again.end) == curve(curve.end)


def test_a_new_end_keeps_what_follows_it():
    assert LinearCurve(1, 0, 10, past_end="repeat").retarget(5, 20)(20) == 1.0


def test_an_end_can_move_more_than_once():
    curve = LinearCurve(1.0, 0.0, 100).retarget(50, 250).retarget(150, 160)
    assert curve.values([25, 50, 150, 155, 160]).tolist() == [0.75, 0.5, 0.25, 0.125, 0.0]


@pytest.mark.parametrize(
    ("curve", "t", "end", "message"),
    [
        (ConstantCurve(), 1, 2, "end=None"),
        (LinearCurve(1, 0, 10), 10, 20, "t=10"),
        (LinearCurve(1, 0, 10), 5, 5, "end must be a finite number above 5"),
        (LinearCurve(1, 0, 10), -1, 5, "t must be a finite number of at least 0"),
        (WarmupStableDecayCurve(10, 5), 3, 10, "after the warmup"),
    ],
)
def test_an_end_that_cannot_be_is_refused(curve, t, end, message):
    with pytest.raises(ValueError, match=message):
        curve.retarget(t, end)


def test_a_stable_phase_lasts_until_the_decay_must_begin():
    curve = WarmupStableDecayCurve(10, 20)
    assert curve(10**9) == 1.0
    assert curve.retarget(500, 1000) == WarmupStableDecayCurve(10, 20, stable_steps=970)


def test_a_decay_begins_now_if_time_is_short_and_after_the_warmup_at_the_earliest():
    curve = WarmupStableDecayCurve(10, 20, floor=0.1)
    assert curve.retarget(50, 54).values([50, 52, 54]) == pytest.approx([1.0, 0.55, 0.1])
    assert curve.retarget(5, 14).values([5, 10, 12, 14]) == pytest.approx([0.5, 1.0, 0.55, 0.1])


def test_a_decay_that_was_planned_can_be_put_off_and_one_that_runs_is_stretched():
    curve = WarmupStableDecayCurve(10, 20, 30)
    assert curve.retarget(40, 100) == WarmupStableDecayCurve(10, 20, 70)
    assert curve.retarget(50, 70).values([50, 60, 70]).tolist() == [0.5, 0.25, 0.0]


@every_curve
def test_a_curve_comes_back_from_json_and_from_a_pickle(curve):
    config = json.loads(json.dumps(curve.to_config()))
    again = Curve.from_config(config)
    assert again == curve
    assert hash(again) == hash(curve)
    assert again.to_config() == config
    assert pickle.loads(pickle.dumps(curve)) == curve  # noqa: S301 - just written


numbers = st.floats(-1e6, 1e6)
durations = st.one_of(st.integers(1, 10**6), st.floats(1e-3, 1e6))
atoms = st.one_of(
    st.builds(ConstantCurve, numbers),
    st.builds(LinearCurve, numbers, numbers, durations),
    st.builds(CosineCurve, numbers, numbers, durations, wave=st.sampled_from(["half", "quarter"])),
    st.builds(WarmupCurve, durations, numbers),
    st.builds(ExponentialCurve, st.floats(1e-3, 1.0)),
    st.builds(PolynomialCurve, numbers, numbers, durations, past_end=st.sampled_from(["hold", "repeat"])),
)
trees = st.recursive(
    atoms,
    lambda part: st.one_of(
        st.builds(lambda a, b, at: a.then(b, at), part, part, durations),
        st.builds(lambda a, b: a * b, part, part),
        st.builds(lambda a, times: RepeatCurve(a, times) if a.end else a, part, st.integers(1, 9)),
    ),
    max_leaves=6,
).filter(lambda curve: curve.end is None or math.isfinite(curve.end))


@examples
@given(curve=trees, ts=st.lists(st.floats(0, 1e7), max_size=5))
def test_whatever_is_put_together_comes_back_the_same(curve, ts):
    again = Curve.from_config(json.loads(json.dumps(curve.to_config())))
    assert again == curve
    assert again.values(ts).tolist() == curve.values(ts).tolist()


@examples
@given(curve=trees.filter(lambda c: c.end is not None), later=st.floats(0, 1e7))
def test_whatever_is_put_together_holds_past_its_end(curve, later):
    held = dataclasses.replace(curve, past_end="hold")
    assert held(held.end + later) == held(held.end)


def test_a_config_has_only_what_json_has():
    curve = WarmupCurve(np.int64(4), peak=np.float32(1)).then(StepCurve([2, 4], [1, 0.5, 0.1], past_end="raise"))
    assert curve.to_config() == {
        "name": "SequenceCurve",
        "curves": [
            {"name": "WarmupCurve", "steps": 4, "peak": 1.0},
            {"name": "StepCurve", "milestones": [2, 4], "levels": [1.0, 0.5, 0.1], "past_end": "raise"},
        ],
        "milestones": [4],
    }


def test_a_config_may_hold_curves_themselves():
    part = LinearCurve(1, 0, 3)
    assert Curve.from_config({"name": "RepeatCurve", "curve": part}) == RepeatCurve(part)


@pytest.mark.parametrize(
    ("config", "error", "message"),
    [
        ({"name": "CosinCurve"}, ValueError, "there is no curve 'CosinCurve'; did you mean 'CosineCurve'"),
        ({"name": "WarmupCurve", "step": 3}, ValueError, "no WarmupCurve parameter 'step'; did you mean 'steps'"),
        ({"name": "LinearCurve", "start": 1}, ValueError, "LinearCurve must be given stop, steps too"),
        ({"name": "RepeatCurve", "curve": {"name": "Nix"}}, ValueError, "there is no curve 'Nix'"),
        ({"name": "_TransitionCurve"}, ValueError, "there is no curve '_TransitionCurve'"),
        ({"steps": 3}, TypeError, "the name of its class as 'name'"),
        ("WarmupCurve", TypeError, "must be of the class Mapping, got an object of the class str"),
    ],
)
def test_a_config_that_cannot_be_read_is_refused(config, error, message):
    with pytest.raises(error, match=message):
        Curve.from_config(config)


def halved(t: float) -> float:
    return t / 2


def test_functions_are_the_same_if_their_names_are():
    assert FunctionCurve(halved) == FunctionCurve(halved)
    assert FunctionCurve(halved) != FunctionCurve(math.exp)
    assert FunctionCurve(lambda t: 1.0) == FunctionCurve(lambda t: 1.0)
    assert FunctionCurve("math:exp")(0) == 1.0


@pytest.mark.parametrize(
    "function",
    [lambda t: t, partial(pow, 2), [1.0].__getitem__, ConstantCurve()],
    ids=["lambda", "partial", "bound", "object"],
)
def test_what_cannot_be_imported_can_be_shown_but_not_loaded(function):
    config = FunctionCurve(function).to_config()
    with pytest.raises(ValueError, match="define it with def at a module's top level"):
        Curve.from_config(config)


@pytest.mark.parametrize("where", ["math:nix", "no_such_module:f", "math exp"])
def test_a_function_that_is_not_there_is_refused(where):
    with pytest.raises(ValueError, match="the place to import it from, 'module:name', got"):
        FunctionCurve(where)


def test_a_function_curve_needs_a_function():
    with pytest.raises(TypeError, match="must have a function of t, got 3"):
        FunctionCurve(3)


@dataclass(frozen=True)
class TriangleOfTheTests(Curve):
    """A user's own: not defined past its end, with a part and a tuple."""

    part: Curve
    corners: tuple[float, ...]

    @property
    def end(self):
        return self.corners[-1]

    def _function(self):
        end, part = self.end, self.part
        return lambda t: math.sqrt(end - t) * part(t)


def test_a_class_of_the_users_own_is_saved_held_and_combined_like_ours():
    curve = TriangleOfTheTests(ConstantCurve(2.0), (1, 4.0))
    assert curve.values([0, 3, 4, 99]).tolist() == [4.0, 2.0, 0.0, 0.0]
    assert (curve * 2).retarget(2, 10)(10) == 0.0
    assert Curve.from_config(json.loads(json.dumps(curve.to_config()))) == curve


def test_a_class_may_be_defined_again_but_not_by_another_under_its_name():
    def define(module):
        return type("TwiceOfTheTests", (ConstantCurve,), {"__module__": module, "__qualname__": "T"})

    define("notebook")
    again = define("notebook")
    assert type(Curve.from_config({"name": "TwiceOfTheTests"})) is again
    with pytest.raises(TypeError, match="there can be one 'TwiceOfTheTests' only, and notebook"):
        define("elsewhere")


@every_curve
def test_a_curve_does_not_change(curve):
    with pytest.raises(dataclasses.FrozenInstanceError):
        curve.past_end = "repeat"
    assert {curve: 1}[curve] == 1


def test_curves_are_equal_by_value_whatever_numbers_they_were_given():
    assert LinearCurve(1, 0, 10) == LinearCurve(np.float32(1), 0.0, 10.0)
    assert LinearCurve(1, 0, 10) != LinearCurve(1, 0, 10, past_end="repeat")
    assert StepCurve([1], [2, 3]) == StepCurve((1,), (2.0, 3.0))


def test_a_repr_makes_the_curve_again():
    curve = WarmupCurve(3).then(LinearCurve(1, 0, 10, past_end="repeat"))
    assert eval(repr(curve)) == curve  # noqa: S307 - our own


@pytest.mark.parametrize("t", [True, "1", None, [1]])
def test_a_t_that_is_no_number_is_refused(t):
    with pytest.raises(TypeError, match="t must be a finite number of at least 0, got"):
        ConstantCurve()(t)


@pytest.mark.parametrize("t", [-1, -0.001, math.nan, math.inf, 10**400])
def test_a_t_that_is_out_of_range_is_refused(t):
    with pytest.raises(ValueError, match="t must be a finite number of at least 0, got"):
        ConstantCurve()(t)


@pytest.mark.parametrize("ts", [[1, -1], [0, math.nan, 1], [math.inf]])
def test_a_range_with_a_bad_t_is_refused_whole(ts):
    with pytest.raises(ValueError, match="every t must be"):
        ConstantCurve().values(ts)


NUMBERS = [
    (ConstantCurve, {}, "value"),
    (LinearCurve, {"start": 1, "stop": 0, "steps": 4}, "start"),
    (LinearCurve, {"start": 1, "stop": 0, "steps": 4}, "steps"),
    (PolynomialCurve, {"start": 1, "stop": 0, "steps": 4}, "power"),
    (CosineCurve, {"start": 1, "stop": 0, "steps": 4}, "stop"),
    (ExponentialCurve, {"gamma": 1}, "gamma"),
    (InverseSqrtCurve, {"timescale": 1}, "timescale"),
    (StepDecayCurve, {"step_size": 1, "gamma": 1}, "step_size"),
    (WarmupCurve, {"steps": 1}, "steps"),
    (InverseWarmupCurve, {"steps": 1}, "multiplier"),
    (WarmupStableDecayCurve, {"warmup_steps": 1, "decay_steps": 1}, "decay_steps"),
    (WarmupStableDecayCurve, {"warmup_steps": 1, "decay_steps": 1}, "stable_steps"),
    (CyclicCurve, {"cycle_steps": 1}, "cycle_steps"),
    (CyclicCurve, {"cycle_steps": 1}, "gamma"),
    (RepeatCurve, {"curve": LinearCurve(1, 0, 2)}, "gamma"),
    (StretchedCurve, {"curve": LinearCurve(1, 0, 2), "since": 1, "until": 3}, "until"),
]


@pytest.mark.parametrize(("make", "others", "name"), NUMBERS)
def test_a_parameter_that_is_no_finite_number_is_refused(make, others, name):
    for value in (math.nan, math.inf, -math.inf):
        with pytest.raises(ValueError, match=f"{name} must be a finite number.*, got -?(nan|inf)"):
            make(**{**others, name: value})
    for value in (True, "1", [1]):
        with pytest.raises(TypeError, match=f"{name} must be a finite number"):
            make(**{**others, name: value})


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: LinearCurve(1, 0, 0), "steps must be a finite number above 0, got 0"),
        (lambda: PolynomialCurve(1, 0, 4, power=0), "power must be .* above 0"),
        (lambda: CosineCurve(1, 0, 4, wave="full"), "wave must be one of 'half', 'quarter', got 'full'"),
        (lambda: ExponentialCurve(-0.5), "gamma must be .* above 0"),
        (lambda: InverseSqrtCurve(0), "timescale must be .* above 0"),
        (lambda: StepCurve((2, 2), (1, 2, 3)), r"milestones must strictly increase, got \(2, 2\)"),
        (lambda: StepCurve((0, 2), (1, 2, 3)), "milestones must be .* above 0"),
        (lambda: StepCurve((2,), (1,)), "got 1 milestones and 1 levels"),
        (lambda: StepCurve((), (1,)), "a milestone at least"),
        (lambda: PiecewiseLinearCurve(()), "at least one"),
        (lambda: PiecewiseLinearCurve(((1, 2, 3),)), "must be pairs"),
        (lambda: PiecewiseLinearCurve(((1, 2), (0, 3))), "every point's t must strictly increase"),
        (lambda: WarmupCurve(-1), "steps must be .* of at least 0"),
        (lambda: WarmupStableDecayCurve(1, 0), "decay_steps must be .* above 0"),
        (lambda: WarmupStableDecayCurve(1, 1, decay="exp"), "decay must be one of"),
        (lambda: CyclicCurve(4, warmup_steps=4), "warmup_steps must be .* below 4.*longer than its warmup"),
        (lambda: CyclicCurve(4, cycle_mult=0.5), "cycle_mult must be .* of at least 1"),
        (lambda: SequenceCurve((), ()), "one curve at least"),
        (lambda: SequenceCurve((ConstantCurve(),), (1,)), "got 1 curves and 1 milestones"),
        (lambda: ProductCurve(()), "one curve at least"),
        (lambda: RepeatCurve(ConstantCurve()), "only a curve that ends after 0 can be repeated"),
        (lambda: RepeatCurve(WarmupCurve(4), times=0), "times must be a whole number of at least 1"),
        (lambda: StretchedCurve(ConstantCurve(), 1, 2), "only a curve that ends can be stretched"),
        (lambda: StretchedCurve(WarmupCurve(4), 4, 8), "since must be .* below 4, got 4; nothing is left"),
        (lambda: LinearCurve(1, 0, 4, past_end="bounce"), "past_end must be one of 'hold'"),
    ],
)
def test_a_parameter_out_of_range_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    "make",
    [
        lambda: StepCurve(3, (1, 2)),
        lambda: StepCurve("34", (1, 2, 3)),
        lambda: PiecewiseLinearCurve((1, 2)),
        lambda: SequenceCurve((ConstantCurve(), 0.5), (1,)),
        lambda: ProductCurve("ab"),
        lambda: RepeatCurve(0.5),
        lambda: RepeatCurve(WarmupCurve(4), times=1.5),
        lambda: StretchedCurve(None, 1, 2),
    ],
)
def test_a_parameter_of_the_wrong_type_is_refused(make):
    with pytest.raises(TypeError, match=r"must (be|hold)"):
        make()


def test_curves_need_no_torch():
    code = "import sys, pamiq_sched.optim.curves; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_an_unknown_name_is_answered_with_the_nearest_of_many_or_all_of_few():
    many = [f"name{i}" for i in range(20)]
    assert _checks.unknown("thing", "Nam3", ["name3"]).startswith(
        "there is no thing 'Nam3'; did you mean 'name3'?"
    )
    assert _checks.unknown("thing", "x", ["b", "a"]) == "there is no thing 'x'; there are: 'a', 'b'"
    assert "name11" not in _checks.unknown("thing", "name3", many)
    assert "; the nearest are 'name" in _checks.unknown("thing", "zzzzzzzm", many)


@pytest.mark.parametrize(
    ("limits", "rule"),
    [
        ({"least": 2, "most": 3}, "x must be a finite number of at least 2 and of at most 3, got 9"),
        ({"above": 9}, "x must be a finite number above 9, got 9"),
        ({"below": 9, "remedy": "less"}, "x must be a finite number below 9, got 9; less"),
    ],
)
def test_a_number_out_of_range_is_answered_with_the_rule(limits, rule):
    with pytest.raises(ValueError, match=f"^{rule}$"):
        _checks.real("x", 9, **limits)
