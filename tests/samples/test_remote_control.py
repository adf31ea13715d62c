"""A controller in a process of its own: it steps in, repairs, and what it controls goes on."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from pamiq_sched import read_json_lines

for extra in ("matplotlib", "starlette", "uvicorn"):
    pytest.importorskip(extra)
SCRIPT = Path(__file__).parents[2] / "samples" / "remote_control.py"


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """What the short form printed, and where its files are."""
    out = tmp_path_factory.mktemp("remote")
    command = [sys.executable, str(SCRIPT), "--short", "--out", str(out)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=110, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout, out


def test_a_repair_in_a_pause_puts_the_error_right(finished):
    out, _ = finished
    worst, last = re.search(r"error [\d.]+ at first, ([\d.]+) at the pause, ([\d.]+) at last", out).groups()

    assert float(worst) > 0.4
    assert float(last) < float(worst)


def test_a_paused_agent_has_let_go(finished):
    """The joint is free before the system resumes, and does not go on at the velocity that it was told last."""
    out, _ = finished

    assert "it moved by 0 meanwhile" in out


def test_the_pause_is_one_of_the_whole_system(finished):
    _, out = finished
    (run,) = read_json_lines(out / "metrics.jsonl")
    states = [event.text for event in run.events if event.kind == "state"]

    assert states[:4] == ["active", "pausing", "paused", "active"]
    assert (out / "remote_control.png").read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
