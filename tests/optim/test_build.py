"""Optimizers and schedules from configs: what is built, what is refused, and that nothing is half-built."""

import copy
import itertools
import math

import pytest
import torch
from omegaconf import DictConfig, ListConfig, OmegaConf
from torch import nn
from torch.optim import lr_scheduler as torchs

from pamiq_sched import optim
from pamiq_sched.optim import (
    ProductScheduler,
    Schedule,
    SequenceScheduler,
    SynchronousSchedule,
    build,
    build_optimizer,
    build_scheduler,
    constant_schedule,
    curves,
    register_scheduler,
)
from pamiq_sched.optim.curves import Curve
from pamiq_sched.optim.timm import scheduler_classes


def adamw(*rates, tensors=False):
    groups = [
        {"params": [torch.zeros(1)], "lr": torch.tensor(rate) if tensors else rate, "weight_decay": 2 * rate}
        for rate in rates or (0.25,)
    ]
    return torch.optim.AdamW(groups, betas=(0.5, 0.99), capturable=tensors)


def run(optimizer, schedule, steps, key="lr", metric=None):
    values = []
    for _ in range(steps):
        values.append([float(group[key]) for group in optimizer.param_groups])
        optimizer.step()
        schedule.step(*([] if metric is None else [metric]))
    return values


def built(config, steps=300, key="lr", rates=(0.25, 0.5)):
    optimizer = adamw(*rates)
    return run(optimizer, build_scheduler(optimizer, config), steps, key)


# Every config builds and runs.

STEP = {"name": "StepLR", "step_size": 30, "gamma": 0.1}
CHAINED = {
    "name": "ChainedScheduler",
    "schedulers": [
        {"name": "LinearLR", "start_factor": 0.1, "total_iters": 10},
        {"name": "CosineAnnealingLR", "T_max": 90, "eta_min": 1e-6},
    ],
}
TORCHS = {
    "StepLR": (STEP, lambda o: torchs.StepLR(o, 30, 0.1)),
    "MultiStepLR": ({"milestones": [30, 60]}, lambda o: torchs.MultiStepLR(o, [30, 60])),
    "ExponentialLR": ({"gamma": 0.9}, lambda o: torchs.ExponentialLR(o, 0.9)),
    "LinearLR": ({"start_factor": 0.5}, lambda o: torchs.LinearLR(o, 0.5)),
    "ConstantLR": ({"factor": 0.5, "total_iters": 9}, lambda o: torchs.ConstantLR(o, 0.5, 9)),
    "PolynomialLR": ({"total_iters": 90, "power": 2.0}, lambda o: torchs.PolynomialLR(o, 90, 2.0)),
    "CosineAnnealingLR": ({"T_max": 90, "eta_min": 1e-6}, lambda o: torchs.CosineAnnealingLR(o, 90, 1e-6)),
    "CosineAnnealingWarmRestarts": (
        {"T_0": 10, "T_mult": 2, "eta_min": 1e-6},
        lambda o: torchs.CosineAnnealingWarmRestarts(o, 10, 2, 1e-6),
    ),
    "OneCycleLR": (
        {"max_lr": 0.5, "total_steps": 400, "cycle_momentum": False},
        lambda o: torchs.OneCycleLR(o, 0.5, 400, cycle_momentum=False),
    ),
    "CyclicLR": (
        {"base_lr": 0.01, "max_lr": 0.5, "step_size_up": 20},
        lambda o: torchs.CyclicLR(o, 0.01, 0.5, 20),
    ),
    "LambdaLR": ({"lr_lambda": "math.erfc"}, lambda o: torchs.LambdaLR(o, math.erfc)),
    "MultiplicativeLR": ({"lr_lambda": "math.erf"}, lambda o: torchs.MultiplicativeLR(o, math.erf)),
    "ChainedScheduler": (
        CHAINED,
        lambda o: torchs.ChainedScheduler(
            [torchs.LinearLR(o, 0.1, total_iters=10), torchs.CosineAnnealingLR(o, 90, 1e-6)]
        ),
    ),
    "SequentialLR": (
        {
            "schedulers": [
                {"name": "LinearLR", "start_factor": 0.1, "total_iters": 10},
                {"name": "CosineAnnealingLR", "T_max": 290, "eta_min": 1e-6},
            ],
            "milestones": [10],
        },
        lambda o: torchs.SequentialLR(
            o, [torchs.LinearLR(o, 0.1, total_iters=10), torchs.CosineAnnealingLR(o, 290, 1e-6)], [10]
        ),
    ),
}


@pytest.mark.filterwarnings("ignore:The epoch parameter in:UserWarning")  # torch's SequentialLR at its milestones
@pytest.mark.parametrize("name", TORCHS)
def test_torchs_own_are_bit_equal_to_torchs_own(name):
    parameters, make = TORCHS[name]
    optimizer = adamw(0.25, 0.5)
    assert built({"name": name, **parameters}) == run(optimizer, make(optimizer), 300)


def test_the_common_chain_climbs_again_and_the_sequence_does_not():
    """A chain multiplies; for "first this, then that" there is SequentialLR."""
    chained = [value for [value] in built(CHAINED, 140, rates=(0.25,))]
    sequence = {**CHAINED, "name": "SequentialLR", "milestones": [10]}
    in_turn = [value for [value] in built(sequence, 101, rates=(0.25,))]
    assert chained[90] < chained[110] < chained[130]
    assert in_turn[9] < in_turn[10] == 0.25
    assert all(later < earlier for earlier, later in itertools.pairwise(in_turn[10:]))


OURS = {
    "PolynomialLRDecay": {"max_decay_steps": 100, "end_learning_rate": 1e-6, "power": 0.9},
    "CosineAnnealingWarmupReduceRestarts": {"T_0": 10, "T_mult": 2, "eta_min": 1e-6, "T_up": 2, "gamma": 0.5},
    "CosineAnnealingWarmupRestarts": {
        "first_cycle_steps": 10,
        "cycle_mult": 2.0,
        "max_lr": 0.25,
        "min_lr": 1e-6,
        "warmup_steps": 2,
        "gamma": 0.5,
    },
    "cosine_annealing_with_warmup": {
        "warmup_to_value": 1.0,
        "anneal_to_value": 0.01,
        "num_warmup_steps": 10,
        "num_training_steps": 100,
    },
    "constant_with_inverse_warmup": {"warmup_to_value": 1.0, "num_warmup_steps": 10, "warmup_multiplier": 1.5},
    "constant_schedule": {"value": 0.5},
}
TIMMS = {
    "CosineLRScheduler": {"t_initial": 100, "lr_min": 1e-6, "cycle_limit": 1, "t_in_epochs": True},
    "TanhLRScheduler": {"t_initial": 100, "warmup_t": 3, "warmup_lr_init": 0.01},
    "PolyLRScheduler": {"t_initial": 100, "lr_min": 1e-6, "power": 0.9, "t_in_epochs": False},
    "StepLRScheduler": {"decay_t": 30, "decay_rate": 0.5},
    "MultiStepLRScheduler": {"decay_t": [30, 60], "decay_rate": 0.5},
    "WSDLRScheduler": {"t_initial": 100, "decay_t": 20},
    "PlateauLRScheduler": {"decay_rate": 0.5, "patience_t": 3},
}


def test_every_scheduler_of_timm_is_here():
    assert set(scheduler_classes()) == set(TIMMS)


EVERY = {
    **{name: {"name": name, **parameters} for name, (parameters, _) in TORCHS.items()},
    **{name: {"name": name, **parameters} for name, parameters in OURS.items()},
    **{f"timm_{name}": {"name": f"timm_{name}", **parameters} for name, parameters in TIMMS.items()},
    "ReduceLROnPlateau": {"name": "ReduceLROnPlateau", "mode": "min", "factor": 0.5, "patience": 10},
    "SWALR": {"name": "SWALR", "swa_lr": 0.1},
}
_NOISE = pytest.mark.filterwarnings(
    "ignore:The epoch parameter in:UserWarning", "ignore:PlateauLRScheduler is deprecated:FutureWarning"
)


@_NOISE
@pytest.mark.parametrize("kind", [dict, DictConfig, "yaml"])
@pytest.mark.parametrize("name", EVERY)
def test_every_config_in_every_form_runs_300_steps_alike(name, kind, tmp_path):
    config = EVERY[name]
    expected = built(config)
    if kind == "yaml":
        path = tmp_path / "schedule.yaml"
        OmegaConf.save(OmegaConf.create(config), path)
        assert built(path) == built(str(path)) == expected
    else:
        assert built(kind(config)) == expected
    assert all(math.isfinite(value) and value >= 0 for values in expected for value in values)


@_NOISE
@pytest.mark.parametrize("name", [name for name in EVERY if name not in {"OneCycleLR", "CyclicLR"}])
def test_every_config_moves_another_hyperparameter_as_it_moves_lr(name):
    """And leaves lr alone: weight_decay has twice its base."""
    alone = built(EVERY[name], 60, rates=(0.5,))
    optimizer = adamw(0.25)
    schedule = build_scheduler(optimizer, {**EVERY[name], "schedule_target": "weight_decay"})
    assert run(optimizer, schedule, 60, "weight_decay") == alone
    assert optimizer.param_groups[0]["lr"] == 0.25


@_NOISE
@pytest.mark.parametrize("name", EVERY)
def test_every_config_fills_tensors_in_place(name):
    optimizer = adamw(tensors=True)
    rate = optimizer.param_groups[0]["lr"]
    schedule = build_scheduler(optimizer, EVERY[name])
    for _ in range(40):
        schedule.step()
    assert optimizer.param_groups[0]["lr"] is rate


# Forms of configs.


def test_interpolations_are_resolved():
    config = OmegaConf.create({"epochs": 90, "scheduler": {"name": "CosineAnnealingLR", "T_max": "${epochs}"}})
    assert build_scheduler(adamw(), config.scheduler).T_max == 90
    assert build_scheduler(adamw(), config).T_max == 90


def test_a_missing_value_is_refused():
    config = OmegaConf.create({"name": "StepLR", "step_size": "???"})
    with pytest.raises(Exception, match="step_size"):
        build_scheduler(adamw(), config)


def test_a_number_without_a_dot_in_yaml_is_a_number(tmp_path):
    """YAML 1.1 reads 1e-6 as a string; OmegaConf does not."""
    path = tmp_path / "schedule.yaml"
    path.write_text("name: CosineAnnealingLR\nT_max: 100\neta_min: 1e-6\n")
    assert build_scheduler(adamw(), path).eta_min == 1e-6


def test_a_yaml_file_may_hold_a_list_under_scheduler_and_an_optimizer(tmp_path):
    path = tmp_path / "train.yaml"
    path.write_text(
        "optimizer: {name: SGD, lr: 0.5}\nscheduler:\n- {name: StepLR, step_size: 3}\n"
        "- {name: constant_schedule, value: 0.5, schedule_target: clip, default_value: 8.0}\n"
    )
    optimizer = build_optimizer(nn.Linear(1, 1), path)
    schedule = build_scheduler(optimizer, path)
    assert isinstance(optimizer, torch.optim.SGD)
    assert schedule.values == {"lr": [0.5], "clip": [4.0]}


@pytest.mark.parametrize("kind", [list, tuple, ListConfig])
def test_a_list_gives_a_synchronous_schedule(kind):
    optimizer = adamw()
    schedule = build_scheduler(
        optimizer, kind([STEP, {"name": "constant_schedule", "value": 0.5, "schedule_target": "betas[0]"}])
    )
    assert isinstance(schedule, SynchronousSchedule)
    assert schedule.schedule_names == ["lr", "betas[0]"]
    assert optimizer.param_groups[0]["betas"] == (0.25, 0.99)


@pytest.mark.parametrize(
    "config", [EVERY["StepLR"], CHAINED, {"name": "Schedule", "curve": {"name": "ConstantCurve"}}]
)
def test_a_config_is_not_changed(config):
    before = copy.deepcopy(config)
    build_scheduler(adamw(), config)
    assert config == before


def test_a_default_value_adds_a_hyperparameter():
    optimizer = adamw(0.25, 0.5)
    build_scheduler(optimizer, {**STEP, "schedule_target": "clip", "default_value": 8.0})
    assert [group["clip"] for group in optimizer.param_groups] == [8.0, 8.0]
    assert optimizer.defaults["clip"] == 8.0


# Import paths.


@pytest.mark.parametrize("path", ["torch.optim.lr_scheduler.StepLR", "torch.optim.lr_scheduler:StepLR"])
def test_a_scheduler_may_be_imported(path):
    assert built({"name": path, "step_size": 30}) == built({"name": "StepLR", "step_size": 30})


@pytest.mark.parametrize("lambdas", ["math:exp", ["math.exp", "math.exp"]])
def test_lambda_lr_takes_functions_to_import(lambdas):
    optimizer = adamw(0.25, 0.5)
    build_scheduler(optimizer, {"name": "LambdaLR", "lr_lambda": lambdas}).step()
    assert [group["lr"] for group in optimizer.param_groups] == [0.25 * math.e, 0.5 * math.e]


def test_lambda_lr_takes_functions():
    optimizer = adamw()
    build_scheduler(optimizer, {"name": "LambdaLR", "lr_lambda": lambda t: 1 / (1 + t)}).step()
    assert optimizer.param_groups[0]["lr"] == 0.125


def test_of_ours_by_its_path_too():
    schedule = build_scheduler(adamw(), {"name": "pamiq_sched.optim.PolynomialLRDecay", "max_decay_steps": 5})
    assert isinstance(schedule, Schedule)


# Curves.

CURVES = {
    "ConstantCurve": {"value": 0.5},
    "LinearCurve": {"start": 1.0, "stop": 0.1, "steps": 20},
    "PolynomialCurve": {"start": 1.0, "stop": 0.1, "steps": 20, "power": 2.0},
    "CosineCurve": {"start": 1.0, "stop": 0.1, "steps": 20, "wave": "half"},
    "ExponentialCurve": {"gamma": 0.9},
    "InverseSqrtCurve": {"timescale": 5},
    "StepCurve": {"milestones": [5, 10], "levels": [1.0, 0.5, 0.25]},
    "StepDecayCurve": {"step_size": 5, "gamma": 0.5},
    "PiecewiseLinearCurve": {"points": [[0, 1.0], [10, 0.5]]},
    "WarmupCurve": {"steps": 5},
    "InverseWarmupCurve": {"steps": 5, "peak": 0.5, "multiplier": 2.0},
    "WarmupStableDecayCurve": {"warmup_steps": 5, "stable_steps": 5, "decay_steps": 10},
    "CyclicCurve": {"cycle_steps": 6, "warmup_steps": 2, "cycle_mult": 2},
    "SequenceCurve": {
        "curves": [{"name": "WarmupCurve", "steps": 5}, {"name": "ConstantCurve", "value": 1.0}],
        "milestones": [5],
    },
    "ProductCurve": {"curves": [{"name": "WarmupCurve", "steps": 5}, {"name": "ConstantCurve", "value": 0.5}]},
    "RepeatCurve": {"curve": {"name": "WarmupCurve", "steps": 5}, "times": 3},
    "StretchedCurve": {"curve": {"name": "WarmupCurve", "steps": 5}, "since": 2, "until": 9},
    "FunctionCurve": {"function": "math:erfc"},
}


def test_every_curve_is_here():
    public = {name for name in optim.__all__ if name.endswith("Curve") and name != "Curve"}
    assert public == set(CURVES)


@pytest.mark.parametrize("name", CURVES)
def test_a_curve_by_its_name_is_a_schedule_along_it(name):
    config = {"name": name, **CURVES[name]}
    schedule = build_scheduler(adamw(), config)
    assert isinstance(schedule, Schedule)
    assert schedule.curve == Curve.from_config(config)
    for _ in range(300):
        schedule.step()


@pytest.mark.parametrize("name", CURVES)
def test_a_curve_in_a_schedule_is_the_same_as_by_its_name(name):
    config = {"name": name, **CURVES[name]}
    options = {"mode": "absolute", "by": "samples", "samples_per_step": 3, "groups": 1, "schedule_name": "own"}
    one, other = adamw(0.25, 0.5), adamw(0.25, 0.5)
    inside = build_scheduler(one, {"name": "Schedule", "curve": config, **options})
    itself = build_scheduler(other, {**config, **options})
    assert inside.state_dict() == itself.state_dict()
    assert inside.name == itself.name == "own"
    for _ in range(50):
        assert one.param_groups[0]["lr"] == 0.25
        assert one.param_groups[1]["lr"] == other.param_groups[1]["lr"] == inside.curve(inside.t)
        inside.step()
        itself.step()


def test_a_curve_may_move_another_hyperparameter_that_it_adds():
    optimizer = adamw()
    config = {"name": "ConstantCurve", "value": 0.5, "schedule_target": "clip", "default_value": 8.0}
    assert build_scheduler(optimizer, config).get_last_lr() == [4.0]


def test_a_curve_may_count_seconds():
    """On the system clock, which a config cannot exchange; one hour is more than this test takes."""
    curve = {"name": "StepCurve", "milestones": [3600], "levels": [1.0, 0.5]}
    schedule = build_scheduler(adamw(), {**curve, "by": "seconds"})
    schedule.step()
    assert (schedule.by, schedule.get_last_lr()) == ("seconds", [0.25])


# Schedulers inside schedulers.

STALL = {"name": "ReduceLROnPlateau", "factor": 0.5, "patience": 0}
HALVE = {"name": "StepLR", "step_size": 1, "gamma": 0.5}
RISE = {"name": "LinearCurve", "start": 0.5, "stop": 1.0, "steps": 2}
TIMM = {"name": "timm_StepLRScheduler", "decay_t": 1, "decay_rate": 0.5}
OWN = {"name": "PolynomialLRDecay", "max_decay_steps": 4, "end_learning_rate": 0.0}


def chain(*schedulers):
    return {"name": "ChainedScheduler", "schedulers": list(schedulers)}


def sequence(milestones, *schedulers):
    return {"name": "SequentialLR", "schedulers": list(schedulers), "milestones": milestones}


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (chain(HALVE, STALL), [1.0, 0.5, 0.125, 0.03125]),
        (chain(HALVE, RISE), [0.5, 0.375, 0.25, 0.125]),
        (chain(HALVE, TIMM), [1.0, 0.25, 0.0625, 0.015625]),
        (chain(HALVE, OWN), [1.0, 0.375, 0.125, 0.03125]),
        (chain(chain(HALVE, HALVE), chain(HALVE, RISE)), [0.5, 0.09375, 0.015625, 0.001953125]),
        (sequence([2], RISE, HALVE), [0.5, 0.75, 1.0, 0.5]),
        (sequence([2], TIMM, OWN), [1.0, 0.5, 1.0, 0.75]),
        (sequence([2], STALL, chain(HALVE, RISE)), [1.0, 1.0, 0.5, 0.375]),
        (sequence([1, 2], RISE, sequence([1], HALVE, RISE), HALVE), [0.5, 1.0, 1.0, 0.5]),
        (chain(sequence([2], RISE, HALVE), HALVE), [0.5, 0.375, 0.25, 0.0625]),
        (sequence([2], chain(HALVE, HALVE), HALVE), [1.0, 0.25, 1.0, 0.5]),
        (chain(sequence([2], HALVE, HALVE), HALVE), [1.0, 0.25, 0.25, 0.0625]),
    ],
)
def test_schedulers_of_all_kinds_nest(config, expected):
    """The metric of all steps is the same: the plateau halves at the second and every one after."""
    optimizer = adamw(1.0)
    schedule = build_scheduler(optimizer, config)
    metric = 1.0 if getattr(schedule, "takes_metric", False) else None
    assert [value for [value] in run(optimizer, schedule, 4, metric=metric)] == pytest.approx(expected)


@pytest.mark.parametrize("config", [chain(HALVE, STALL), chain(TIMM, OWN)])
def test_what_torch_cannot_chain_is_a_product(config):
    assert isinstance(build_scheduler(adamw(), config), ProductScheduler)


@pytest.mark.parametrize("config", [sequence([2], HALVE, STALL), sequence([2], chain(HALVE, HALVE), HALVE)])
def test_what_torch_cannot_put_in_sequence_is_a_sequence_of_ours(config):
    assert isinstance(build_scheduler(adamw(), config), SequenceScheduler)


def test_a_nested_scheduler_of_another_hyperparameter_names_it_once():
    """A part may repeat the target of the whole, or leave it out."""
    config = {**chain({**HALVE, "schedule_target": "weight_decay"}, HALVE), "schedule_target": "weight_decay"}
    optimizer = adamw(0.25)
    assert [value for [value] in run(optimizer, build_scheduler(optimizer, config), 2, "weight_decay")] == [
        0.5,
        0.125,
    ]


# Names of one's own.


@pytest.fixture
def registry(monkeypatch):
    """Registrations of a test end with it."""
    monkeypatch.setattr(build, "_registered", dict(build._registered))


@pytest.mark.usefixtures("registry")
class TestRegistered:
    """Schedulers under a name of the user's own."""

    def test_a_function(self):
        def halving(optimizer, every=1):
            return torchs.StepLR(optimizer, every, gamma=0.5)

        assert register_scheduler("Halving", halving) is halving
        assert built({"name": "Halving", "every": 2}, 20) == built(
            {"name": "StepLR", "step_size": 2, "gamma": 0.5}, 20
        )

    def test_a_class(self):
        class Halving(torchs.StepLR):
            def __init__(self, optimizer, every):
                super().__init__(optimizer, every, gamma=0.5)

        register_scheduler("Halving", Halving)
        assert isinstance(build_scheduler(adamw(), {"name": "Halving", "every": 2}), Halving)

    def test_a_decorated_function_moves_any_hyperparameter(self):
        @register_scheduler("Halving")
        def halving(optimizer):
            return torchs.StepLR(optimizer, 1, gamma=0.5)

        optimizer = adamw(0.25)
        build_scheduler(optimizer, {"name": "Halving", "schedule_target": "weight_decay"}).step()
        assert (optimizer.param_groups[0]["weight_decay"], optimizer.param_groups[0]["lr"]) == (0.25, 0.25)

    def test_one_of_ours_on_what_it_is_given(self):
        register_scheduler("Half", lambda optimizer: constant_schedule(optimizer, 0.5))
        optimizer = adamw(0.25)
        build_scheduler(optimizer, {"name": "Half", "schedule_target": "betas[0]"})
        assert optimizer.param_groups[0]["betas"] == (0.25, 0.99)

    def test_it_nests(self):
        register_scheduler("Halving", lambda optimizer: torchs.StepLR(optimizer, 1, gamma=0.5))
        assert built(chain({"name": "Halving"}, HALVE), 3, rates=(1.0,)) == [[1.0], [0.25], [0.0625]]

    @pytest.mark.parametrize("name", ["StepLR", "constant_schedule", "PolynomialLRDecay"])
    def test_a_taken_name_is_refused(self, name):
        with pytest.raises(ValueError, match=f"the scheduler name '{name}' is taken"):
            register_scheduler(name, lambda optimizer: None)

    @pytest.mark.parametrize("name", ["ChainedScheduler", "SequentialLR", "Schedule", "CosineCurve", "timm_X"])
    def test_a_name_that_configs_read_otherwise_is_refused(self, name):
        with pytest.raises(ValueError, match="taken"):
            register_scheduler(name, lambda optimizer: None)

    def test_the_same_function_defined_again_takes_the_place_of_the_former(self):
        def define(gamma):
            def halving(optimizer):
                return torchs.StepLR(optimizer, 1, gamma=gamma)

            return register_scheduler("Halving", halving)

        define(0.5)
        define(0.25)
        assert build_scheduler(adamw(), {"name": "Halving"}).gamma == 0.25

    @pytest.mark.parametrize(("name", "factory"), [(3, constant_schedule), ("Name", 3)])
    def test_what_is_no_name_or_makes_nothing_is_refused(self, name, factory):
        with pytest.raises(TypeError):
            register_scheduler(name, factory)

    def test_the_nearest_names_include_it(self):
        register_scheduler("Halving", lambda optimizer: None)
        with pytest.raises(ValueError, match="did you mean 'Halving'"):
            build_scheduler(adamw(), {"name": "Halvin"})

    def test_what_makes_a_scheduler_of_another_optimizer_is_refused(self):
        other = adamw()
        register_scheduler("Elsewhere", lambda optimizer: constant_schedule(other, 0.5))
        with pytest.raises(ValueError, match="belongs to another"):
            build_scheduler(adamw(), {"name": "Elsewhere"})


# Refusals, after which the optimizer is as it was.


def state_of(optimizer):
    return copy.deepcopy(([dict(group) for group in optimizer.param_groups], optimizer.defaults)), set(
        vars(optimizer)
    )


REFUSED = [
    ({"name": "StepLr", "step_size": 3}, ValueError, "no scheduler 'StepLr'; did you mean 'StepLR'"),
    ({"name": "CosinCurve"}, ValueError, "did you mean 'CosineCurve'"),
    ({"name": "timm_CosineLR"}, ValueError, "did you mean 'timm_CosineLRScheduler'"),
    ({"name": "LRScheduler"}, ValueError, "there is no scheduler 'LRScheduler'"),
    ({"name": "StepLR", "stepsize": 3}, ValueError, "no parameter of StepLR 'stepsize'; did you mean 'step_size'"),
    ({"name": "StepLR", "step_size": 3, "optimizer": 1}, ValueError, "no parameter of StepLR 'optimizer'"),
    ({"name": "timm_CosineLRScheduler", "t_initail": 3}, ValueError, "did you mean 't_initial'"),
    ({"name": "CosineCurve", "strat": 1}, ValueError, "no parameter of CosineCurve 'strat'; did you mean 'start'"),
    ({"name": "Schedule", "curve": {"name": "CosinCurve"}}, ValueError, "did you mean 'CosineCurve'"),
    ({"name": "Schedule", "curv": {}}, ValueError, "did you mean 'curve'"),
    ({**chain(HALVE), "milestone": []}, ValueError, "no parameter of ChainedScheduler 'milestone'"),
    ({"name": "constant_schedule", "valu": 1}, ValueError, "did you mean 'value'"),
    ({"name": "StepLR"}, TypeError, "StepLR lacks 'step_size'"),
    ({"name": "constant_schedule"}, TypeError, "constant_schedule lacks 'value'"),
    ({"name": "timm_CosineLRScheduler"}, TypeError, "lacks 't_initial'"),
    ({"name": "Schedule"}, TypeError, "lacks 'curve'"),
    ({"name": "CosineCurve"}, ValueError, "must be given start, stop, steps"),
    ({"name": "ChainedScheduler"}, TypeError, "lacks .'schedulers'"),
    ({"name": "SequentialLR", "schedulers": [HALVE]}, TypeError, "lacks .'milestones'"),
    ({"name": "PolynomialLRDecay", "max_decay_steps": 1}, ValueError, "max_decay_steps must be"),
    (
        {"name": "StepLR", "step_size": "3"},
        TypeError,
        "'step_size' of StepLR must be a number, got the string '3'",
    ),
    ({"name": "CosineAnnealingLR", "T_max": 9, "eta_min": "1e-6"}, TypeError, "got the string '1e-6'"),
    ({"name": "MultiStepLR", "milestones": [3, "5"]}, TypeError, "got the string '5'"),
    ({**STEP, "schedule_target": "clip", "default_value": "1"}, TypeError, "'default_value' of StepLR"),
    (sequence(["3"], HALVE, HALVE), TypeError, "got the string '3'"),
    (sequence(3, HALVE, HALVE), TypeError, "milestones of a sequence are a list of steps, got 3"),
    (sequence([2.5], HALVE, HALVE), TypeError, "a milestone must be a whole number"),
    (sequence([0], HALVE, HALVE), ValueError, "a milestone must be a whole number of at least 1"),
    (sequence([3], HALVE), ValueError, "one fewer than schedulers, got .3. for 1"),
    (sequence([5, 3], HALVE, HALVE, HALVE), ValueError, "growing milestones"),
    (sequence([5, 3], HALVE, STALL, HALVE), ValueError, "growing milestones"),
    ({"name": "ChainedScheduler", "schedulers": HALVE}, TypeError, "are a list of configs"),
    (chain(), ValueError, "at least one scheduler, got none"),
    (chain({**HALVE, "schedule_target": "weight_decay"}), ValueError, "schedule_target='weight_decay'.*outermost"),
    (chain({**HALVE, "default_value": 1.0}), ValueError, "default_value=1.0; say both at the outermost"),
    (chain(HALVE, {"name": "StepLr"}), ValueError, "did you mean 'StepLR'"),
    ({"name": "no.such.place"}, ValueError, "no scheduler to import at 'no.such.place'"),
    ({"name": "torch.optim.lr_scheduler.StepLRR"}, ValueError, "has no attribute 'StepLRR'"),
    ({"name": "math.pi"}, TypeError, "makes no scheduler: 3.14"),
    ({"name": "LambdaLR", "lr_lambda": "no.such"}, ValueError, "no function to import at 'no.such'"),
    ({"name": "LambdaLR", "lr_lambda": "nosuch"}, ValueError, "no function to import at 'nosuch'"),
    ({**STEP, "schedule_target": "weight_decai"}, KeyError, "no 'weight_decai'.*default_value"),
    ({**STEP, "schedule_target": "betas"}, TypeError, r"betas\[0\]"),
    ({**STEP, "schedule_target": "betas[2]"}, ValueError, "beyond the end"),
    ({**STEP, "schedule_target": "params"}, ValueError, "schedule_target must be a key"),
    ({**STEP, "schedule_target": 3}, TypeError, "schedule_target must be a string"),
    ({**STEP, "schedule_target": "clip", "default_value": True}, TypeError, "default value of 'clip'"),
    ({**STEP, "schedule_target": "clip", "default_value": math.nan}, TypeError, "default value of 'clip'"),
    ({"name": "ConstantCurve", "value": -1.0}, ValueError, "lr must be a finite real number of at least 0"),
    (
        {"name": "ConstantCurve", "value": -1.0, "schedule_target": "eps2", "default_value": 1.0, "mode": "abs"},
        ValueError,
        "mode must be one of 'multiplier', 'absolute'",
    ),
    ({"name": "OneCycleLR", "max_lr": -1.0, "total_steps": 9}, ValueError, "lr must be"),
    ({"name": 3}, TypeError, 'a mapping with a "name"'),
    ({}, TypeError, 'a mapping with a "name"'),
    ([], ValueError, "at least one schedule"),
    ([3], TypeError, 'a mapping with a "name"'),
    (None, TypeError, "a config is a mapping with a name or a list"),
    ("StepLR", TypeError, "or the path of a .yaml file, got 'StepLR'"),
    ("no_such.yaml", FileNotFoundError, "no_such.yaml"),
    ([STEP, {"name": "StepLR"}], TypeError, "lacks 'step_size'"),
    ([STEP, {**STEP, "schedule_target": "betas"}], TypeError, "betas"),
    (
        [{**STEP, "schedule_target": "clip", "default_value": 1.0}, STEP, STEP],
        RuntimeError,
        "two schedules move 'lr'",
    ),
    (
        [{"name": "constant_schedule", "value": 0.5}, {"name": "constant_schedule", "value": -1.0}],
        ValueError,
        "lr must be",
    ),
    (
        [
            {"name": "constant_schedule", "value": 0.5, "schedule_target": "betas[0]"},
            {"name": "OneCycleLR", "max_lr": 0.1, "total_steps": 9},
        ],
        RuntimeError,
        "moves the momentum as well",
    ),
]


@pytest.mark.parametrize("tensors", [False, True])
@pytest.mark.parametrize(("config", "error", "match"), REFUSED, ids=[str(i) for i in range(len(REFUSED))])
def test_what_is_refused_leaves_the_optimizer_as_it_was(config, error, match, tensors):
    optimizer = adamw(0.25, 0.5, tensors=tensors)
    before, groups = state_of(optimizer), list(optimizer.param_groups)
    rates = [group["lr"] for group in groups]
    with pytest.raises(error, match=match):
        build_scheduler(optimizer, config)
    assert state_of(optimizer) == before
    assert all(now is then for now, then in zip(optimizer.param_groups, groups, strict=True))
    assert all(group["lr"] is rate for group, rate in zip(groups, rates, strict=True))


def test_what_is_no_optimizer_is_refused():
    with pytest.raises(TypeError, match="Optimizer, got an object of the class Linear"):
        build_scheduler(nn.Linear(1, 1), STEP)


def test_a_state_of_a_built_list_resumes():
    config = [{**CHAINED}, {"name": "timm_StepLRScheduler", "decay_t": 3, "schedule_target": "weight_decay"}]
    one, other = adamw(0.25, 0.5), adamw(0.25, 0.5)
    saved, resumed = build_scheduler(one, config), build_scheduler(other, config)
    run(one, saved, 17)
    resumed.load_state_dict(copy.deepcopy(saved.state_dict()))
    for key in ("lr", "weight_decay"):
        assert run(other, resumed, 20, key) == run(one, saved, 20, key)


# build_optimizer.


def test_an_optimizer_of_a_module():
    model = nn.Linear(10, 1)
    optimizer = build_optimizer(model, {"name": "AdamW", "lr": 0.001, "betas": [0.8, 0.9]})
    assert isinstance(optimizer, torch.optim.AdamW)
    assert optimizer.param_groups[0]["params"] == list(model.parameters())
    assert list(optimizer.param_groups[0]["betas"]) == [0.8, 0.9]


def test_an_optimizer_of_parameters():
    model = nn.Linear(10, 1)
    assert len(build_optimizer(model.parameters(), {"name": "SGD"}).param_groups[0]["params"]) == 2


def test_an_optimizer_of_param_groups():
    model = nn.Linear(10, 1)
    groups = [{"params": [model.weight], "lr": 0.5}, {"params": [model.bias]}]
    optimizer = build_optimizer(groups, DictConfig({"name": "SGD", "lr": 0.1}))
    assert [group["lr"] for group in optimizer.param_groups] == [0.5, 0.1]


def test_an_optimizer_to_import():
    optimizer = build_optimizer(nn.Linear(1, 1), {"name": "torch.optim.adamw.AdamW", "lr": 0.5})
    assert isinstance(optimizer, torch.optim.AdamW)


@pytest.mark.parametrize(
    ("config", "error", "match"),
    [
        ({"name": "Adamm"}, ValueError, "no optimizer 'Adamm'; did you mean 'Adam'"),
        ({"name": "Optimizer"}, ValueError, "no optimizer 'Optimizer'"),
        ({"name": "AdamW", "lrr": 1}, ValueError, "no parameter of AdamW 'lrr'; did you mean 'lr'"),
        ({"name": "AdamW", "params": []}, ValueError, "no parameter of AdamW 'params'"),
        ({"name": "SGD", "lr": "1e-3"}, TypeError, "'lr' of SGD must be a number, got the string '1e-3'"),
        ({"name": "AdamW", "betas": [0.8, "0.9"]}, TypeError, "got the string '0.9'"),
        ({"name": "no.such"}, ValueError, "no optimizer to import at 'no.such'"),
        ({"name": "torch.nn.Linear"}, TypeError, "makes no optimizer"),
        ({"lr": 1}, TypeError, 'a mapping with a "name"'),
        ([{"name": "SGD"}], TypeError, 'a mapping with a "name"'),
        (None, TypeError, "a config is a mapping"),
    ],
)
def test_an_optimizer_is_refused_with_the_way_out(config, error, match):
    with pytest.raises(error, match=match):
        build_optimizer(nn.Linear(1, 1), config)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"name": "StepLR", "step_size": 0}, "step_size of StepLR"),
        ({"name": "CosineAnnealingLR", "T_max": 0}, "T_max of CosineAnnealingLR"),
        ({"name": "StepLR", "step_size": 3, "last_epoch": 5}, "'last_epoch'"),
    ],
)
def test_what_torch_would_stumble_over_later_is_refused_at_once(config, message):
    with pytest.raises(ValueError, match=message):
        build_scheduler(adamw(), config)


def test_only_curves_that_can_be_made_go_by_a_name():
    assert not {"Curve", "EndlessCurve", "TransitionCurve"} & set(curves.curve_names())
