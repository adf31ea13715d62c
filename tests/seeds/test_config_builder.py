"""The examples of seed document 001 (a builder of schedulers from configs), after changing the imports."""

import pytest
import torch
from omegaconf import DictConfig
from torch import nn

from pamiq_sched import build_optimizer, build_scheduler

CONFIGS = {
    "step": {"name": "StepLR", "step_size": 30, "gamma": 0.1},
    "multistep": {"name": "MultiStepLR", "milestones": [30, 60, 90], "gamma": 0.1},
    "cosine": {"name": "CosineAnnealingLR", "T_max": 100, "eta_min": 1e-6},
    "restarts": {"name": "CosineAnnealingWarmRestarts", "T_0": 10, "T_mult": 2, "eta_min": 1e-6},
    "poly": {"name": "PolynomialLRDecay", "max_decay_steps": 1000, "end_learning_rate": 1e-6, "power": 0.9},
    "cosine_warmup": {
        "name": "CosineAnnealingWarmupReduceRestarts",
        "T_0": 10,
        "T_mult": 2,
        "eta_min": 1e-6,
        "T_up": 2,
        "gamma": 0.5,
    },
    "timm_cosine": {
        "name": "timm_CosineLRScheduler",
        "t_initial": 100,
        "lr_min": 1e-6,
        "cycle_limit": 1,
        "t_in_epochs": True,
    },
    "timm_poly": {
        "name": "timm_PolyLRScheduler",
        "t_initial": 100,
        "lr_min": 1e-6,
        "power": 0.9,
        "t_in_epochs": True,
    },
    "chained": {
        "name": "ChainedScheduler",
        "schedulers": [
            {"name": "LinearLR", "start_factor": 0.1, "total_iters": 10},
            {"name": "CosineAnnealingLR", "T_max": 90, "eta_min": 1e-6},
        ],
    },
}


@pytest.fixture
def model():
    return nn.Linear(10, 1)


@pytest.fixture
def optimizer(model):
    return build_optimizer(model, {"name": "AdamW", "lr": 0.001})


def train_one_epoch(model, optimizer):
    optimizer.zero_grad()
    loss = model(torch.ones(1, 10)).square().sum()
    loss.backward()
    optimizer.step()
    return loss.item()


def test_a_scheduler_is_built_for_an_optimizer_that_was_built(optimizer):
    scheduler_config = DictConfig({"name": "CosineAnnealingWarmRestarts", "T_0": 10, "T_mult": 2, "eta_min": 1e-6})
    scheduler = build_scheduler(optimizer, scheduler_config)
    assert isinstance(optimizer, torch.optim.AdamW)
    assert isinstance(scheduler, torch.optim.lr_scheduler.CosineAnnealingWarmRestarts)


@pytest.mark.parametrize("kind", [dict, DictConfig])
@pytest.mark.parametrize("name", CONFIGS)
def test_every_config_is_built_and_used_in_training(name, kind, model, optimizer):
    """The training loop of the document; each comes down from the base, and the warmups start below it."""
    scheduler = build_scheduler(optimizer, kind(CONFIGS[name]))
    rates = []
    for _ in range(80):
        rates.append(optimizer.param_groups[0]["lr"])
        train_one_epoch(model, optimizer)
        if hasattr(scheduler, "step"):
            scheduler.step()
    assert max(rates) == pytest.approx(0.001, rel=0.05)
    assert min(rates) < 0.95 * max(rates)
    assert scheduler.get_last_lr() == [optimizer.param_groups[0]["lr"]]


def test_a_plateau_steps_with_the_validation_metric(optimizer):
    config = {"name": "ReduceLROnPlateau", "mode": "min", "factor": 0.5, "patience": 10, "threshold": 1e-4}
    scheduler = build_scheduler(optimizer, DictConfig(config))
    for _ in range(12):
        scheduler.step(0.3)
    assert optimizer.param_groups[0]["lr"] == 0.0005
