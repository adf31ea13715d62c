"""A small system that really answers, and a server in front of it, in this process."""

import asyncio
import json
from contextlib import asynccontextmanager
from dataclasses import replace

import httpx2
import pytest

from pamiq_sched.metrics import Event, Point
from pamiq_sched.web import app as app_module
from pamiq_sched.web.app import create_app
from pamiq_sched.web.commands import Commands
from pamiq_sched.web.link import CommandFailedError, Hello
from pamiq_sched.web.mirror import Mirror

TOKEN = "secret"  # noqa: S105 - of no real system

DURATIONS = {"count": 4, "p50": 0.001, "p99": 0.002, "max": 0.003, "longest": 0.004}

STATUS = {
    "state": "active",
    "uptime": 12.3,
    "started_at": 1764000000.0,
    "pid": 123,
    "program": "demo.py",
    "time_scale": 1.0,
    "steps": 1234,
    "steps_per_second": 99.9,
    "interval": 0.01,
    "deadline_misses": 0,
    "step_times": DURATIONS,
    "lateness": DURATIONS,
    "trainers": {
        "dqn": {
            "sessions": 10,
            "is_in_session": True,
            "steps": 400,
            "replay_ratio": None,
            "cycle_times": DURATIONS,
            "sync_times": DURATIONS,
            "hyperparameters": [
                {"optimizer": "adamw", "group": 0, "name": "lr", "value": 0.001, "schedule": "lr"},
                {"optimizer": "adamw", "group": 0, "name": "amsgrad", "value": False, "schedule": None},
            ],
            "schedules": [
                {"name": "lr", "values": [0.001], "t": 400.0, "by": "steps", "horizon": 1000.0},
                {"name": "epsilon", "values": [0.1], "t": 400.0, "by": "steps", "horizon": None},
            ],
        }
    },
    "buffers": {"transitions": {"items": 100, "max_size": None, "dropped": 0}},
    "models": {"network": {"version": 3, "versions_behind": 0, "seconds_behind": 0.1}},
    "pauses": 2,
    "last_saved": "runs/x.state",
    "last_saved_at": 1764000000.0,
    "is_saving": False,
    "stuck": {},
    "not_restored": [],
}


@pytest.fixture
def anyio_backend():
    return "asyncio"


class SmallSystem:
    """Takes orders and tells how it is, as a system does."""

    def __init__(self, mirror):
        self._mirror = mirror
        self.status = json.loads(json.dumps(STATUS))
        self.asked = []
        self.was_asked = asyncio.Event()
        self.gates = {}  # verb: an event that the order waits for
        self.failures = {}  # verb: what it fails with
        self.hyperparameters = {("dqn", "lr"): 0.001}

    async def ask(self, verb, arguments):
        self.asked.append((verb, dict(arguments)))
        self.was_asked.set()
        if verb in self.gates:
            await self.gates[verb].wait()
        if verb in self.failures:
            raise CommandFailedError(*self.failures[verb])
        return getattr(self, f"_{verb}")(**arguments)

    def be(self, state):
        self.status["state"] = state
        self._mirror.take_status(dict(self.status))

    def log(self, text, **details):
        self._mirror.take_batch([], [Event("log", 5.0, text, details)])

    def measure(self, name, value, time=1.0, step=1):
        self._mirror.take_batch([Point.single(name, time, step, value)], [])

    def _pause(self):
        self.be("paused")

    def _resume(self):
        self.be("active")

    def _save(self):
        return "runs/000001.state"

    def _shutdown(self):
        self.be("shutting down")

    def _set_hyperparameter(self, trainer, name, value, optimizer, group):
        if (trainer, name) not in self.hyperparameters:
            raise CommandFailedError("KeyError", f"there is no {name!r} in {trainer!r}")
        self.hyperparameters[trainer, name] = value

    def _set_horizon(self, trainer, schedule, horizon):
        if horizon <= 0:
            raise CommandFailedError("ValueError", f"horizon must be above 0, got {horizon}")


class Site:
    """A server in front of a small system."""

    def __init__(self, clock, **hello):
        defaults = Hello("127.0.0.1", 8391, TOKEN, 4, "0.1.0", 123, "demo.py")
        self.hello = replace(defaults, **hello)
        self.mirror = Mirror()
        self.system = SmallSystem(self.mirror)
        self.commands = Commands(self.system.ask, self.hello.queue_size)
        self.app = create_app(self.hello, self.mirror, self.commands, clock.time)

    def end(self, *errors):
        """What the process does when its system says that it has ended."""
        self.mirror.take_end(errors)
        self.commands.end(errors)

    async def request(self, method, path, *, token=TOKEN, base="http://127.0.0.1:8391", **given):
        headers = {"user-agent": "test", **given.pop("headers", {})}
        if token is not None:
            headers.setdefault("authorization", f"Bearer {token}")
        transport = httpx2.ASGITransport(self.app)
        async with httpx2.AsyncClient(transport=transport, base_url=base) as client, asyncio.timeout(30):
            return await client.request(method, path, headers=headers, **given)

    async def get(self, path, **given):
        return await self.request("GET", path, **given)

    async def post(self, path, **given):
        return await self.request("POST", path, **given)

    @asynccontextmanager
    async def exchange(self, method, path, body=(), headers=()):
        """A request by hand: its body comes in the given pieces, and what is sent can be held up."""
        exchange = Exchange(self.app, method, path, list(body), list(headers))
        async with asyncio.timeout(30):
            yield exchange
            await exchange.leave()


class Exchange:
    """A request whose sender may read slowly, and may leave."""

    def __init__(self, app, method, path, body, headers):
        target, _, query = path.partition("?")
        self.scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": method,
            "path": target,
            "raw_path": target.encode(),
            "query_string": query.encode(),
            "root_path": "",
            "scheme": "http",
            "headers": [(b"host", b"127.0.0.1:8391"), (b"authorization", f"Bearer {TOKEN}".encode()), *headers],
        }
        self._body = body
        self._left = asyncio.Event()
        self.reads = asyncio.Event()
        self.reads.set()
        self.status = None
        self._text = ""
        self._arrived = asyncio.Event()
        self.task = asyncio.ensure_future(app(self.scope, self._receive, self._send))

    async def _receive(self):
        if self._body:
            return {"type": "http.request", "body": self._body.pop(0), "more_body": True}
        if self._body is not None:
            self._body = None
            return {"type": "http.request", "body": b"", "more_body": False}
        await self._left.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message):
        await self.reads.wait()
        if message["type"] == "http.response.start":
            self.status = message["status"]
        else:
            self._text += message["body"].decode()
        self._arrived.set()

    async def event(self):
        """The next server-sent event: its name, and its value."""
        while True:
            block, separator, rest = self._text.partition("\n\n")
            if separator:
                self._text = rest
                lines = dict(line.split(": ", 1) for line in block.split("\n") if ": " in line)
                if "event" in lines:
                    return lines["event"], json.loads(lines["data"])
            else:
                self._arrived.clear()
                await self._arrived.wait()

    async def leave(self):
        self._left.set()
        self.reads.set()
        await asyncio.wait([self.task])
        self.task.result()


@pytest.fixture
def new_site(clock):
    """Make a server that was told something else at the beginning."""

    def make(**hello):
        site = Site(clock, **hello)
        site.system.be("active")
        return site

    return make


@pytest.fixture
async def site(new_site):
    """A server with the token "secret" that takes four commands at a time."""
    return new_site()


@pytest.fixture
async def silent_site(clock, monkeypatch):
    """One whose system has not told its status yet; it is not waited for."""
    monkeypatch.setattr(app_module, "PATIENCE_WITH_THE_FIRST_STATUS", 0.0)
    return Site(clock)
