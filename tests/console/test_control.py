"""``pamiq-sched status|pause|resume|save|shutdown``, as they are called."""

import json
import signal
import subprocess
import sys

import pytest

from pamiq_sched.console import main
from pamiq_sched.web.records import published


@pytest.fixture
def call(capsys):
    """A function that calls the command; returns its status, and what it printed and complained of."""

    def run(*arguments):
        status = main(list(arguments))
        out, err = capsys.readouterr()
        return status, out, err

    return run


# Which system is meant.


def test_options_come_before_the_environment_and_that_before_what_runs_here(call, found, serve, monkeypatch):
    first, second = serve(token="a"), serve(token="b")  # noqa: S106 - of no real systems
    monkeypatch.setenv("PAMIQ_SCHED_PORT", str(first.port))
    monkeypatch.setenv("PAMIQ_SCHED_TOKEN", "a")
    assert call("status")[0] == 0
    assert (len(found.requests), len(first.requests), len(second.requests)) == (0, 1, 0)
    assert call("status", "--port", str(second.port), "--token", "b")[0] == 0
    assert (len(found.requests), len(first.requests), len(second.requests)) == (0, 1, 1)


def test_the_host_may_come_from_the_environment(call, found, monkeypatch):
    monkeypatch.setenv("PAMIQ_SCHED_HOST", "localhost")
    assert call("status")[0] == 0


def test_without_a_system_the_status_is_3(call):
    status, out, err = call("status")
    assert (status, out) == (3, "")
    assert err.startswith("error: no system that can be controlled runs here")
    assert err.count("\n") == 1


def test_several_systems_are_listed_in_one_line(call, system, serve):
    other = serve()
    with published(system.record(pid=1)), published(other.record(pid=2)):
        status, out, err = call("pause")
    assert (status, out) == (1, "")
    assert err.count("\n") == 1
    assert f":{system.port} " in err
    assert f":{other.port} " in err


def test_a_missing_token_is_3(call, system):
    status, out, err = call("status", "--port", str(system.port))
    assert (status, out) == (3, "")
    assert "wants a token" in err


@pytest.mark.parametrize(
    "arguments",
    [
        ["--host", "127.0.0.1:8391"],
        ["--host", "http://127.0.0.1"],
        ["--host", ""],
        ["--host", "a b"],
        ["--port", "0"],
        ["--port", "65536"],
        ["--port", "web"],
        ["--token", "a b"],
        ["--token", "ä"],
        ["--tokn", "a"],
    ],
)
def test_wrong_usage_is_2_and_asks_nobody(call, found, arguments):
    status, out, err = call("pause", *arguments)
    assert (status, out) == (2, "")
    assert arguments[0] in err
    assert found.requests == []


@pytest.mark.parametrize("wait", ["-1", "601", "soon"])
def test_a_wait_is_of_at_most_ten_minutes(call, found, wait):
    assert call("pause", "--wait", wait)[0] == 2
    assert found.requests == []


def test_a_host_may_stand_in_brackets(call):
    status, _, err = call("status", "--host", "[::1]", "--port", "9")
    assert status == 3
    assert "[::1]:9 cannot be reached" in err


# Orders.


@pytest.mark.parametrize(("command", "told"), [("pause", "paused\n"), ("resume", "resumed\n")])
def test_an_order_prints_what_became_of_it(call, found, command, told):
    found.done(f"/api/{command}")
    assert call(command) == (0, told, "")


def test_save_prints_the_path_and_nothing_else(call, found):
    found.done("/api/save-state", "runs/y.state")
    assert call("save", "--wait", "2") == (0, "runs/y.state\n", "")
    assert found.requests[-1][2] == {"wait": ["2.0"]}


def test_shutdown_waits_for_the_end(call, found):
    found.done("/api/shutdown")
    assert call("shutdown") == (0, "the system has ended\n", "")
    assert found.requests[-1][2] == {"wait": ["600.0"]}


def test_shutdown_need_not_wait(call, found):
    found.done("/api/shutdown", state="accepted")
    assert call("shutdown", "--no-wait") == (0, "the system shuts down\n", "")
    assert found.requests[-1][2] == {"wait": ["0.0"]}


def test_a_refusal_goes_to_stderr_with_its_stacks(call, found):
    found.failed("/api/pause", 504, 'training did not stop\n  File "train.py", line 3, in train')
    assert call("pause") == (1, "", 'error: training did not stop\n  File "train.py", line 3, in train\n')


def test_the_errors_that_ended_the_run_are_told(call, found):
    found.failed("/api/shutdown", 500, "Traceback ...\nRuntimeError: diverged", kind="RuntimeError")
    assert call("shutdown") == (1, "", "error: Traceback ...\nRuntimeError: diverged\n")


def test_an_order_that_takes_longer_is_not_told_as_done(call, found):
    found.outcomes["/api/save-state"] = (
        202,
        {"result": "pending", "id": "17", "command": "save", "state": "pending"},
    )
    status, out, err = call("save", "--wait", "0.5")
    assert (status, out) == (1, "")
    assert err.startswith("error: the save is not done after 0.5 s and goes on (command 17)")


def test_an_outcome_that_is_not_known_is_not_told_as_done(call, found):
    found.outcomes["/api/pause"] = (200, {"state": "perhaps"})
    status, out, _ = call("pause")
    assert (status, out) == (3, "")


def test_an_interruption_says_what_goes_on(found):
    """Ctrl-C while the system works is 130, and not the end of what it does."""
    found.done("/api/save-state", "y")
    found.may_answer.clear()
    called = subprocess.Popen(
        [sys.executable, "-m", "pamiq_sched", "save"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert found.asked.acquire(timeout=30)
    called.send_signal(signal.SIGINT)
    out, err = called.communicate(timeout=30)
    assert (called.returncode, out) == (130, "")
    assert err.startswith("error: interrupted; the save goes on")


# status


def test_status_tells_what_matters(call, found):
    status, out, err = call("status")
    assert (status, err) == (0, "")
    for part in (
        "cartpole_dqn.py  active  up 1:02:03",
        f"127.0.0.1:{found.port}",
        "123,456",
        "99.9/s of 100/s",
        "p50 1.20 ms p99 3.40 ms",
        "3 missed",
        "return 187",
        "dqn  training  400 steps  10 sessions  replay 32",
        "loss 0.125",
        "lr 0.001 at 400 of 1,000 steps",
        "50 %  500 of 1,000  7 dropped",
        "2 pauses  runs/x.state",
        "network  version 3  up to date",
    ):
        assert part in out
    assert "\x1b" not in out
    assert all(line == line.rstrip() for line in out.splitlines())
    assert "cycle_time" not in out


def test_status_names_stuck_threads_with_their_stacks(call, found):
    found.status["stuck"] = {"training": 'File "a.py", line 1\nFile "b.py", line 2\n  wait()'}
    out = call("status")[1]
    assert "stuck     training" in out
    assert out.index("wait()") < out.index("b.py") < out.index("a.py")


def test_status_as_json_is_the_answer(call, found):
    status, out, _ = call("status", "--json")
    assert status == 0
    assert json.loads(out) == found.status


def test_what_a_system_lacks_is_left_out(call, found):
    found.status = {"status": "offline", "state": "offline"}
    status, out, err = call("status")
    assert (status, err) == (0, "")
    assert out.startswith("a system  offline  up ?")


@pytest.mark.parametrize(
    "changes",
    [
        {"state": ""},
        {"uptime": "long"},
        {"steps": True},
        {"trainers": []},
        {"trainers": {"dqn": 7}},
        {"buffers": {"b": {"items": "many"}}},
        {"not_restored": {"a": 1}},
        {"numbers": {"a": 1}},
        {"steps": 1e400},
    ],
    ids=str,
)
def test_a_status_of_another_kind_is_one_line(call, found, changes):
    found.status |= changes
    status, out, err = call("status")
    assert (status, out) == (3, "")
    assert err.startswith("error: the system tells about itself what this version does not know: ")
    assert err.count("\n") == 1


def test_a_system_cannot_steer_the_terminal(call, found):
    found.status |= {
        "program": "\x1b[2J",
        "buffers": {"\x1b]0;x\x07": {"items": 1}},
        "stuck": {"a": "\x1b[31m"},
        "not_restored": ["\x9b2J"],
        "last_saved": "a\rb",
    }
    status, out, _ = call("status")
    assert status == 0
    assert not set(out) & set("\x1b\x07\x9b\r")


def test_help_does_not_load_what_it_does_not_need():
    code = (
        "import sys; from pamiq_sched.console import main; main(['--help']); "
        "print([m for m in ('torch', 'numpy', 'httpx2', 'prompt_toolkit', 'starlette') if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert out.splitlines()[-1] == "[]"
    commands = "status pause resume save shutdown watch console inspect preview report"
    for command in commands.split():
        assert f" {command} " in out
