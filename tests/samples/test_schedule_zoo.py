"""The picture of all schedules: nothing of ours is missing."""

import pytest

from pamiq_sched import optim

for extra in ("torch", "matplotlib"):
    pytest.importorskip(extra)


@pytest.fixture(scope="module")
def zoo(load_sample):
    return load_sample("schedule_zoo")


@pytest.fixture(scope="module")
def picture(zoo, tmp_path_factory):
    """The file that the sample writes, and the figure that is in it."""
    out = tmp_path_factory.mktemp("zoo") / "new"
    figures = []
    draw = zoo.draw
    zoo.draw = lambda found: figures.append(draw(found)) or figures[0]
    assert zoo.main(["--out", str(out)]) == 0
    zoo.draw = draw
    return out / "schedule_zoo.png", figures[0]


@pytest.fixture(scope="module")
def drawn(picture):
    """The titles of all panels."""
    return {axes.get_title().replace("\n", "_").replace("__", "_") for axes in picture[1].axes}


def test_every_curve_is_drawn(drawn):
    curves = {name for name in optim.__all__ if name.endswith("Curve") and name != "Curve"}

    assert curves
    assert curves <= drawn


def test_every_ready_made_schedule_is_drawn(zoo, drawn):
    made = [name for name in optim.__all__ if getattr(optim, name).__module__ == "pamiq_sched.optim.builtin"]

    assert len(made) == 13
    assert set(made) <= drawn


def test_what_is_drawn_is_what_a_schedule_does(zoo):
    """One begins at its warmup's start, not at the base; a plateau follows its metric."""
    found = zoo.zoo()

    warm = found["Ready-made schedules"]["constant_with_warmup"]
    assert len(warm) == 101
    assert warm[0] < 0.1
    assert warm[20:] == [1.0] * 81
    plateau = found["torch's schedulers"]["ReduceLROnPlateau"]
    assert plateau[0] == plateau[40] == 1.0
    assert plateau[-1] < 0.1


def test_writes_a_picture(picture):
    assert picture[0].read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
