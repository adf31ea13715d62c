"""A preview tells what will be, and changes nothing."""

import copy
import struct
import subprocess
import sys
import warnings

import numpy as np
import pytest
import torch
from torch.optim import lr_scheduler
from torch.optim.lr_scheduler import ChainedScheduler, LambdaLR, ReduceLROnPlateau, StepLR

from pamiq_sched import ManualClock
from pamiq_sched.optim import (
    LinearCurve,
    PolynomialLRDecay,
    ProductScheduler,
    Schedule,
    SequenceScheduler,
    SynchronousSchedule,
    arbitrary_schedule_factory,
    build_optimizer,
    build_scheduler,
    constant_with_warmup,
    preview_schedule,
)


def make_optimizer(*, tensors=False):
    """Two groups with bases of their own."""
    lrs = [torch.tensor(0.1), torch.tensor(0.02)] if tensors else [0.1, 0.02]
    optimizer = torch.optim.AdamW(
        [{"params": [torch.zeros(2, requires_grad=True)], "lr": lr} for lr in lrs], weight_decay=0.5
    )
    for group in optimizer.param_groups:
        group["params"][0].grad = torch.ones(2)
    return optimizer


def kept(optimizer):
    """The groups, with contents of their own."""
    return [
        {key: value for key, value in copy.deepcopy(group).items() if key != "params"}
        for group in optimizer.param_groups
    ]


def walked(schedule, read, steps):
    """The values that really come, row 0 being the present ones."""
    rows = [read()]
    for _ in range(steps):
        schedule.step()
        rows.append(read())
    return np.array(rows, dtype=np.float64)


def reader(optimizer, key="lr"):
    return lambda: [float(group[key]) for group in optimizer.param_groups]


def halving(optimizer):
    return StepLR(optimizer, 3, gamma=0.5)


def stalling(optimizer):
    return ReduceLROnPlateau(optimizer, patience=0, factor=0.5)


def on_target(make):
    return lambda optimizer: arbitrary_schedule_factory(optimizer, make)


CONFIGS = {
    "StepLR": {"step_size": 4, "gamma": 0.5},
    "MultiStepLR": {"milestones": [3, 6], "gamma": 0.1},
    "ConstantLR": {"factor": 0.5, "total_iters": 4},
    "LinearLR": {"start_factor": 0.1, "total_iters": 8},
    "ExponentialLR": {"gamma": 0.9},
    "PolynomialLR": {"total_iters": 9, "power": 2.0},
    "CosineAnnealingLR": {"T_max": 10, "eta_min": 1e-6},
    "CosineAnnealingWarmRestarts": {"T_0": 4, "T_mult": 2, "eta_min": 1e-6},
    "OneCycleLR": {"max_lr": 0.1, "total_steps": 40},
    "CyclicLR": {"base_lr": 0.01, "max_lr": 0.1, "step_size_up": 4},
}

LIVE = {
    **{
        f"torch's {name}": on_target(lambda o, n=name: getattr(lr_scheduler, n)(o, **CONFIGS[n]))
        for name in CONFIGS
    },
    "Schedule": lambda o: Schedule(o, LinearCurve(1, 0.1, 12)),
    "function": lambda o: Schedule(o, lambda t: 1 / (1 + t)),
    "custom": lambda o: PolynomialLRDecay(o, 15, 1e-4, 2.0),
    "chained": on_target(lambda o: ChainedScheduler([halving(o), LambdaLR(o, lambda t: 0.9**t)], o)),
    "product": on_target(
        lambda o: ProductScheduler(o, [halving, stalling, lambda p: Schedule(p, LinearCurve(1, 0, 30))])
    ),
    "sequence": on_target(
        lambda o: SequenceScheduler(o, [halving, lambda p: ProductScheduler(p, [halving])], [8])
    ),
    "list": lambda o: build_scheduler(
        o, [{"name": "StepLR", **CONFIGS["StepLR"]}, {"name": "ConstantCurve", "schedule_target": "weight_decay"}]
    ),
}


@pytest.mark.parametrize("tensors", [False, True], ids=["floats", "tensors"])
@pytest.mark.parametrize("make", LIVE.values(), ids=LIVE.keys())
@pytest.mark.parametrize("done", [0, 7])
def test_the_next_values_are_those_that_come(make, done, tensors):
    optimizer = make_optimizer(tensors=tensors)
    schedule = make(optimizer)
    walked(schedule, reader(optimizer), done)

    preview = preview_schedule(schedule, 12)

    assert preview.steps.tolist() == list(range(done, done + 13))
    assert preview.array("lr").shape == (13, 2)
    # A tensor holds single precision where a curve has double.
    assert preview.array("lr") == pytest.approx(
        walked(schedule, reader(optimizer), 12), rel=1e-6 if tensors else 1e-12
    )


@pytest.mark.parametrize("tensors", [False, True], ids=["floats", "tensors"])
@pytest.mark.parametrize("make", LIVE.values(), ids=LIVE.keys())
def test_a_preview_changes_neither_the_schedule_nor_its_optimizer(make, tensors):
    optimizer = make_optimizer(tensors=tensors)
    schedule = make(optimizer)
    optimizer.step()
    schedule.step()
    groups, values = optimizer.param_groups, [group["lr"] for group in optimizer.param_groups]
    before = kept(optimizer), copy.deepcopy(schedule.state_dict()), copy.deepcopy(optimizer.state_dict())

    preview_schedule(schedule, 30)

    assert optimizer.param_groups is groups
    assert all(group["lr"] is value for group, value in zip(groups, values, strict=True))
    assert (kept(optimizer), schedule.state_dict()) == before[:2]
    assert str(optimizer.state_dict()) == str(before[2])


def test_what_comes_after_a_preview_is_what_would_have_come():
    previewed, left_alone = make_optimizer(), make_optimizer()
    schedules = [LIVE["product"](optimizer) for optimizer in (previewed, left_alone)]
    preview_schedule(schedules[0], 20)
    tables = [walked(s, reader(o), 20) for s, o in zip(schedules, (previewed, left_alone), strict=True)]
    assert (tables[0] == tables[1]).all()


@pytest.mark.parametrize("name", CONFIGS)
def test_a_scheduler_of_torch_by_itself_is_previewed(name):
    """Without a factory, without a stand-in, and without its warning of a missing optimizer.step()."""
    optimizer = make_optimizer()
    schedule = getattr(lr_scheduler, name)(optimizer, **CONFIGS[name])
    before = kept(optimizer), schedule.state_dict().copy()

    preview = preview_schedule(schedule, 9)

    assert kept(optimizer) == before[0]
    assert schedule.last_epoch == 0
    optimizer.step()
    assert (preview.array("lr") == walked(schedule, reader(optimizer), 9)).all()


def test_a_chained_scheduler_of_torch_by_itself_knows_where_it_is():
    optimizer = make_optimizer()
    schedule = ChainedScheduler([halving(optimizer)], optimizer)
    optimizer.step()
    schedule.step()
    assert preview_schedule(schedule, 2).steps.tolist() == [1, 2, 3]


@pytest.mark.parametrize("make", [stalling, on_target(stalling)], ids=["torch's", "ours"])
def test_one_that_follows_a_metric_keeps_its_value(make):
    preview = preview_schedule(make(make_optimizer()), 5)
    assert preview.array("lr").tolist() == [[0.1, 0.02]] * 6


def test_what_moves_along_with_the_learning_rate_is_told():
    config = {"name": "OneCycleLR", "max_lr": 0.1, "total_steps": 21}
    preview = preview_schedule(config, 20)
    assert set(preview.values) == {"lr", "betas[0]"}
    assert preview.array("betas[0]").min() == pytest.approx(0.85, abs=0.001)


def test_a_copy_has_no_parameters():
    seen = []

    class Looking(StepLR):
        def get_lr(self):
            seen.append([group["params"] for group in self.optimizer.param_groups])
            return super().get_lr()

    schedule = Looking(make_optimizer(), 2)
    seen.clear()
    preview_schedule(schedule, 1)
    assert seen == [[[], []]]


# Configs.


def test_a_config_begins_at_1_without_bases():
    assert preview_schedule({"name": "ExponentialLR", "gamma": 0.5}, 2).array("lr").tolist() == [
        [1.0],
        [0.5],
        [0.25],
    ]


@pytest.mark.parametrize(
    ("extra", "base"),
    [
        ({"schedule_target": "weight_decay"}, 1.0),
        ({"schedule_target": "betas[0]"}, 0.9),
        ({"schedule_target": "rho"}, 0.9),
        ({"schedule_target": "clips[1]"}, 1.0),
        ({"schedule_target": "clip", "default_value": 10.0}, 10.0),
    ],
)
def test_a_base_that_nobody_gave_is_one_that_is_allowed(extra, base):
    config = {"name": "ExponentialLR", "gamma": 0.5, **extra}
    assert preview_schedule(config, 1).array(extra["schedule_target"]).tolist() == [[base], [base / 2]]


def test_bases_come_from_an_optimizer_which_is_only_read():
    optimizer = make_optimizer(tensors=True)
    before = kept(optimizer)
    preview = preview_schedule({"name": "LinearLR", "start_factor": 0.5, "total_iters": 2}, 2, optimizer=optimizer)
    assert preview.array("lr") == pytest.approx(np.array([[0.05, 0.01], [0.075, 0.015], [0.1, 0.02]]))
    assert kept(optimizer) == before


def test_bases_come_from_the_section_of_the_optimizer(tmp_path):
    file = tmp_path / "config.yaml"
    file.write_text(
        "optimizer: {name: SGD, lr: 0.5, weight_decay: 0.25}\n"
        "scheduler:\n"
        "  - {name: ExponentialLR, gamma: 0.5}\n"
        "  - {name: LinearCurve, start: 1, stop: 0, steps: 1, schedule_target: weight_decay}\n",
        encoding="utf-8",
    )
    preview = preview_schedule(file, 1)
    assert {name: table[:, 0].tolist() for name, table in preview.values.items()} == {
        "lr": [0.5, 0.25],
        "weight_decay": [0.25, 0.0],
    }
    assert preview_schedule(str(file), 1, bases={"lr": 2.0}).array("lr")[0, 0] == 2.0


def test_an_omegaconf_config_is_one_too():
    from omegaconf import OmegaConf

    config = OmegaConf.create({"scheduler": {"name": "ExponentialLR", "gamma": 0.5}})
    assert preview_schedule(config, 1).array("lr")[1, 0] == 0.5


def test_a_hyperparameter_that_the_given_optimizer_lacks_is_missed_as_in_earnest():
    config = {"name": "ExponentialLR", "gamma": 0.5, "schedule_target": "clip"}
    with pytest.raises(KeyError, match="default_value"):
        preview_schedule(config, 1, optimizer=make_optimizer())


def test_a_config_and_its_preview_agree_with_what_is_built_of_it():
    config = {"name": "CosineAnnealingWarmRestarts", **CONFIGS["CosineAnnealingWarmRestarts"]}
    optimizer = build_optimizer([torch.zeros(1)], {"name": "SGD", "lr": 0.1})
    preview = preview_schedule(config, 30, optimizer=optimizer)
    assert (preview.array("lr") == walked(build_scheduler(optimizer, config), reader(optimizer), 30)).all()


# What t counts.


def test_samples_are_the_axis_of_a_schedule_by_samples():
    schedule = Schedule(make_optimizer(), LinearCurve(1, 0, 100), by="samples", groups=1)
    schedule.step(samples=50)
    preview = preview_schedule(schedule, 50)
    assert (preview.unit, preview.steps[0], preview.steps[-1]) == ("samples", 50, 100)
    assert preview.array("lr")[[0, 25, 50], 0] == pytest.approx([0.01, 0.005, 0.0])
    assert preview.groups == {"lr": [1]}


def test_seconds_are_the_axis_of_a_schedule_by_seconds():
    clock = ManualClock()
    schedule = Schedule(make_optimizer(), LinearCurve(1, 0, 10), by="seconds", clock=clock)
    clock.advance(2.5)
    preview = preview_schedule(schedule, 2)
    assert preview.unit == "seconds"
    assert preview.steps.tolist() == [2.5, 3.5, 4.5]


def test_a_config_by_seconds_begins_at_0():
    preview = preview_schedule({"name": "LinearCurve", "start": 1, "stop": 0, "steps": 4, "by": "seconds"}, 4)
    assert preview.array("lr")[:, 0].tolist() == [1.0, 0.75, 0.5, 0.25, 0.0]


def test_schedules_that_count_different_things_have_no_common_axis():
    optimizer = make_optimizer()
    schedule = SynchronousSchedule(
        [
            constant_with_warmup(optimizer, 1.0, 4),
            Schedule(optimizer, LinearCurve(1, 0, 9), "weight_decay", by="samples", samples_per_step=2),
        ]
    )
    with pytest.raises(ValueError, match="count samples and steps; preview each by itself"):
        preview_schedule(schedule, 3)


# Refusals.


@pytest.mark.parametrize("steps", [0, -1])
def test_fewer_than_one_step_is_refused(steps):
    with pytest.raises(ValueError, match="steps must be a whole number of at least 1"):
        preview_schedule({"name": "StepLR", "step_size": 1}, steps)


def test_bases_for_a_schedule_that_has_some_are_refused():
    schedule = constant_with_warmup(make_optimizer(), 1.0, 4)
    with pytest.raises(TypeError, match="leave them out"):
        preview_schedule(schedule, 3, bases={"lr": 1.0})


@pytest.mark.parametrize(
    "make", [lambda o: Schedule(o, lambda t: 2 - t), on_target(lambda o: LambdaLR(o, lambda t: 2 - t))]
)
def test_a_value_that_is_not_allowed_is_the_error_of_the_schedule(make):
    optimizer = make_optimizer()
    schedule = make(optimizer)
    before = kept(optimizer)
    with pytest.raises(ValueError, match="for param group 0 at t = 3"):
        preview_schedule(schedule, 5)
    assert kept(optimizer) == before


def test_an_unknown_name_tells_the_nearest():
    preview = preview_schedule({"name": "StepLR", "step_size": 1}, 1)
    with pytest.raises(KeyError, match="did you mean 'lr'"):
        preview.array("lrr")


def test_its_arrays_cannot_be_written_to():
    preview = preview_schedule({"name": "StepLR", "step_size": 1}, 1)
    with pytest.raises(ValueError, match="read-only"):
        preview.array("lr")[0] = 1.0


# Pictures.


def two_panels(steps=40):
    optimizer = make_optimizer()
    config = [
        {"name": "CosineAnnealingLR", "T_max": 40},
        {"name": "LinearCurve", "start": 1, "stop": 0, "steps": 40, "schedule_target": "weight_decay"},
    ]
    return preview_schedule(config, steps, optimizer=optimizer)


@pytest.mark.parametrize("width", [40, 80, 133])
def test_a_plot_keeps_to_its_width(width):
    rows = two_panels().plot(width).split("\n")
    assert max(map(len, rows)) <= width
    assert max(map(len, rows)) > width - 12


def test_a_plot_tells_extremes_ends_groups_and_unit():
    text = two_panels().plot(80)
    assert "lr: min 0, max 0.1\n" in text
    assert "group 0: first 0.1, last 0" in text
    assert "group 1: first 0.02, last 0" in text
    assert "weight_decay: min 0, max 0.5, first 0.5, last 0" in text
    assert text.count("40 steps") == 2


def test_many_groups_are_told_in_short():
    params = [{"params": [torch.zeros(1)], "lr": 0.1 * (1 + i % 12)} for i in range(72)]
    preview = preview_schedule({"name": "ConstantCurve"}, 9, optimizer=torch.optim.SGD(params))
    assert list(preview.lines("lr"))[:2] == ["groups 0, 12, 24, ... (6)", "groups 1, 13, 25, ... (6)"]
    rows = preview.plot(80).split("\n")
    assert rows[9] == "  and 4 more"
    assert max(map(len, rows)) <= 80


def test_a_plot_shows_where_the_line_goes():
    rows = (
        preview_schedule({"name": "LinearCurve", "start": 1, "stop": 0, "steps": 100}, 100).plot(60, 5).split("\n")
    )
    assert [row[10] for row in rows[1:6]] == ["┤", "│", "┤", "│", "┤"]
    firsts = [len(row[11:]) - len(row[11:].lstrip()) for row in rows[1:6]]
    assert firsts == sorted(firsts)
    assert (firsts[0], firsts[-1] > 35) == (0, True)


def test_a_spike_among_many_steps_is_seen():
    spike = preview_schedule(
        {"name": "PiecewiseLinearCurve", "points": [[0, 0], [4999, 0], [5000, 1], [5001, 0]]}, 9000
    )
    assert spike.plot(60, 5).split("\n")[1].endswith(("⡇", "⢸", "⡄", "⢠", "⡀", "⢀"))


def test_a_plot_is_not_printed_and_has_no_colour_off_a_terminal(capsys, monkeypatch):
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    assert "\x1b" not in two_panels().plot()
    assert capsys.readouterr() == ("", "")


def test_a_constant_is_drawn_amid_its_axis():
    rows = preview_schedule({"name": "ConstantCurve"}, 5).plot(60, 5).split("\n")
    assert not rows[1][11:].strip()
    assert len(rows[3][11:].strip()) == 60 - 11


def test_too_little_room_is_refused():
    with pytest.raises(ValueError, match="width must be a whole number of at least 40 characters"):
        two_panels().plot(10)


def test_a_picture_has_a_panel_for_each_hyperparameter(tmp_path):
    path = two_panels().save_png(tmp_path / "one.png")
    content = path.read_bytes()
    width, height = struct.unpack(">II", content[16:24])
    assert content.startswith(b"\x89PNG")
    one = preview_schedule({"name": "ConstantCurve"}, 5).save_png(tmp_path / "two.png").read_bytes()
    assert struct.unpack(">II", one[16:24])[0] == width
    assert struct.unpack(">II", one[16:24])[1] < height


def test_a_picture_of_another_kind_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"must end in \.png"):
        two_panels().save_png(tmp_path / "one.pdf")
    assert not list(tmp_path.iterdir())


def test_pictures_leave_pyplot_alone(tmp_path):
    code = (
        "import sys; from pamiq_sched.optim import preview_schedule\n"
        "preview_schedule({'name': 'ConstantCurve'}, 5).save_png(sys.argv[1])\n"
        "print('matplotlib.pyplot' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "a.png")], check=True, capture_output=True, text=True
    )
    assert (done.stdout, done.stderr) == ("False\n", "")


@pytest.mark.parametrize(("module", "extra"), [("matplotlib.figure", "plot"), ("plotille", "console")])
def test_a_missing_extra_is_named(module, extra, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, module, None)
    preview = two_panels()
    with pytest.raises(ImportError, match=rf"pip install 'pamiq-sched\[{extra}\]'"):
        preview.save_png(tmp_path / "a.png") if extra == "plot" else preview.plot()


def test_no_warnings_are_swallowed():
    """What a scheduler warns of reaches whoever asks."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        schedule = arbitrary_schedule_factory(
            make_optimizer(), lambda o: LambdaLR(o, lambda t: warnings.warn("beware", stacklevel=1) or 1.0)
        )
        caught.clear()
        preview_schedule(schedule, 1)
    assert {str(warning.message) for warning in caught} == {"beware"}
