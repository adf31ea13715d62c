"""The server's process, with a real link and real connections: it serves, and it ends with its system."""

import http.client
import json
import os
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

PATIENCE = 30.0
AUTHORITY = {"Authorization": "Bearer secret"}


class Child:
    """A serving process, as its system sees it: orders are taken by a thread."""

    def __init__(self, stderr):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self._link, theirs = socket.socketpair()
        with theirs:
            fds = self.listener.fileno(), theirs.fileno()
            self.process = subprocess.Popen(
                [sys.executable, "-m", "pamiq_sched.web", *map(str, fds)], pass_fds=fds, stderr=stderr
            )
        self._lines = self._link.makefile("rb")
        self.asked = []
        self.was_asked = threading.Event()
        self._held = False

    def say(self, **message):
        self._link.sendall(json.dumps(message).encode() + b"\n")

    def say_hello(self, status):
        hello = {"host": "127.0.0.1", "port": self.port, "token": "secret", "queue_size": 16}
        self.say(hello={**hello, "version": "0.1.0", "pid": os.getpid(), "program": "demo.py"})
        self.say(status=status)

    def hear(self):
        line = self._lines.readline()
        return json.loads(line) if line else None

    def obey(self):
        """Answer each order, until the other end closes; run by a thread of the test."""
        while (order := self.hear()) is not None:
            self.asked.append(order["verb"])
            if order["verb"] != "save":  # which takes for ever
                self.say(id=order["id"], result=None)
            self.was_asked.set()

    def end(self, *errors, told=True):
        if told:
            self.say(ended={"errors": errors})
        self._link.shutdown(socket.SHUT_WR)
        self.listener.close()

    def connect(self, sent=b""):
        connection = socket.create_connection(("127.0.0.1", self.port), PATIENCE)
        connection.sendall(sent)
        return connection

    def request(self, method, path, body=None, headers=AUTHORITY):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())
        finally:
            connection.close()

    def close(self):
        self.process.kill()
        self.process.wait()
        self.listener.close()
        self._lines.close()
        self._link.close()


@pytest.fixture
def status(request):
    """How a system is; what is looked at here is its state alone."""
    return {"state": "active", "trainers": {}, "buffers": {}, "models": {}}


@pytest.fixture
def start(status, tmp_path):
    """Start a serving process; what it writes is looked at in the end."""

    @contextmanager
    def start():
        said = tmp_path / "stderr"
        with said.open("wb") as stderr:
            child = Child(stderr)
            try:
                child.say_hello(status)
                assert child.hear() == {"ready": True}
                obeying = threading.Thread(target=child.obey)
                obeying.start()
                try:
                    yield child
                finally:
                    child.process.kill()
                    obeying.join(PATIENCE)
            finally:
                child.close()
        assert said.read_text() == ""

    return start


def test_it_serves_and_steps_back_behind_the_agent(start):
    with start() as child:
        assert child.request("GET", "/api/status")[1]["status"] == "active"
        assert child.request("POST", "/api/pause")[0] == 200
        assert child.asked == ["pause"]
        own = os.getpriority(os.PRIO_PROCESS, 0)
        assert os.getpriority(os.PRIO_PROCESS, child.process.pid) == min(own + 5, 19)


def test_it_loads_neither_torch_nor_numpy_nor_the_runtime():
    code = "import sys, pamiq_sched.web.server; print(*sorted(sys.modules))"
    loaded = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    ).stdout.split()
    assert "pamiq_sched.web.app" in loaded
    assert not {"torch", "numpy", "pamiq_sched.runtime"} & set(loaded)


def test_a_system_that_ends_before_it_says_anything_ends_it(tmp_path):
    with (tmp_path / "stderr").open("wb") as stderr:
        child = Child(stderr)
        try:
            child.end(told=False)
            assert child.process.wait(PATIENCE) == 0
        finally:
            child.close()
    assert (tmp_path / "stderr").read_text() == ""


def test_the_end_of_the_link_ends_it(start):
    """As when the system was killed: nobody is left to answer for."""
    with start() as child:
        waiting = child.connect(
            b"POST /api/save-state HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer secret\r\n\r\n"
        )
        stream = child.connect(
            b"GET /api/events HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer secret\r\n\r\n"
        )
        with waiting, stream:
            assert child.was_asked.wait(PATIENCE)
            child.end(told=False)
            assert child.process.wait(PATIENCE) == 0


def test_an_end_that_was_told_is_passed_on_and_then_ends_it(start):
    """A stream is told, who waits for the end is answered, and who waits for something else is too."""
    with start() as child, ThreadPoolExecutor(2) as pool:
        stream = http.client.HTTPConnection("127.0.0.1", child.port, timeout=PATIENCE)
        stream.request("GET", "/api/events", headers=AUTHORITY)
        answer = stream.getresponse()
        save = pool.submit(child.request, "POST", "/api/save-state")
        assert child.was_asked.wait(PATIENCE)
        child.was_asked.clear()
        shutdown = pool.submit(child.request, "POST", "/api/shutdown?wait=60")
        assert child.was_asked.wait(PATIENCE)
        child.end("Traceback\nValueError: no")
        text = answer.read().decode()
        stream.close()
        assert text.endswith('event: ended\ndata: {"errors":["Traceback\\nValueError: no"]}\n\n')
        status, told = shutdown.result(PATIENCE)
        assert (status, told["state"], told["error"]) == (500, "failed", "Traceback\nValueError: no")
        status, told = save.result(PATIENCE)
        assert (status, told["type"]) == (409, "SystemStoppedError")
        assert child.process.wait(PATIENCE) == 0


def test_who_does_not_read_does_not_hold_the_end_up(start):
    request = b"GET /api/events HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer secret\r\n\r\n"
    with start() as child, child.connect(request):
        child.end()
        assert child.process.wait(PATIENCE) == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=str)
def test_a_signal_of_the_terminal_does_not_end_it(start, number):
    with start() as child:
        child.process.send_signal(number)
        assert child.request("POST", "/api/pause")[0] == 200
        child.end()
        assert child.process.wait(PATIENCE) == 0


def test_a_message_that_is_none_ends_it_with_an_error(status, tmp_path):
    with (tmp_path / "stderr").open("wb") as stderr:
        child = Child(stderr)
        try:
            child.say_hello(status)
            child.hear()
            child._link.sendall(b"no json\n")
            assert child.process.wait(PATIENCE) == 1
        finally:
            child.close()
    assert "JSONDecodeError" in (tmp_path / "stderr").read_text()


def test_events_reach_a_browser(start):
    with start() as child:
        stream = http.client.HTTPConnection("127.0.0.1", child.port, timeout=PATIENCE)
        stream.request("GET", "/api/events", headers=AUTHORITY)
        answer = stream.getresponse()
        lines = iter(answer.readline, b"")
        assert next(line for line in lines if line.startswith(b"event")) == b"event: status\n"
        child.say(points=[["loss", 1.0, 2, float("nan"), 0.0, float("inf"), 3]], events=[])
        assert next(line for line in lines if b"loss" in line) == b'data: [["loss",1.0,2,null,0.0,null,3]]\n'
        child.say(status={"state": "paused"})
        assert next(line for line in lines if b"paused" in line).startswith(b'data: {"state":"paused"')
        stream.close()


def test_a_shutdown_gets_through_500_slow_connections(start):
    """In a few milliseconds; a loaded machine is given more than ten times what is promised."""
    with start() as child:
        half = b"POST /api/pause HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: "
        slow = [child.connect(half) for _ in range(500)]
        began = time.monotonic()
        status, told = child.request("POST", "/api/shutdown")
        took = time.monotonic() - began
        for connection in slow:
            connection.close()
        assert (status, told["state"]) == (200, "accepted")
        assert child.asked == ["shutdown"]
        assert took < 1.0


def test_where_few_files_may_be_open_a_request_is_answered_behind_more_connections(start):
    with start() as child:
        resource.prlimit(child.process.pid, resource.RLIMIT_NOFILE, (30, 30))
        # So many that to wait for each to be given up would take longer than our patience.
        slow = [child.connect(b"GET / ") for _ in range(300)]
        assert child.request("POST", "/api/shutdown")[0] == 200
        for connection in slow:
            connection.close()


@pytest.mark.parametrize("headers", [AUTHORITY, {}], ids=["with the token", "without"])
def test_a_flood_of_commands_has_little_effect_and_a_shutdown_gets_through(start, headers):
    with start() as child:
        with ThreadPoolExecutor(8) as pool:
            flood = [pool.submit(child.request, "POST", "/api/pause", None, headers) for _ in range(1000)]
            assert child.request("POST", "/api/shutdown")[0] == 200
            answers = [answer.result(PATIENCE)[0] for answer in flood]
        if headers:
            assert set(answers) <= {200, 429, 503}
            assert child.asked.count("pause") == answers.count(200)
            assert answers.count(429) > 0
        else:
            assert set(answers) == {401, 429}
            assert child.asked == ["shutdown"]


@pytest.mark.parametrize("length", [None, "10000000"], ids=["in chunks", "with its length"])
def test_a_body_of_10_mb_has_no_effect(start, length):
    headers = {**AUTHORITY, "Content-Type": "application/json"}
    body = bytes(10_000_000) if length else (bytes(65536) for _ in range(153))
    with start() as child:
        status, told = child.request("POST", "/api/pause", body, headers)
        assert (status, told) == (413, {"error": "a body must have at most 65536 bytes"})
        assert child.asked == []
        assert child.request("GET", "/api/status")[0] == 200
