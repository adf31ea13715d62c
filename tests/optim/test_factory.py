"""torch's schedulers on any hyperparameter: as they are on lr, and nowhere else."""

import copy
import pickle
import warnings

import pytest
import torch
from hypothesis import HealthCheck, given, settings, strategies as st
from torch.optim import lr_scheduler as ls
from torch.optim.swa_utils import SWALR

from pamiq_sched.optim import ProductScheduler, arbitrary_schedule_factory, extend_optimizer

factors = st.floats(0.05, 1.0)
gammas = st.floats(0.9, 1.0)
steps = st.integers(1, 60)
rates = st.floats(1e-4, 1.0)


def _cyclic(draw, groups, total):
    low = [draw(rates) for _ in range(groups)]
    # torch's "triangular2" halves by 2.0 ** cycle, which overflows at the 1025th.
    lengths = st.integers(1 + total // 1000, 60)
    return {
        "base_lr": low if draw(st.booleans()) else low[0],
        "max_lr": [2.0 * max(low)] * groups,
        "step_size_up": draw(lengths),
        "step_size_down": draw(st.none() | lengths),
        "mode": draw(st.sampled_from(["triangular", "triangular2", "exp_range"])),
        "gamma": draw(gammas),
        "cycle_momentum": draw(st.booleans()),
    }


def _one_cycle(draw, groups, total):
    return {
        "max_lr": [draw(rates) for _ in range(groups)],
        "total_steps": total + 2,
        "pct_start": draw(st.floats(0.1, 0.4)),
        "anneal_strategy": draw(st.sampled_from(["cos", "linear"])),
        "three_phase": draw(st.booleans()),
        "cycle_momentum": draw(st.booleans()),
    }


def _parts(draw):
    start, gamma, length = draw(factors), draw(gammas), draw(steps)
    return lambda o: [ls.LinearLR(o, start, total_iters=length), ls.ExponentialLR(o, gamma)]


def _maker(draw, name, groups, total):
    """Return a function of an optimizer that makes a scheduler with drawn parameters."""
    if name == "SequentialLR":
        parts, milestone = _parts(draw), draw(steps)
        return lambda o: ls.SequentialLR(o, parts(o), [milestone])
    if name == "ChainedScheduler":
        parts = _parts(draw)
        return lambda o: ls.ChainedScheduler(parts(o), o)
    if name in {"LambdaLR", "MultiplicativeLR"}:
        gamma = draw(gammas)
        one = (lambda t: gamma**t) if name == "LambdaLR" else (lambda t: gamma)
        many = draw(st.booleans())
        return lambda o: getattr(ls, name)(o, [one] * groups if many else one)
    if name == "SWALR":
        kwargs = {
            "swa_lr": [draw(rates) for _ in range(groups)],
            "anneal_epochs": draw(steps),
            "anneal_strategy": draw(st.sampled_from(["cos", "linear"])),
        }
        return lambda o: SWALR(o, **kwargs)
    kwargs = {
        "StepLR": lambda: {"step_size": draw(steps), "gamma": draw(gammas)},
        "MultiStepLR": lambda: {"milestones": sorted(draw(st.lists(steps, max_size=4))), "gamma": draw(factors)},
        "ConstantLR": lambda: {"factor": draw(factors), "total_iters": draw(steps)},
        "LinearLR": lambda: {"start_factor": draw(factors), "total_iters": draw(steps)},
        "ExponentialLR": lambda: {"gamma": draw(gammas)},
        "PolynomialLR": lambda: {"total_iters": draw(steps), "power": draw(st.floats(0.5, 3.0))},
        "CosineAnnealingLR": lambda: {"T_max": total + 1, "eta_min": draw(st.floats(0.0, 1e-4))},
        "CosineAnnealingWarmRestarts": lambda: {"T_0": draw(steps), "T_mult": draw(st.integers(1, 3))},
        "CyclicLR": lambda: _cyclic(draw, groups, total),
        "OneCycleLR": lambda: _one_cycle(draw, groups, total),
        "ReduceLROnPlateau": lambda: {
            "factor": draw(st.floats(0.1, 0.9)),
            "patience": draw(st.integers(0, 5)),
            "cooldown": draw(st.integers(0, 3)),
            "min_lr": [draw(st.floats(0.0, 1e-3)) for _ in range(groups)],
        },
    }[name]()
    return lambda o: getattr(ls, name)(o, **kwargs)


NAMES = sorted({*ls.__all__, "SWALR"} - {"LRScheduler"})


def _optimizer(groups=1, tensors=False, kind="AdamW"):
    options = {"momentum": 0.9} if kind == "SGD" else {"betas": (0.9, 0.99)}
    if tensors and kind != "SGD":
        options["capturable"] = True
    parts = [
        {"params": [torch.zeros(1)], "lr": torch.tensor(0.3 / (i + 1)) if tensors else 0.3 / (i + 1)}
        for i in range(groups)
    ]
    return getattr(torch.optim, kind)(parts, weight_decay=0.5, **options)


def _values(optimizer):
    keys = ("lr", "betas", "momentum", "weight_decay")
    return [
        tuple(float(v) if isinstance(v, torch.Tensor) else v for v in (group.get(k) for k in keys))
        for group in optimizer.param_groups
    ]


def _advance(schedule, t):
    if isinstance(schedule, ls.ReduceLROnPlateau):
        schedule.step(1.0 / (1 + t % 7))
    else:
        schedule.step()


@st.composite
def cases(draw, name, total, rarely=False):
    few = 7 if rarely else 1
    groups = draw(st.sampled_from([1] * few + [3]))
    return (
        groups,
        draw(st.sampled_from([False] * few + [True])),
        draw(st.sampled_from(["SGD", "AdamW"])),
        _maker(draw, name, groups, total),
    )


def _check_equal_to_torch(case, total, every=1):
    groups, tensors, kind, make = case
    own, plain = _optimizer(groups, tensors, kind), _optimizer(groups, tensors, kind)
    objects = [group["lr"] for group in own.param_groups]
    keys = [set(group) for group in own.param_groups]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of torch's own, which is stepped without its optimizer
        theirs = make(plain)
        schedule = arbitrary_schedule_factory(own, make)
        for t in range(total):
            assert [group["lr"] for group in own.param_groups] == [group["lr"] for group in plain.param_groups]
            if t % every == 0:
                assert _values(own) == _values(plain)
            _advance(theirs, t)
            _advance(schedule, t)
    assert _values(own) == _values(plain)
    assert [float(v) for v in schedule.get_last_lr()] == [float(v) for v in theirs.get_last_lr()]
    assert [set(group) for group in own.param_groups] == keys
    if tensors:
        assert all(group["lr"] is old for group, old in zip(own.param_groups, objects, strict=True))


_once = settings(deadline=None, database=None, suppress_health_check=list(HealthCheck))


@pytest.mark.parametrize("name", NAMES)
def test_on_lr_it_is_torch_itself_to_the_last_bit(name):
    @settings(_once, max_examples=60)
    @given(cases(name, 40))
    def check(case):
        _check_equal_to_torch(case, 40)

    check()


@pytest.mark.stress
@pytest.mark.parametrize("name", NAMES)
def test_on_lr_it_stays_torch_itself_for_10000_steps(name):
    @settings(_once, max_examples=200)
    @given(cases(name, 10_000, rarely=True))
    def check(case):
        _check_equal_to_torch(case, 10_000, every=500)

    check()


@pytest.mark.parametrize("target", ["weight_decay", "betas[0]", "momentum", "clip"])
@pytest.mark.parametrize("name", sorted(set(NAMES) - {"ReduceLROnPlateau"}))
def test_another_target_moves_along_the_same_curve_and_nothing_else_does(name, target):
    @settings(_once, max_examples=5)
    @given(cases(name, 30))
    def check(case):
        groups, _, _, make = case
        kind = "SGD" if target == "momentum" else "AdamW"
        own, plain = _optimizer(groups, kind=kind), _optimizer(groups, kind=kind)
        key = target.split("[", maxsplit=1)[0]
        for group, model in zip(own.param_groups, plain.param_groups, strict=True):
            group[key] = (model["lr"], 0.99) if key == "betas" else model["lr"]
        others = [{k: v for k, v in group.items() if k != key} for group in own.param_groups]
        theirs = make(plain)
        low = max(group["lr"] for group in plain.param_groups) < 1.0
        schedule = arbitrary_schedule_factory(own, make, schedule_target=target) if low else None
        for _ in range(30 if low else 0):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                theirs.step()
            if key == "betas" and any(group["lr"] >= 1.0 for group in plain.param_groups):
                return
            schedule.step()
            got = [group[key][0] if key == "betas" else group[key] for group in own.param_groups]
            assert got == [group["lr"] for group in plain.param_groups]
            assert [{k: v for k, v in group.items() if k != key} for group in own.param_groups] == others

    check()


def test_a_plain_torch_warmup_made_first_does_not_change_the_base():
    optimizer = _optimizer()
    warmup = ls.LambdaLR(optimizer, lambda t: t / 10)
    assert optimizer.param_groups[0]["lr"] == 0.0
    schedule = arbitrary_schedule_factory(
        optimizer, lambda o: ls.StepLR(o, 1, gamma=0.5), schedule_target="weight_decay"
    )
    optimizer.step()
    warmup.step()
    schedule.step()
    assert optimizer.param_groups[0]["weight_decay"] == 0.25
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.03)


def test_a_plain_torch_scheduler_made_later_finds_the_lr():
    optimizer = _optimizer()
    arbitrary_schedule_factory(optimizer, lambda o: ls.StepLR(o, 1), schedule_target="weight_decay")
    assert ls.StepLR(optimizer, 1).base_lrs == [0.3]


def test_the_step_of_the_optimizer_is_not_wrapped_and_no_order_is_warned_of():
    optimizer = _optimizer()
    schedule = arbitrary_schedule_factory(optimizer, lambda o: ls.StepLR(o, 1))
    schedule.step()
    schedule.step()
    assert "step" not in vars(optimizer)


def test_a_missing_hyperparameter_is_told_with_its_remedy():
    with pytest.raises(KeyError, match="default_value"):
        arbitrary_schedule_factory(_optimizer(), lambda o: ls.StepLR(o, 1), schedule_target="clip")


def test_a_default_value_is_given_to_all_groups():
    optimizer = _optimizer(3)
    arbitrary_schedule_factory(optimizer, lambda o: ls.ConstantLR(o, 0.5), 8.0, "clip")
    assert [group["clip"] for group in optimizer.param_groups] == [4.0] * 3


def test_a_factory_that_returns_nothing_is_refused():
    with pytest.raises(TypeError, match="must return the scheduler that it made, got None"):
        arbitrary_schedule_factory(_optimizer(), lambda stand_in: None)


def test_a_scheduler_of_the_outer_optimizer_is_refused_and_leaves_no_trace():
    optimizer = _optimizer()
    before = [dict(group) for group in optimizer.param_groups]
    with pytest.raises(ValueError, match="belongs to another"):
        arbitrary_schedule_factory(optimizer, lambda _: ls.ConstantLR(optimizer, 0.1), 1.0, "clip")
    assert [dict(group) for group in optimizer.param_groups] == before
    assert "clip" not in optimizer.defaults
    assert "step" not in vars(optimizer)


@pytest.mark.parametrize("tensors", [False, True])
def test_a_factory_that_fails_leaves_the_optimizer_as_it_was(tensors):
    optimizer = _optimizer(3, tensors)
    before = copy.deepcopy(_values(optimizer))

    def fail(stand_in):
        ls.OneCycleLR(stand_in, 0.7, total_steps=5)
        raise LookupError

    with pytest.raises(LookupError):
        arbitrary_schedule_factory(optimizer, fail, 1.0, "lr")
    assert _values(optimizer) == before


@pytest.mark.parametrize("factor", [float("nan"), float("inf"), -1.0, 1j, "x"])
@pytest.mark.parametrize("tensors", [False, True])
def test_what_the_hyperparameter_cannot_take_is_refused_and_the_old_values_stay(factor, tensors):
    optimizer = _optimizer(3, tensors)
    schedule = arbitrary_schedule_factory(
        optimizer, lambda o: ls.LambdaLR(o, [lambda t: 1.0, lambda t: factor if t else 1.0, lambda t: 1.0])
    )
    before = _values(optimizer)
    with pytest.raises((ValueError, TypeError, RuntimeError)) as info:
        schedule.step()
    if isinstance(factor, float):
        assert all(part in str(info.value) for part in ("lr", "group 1", "t = 1"))
    assert _values(optimizer) == before


@pytest.mark.parametrize(("target", "factor"), [("weight_decay", -1.0), ("betas[0]", 1.0 / 0.9)])
def test_a_value_out_of_the_domain_of_its_target_is_refused(target, factor):
    optimizer = _optimizer()
    make = lambda o: ls.LambdaLR(o, lambda t: factor if t else 1.0)  # noqa: E731
    schedule = arbitrary_schedule_factory(optimizer, make, schedule_target=target)
    before = _values(optimizer)
    with pytest.raises(ValueError, match=r"(weight_decay|betas\[0\]) must be .* group 0 at t = 1"):
        schedule.step()
    assert _values(optimizer) == before


@pytest.mark.parametrize("tensors", [False, True])
def test_a_first_value_that_is_refused_leaves_the_optimizer_as_it_was(tensors):
    optimizer = _optimizer(1, tensors)
    before = _values(optimizer)
    with pytest.raises(ValueError, match="group 0 at t = 0"):
        arbitrary_schedule_factory(optimizer, lambda o: ls.LambdaLR(o, lambda t: -1.0))
    assert _values(optimizer) == before


def test_a_bool_is_no_value():
    optimizer = _optimizer()

    class Bad(ls.LRScheduler):
        def get_lr(self):
            return [True if self.last_epoch else 0.5]

    schedule = arbitrary_schedule_factory(optimizer, Bad)
    with pytest.raises(TypeError, match="lr of param group 0 at t = 1"):
        schedule.step()
    assert optimizer.param_groups[0]["lr"] == 0.5


@pytest.mark.parametrize("name", ["LambdaLR", "OneCycleLR", "StepLR"])
def test_a_group_added_later_is_refused_by_name(name):
    kwargs = {"LambdaLR": (lambda t: 1.0,), "OneCycleLR": (1.0, 10), "StepLR": (1,)}[name]
    optimizer = _optimizer()
    schedule = arbitrary_schedule_factory(optimizer, lambda o: getattr(ls, name)(o, *kwargs))
    optimizer.add_param_group({"params": [torch.zeros(1)]})
    with pytest.raises(RuntimeError, match=f"param group 1 was added after the {name} of 'lr'"):
        schedule.step()


def _nested(optimizer):
    """A sequence of a sequence, then a chain that has a sequence inside."""
    inner = ls.SequentialLR(optimizer, [ls.ConstantLR(optimizer, 0.5, 9), ls.ConstantLR(optimizer, 0.25, 9)], [2])
    late = ls.SequentialLR(optimizer, [ls.ConstantLR(optimizer, 0.1, 9), ls.ExponentialLR(optimizer, 0.5)], [2])
    chain = ls.ChainedScheduler([late], optimizer)
    return ls.SequentialLR(optimizer, [inner, chain], [4])


def test_nested_sequences_and_chains_run_through_their_milestones():
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=1.0)
    schedule = arbitrary_schedule_factory(optimizer, _nested)
    got = []
    for _ in range(8):
        got.append(optimizer.param_groups[0]["lr"])
        schedule.step()
    assert got == pytest.approx([0.5, 0.5, 0.25, 0.25, 0.1, 0.1, 1.0, 0.5])


@pytest.mark.parametrize("make", [_nested, lambda o: ls.OneCycleLR(o, 1.0, 20), ls.ReduceLROnPlateau])
@pytest.mark.parametrize("through", [copy.deepcopy, lambda s: pickle.loads(pickle.dumps(s))])  # noqa: S301
def test_a_copy_goes_on_by_itself(make, through):
    optimizer = _optimizer()
    schedule = arbitrary_schedule_factory(optimizer, make)
    _advance(schedule, 0)
    before = _values(optimizer)
    copied = through(schedule)
    assert isinstance(copied, type(schedule).__bases__[-1])
    assert copied.state_dict() == schedule.state_dict()
    _advance(copied, 1)
    assert _values(optimizer) == before
    _advance(schedule, 1)
    assert copied.get_last_lr() == schedule.get_last_lr()


def test_two_targets_of_one_optimizer_keep_to_themselves():
    optimizer = extend_optimizer(_optimizer(), "clip", 8.0)
    one = arbitrary_schedule_factory(optimizer, lambda o: ls.OneCycleLR(o, 1.0, 10))
    other = arbitrary_schedule_factory(
        optimizer, lambda o: ProductScheduler(o, [lambda p: ls.ExponentialLR(p, 0.5)]), schedule_target="clip"
    )
    one.step()
    other.step()
    assert optimizer.param_groups[0]["clip"] == 4.0
    assert "initial_lr" not in optimizer.param_groups[0]
