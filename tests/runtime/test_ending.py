"""A system ends from every state, by call and by signal, and leaves nothing behind."""

import atexit
import contextlib
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time

import pytest

from pamiq_sched import SystemStatus, inspect_state, launch, system_clock
from pamiq_sched.runtime.control import ControlThread

STATES = ["active", "pausing", "paused", "saving", "training", "sleeping"]


class Situation:
    """Brings a running system into one of the states, and lets its user code go on."""

    def __init__(self, parts, state):
        self.state = state
        self.probe = parts.probe
        self.gate = None
        self.system = parts.system(interval=3600.0 if state == "sleeping" else 0.002)
        self._asking = None

    def reach(self):
        probe, system = self.probe, self.system
        if self.state == "sleeping":
            probe.wait_for("environment.affect")
        elif self.state == "training":
            self.gate = probe.gate("trainer.step")
            probe.wait_for("trainer.step")
        else:
            probe.wait_for("trainer.step")
        if self.state == "paused":
            system.pause()
        elif self.state == "pausing":
            self.gate = probe.gate("agent.on_paused")
            self._ask(system.pause)
            probe.wait_for("agent.on_paused")
        elif self.state == "saving":
            self.gate = probe.gate("trainer.save_state")
            self._ask(system.save_state)
            probe.wait_for("trainer.save_state")

    def _ask(self, what):
        def ask():
            with contextlib.suppress(RuntimeError):  # a pause that the shutdown cut short
                what()

        self._asking = threading.Thread(target=ask)
        self._asking.start()

    def let_user_code_go_on(self):
        if self.gate is not None:
            self.gate.set()

    def check(self, parts):
        if self._asking is not None:
            self._asking.join(30.0)
        assert self.system.status().state is SystemStatus.OFFLINE
        assert not [t for t in threading.enumerate() if t.name.startswith("pamiq-")]
        assert not system_clock().is_paused()
        for part in ("agent", "environment", "trainer"):
            assert self.probe.calls[f"{part}.teardown"] == self.probe.completed[f"{part}.setup"]
            assert self.probe.calls[f"{part}.on_paused"] == self.probe.calls[f"{part}.on_resumed"]
        published = [p.name for p in parts.states_dir.iterdir()]
        assert published
        assert not [n for n in published if n.startswith(".") or n.endswith(".crashed")]


@pytest.mark.parametrize("state", STATES)
def test_shutdown_from_every_state(parts, state):
    situation = Situation(parts, state)
    situation.system.start()
    situation.reach()
    situation.system.shutdown(wait=False)
    situation.let_user_code_go_on()
    start = time.monotonic()
    assert situation.system.wait(30.0)
    assert time.monotonic() - start < 2.0
    situation.check(parts)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("state", STATES)
def test_a_signal_from_every_state(parts, state, number):
    situation = Situation(parts, state)
    signalled_at = []

    def control():
        situation.reach()
        signalled_at.append(time.monotonic())
        os.kill(os.getpid(), number)
        situation.let_user_code_go_on()

    handlers = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    controller = threading.Thread(target=control)
    controller.start()
    situation.system.run()
    assert time.monotonic() - signalled_at[0] < 2.0
    controller.join(30.0)
    situation.check(parts)
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == handlers


def test_a_signal_that_lands_in_another_thread_ends_it_too(parts, probe):
    """The interpreter runs handlers on the main thread, which sleeps: nothing there is interrupted."""

    def control():
        probe.wait_for("agent.step")
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
        os.kill(os.getpid(), signal.SIGTERM)

    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})  # threads started from here inherit it
    try:
        controller = threading.Thread(target=control)
        controller.start()
        parts.system().run()
        controller.join(30.0)
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})


@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_of_either_kind_ends_the_process_at_once(tmp_path, second):
    """In a process of its own, whose trainer never comes back."""
    code = f"""
        import threading
        from pamiq_sched import Interaction, Trainer, launch
        from pamiq_sched.testing import FakeAgent, FakeEnvironment
        class Stuck(Trainer):
            def train(self):
                print("training", flush=True)
                threading.Event().wait()
        class Agent(FakeAgent):
            def teardown(self):
                print("shutting down", flush=True)
        config = {{"states_dir": {str(tmp_path)!r}}}
        launch(Interaction(Agent(), FakeEnvironment()), {{}}, {{}}, {{"t": Stuck()}}, config)
    """
    process = subprocess.Popen([sys.executable, "-c", textwrap.dedent(code)], stdout=subprocess.PIPE, text=True)
    with process:
        assert process.stdout.readline() == "training\n"
        process.send_signal(signal.SIGTERM)
        assert process.stdout.readline() == "shutting down\n"
        process.send_signal(second)
        assert process.wait(30.0) == -second


def test_a_program_that_ends_without_ending_its_system_still_saves(tmp_path):
    code = f"""
        from pamiq_sched import Interaction, System
        from pamiq_sched.testing import FakeAgent, FakeEnvironment
        config = {{"states_dir": {str(tmp_path)!r}}}
        System(Interaction(FakeAgent(), FakeEnvironment()), {{}}, {{}}, {{}}, config).start()
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=True, timeout=60)
    assert [p.suffix for p in tmp_path.iterdir()] == [".state"]


def test_where_no_thread_can_be_made_a_state_is_saved_all_the_same(parts, probe, monkeypatch):
    """As at the exit of a program in Python 3.12, or in a process that has too many."""
    original = threading.Thread.start

    def start(thread):
        if thread.name == "pamiq-saving":
            raise RuntimeError("can't create new thread at interpreter shutdown")
        original(thread)

    monkeypatch.setattr(threading.Thread, "start", start)
    with parts.system() as system:
        probe.wait_for("agent.step")
        saved = system.save_state()
    assert inspect_state(saved).verifies
    assert system.status().last_saved not in {None, saved}


def test_a_system_that_is_over_before_start_returns_leaves_no_handler_at_exit(parts, probe, monkeypatch):
    """It would raise what ended the system once more when the program ends."""
    probe.raising("agent.setup", ValueError("at once"))
    original = ControlThread.start

    def start_and_wait_for_the_end(self, *args):
        original(self, *args)
        assert self.ended.wait(30.0)

    at_exit = []
    monkeypatch.setattr(atexit, "register", at_exit.append)
    monkeypatch.setattr(atexit, "unregister", lambda hook: at_exit.remove(hook) if hook in at_exit else None)
    monkeypatch.setattr(ControlThread, "start", start_and_wait_for_the_end)
    with pytest.raises(ValueError, match="at once"):
        parts.system().run()
    assert at_exit == []


def test_launch_off_the_main_thread_needs_no_signals(parts):
    outcome = []
    thread = threading.Thread(target=lambda: outcome.append(launch(**parts.arguments(max_uptime=0.05))))
    thread.start()
    thread.join(30.0)
    assert outcome == [None]


def test_max_uptime_counts_agent_time(parts):
    start = time.monotonic()
    launch(**parts.arguments(max_uptime=100.0, time_scale=1000.0))
    assert time.monotonic() - start < 50.0
    assert system_clock().get_time_scale() == 1.0


def test_a_scale_changed_on_the_way_moves_the_end(parts, probe):
    """Nothing looks at the clock in between: the change itself wakes the control thread."""
    with parts.system(max_uptime=3600.0) as system:
        probe.wait_for("agent.step")
        assert not system.wait(0)
        system_clock().set_time_scale(1e6)
        assert system.wait(30.0)


def test_a_thread_that_never_ends_is_given_up_with_its_stack(parts, probe):
    gate = probe.gate("trainer.step")
    system = parts.system(shutdown_timeout=0.05)
    system.start()
    probe.wait_for("trainer.step")
    with pytest.raises(TimeoutError, match=r"threads must end within 0\.05 s[^$]*the training thread is at"):
        system.shutdown()
    assert not parts.states_dir.exists(), "threads still run: what would be saved is no state"
    assert not system_clock().is_paused()
    gate.set()


def test_shutting_down_twice_is_as_good_as_once(parts):
    system = parts.system()
    system.shutdown()  # not even started
    system.start()
    system.shutdown()
    system.shutdown()
    assert system.wait()


def test_a_system_that_has_ended_refuses_commands(parts):
    with parts.system() as system:
        pass
    for ask_for in (system.pause, system.resume, system.save_state):
        with pytest.raises(RuntimeError, match="the system has ended"):
            ask_for()


def test_a_system_that_is_not_started_says_so(parts):
    system = parts.system()
    for ask_for in (system.pause, system.resume, system.save_state, system.wait):
        with pytest.raises(RuntimeError, match="is not started"):
            ask_for()
    assert system.status().state is SystemStatus.OFFLINE


def test_a_system_runs_once(parts):
    with parts.system() as system:
        pass
    with pytest.raises(RuntimeError, match="runs once"):
        system.start()


def test_two_systems_on_one_clock_are_refused(parts):
    with parts.system(), pytest.raises(RuntimeError, match="another System runs on this clock"):
        parts.system().start()
    with parts.system():
        pass  # and afterwards it is free again


def test_a_start_that_failed_leaves_nothing_to_wait_for(parts, tmp_path):
    system = parts.system(saved_state_path=tmp_path / "nothing", time_scale=2.0)
    with pytest.raises(FileNotFoundError, match="is not a saved state"):
        system.start()
    assert system.wait(0)
    system.shutdown()
    with parts.system():
        pass


def test_a_shutdown_comes_ahead_of_saves_that_wait(parts, probe):
    gate = probe.gate("trainer.save_state")
    outcomes = []

    def save():
        try:
            system.save_state()
            outcomes.append("saved")
        except RuntimeError:
            outcomes.append("refused")

    with parts.system() as system:
        probe.wait_for("agent.step")
        saving = [threading.Thread(target=save) for _ in range(3)]
        saving[0].start()
        probe.wait_for("trainer.save_state")
        queued = threading.Semaphore(0)
        submit = system._control.submit
        system._control.submit = lambda *args, **kwargs: (submit(*args, **kwargs), queued.release())[0]
        for thread in saving[1:]:
            thread.start()
            assert queued.acquire(timeout=30.0)
        system.shutdown(wait=False)
        gate.set()
        for thread in saving:
            thread.join(30.0)
    assert sorted(outcomes) == ["refused", "refused", "saved"]


def test_commands_that_are_waiting_at_the_end_are_refused(parts, probe):
    """A save blocks the control thread; a pause, a shutdown and a resume queue up behind it."""
    gate = probe.gate("trainer.save_state")
    refused = []

    def ask(what):
        try:
            what()
        except RuntimeError as error:
            refused.append(str(error))

    with parts.system() as system:
        probe.wait_for("agent.step")
        saving = threading.Thread(target=system.save_state)
        saving.start()
        probe.wait_for("trainer.save_state")
        system.shutdown(wait=False)
        asking = threading.Thread(target=ask, args=(system.pause,))
        asking.start()
        gate.set()
        asking.join(30.0)
        saving.join(30.0)
    assert len(refused) == 1
    assert refused[0].startswith("cannot pause: the system has ended")
