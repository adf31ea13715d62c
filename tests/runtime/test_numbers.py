"""Numbers of a running system: what is logged, what the runtime adds, and sinks that fail."""

import logging
import threading

import pytest

from pamiq_sched import MetricsSink, System
from pamiq_sched.metrics.controls import Controls
from pamiq_sched.runtime import numbers


class Keeping(MetricsSink):
    """Keeps everything, and tells when a name has come."""

    def __init__(self):
        self.points, self.events, self.closed = [], [], 0
        self.threads = set()
        self._changed = threading.Condition()

    def write(self, points, events):
        self.threads.add(threading.current_thread().name)
        with self._changed:
            self.points += points
            self.events += events
            self._changed.notify_all()

    def close(self):
        self.closed += 1

    def names(self):
        return {point.name for point in self.points}

    def kinds(self):
        return [event.kind for event in self.events]

    def wait_for(self, condition):
        with self._changed:
            assert self._changed.wait_for(condition, 30.0), (self.names(), self.kinds())


@pytest.fixture
def sink():
    return Keeping()


def watched(parts, *sinks, **config):
    return parts.system(metrics_sinks=list(sinks), metrics_interval=0.01, **config)


def test_what_trainers_and_agents_log_arrives_by_their_names_with_their_steps(parts, probe, sink):
    arguments = parts.arguments(metrics_sinks=[sink], metrics_interval=0.01)
    trainer, agent = arguments["trainers"]["trainer"], arguments["interaction"].agent
    probe.on("trainer.step", lambda: trainer.log("loss", float(trainer.step_count)))
    probe.on("agent.step", lambda: agent.log("reward", 1.0))
    with System(**arguments):
        sink.wait_for(lambda: {"trainer/loss", "agent/reward"} <= sink.names())
    losses = [point for point in sink.points if point.name == "trainer/loss"]
    assert all(point.step == point.greatest for point in losses)
    assert sum(point.count for point in losses) == probe.calls["trainer.step"]
    rewards = [point for point in sink.points if point.name == "agent/reward"]
    assert sum(point.count for point in rewards) == probe.calls["agent.step"]
    # A step counts when it is over.
    assert rewards[-1].step == probe.calls["agent.step"] - 1
    assert sink.closed == 1


def test_the_runtime_adds_its_own(parts, sink, monkeypatch):
    monkeypatch.setattr(numbers, "SECONDS_BETWEEN_SAMPLES", 0.02)
    own = {
        "interaction/steps_per_second",
        "interaction/step_time_p50",
        "interaction/step_time_p99",
        "interaction/lateness_p99",
        "interaction/deadline_misses",
        "trainer/cycle_time",
        "trainer/sync_time",
        "buffers/data/items",
        "buffers/data/fill",
        "buffers/data/dropped",
    }
    with watched(parts, sink):
        sink.wait_for(lambda: own <= sink.names())
    fills = [point.value for point in sink.points if point.name == "buffers/data/fill"]
    assert all(0.0 <= fill <= 1.0 for fill in fills)


def test_events_tell_the_story_of_a_run(parts, sink, caplog):
    caplog.set_level(logging.INFO)
    with watched(parts, sink) as system:
        system.pause()
        saved = system.save_state()
        system.resume()
    assert sink.kinds()[0] == "started"
    assert sink.kinds()[-1] == "ended"
    states = [event.details["state"] for event in sink.events if event.kind == "state"]
    assert states[:6] == ["active", "pausing", "paused", "saving", "paused", "active"]
    assert states[-1] == "shutting down"
    assert str(saved) in [event.details["path"] for event in sink.events if event.kind == "saved"]
    assert (
        sum(f"saved the state {saved}" in event.text for event in sink.events) == 1
    )  # and not once more by the log
    assert sink.events[-1].details["errors"] == 0


def test_log_lines_are_events_while_it_runs(parts, sink):
    logger = logging.getLogger("user's own")
    before = list(logging.getLogger().handlers)
    with watched(parts, sink):
        logger.warning("the gripper is %s", "warm")
    logger.warning("after the end")
    texts = [(e.text, e.details["level"], e.details["logger"]) for e in sink.events if e.kind == "log"]
    assert ("the gripper is warm", "WARNING", "user's own") in texts
    assert not any("after the end" in text for text, _, _ in texts)
    assert logging.getLogger().handlers == before


def test_an_error_that_ends_the_run_is_an_event_with_its_traceback(parts, probe, sink):
    probe.raising("trainer.train", ZeroDivisionError("no learning rate"))
    with pytest.raises(ZeroDivisionError):
        watched(parts, sink).run()
    (error,) = [event for event in sink.events if event.kind == "error"]
    assert "no learning rate" in error.text
    assert 'in train\n    self.probe("trainer.train")' in error.text
    assert error.details["type"] == "ZeroDivisionError"
    assert sink.events[-1].details["errors"] == 1


def test_a_save_that_fails_is_an_event(parts, probe, sink):
    probe.raising("agent.save_state", OSError("no space left"))
    with pytest.raises(OSError, match="no space left"), watched(parts, sink) as system:
        with pytest.raises(OSError, match="no space left"):
            system.save_state()
        sink.wait_for(lambda: "save failed" in sink.kinds())


class Failing(Keeping):
    def __init__(self):
        super().__init__()
        self.calls = 0

    def write(self, points, events):
        self.calls += 1
        raise OSError("the share is gone")


def test_a_sink_that_fails_is_reported_once_and_neither_the_agent_nor_other_sinks_notice(
    parts, probe, sink, caplog
):
    failing = Failing()
    with watched(parts, failing, sink):
        sink.wait_for(lambda: any("Failing failed" in event.text for event in sink.events))
        probe.wait_for("agent.step")
        sink.wait_for(lambda: len(sink.points) > 20)
    assert failing.calls == 1
    assert failing.closed == 1
    assert [r.message for r in caplog.records if "sink" in r.message] == [
        "a sink of numbers has failed and gets no more: Failing"
    ]
    (event,) = [e for e in sink.events if "Failing failed" in e.text]
    assert "the share is gone" in event.text


class Raising(Keeping):
    def close(self):
        raise OSError("cannot flush")


def test_a_sink_that_cannot_be_closed_does_not_spoil_the_end(parts, caplog):
    with watched(parts, Raising()):
        pass
    assert "a sink of numbers could not be closed" in caplog.text


class Hanging(Keeping):
    def __init__(self):
        super().__init__()
        self.gate = threading.Event()
        self.reached = threading.Event()

    def write(self, points, events):
        self.reached.set()
        assert self.gate.wait(60.0)


def test_a_sink_that_hangs_holds_up_only_its_own_numbers(parts, probe, sink, monkeypatch, caplog):
    """Its queue fills up, which is said once; a shutdown gives it up with its stack."""
    monkeypatch.setattr(numbers, "MOST_BATCHES", 2)
    hanging = Hanging()
    with watched(parts, hanging, sink, shutdown_timeout=0.3):
        assert hanging.reached.wait(30.0)
        sink.wait_for(lambda: any("Hanging is too slow" in event.text for event in sink.events))
        count = len(sink.points)
        sink.wait_for(lambda: len(sink.points) > count + 20)
    assert "numbers are lost: the sink-Hanging thread does not end; it is at" in caplog.text
    assert "self.gate.wait(60.0)" in caplog.text
    hanging.gate.set()


def test_a_sink_of_a_system_that_cannot_start_is_closed(parts, sink, tmp_path):
    with pytest.raises(FileNotFoundError):
        watched(parts, sink, saved_state_path=tmp_path / "nothing").start()
    assert sink.closed == 1
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("pamiq")]


def test_each_sink_has_a_thread_of_its_own_and_none_is_left(parts, sink):
    other = Keeping()
    with watched(parts, sink, other):
        sink.wait_for(lambda: sink.points)
        other.wait_for(lambda: other.points)
    assert sink.threads == {"pamiq-sink-Keeping"}
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("pamiq")]


def test_without_sinks_there_is_no_thread_for_numbers(parts):
    with parts.system():
        assert not [t.name for t in threading.enumerate() if t.name.startswith(("pamiq-metrics", "pamiq-sink"))]


def test_a_number_that_cannot_be_had_costs_that_moment_only_and_is_said_once(parts, sink, monkeypatch, caplog):
    monkeypatch.setattr(numbers, "SECONDS_BETWEEN_SAMPLES", 0.0)
    arguments = parts.arguments(metrics_sinks=[sink], metrics_interval=0.01)
    trainer = arguments["trainers"]["trainer"]
    calls = []

    def controls():
        calls.append(None)
        if len(calls) < 4:
            raise RuntimeError("not now")
        return Controls()

    trainer.controls = controls
    with System(**arguments):
        sink.wait_for(lambda: sink.points)
    assert caplog.text.count("some numbers are lost (said once)") == 1


def test_steps_and_sessions_of_numbers_go_on_after_a_resume(parts, probe, sink):
    with watched(parts, sink) as system:
        sink.wait_for(lambda: "trainer/cycle_time" in sink.names())
        system.pause()
        saved = system.save_state()
    steps = max(point.step for point in sink.points if point.name == "trainer/cycle_time")
    again = Keeping()
    with watched(parts, again, saved_state_path=saved):
        again.wait_for(lambda: "trainer/cycle_time" in again.names())
    first = next(point for point in again.points if point.name == "trainer/cycle_time")
    assert first.step > 3
    assert steps > 0


def test_what_is_logged_after_the_end_or_in_a_system_that_nobody_watches_is_not_kept(parts, sink):
    arguments = parts.arguments(metrics_sinks=[sink], metrics_interval=0.01)
    trainer = arguments["trainers"]["trainer"]
    with System(**arguments):
        journal = trainer._journal
        sink.wait_for(lambda: sink.points)
    trainer.log("loss", 1.0)
    assert "loss" not in journal.lists
    assert "trainer/loss" not in sink.names()
    trainer.attach_journal(journal)  # of a system that was never started
    arguments["config"].pop("metrics_sinks")
    with System(**arguments):
        assert trainer._journal is not journal
