"""The seed of a run: what it seeds, and when."""

import random

import numpy as np
import pytest
import torch
from typing_extensions import override

from pamiq_sched import Interaction, LaunchConfig, System
from pamiq_sched.state.generators import RandomGenerators
from pamiq_sched.testing import FakeAgent, FakeEnvironment


@pytest.fixture(autouse=True)
def generators_put_back():
    generators = RandomGenerators()
    before = generators.state_dict()
    yield
    generators.load_state_dict(before)


class Drawing(FakeEnvironment):
    """Draws from every generator of the process when it is set up."""

    def __init__(self) -> None:
        super().__init__()
        self.seed: int | None = None
        self.drawn: list[float] = []

    @override
    def attach_seed(self, seed: int) -> None:
        assert not self.drawn
        self.seed = seed

    @override
    def setup(self) -> None:
        super().setup()
        self.drawn = [random.random(), float(np.random.random()), float(torch.rand(()))]


def run(tmp_path, **config):
    environment = Drawing()
    config = LaunchConfig(states_dir=tmp_path, max_uptime=0.001, freeze_garbage=False, **config)
    System(Interaction(FakeAgent(), environment), {}, {}, {}, config).run()
    return environment


def test_the_generators_of_the_process_and_the_environment_are_seeded_before_setup(tmp_path):
    first, again, other = (run(tmp_path, seed=seed) for seed in (7, 7, 8))
    assert first.drawn == again.drawn
    assert all(a != b for a, b in zip(first.drawn, other.drawn, strict=True))
    assert first.seed == again.seed
    assert first.seed not in (None, 7, other.seed)


def test_without_a_seed_nothing_is_seeded(tmp_path):
    first, again = run(tmp_path), run(tmp_path)
    assert (first.seed, again.seed) == (None, None)
    assert all(a != b for a, b in zip(first.drawn, again.drawn, strict=True))


def test_a_run_that_goes_on_from_a_state_goes_on_with_its_generators(tmp_path):
    run(tmp_path, seed=7)
    expected = [random.random(), float(np.random.random()), float(torch.rand(()))]
    assert run(tmp_path, seed=7, saved_state_path="latest").drawn == expected
