"""timm's schedulers on any hyperparameter: timm's own, driven as timm drives them."""

import importlib.util
import subprocess
import sys
import warnings

import pytest
import torch
from hypothesis import HealthCheck, given, settings, strategies as st

from pamiq_sched.optim import arbitrary_schedule_factory, timm as ours
from pamiq_sched.optim.timm import TimmScheduler, scheduler_classes

pytestmark = pytest.mark.filterwarnings("ignore:PlateauLRScheduler is deprecated:FutureWarning")
CLASSES = scheduler_classes()
steps = st.integers(1, 40)
_CYCLES = {
    "lr_min": st.floats(0.0, 0.01),
    "cycle_mul": st.sampled_from([1.0, 2.0]),
    "cycle_decay": st.floats(0.3, 1.0),
    "cycle_limit": st.integers(1, 3),
    "warmup_prefix": st.booleans(),
    "t_in_epochs": st.booleans(),
}
_OWN = {
    "CosineLRScheduler": {"t_initial": steps, "k_decay": st.floats(0.5, 2.0), **_CYCLES},
    "TanhLRScheduler": {"t_initial": steps, "lb": st.floats(-7.0, -3.0), **_CYCLES},
    "PolyLRScheduler": {
        "t_initial": steps,
        "power": st.floats(0.5, 2.0),
        "k_decay": st.floats(0.5, 2.0),
        **_CYCLES,
    },
    "StepLRScheduler": {"decay_t": steps, "decay_rate": st.floats(0.1, 1.0), "t_in_epochs": st.booleans()},
    "MultiStepLRScheduler": {
        "decay_t": st.lists(steps, max_size=3).map(sorted),
        "decay_rate": st.floats(0.1, 1.0),
        "t_in_epochs": st.booleans(),
    },
    "WSDLRScheduler": {
        "t_initial": st.integers(40, 60),
        "decay_t": steps,
        "decay_fn": st.sampled_from(["linear", "1-sqrt", "cosine", "power", "exp"]),
        "t_in_epochs": st.booleans(),
    },
    "PlateauLRScheduler": {"decay_rate": st.floats(0.1, 0.9), "patience_t": st.integers(0, 3)},
}


def parameters(name):
    noise = {"noise_range_t": st.none() | st.just([3, 20]), "noise_seed": st.integers(0, 99)}
    warmup = {"warmup_t": st.integers(0, 6), "warmup_lr_init": st.floats(0.0, 0.01)}
    return st.fixed_dictionaries({**_OWN[name], **warmup, **noise})


def _optimizer(groups=1, tensors=False):
    # Exact in single precision: timm puts a Python float where a tensor was.
    rates = [0.5 / 2**i for i in range(groups)]
    return torch.optim.AdamW(
        [{"params": [torch.zeros(1)], "lr": torch.tensor(r) if tensors else r} for r in rates],
        capturable=tensors,
        weight_decay=0.5,
    )


def _rates(optimizer):
    return [float(group["lr"]) for group in optimizer.param_groups]


def _check(name, kwargs, groups, tensors, total):
    own, plain = _optimizer(groups, tensors), _optimizer(groups, tensors)
    objects = [group["lr"] for group in own.param_groups]
    theirs = CLASSES[name](plain, **kwargs)
    schedule = arbitrary_schedule_factory(own, lambda o: TimmScheduler(o, name, kwargs))
    for t in range(1, total + 1):
        expected = _rates(plain)
        assert _rates(own) == (pytest.approx(expected, rel=1e-6, abs=1e-9) if tensors else expected)
        metric = float(t % 5) if name == "PlateauLRScheduler" else None
        theirs.step(t, metric)
        theirs.step_update(t, metric)
        schedule.step(*([] if metric is None else [metric]))
    if tensors:
        assert all(group["lr"] is old for group, old in zip(own.param_groups, objects, strict=True))


_once = settings(max_examples=60, deadline=None, database=None, suppress_health_check=list(HealthCheck))


def test_all_classes_of_timm_are_tested():
    assert set(_OWN) == set(CLASSES)


@pytest.mark.parametrize("name", sorted(_OWN))
def test_it_is_timms_own_to_the_last_bit(name):
    @_once
    @given(parameters(name), st.sampled_from([1, 3]), st.booleans())
    def check(kwargs, groups, tensors):
        _check(name, kwargs, groups, tensors, 25)

    check()


@pytest.mark.stress
@pytest.mark.parametrize("name", sorted(_OWN))
def test_it_stays_timms_own_for_10000_steps(name):
    @settings(_once, max_examples=200)
    @given(parameters(name))
    def check(kwargs):
        _check(name, kwargs, 1, False, 10_000)

    check()


@pytest.mark.parametrize("t_in_epochs", [False, True])
@pytest.mark.parametrize(
    ("prefix", "expected"), [(False, [0.01, 0.34, 0.67, 0.8145, 0.68906]), (True, [0.01, 0.34, 0.67, 1, 0.97798])]
)
def test_warmup_and_cosine_have_the_known_values(prefix, expected, t_in_epochs):
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=1.0)
    kwargs = {"t_initial": 10, "lr_min": 0.1, "warmup_t": 3, "warmup_lr_init": 0.01, "warmup_prefix": prefix}
    schedule = arbitrary_schedule_factory(
        optimizer, lambda o: TimmScheduler(o, "CosineLRScheduler", {**kwargs, "t_in_epochs": t_in_epochs})
    )
    got = []
    for _ in expected:
        got.append(optimizer.param_groups[0]["lr"])
        schedule.step()
    assert got == pytest.approx(expected, abs=1e-5)


def test_the_last_values_stay_as_they_were_when_a_tensor_is_filled_again():
    optimizer = _optimizer(1, True)
    schedule = arbitrary_schedule_factory(
        optimizer, lambda o: TimmScheduler(o, "StepLRScheduler", {"decay_t": 1, "decay_rate": 0.5})
    )
    (before,) = schedule.get_last_lr()
    value = before.item()
    schedule.step()
    assert before.item() == value != optimizer.param_groups[0]["lr"].item()


def test_the_plateau_without_warmup_keeps_its_value():
    optimizer = _optimizer()
    schedule = arbitrary_schedule_factory(optimizer, lambda o: TimmScheduler(o, "PlateauLRScheduler", {}))
    schedule.step()
    schedule.step(1.0)
    assert _rates(optimizer) == [0.5]
    with pytest.raises(ValueError, match="NaN"):
        schedule.step(float("nan"))


@pytest.mark.parametrize(("target", "expected"), [("lr", 0.125), ("weight_decay", 0.25)])
def test_the_scale_of_a_layer_is_of_the_learning_rate_alone(target, expected):
    optimizer = _optimizer()
    optimizer.param_groups[0]["lr_scale"] = 0.5
    arbitrary_schedule_factory(
        optimizer,
        lambda o: TimmScheduler(o, "CosineLRScheduler", {"t_initial": 9, "warmup_t": 3, "warmup_lr_init": 0.25}),
        schedule_target=target,
    )
    assert optimizer.param_groups[0][target] == expected


def test_an_unknown_class_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match="CosineLRScheduler"):
        arbitrary_schedule_factory(_optimizer(), lambda o: TimmScheduler(o, "CosinLRScheduler", {}))


def _run(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


def test_loading_leaves_no_timm_behind():
    done = _run(
        "import sys; from pamiq_sched.optim.timm import scheduler_classes; scheduler_classes();"
        "print([name for name in sys.modules if name.split('.')[0] in {'timm', 'torchvision'}])"
    )
    assert done.stdout.strip() == "[]", done.stderr


def test_the_classes_are_those_of_a_timm_that_was_imported_before(monkeypatch):
    module = ours._load_without_timm()
    monkeypatch.setattr(ours, "_loaded", None)
    monkeypatch.setitem(sys.modules, "timm.scheduler", module)
    assert scheduler_classes()["StepLRScheduler"] is module.StepLRScheduler


def test_a_missing_timm_is_told_with_the_command(monkeypatch):
    monkeypatch.setattr(ours, "_loaded", None)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"pip install 'pamiq-sched\[timm\]'"):
        scheduler_classes()


@pytest.mark.parametrize("tensors", [False, True])
@pytest.mark.parametrize("optimizer_first", [False, True])
@pytest.mark.parametrize("name", sorted(_OWN))
def test_a_resumed_one_goes_on_as_if_uninterrupted(name, optimizer_first, tensors):
    @settings(_once, max_examples=6)
    @given(parameters(name), st.integers(0, 25))
    def check(kwargs, stop):
        def make(optimizer):
            return arbitrary_schedule_factory(optimizer, lambda o: TimmScheduler(o, name, kwargs))

        def run(optimizer, schedule, count):
            for _ in range(count):
                schedule.step(*([1.0] if schedule.takes_metric else []))
            return _rates(optimizer)

        first = _optimizer(2, tensors)
        schedule = make(first)
        run(first, schedule, stop)
        state, of_optimizer = schedule.state_dict(), first.state_dict()
        state, of_optimizer = torch.utils._pytree.tree_map(
            lambda v: v.clone() if isinstance(v, torch.Tensor) else v, (state, of_optimizer)
        )
        second = _optimizer(2, tensors)
        if optimizer_first:
            second.load_state_dict(of_optimizer)
            resumed = make(second)
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                resumed.load_state_dict(state)
        else:
            resumed = make(second)
            resumed.load_state_dict(state)
            second.load_state_dict(of_optimizer)
        assert _rates(second) == _rates(first)
        for _ in range(12):
            assert run(second, resumed, 1) == run(first, schedule, 1)

    check()


def test_a_state_of_other_parameters_is_refused_unless_told_what_to_keep():
    def at(length, count):
        optimizer = _optimizer()
        schedule = arbitrary_schedule_factory(
            optimizer, lambda o: TimmScheduler(o, "CosineLRScheduler", {"t_initial": length})
        )
        for _ in range(count):
            schedule.step()
        return optimizer, schedule

    state = at(10, 4)[1].state_dict()
    optimizer, schedule = at(20, 0)
    with pytest.raises(ValueError, match='curve="new"'):
        schedule.load_state_dict(state)
    assert _rates(optimizer) == [0.5]
    schedule.load_state_dict(state, curve="new")
    assert _rates(optimizer) == _rates(at(20, 4)[0])
    schedule.load_state_dict(state, curve="old")
    assert _rates(optimizer) == _rates(at(10, 4)[0])


def test_a_state_of_another_class_is_refused_and_changes_nothing():
    optimizer = _optimizer()
    cosine = arbitrary_schedule_factory(
        optimizer, lambda o: TimmScheduler(o, "CosineLRScheduler", {"t_initial": 9, "warmup_t": 2})
    )
    state = arbitrary_schedule_factory(
        _optimizer(), lambda o: TimmScheduler(o, "StepLRScheduler", {"decay_t": 2})
    ).state_dict()
    for policy in ("refuse", "old"):
        with pytest.raises(ValueError, match=r"StepLRScheduler"):
            cosine.load_state_dict(state, curve=policy)
        assert _rates(optimizer) == [0.0]
        assert cosine.last_epoch == 0
