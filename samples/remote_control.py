"""A controller in another process pauses a running system over HTTP, repairs the environment, and resumes.

The main process has the agent, which moves a robot's joint along a wave. The joint is a simulator, reached by UDP:
it keeps the velocity that it was told last, and jams. The controller follows the numbers that the agent logs; when
the error is too large, it pauses the system, repairs the joint, and resumes.
"""

import argparse
import json
import math
import multiprocessing
import os
import socket
import sys
import time
from pathlib import Path
from statistics import fmean
from urllib.request import ProxyHandler, Request, build_opener

from matplotlib.figure import Figure

from pamiq_sched import Agent, Environment, FixedIntervalInteraction, JsonLinesSink, System, read_json_lines
from pamiq_sched.web.records import running

INTERVAL = 0.02  # seconds between two steps of the agent


def simulate(joint: socket.socket, jams_at: float) -> None:
    """Be the joint, which jams at that command; answer each by the position."""
    position, velocity, commands, moved = 0.0, 0.0, 0, time.monotonic()
    while True:
        command, sender = joint.recvfrom(64)
        now = time.monotonic()
        position += velocity * (now - moved) if commands < jams_at else 0.0
        commands, moved = commands + 1, now
        if command == b"repair":
            jams_at = math.inf
        else:
            velocity = float(command)
        joint.sendto(repr(position).encode(), sender)


class Joint(Environment[float, float]):
    """The joint, as others reach it."""

    def __init__(self, address: tuple[str, int]) -> None:
        super().__init__()
        self.position = 0.0
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.connect(address)
        self.socket.settimeout(30.0)

    def observe(self) -> float:
        return self.position

    def affect(self, action: float | str) -> None:
        self.socket.send(str(action).encode())
        self.position = float(self.socket.recv(64))

    def teardown(self) -> None:
        super().teardown()
        self.socket.close()


class Follower(Agent[float, float]):
    """Moves the joint along a wave, and lets go of it whenever the system is paused."""

    def __init__(self, joint: Joint) -> None:
        super().__init__()
        self.joint, self.phase = joint, 0.0

    def step(self, observation: float) -> float:
        self.phase += INTERVAL
        error = math.sin(self.phase) - observation
        self.log("error", abs(error))
        return math.cos(self.phase) + 5 * error

    def on_paused(self) -> None:
        super().on_paused()
        self.joint.affect(0.0)


def control(address: tuple[str, int], repair_seconds: float) -> None:
    """Control the system that the parent process runs."""
    system = next(record for record in running() if record.pid == os.getppid())
    url = f"http://{system.host}:{system.port}/api"
    http = build_opener(ProxyHandler({}))  # there is no proxy on the way to one's own machine
    http.addheaders = [("Authorization", f"Bearer {system.token}")]
    for line in http.open(f"{url}/events"):
        points = json.loads(line[6:]) if line.startswith(b"data: [") else []
        if any(name == "agent/error" and value > 0.4 for name, _, _, value, *_ in points):
            break
    # Answered when every thread stands still, and the agent has let go.
    http.open(Request(f"{url}/pause", method="POST"))  # noqa: S310 - an address of our own
    joint = Joint(address)
    joint.affect("repair")
    before = joint.position
    time.sleep(repair_seconds)
    joint.affect("repair")
    print(f"controller: repaired the joint; it moved by {joint.position - before:g} meanwhile", flush=True)
    http.open(Request(f"{url}/resume", method="POST"))  # noqa: S310


def draw(out: Path) -> None:
    run = read_json_lines(out / "metrics.jsonl")[-1]
    errors = {point.time - run.started: point.value for point in run.points if point.name == "agent/error"}
    states = [(event.time - run.started, event.text) for event in run.events if event.kind == "state"]
    paused = next(moment for moment, state in states if state == "paused")
    resumed = next(moment for moment, state in states if state == "active" and moment > paused)
    axes = (figure := Figure(figsize=(8, 3.5), layout="constrained")).subplots()
    axes.plot(list(errors), list(errors.values()), ".-", color="#0072B2")
    axes.axvspan(paused, resumed, color="#777777", alpha=0.35, linewidth=0)
    axes.set(xlabel="time (s)", ylabel="error of the agent", title="grey: paused, and repaired")
    figure.savefig(out / "remote_control.png", dpi=110)
    values = list(errors.values())
    worst = max(error for moment, error in errors.items() if moment < paused)
    print(f"error {fmean(values[:8]):.3f} at first, {worst:.3f} at the pause, {fmean(values[-8:]):.3f} at last")


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("runs/remote_control"), help="for numbers and picture")
    parser.add_argument("--short", action="store_true", help="as short as it can be")
    chosen = parser.parse_args(arguments)
    jams_at, seconds = (30, 1.0) if chosen.short else (300, 5.0)
    spawn = multiprocessing.get_context("spawn")
    config = {
        "states_dir": chosen.out / "states",
        "metrics_sinks": [JsonLinesSink(chosen.out / "metrics.jsonl")],
        "web_api_address": ("127.0.0.1", 0),  # a free port; the controller finds it, and the token of this run
    }
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as robot:
        robot.bind(("127.0.0.1", 0))
        spawn.Process(target=simulate, args=(robot, jams_at), daemon=True).start()
        controller = spawn.Process(target=control, args=(robot.getsockname(), 0.4 * seconds), daemon=True)
        joint = Joint(robot.getsockname())
        joint.affect(0.0)  # answered once the simulator is there
        interaction = FixedIntervalInteraction.with_sleep_adjustor(Follower(joint), joint, INTERVAL)
        with System(interaction, {}, {}, {}, config) as system:
            controller.start()
            controller.join(120.0)
            system.wait(seconds)
    if controller.exitcode == 0:
        draw(chosen.out)
    return int(controller.exitcode != 0)


if __name__ == "__main__":
    sys.exit(main())
