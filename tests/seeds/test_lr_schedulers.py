"""The examples of seed document 003 (learning-rate schedulers), after changing the imports."""

import math

import pytest
import torch
from torch import nn
from torch.optim import Adam
from torch.optim.lr_scheduler import CosineAnnealingLR, StepLR

from pamiq_sched import build_scheduler


def train(model, optimizer):
    """One epoch, which the document leaves out."""
    optimizer.zero_grad()
    model(torch.ones(1, 2)).square().sum().backward()
    optimizer.step()


def test_the_learning_rate_smoothly_decreases():
    """The usage example: torch's class on the optimizer itself, and the same from a config."""
    model = nn.Linear(2, 1)
    optimizer = Adam(model.parameters(), lr=0.001)
    scheduler = CosineAnnealingLR(optimizer, T_max=100)
    ours = Adam(model.parameters(), lr=0.001)
    built = build_scheduler(ours, {"name": "CosineAnnealingLR", "T_max": 100})

    for epoch in range(100):
        expected = 0.001 * (1 + math.cos(math.pi * epoch / 100)) / 2
        assert optimizer.param_groups[0]["lr"] == ours.param_groups[0]["lr"] == pytest.approx(expected)
        train(model, optimizer)
        scheduler.step()
        built.step()


def test_step_lr_decays_by_gamma_every_few_steps():
    optimizer = Adam([nn.Parameter(torch.zeros(1))], lr=1.0)
    built = build_scheduler(optimizer, {"name": "StepLR", "step_size": 2, "gamma": 0.1})
    seen = []
    for _ in range(5):
        seen.append(optimizer.param_groups[0]["lr"])
        built.step()
    assert seen == [1.0, 1.0, 0.1, 0.1, pytest.approx(0.01)]


def test_the_base_class_attaches_counts_and_records_the_initial_rates_of_all_groups():
    """Initial tracking and group support, as the document promises them of every scheduler."""
    parameters = [{"params": [nn.Parameter(torch.zeros(1))], "lr": rate} for rate in (0.1, 0.4)]
    optimizer = Adam(parameters)
    built = build_scheduler(optimizer, {"name": "StepLR", "step_size": 1, "gamma": 0.5})
    assert built.base_lrs == [0.1, 0.4]
    built.step()
    assert built.last_epoch == 1
    assert [group["lr"] for group in optimizer.param_groups] == [0.05, 0.2]


def test_state_dict_and_load_state_dict_resume():
    optimizer, again = (Adam([nn.Parameter(torch.zeros(1))], lr=1.0) for _ in range(2))
    built, resumed = (build_scheduler(o, {"name": "StepLR", "step_size": 2}) for o in (optimizer, again))
    for _ in range(3):
        built.step()
    resumed.load_state_dict(built.state_dict())
    for _ in range(5):
        built.step()
        resumed.step()
        assert again.param_groups[0]["lr"] == optimizer.param_groups[0]["lr"]


def test_a_scheduler_takes_an_epoch_to_go_to():
    optimizer = Adam([nn.Parameter(torch.zeros(1))], lr=1.0)
    built = build_scheduler(optimizer, {"name": "StepLR", "step_size": 2, "gamma": 0.5})
    with pytest.warns(UserWarning, match="epoch"):  # torch's own, which has deprecated it
        built.step(4)
    assert isinstance(built, StepLR)
    assert optimizer.param_groups[0]["lr"] == 0.25
