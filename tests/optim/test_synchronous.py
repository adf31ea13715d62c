"""Several schedules that step as one."""

import copy
import threading

import pytest
import torch
from torch import nn
from torch.optim.lr_scheduler import LRScheduler, OneCycleLR, ReduceLROnPlateau, StepLR

from pamiq_sched.optim import (
    ConstantCurve,
    ExponentialCurve,
    LinearCurve,
    Schedule,
    SynchronousSchedule,
    WarmupCurve,
    arbitrary_schedule_factory,
    constant_schedule,
    constant_with_warmup,
    linear_schedule_with_warmup,
)
from pamiq_sched.optim.lockstep import BLOCK
from pamiq_sched.state import load, save


def make_optimizer(lr=1.0, groups=1, **defaults):
    groups = [{"params": [nn.Parameter(torch.zeros(1))]} for _ in range(groups)]
    return torch.optim.AdamW(groups, lr=lr, **{"weight_decay": 0.5, **defaults})


def on(optimizer, target, make, **arguments):
    """A scheduler of torch's on any key."""
    return arbitrary_schedule_factory(optimizer, make, schedule_target=target, **arguments)


def two_curves(optimizer):
    return SynchronousSchedule(
        [Schedule(optimizer, LinearCurve(1.0, 0.0, 10)), Schedule(optimizer, WarmupCurve(4), "weight_decay")]
    )


def two_functions(optimizer):
    return SynchronousSchedule(
        [Schedule(optimizer, lambda t: 1 - t / 10), Schedule(optimizer, lambda t: min(t, 4) / 4, "weight_decay")]
    )


def a_curve_and_one_of_torch(optimizer):
    return SynchronousSchedule(
        [
            Schedule(optimizer, LinearCurve(1.0, 0.0, 10)),
            on(optimizer, "weight_decay", lambda o: torch.optim.lr_scheduler.LambdaLR(o, lambda t: min(t, 4) / 4)),
        ]
    )


KINDS = [two_curves, two_functions, a_curve_and_one_of_torch]
kinds = pytest.mark.parametrize("make", KINDS)


@kinds
def test_all_step_as_one_and_are_known_by_what_they_move(make):
    optimizer = make_optimizer()
    schedule = make(optimizer)
    assert schedule.schedule_names == ["lr", "weight_decay"]
    for t in range(7):
        assert schedule.last_epoch == t
        assert schedule.get_last_lr() == [optimizer.param_groups[0]["lr"]] == [pytest.approx(1 - t / 10)]
        assert schedule.get_last_schedule("weight_decay") == [optimizer.param_groups[0]["weight_decay"]]
        assert schedule.get_last_schedule("weight_decay") == [min(t, 4) / 8]
        assert schedule.values == {"lr": schedule.get_last_lr(), "weight_decay": [min(t, 4) / 8]}
        assert [member.last_epoch for member in schedule.schedules.values()] == [t, t]
        schedule.step()


def test_it_is_an_lr_scheduler_of_the_real_optimizer():
    optimizer = make_optimizer()
    schedule = SynchronousSchedule([on(optimizer, "weight_decay", lambda o: StepLR(o, 1))])
    assert isinstance(schedule, LRScheduler)
    assert schedule.optimizer is optimizer


def test_an_unknown_name_is_a_key_error_that_names_the_nearest():
    schedule = two_curves(make_optimizer())
    with pytest.raises(KeyError, match="did you mean 'weight_decay'"):
        schedule.get_last_schedule("weightdecay")


def test_without_a_schedule_of_the_learning_rate_its_last_ones_are_the_optimizer_s():
    optimizer = make_optimizer(lr=0.3)
    assert SynchronousSchedule([constant_schedule(optimizer, 1.0, "weight_decay")]).get_last_lr() == [0.3]


def test_none_is_a_value_error_and_no_schedule_a_type_error():
    with pytest.raises(ValueError, match="at least one"):
        SynchronousSchedule([])
    with pytest.raises(TypeError, match="schedules of an optimizer"):
        SynchronousSchedule([make_optimizer()])


@pytest.mark.parametrize(
    "other",
    [
        lambda o: constant_schedule(o, 0.5),
        lambda o: on(o, "lr", lambda stand_in: StepLR(stand_in, 1)),
        lambda o: StepLR(o, 1),
        lambda o: Schedule(o, ConstantCurve(), groups=0),
        lambda o: Schedule(o, ConstantCurve(), name="another"),
    ],
)
def test_two_of_one_target_are_a_runtime_error_that_names_it(other):
    optimizer = make_optimizer()
    with pytest.raises(RuntimeError, match="'lr'"):
        SynchronousSchedule([constant_schedule(optimizer, 1.0), other(optimizer)])


def test_two_elements_of_one_tuple_are_two_targets():
    optimizer = make_optimizer()
    schedule = SynchronousSchedule([constant_schedule(optimizer, 0.5, f"betas[{i}]") for i in range(2)])
    schedule.step()
    assert optimizer.param_groups[0]["betas"] == (0.45, 0.4995)


def test_one_key_of_different_groups_needs_two_names():
    optimizer = make_optimizer(groups=2)
    one, other = (Schedule(optimizer, ConstantCurve(0.5), groups=i) for i in range(2))
    with pytest.raises(RuntimeError, match=r"name=\.\.\."):
        SynchronousSchedule([one, other])
    other.name = "lr of the head"
    schedule = SynchronousSchedule([one, other])
    schedule.step()
    assert schedule.values == {"lr": [0.5], "lr of the head": [0.5]}


def test_a_one_cycle_of_the_learning_rate_collides_with_a_schedule_of_betas():
    optimizer = make_optimizer()
    one_cycle = on(optimizer, "lr", lambda o: OneCycleLR(o, 1.0, total_steps=10))
    with pytest.raises(RuntimeError, match="cycle_momentum=False"):
        SynchronousSchedule([one_cycle, constant_schedule(optimizer, 1.0, "betas[0]")])
    elsewhere = on(optimizer, "weight_decay", lambda o: OneCycleLR(o, 1.0, total_steps=10))
    SynchronousSchedule([elsewhere, constant_schedule(optimizer, 1.0, "betas[0]")])


def test_schedules_of_different_optimizers_are_refused():
    with pytest.raises(ValueError, match="different optimizers"):
        SynchronousSchedule([constant_schedule(make_optimizer(), 1.0, key) for key in ("lr", "weight_decay")])


def test_one_inside_another_stands_for_its_own():
    optimizer = make_optimizer()
    inner = two_curves(optimizer)
    schedule = SynchronousSchedule([inner, constant_schedule(optimizer, 0.5, "eps")])
    assert schedule.schedule_names == ["lr", "weight_decay", "eps"]
    schedule.step()
    assert schedule.get_last_lr() == [0.9]


def test_arguments_are_passed_on():
    optimizer = make_optimizer()
    schedule = two_curves(optimizer)
    schedule.step(3)
    assert (schedule.last_epoch, schedule.get_last_lr()) == (3, [0.7])
    schedule.step(epoch=5)
    assert (schedule.last_epoch, schedule.get_last_lr()) == (5, [0.5])
    schedule.step()
    assert (schedule.last_epoch, optimizer.param_groups[0]["lr"]) == (6, 0.4)
    assert schedule.snapshot().last_epoch == 6


@pytest.mark.parametrize("direct", [False, True])
def test_a_metric_goes_to_those_that_follow_one_and_the_others_just_step(direct):
    optimizer = make_optimizer()
    make = lambda o: ReduceLROnPlateau(o, patience=0, factor=0.5)  # noqa: E731
    plateau = make(optimizer) if direct else on(optimizer, "lr", make)
    schedule = SynchronousSchedule(
        [plateau, constant_with_warmup(optimizer, 1.0, 4, schedule_target="weight_decay")]
    )
    schedule.step(3.0)
    schedule.step(3.0)
    schedule.step()
    assert schedule.values == {"lr": [0.5], "weight_decay": [0.375]}
    schedule.step(metrics=3.0)
    assert schedule.values == {"lr": [0.25], "weight_decay": [0.5]}


def test_samples_go_to_those_that_count_them():
    optimizer = make_optimizer()
    schedule = SynchronousSchedule(
        [
            Schedule(optimizer, LinearCurve(1.0, 0.0, 100), by="samples"),
            Schedule(optimizer, LinearCurve(1.0, 0.0, 10), "weight_decay"),
        ]
    )
    schedule.step(samples=50)
    assert schedule.values == {"lr": [0.5], "weight_decay": [0.45]}


def test_members_that_are_moved_by_themselves_go_on_from_there_together():
    optimizer = make_optimizer()
    schedule = two_curves(optimizer)
    for _ in range(3):
        schedule.step()
    schedule.schedules["lr"].step()
    assert schedule.values == {"lr": [0.6], "weight_decay": [0.375]}
    schedule.step()
    assert schedule.values == {"lr": [0.5], "weight_decay": [0.5]}
    assert schedule.get_last_lr() == [optimizer.param_groups[0]["lr"]]


def test_a_moved_horizon_of_a_member_counts_from_the_next_step():
    optimizer = make_optimizer()
    schedule = two_curves(optimizer)
    for _ in range(5):
        schedule.step()
    schedule.schedules["lr"].retarget(15)
    schedule.step()
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.45)


def test_a_schedule_that_joins_a_second_one_leaves_the_first_working():
    optimizer = make_optimizer()
    lr, decay = (
        Schedule(optimizer, LinearCurve(1, 0, 10)),
        Schedule(optimizer, LinearCurve(1, 0, 10), "weight_decay"),
    )
    first = SynchronousSchedule([lr, decay])
    first.step()
    second = SynchronousSchedule([lr])
    second.step()
    second.step()
    first.step()
    assert (lr.last_epoch, decay.last_epoch) == (4, 2)
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.6)
    assert optimizer.param_groups[0]["weight_decay"] == pytest.approx(0.4)


def test_a_group_that_is_added_later_is_scheduled_from_the_next_step():
    optimizer = make_optimizer()
    schedule = two_curves(optimizer)
    for _ in range(3):
        schedule.step()
    optimizer.add_param_group({"params": [nn.Parameter(torch.zeros(1))], "lr": 8.0, "weight_decay": 1.0})
    for _ in range(2):
        schedule.step()
    assert schedule.values == {"lr": [0.5, 4.0], "weight_decay": [0.5, 1.0]}


def test_an_optimizer_that_loads_a_state_midway_is_written_to_at_the_next_step():
    """It replaces its param groups; none of them is held on to."""
    optimizer = make_optimizer()
    schedule = two_curves(optimizer)
    for _ in range(3):
        schedule.step()
    state = copy.deepcopy(optimizer.state_dict())
    state["param_groups"][0]["lr"] = 77.0
    optimizer.load_state_dict(state)
    schedule.step()
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.6)


def test_a_refused_value_of_one_leaves_all_where_they_were():
    optimizer = make_optimizer()
    schedule = SynchronousSchedule(
        [
            Schedule(optimizer, LinearCurve(1.0, 0.0, 10)),
            Schedule(optimizer, LinearCurve(1.0, -1.0, 4), "weight_decay"),
        ]
    )
    schedule.step()
    schedule.step()
    for _ in range(2):
        with pytest.raises(ValueError, match=r"weight_decay.*t = 3"):
            schedule.step()
        assert schedule.last_epoch == 2
        assert schedule.snapshot().values == {"lr": [0.8], "weight_decay": [0.0]}


def test_over_many_blocks_it_is_bit_equal_to_schedules_by_themselves():
    together, alone = make_optimizer(groups=3), make_optimizer(groups=3)
    curves = {"lr": ExponentialCurve(0.999), "weight_decay": WarmupCurve(1500).then(LinearCurve(1, 0.1, 900))}
    schedule = SynchronousSchedule([Schedule(together, curve, key) for key, curve in curves.items()])
    schedules = [Schedule(alone, curve, key) for key, curve in curves.items()]
    for _ in range(2 * BLOCK + 5):
        schedule.step()
        for one in schedules:
            one.step()
        assert [g["lr"] for g in together.param_groups] == [g["lr"] for g in alone.param_groups]
        assert [g["weight_decay"] for g in together.param_groups] == [
            g["weight_decay"] for g in alone.param_groups
        ]


# Other threads.


class Gated(dict):
    """A param group whose weight decay is written only when the gate opens; lr is written before it."""

    def __init__(self, group):
        super().__init__(group)
        self.reached, self.gate = threading.Event(), threading.Event()

    def __setitem__(self, key, value):
        if key == "weight_decay":
            self.reached.set()
            assert self.gate.wait(60)
        super().__setitem__(key, value)


@kinds
def test_a_snapshot_taken_in_the_middle_of_a_step_is_of_the_step_before(make):
    optimizer = make_optimizer()
    schedule = make(optimizer)
    for _ in range(3):
        schedule.step()
    before = schedule.snapshot()
    optimizer.param_groups[0] = group = Gated(optimizer.param_groups[0])
    stepping = threading.Thread(target=schedule.step)
    stepping.start()
    assert group.reached.wait(60)
    assert group["lr"] == pytest.approx(0.6)  # one is written, the other not yet
    assert schedule.snapshot() == before
    group.gate.set()
    stepping.join(60)
    after = schedule.snapshot()
    assert after.last_epoch == 4
    assert after.values == {"lr": [pytest.approx(0.6)], "weight_decay": [0.5]}


def test_a_snapshot_waits_for_schedules_that_are_moved_one_by_one():
    optimizer = make_optimizer()
    schedule = two_curves(optimizer)
    optimizer.param_groups[0] = group = Gated(optimizer.param_groups[0])
    seen = []
    jumping = threading.Thread(target=schedule.step, args=(4,))
    looking = threading.Thread(target=lambda: seen.append(schedule.snapshot()))
    jumping.start()
    assert group.reached.wait(60)
    looking.start()
    group.gate.set()
    jumping.join(60)
    looking.join(60)
    assert seen[0].values in ({"lr": [0.6], "weight_decay": [0.5]}, {"lr": [1.0], "weight_decay": [0.0]})


def test_a_snapshot_is_the_caller_s_own():
    schedule = two_curves(make_optimizer())
    schedule.snapshot().values["lr"][0] = 9.0
    schedule.get_last_lr()[0] = 9.0
    assert schedule.values["lr"] == [1.0]


@kinds
def test_a_deep_copy_goes_on_by_itself_with_a_copy_of_the_optimizer(make):
    optimizer = make_optimizer()
    schedule = make(optimizer)
    for _ in range(3):
        schedule.step()
    copied = copy.deepcopy(schedule)
    assert copied.optimizer is not optimizer
    before = copy.deepcopy(schedule.snapshot())
    for _ in range(2):
        copied.step()
    assert schedule.snapshot() == before
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.7)
    for _ in range(2):
        schedule.step()
    assert copied.snapshot() == schedule.snapshot()
    assert copied.optimizer.param_groups[0]["lr"] == optimizer.param_groups[0]["lr"]


# Resuming.


@pytest.mark.parametrize("make", [two_curves, a_curve_and_one_of_torch])
def test_a_resumed_run_goes_on_bit_equal(make, tmp_path):
    optimizer = make_optimizer()
    schedule = make(optimizer)
    for _ in range(3):
        schedule.step()
    save(schedule.state_dict(), tmp_path / "state")
    again = make_optimizer(lr=5.0)
    resumed = make(again)
    resumed.load_state_dict(load(tmp_path / "state"))
    assert again.param_groups[0]["lr"] == optimizer.param_groups[0]["lr"]
    assert resumed.snapshot() == schedule.snapshot()
    for _ in range(9):
        schedule.step()
        resumed.step()
        assert resumed.values == schedule.values
        assert again.param_groups[0]["weight_decay"] == optimizer.param_groups[0]["weight_decay"]


def test_a_plain_scheduler_of_torch_in_it_has_its_value_written_by_loading():
    optimizer = make_optimizer()
    schedule = SynchronousSchedule([StepLR(optimizer, 1, gamma=0.5)])
    optimizer.step()
    schedule.step()
    again = make_optimizer(lr=9.0)
    resumed = SynchronousSchedule([StepLR(again, 1, gamma=0.5)])
    resumed.load_state_dict(schedule.state_dict())
    assert again.param_groups[0]["lr"] == 0.5


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("lr"), "missing: \\['lr'\\]"),
        (lambda s: s.update(momentum={}), "unknown: \\['momentum'\\]"),
        (lambda s: s.update(weight_decay={"garbage": 1}), "garbage"),
        (lambda s: s["weight_decay"].update(last_epoch=-1), "at least 0"),
    ],
)
def test_a_state_that_does_not_fit_is_refused_and_no_schedule_has_changed(change, message):
    optimizer = make_optimizer()
    schedule = two_curves(optimizer)
    state = copy.deepcopy(schedule.state_dict())
    for _ in range(3):
        schedule.step()
    before = schedule.snapshot()
    change(state)
    with pytest.raises(ValueError, match=message):
        schedule.load_state_dict(state)
    assert schedule.snapshot() == before
    assert optimizer.param_groups[0]["lr"] == 0.7


def test_changed_curves_are_kept_or_taken_back_by_all():
    optimizer = make_optimizer()
    schedule = SynchronousSchedule([linear_schedule_with_warmup(optimizer, 1.0, 0.0, 0, 10)])
    for _ in range(5):
        schedule.step()
    state = schedule.state_dict()
    changed = SynchronousSchedule([linear_schedule_with_warmup(make_optimizer(), 1.0, 0.0, 0, 20)])
    with pytest.raises(ValueError, match='curve="new"'):
        changed.load_state_dict(state)
    changed.load_state_dict(state, curve="new")
    assert changed.get_last_lr() == [0.75]
    changed.load_state_dict(state, curve="old")
    assert changed.get_last_lr() == [0.5]
