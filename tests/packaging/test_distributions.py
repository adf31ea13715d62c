"""What is in the wheel and in the sdist, and what they say about themselves."""

from __future__ import annotations

import sys
import tarfile

import pytest

import pamiq_sched
from tests.packaging.building import (
    ROOT,
    built,
    folder,
    metadata,
    project,
    run,
    source,
    tracked_files,
    wheel_files,
)

pytestmark = [pytest.mark.package, pytest.mark.timeout(600)]

NOT_IN_THE_SDIST = (".ci/",)


def sdist_files() -> set[str]:
    with tarfile.open(built()[0]) as archive:
        return {member.name.split("/", 1)[1] for member in archive.getmembers() if member.isfile()}


def test_the_wheel_has_every_file_of_the_package_and_nothing_else():
    package = {name for name in tracked_files() if name.startswith("pamiq_sched/")}
    info = f"pamiq_sched-{pamiq_sched.__version__}.dist-info/"
    files = wheel_files(built()[1])

    assert {name for name in files if not name.startswith(info)} == package
    assert all(files[name] == (ROOT / name).read_bytes() for name in package)


@pytest.mark.parametrize(
    "name",
    [
        "pamiq_sched/py.typed",
        "pamiq_sched/report/page.css",
        "pamiq_sched/web/page/index.html",
        "pamiq_sched/web/page/vendor/uplot-1.6.32/LICENSE",
    ],
)
def test_the_wheel_has_what_is_no_module(name):
    assert name in wheel_files(built()[1])


def test_the_sdist_has_all_that_the_repository_has():
    """So that whoever has it can run the tests, the benchmarks and ``make``."""
    tracked = {name for name in tracked_files() if not name.startswith(NOT_IN_THE_SDIST)}
    assert sdist_files() == tracked | {"PKG-INFO"}


def test_the_wheel_made_of_the_sdist_is_that_of_the_repository():
    _, of_sdist = built()
    out = folder() / "of-the-repository"
    run(sys.executable, "-m", "build", "--wheel", "--outdir", out, source())

    (of_repository,) = out.glob("*.whl")
    assert of_repository.name == of_sdist.name
    assert wheel_files(of_repository) == wheel_files(of_sdist)


def test_the_metadata_are_those_of_the_project():
    said, given = metadata(built()[1]), project()

    assert said["Name"] == given["name"]
    assert said["Version"] == pamiq_sched.__version__
    assert said["Requires-Python"] == given["requires-python"] == ">=3.11"
    assert said["License-Expression"] == "MIT"
    assert said.get_all("Provides-Extra") == sorted(given["optional-dependencies"])
    assert "Typing :: Typed" in said.get_all("Classifier", [])
    assert said.get_payload() == (ROOT / "README.md").read_text(encoding="utf-8")
    assert {name.split(";")[0] for name in said.get_all("Requires-Dist", [])} >= set(given["dependencies"])


def test_the_licence_and_the_command_come_with_it():
    files = wheel_files(built()[1])
    info = f"pamiq_sched-{pamiq_sched.__version__}.dist-info"

    assert files[f"{info}/licenses/LICENSE"] == (ROOT / "LICENSE").read_bytes()
    assert files[f"{info}/entry_points.txt"].decode().split() == [
        "[console_scripts]",
        "pamiq-sched",
        "=",
        "pamiq_sched.console:main",
    ]
