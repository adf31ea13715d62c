"""Whatever a hook raises reaches the caller of launch as itself; what is due is torn down once."""

import asyncio
import threading
import time

import pytest

from pamiq_sched import launch

HOOKS = [
    *(f"agent.{hook}" for hook in ("setup", "step", "teardown", "on_paused", "on_resumed", "save_state")),
    *(f"environment.{hook}" for hook in ("setup", "observe", "affect", "teardown")),
    *(f"environment.{hook}" for hook in ("on_paused", "on_resumed", "save_state")),
    *(f"trainer.{hook}" for hook in ("is_trainable", "setup", "train", "callback", "sync_models", "teardown")),
    *(f"trainer.{hook}" for hook in ("on_paused", "on_resumed", "save_state")),
]
ERRORS = [RuntimeError, SystemExit, KeyboardInterrupt, asyncio.CancelledError]


class SaveOnce:
    """A save condition that is true once the trainer has trained, so that pausing and saving hooks run."""

    def __init__(self, probe):
        self._probe = probe
        self._is_done = False

    def __call__(self):
        due = not self._is_done and self._probe.calls["trainer.teardown"] > 0
        self._is_done |= due
        return due


@pytest.mark.parametrize("kind", ERRORS)
@pytest.mark.parametrize("hook", HOOKS)
def test_an_error_reaches_the_caller_as_itself(parts, probe, hook, kind):
    error = kind("from the hook")
    raised_at = []

    def action():
        raised_at.append(time.monotonic())
        raise error

    probe.on(hook, action)
    # Hooks that nothing else reaches are reached by the shutdown at the end of this uptime.
    uptime = 0.5 if hook.endswith(("teardown", "save_state")) else 30.0
    with pytest.raises(kind) as caught:
        launch(**parts.arguments(save_state_condition=SaveOnce(probe), max_uptime=uptime))
    assert caught.value is error
    assert time.monotonic() - raised_at[0] < 2.0
    for part in ("agent", "environment", "trainer"):
        due = probe.completed[f"{part}.setup"]
        assert probe.calls[f"{part}.teardown"] == due, f"{part}: setup ran {due} times"


@pytest.mark.parametrize("kind", ERRORS)
@pytest.mark.parametrize("part", ["agent", "environment", "trainer"])
def test_an_error_while_loading_reaches_the_caller_before_any_thread_starts(parts, probe, part, kind):
    error = kind("from the hook")
    with parts.system() as system:
        saved = system.save_state()
    probe.log.clear()
    probe.raising(f"{part}.load_state", error)
    threads = set(threading.enumerate())
    with pytest.raises(kind) as caught:
        launch(**parts.arguments(saved_state_path=saved))
    assert caught.value is error
    assert set(threading.enumerate()) == threads
    assert not [entry for entry in probe.log if entry.endswith((".setup", ".step"))]


def test_an_error_ends_a_trainer_that_waits_for_data(parts, probe):
    """The training thread sleeps until new data comes, and nobody is left to send any."""
    asked = []

    def action():
        asked.append(1)
        if len(asked) == 2:  # the trainer has had the one item that there is, and waits
            gate.set()

    gate = threading.Event()

    def step():
        if probe.calls["agent.step"] > 1:
            assert gate.wait(30.0)
            raise ValueError("dead")

    probe.on("trainer.is_trainable", action)
    probe.on("agent.step", step)
    with pytest.raises(ValueError, match="dead"):
        launch(**parts.arguments(interval=None))


def test_errors_of_several_threads_are_raised_as_a_group(parts, probe):
    both = threading.Barrier(2)

    def raising(error):
        def action():
            both.wait(30.0)
            raise error

        return action

    probe.on("agent.on_paused", raising(ValueError("acting")))
    probe.on("trainer.on_paused", raising(KeyError("learning")))
    system = parts.system()
    system.start()
    with pytest.raises(RuntimeError, match="the system stops"):
        system.pause()
    with pytest.raises(ExceptionGroup) as caught:
        system.wait()
    assert {type(e) for e in caught.value.exceptions} == {ValueError, KeyError}


def test_a_session_and_its_teardown_that_both_raise_are_a_group(parts, probe):
    probe.raising("trainer.train", ValueError("train"))
    probe.raising("trainer.teardown", KeyError("teardown"))
    with pytest.raises(ExceptionGroup) as caught:
        launch(**parts.arguments())
    assert [type(e) for e in caught.value.exceptions] == [ValueError, KeyError]


def test_an_error_tells_its_thread_and_where_the_state_of_the_crashed_run_is(parts, probe):
    probe.raising("agent.step", ValueError("broken"))
    with pytest.raises(ValueError, match="broken") as caught:
        launch(**parts.arguments())
    (kept,) = parts.states_dir.iterdir()
    assert kept.suffix == ".crashed"
    assert "raised in the inference thread of the system" in caught.value.__notes__
    assert f"the state of the crashed run is in {kept}" in caught.value.__notes__


def test_the_state_of_a_crashed_run_is_not_resumed_from(parts, probe):
    probe.raising("agent.step", ValueError("broken"))
    with pytest.raises(ValueError, match="broken"):
        launch(**parts.arguments())
    (kept,) = parts.states_dir.iterdir()
    with pytest.raises(ValueError, match="is of a run that an error ended"):
        launch(**parts.arguments(saved_state_path=kept))
    probe.on("agent.step", lambda: None)
    launch(**parts.arguments(saved_state_path=kept, allow_crashed_state=True, max_uptime=0.01))
    assert probe.calls["agent.load_state"] == 1


def test_a_crashed_run_that_cannot_be_saved_still_raises_what_ended_it(parts, probe):
    probe.raising("agent.step", ValueError("broken"))
    probe.raising("trainer.save_state", OSError("disk full"))
    with pytest.raises(ValueError, match="broken") as caught:
        launch(**parts.arguments())
    assert any("trainers could not be saved: OSError('disk full')" in note for note in caught.value.__notes__)
    [kept] = parts.states_dir.iterdir()
    with pytest.raises(FileNotFoundError, match=r"has no trainers; trainers could not be saved: OSError"):
        parts.system(saved_state_path=kept, allow_crashed_state=True).start()


def test_the_traceback_is_kept_beside_the_state_of_a_crashed_run(parts, probe):
    probe.raising("agent.step", ValueError("broken"))
    with pytest.raises(ValueError, match="broken"):
        launch(**parts.arguments())
    [kept] = parts.states_dir.iterdir()
    text = (kept / "traceback.txt").read_text()
    assert text.startswith("Traceback (most recent call last):")
    assert "ValueError: broken\nraised in the inference thread of the system" in text


def test_an_error_in_the_save_condition_ends_the_system(parts):
    def condition():
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        launch(**parts.arguments(save_state_condition=condition))


def test_a_block_that_fails_because_the_system_stopped_raises_what_stopped_it(parts, probe):
    probe.raising("trainer.train", ValueError("broken"))
    with pytest.raises(ValueError, match="broken"), parts.system() as system:
        system.wait()
    with pytest.raises(ValueError, match="broken"), parts.system() as system:
        probe.wait_for("trainer.train")
        while True:
            system.pause()
            system.resume()


def test_a_block_and_a_system_that_both_raise_are_a_group(parts, probe):
    probe.raising("agent.teardown", ValueError("system"))
    with pytest.raises(ExceptionGroup) as caught, parts.system():
        probe.wait_for("agent.step")
        raise KeyError("block")
    assert [type(e) for e in caught.value.exceptions] == [KeyError, ValueError]
