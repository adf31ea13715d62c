"""Resumed schedulers of torch's and composites go on bit-equal, in every order of loading; others are refused."""

import copy
import random

import pytest
import torch
from torch.optim import lr_scheduler as ls
from torch.optim.swa_utils import SWALR

from pamiq_sched.optim import ProductScheduler, SequenceScheduler, arbitrary_schedule_factory
from pamiq_sched.state import load, save

MAKERS = {
    "LambdaLR": lambda o: ls.LambdaLR(o, lambda t: 0.97**t),
    "MultiplicativeLR": lambda o: ls.MultiplicativeLR(o, lambda t: 0.97),
    "StepLR": lambda o: ls.StepLR(o, 7, 0.7),
    "MultiStepLR": lambda o: ls.MultiStepLR(o, [5, 12, 12, 30], 0.7),
    "ConstantLR": lambda o: ls.ConstantLR(o, 0.3, 11),
    "LinearLR": lambda o: ls.LinearLR(o, 0.3, total_iters=23),
    "ExponentialLR": lambda o: ls.ExponentialLR(o, 0.93),
    "PolynomialLR": lambda o: ls.PolynomialLR(o, 60, 1.7),
    "CosineAnnealingLR": lambda o: ls.CosineAnnealingLR(o, 60, 0.001),
    "CosineAnnealingWarmRestarts": lambda o: ls.CosineAnnealingWarmRestarts(o, 7, 2),
    "CyclicLR": lambda o: ls.CyclicLR(o, 0.01, 0.1, 9, mode="triangular2"),
    "OneCycleLR": lambda o: ls.OneCycleLR(o, 0.5, 80, three_phase=True),
    "ReduceLROnPlateau": lambda o: ls.ReduceLROnPlateau(o, patience=2, cooldown=1, factor=0.7),
    "SWALR": lambda o: SWALR(o, 0.02, 15),
    "SequentialLR": lambda o: ls.SequentialLR(o, [ls.LinearLR(o, 0.1, 1.0, 9), ls.ExponentialLR(o, 0.9)], [9]),
    "ChainedScheduler": lambda o: ls.ChainedScheduler([ls.LinearLR(o, 0.1, 1.0, 9), ls.ExponentialLR(o, 0.9)], o),
    "nested": lambda o: ls.SequentialLR(
        o, [MAKERS["SequentialLR"](o), MAKERS["ChainedScheduler"](o), MAKERS["SequentialLR"](o)], [14, 25]
    ),
    "ProductScheduler": lambda o: ProductScheduler(
        o, [MAKERS["ReduceLROnPlateau"], MAKERS["nested"], MAKERS["CosineAnnealingWarmRestarts"]]
    ),
    "SequenceScheduler": lambda o: SequenceScheduler(
        o, [MAKERS["LinearLR"], MAKERS["ProductScheduler"], MAKERS["ExponentialLR"]], [10, 30]
    ),
}
STOPS = [0, 1, *random.Random(5).sample(range(2, 52), 48)]


def _optimizer(tensors=False, groups=2, lr=0.3):
    rates = [lr / (i + 1) for i in range(groups)]
    return torch.optim.AdamW(
        [{"params": [torch.zeros(1)], "lr": torch.tensor(r) if tensors else r} for r in rates],
        betas=(0.9, 0.99),
        capturable=tensors,
    )


def _values(optimizer):
    return [(float(group["lr"]), group["betas"]) for group in optimizer.param_groups]


def _step(schedule):
    if isinstance(schedule, ls.ReduceLROnPlateau) or getattr(schedule, "takes_metric", False):
        schedule.step(1.0 + (schedule.last_epoch % 5) / 10)
    else:
        schedule.step()


def _at(make, count, tensors=False, **kwargs):
    optimizer = _optimizer(tensors, **kwargs)
    schedule = arbitrary_schedule_factory(optimizer, make)
    for _ in range(count):
        _step(schedule)
    return optimizer, schedule


@pytest.mark.parametrize("tensors", [False, True])
@pytest.mark.parametrize("order", ["BOS", "OBS", "BSO", "BS"])
@pytest.mark.parametrize("name", MAKERS)
def test_it_goes_on_as_if_uninterrupted(name, order, tensors):
    """B builds the schedule, O loads the optimizer, S loads the schedule."""
    make = MAKERS[name]
    optimizer, schedule = _at(make, 0, tensors)
    expected, states = [], []
    for _ in range(max(STOPS) + 12):
        expected.append(_values(optimizer))
        states.append((copy.deepcopy(optimizer.state_dict()), schedule.state_dict()))
        _step(schedule)
    for stop in STOPS:
        of_optimizer, state = states[stop]
        second = _optimizer(tensors)
        for what in order:
            if what == "B":
                resumed = arbitrary_schedule_factory(second, make)
            elif what == "O":
                second.load_state_dict(copy.deepcopy(of_optimizer))
            else:
                resumed.load_state_dict(state)
        got = []
        for _ in range(11):
            got.append(_values(second))
            _step(resumed)
        assert got == expected[stop : stop + 11], stop


@pytest.mark.parametrize("tensors", [False, True])
@pytest.mark.parametrize("name", MAKERS)
def test_a_state_survives_our_files_and_torchs_without_pickle(name, tensors, tmp_path):
    optimizer, schedule = _at(MAKERS[name], 13, tensors)
    save(schedule.state_dict(), tmp_path / "ours")
    torch.save(schedule.state_dict(), tmp_path / "theirs")
    _step(schedule)
    for state in load(tmp_path / "ours"), torch.load(tmp_path / "theirs", weights_only=True):
        second, resumed = _at(MAKERS[name], 0, tensors)
        resumed.load_state_dict(state)
        _step(resumed)
        assert _values(second) == _values(optimizer)


@pytest.mark.parametrize("name", sorted(set(MAKERS) - {"ProductScheduler", "SequenceScheduler", "nested"}))
def test_the_state_of_torch_by_itself_is_accepted(name):
    plain = _optimizer()
    theirs = MAKERS[name](plain)
    plain.step()  # torch warns of its order otherwise
    for _ in range(13):
        _step(theirs)
    optimizer, schedule = _at(MAKERS[name], 0)
    schedule.load_state_dict(theirs.state_dict())
    for _ in range(20):
        _step(theirs)
        _step(schedule)
        assert _values(optimizer) == _values(plain)


def _breakages(state):
    yield {}
    yield {"garbage": 1}
    yield [1]
    yield state | {"garbage": 1}
    yield {key: value for key, value in state.items() if key != "on_target"} | {"last_epoch": "x"}
    for key, value in state.items():
        if not key.startswith("_") and key != "on_target":
            yield {k: v for k, v in state.items() if k != key}
            yield state | {key: object()} if value is not None else {}
        if key in {"_schedulers", "members"}:
            yield state | {key: [{"garbage": 1}] * len(value)}
            yield state | {key: value[:-1]}
            yield state | {key: 3}
    target = state["on_target"]
    yield state | {"on_target": 3}
    yield state | {"on_target": target | {"name": "weight_decay"}}
    yield state | {"on_target": target | {"values": [float("nan")] * 2}}
    yield state | {"on_target": target | {"values": [-1.0] * 2}}
    yield state | {"on_target": target | {"values": ["x"] * 2}}
    yield state | {"on_target": target | {"values": 3}}
    yield state | {"on_target": target | {"notes": [3, 3]}}
    yield state | {"on_target": target | {"notes": [note | {"weight_decay": 9.0} for note in target["notes"]]}}


@pytest.mark.parametrize("name", MAKERS)
def test_garbage_is_refused_and_changes_nothing(name):
    optimizer, schedule = _at(MAKERS[name], 5)
    state, before = schedule.state_dict(), _values(optimizer)
    other = _at(MAKERS[name], 9)[1].state_dict()
    for broken in _breakages(other):
        with pytest.raises((TypeError, ValueError)):
            schedule.load_state_dict(broken)
        assert _values(optimizer) == before
        assert schedule.state_dict() == state


@pytest.mark.parametrize("name", MAKERS)
def test_a_state_of_another_number_of_groups_is_refused(name):
    state = _at(MAKERS[name], 3, groups=3)[1].state_dict()
    with pytest.raises(ValueError, match="groups"):
        _at(MAKERS[name], 3)[1].load_state_dict(state)


CHANGED = {
    "StepLR": lambda o: ls.StepLR(o, 5, 0.5),
    "MultiStepLR": lambda o: ls.MultiStepLR(o, [4, 9], 0.7),
    "LinearLR": lambda o: ls.LinearLR(o, 0.5, total_iters=23),
    "CosineAnnealingLR": lambda o: ls.CosineAnnealingLR(o, 90, 0.001),
    "CosineAnnealingWarmRestarts": lambda o: ls.CosineAnnealingWarmRestarts(o, 8, 1),
    "CyclicLR": lambda o: ls.CyclicLR(o, 0.02, 0.1, 9, mode="triangular2"),
    "OneCycleLR": lambda o: ls.OneCycleLR(o, 0.25, 80, three_phase=False),
    "SWALR": lambda o: SWALR(o, 0.04, 15),
    "SequentialLR": lambda o: ls.SequentialLR(o, [ls.LinearLR(o, 0.2, 1.0, 9), ls.ExponentialLR(o, 0.8)], [8]),
    "ChainedScheduler": lambda o: ls.ChainedScheduler([ls.LinearLR(o, 0.2, 1.0, 9), ls.ExponentialLR(o, 0.8)], o),
    "SequenceScheduler": lambda o: SequenceScheduler(
        o, [MAKERS["ConstantLR"], MAKERS["ExponentialLR"], MAKERS["ExponentialLR"]], [8, 30]
    ),
}


@pytest.mark.parametrize("name", sorted(set(CHANGED) - {"SequenceScheduler"}))
def test_other_parameters_are_refused_unless_told_which_to_keep(name):
    state = _at(MAKERS[name], 13)[1].state_dict()
    optimizer, schedule = _at(CHANGED[name], 0)
    before = _values(optimizer), schedule.state_dict()
    with pytest.raises(ValueError, match='curve="new"'):
        schedule.load_state_dict(state)
    assert (_values(optimizer), schedule.state_dict()) == before
    for policy, makers in ("new", CHANGED), ("old", MAKERS):
        optimizer, schedule = _at(CHANGED[name], 0)
        expected, model = _at(makers[name], 13)
        schedule.load_state_dict(state, curve=policy)
        assert [lr for lr, _ in _values(optimizer)] == [lr for lr, _ in _values(expected)]
        for _ in range(20):
            _step(schedule)
            _step(model)
            assert _values(optimizer) == _values(expected)


def test_a_new_curve_that_is_over_is_refused_and_changes_nothing():
    state = _at(MAKERS["OneCycleLR"], 30)[1].state_dict()
    optimizer, schedule = _at(lambda o: ls.OneCycleLR(o, 0.5, 20), 3)
    before = _values(optimizer), schedule.state_dict()
    with pytest.raises(ValueError, match="total steps is 20"):
        schedule.load_state_dict(state, curve="new")
    assert (_values(optimizer), schedule.state_dict()) == before
