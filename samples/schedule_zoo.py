"""Every curve and every ready-made schedule in one picture, and the schedulers of torch and timm.

Curves are asked for their values. Schedules are built from configs and stepped on a learning rate of 1.
"""

import argparse
import inspect
import math
import sys
from itertools import accumulate
from pathlib import Path
from typing import Any

import torch
from matplotlib.figure import Figure

from pamiq_sched import optim

STEPS, COLUMNS = 100, 8
COLOURS = ("#0072B2", "#009E73", "#CC79A7", "#D55E00", "#8a6d00")  # of the families


def inverse(t: float) -> float:
    return 1 / (1 + t / 20)


RISE, FALL = optim.WarmupCurve(20), optim.CosineCurve(1.0, 0.1, 80)
CURVES: list[optim.Curve] = [
    optim.ConstantCurve(0.5),
    optim.LinearCurve(1.0, 0.1, 80),
    optim.PolynomialCurve(1.0, 0.1, 80, power=3),
    FALL,
    optim.ExponentialCurve(0.96),
    optim.InverseSqrtCurve(5),
    optim.FunctionCurve(inverse),
    optim.StepCurve((30, 60, 80), (1.0, 0.5, 0.2, 0.1)),
    optim.StepDecayCurve(20, 0.5),
    optim.PiecewiseLinearCurve(((10, 0.1), (30, 1.0), (70, 0.6), (90, 0.0))),
    RISE,
    optim.InverseWarmupCurve(20, multiplier=4),
    optim.WarmupStableDecayCurve(10, 30, 50, decay="sqrt"),
    optim.CyclicCurve(25, warmup_steps=5, cycle_mult=1.3, floor=0.1, gamma=0.8),
    RISE.then(FALL),  # a SequenceCurve
    RISE * optim.ExponentialCurve(0.97),  # a ProductCurve
    optim.RepeatCurve(optim.CosineCurve(1.0, 0.1, 25), gamma=0.7),
    optim.CosineCurve(1.0, 0.1, 60).retarget(20, end=95),  # a StretchedCurve
]
READY_MADE = {"value": 0.5, "warmup_to_value": 1.0, "anneal_to_value": 0.1, "warmup_multiplier": 3.0}
READY_MADE |= {"num_warmup_steps": 20, "num_training_steps": 90}
WARM, COOL = {"name": "LinearLR", "start_factor": 0.1, "total_iters": 20}, {"name": "ExponentialLR", "gamma": 0.97}
CONFIGS: dict[str, dict[str, dict[str, Any]]] = {
    "Decays to a value": {
        "PolynomialLRDecay": {"max_decay_steps": 80, "end_learning_rate": 0.1, "power": 2.0},
        "CosineAnnealingWarmupReduceRestarts": {"T_0": 20, "T_mult": 2, "eta_min": 0.1, "T_up": 5, "gamma": 0.6},
    },
    "torch's schedulers": {
        "LambdaLR": {"lr_lambda": inverse},
        "MultiplicativeLR": {"lr_lambda": lambda t: 1 - 1 / (10 + t)},
        "StepLR": {"step_size": 30, "gamma": 0.5},
        "MultiStepLR": {"milestones": [30, 60, 80], "gamma": 0.5},
        "ConstantLR": {"factor": 0.3, "total_iters": 20},
        "LinearLR": {"start_factor": 0.1, "total_iters": 30},
        "ExponentialLR": {"gamma": 0.97},
        "PolynomialLR": {"total_iters": 80, "power": 2.0},
        "CosineAnnealingLR": {"T_max": 100, "eta_min": 0.1},
        "CosineAnnealingWarmRestarts": {"T_0": 20, "T_mult": 2, "eta_min": 0.1},
        "CyclicLR": {"base_lr": 0.1, "max_lr": 1.0, "step_size_up": 20},
        "OneCycleLR": {"max_lr": 1.0, "total_steps": 101},
        "SequentialLR": {"schedulers": [WARM, COOL], "milestones": [20]},
        "ChainedScheduler": {"schedulers": [WARM, COOL]},
        "ReduceLROnPlateau": {"factor": 0.5, "patience": 10},
        "SWALR": {"swa_lr": 0.05, "anneal_epochs": 40},
    },
    "timm's schedulers": {  # all but the one for plateaus, which timm is about to drop
        "timm_CosineLRScheduler": {"t_initial": 80, "lr_min": 0.1, "warmup_t": 10},
        "timm_TanhLRScheduler": {"t_initial": 80, "lr_min": 0.1},
        "timm_PolyLRScheduler": {"t_initial": 80, "power": 2.0, "lr_min": 0.1},
        "timm_StepLRScheduler": {"decay_t": 30, "decay_rate": 0.5, "warmup_t": 10},
        "timm_MultiStepLRScheduler": {"decay_t": [30, 60, 80], "decay_rate": 0.5},
        "timm_WSDLRScheduler": {"t_initial": 90, "decay_t": 30, "warmup_t": 10},
    },
}


def ready_made() -> dict[str, dict[str, Any]]:
    """Return the parameters of every ready-made schedule that the package has."""
    names = [name for name in optim.__all__ if getattr(optim, name).__module__ == "pamiq_sched.optim.builtin"]
    taken = {name: inspect.signature(getattr(optim, name)).parameters for name in names}
    return {name: {key: READY_MADE[key] for key in keys if key in READY_MADE} for name, keys in taken.items()}


def stepped(name: str, parameters: dict[str, Any]) -> list[float]:
    """Step a schedule; one that follows a metric is given a loss that falls and stalls."""
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=1.0, momentum=0.9)
    schedule: Any = optim.build_scheduler(optimizer, {"name": name, **parameters})
    values = [optimizer.param_groups[0]["lr"]]
    for t in range(STEPS):
        optimizer.step()
        schedule.step(*([math.exp(-min(t, 30) / 10)] if "Plateau" in name else []))
        values.append(optimizer.param_groups[0]["lr"])
    return values


def zoo() -> dict[str, dict[str, list[float]]]:
    """Return the values at t = 0, 1, ... 100 by family and name."""
    found = {"Curves": {type(curve).__name__: list(curve.values(range(STEPS + 1))) for curve in CURVES}}
    for family, members in {"Ready-made schedules": ready_made(), **CONFIGS}.items():
        try:
            found[family] = {name: stepped(name, parameters) for name, parameters in members.items()}
        except ImportError as error:
            print(f"without {family}: {error}")
    return found


def draw(found: dict[str, dict[str, list[float]]]) -> Figure:
    rows = [-(-len(members) // COLUMNS) for members in found.values()]
    figure = Figure(figsize=(17, 1.6 * sum(rows)))
    grid = figure.subplots(sum(rows), COLUMNS)
    figure.subplots_adjust(0.02, 0.02, 0.99, 0.96, wspace=0.2, hspace=1.0)
    for (family, members), end, n, colour in zip(found.items(), accumulate(rows), rows, COLOURS, strict=False):
        panels = grid[end - n : end].ravel()
        panels[0].text(0, 1.52, family, transform=panels[0].transAxes, fontsize=12, weight="bold", color=colour)
        for axes, (name, values) in zip(panels, members.items(), strict=False):
            axes.plot(values, color=colour)
            axes.set_title(name.replace("_with_", "\nwith_").replace("ingWarm", "ing\nWarm"), fontsize=8)
            axes.set(ylim=(0, 1.08 * max(values)), xlim=(0, STEPS), xticks=(0, 50, 100))
            axes.tick_params(labelsize=6.5)
            axes.grid(alpha=0.25)
        for axes in panels[len(members) :]:
            axes.set_axis_off()
    return figure


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("runs/schedule_zoo"), help="where to (%(default)s)")
    out = parser.parse_args(arguments).out
    out.mkdir(parents=True, exist_ok=True)
    found = zoo()
    draw(found).savefig(out / "schedule_zoo.png", dpi=80)
    counts = "; ".join(f"{family}: {len(members)}" for family, members in found.items())
    print(f"{counts}; see {out / 'schedule_zoo.png'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
