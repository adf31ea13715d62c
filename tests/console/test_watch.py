"""``pamiq-sched watch``, in a terminal and without one."""

import os
import signal
import subprocess
import sys

import pytest

from pamiq_sched.console import main
from pamiq_sched.console.client import Target
from pamiq_sched.console.snapshot import Snapshot
from pamiq_sched.console.watching import View

ENTERS = "\x1b[?1049h"
LEAVES = "\x1b[?1049l"
SHOWS_CURSOR = "\x1b[?25h"


def event(kind, text, at=1764000000.0, **details):
    return {"kind": kind, "time": at, "text": text, "details": details}


@pytest.fixture
def view(found):
    """What is shown of the system that answers."""
    return View(Target("127.0.0.1", 8391), Snapshot.of(found.status))


@pytest.fixture
def watching(found):
    """``watch`` without a terminal, as a process."""
    process = subprocess.Popen(
        [sys.executable, "-m", "pamiq_sched", "watch"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    yield process
    if process.poll() is None:
        process.kill()
    process.communicate()


# The picture.


@pytest.mark.parametrize("width", [1, 20, 80, 300])
@pytest.mark.parametrize("height", [1, 2, 5, 24, 100])
def test_the_picture_fits_the_terminal(found, width, height):
    found.status["stuck"] = {"training": "\n".join(f"line {i}" for i in range(50))}
    found.status["trainers"] |= {f"trainer{i}": found.status["trainers"]["dqn"] for i in range(20)}
    found.status["buffers"] |= {"日本語" * 10: {"items": 1, "max_size": 3}}
    view = View(Target("127.0.0.1", 8391), Snapshot.of(found.status))
    for i in range(300):
        view.take("event", event("log", f"line {i} " + "x" * 200, level="INFO"))
    lines = view.lines(width, height, ascii_only=False)
    assert len(lines) <= height
    assert all(line.cell_len <= width for line in lines)


def test_a_usual_picture_has_everything_in_80_by_24(view):
    view.take("event", event("log", "hello", level="WARNING"))
    text = "\n".join(line.plain for line in view.lines(80, 24, ascii_only=False))
    for part in (
        "active",
        "3 missed",
        "loss 0.125",
        "lr 0.001",
        "█░",
        "ago",
        "version 3",
        "WARNING hello",
        "q leaves",
    ):
        assert part in text
    assert "…" not in text


def test_bars_are_plain_where_the_encoding_is(view):
    text = "\n".join(line.plain for line in view.lines(80, 24, ascii_only=True))
    assert "##########.........." in text


def test_what_does_not_fit_is_counted(found):
    found.status["trainers"] = {f"trainer{i}": found.status["trainers"]["dqn"] for i in range(9)}
    view = View(Target("127.0.0.1", 8391), Snapshot.of(found.status))
    text = "\n".join(line.plain for line in view.lines(80, 24, ascii_only=False))
    assert "trainer0" in text
    assert "more lines" in text
    assert "transitions" in text


def test_the_latest_happenings_are_kept(view):
    for i in range(1000):
        view.take("event", event("log", f"number {i}", level="INFO"))
    text = "\n".join(line.plain for line in view.lines(80, 24, ascii_only=False))
    assert "number 999" in text
    assert "number 900" not in text


def test_an_error_is_told_by_what_was_raised(view):
    trace = "Traceback (most recent call last):\n  File\nRuntimeError: diverged\nraised in the training thread"
    assert view.take("event", event("error", trace, type="RuntimeError")).text == "RuntimeError: diverged"


def test_the_stop_for_a_save_is_not_told(view):
    view.take("event", event("state", "active", at=0.0, state="active"))
    for i, state in enumerate(["pausing", "paused", "saving", "paused", "active"]):
        view.take("event", event("state", state, at=50 + i / 10, state=state))
    lines = [line.plain for line in view.lines(80, 24, ascii_only=False)]
    assert not any(line.endswith("  paused") for line in lines)
    assert len([line for line in lines if line.endswith("  active")]) == 1


def test_a_pause_is_told(view):
    view.take("event", event("state", "active", at=0.0, state="active"))
    view.take("event", event("state", "paused", at=50.0, state="paused"))
    view.take("event", event("state", "active", at=60.0, state="active"))
    lines = [line.plain for line in view.lines(80, 24, ascii_only=False)]
    assert [line.split()[-1] for line in lines if line.endswith(("  paused", "  active"))] == [
        "active",
        "paused",
        "active",
    ]


def test_a_lost_connection_is_shown_until_it_is_back(view, found):
    assert "connection is lost" in view.take("lost", "nothing listens there").text
    assert view.take("lost", "nothing listens there") is None
    assert "no connection for" in view.lines(80, 24, ascii_only=False)[1].plain
    assert view.take("status", found.status).text == "connected again"
    assert "no connection" not in view.lines(80, 24, ascii_only=False)[1].plain


# Without a terminal.


def test_once_shows_it_once(found, capsys):
    found.history["log"] = [event("log", "it began", level="INFO")]
    assert main(["watch", "--once"]) == 0
    out = capsys.readouterr().out
    assert "cartpole_dqn.py  active" in out
    assert "INFO it began" in out
    assert "\x1b" not in out


def test_lines_tell_what_happens_until_the_end(watching, found, send_event):
    stream = found.streams.get(timeout=30)
    assert "active  123,456 steps  99.9/s" in watching.stdout.readline()
    stream.put(send_event("status", found.status | {"state": "paused"}))
    assert "  paused  123,456 steps" in watching.stdout.readline()
    stream.put(send_event("event", event("saved", "saved runs/z.state")))
    assert watching.stdout.readline().endswith("  saved runs/z.state\n")
    stream.put(send_event("ended", {"errors": []}))
    assert watching.communicate(timeout=30) == ("the system has ended\n", "")
    assert watching.returncode == 0


def test_a_run_that_was_ended_by_an_error_is_1(watching, found, send_event):
    found.streams.get(timeout=30).put(send_event("ended", {"errors": ["Traceback ...\nRuntimeError: diverged"]}))
    out, err = watching.communicate(timeout=30)
    assert out.endswith("the system has ended\n")
    assert err == "error: the system was ended by 1 error:\nTraceback ...\nRuntimeError: diverged\n"
    assert watching.returncode == 1


def test_a_connection_that_breaks_is_made_again(watching, found, send_event):
    found.streams.get(timeout=30).put(None)
    watching.stdout.readline()
    assert "the connection is lost, trying again" in watching.stdout.readline()
    stream = found.streams.get(timeout=30)
    stream.put(send_event("status", found.status))
    assert "connected again" in watching.stdout.readline()
    stream.put(send_event("ended", {"errors": []}))
    assert watching.wait(timeout=30) == 0


def test_a_token_that_is_no_longer_right_ends_it(watching, found):
    stream = found.streams.get(timeout=30)
    found.token = "another"  # noqa: S105 - of no real system
    stream.put(None)
    _, err = watching.communicate(timeout=30)
    assert "does not take this token" in err
    assert watching.returncode == 3


def test_a_stream_of_nonsense_is_one_line(watching, found, send_event):
    found.streams.get(timeout=30).put(send_event("status", [7]))
    _, err = watching.communicate(timeout=30)
    assert err.startswith("error: the system tells about itself what this version does not know")
    assert err.count("\n") == 1
    assert watching.returncode == 3


def test_an_interruption_leaves_quietly(watching, found):
    found.streams.get(timeout=30)
    watching.stdout.readline()
    watching.send_signal(signal.SIGINT)
    assert watching.communicate(timeout=30) == ("", "")
    assert watching.returncode == 0


# In a terminal.


def test_it_draws_what_changes_and_q_leaves_the_terminal_as_it_was(terminal, found, send_event):
    shown = terminal("watch")
    shown.wait_for(ENTERS)
    shown.wait_for("123,456")
    found.streams.get(timeout=30).put(send_event("status", found.status | {"state": "paused", "steps": 777}))
    shown.wait_for("paused")
    shown.wait_for("777")
    assert shown.mode() != shown.before
    shown.type("q")
    status, rest = shown.wait()
    assert status == 0
    assert LEAVES in rest
    assert rest.rindex(SHOWS_CURSOR) > rest.rindex("\x1b[?25l") if "\x1b[?25l" in rest else True
    assert shown.mode() == shown.before


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGINT, 0), (signal.SIGTERM, 143), (signal.SIGQUIT, 131)], ids=str
)
def test_a_signal_leaves_the_terminal_as_it_was(terminal, found, number, status):
    shown = terminal("watch")
    shown.wait_for("q leaves")
    shown.process.send_signal(number)
    code, rest = shown.wait()
    assert code == status
    assert LEAVES in rest
    assert shown.mode() == shown.before


def test_it_ends_with_the_system_and_tells_how(terminal, found, send_event):
    shown = terminal("watch")
    shown.wait_for("q leaves")
    found.streams.get(timeout=30).put(send_event("ended", {"errors": ["RuntimeError: diverged"]}))
    status, rest = shown.wait()
    assert status == 1
    assert "RuntimeError: diverged" in rest.partition(LEAVES)[2]
    assert shown.mode() == shown.before


def test_nonsense_leaves_the_terminal_as_it_was(terminal, found, send_event):
    shown = terminal("watch")
    shown.wait_for("q leaves")
    found.streams.get(timeout=30).put(send_event("status", {"state": 7, "steps": "x"}))
    status, rest = shown.wait()
    assert status == 3
    assert "error: the system tells" in rest.partition(LEAVES)[2]
    assert shown.mode() == shown.before


def test_suspended_it_gives_the_terminal_back_and_draws_again(terminal, found):
    shown = terminal("watch")
    shown.wait_for("q leaves")
    shown.process.send_signal(signal.SIGTSTP)
    shown.wait_for(LEAVES)
    # The session has no shell, so the kernel lets nobody stop in it: what counts is that it draws again.
    os.kill(shown.process.pid, signal.SIGCONT)
    shown.wait_for(ENTERS)
    shown.type("q")
    assert shown.wait()[0] == 0
    assert shown.mode() == shown.before


def test_a_terminal_that_cannot_draw_gets_lines(terminal, found, send_event):
    shown = terminal("watch", kind="dumb")
    shown.wait_for("active  123,456 steps")
    found.streams.get(timeout=30).put(send_event("ended", {"errors": []}))
    status, rest = shown.wait()
    assert status == 0
    assert ENTERS not in rest
