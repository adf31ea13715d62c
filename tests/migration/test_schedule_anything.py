"""The page for those who come from torch-schedule-anything: every public name of 1.2.3 has its row and is here."""

import inspect
import re
from pathlib import Path

import pytest

import pamiq_sched
from pamiq_sched import optim

ROOT = Path(__file__).parents[2]
WARMED_UP = {
    "warmup_to_value": None,
    "anneal_to_value": None,
    "num_warmup_steps": None,
    "num_training_steps": None,
}
SLOW = {"warmup_multiplier": 20.0}
POWER = {"polynomial_exponent": 2.0}
HELD = {"warmup_to_value": None, "num_warmup_steps": None}

# Parameters behind the optimizer, with their defaults; None: it must be given. Each ends in schedule_target.
SCHEDULES = {
    "constant_schedule": {"value": None},
    "constant_with_warmup": HELD,
    "constant_with_inverse_warmup": HELD | SLOW,
    **{f"{kind}_with_warmup": WARMED_UP for kind in ("linear_schedule", "quadratic_schedule", "sqrt_schedule")},
    **{
        f"{kind}_with_inverse_warmup": WARMED_UP | SLOW
        for kind in ("linear_schedule", "quadratic_schedule", "sqrt_schedule", "cosine_annealing")
    },
    "cosine_annealing_with_warmup": WARMED_UP,
    "polynomial_schedule_with_warmup": WARMED_UP | POWER,
    "polynomial_schedule_with_inverse_warmup": WARMED_UP | POWER | SLOW,
}
NAMES = [
    *SCHEDULES,
    "arbitrary_schedule_factory",
    "SynchronousSchedule",
    "extend_optimizer",
    "get_param_groups_regrouped_by_key",
    "__version__",
]
ROWS = {
    name: (here, behaviour, test)
    for name, here, behaviour, test in re.findall(
        r"^\| `(\w+)` \| `(\w+)` \| (.+) \| `([\w/.:]+)` \|$",
        (ROOT / "docs" / "migrate-from-torch-schedule-anything.md").read_text(encoding="utf-8"),
        re.MULTILINE,
    )
}


def parameters(function):
    return {
        name: None if parameter.default is parameter.empty else parameter.default
        for name, parameter in inspect.signature(function).parameters.items()
    }


def test_every_public_name_has_its_row_and_no_row_is_of_anything_else():
    assert len(NAMES) == len(set(NAMES)) == 18
    assert set(ROWS) == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_at_the_top_and_in_optim_as_its_row_says(name):
    here, _, _ = ROWS[name]
    assert here == name
    if name != "__version__":
        assert getattr(pamiq_sched, name) is getattr(optim, name)


@pytest.mark.parametrize("name", SCHEDULES)
def test_parameters_have_their_order_and_defaults(name):
    expected = {"optimizer": None, **SCHEDULES[name], "schedule_target": "lr"}
    assert list(parameters(getattr(pamiq_sched, name)).items()) == list(expected.items())


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (
            "arbitrary_schedule_factory",
            {"optimizer": None, "schedule_factory": None, "default_value": None, "schedule_target": "lr"},
        ),
        ("SynchronousSchedule", {"schedules": None}),
        ("extend_optimizer", {"optimizer": None, "name": None, "default_value": None, "overwrite_values": False}),
        ("get_param_groups_regrouped_by_key", {"optimizer": None, "schedule_target": None}),
    ],
)
def test_parameters_of_what_is_no_schedule_have_their_order_and_defaults(name, expected):
    assert list(parameters(getattr(pamiq_sched, name)).items()) == list(expected.items())


def test_a_synchronous_schedule_has_every_method():
    methods = ["get_last_lr", "get_last_schedule", "load_state_dict", "schedule_names", "state_dict", "step"]
    assert all(hasattr(pamiq_sched.SynchronousSchedule, method) for method in methods)


@pytest.mark.parametrize(("name", "row"), ROWS.items())
def test_what_shows_a_row_is_there(name, row):
    file, _, test = row[2].partition("::")
    assert f"def {test}(" in (ROOT / "tests" / file).read_text(encoding="utf-8")
