"""``pamiq-sched console``, typed in a terminal and piped in."""

import io
import json
import re
import subprocess
import sys

import pytest

from pamiq_sched.console import main
from pamiq_sched.console.client import Client, Target
from pamiq_sched.console.prompt import Commands


@pytest.fixture
def piped(capsys, monkeypatch):
    """A function that pipes lines in; returns the status, and what was printed and complained of."""

    def call(*lines):
        monkeypatch.setattr(sys, "stdin", io.StringIO("".join(f"{line}\n" for line in lines)))
        status = main(["console"])
        out, err = capsys.readouterr()
        return status, out, err

    return call


@pytest.fixture
def commands(found):
    """What can be typed."""
    with Client(found.host, found.port, found.token) as client:
        yield Commands(client, Target(found.host, found.port, found.token))


def shown(text):
    """A screen's text without what steers the terminal."""
    return re.sub(r"\x1b(\[[0-9;?]*[A-Za-z]|\][^\x07]*\x07|[=>])", "", text)


# Piped in.


def test_each_line_is_a_command(piped, found):
    found.done("/api/pause")
    found.done("/api/save-state", "runs/y.state")
    found.done("/api/resume")
    assert piped("pause", "  # a comment", "", "save", "r", "status")[:2][0] == 0
    assert [path for _, path, *_ in found.requests[1:]] == [
        "/api/pause",
        "/api/save-state",
        "/api/resume",
        "/api/status",
    ]


def test_the_output_is_that_of_the_commands(piped, found):
    found.done("/api/pause")
    found.done("/api/save-state", "runs/y.state")
    assert piped("p", "save") == (0, "paused\nruns/y.state\n", "")


def test_the_status_is_that_of_the_first_failure_and_the_rest_is_carried_out(piped, found):
    found.failed("/api/save-state", 500, "the disk is full", kind="OSError")
    found.done("/api/resume")
    assert piped("save", "nonsense", "resume") == (
        1,
        "resumed\n",
        "error: the disk is full\nerror: there is no command 'nonsense'; help lists them\n",
    )


def test_quit_leaves_the_rest(piped, found):
    assert piped("q", "pause") == (0, "", "")


def test_shutdown_asks_nobody_where_nobody_is_and_ends_it(piped, found):
    found.done("/api/shutdown")
    assert piped("shutdown", "status") == (0, "the system has ended\n", "")


def test_a_run_that_ends_by_an_error_is_told(piped, found):
    found.failed("/api/shutdown", 500, "RuntimeError: diverged", kind="RuntimeError")
    assert piped("shutdown", "status") == (1, "", "error: RuntimeError: diverged\n")


@pytest.mark.parametrize(
    "line",
    [
        "pause now",
        "set dqn weight_decay",
        "set dqn weight_decay much",
        "set dqn weight_decay nan",
        "set dqn weight_decay 1 adamw first",
        "horizon dqn lr",
        "horizon dqn lr inf",
        "help nonsense",
        "save 'a",
    ],
)
def test_wrong_usage_is_2_and_asks_nobody(piped, found, line):
    status, out, err = piped(line)
    assert (status, out) == (2, "")
    assert err.startswith("error: ")
    assert [path for _, path, *_ in found.requests] == ["/api/status"]


@pytest.mark.parametrize(
    ("line", "body"),
    [
        ("set dqn weight_decay 1e-2", {"value": 0.01}),
        ("set dqn amsgrad true", {"name": "amsgrad", "value": True}),
        ("set dqn weight_decay 2 adamw 1", {"value": 2.0, "optimizer": "adamw", "group": 1}),
    ],
)
def test_set_sends_what_was_typed(piped, found, line, body):
    found.done("/api/hyperparameters")
    status, out, _ = piped(line)
    assert status == 0
    assert out.startswith(f"{body.get('name', 'weight_decay')} of dqn is ")
    assert json.loads(found.requests[-1][4]) == {"trainer": "dqn", "name": "weight_decay"} | body


def test_horizon_sends_what_was_typed(piped, found):
    found.done("/api/horizon")
    assert piped("horizon dqn lr 20000") == (0, "the horizon of lr of dqn is 20000\n", "")
    assert json.loads(found.requests[-1][4]) == {"trainer": "dqn", "schedule": "lr", "horizon": 20000.0}


def test_a_refusal_tells_why(piped, found):
    found.failed("/api/hyperparameters", 422, "weight_decay must be at least 0, got -1.0", kind="ValueError")
    assert piped("set dqn weight_decay -1") == (1, "", "error: weight_decay must be at least 0, got -1.0\n")


def test_help_tells_of_each_command(piped, found):
    _, out, _ = piped("help")
    for name in ("help", "pause", "resume", "save", "shutdown", "status", "watch", "set", "horizon", "quit"):
        assert re.search(rf"^{name}\b", out, re.MULTILINE)
    assert "(p)" in out
    assert max(map(len, out.splitlines())) <= 80
    _, out, _ = piped("h set")
    assert out.startswith("set TRAINER NAME VALUE")
    assert "pause" not in out


def test_watch_shows_it_once_where_there_is_no_terminal(piped, found):
    status, out, _ = piped("watch")
    assert status == 0
    assert "cartpole_dqn.py  active" in out


def test_no_system_is_3(piped):
    status, _, err = piped("status")
    assert status == 3
    assert "no system" in err


# What is completed.


@pytest.mark.parametrize(
    ("words", "names"),
    [
        (["set"], ["dqn"]),
        (["set", "dqn"], ["weight_decay"]),
        (["set", "nobody"], []),
        (["set", "dqn", "weight_decay"], []),
        (["horizon"], ["dqn"]),
        (["horizon", "dqn"], ["lr"]),
        (["pause"], []),
        (["nonsense"], []),
    ],
)
def test_names_of_the_system_are_completed(commands, words, names):
    assert commands.complete(words) == names


def test_commands_are_completed(commands):
    assert commands.complete([]) == commands.complete(["help"])
    assert "shutdown" in commands.complete([])


# In a terminal.


def test_the_prompt_shows_the_state_as_it_changes(terminal, found, send_event):
    typed = terminal("console")
    typed.wait_for("(active) >")
    found.streams.get(timeout=30).put(send_event("status", found.status | {"state": "paused"}))
    typed.wait_for("paused")
    typed.type("q\r")
    assert typed.wait()[0] == 0
    assert typed.mode() == typed.before


def test_what_is_typed_is_completed_and_carried_out(terminal, found):
    found.done("/api/hyperparameters")
    typed = terminal("console")
    typed.wait_for("(active) >")
    typed.type("set d\t")
    typed.wait_for("qn")
    typed.type("wei\t")
    typed.wait_for("ght_decay")
    typed.type("0.5\r")
    typed.wait_for("weight_decay of dqn is 0.5")
    typed.wait_for("(active) >")
    typed.type("\x04")
    assert typed.wait()[0] == 0


def test_shutdown_is_asked_for_twice(terminal, found):
    found.done("/api/shutdown")
    typed = terminal("console")
    typed.wait_for("(active) >")
    typed.type("shutdown\r")
    typed.wait_for("End the run? [y/N]")
    typed.type("\r")
    typed.wait_for("it goes on")
    assert not found.asked.acquire(blocking=False)
    typed.wait_for("(active) >")
    typed.type("shutdown\r")
    typed.wait_for("End the run? [y/N]")
    typed.type("y\r")
    typed.wait_for("the system has ended")
    assert typed.wait()[0] == 0


def test_an_interruption_forgets_what_was_typed(terminal, found):
    typed = terminal("console")
    typed.wait_for("(active) >")
    typed.type("shutdown\x03")
    typed.wait_for("(active) >")
    typed.type("q\r")
    assert typed.wait()[0] == 0
    assert not found.asked.acquire(blocking=False)


def test_an_interruption_while_it_waits_comes_back_to_the_prompt(terminal, found):
    found.may_answer.clear()
    typed = terminal("console")
    typed.wait_for("(active) >")
    typed.type("pause\r")
    assert found.asked.acquire(timeout=30)
    typed.type("\x03")
    typed.wait_for("interrupted; the pause goes on")
    typed.wait_for("(active) >")
    typed.type("q\r")
    assert typed.wait()[0] == 0


def test_it_ends_with_the_system_while_the_prompt_waits(terminal, found, send_event):
    typed = terminal("console")
    typed.wait_for("(active) >")
    found.streams.get(timeout=30).put(send_event("ended", {"errors": ["RuntimeError: diverged"]}))
    status, rest = typed.wait()
    assert status == 1
    assert "the system was ended by 1 error" in shown(rest)
    assert typed.mode() == typed.before


def test_watch_comes_back_to_the_prompt(terminal, found):
    typed = terminal("console")
    typed.wait_for("(active) >")
    typed.type("watch\r")
    typed.wait_for("q leaves")
    typed.type("q")
    typed.wait_for("(active) >")
    typed.type("q\r")
    assert typed.wait()[0] == 0


def test_a_pipe_ends_as_a_process(found):
    """The same by a real pipe."""
    found.done("/api/pause")
    command = [sys.executable, "-m", "pamiq_sched", "console"]
    done = subprocess.run(command, input="pause", capture_output=True, text=True, timeout=60, check=True)
    assert (done.stdout, done.stderr) == ("paused\n", "")
