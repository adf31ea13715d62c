"""The rover's own tests."""

from __future__ import annotations

import torch
from rover import buffers, models, world
from rover.__main__ import parts
from rover.agent import Crew, Driver, Watchman
from rover.balancing import balancing, side_by_side
from rover.trainers import Imitation

from pamiq_sched import FixedIntervalInteraction, ManualClock, connect_components
from pamiq_sched.testing import FakeAgent, FakeBuffer, FakeEnvironment, FakeTrainingModel, run_steps


def nothing(row: int) -> float:
    return 0.0


def test_the_watchman_warns_of_steep_slopes() -> None:
    watchman = Watchman()
    connected = connect_components(
        watchman, buffers={"seen": FakeBuffer()}, models={"table": FakeTrainingModel(nothing)}
    )

    assert [watchman.step(0.1), watchman.step(0.95)] == [False, True]
    assert connected.data_users["seen"].get_data() == [{"slope": 0.1}, {"slope": 0.95}]


def test_imitation_lowers_the_loss() -> None:
    trainer = Imitation()
    connected = connect_components(
        trainers=trainer, buffers={"experience": buffers.experience()}, models={"policy": models.make()}
    )
    for slope in torch.linspace(-1.0, 1.0, 100):
        connected.data_collectors["experience"].collect({"slope": slope.reshape(1), "force": torch.zeros(1)})
        trainer.run()

    assert trainer.losses[-1] < trainer.losses[0]


def test_a_whole_run() -> None:
    clock = ManualClock(autojump=True)
    interaction = FixedIntervalInteraction.with_sleep_adjustor(
        Crew(Driver(), Watchman()), world.make(world.Track()), 0.1, clock=clock
    )

    run = run_steps(interaction, *parts(), steps=20, seed=3)

    assert run.sessions["imitation"] > 0
    assert [logged.value for logged in run.logged["imitation/loss"]]


def test_gymnasium() -> None:
    for interaction in (balancing(), side_by_side()):
        assert run_steps(interaction, steps=60).logged["agent/episode_return"]


def test_the_world() -> None:
    environment = world.by_names(world.Track())
    assert set(environment.observe()) == {"raw", "smooth"}
    agent = FakeAgent(lambda observation: -observation)
    fake = FakeEnvironment([1.0])
    run_steps(
        FixedIntervalInteraction.with_sleep_adjustor(agent, fake, 1.0, clock=ManualClock(autojump=True)), steps=1
    )
    assert fake.actions == [-1.0]
