"""How long an agent waits for its network while its HTTP control is watched, and while it is attacked.

An agent at 100 Hz asks the network of :mod:`benchmarks.learning` at every step; nothing is trained. In turns of
three seconds: nobody is connected; a browser's stream of live numbers is; 500 connections are held open that send
a byte now and then, while four clients send commands as fast as they are answered, one without the token, one with
a wrong one, two with the right one. The attack comes from a process of the same machine, whose cores it takes as
well. Then, under that attack, how long a shutdown takes to be accepted.
"""

from __future__ import annotations

import http.client
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from statistics import median
from time import perf_counter

from benchmarks import learning
from benchmarks.inference_latency import Span, asking_agent, turn
from benchmarks.interactions import at_fixed_intervals
from benchmarks.process import ROOT
from benchmarks.report import Numbers, Row
from benchmarks.systems import running

ROUNDS = 5
SLOW_CONNECTIONS = 500
FLOODS = (None, "wrong", "right", "right")
"""What each flooding client shows for a token."""
TOKEN = "token-of-a-benchmark"  # noqa: S105


def measure(library: str) -> Numbers:
    if library != "pamiq_sched":
        return {}
    from pamiq_sched import TorchTrainingModel
    from pamiq_sched.web.records import running as records

    calls: list[Span] = []
    load = learning.Load()
    turns: dict[str, list[Numbers]] = {"quiet": [], "watched": [], "attacked": []}
    answers: list[int] = []
    with running(
        library,
        at_fixed_intervals(library, 0.01, asking_agent(library, calls)),
        models={"network": TorchTrainingModel(learning.network())},
        web_api_address=("127.0.0.1", 0),
        web_api_token=TOKEN,
    ):
        (port,) = [record.port for record in records() if record.token == TOKEN]
        for _ in range(ROUNDS):
            turns["quiet"].append(turn(calls, load))
            with _watched(port):
                turns["watched"].append(turn(calls, load))
            with _attacked(port) as counts:
                turns["attacked"].append(turn(calls, load))
            answers.append(sum(counts))
        with _attacked(port):
            time.sleep(1.0)
            start = perf_counter()
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
            connection.request("POST", "/api/shutdown", headers={"Authorization": f"Bearer {TOKEN}"})
            accepted = connection.getresponse().status == 200
            shutdown = perf_counter() - start
    return {
        **{
            f"{kind}_{name}": median(t[name] for t in all_)
            for kind, all_ in turns.items()
            for name in ("p50", "p99")
        },
        "answers": median(answers) / 3.3,
        "shutdown": 1e3 * shutdown if accepted else float("inf"),
    }


def rows(ours: Numbers, _peer: Numbers) -> list[Row]:
    table = [Row("inference p99, nobody connected", "ms", ours["quiet_p99"])]
    for kind, what in (("watched", "a dashboard open"), ("attacked", "under 500 slow connections and a flood")):
        table.append(Row(f"inference p99, {what}", "ms", ours[f"{kind}_p99"]))
        table.append(Row("  / nobody connected", "x", ours[f"{kind}_p99"] / ours["quiet_p99"], goal=2))
    return [
        *table,
        Row("  requests of the flood answered", "/s", ours["answers"]),
        Row("a shutdown accepted under that", "ms", ours["shutdown"], goal=100),
    ]


@contextmanager
def _watched(port: int) -> Iterator[None]:
    request = f"GET /api/events HTTP/1.1\r\nHost: localhost:{port}\r\nAuthorization: Bearer {TOKEN}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", port)) as stream:
        stream.sendall(request.encode())

        def read() -> None:
            while stream.recv(1 << 16):
                pass

        reader = threading.Thread(target=read)
        reader.start()
        try:
            yield
        finally:
            stream.shutdown(socket.SHUT_RDWR)
            reader.join()


@contextmanager
def _attacked(port: int) -> Iterator[list[int]]:
    """Attack for the length of the block; behind it the list has how many answers each client got."""
    command = [sys.executable, "-m", "benchmarks.attack", str(port), str(SLOW_CONNECTIONS), TOKEN]
    command += [token or "" for token in FLOODS]
    counts: list[int] = []
    with subprocess.Popen(  # noqa: S603 - a module of this package
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as attacker:
        assert attacker.stdout is not None
        assert attacker.stdin is not None
        attacker.stdout.readline()  # it is under way
        try:
            yield counts
        finally:
            attacker.stdin.close()
            counts += map(int, attacker.stdout.read().split())
