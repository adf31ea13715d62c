"""Servers on loopback to speak to: one that answers as a system does, and some that do not."""

import fcntl
import json
import os
import pty
import queue
import select
import socket
import struct
import subprocess
import sys
import termios
import threading
import time
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import pytest

from pamiq_sched.web.records import Record, published

TIMES = {"count": 9, "p50": 0.0012, "p99": 0.0034, "max": 0.005, "longest": 0.01}
STATUS = {
    "status": "active",
    "state": "active",
    "uptime": 3723.5,
    "started_at": 1764000000.0,
    "pid": 4242,
    "program": "cartpole_dqn.py",
    "time_scale": 1.0,
    "steps": 123456,
    "steps_per_second": 99.9,
    "interval": 0.01,
    "deadline_misses": 3,
    "step_times": TIMES,
    "lateness": TIMES,
    "trainers": {
        "dqn": {
            "sessions": 10,
            "is_in_session": True,
            "steps": 400,
            "replay_ratio": 32.0,
            "cycle_times": TIMES,
            "sync_times": TIMES,
            "hyperparameters": [
                {"optimizer": "adamw", "group": 0, "name": "lr", "value": 0.001, "schedule": "lr"},
                {"optimizer": "adamw", "group": 0, "name": "weight_decay", "value": 0.01, "schedule": None},
            ],
            "schedules": [{"name": "lr", "values": [0.001], "t": 400.0, "by": "steps", "horizon": 1000.0}],
        }
    },
    "buffers": {"transitions": {"items": 500, "max_size": 1000, "dropped": 7}},
    "models": {"network": {"version": 3, "versions_behind": 0, "seconds_behind": 0.1}},
    "pauses": 2,
    "last_saved": "runs/x.state",
    "last_saved_at": 1764000000.0,
    "is_saving": False,
    "stuck": {},
    "not_restored": [],
    "numbers": {
        "dqn/loss": {"value": 0.125, "step": 400, "time": 1764000000.0},
        "dqn/cycle_time": {"value": 0.5, "step": 400, "time": 1764000000.0},
        "agent/return": {"value": 187.0, "step": 400, "time": 1764000000.0},
    },
}
HISTORY = {"now": 1764000001.0, "series": {}, "pauses": [], "saves": [], "log": [], "errors": [], "changes": []}


class FakeSystem:
    """Answers on loopback as the server of a system does; what it answers may be changed at any time."""

    def __init__(self, token=None, host="127.0.0.1"):
        self.token = token
        self.status = json.loads(json.dumps(STATUS))
        self.history = json.loads(json.dumps(HISTORY))
        self.outcomes = {}
        """By path: what is answered to an order, as (status, document)."""
        self.headers = {"X-Pamiq-Sched": "0.1.0"}
        self.requests = []
        """What was asked for: (method, path, query, headers, body)."""
        self.asked = threading.Semaphore(0)
        """Released at each order, before it is answered."""
        self.may_answer = threading.Event()
        """Clear it to let orders wait."""
        self.may_answer.set()
        self.streams = queue.Queue()
        """The open streams of events, each a queue to put text into; None closes it."""
        self._open = []
        system = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                system.answer(self, "GET")

            def do_POST(self):
                system.answer(self, "POST")

            def log_message(self, *_):
                pass

        class Server(ThreadingHTTPServer):
            address_family = socket.AF_INET6 if ":" in host else socket.AF_INET

            def handle_error(self, *_):
                pass  # who asked has gone

        self._server = Server((host, 0), Handler)
        self._server.daemon_threads = False
        self.host, self.port = self._server.server_address[:2]
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    def answer(self, handler, method):
        parts = urlsplit(handler.path)
        body = handler.rfile.read(int(handler.headers.get("Content-Length", 0)))
        self.requests.append((method, parts.path, parse_qs(parts.query), dict(handler.headers), body))
        if self.token is not None and handler.headers.get("Authorization") != f"Bearer {self.token}":
            self.send(handler, 401, {"error": "the token is missing or wrong"})
        elif parts.path == "/api/status":
            self.send(handler, 200, self.status)
        elif parts.path == "/api/history":
            self.send(handler, 200, self.history)
        elif parts.path == "/api/events":
            self.stream(handler)
        else:
            self.asked.release()
            self.may_answer.wait(30)
            self.send(handler, *self.outcomes.get(parts.path, (404, {"error": "Invalid API endpoint"})))

    def send(self, handler, status, document):
        text = json.dumps(document).encode()
        handler.send_response(status)
        for name, value in self.headers.items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(text)))
        handler.end_headers()
        handler.wfile.write(text)

    def stream(self, handler):
        handler.send_response(200)
        for name, value in self.headers.items():
            handler.send_header(name, value)
        handler.send_header("Content-Type", "text/event-stream")
        handler.send_header("Connection", "close")
        handler.end_headers()
        handler.close_connection = True
        messages = queue.Queue()
        self._open.append(messages)
        self.streams.put(messages)
        while (text := messages.get(timeout=60)) is not None:
            handler.wfile.write(text.encode())
            handler.wfile.flush()

    def done(self, path, value=None, state="done"):
        """Let an order succeed."""
        self.outcomes[path] = (
            200,
            {"result": "ok", "id": "17", "command": "c", "state": state, "value": value},
        )

    def failed(self, path, status, error, kind="TimeoutError"):
        """Let an order fail."""
        self.outcomes[path] = (
            status,
            {"error": error, "type": kind, "id": "17", "command": "c", "state": "failed"},
        )

    def record(self, **changes):
        """What a system notes about itself on its machine."""
        values = {
            "host": self.host,
            "port": self.port,
            "token": self.token,
            "pid": os.getpid(),
            "started_at": 1764000000.0,
            "program": "cartpole_dqn.py",
            "directory": "/home/runs",
        }
        return Record(**values | changes)

    def close(self):
        self.may_answer.set()
        for stream in self._open:
            stream.put(None)
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def message(kind, value):
    """A server-sent event."""
    return f"event: {kind}\ndata: {json.dumps(value)}\n\n"


@pytest.fixture(autouse=True)
def nothing_else_runs(tmp_path, monkeypatch):
    """Let no system of this machine be found but those of the test."""
    monkeypatch.setenv("PAMIQ_SCHED_RUN_DIR", str(tmp_path / "run"))
    for name in ("HOST", "PORT", "TOKEN"):
        monkeypatch.delenv(f"PAMIQ_SCHED_{name}", raising=False)


@pytest.fixture
def serve():
    """A function that starts a system's server."""
    systems = []

    def start(**arguments):
        systems.append(FakeSystem(**arguments))
        return systems[-1]

    yield start
    for system in systems:
        system.close()


@pytest.fixture
def system(serve):
    """A system that wants a token, as nearly all do."""
    return serve(token="secret")  # noqa: S106 - of no real system


@pytest.fixture
def found(system):
    """The same, which the command line finds by itself."""
    with published(system.record()):
        yield system


@pytest.fixture
def send_event():
    """A function that makes the text of an event."""
    return message


@pytest.fixture
def foreign():
    """A function that starts a server of raw bytes: ``talk`` is given each connection. Returns its port."""
    threads, sockets = [], []

    def start(talk):
        listener = socket.create_server(("127.0.0.1", 0))
        sockets.append(listener)

        def serve():
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    connection.settimeout(30)
                    with suppress(OSError):  # who asked has gone
                        talk(connection)

        threads.append(threading.Thread(target=serve))
        threads[-1].start()
        return listener.getsockname()[1]

    yield start
    for listener in sockets:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
    for thread in threads:
        thread.join()


TAKE_TERMINAL = """
import os, sys
terminal = os.open(sys.argv[1], os.O_RDWR)  # of a session without one: it becomes the session's
for fd in (0, 1, 2):
    os.dup2(terminal, fd)
os.execv(sys.executable, [sys.executable, "-m", "pamiq_sched", *sys.argv[2:]])
"""


class Terminal:
    """The command in a terminal of its own."""

    def __init__(self, *arguments, columns=80, lines=24, kind="xterm-256color"):
        self._ours, self._theirs = pty.openpty()
        fcntl.ioctl(self._theirs, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        self.before = termios.tcgetattr(self._theirs)
        self.text = ""
        """All that was printed."""
        environment = os.environ | {"TERM": kind, "PROMPT_TOOLKIT_NO_CPR": "1"}  # nothing answers here
        for name in ("COLUMNS", "LINES", "NO_COLOR"):
            environment.pop(name, None)
        self.process = subprocess.Popen(
            [sys.executable, "-c", TAKE_TERMINAL, os.ttyname(self._theirs), *arguments],
            start_new_session=True,
            env=environment,
            stdin=subprocess.DEVNULL,
        )

    def type(self, text):
        os.write(self._ours, text.encode())

    def mode(self):
        """How the terminal is set."""
        return termios.tcgetattr(self._theirs)

    def wait_for(self, text):
        """Read until a text has been printed; what was printed up to it is forgotten."""
        deadline = time.monotonic() + 30
        while text not in self.text:
            ready, _, _ = select.select([self._ours], [], [], max(0, deadline - time.monotonic()))
            assert ready, f"{text!r} was not printed, but {self.text[-3000:]!r}"
            self.text += os.read(self._ours, 65536).decode(errors="replace")
        before, _, self.text = self.text.partition(text)
        return before

    def wait(self):
        """Wait for the end; return the status and what was printed since."""
        deadline = time.monotonic() + 30
        while self.process.poll() is None:
            assert time.monotonic() < deadline, f"it goes on: {self.text[-3000:]!r}"
            if select.select([self._ours], [], [], 0.01)[0]:
                self.text += os.read(self._ours, 65536).decode(errors="replace")
        while select.select([self._ours], [], [], 0)[0]:
            self.text += os.read(self._ours, 65536).decode(errors="replace")
        return self.process.returncode, self.text

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self._ours)
        os.close(self._theirs)


@pytest.fixture
def terminal():
    """A function that calls the command in a terminal."""
    terminals = []

    def call(*arguments, **kind):
        terminals.append(Terminal(*arguments, **kind))
        return terminals[-1]

    yield call
    for each in terminals:
        each.close()
