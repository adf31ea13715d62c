"""Each command of the command line, on a system that really runs."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pamiq_sched.console import main
from pamiq_sched.console.client import Client, find

PROGRAM = """
import sys, torch
from torch import nn
from pamiq_sched import (
    Agent, CosineCurve, Environment, FixedIntervalInteraction, LaunchConfig, Schedule, SequentialBuffer,
    TorchTrainer, TorchTrainingModel, launch,
)

class Still(Environment):
    def observe(self): return torch.zeros(2)
    def affect(self, action): pass

class Actor(Agent):
    def on_inference_models_attached(self): self.model = self.get_inference_model("line")
    def on_data_collectors_attached(self): self.collector = self.get_data_collector("seen")
    def step(self, observation):
        self.collector.collect(observation)
        self.log("return", 187.0)
        return self.model(observation)
    def teardown(self):
        if "--fails" in sys.argv: raise RuntimeError("diverged")

class Learner(TorchTrainer):
    def __init__(self): super().__init__("seen", min_buffer_size=1, min_new_data_count=1)
    def on_training_models_attached(self): self.model = self.get_training_model("line")
    def create_optimizers(self):
        self.adamw = torch.optim.AdamW(self.model.model.parameters(), lr=1e-3, weight_decay=0.01)
        return {"adamw": self.adamw}
    def create_schedules(self): return {"lr": Schedule(self.adamw, CosineCurve(1.0, 0.1, 10**6), "lr")}
    def train(self):
        self.get_data_user("seen").get_data()
        self.adamw.zero_grad()
        loss = self.model(torch.zeros(2)).square().sum()
        loss.backward()
        self.adamw.step()
        self.log("loss", loss)

launch(
    FixedIntervalInteraction.with_sleep_adjustor(Actor(), Still(), 0.02),
    {"line": TorchTrainingModel(nn.Linear(2, 1))}, {"seen": SequentialBuffer(100)}, {"learner": Learner()},
    LaunchConfig(states_dir="states", web_api_address=("127.0.0.1", 0)),
)
"""


class RealSystem:
    """A system in a process of its own, which acts."""

    def __init__(self, folder, *arguments):
        self.folder = folder
        self.run_dir = folder / "run"
        (folder / "program.py").write_text(PROGRAM)
        environment = os.environ | {
            "PAMIQ_SCHED_RUN_DIR": str(self.run_dir),
            "PYTHONPATH": str(Path(__file__).parents[2]),
        }
        self.process = subprocess.Popen(
            [sys.executable, "program.py", *arguments],
            cwd=folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        lines = []
        for line in self.process.stdout:
            lines.append(line)
            if "http://" in line:
                break
        else:
            self.close()
            pytest.fail(f"it did not start: {''.join(lines)}")

    def wait_until_it_learns(self):
        target = find(None, None, None)
        with Client(target.host, target.port, target.token) as client:
            for kind, value in client.events():
                if kind == "status" and "learner/loss" in value["numbers"]:
                    return

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    """A system for those commands that it survives."""
    system = RealSystem(tmp_path_factory.mktemp("running"))
    yield system
    system.close()


@pytest.fixture
def active(running, monkeypatch):
    """The same, which acts and is the only one to be found."""
    monkeypatch.setenv("PAMIQ_SCHED_RUN_DIR", str(running.run_dir))
    running.wait_until_it_learns()
    yield running
    assert main(["resume"]) == 0


@pytest.fixture
def start(tmp_path, monkeypatch):
    """A function that starts a system of the test's own."""
    systems = []

    def make(*arguments):
        systems.append(RealSystem(tmp_path, *arguments))
        monkeypatch.setenv("PAMIQ_SCHED_RUN_DIR", str(systems[-1].run_dir))
        systems[-1].wait_until_it_learns()
        return systems[-1]

    yield make
    for system in systems:
        system.close()


def state(capsys):
    """What the system says that it is."""
    assert main(["status", "--json"]) == 0
    return json.loads(capsys.readouterr().out)["state"]


def test_status_shows_all_parts(active, capsys):
    assert main(["status"]) == 0
    out = capsys.readouterr().out
    for part in (
        "program.py  active",
        f"pid {active.process.pid}",
        "of 50/s",
        "return 187",
        "learner",
        "loss ",
        "seen",
    ):
        assert part in out


def test_pause_and_resume_do_what_they_say(active, capsys):
    assert main(["pause"]) == 0
    assert capsys.readouterr().out == "paused\n"
    assert state(capsys) == "paused"
    assert main(["resume"]) == 0
    assert capsys.readouterr().out == "resumed\n"
    assert state(capsys) in ("active", "resuming")


def test_save_prints_a_state_that_is_whole(active, capsys):
    assert main(["save"]) == 0
    path = active.folder / capsys.readouterr().out.removesuffix("\n")
    assert main(["inspect", str(path)]) == 0


def test_watch_shows_it_once(active, capsys):
    assert main(["watch", "--once"]) == 0
    assert "program.py  active" in capsys.readouterr().out


def test_watch_draws_it_in_a_terminal(active, terminal):
    shown = terminal("watch")
    shown.wait_for("program.py")
    assert main(["pause"]) == 0
    shown.wait_for("paused")
    shown.type("q")
    assert shown.wait()[0] == 0


def test_the_console_sets_what_can_be_set(active, terminal):
    typed = terminal("console")
    typed.wait_for("(active) >")
    typed.type("set learner weight_d\t0.5\r")
    typed.wait_for("weight_decay of learner is 0.5")
    typed.wait_for("(active) >")
    typed.type("horizon learner lr 2000000\r")
    typed.wait_for("the horizon of lr of learner is 2000000")
    typed.wait_for("(active) >")
    typed.type("set learner lr 1\r")
    typed.wait_for("error: ")
    typed.wait_for("(active) >")
    typed.type("status\r")
    typed.wait_for("of 2,000,000 steps")
    typed.type("p\r")
    typed.wait_for("(paused) >")
    typed.type("q\r")
    assert typed.wait()[0] == 0


def test_a_wrong_token_changes_nothing(active, capsys):
    assert main(["pause", "--token", "wrong"]) == 3
    assert "does not take this token" in capsys.readouterr().err
    assert state(capsys) in ("active", "resuming")


def test_shutdown_waits_for_the_end(start, capsys):
    system = start()
    assert main(["shutdown"]) == 0
    assert capsys.readouterr().out == "the system has ended\n"
    system.process.communicate(timeout=30)
    assert system.process.returncode == 0
    assert main(["status"]) == 3


def test_watch_and_shutdown_tell_by_which_error_it_ended(start, capsys, terminal):
    system = start("--fails")
    shown = terminal("watch")
    shown.wait_for("q leaves")
    assert main(["shutdown"]) == 1
    assert "RuntimeError: diverged" in capsys.readouterr().err
    status, rest = shown.wait()
    assert status == 1
    assert "RuntimeError: diverged" in rest
    system.process.communicate(timeout=30)
