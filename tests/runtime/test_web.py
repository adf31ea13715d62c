"""HTTP control as a system's user has it: the port, the token, the real outcomes, and the end."""

import http.client
import json
import logging
import os
import select
import signal
import socket
import stat
import subprocess
import sys
import threading
from base64 import b64encode
from pathlib import Path

import pytest

from pamiq_sched import System
from pamiq_sched.runtime import web
from pamiq_sched.web.records import running

TOKEN = "a-token-that-nobody-guesses"  # noqa: S105 - of these systems alone


class Client:
    """Asks a system over HTTP, as curl does."""

    def __init__(self, system, token=TOKEN):
        self.port = int(system._watch._web.url.split(":")[2].split("/")[0])
        self.token = token

    def ask(self, method, path, body=None, **headers):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30.0)
        try:
            if self.token is not None:
                headers["Authorization"] = f"Bearer {self.token}"
            if body is not None:
                headers["Content-Type"] = "application/json"
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())
        finally:
            connection.close()

    def get(self, path):
        return self.ask("GET", path)

    def post(self, path, body=None):
        return self.ask("POST", path, body)


@pytest.fixture(autouse=True)
def own_records(tmp_path, monkeypatch):
    monkeypatch.setenv("PAMIQ_SCHED_RUN_DIR", str(tmp_path / "run"))


def served(parts, token=TOKEN, **config):
    return parts.system(web_api_address=("127.0.0.1", 0), web_api_token=token, **config)


def test_pause_save_resume_and_shutdown_answer_with_what_has_come_of_them(parts, probe):
    with served(parts) as system:
        client = Client(system)
        probe.wait_for("trainer.step")
        status, answer = client.post("/api/pause")
        assert (status, answer["result"], answer["state"]) == (200, "ok", "done")
        assert system.status().state.status_name == "paused"
        assert probe.calls["agent.on_paused"] == probe.calls["trainer.on_paused"] == 1
        assert client.get("/api/status")[1]["status"] == "paused"
        status, answer = client.post("/api/save-state")
        assert Path(answer["value"]) == system.status().last_saved.absolute()
        assert client.get("/api/status")[1]["last_saved"] == answer["value"]
        assert client.post("/api/resume")[1]["state"] == "done"
        assert client.get("/api/status")[1]["state"] in {"resuming", "active"}
        status, answer = client.post("/api/shutdown?wait=30")
        assert (status, answer["state"]) == (200, "done")
        assert system.wait(30.0)


def test_a_status_tells_of_every_part(parts, probe):
    with served(parts) as system:
        probe.wait_for("trainer.teardown")
        client = Client(system)
        client.post("/api/pause")  # the first step is over then, and its answer comes behind the status
        found = client.get("/api/status")[1]
    assert found["pid"] == os.getpid()
    assert found["interval"] == 0.002
    assert found["steps"] > 0
    assert found["trainers"]["trainer"]["steps"] >= 3
    assert found["buffers"]["data"]["max_size"] == 100
    assert found["step_times"]["count"] > 0


def test_a_pause_that_fails_answers_with_the_reason_and_the_stacks(parts, probe):
    config = {"timeout_for_all_threads_pause": 0.05, "max_attempts_to_pause_all_threads": 1}
    gate = probe.gate("trainer.step")
    with served(parts, **config) as system:
        probe.wait_for("trainer.step")
        status, answer = Client(system).post("/api/pause")
        gate.set()
    assert (status, answer["type"]) == (504, "TimeoutError")
    assert "training did not stop in 1 attempts" in answer["error"]


def test_a_setting_that_is_refused_is_told_as_the_system_says_it(parts):
    with served(parts) as system:
        client = Client(system)
        status, answer = client.post("/api/hyperparameters", {"trainer": "nobody", "name": "lr", "value": 1})
        assert (status, answer["error"]) == (422, "there is no trainer 'nobody'; there are: 'trainer'")
        status, answer = client.post("/api/horizon", {"trainer": "trainer", "schedule": "lr", "horizon": 5})
        assert status == 422
        assert "ProbedTrainer has no schedule 'lr'" in answer["error"]


def test_numbers_reach_the_history_of_the_server(parts, probe):
    arguments = parts.arguments(web_api_address=("127.0.0.1", 0), web_api_token=TOKEN, metrics_interval=0.01)
    trainer = arguments["trainers"]["trainer"]
    probe.on("trainer.step", lambda: trainer.log("loss", 0.25))
    with System(**arguments) as system:
        client = Client(system)
        for _ in range(1000):  # as often as it takes to be there; each asks over HTTP
            series = client.get("/api/history?names=trainer/loss")[1]["series"]
            if series:
                break
        assert set(series["trainer/loss"]["value"]) == {0.25}


def test_an_error_that_ends_the_run_is_the_answer_to_whoever_waits_for_the_end(parts, probe):
    with pytest.raises(ZeroDivisionError), served(parts) as system:
        probe.wait_for("agent.step")
        client = Client(system)
        outcome = []
        asked = threading.Thread(target=lambda: outcome.append(client.post("/api/shutdown?wait=30")))
        probe.raising("agent.teardown", ZeroDivisionError("on the way out"))
        asked.start()
        system.wait(30.0)
    asked.join(30.0)
    status, answer = outcome[0]
    assert status == 500
    assert "on the way out" in answer["error"]


@pytest.mark.parametrize(
    "authorization",
    [None, "Bearer wrong", "Basic " + b64encode(b"x:wrong").decode(), f"bearer{TOKEN}", "Basic =="],
)
def test_without_the_token_nothing_is_done(parts, probe, authorization):
    with served(parts) as system:
        client = Client(system, token=None)
        headers = {} if authorization is None else {"Authorization": authorization}
        assert client.ask("POST", "/api/pause", **headers)[0] == 401
        assert client.ask("GET", "/api/status", **headers)[0] == 401
        assert client.ask("POST", "/api/shutdown", **headers)[0] == 401
        assert system.status().state.status_name == "active"
    assert not probe.calls["agent.on_paused"]


def test_basic_authorization_is_as_good(parts):
    with served(parts) as system:
        basic = b64encode(f"x:{TOKEN}".encode()).decode()
        assert Client(system, token=None).ask("GET", "/api/status", Authorization=f"Basic {basic}")[0] == 200


def test_a_random_token_is_printed_once_and_kept_where_only_the_user_reads_it(parts, capfd, caplog):
    caplog.set_level(logging.DEBUG)
    with served(parts, token=True) as system:
        (record,) = running()
        (file,) = (Path(os.environ["PAMIQ_SCHED_RUN_DIR"])).iterdir()
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
        client = Client(system, token=record.token)
        assert client.get("/api/status")[0] == 200
    assert len(record.token) >= 24
    assert running() == []
    assert list(file.parent.iterdir()) == []
    printed = capfd.readouterr()
    assert printed.err.count(record.token) == 1
    assert record.token not in printed.out + caplog.text


def test_another_run_has_another_token(parts):
    tokens = set()
    for _ in range(2):
        with served(parts, token=True):
            tokens |= {record.token for record in running()}
    assert len(tokens) == 2


def test_without_a_token_loopback_is_open_to_this_machine(parts):
    with served(parts, token=False) as system:
        assert Client(system, token=None).get("/api/status")[0] == 200


def test_a_port_that_is_taken_is_an_error_of_the_start_before_anything_has_begun(parts, probe):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = taken.getsockname()
        system = parts.system(web_api_address=address)
        with pytest.raises(OSError, match=r"cannot serve HTTP control at web_api_address=.*choose another port"):
            system.run()
    assert not probe.log
    assert running() == []
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("pamiq")]


def test_a_host_that_is_none_is_an_error_of_the_start(parts):
    with pytest.raises(OSError, match="cannot serve HTTP control at web_api_address"):
        parts.system(web_api_address=("no.such.host.invalid", 0)).run()


def test_the_port_of_a_run_that_has_ended_is_free_again(parts, tmp_path):
    with served(parts) as system:
        client = Client(system)
        assert client.get("/api/status")[0] == 200
    with pytest.raises(ConnectionRefusedError):
        client.get("/api/status")
    with parts.system(web_api_address=("127.0.0.1", client.port), web_api_token=TOKEN):
        assert client.get("/api/status")[0] == 200


def test_what_fails_before_the_threads_ends_the_server_too(parts, tmp_path):
    system = served(parts, saved_state_path=tmp_path / "nothing")
    with pytest.raises(FileNotFoundError):
        system.start()
    assert running() == []


def test_without_an_address_there_is_no_process_and_no_port(parts):
    with parts.system() as system:
        assert system._watch._web is None
        assert running() == []


def test_a_missing_extra_is_named_with_its_command(parts, monkeypatch):
    monkeypatch.setattr(web.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r'starlette and uvicorn: pip install "pamiq-sched\[web\]"'):
        served(parts)


def test_a_server_that_dies_is_started_again_and_the_agent_does_not_notice(parts, probe, monkeypatch, caplog):
    monkeypatch.setattr(web, "LEAST_LIFE", 0.0)
    with served(parts) as system:
        client = Client(system)
        control = system._watch._web
        first = control._process
        again = threading.Event()
        control._is_serving = again
        os.kill(first.pid, signal.SIGKILL)
        assert again.wait(30.0)
        assert control._process is not first
        assert client.post("/api/pause")[1]["state"] == "done"
        assert client.post("/api/resume")[1]["state"] == "done"
    assert "ended by itself (exit status -9)" in caplog.text
    assert "the agent lives on, and it is started again" in caplog.text


def test_a_server_that_dies_at_once_is_not_started_for_ever(parts, probe, caplog):
    with served(parts) as system:
        control = system._watch._web
        os.kill(control._process.pid, signal.SIGKILL)
        assert control._has_ended.wait(30.0)
        steps = system.status().steps
        probe.wait_for("agent.step")
        assert system.status().state.status_name == "active"
        assert system.status().steps >= steps
    assert "the agent lives on, without it" in caplog.text


def test_a_server_that_hangs_is_killed_at_the_end(parts, monkeypatch, caplog):
    monkeypatch.setattr(web, "SECONDS_TO_END", 0.2)
    with served(parts) as system:
        process = system._watch._web._process
        os.kill(process.pid, signal.SIGSTOP)
    assert process.poll() == -signal.SIGKILL
    assert "did not end by itself; it is killed" in caplog.text


def test_a_server_that_hangs_costs_bounded_memory_and_holds_nobody_up(parts, probe):
    with served(parts, metrics_interval=0.01) as system:
        control = system._watch._web
        process = control._process
        os.kill(process.pid, signal.SIGSTOP)
        try:
            for _ in range(3 * web.MOST_WAITING):
                control.take([], [])
                control.note_change()
            assert control._out.qsize() <= web.MOST_WAITING + 16
            system.pause()
            system.resume()
        finally:
            os.kill(process.pid, signal.SIGCONT)
        assert Client(system).get("/api/status")[0] == 200


KILLED = """
import sys, threading
from pamiq_sched import FixedIntervalInteraction, System
from pamiq_sched.testing import FakeAgent, FakeEnvironment
system = System(
    FixedIntervalInteraction.with_sleep_adjustor(FakeAgent(), FakeEnvironment(), 0.01), {}, {}, {},
    config={"states_dir": sys.argv[1], "web_api_address": ("127.0.0.1", 0), "freeze_garbage": False},
)
system.start()
print(system._watch._web._process.pid, flush=True)
threading.Event().wait()
"""


def test_the_server_ends_with_a_process_that_is_killed(tmp_path):
    """No order reaches it any more: the end of the link has to do."""
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(tmp_path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    server = int(process.stdout.readline())
    watched = os.pidfd_open(server)
    process.kill()
    process.communicate()
    try:
        assert select.select([watched], [], [], 30.0)[0], "the server outlives its system"
    finally:
        os.close(watched)
    assert running() == []
