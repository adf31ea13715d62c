"""A user's typed project passes strict type checkers against the installed package; mistakes in it do not."""

from __future__ import annotations

import ast
import importlib
import json
import shutil
import subprocess
import sys
import sysconfig
from functools import cache
from pathlib import Path

import pytest

import pamiq_sched
from tests.packaging.building import built, folder, run

pytestmark = [pytest.mark.package, pytest.mark.timeout(600)]

PROJECT = Path(__file__).with_name("user_project")
ROOMS = ("data", "gym", "interaction", "metrics", "optim", "runtime", "state", "testing", "torch", "trainer")

PLANTED = """from __future__ import annotations

from torch import Tensor

from pamiq_sched import Agent, LaunchConfig, Status
from pamiq_sched import Trainerr  # wrong
from pamiq_sched.optim import Schedul  # wrong
from rover.models import Policy
from rover.trainers import Imitation


class Backwards(Agent[Tensor, float]):
    def step(self, observation: float) -> float:  # wrong
        return observation


class Driver(Agent[Tensor, float]):
    def step(self, observation: Tensor) -> str:  # wrong
        return "left"


def mistaken(status: Status, trainer: Imitation) -> str:
    LaunchConfig(max_uptime="an hour")  # wrong
    trainer.get_torch_training_model("policy", Policy).model.forward(1)  # wrong
    print(Trainerr, Schedul)
    return status.steps  # wrong
"""


@cache
def environment() -> Path:
    """An environment with the wheel, and with all that this one has beside the package; its interpreter."""
    made = folder() / "typing"
    run(sys.executable, "-m", "venv", "--without-pip", made)
    python = made / "bin" / "python"
    site = Path(run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip())
    (site / "beside.pth").write_text(sysconfig.get_path("purelib"), encoding="utf-8")
    shutil.unpack_archive(built()[1], site, "zip")
    return python


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """The project, in a folder of its own."""
    return shutil.copytree(PROJECT, tmp_path / "project", ignore=shutil.ignore_patterns("__pycache__"))


def check(*command: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run a type checker of this environment on a project, where nothing but the installed package is found."""
    return subprocess.run(
        [sys.executable, "-m", *(str(part) for part in command)],
        check=False,
        capture_output=True,
        text=True,
        cwd=cwd,
    )


def mypy(project: Path) -> list[str]:
    """What mypy says, strict and without a configuration of its own."""
    cache = folder() / "mypy"
    options = ["--strict", "--config-file=", f"--cache-dir={cache}", f"--python-executable={environment()}"]
    done = check("mypy", *options, "rover", "tests", cwd=project)
    assert done.returncode in {0, 1}, done.stdout + done.stderr
    return [line for line in done.stdout.splitlines() if ": error:" in line]


def pyright(project: Path) -> list[str]:
    """What pyright says in its strict mode."""
    pytest.importorskip("pyright", reason="pyright is not installed")
    configuration = {"include": ["rover", "tests"], "typeCheckingMode": "strict"}
    (project / "pyrightconfig.json").write_text(json.dumps(configuration), encoding="utf-8")
    done = check("pyright", "--outputjson", "--pythonpath", environment(), cwd=project)
    if not done.stdout.startswith("{"):
        pytest.skip(f"pyright does not start here: {done.stderr.strip()[-500:]}")
    said = json.loads(done.stdout[: done.stdout.rindex("}") + 1])
    assert said["summary"]["filesAnalyzed"] > 10
    return [
        f"{Path(found['file']).relative_to(project)}:{found['range']['start']['line'] + 1}: {found['message']}"
        for found in said["generalDiagnostics"]
    ]


@pytest.mark.parametrize("checker", [mypy, pyright])
def test_a_typed_project_passes(project, checker):
    assert checker(project) == []


@pytest.mark.parametrize("checker", [mypy, pyright])
def test_mistakes_are_found(project, checker):
    (project / "rover" / "planted.py").write_text(PLANTED, encoding="utf-8")
    wrong = {number for number, line in enumerate(PLANTED.splitlines(), 1) if line.endswith("# wrong")}
    found = [line.split(":") for line in checker(project)]
    assert {file for file, *_ in found} == {"rover/planted.py"}
    assert {int(number) for _, number, *_ in found} >= wrong


def test_the_project_imports_every_public_name():
    listed: dict[str, list[str]] = {}
    for node in ast.parse((PROJECT / "rover" / "names.py").read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ImportFrom) and node.module != "__future__":
            listed[str(node.module)] = [alias.name for alias in node.names]

    assert set(listed.pop("pamiq_sched")) == set(pamiq_sched._ROOM_OF)
    elsewhere = {name for names in listed.values() for name in names}
    rooms = [importlib.import_module(f"pamiq_sched.{room}") for room in ROOMS]
    assert elsewhere == {name for room in rooms for name in room.__all__} - set(pamiq_sched._ROOM_OF)


def test_the_project_works(project):
    """What passes the checkers also runs: its own tests, then the program."""
    run(environment(), "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "error", "tests", cwd=project)
    assert "saved" in run(environment(), "-m", "rover", project / "out", cwd=project)
