"""The thirteen builtin functions: their formulas, on any hyperparameter, and what they refuse."""

import inspect
import math

import pytest
import torch
from hypothesis import HealthCheck, given, settings, strategies as st

from pamiq_sched import optim

COSINE = ["cosine_annealing_with_warmup", "cosine_annealing_with_inverse_warmup"]
POWERS = {
    "polynomial_schedule_with_warmup": None,
    "linear_schedule_with_warmup": 1.0,
    "quadratic_schedule_with_warmup": 2.0,
    "sqrt_schedule_with_warmup": 0.5,
    "polynomial_schedule_with_inverse_warmup": None,
    "linear_schedule_with_inverse_warmup": 1.0,
    "quadratic_schedule_with_inverse_warmup": 2.0,
    "sqrt_schedule_with_inverse_warmup": 0.5,
}
CONSTANT = ["constant_with_warmup", "constant_with_inverse_warmup"]
ANNEALING = [*COSINE, *POWERS]
WARMING = [*ANNEALING, *CONSTANT]
ALL = [*WARMING, "constant_schedule"]

_SLOW = settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.too_slow])
_values = st.floats(0.0, 2.0)


@st.composite
def arguments(draw, name):
    """Draw the arguments of a function that has a warmup."""
    given_ = {"warmup_to_value": draw(_values), "num_warmup_steps": draw(st.integers(0, 30))}
    if name in ANNEALING:
        given_["anneal_to_value"] = draw(_values)
        given_["num_training_steps"] = given_["num_warmup_steps"] + draw(st.integers(0, 60))
    if "inverse" in name:
        given_["warmup_multiplier"] = draw(st.floats(1.0, 30.0))
    if name.startswith("polynomial"):
        given_["polynomial_exponent"] = draw(st.floats(0.1, 5.0))
    return given_


def plain(name):
    """Some arguments for a function, as the refusals need them."""
    if name == "constant_schedule":
        return {"value": 0.5}
    result = {"warmup_to_value": 1.0, "num_warmup_steps": 4}
    return result | ({"anneal_to_value": 0.1, "num_training_steps": 20} if name in ANNEALING else {})


def formula(name, t, given_):
    """What the base is multiplied by, written once more."""
    if name == "constant_schedule":
        return given_["value"]
    peak, lead = given_["warmup_to_value"], given_["num_warmup_steps"]
    if t <= lead:
        if lead == 0:
            return peak
        height = given_.get("warmup_multiplier", 20.0)
        return peak * (height - (height - 1) * t / lead) if "inverse" in name else peak * t / lead
    if name in CONSTANT:
        return peak
    end, total = given_["anneal_to_value"], given_["num_training_steps"]
    done = 1.0 if t >= total else (t - lead) / (total - lead)
    if name in COSINE:
        return end + (peak - end) * math.cos(math.pi / 2 * done)
    power = POWERS[name] or given_.get("polynomial_exponent", 2.0)
    return end + (peak - end) * (1 - done) ** power


def adamw(*rates):
    groups = [{"params": [torch.zeros(1)], "lr": rate, "weight_decay": 2 * rate} for rate in rates or (0.25,)]
    return torch.optim.AdamW(groups, betas=(0.03, 0.99))


@pytest.mark.parametrize("name", WARMING)
@_SLOW
@given(data=st.data())
def test_each_follows_its_formula_step_by_step_and_past_the_end(name, data):
    """Two param groups, each from its own base."""
    given_ = data.draw(arguments(name))
    optimizer = adamw(0.25, 0.5)
    schedule = getattr(optim, name)(optimizer, **given_)
    for t in range(given_.get("num_training_steps", given_["num_warmup_steps"]) + 15):
        expected = formula(name, t, given_)
        values = [group["lr"] for group in optimizer.param_groups]
        assert values == pytest.approx([0.25 * expected, 0.5 * expected], rel=1e-12, abs=1e-14), t
        assert schedule.get_last_lr() == values
        schedule.step()


@pytest.mark.parametrize("target", ["lr", "weight_decay", "betas[0]", "gradient_clip"])
@pytest.mark.parametrize("name", ALL)
def test_each_moves_any_hyperparameter_and_no_other(name, target):
    optimizer = optim.extend_optimizer(adamw(), "gradient_clip", 8.0)

    def present():
        group = optimizer.param_groups[0]
        return {
            "lr": group["lr"],
            "weight_decay": group["weight_decay"],
            "betas[0]": group["betas"][0],
            "betas[1]": group["betas"][1],
            "gradient_clip": group["gradient_clip"],
        }

    before, given_ = present(), plain(name)
    schedule = getattr(optim, name)(optimizer, **given_, schedule_target=target)
    for t in range(25):
        assert present() == {**before, target: pytest.approx(before[target] * formula(name, t, given_))}
        schedule.step()


@given(value=_values)
def test_constant_schedule_holds_a_multiple_of_the_base(value):
    optimizer = adamw()
    schedule = optim.constant_schedule(optimizer, value)
    for _ in range(3):
        assert optimizer.param_groups[0]["lr"] == 0.25 * value
        schedule.step()


@pytest.mark.parametrize("name", WARMING)
def test_without_a_warmup_each_starts_at_its_value(name):
    optimizer = adamw()
    getattr(optim, name)(optimizer, **{**plain(name), "num_warmup_steps": 0, "warmup_to_value": 0.5})
    assert optimizer.param_groups[0]["lr"] == 0.125


@pytest.mark.parametrize("name", ANNEALING)
def test_without_an_annealing_each_warms_up_then_holds_the_end(name):
    """M = L: the value of t = L is the warmup's, those after it the end's."""
    schedule = getattr(optim, name)(adamw(), **{**plain(name), "num_training_steps": 4, "warmup_to_value": 2.0})
    assert [schedule.schedule_at(t)[0] for t in (4, 5, 400)] == [0.5, 0.025, 0.025]


@pytest.mark.parametrize("name", ANNEALING)
def test_with_no_steps_at_all_each_starts_at_its_value_then_holds_the_end(name):
    given_ = {**plain(name), "num_warmup_steps": 0, "num_training_steps": 0}
    schedule = getattr(optim, name)(adamw(), **given_)
    assert [schedule.schedule_at(t)[0] for t in (0, 1, 400)] == [0.25, 0.025, 0.025]


@pytest.mark.parametrize("name", ANNEALING)
def test_the_end_is_held_for_ever(name):
    """Past it others go negative, climb back or turn complex."""
    schedule = getattr(optim, name)(adamw(), **plain(name))
    assert {schedule.schedule_at(t)[0] for t in (20, 21, 30, 10**6, 10**15)} == {0.025}


@pytest.mark.parametrize("name", ANNEALING)
def test_it_comes_to_exactly_the_value_of_its_end(name):
    schedule = getattr(optim, name)(adamw(), **{**plain(name), "anneal_to_value": 0.0})
    assert schedule.schedule_at(20) == [0.0]


def test_a_tensor_is_filled_in_place():
    rate = torch.tensor(0.25)
    optimizer = torch.optim.AdamW([torch.zeros(1)], lr=rate, capturable=True)
    optim.linear_schedule_with_warmup(optimizer, 1.0, 0.0, 2, 4).step()
    assert optimizer.param_groups[0]["lr"] is rate
    assert rate.item() == 0.125


# Signatures.


def signatures():
    """As formulas.md has them; a bare name stands for a parameter without a default."""
    warm = ["warmup_to_value", "anneal_to_value", "num_warmup_steps", "num_training_steps"]
    target, power, height = ("schedule_target", "lr"), ("polynomial_exponent", 2.0), ("warmup_multiplier", 20.0)
    for kind in ("cosine_annealing", "linear_schedule", "quadratic_schedule", "sqrt_schedule"):
        yield f"{kind}_with_warmup", [*warm, target]
        yield f"{kind}_with_inverse_warmup", [*warm, height, target]
    yield "polynomial_schedule_with_warmup", [*warm, power, target]
    yield "polynomial_schedule_with_inverse_warmup", [*warm, power, height, target]
    yield "constant_with_warmup", ["warmup_to_value", "num_warmup_steps", target]
    yield "constant_with_inverse_warmup", ["warmup_to_value", "num_warmup_steps", height, target]
    yield "constant_schedule", ["value", target]


@pytest.mark.parametrize(("name", "expected"), list(signatures()))
def test_parameters_have_their_order_names_and_defaults(name, expected):
    parameters = inspect.signature(getattr(optim, name)).parameters.values()
    found = [p.name if p.default is p.empty else (p.name, p.default) for p in parameters]
    assert found == ["optimizer", *expected]
    assert {p.kind for p in parameters} == {inspect.Parameter.POSITIONAL_OR_KEYWORD}


def test_all_thirteen_have_a_signature_here():
    assert sorted(name for name, _ in signatures()) == sorted(ALL)
    assert len(ALL) == 13


@pytest.mark.parametrize("name", ALL)
def test_positional_and_keyword_arguments_make_the_same(name):
    given_ = plain(name)
    order = [key for key in inspect.signature(getattr(optim, name)).parameters if key in given_]
    by_place = getattr(optim, name)(adamw(), *(given_[key] for key in order))
    by_name = getattr(optim, name)(optimizer=adamw(), **given_)
    assert by_place.state_dict() == by_name.state_dict()


# Refusals: always before the optimizer is touched.


def refused(name, error, match=None, **changed):
    optimizer = adamw()
    before = dict(optimizer.param_groups[0])
    with pytest.raises(error, match=match):
        getattr(optim, name)(optimizer, **{**plain(name), **changed})
    assert optimizer.param_groups[0] == before


def numbers_of(name):
    return [
        key
        for key in inspect.signature(getattr(optim, name)).parameters
        if key not in {"optimizer", "schedule_target"} and not key.startswith("num_")
    ]


def counts_of(name):
    return [key for key in inspect.signature(getattr(optim, name)).parameters if key.startswith("num_")]


NUMBERS = [(name, key) for name in ALL for key in numbers_of(name)]
COUNTS = [(name, key) for name in ALL for key in counts_of(name)]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize(("name", "key"), NUMBERS)
def test_a_number_that_is_not_finite_is_refused_by_name(name, key, value):
    refused(name, ValueError, rf"{key} must be a finite number.*got {value!r}", **{key: value})


@pytest.mark.parametrize("value", [True, "1.0", None, 1j])
@pytest.mark.parametrize(("name", "key"), NUMBERS)
def test_what_is_no_number_is_refused_by_name(name, key, value):
    refused(name, TypeError, rf"{key} must be a finite number", **{key: value})


@pytest.mark.parametrize(
    ("value", "error"),
    [
        (-1, ValueError),
        (2.5, TypeError),
        (4.0, TypeError),
        (True, TypeError),
        ("4", TypeError),
        (math.nan, TypeError),
        (math.inf, TypeError),
        (None, TypeError),
    ],
)
@pytest.mark.parametrize(("name", "key"), COUNTS)
def test_what_is_no_count_of_steps_is_refused_by_name(name, key, value, error):
    refused(name, error, rf"{key} must be a whole number.*got", **{key: value})


@pytest.mark.parametrize("name", ANNEALING)
def test_fewer_training_than_warmup_steps_are_refused(name):
    refused(
        name, ValueError, r"num_training_steps must be a whole number of at least 4, got 3", num_training_steps=3
    )


@pytest.mark.parametrize("value", [0.0, -1.0])
@pytest.mark.parametrize("name", [name for name in POWERS if name.startswith("polynomial")])
def test_an_exponent_that_is_not_positive_is_refused(name, value):
    refused(name, ValueError, "polynomial_exponent must be a finite number above 0", polynomial_exponent=value)


@pytest.mark.parametrize("name", ALL)
def test_what_is_no_optimizer_is_refused(name):
    with pytest.raises(TypeError, match=r"needs a torch\.optim\.Optimizer, got an object of the class list"):
        getattr(optim, name)([], **plain(name))


@pytest.mark.parametrize("name", ALL)
def test_a_missing_hyperparameter_is_refused_with_the_way_out(name):
    refused(name, KeyError, "no 'gradient_clip'.*extend_optimizer", schedule_target="gradient_clip")


def test_a_value_that_the_hyperparameter_cannot_take_is_refused_at_once():
    refused("constant_schedule", ValueError, "lr must be a finite real number of at least 0", value=-1.0)


def test_a_value_that_comes_later_is_refused_when_it_comes():
    """An inverse warmup may start above what betas[0] can take; a warmup may end there."""
    optimizer = adamw()
    schedule = optim.constant_with_warmup(optimizer, 40.0, 4, schedule_target="betas[0]")
    for _ in range(3):
        schedule.step()
    with pytest.raises(ValueError, match=r"betas\[0\] must be .* below 1"):
        schedule.step()
    assert optimizer.param_groups[0]["betas"] == (0.03 * 30, 0.99)
