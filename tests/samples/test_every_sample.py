"""What holds for each sample: short enough to be read, tested, and told of on a page of its own."""

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SAMPLES = sorted((ROOT / "samples").glob("*.py"))
NAMES = {
    "cartpole_dqn",
    "continual_vae",
    "minimum",
    "pendulum_sac",
    "recorded_data",
    "remote_control",
    "schedule_zoo",
}


def test_all_samples_are_there_and_no_other_file():
    assert {sample.stem for sample in SAMPLES} == NAMES


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.stem)
def test_a_sample_is_under_150_lines(sample):
    assert len(sample.read_text(encoding="utf-8").splitlines()) < 150


@pytest.mark.parametrize("name", sorted(NAMES))
def test_a_sample_has_a_test_a_page_a_place_in_the_list_and_in_the_navigation(name):
    assert (ROOT / "tests" / "samples" / f"test_{name}.py").is_file()
    page = (ROOT / "docs" / "samples" / f"{name}.md").read_text(encoding="utf-8")
    assert f"samples/{name}.py" in page or "make demo" in page
    assert f"{name}.md" in (ROOT / "docs" / "samples" / "index.md").read_text(encoding="utf-8")
    assert f"samples/{name}.md" in (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
