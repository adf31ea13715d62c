"""The smallest program: it lives, saves, and its parts learn what they are shown."""

import pytest

from pamiq_sched import TensorRingBuffer, TorchTrainingModel
from pamiq_sched.testing import connect_components

torch = pytest.importorskip("torch")


@pytest.fixture
def minimum(load_sample):
    return load_sample("minimum")


def test_lives_and_saves(minimum, tmp_path, capsys):
    assert minimum.main(["--short", "--out", str(tmp_path)]) == 0

    assert "mean error of the first ten actions" in capsys.readouterr().out
    (state,) = (tmp_path / "states").iterdir()
    assert (state / "manifest.json").is_file()


def test_what_is_trained_is_what_the_agent_answers_by(minimum):
    torch.manual_seed(0)
    plant, agent, trainer = minimum.Plant(), minimum.Regulator(), minimum.Regression()
    connect_components(
        agent=agent,
        trainers=trainer,
        buffers={"seen": TensorRingBuffer(1000)},
        models={"line": TorchTrainingModel(torch.nn.Linear(1, 1))},
    )

    for _ in range(300):
        plant.affect(agent.step(plant.observe()))
        trainer.run()

    assert trainer.session_count == 30
    assert max(plant.errors[-10:]) < 0.1 < max(plant.errors[:10])
