"""The CartPole demo in its short form: everything happens that happens in the long one, except learning."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pamiq_sched import EnvReset, EnvStep, TensorRingBuffer, TorchTrainingModel, inspect_state, read_json_lines
from pamiq_sched.metrics import Recorder
from pamiq_sched.state import load
from pamiq_sched.testing import connect_components

for extra in ("gymnasium", "matplotlib", "tensorboard", "starlette", "uvicorn"):
    pytest.importorskip(extra)
np = pytest.importorskip("numpy")
torch = pytest.importorskip("torch")

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[subprocess.CompletedProcess[str], Path]:
    """What a few seconds of it printed, and where it put its files."""
    out = tmp_path_factory.mktemp("demo")
    script = ROOT / "samples" / "cartpole_dqn.py"
    options = ["--seconds", "3", "--target", "10", "--seed", "3", "--web", "--port", "0", "--out", str(out)]
    command = [sys.executable, str(script), *options]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=110, check=False), out


def test_tells_that_too_little_was_learned(demo):
    """So short a run cannot learn: the exit code says so, and a line; nothing else goes wrong."""
    finished, _ = demo
    dashboard = (
        r"pamiq-sched: control and dashboard at http://127\.0\.0\.1:\d+/\?token=\S+\n\(this is kept in \S+\)\n"
    )

    assert finished.returncode == 1
    assert re.fullmatch(rf"({dashboard}){{2}}not learned: [^\n]+; try more --seconds\n", finished.stderr)


def test_tells_the_result_in_one_line(demo):
    """The line names both pauses and the save from which it went on."""
    finished, _ = demo
    *_, result = finished.stdout.splitlines()

    found = re.fullmatch(
        r"seed 3: mean return over 100 episodes [\d.]+ at step [\d,]+, 2 pauses, continued from (\S+); see \S+",
        result,
    )

    assert found, finished.stdout
    assert (Path(found[1]) / "manifest.json").is_file()


def test_is_paused_twice_and_saved(demo):
    """Each pause is one of the whole system, and the run that goes on is a system of its own."""
    _, out = demo
    first, second = read_json_lines(out / "metrics.jsonl")
    states = [event.text for event in first.events if event.kind == "state"]

    assert states[: states.index("saving")].count("paused") >= 2
    assert "saved" in [event.kind for event in first.events]
    (started,) = [event for event in second.events if event.kind == "started"]
    assert started.details["steps"] > 0


def test_goes_on_from_the_save(demo):
    """The second system begins with the steps and sessions of the save, and adds its own."""
    finished, out = demo
    saved = Path(re.findall(r"continued from (\S+);", finished.stdout)[0])
    last = max((out / "states").glob("*.state"), key=lambda state: state.stat().st_mtime_ns)

    before, after = agent_of(saved), agent_of(last)

    assert last != saved
    assert 0 < before["steps"] < after["steps"]
    assert inspect_state(last).manifest.about["steps"] > inspect_state(saved).manifest.about["steps"]


def test_leaves_numbers_and_pictures(demo):
    _, out = demo
    names = {point.name for run in read_json_lines(out / "metrics.jsonl") for point in run.points}

    assert {"agent/episode_return", "agent/mean_return", "interaction/steps_per_second"} <= names
    assert (out / "report.png").read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
    assert "mean_return" in (out / "report.html").read_text()
    assert len(list((out / "tensorboard").glob("*tfevents*"))) == 2


def agent_of(state: Path) -> Any:
    """Read what the agent saved."""
    return load(state / "interaction" / "agent")


# Its parts, without threads.


@pytest.fixture
def dqn(load_sample):
    return load_sample("cartpole_dqn")


def connected(dqn):
    """An agent and a trainer, joined, with what they share."""
    torch.manual_seed(0)
    agent, trainer = dqn.DQNAgent(), dqn.DQNTrainer()
    network = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Linear(8, 2))
    parts = connect_components(
        agent=agent,
        trainers=trainer,
        buffers={"seen": TensorRingBuffer(10_000)},
        models={"q": TorchTrainingModel(network, ema_decay=0.8)},
    )
    agent.setup()
    return agent, trainer, parts.data_users["seen"]


def seen(episode: int) -> Any:
    """An observation that tells its episode."""
    return np.full(4, episode, np.float32)


def live(agent: Any, episode: int, steps: int, *, is_cut: bool = False) -> None:
    """Live through an episode that ends in its last step."""
    agent.step(EnvReset(seen(episode), {}))
    for step in range(1, steps):
        agent.step(EnvStep(seen(episode), 1.0, False, False, {}))
    last = EnvStep(seen(episode), 1.0, not is_cut, is_cut, {})
    agent.step((last, EnvReset(seen(episode + 1), {})))


def test_no_transition_spans_a_restart_or_an_episode(dqn, tmp_path):
    agent, _, user = connected(dqn)
    live(agent, episode=1, steps=5)
    live(agent, episode=2, steps=2)  # shorter than the sums of rewards
    agent.step(EnvReset(seen(3), {}))
    agent.step(EnvStep(seen(3), 1.0, False, False, {}))
    agent.save_state(tmp_path / "agent")
    collected = user.get_data()

    resumed, _, user = connected(dqn)
    resumed.load_state(tmp_path / "agent")
    live(resumed, episode=4, steps=4)
    collected = {name: torch.cat([column, user.get_data()[name]]) for name, column in collected.items()}

    assert (collected["obs"] == collected["next"]).all()
    assert collected["obs"][:, 0].tolist() == [1] * 5 + [2] * 2 + [4] * 4
    assert resumed.steps == 12


def test_rewards_are_summed_up_over_three_steps_or_to_the_end(dqn):
    """What follows a cut counts, what follows the end of the task does not."""
    agent, _, user = connected(dqn)
    live(agent, episode=1, steps=4)
    live(agent, episode=2, steps=2, is_cut=True)

    collected = user.get_data()

    three, two = 1 + 0.99 + 0.99**2, 1 + 0.99
    assert collected["reward"].tolist() == pytest.approx([three, three, two, 1, two, 1])
    assert collected["discount"].tolist() == pytest.approx([0.99**3, 0, 0, 0, 0.99**2, 0.99])


def test_updates_follow_the_replay_ratio(dqn):
    """It draws 32 samples for each item that comes, however often it is asked, and a session more at most."""
    agent, trainer, user = connected(dqn)
    live(agent, episode=1, steps=1000)
    while trainer.run():
        pass
    sampled, added = user.sampled, user.added

    for episode in range(2, 12):
        live(agent, episode, steps=16)
        while trainer.run():
            pass

    assert user.added - added == 160
    assert 0 <= user.sampled - sampled - 160 * 32 <= 4 * 128


def test_three_hyperparameters_follow_curves_of_their_own(dqn):
    agent, trainer, _ = connected(dqn)
    live(agent, episode=1, steps=1000)

    trainer.run()

    (group,) = trainer.optimizers["adamw"].param_groups
    assert trainer.step_count == 4
    assert group["lr"] == pytest.approx(3e-3 / (1 + 4 / 2000))
    assert group["weight_decay"] == pytest.approx(1e-4 * 4 / 4000)
    assert 9.99 < group["gradient_clip"] < 10.0


def test_evaluates_what_the_agent_acts_by(dqn):
    agent, trainer, _ = connected(dqn)
    recorder = Recorder()
    trainer.attach_journal(recorder.open("dqn"))
    live(agent, episode=1, steps=1000)
    trainer.run()

    trainer.evaluate()

    points, _ = recorder.collect()
    (evaluation,) = [point for point in points if point.name == "dqn/evaluation"]
    assert 1 <= evaluation.value <= 500
