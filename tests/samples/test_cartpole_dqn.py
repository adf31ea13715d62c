"""The CartPole demo in its short form: everything happens that happens in the long one, except learning."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pamiq_sched.state import load

ROOT = Path(__file__).parents[2]
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[subprocess.CompletedProcess[str], Path]:
    """What a few seconds of it printed, and where it put its files."""
    for extra in ("gymnasium", "matplotlib", "rich"):
        pytest.importorskip(extra)
    out = tmp_path_factory.mktemp("demo")
    script = ROOT / "samples" / "cartpole_dqn.py"
    command = [sys.executable, str(script), "--seconds", "6", "--target", "10", "--out", str(out)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=110, check=False), out


def test_ends_by_itself(demo):
    """It may tell that nothing was learned in so short a time, and nothing else."""
    finished, _ = demo
    assert finished.returncode in (0, 1), finished.stderr
    assert finished.stderr == "" or re.fullmatch(r"not learned: [^\n]+\n", finished.stderr)


def test_tells_the_result_in_one_line(demo):
    """The line names both pauses and the save from which it went on."""
    finished, _ = demo
    line = re.compile(
        r"^CartPole-v1, seed 0: mean return over the last 100 episodes [\d.]+ after [\d,]+ steps in \d+ s "
        r"\(2 pauses, continued from (.+)\)$",
        re.MULTILINE,
    )

    found = line.search(finished.stdout)

    assert found, finished.stdout
    assert (ROOT / found[1] / "manifest.json").is_file()


def test_goes_on_from_the_save(demo):
    """The second system begins with the steps, episodes and updates of the save, and adds its own."""
    finished, out = demo
    saved = Path(re.findall(r"^saved (.+); the first system", finished.stdout, re.MULTILINE)[0])
    last = max((out / "states").glob("*.state"), key=lambda state: state.stat().st_mtime_ns)

    before, after = agent_of(saved), agent_of(last)

    assert last != saved
    assert 0 < before["steps"] < after["steps"]
    assert after["episodes"][: len(before["episodes"])].tolist() == before["episodes"].tolist()


def test_draws_a_picture(demo):
    """It is a PNG with something in it."""
    _, out = demo
    picture = (out / "cartpole_dqn.png").read_bytes()
    assert picture.startswith(PNG_SIGNATURE)
    assert len(picture) > 10_000


def agent_of(state: Path) -> Any:
    """Read what the agent saved."""
    return load(state / "interaction" / "agent")
