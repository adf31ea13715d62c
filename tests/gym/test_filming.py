"""Films: asked for by any thread, taken by the one that acts, written by others."""

import os
import subprocess
import sys

import gymnasium
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from pamiq_sched import GymAction, GymAgent, GymEnvironment, Interaction, LaunchConfig, System
from pamiq_sched.gym import filming

WAIT = 30.0


class Counting(gymnasium.Env):
    """Shows the number of the episode and of the step; episodes have three steps."""

    metadata = {"render_modes": ["rgb_array", "ansi", "human"], "render_fps": 8}  # noqa: RUF012 - as Gymnasium has it
    observation_space = gymnasium.spaces.Box(0, 1, (1,))
    action_space = gymnasium.spaces.Discrete(2)

    def __init__(self, render_mode="rgb_array", size=(32, 48)):
        self.render_mode = render_mode
        self.episode = 0
        self.size = size
        self.broken = False

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.episode, self.count = self.episode + 1, 0
        return np.zeros(1, np.float32), {}

    def step(self, action):
        self.count += 1
        return np.zeros(1, np.float32), 1.0, self.count == 3, False, {}

    def render(self):
        if self.broken:
            raise OSError("no display")
        if self.render_mode == "ansi":
            return f"{self.episode}.{self.count}"
        return np.full((*self.size, 3), 10 * (self.episode % 20) + self.count, np.uint8)


def started(**kwargs):
    environment = GymEnvironment(Counting(**kwargs))
    environment.setup()
    return environment


def act(environment, steps):
    for _ in range(steps):
        environment.affect(GymAction(0))


def shown(film):
    return [int(frame[0, 0, 0]) for frame in film.frames]


def test_the_next_episode_from_its_first_to_its_last_frame():
    environment = started()
    act(environment, 1)
    film = environment.film()
    act(environment, 4)
    assert not film.is_over
    act(environment, 1)
    assert shown(film.wait(WAIT)) == [20, 21, 22, 23]
    environment.teardown()


def test_several_episodes():
    environment = started()
    film = environment.film(episodes=2)
    act(environment, 12)
    assert shown(film.wait(WAIT)) == [20, 21, 22, 23, 30, 31, 32, 33]
    environment.teardown()


def test_frames_are_taken_at_once():
    environment = started()
    film = environment.film(frames=4)
    act(environment, 4)
    assert shown(film.wait(WAIT)) == [11, 12, 13, 20]
    environment.teardown()


def test_episodes_of_so_many_frames_at_most():
    environment = started()
    film = environment.film(episodes=1, frames=2)
    act(environment, 5)
    assert shown(film.wait(WAIT)) == [20, 21]
    environment.teardown()


def test_a_film_that_is_asked_for_before_the_start_shows_the_first_episode():
    environment = GymEnvironment(Counting())
    film = environment.film()
    environment.setup()
    act(environment, 3)
    assert shown(film.wait(WAIT)) == [10, 11, 12, 13]
    environment.teardown()


def test_an_episode_that_the_agent_cuts_is_over():
    environment = started()
    film = environment.film()
    environment.affect(GymAction(0, need_reset=True))
    environment.affect(GymAction(0, need_reset=True))
    assert shown(film.wait(WAIT)) == [20, 21]
    environment.teardown()


def test_films_are_taken_one_after_the_other():
    environment = started()
    films = [environment.film(), environment.film(frames=2)]
    act(environment, 8)
    assert [shown(film.wait(WAIT)) for film in films] == [[20, 21, 22, 23], [30, 31]]
    environment.teardown()


def test_nothing_is_rendered_without_a_film():
    environment = started()
    environment.env.broken = True
    act(environment, 4)
    environment.teardown()


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        (AutoresetMode.NEXT_STEP, [20, 21, 22, 23]),
        (AutoresetMode.DISABLED, [20, 21, 22]),
        (AutoresetMode.SAME_STEP, [20, 21, 22]),  # the last frame is gone before the step returns
    ],
)
def test_a_film_of_one_of_several(mode, expected):
    environment = GymEnvironment(SyncVectorEnv([Counting] * 2, autoreset_mode=mode))
    environment.setup()
    film = environment.film(index=1)
    for _ in range(9):
        environment.affect(GymAction(np.zeros(2, np.int64)))
    assert shown(film.wait(WAIT)) == expected
    environment.teardown()


class Still(GymAgent):
    def on_reset(self, obs, info):
        return 0

    def on_step(self, obs, reward, terminated, truncated, info):
        return 0


def test_any_thread_asks_and_a_pause_only_delays(tmp_path):
    environment = GymEnvironment(Counting())
    config = LaunchConfig(states_dir=tmp_path)
    with System(Interaction(Still(), environment), {}, {}, {}, config) as system:
        system.pause()
        film = environment.film()
        with pytest.raises(TimeoutError, match="the film in memory was not over within 0 s; 0 frames were taken"):
            film.wait(0)
        system.resume()
        first, *_ = film.wait(WAIT).frames
        assert first[0, 0, 0] % 10 == 0
        assert film.taken == 4


# In files.


def decoded(path):
    """What a player would show: the brightness of each frame."""
    command = [filming.encoder(), "-loglevel", "error", "-i", path, "-f", "rawvideo", "-pix_fmt", "gray", "-"]
    raw = np.frombuffer(subprocess.run(command, check=True, capture_output=True).stdout, np.uint8)
    return raw.reshape(-1, 32, 48).mean((1, 2))


def test_a_file_shows_the_frames_in_their_order(tmp_path):
    pytest.importorskip("imageio_ffmpeg")
    environment = started()
    film = environment.film(tmp_path / "films" / "walk.mp4", episodes=3)
    act(environment, 12)
    assert film.wait(WAIT).path == tmp_path / "films" / "walk.mp4"
    brightness = decoded(film.path)
    assert brightness.shape == (12,)
    assert np.abs(brightness - [20, 21, 22, 23, 30, 31, 32, 33, 40, 41, 42, 43]).max() < 3
    assert os.listdir(tmp_path / "films") == ["walk.mp4"]
    environment.teardown()


@pytest.fixture
def encoder(tmp_path, monkeypatch):
    """Take a script for the encoder; it is called with the file to write as its last argument."""

    def take(script):
        path = tmp_path / "encoder"
        path.write_text(f"#!/bin/sh\nfor file; do :; done\n{script}\n", encoding="utf-8")
        path.chmod(0o755)
        monkeypatch.setattr(filming, "encoder", lambda: str(path))

    return take


def test_acting_goes_on_while_the_encoder_stands_still(tmp_path, encoder, monkeypatch, caplog):
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    encoder(f'read line < {gate}; cat > "$file"')
    monkeypatch.setattr(filming, "MOST_WAITING_BYTES", 5 * 300 * 400 * 3)  # more than fits into a pipe
    environment = started(size=(300, 400))
    film = environment.film(tmp_path / "film.mp4", frames=50)
    act(environment, 40)  # would not return if it waited
    gate.write_text("go\n", encoding="utf-8")
    environment.teardown()
    film.wait(WAIT)
    assert film.left_out >= 40 - 10
    assert film.path.stat().st_size == (film.taken - film.left_out) * 300 * 400 * 3
    assert f"lacks {film.left_out} of {film.taken} frames: its encoder is too slow" in caplog.text


def test_teardown_ends_a_film_with_what_it_has(tmp_path, encoder):
    encoder('cat > "$file"')
    environment = started()
    film = environment.film(tmp_path / "film.mp4", frames=100)
    act(environment, 2)
    environment.teardown()
    assert film.is_over
    assert film.wait(0).path.stat().st_size == 2 * 32 * 48 * 3


def test_a_film_that_has_not_begun_fails_at_teardown():
    environment = started()
    film = environment.film()
    environment.teardown()
    with pytest.raises(
        RuntimeError, match="the film in memory failed: the environment was torn down before it beg"
    ):
        film.wait(WAIT)


def test_after_teardown_none_is_taken():
    environment = started()
    environment.teardown()
    with pytest.raises(RuntimeError, match="cannot be taken: the environment was torn down; ask while it runs"):
        environment.film()


@pytest.mark.parametrize("script", ["echo no room >&2; exit 1", 'cat > "$file"; echo no room >&2; exit 1'])
def test_an_encoder_that_fails_is_told_to_who_asked_and_to_the_log(tmp_path, encoder, caplog, script):
    encoder(script)
    environment = started(size=(300, 400))
    film = environment.film(tmp_path / "film.mp4", frames=10)
    act(environment, 20)
    with pytest.raises(RuntimeError, match=r"the film .*film\.mp4 failed: the encoder said: no room"):
        film.wait(WAIT)
    environment.teardown()
    assert "the encoder said: no room" in caplog.text
    assert os.listdir(tmp_path) == ["encoder"]


def test_a_frame_that_cannot_be_rendered_ends_the_film_and_not_the_acting(caplog):
    environment = started()
    film = environment.film(frames=10)
    act(environment, 1)
    environment.env.broken = True
    act(environment, 5)
    with pytest.raises(RuntimeError, match="the film in memory failed: no display") as caught:
        film.wait(WAIT)
    assert isinstance(caught.value.__cause__, OSError)
    assert ("ERROR", "the film in memory failed: no display") in [(r.levelname, r.message) for r in caplog.records]
    environment.env.broken = False
    next_film = environment.film(frames=1)
    act(environment, 1)
    next_film.wait(WAIT)
    environment.teardown()


def test_frames_of_another_shape_end_a_file(tmp_path, encoder):
    encoder('exec cat > "$file"')
    environment = started()
    film = environment.film(tmp_path / "film.mp4", frames=10)
    act(environment, 2)
    environment.env.size = (16, 16)
    act(environment, 8)
    with pytest.raises(RuntimeError, match="frames must not change their shape, got"):
        film.wait(WAIT)
    environment.teardown()
    assert os.listdir(tmp_path) == ["encoder"]


# Rendering by hand, and what is refused.


def test_a_frame_by_hand():
    environment = started()
    assert environment.render()[0, 0].tolist() == [10, 10, 10]
    environment.teardown()


@pytest.mark.parametrize("mode", [None, "human"])
def test_one_that_renders_no_frames_is_refused_with_what_would(mode):
    environment = started(render_mode=mode)
    for ask in (environment.render, environment.film):
        with pytest.raises(ValueError, match=r'renders no frames, its render_mode is .*render_mode="rgb_array"'):
            ask()
    environment.teardown()


def test_text_can_be_rendered_and_not_filmed():
    environment = started(render_mode="ansi")
    assert environment.render() == "1.0"
    with pytest.raises(ValueError, match="its render_mode is 'ansi'"):
        environment.film()
    environment.teardown()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"episodes": 0}, "episodes must be a whole number of at least 1"),
        ({"frames": 0}, "frames must be a whole number of at least 1"),
        ({"fps": 0}, "fps must be a finite number above 0"),
        ({"index": 1}, "index must be at most 0"),
        ({"path": "film.gif"}, r"the ending of path must be one of '\.mp4', .*, got '\.gif'"),
    ],
)
def test_what_cannot_be_filmed_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        GymEnvironment(Counting()).film(**arguments)


def test_a_missing_extra_is_told_with_the_command_that_installs_it(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)  # what an import of it then finds
    with pytest.raises(ImportError, match=r'pip install "pamiq-sched\[video\]"'):
        GymEnvironment(Counting()).film(tmp_path / "film.mp4")


def test_files_have_the_frame_rate_of_the_environment(tmp_path, encoder):
    encoder('echo "$@" > "$file"; cat > /dev/null')
    environment = started()
    films = [
        environment.film(tmp_path / "a.mp4", frames=1),
        environment.film(tmp_path / "b.mp4", frames=1, fps=2.5),
    ]
    act(environment, 2)
    said = [film.wait(WAIT).path.read_text(encoding="utf-8") for film in films]
    environment.teardown()
    assert ["-r 8.0 " in said[0], "-r 2.5 " in said[1]] == [True, True]
