"""What systems change in their process is put back when the last of them has ended."""

import ctypes
import gc
import sys
import weakref

import pytest

from pamiq_sched import Clock
from pamiq_sched.runtime.budget import Interpreter


@pytest.fixture(autouse=True)
def switch_interval():
    """The interval of the tests, which they must find again."""
    gc.unfreeze()  # Python 3.12 begins with some frozen objects
    before = sys.getswitchinterval()
    yield before
    after, frozen = sys.getswitchinterval(), gc.get_freeze_count()
    sys.setswitchinterval(before)
    gc.unfreeze()
    assert (after, frozen) == (before, 0)


@pytest.fixture
def interpreter():
    return Interpreter()


class Cycle:
    def __init__(self):
        self.itself = self


def test_a_running_system_has_its_switch_interval_and_puts_it_back(parts, switch_interval):
    seen = []
    parts.probe.on("agent.step", lambda: seen.append(sys.getswitchinterval()))
    with parts.system(switch_interval=0.002):
        parts.probe.wait_for("agent.step")
    assert seen[0] == pytest.approx(0.002)
    assert sys.getswitchinterval() == switch_interval


def test_the_switch_interval_is_put_back_when_the_system_fails(parts, switch_interval):
    parts.probe.raising("agent.step", RuntimeError("broken"))
    with pytest.raises(RuntimeError, match="broken"):
        parts.system(switch_interval=0.002).run()
    assert sys.getswitchinterval() == switch_interval


def test_a_system_that_cannot_start_changes_nothing(parts, switch_interval):
    with pytest.raises(FileNotFoundError):
        parts.system(switch_interval=0.002, saved_state_path="nowhere").start()
    assert sys.getswitchinterval() == switch_interval


def test_none_leaves_the_switch_interval_alone(parts, switch_interval):
    with parts.system(switch_interval=None):
        assert sys.getswitchinterval() == switch_interval


def test_a_running_system_keeps_what_was_there_out_of_collections(parts):
    with parts.system(freeze_garbage=True):
        assert gc.get_freeze_count() > 10_000
    assert gc.get_freeze_count() == 0


@pytest.mark.parametrize("first", [0, 1])
def test_of_two_systems_the_shorter_interval_counts_and_the_last_puts_it_back(interpreter, switch_interval, first):
    systems = [object(), object()]
    interpreter.prepare(systems[0], switch_interval=0.003, freeze_garbage=False)
    interpreter.prepare(systems[1], switch_interval=0.002, freeze_garbage=False)
    assert sys.getswitchinterval() == pytest.approx(0.002)
    interpreter.restore(systems[first])
    assert sys.getswitchinterval() == pytest.approx([0.002, 0.003][first])
    interpreter.restore(systems[1 - first])
    assert sys.getswitchinterval() == switch_interval


def test_an_interval_that_the_program_has_set_meanwhile_stays(interpreter, switch_interval):
    interpreter.prepare("system", switch_interval=0.002, freeze_garbage=False)
    sys.setswitchinterval(0.01)
    interpreter.restore("system")
    after = sys.getswitchinterval()
    sys.setswitchinterval(switch_interval)
    assert after == pytest.approx(0.01)


def test_restoring_twice_does_nothing_more(interpreter, switch_interval):
    interpreter.prepare("a", switch_interval=0.002, freeze_garbage=True)
    interpreter.prepare("b", switch_interval=0.003, freeze_garbage=True)
    interpreter.restore("a")
    interpreter.restore("a")
    assert sys.getswitchinterval() == pytest.approx(0.003)
    assert gc.get_freeze_count()
    interpreter.restore("b")


def test_garbage_is_collected_before_the_rest_is_frozen(interpreter):
    garbage = weakref.ref(Cycle())
    interpreter.prepare("system", switch_interval=None, freeze_garbage=True)
    try:
        assert garbage() is None
    finally:
        interpreter.restore("system")


def test_what_the_program_has_frozen_itself_stays_frozen(interpreter):
    gc.freeze()
    try:
        interpreter.prepare("system", switch_interval=None, freeze_garbage=True)
        interpreter.restore("system")
        assert gc.get_freeze_count()
    finally:
        gc.unfreeze()


def test_garbage_of_the_run_is_collected_as_ever(parts):
    made = []
    with parts.system(freeze_garbage=True):
        made.append(weakref.ref(Cycle()))
        gc.collect()
        assert made[0]() is None


def test_two_systems_at_a_time_share_the_settings(parts, tmp_path, switch_interval):
    other = type(parts)(tmp_path / "other")
    arguments = other.arguments(switch_interval=0.002)
    with parts.system(switch_interval=0.003) as first:
        second = type(first)(**arguments, clock=Clock())
        with second:
            assert sys.getswitchinterval() == pytest.approx(0.002)
        assert sys.getswitchinterval() == pytest.approx(0.003)
    assert sys.getswitchinterval() == switch_interval


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no timer slack")
def test_timers_of_the_inference_thread_are_sharp_and_of_others_untouched(parts):
    def slack():
        return ctypes.CDLL(None).prctl(30, 0, 0, 0, 0)  # PR_GET_TIMERSLACK

    before, seen = slack(), {}
    for hook in ("agent.step", "trainer.train"):
        parts.probe.on(hook, lambda hook=hook: seen.setdefault(hook, slack()))
    with parts.system():
        parts.probe.wait_for("trainer.train")
    assert seen == {"agent.step": 1, "trainer.train": before}
    assert slack() == before
