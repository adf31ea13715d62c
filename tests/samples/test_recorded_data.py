"""The sample that trains from a recording, in its short form: half a minute of it, and a second live."""

import importlib.util
import re
from pathlib import Path

import numpy as np
import pytest
import torch

from pamiq_sched import ManualClock, compare_states, inspect_state
from pamiq_sched.testing import run_steps

pytest.importorskip("matplotlib")

SAMPLE = Path(__file__).parents[2] / "samples" / "recorded_data.py"
STEPS = 30 * 20


@pytest.fixture(scope="module")
def sample():
    spec = importlib.util.spec_from_file_location("recorded_data", SAMPLE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def finished(sample, tmp_path_factory):
    """Where it wrote, and what it returned; torch's threads and generator are the process's."""
    out = tmp_path_factory.mktemp("sample") / "out"
    threads, generator = torch.get_num_threads(), torch.get_rng_state()
    try:
        yield out, sample.main(["--short", "--out", str(out)])
    finally:
        torch.set_num_threads(threads)
        torch.set_rng_state(generator)


def test_it_finds_the_two_runs_equal_and_ends_well(finished):
    assert finished[1] == 0


def test_the_two_runs_are_equal_in_all_that_they_came_to(finished):
    out, _ = finished
    comparison = compare_states(out / "first", out / "second")
    assert comparison.are_equal
    assert comparison.components["models"].equal > 0


def test_all_of_the_recording_was_seen_in_the_time_that_it_took_to_make(finished):
    out, _ = finished
    about = inspect_state(out / "first").manifest.about
    assert np.load(out / "recording.npy").shape == (STEPS, 4)
    assert about["steps"] == STEPS
    assert about["uptime"] == pytest.approx(30.0)


def test_sixteen_samples_are_trained_for_each_frame(finished):
    out, _ = finished
    sessions = inspect_state(out / "first").manifest.about["sessions"]["dynamics"]
    assert sessions == pytest.approx(16 * STEPS / 64, abs=2)


def test_the_live_system_goes_on_from_the_recording(finished):
    out, _ = finished
    (state,) = (out / "states").glob("*.state")
    assert inspect_state(state).manifest.about["steps"] > STEPS


def test_predictions_get_better(sample, finished):
    """After half a minute already they are better than without training."""
    out, _ = finished
    errors = {}
    for trains in (True, False):
        frames, agent = torch.from_numpy(np.load(out / "recording.npy")), sample.Predictor()
        interaction, models, buffers, trainers = sample.build(iter(frames), agent, ManualClock(autojump=True))
        run_steps(interaction, models, buffers, trainers if trains else {}, steps=STEPS, seed=0)
        errors[trains] = np.mean(agent.errors[-100:])
    assert errors[True] < 0.5 * errors[False]


def test_a_picture_is_written(finished):
    assert (finished[0] / "recorded_data.png").read_bytes().startswith(b"\x89PNG")


def test_it_is_under_150_lines():
    assert len(re.findall("\n", SAMPLE.read_text(encoding="utf-8"))) < 150
