"""What the pages of docs/schedules show: each family with its members, and what to draw of each.

A test fails when a curve, a ready-made schedule or a scheduler of torch is on no page.
"""

from __future__ import annotations

import inspect
import math
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pprint import pformat
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.optim import Optimizer, lr_scheduler, swa_utils
from torch.optim.lr_scheduler import LRScheduler

from pamiq_sched.optim import builtin, curves, custom, timm
from pamiq_sched.optim.build import build_scheduler

STEPS = 100
Line = tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]
"""The t of a line in a picture, and its values."""


@dataclass(frozen=True)
class Shown:
    """Something to draw: its line, and how it is written."""

    code: str
    line: Callable[[], Line]


@dataclass(frozen=True)
class Entry:
    """A class or function, with what its picture shows of it, by label."""

    name: str
    of: Any
    shows: Mapping[str, Shown]


@dataclass(frozen=True)
class Page:
    """A family."""

    slug: str
    title: str
    lead: str
    entries: tuple[Entry, ...]
    is_ours: bool = True
    """Whether the docstrings are ours, to be shown in full."""


def of_curve(curve: curves.Curve, steps: int = STEPS) -> Shown:
    """Show a curve itself."""

    def line() -> Line:
        ts = np.linspace(0, steps, 10 * steps + 1)
        return ts, curve.values(ts.tolist())

    return Shown(code_of(curve), line)


def code_of(value: Any) -> str:
    """Return how a curve is written, without what is as by default."""
    if isinstance(value, tuple):
        return f"({', '.join(map(code_of, value))}{',' * (len(value) == 1)})"
    if not isinstance(value, curves.Curve):
        return repr(value).replace("'", '"')
    given = {one.name: getattr(value, one.name) for one in fields(value)}
    defaults = {one.name: one.default for one in fields(value)}
    arguments = [f"{name}={code_of(own)}" for name, own in given.items() if own != defaults[name]]
    return f"{type(value).__name__}({', '.join(arguments)})"


def of_schedule(make: Callable[..., LRScheduler], steps: int = STEPS, **parameters: Any) -> Shown:
    """Show what a function or class makes of a base of 1."""
    arguments = ["optimizer", *(f"{key}={value!r}" for key, value in parameters.items())]
    code = f"{make.__name__}({', '.join(arguments)})"
    if len(code) > 70:
        code = f"{make.__name__}(\n    {', '.join(arguments)}\n)"
    return Shown(code, lambda: stepped(lambda o: make(o, **parameters), steps))


def of_config(
    config: Mapping[str, Any], steps: int = STEPS, metric: Callable[[int], float] | None = None
) -> Shown:
    """Show what a config makes of a base of 1, with a metric for those that follow one."""
    functions = [value for value in (*config.values(), metric) if inspect.isfunction(value)]
    sources = "".join(inspect.getsource(function) + "\n\n" for function in functions)
    code = pformat(_named(config), width=64, sort_dicts=False).replace("'", '"')
    code = "config = " + code.replace("\n", "\n" + " " * 9) + "\nbuild_scheduler(optimizer, config)"
    for function in functions:
        code = code.replace(f'"<{function.__name__}>"', function.__name__)
    return Shown(sources + code, lambda: stepped(lambda o: build_scheduler(o, config), steps, metric))


def _named(value: Any) -> Any:
    """Put the names of functions in their place."""
    if isinstance(value, Mapping):
        return {key: _named(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_named(one) for one in value]
    return f"<{value.__name__}>" if inspect.isfunction(value) else value


def stepped(
    make: Callable[[Optimizer], LRScheduler], steps: int, metric: Callable[[int], float] | None = None
) -> Line:
    """Step a schedule of a learning rate of 1."""
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=1.0, momentum=0.9)
    group = optimizer.param_groups[0]
    with warnings.catch_warnings():
        # timm's plateau asks torch's for what torch is about to drop.
        warnings.simplefilter("ignore", FutureWarning)
        schedule: Any = make(optimizer)
        values = [group["lr"]]
        for t in range(steps):
            schedule.step(*() if metric is None else (metric(t),))
            values.append(group["lr"])
    return np.arange(steps + 1, dtype=float), np.array(values, dtype=float)


def falling_loss(t: int) -> float:
    """Fall for forty steps, then stall."""
    return math.exp(-min(t, 40) / 10)


def inverse(t: int) -> float:
    """Return the multiple of the base after t steps."""
    return 1 / (1 + t / 20)


def slower_and_slower(t: int) -> float:
    """Return what the rate is multiplied by at step t."""
    return 1 - 1 / (10 + t)


def labelled(of: Any, shows: Mapping[str, Shown]) -> Entry:
    """Make the entry of a class or function."""
    return Entry(of.__name__, of, shows)


def curve_pages() -> list[Page]:
    """Return the families of curves."""
    c = curves
    of = of_curve
    rise = c.WarmupCurve(20)
    fall = c.CosineCurve(1.0, 0.1, 80)
    return [
        Page(
            "lines",
            "Constants, lines and polynomials",
            "From one value to another, at an even pace or not.",
            (
                labelled(c.ConstantCurve, {"value=0.5": of(c.ConstantCurve(0.5))}),
                labelled(c.LinearCurve, {"1 to 0.1": of(c.LinearCurve(1.0, 0.1, 80))}),
                labelled(
                    c.PolynomialCurve,
                    {f"power={p:g}": of(c.PolynomialCurve(1.0, 0.1, 80, p)) for p in (0.5, 1.0, 2.0, 4.0)},
                ),
                labelled(c.FunctionCurve, {"math.exp at -t / 20": of_function()}),
            ),
        ),
        Page(
            "cosine",
            "Cosine",
            "Half a wave arrives gently; a quarter begins gently and is steepest at its end.",
            (
                labelled(
                    c.CosineCurve,
                    {f'wave="{wave}"': of(c.CosineCurve(1.0, 0.1, 80, wave)) for wave in ("half", "quarter")},
                ),
            ),
        ),
        Page(
            "decay",
            "Exponential and inverse square root",
            "They have no horizon: what to choose when nobody knows how long the run will be.",
            (
                labelled(
                    c.ExponentialCurve, {f"gamma={g:g}": of(c.ExponentialCurve(g)) for g in (0.99, 0.97, 0.9)}
                ),
                labelled(
                    c.InverseSqrtCurve,
                    {
                        "timescale=10": of(c.InverseSqrtCurve(10)),
                        "timescale=100": of(c.InverseSqrtCurve(100)),
                        "Noam, 20 steps of warmup": of(rise.then(c.InverseSqrtCurve(20))),
                    },
                ),
            ),
        ),
        Page(
            "steps",
            "Steps and pieces",
            "Levels, and lines from point to point.",
            (
                labelled(
                    c.StepCurve, {"milestones 30, 60, 80": of(c.StepCurve((30, 60, 80), (1.0, 0.5, 0.2, 0.1)))}
                ),
                labelled(c.StepDecayCurve, {f"gamma={g:g}": of(c.StepDecayCurve(20, g)) for g in (0.8, 0.5)}),
                labelled(
                    c.PiecewiseLinearCurve,
                    {"four points": of(c.PiecewiseLinearCurve(((10, 0.1), (30, 1.0), (70, 0.6), (90, 0.0))))},
                ),
            ),
        ),
        Page(
            "warmup",
            "Warmups",
            "Up to the peak, or down to it. Put what comes after behind it with `then()`.",
            (
                labelled(
                    c.WarmupCurve,
                    {"alone": of(rise), "then a cosine": of(rise.then(fall))},
                ),
                labelled(
                    c.InverseWarmupCurve,
                    {f"multiplier={m:g}": of(c.InverseWarmupCurve(20, multiplier=m)) for m in (20.0, 5.0, 2.0)},
                ),
            ),
        ),
        Page(
            "warmup-stable-decay",
            "Warmup, stable, decay",
            "Hold the peak until you know when the run will end; then decay.",
            (
                labelled(
                    c.WarmupStableDecayCurve,
                    {
                        **{
                            f'decay="{decay}"': of(c.WarmupStableDecayCurve(10, 40, 40, decay=decay))
                            for decay in ("linear", "cosine", "sqrt")
                        },
                        "stable_steps=None": of(c.WarmupStableDecayCurve(10, 40)),
                    },
                ),
            ),
        ),
        Page(
            "cycles",
            "Cycles",
            "Warm restarts, whose cycles may grow longer and whose peaks may shrink.",
            (
                labelled(
                    c.CyclicCurve,
                    {
                        "as it comes": of(c.CyclicCurve(30), 200),
                        "growing, shrinking, with warmups": of(
                            c.CyclicCurve(30, warmup_steps=5, cycle_mult=1.5, floor=0.05, gamma=0.7), 200
                        ),
                    },
                ),
            ),
        ),
        Page(
            "combining",
            "Combining curves",
            "One after the other, multiplied, over and over, stretched. What comes out is a curve again.",
            (
                labelled(
                    c.SequenceCurve,
                    {
                        "warmup, constant, line": of(
                            c.SequenceCurve((rise, c.ConstantCurve(), c.LinearCurve(1, 0.1, 30)), (20, 60))
                        )
                    },
                ),
                labelled(
                    c.ProductCurve,
                    {
                        "warmup times decay": of(rise * c.ExponentialCurve(0.97)),
                        "the decay": of(c.ExponentialCurve(0.97)),
                    },
                ),
                labelled(
                    c.RepeatCurve,
                    {"times=4, gamma=0.7": of(c.RepeatCurve(c.CosineCurve(1.0, 0.1, 20), times=4, gamma=0.7))},
                ),
                labelled(
                    c.StretchedCurve,
                    {
                        "before": of(c.CosineCurve(1.0, 0.1, 60)),
                        "retarget(20, end=95)": of(c.CosineCurve(1.0, 0.1, 60).retarget(20, end=95)),
                    },
                ),
            ),
        ),
    ]


def exponential(t: float) -> float:
    """Return e to the power of -t / 20."""
    return math.exp(-t / 20)


def of_function() -> Shown:
    """Show a function as a curve."""
    return Shown(
        inspect.getsource(exponential) + "\n\nFunctionCurve(exponential)",
        of_curve(curves.FunctionCurve(exponential)).line,
    )


def builtin_page() -> Page:
    """Return the thirteen ready-made functions."""
    annealed = {"warmup_to_value": 1.0, "anneal_to_value": 0.1, "num_warmup_steps": 20, "num_training_steps": 90}
    held = {"warmup_to_value": 1.0, "num_warmup_steps": 20}
    entries = []
    for name, function in functions_of(builtin).items():
        parameters: dict[str, Any] = dict(held if name.startswith("constant_with") else annealed)
        if name == "constant_schedule":
            parameters = {"value": 0.5}
        if "inverse" in name:
            parameters["warmup_multiplier"] = 3.0
        entries.append(labelled(function, {"base 1": of_schedule(function, **parameters)}))
    return Page(
        "ready-made",
        "Ready-made schedules",
        "One call makes a schedule: a warmup to a multiple of the hyperparameter's base, then the way to another.",
        tuple(entries),
    )


def custom_page() -> Page:
    """Return the schedules whose curve depends on the base."""
    restarts = custom.CosineAnnealingWarmupReduceRestarts
    polynomial = custom.PolynomialLRDecay
    return Page(
        "custom",
        "Decays to a value",
        "They end at a value, whatever the base: every param group has a curve of its own.",
        (
            labelled(
                polynomial,
                {
                    f"power={p:g}": of_schedule(polynomial, max_decay_steps=80, end_learning_rate=0.1, power=p)
                    for p in (0.5, 1.0, 2.0)
                },
            ),
            labelled(
                restarts,
                {"base 1": of_schedule(restarts, 140, T_0=20, T_mult=2, eta_min=0.1, T_up=5, gamma=0.6)},
            ),
        ),
    )


TORCH: dict[str, dict[str, Any]] = {
    "LambdaLR": {"lr_lambda": inverse},
    "MultiplicativeLR": {"lr_lambda": slower_and_slower},
    "StepLR": {"step_size": 30, "gamma": 0.5},
    "MultiStepLR": {"milestones": [30, 60, 80], "gamma": 0.5},
    "ConstantLR": {"factor": 0.3, "total_iters": 20},
    "LinearLR": {"start_factor": 0.1, "total_iters": 30},
    "ExponentialLR": {"gamma": 0.97},
    "SequentialLR": {
        "schedulers": [
            {"name": "LinearLR", "start_factor": 0.1, "total_iters": 10},
            {"name": "CosineAnnealingLR", "T_max": 90},
        ],
        "milestones": [10],
    },
    "PolynomialLR": {"total_iters": 80, "power": 2.0},
    "CosineAnnealingLR": {"T_max": 100, "eta_min": 0.1},
    "ChainedScheduler": {
        "schedulers": [
            {"name": "ConstantLR", "factor": 0.3, "total_iters": 20},
            {"name": "ExponentialLR", "gamma": 0.97},
        ]
    },
    "ReduceLROnPlateau": {"factor": 0.5, "patience": 10},
    "CyclicLR": {"base_lr": 0.1, "max_lr": 1.0, "step_size_up": 20},
    "CosineAnnealingWarmRestarts": {"T_0": 20, "T_mult": 2, "eta_min": 0.1},
    "OneCycleLR": {"max_lr": 1.0, "total_steps": 101},
    "SWALR": {"swa_lr": 0.05, "anneal_epochs": 40},
}
# What the classes of others work out: a formula, and what is in it beside the base b and the step t.
FORMULAS: dict[str, tuple[str, str]] = {
    "LambdaLR": (r"v(t) = b\,\lambda(t)", "λ is `lr_lambda`."),
    "MultiplicativeLR": (r"v(t) = v(t - 1)\,\lambda(t)", "λ is `lr_lambda`."),
    "StepLR": (r"v(t) = b\,\gamma^{\lfloor t / s \rfloor}", "s is `step_size`."),
    "MultiStepLR": (r"v(t) = b\,\gamma^{n(t)}", "n(t) is the number of milestones up to t."),
    "ConstantLR": (
        r"v(t) = \begin{cases} b\,f & t < T \\ b & t \ge T \end{cases}",
        "f is `factor`, T `total_iters`.",
    ),
    "LinearLR": (
        r"v(t) = b \left(f_0 + (f_1 - f_0) \min\left(1, \frac{t}{T}\right)\right)",
        "The factors are `start_factor` and `end_factor`, T is `total_iters`.",
    ),
    "ExponentialLR": (r"v(t) = b\,\gamma^t", ""),
    "SequentialLR": (r"v(t) = v_i(t - m_i), \quad m_i \le t < m_{i + 1}", "The m are 0 and the milestones."),
    "PolynomialLR": (
        r"v(t) = b \left(1 - \min\left(1, \frac{t}{T}\right)\right)^p",
        "T is `total_iters`, p `power`.",
    ),
    "CosineAnnealingLR": (
        r"v(t) = e + \frac{1}{2} (b - e) \left(1 + \cos \pi \frac{t}{T}\right)",
        "e is `eta_min`, T `T_max`.",
    ),
    "ChainedScheduler": (r"v(t) = b \prod_i \frac{v_i(t)}{b}", "Where the members only multiply."),
    "ReduceLROnPlateau": (
        r"v \leftarrow \max(f\,v, v_{min})",
        "Whenever the metric has not improved for more than `patience` steps; f is `factor`.",
    ),
    "CyclicLR": (
        r"v(t) = v_0 + (v_1 - v_0) \begin{cases} x / r & x \le r \\ (1 - x) / (1 - r) & x > r \end{cases}, \quad "
        r"x = \frac{t}{T} - \left\lfloor \frac{t}{T} \right\rfloor",
        "From `base_lr` to `max_lr`; T is the length of a cycle, r the part of it that goes up; in the mode "
        "`triangular`.",
    ),
    "CosineAnnealingWarmRestarts": (
        r"v = e + \frac{1}{2} (b - e) \left(1 + \cos \pi \frac{c}{T_i}\right), \quad T_i = T_0\,T_{mult}^i",
        "c is the step within cycle i, e `eta_min`.",
    ),
    "OneCycleLR": (
        r"v(t) = a + \frac{1}{2} (z - a) (1 - \cos \pi p)",
        "p goes from 0 to 1 in each phase: first from a = `max_lr / div_factor` to z = `max_lr`, then from there "
        "to `max_lr / div_factor / final_div_factor`.",
    ),
    "SWALR": (
        r"v(t) = \alpha\,s + (1 - \alpha)\,b, \quad "
        r"\alpha = \frac{1}{2} \left(1 - \cos \pi \min\left(1, \frac{t}{T}\right)\right)",
        "s is `swa_lr`, T `anneal_epochs`.",
    ),
    "CosineLRScheduler": (
        r"v = e + \frac{1}{2} (b\,\delta^i - e) \left(1 + \cos \pi \frac{c^k}{T_i^k}\right)",
        "c is the step within cycle i of the length T; δ is `cycle_decay`, k `k_decay`, e `lr_min`.",
    ),
    "TanhLRScheduler": (
        r"v = e + \frac{1}{2} (b\,\delta^i - e) \left(1 - \tanh(l\,(1 - p) + u\,p)\right), \quad "
        r"p = \frac{c}{T_i}",
        "c is the step within cycle i of the length T; l is `lb`, u `ub`, e `lr_min`.",
    ),
    "PolyLRScheduler": (
        r"v = e + (b\,\delta^i - e) \left(1 - \frac{c^k}{T_i^k}\right)^p",
        "c is the step within cycle i of the length T; p is `power`, k `k_decay`, e `lr_min`.",
    ),
    "StepLRScheduler": (r"v(t) = b\,r^{\lfloor t / d \rfloor}", "r is `decay_rate`, d `decay_t`."),
    "MultiStepLRScheduler": (
        r"v(t) = b\,r^{n(t + 1)}",
        "n(t) is the number of milestones up to t, r `decay_rate`.",
    ),
    "PlateauLRScheduler": (
        r"v \leftarrow \max(r\,v, v_{min})",
        "Whenever the metric has not improved for more than `patience_t` steps; r is `decay_rate`.",
    ),
    "WSDLRScheduler": (
        r"v(t) = e + (b\,s(t) - e)\,d(p), \quad "
        r"p = \max\left(0, \min\left(1, \frac{t - w - T + D}{D}\right)\right)",
        "w is `warmup_t`, T `t_initial`, D `decay_t`, e `lr_min`; s is `stable_fn`; d is `decay_fn`, from 1 to 0.",
    ),
}

TIMM: dict[str, dict[str, Any]] = {
    "CosineLRScheduler": {"t_initial": 80, "lr_min": 0.1, "warmup_t": 10, "warmup_lr_init": 0.01},
    "MultiStepLRScheduler": {"decay_t": [30, 60, 80], "decay_rate": 0.5},
    "PlateauLRScheduler": {"decay_rate": 0.5, "patience_t": 10, "mode": "min"},
    "PolyLRScheduler": {"t_initial": 80, "power": 2.0, "lr_min": 0.1},
    "StepLRScheduler": {"decay_t": 30, "decay_rate": 0.5, "warmup_t": 10, "warmup_lr_init": 0.01},
    "TanhLRScheduler": {"t_initial": 80, "lr_min": 0.1},
    "WSDLRScheduler": {"t_initial": 90, "decay_t": 30, "warmup_t": 10, "warmup_lr_init": 0.01},
}


def torch_page() -> Page:
    """Return torch's own schedulers."""
    return Page(
        "torch",
        "torch's schedulers",
        "Every scheduler of torch, under its own name and with its own parameters, on any hyperparameter: put "
        '`"schedule_target": "weight_decay"` beside them. On the learning rate the values are torch\'s to the '
        "last bit. "
        "What the parameters mean says [torch's documentation](https://docs.pytorch.org/docs/stable/optim.html).",
        tuple(_of_config(name, cls, name, TORCH) for name, cls in torch_schedulers().items()),
        is_ours=False,
    )


def timm_page() -> Page:
    """Return timm's schedulers, if timm is installed."""
    try:
        classes = timm.scheduler_classes()
    except ImportError:
        classes = {}
    lead = (
        "timm's own classes under `timm_` and their names, with timm's parameters, on any hyperparameter. Neither "
        "its model zoo nor torchvision is loaded. One `step()` always advances them, whatever `t_in_epochs` says. "
        "What the parameters mean says [timm's documentation](https://huggingface.co/docs/timm/reference/schedulers)."
    )
    if not classes:
        lead += "\n\nThis site was built without timm, so there are no pictures here."
    return Page(
        "timm",
        "timm's schedulers",
        lead,
        tuple(_of_config(f"timm_{name}", cls, name, TIMM) for name, cls in classes.items()),
        is_ours=False,
    )


def _of_config(config_name: str, cls: type, name: str, parameters: Mapping[str, dict[str, Any]]) -> Entry:
    metric = falling_loss if "Plateau" in name else None
    # One that is too new to be known here has an entry without a picture; a test tells.
    own = parameters.get(name)
    shows = {} if own is None else {"base 1": of_config({"name": config_name, **own}, metric=metric)}
    return Entry(config_name, cls, shows)


def torch_schedulers() -> dict[str, type]:
    """Return all schedulers of torch by name."""
    found = {
        name: value
        for name, value in vars(lr_scheduler).items()
        if isinstance(value, type) and issubclass(value, LRScheduler) and not name.startswith("_")
    }
    del found["LRScheduler"]
    return {**found, "SWALR": swa_utils.SWALR}


def functions_of(module: Any) -> dict[str, Callable[..., LRScheduler]]:
    """Return the public functions and classes that a module defines."""
    return {
        name: value
        for name, value in vars(module).items()
        if callable(value) and not name.startswith("_") and value.__module__ == module.__name__
    }


def pages() -> list[Page]:
    """Return all pages, in their order."""
    return [*curve_pages(), builtin_page(), custom_page(), torch_page(), timm_page()]


_CHAINED: dict[str, Any] = {
    "name": "ChainedScheduler",
    "schedulers": [
        {"name": "LinearLR", "start_factor": 0.1, "total_iters": 10},
        {"name": "CosineAnnealingLR", "T_max": 90, "eta_min": 1e-6},
    ],
}
REBOUND = {
    "ChainedScheduler: a product": of_config(_CHAINED, 130),
    "SequentialLR: first this, then that": of_config(
        {**_CHAINED, "name": "SequentialLR", "milestones": [10]}, 130
    ),
}
"""The picture of configs.md."""
