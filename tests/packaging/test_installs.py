"""The package in empty environments of every Python that it is for, with and without torch."""

from __future__ import annotations

import json
import re
import sys
from collections import Counter
from functools import cache
from pathlib import Path
from xml.etree import ElementTree

import pytest

import pamiq_sched
from tests.packaging.building import ROOT, bare, equipped, find_python, folder, run, unpacked_sdist, whole
from tests.packaging.without_torch import REASON

pytestmark = [pytest.mark.package, pytest.mark.timeout(900)]

OWN = f"{sys.version_info.major}.{sys.version_info.minor}"

MADE_FOR_TORCH = re.compile(r"pamiq_sched\.(torch|optim(?!\.curves)\.\w+|data\.(tensor_ring|torchrl))$")
OF_EXTRAS = ("pamiq_sched.console.", "pamiq_sched.gym", "pamiq_sched.report.", "pamiq_sched.web.")
"""Modules that need one, which the bare environment has not."""

ROOMS = {
    "clock": "test_clock",
    "console": "console.test_watch",
    "curves": "optim.test_curves",
    "data": "data.test_collector",
    "gym": "gym.test_env",
    "interaction": "interaction.test_interaction",
    "lifecycle": "test_lifecycle",
    "metrics": "metrics.test_json_lines",
    "modular environments": "interaction.test_modular_env",
    "pacing": "interaction.test_pacing",
    "runtime: its end": "runtime.test_ending",
    "runtime: its storms": "runtime.test_raising_hooks",
    "schedulers": "test_schedulers",
    "state": "state.test_store",
    "state: when": "state.test_conditions",
    "trainer": "trainer.test_trainer",
    "web": "web.test_app",
    "web: server": "web.test_server",
}
"""Parts that need no torch, and a module that tests each: all of it must run."""

COMMANDS = ("status", "pause", "resume", "save", "shutdown", "watch", "console", "inspect", "preview", "report")

IMPORT_ALL = """
import importlib, json, pkgutil, warnings
warnings.simplefilter("error")
import pamiq_sched
lacking = {}
for module in pkgutil.walk_packages(pamiq_sched.__path__, "pamiq_sched."):
    try:
        importlib.import_module(module.name)
    except ImportError as error:
        lacking[module.name] = str(error)
print(json.dumps(lacking))
"""


def lacking(python: Path) -> dict[str, str]:
    """The modules that cannot be imported in an environment, and why."""
    found: dict[str, str] = json.loads(run(python, "-c", IMPORT_ALL))
    return found


def skip_without(version: str) -> None:
    """Skip what needs a Python that is not here."""
    if find_python(version) is None:
        pytest.skip(f"there is no Python {version} here, neither on the path nor by pyenv")


def test_every_python_is_looked_for():
    """The one that runs this is found, so that not everything here is skipped."""
    assert any(find_python(version) for version in ("3.11", "3.12", "3.13"))


@cache
def outcomes(version: str) -> tuple[dict[str, Counter[str]], str]:
    """Run the tests of the sdist without torch; on the Python that runs them all anyhow, those of the main parts.

    Returns:
        How many of each module passed, failed or were skipped for which reason; and what was printed.
    """
    # What is about the repository as a whole, or is nothing without torch, is tested with it.
    ignored = ["e2e", "packaging", "typing", "samples", "simulation"]
    ignored += [f"test_{name}.py" for name in ("architecture", "docs", "docs_pages", "guides", "reference")]
    chosen = [f"tests/{module.replace('.', '/')}.py" for module in ROOMS.values()] if version == OWN else ["tests"]
    report = folder() / f"tests-{version}.xml"
    printed = run(
        *(equipped(version), "-m", "pytest", *chosen, "-p", "tests.packaging.without_torch", "-q"),
        *("-m", "not stress and not package", "-p", "no:cacheprovider"),
        *("-o", "verbosity_assertions=2", f"--junitxml={report}"),
        *(f"--ignore=tests/{name}" for name in ignored),
        cwd=unpacked_sdist(),
        fails=None,
    )
    found: dict[str, Counter[str]] = {}
    for case in ElementTree.parse(report).iter("testcase"):  # noqa: S314 - our own file
        module = (case.get("classname") or case.get("name") or "").removeprefix("tests.")
        skipped = case.find("skipped")
        if skipped is not None:
            outcome = skipped.get("message", "")
        else:
            outcome = "passed" if case.find("failure") is None and case.find("error") is None else "failed"
        found.setdefault(module, Counter())[outcome] += 1
    return found, printed


class Installs:
    """The tests of one Python; a class, so that several processes (``--dist loadscope``) share no environment."""

    version: str

    @pytest.fixture(autouse=True)
    def is_here(self) -> None:
        """Skip a Python that is not."""
        skip_without(self.version)

    def test_what_is_installed_is_what_was_built(self):
        version_found, file = run(
            bare(self.version), "-c", "import pamiq_sched as p; print(p.__version__, p.__file__)"
        ).split()
        assert version_found == pamiq_sched.__version__
        assert Path(file).is_relative_to(bare(self.version).parents[1])

    def test_of_the_requirements_only_torch_is_missing(self):
        """Here on purpose: on Pythons without a build of torch for the CPU alone, it comes with gigabytes."""
        assert run(bare(self.version), "-m", "pip", "check", fails=True).splitlines() == [
            f"pamiq-sched {pamiq_sched.__version__} requires torch, which is not installed."
        ]

    def test_all_modules_but_those_made_for_torch_or_an_extra_need_neither(self):
        for name, why in lacking(bare(self.version)).items():
            if not name.startswith(OF_EXTRAS):
                assert MADE_FOR_TORCH.match(name), f"{name} needs more than it should: {why}"
                assert why == "No module named 'torch'"

    def test_with_the_extras_all_modules_but_those_made_for_torch_need_none(self):
        for name, why in lacking(equipped(self.version)).items():
            assert MADE_FOR_TORCH.match(name), f"{name} needs torch: {why}"

    @pytest.mark.parametrize("extra", ["gym", "console", "web"])
    def test_without_an_extra_the_error_names_it(self, extra):
        program = {
            "gym": "from pamiq_sched import GymEnvironment",
            "console": "import sys; from pamiq_sched.console import main; sys.exit(main(['status']))",
            "web": "from pamiq_sched.testing import FakeAgent, FakeEnvironment; import pamiq_sched as p; "
            "p.System(p.Interaction(FakeAgent(), FakeEnvironment()), {}, {}, {}, "
            "{'web_api_address': ('127.0.0.1', 0)}).start()",
        }[extra]
        assert f"pamiq-sched[{extra}]" in run(bare(self.version), "-c", program, fails=True)

    @pytest.mark.parametrize("command", ["module", "script"])
    def test_the_command_line_asks_for_its_extra_and_runs_with_it(self, command):
        def call(python: Path) -> list[object]:
            return [python, "-m", "pamiq_sched"] if command == "module" else [python.parent / "pamiq-sched"]

        assert "pip install 'pamiq-sched[console]'" in run(*call(bare(self.version)), "--help", fails=True)
        # typer goes by what it is told of the terminal: plain text, and wide enough for a name.
        help_text = run(*call(equipped(self.version)), "--help", TERM="dumb", NO_COLOR="1", COLUMNS="120")
        assert set(COMMANDS) <= set(re.findall(r"\w+", help_text))

    def test_a_system_without_torch_runs_is_saved_and_goes_on(self, tmp_path):
        program = Path(__file__).with_name("small_system.py")
        assert run(bare(self.version), program, tmp_path).endswith("it ran to its end\n")

    def test_the_tests_of_the_sdist_pass_without_torch(self):
        """Those that fail only for the lack of torch are skipped, and are not more than there should be."""
        found, printed = outcomes(self.version)
        total = sum(found.values(), Counter())
        assert not total["failed"], printed[-20_000:]
        assert total["passed"] > (500 if self.version == OWN else 2000), printed[-20_000:]
        assert total[REASON] < 500

    @pytest.mark.parametrize("module", ROOMS.values(), ids=ROOMS)
    def test_the_tests_of_a_part_without_torch_all_run(self, module):
        found = outcomes(self.version)[0][module]
        assert found["passed"] > 0
        assert found[REASON] == 0


class TestPython311(Installs):
    version = "3.11"


class TestPython312(Installs):
    version = "3.12"


class TestPython313(Installs):
    version = "3.13"


def test_with_torch_all_is_consistent_and_every_module_is_there():
    """On the one Python for which constraints.txt names a build of torch that is not made for a GPU."""
    skip_without("3.11")
    assert "No broken requirements found" in run(whole("3.11"), "-m", "pip", "check")
    assert lacking(whole("3.11")) == {}


def test_with_torch_the_first_program_of_the_readme_runs(tmp_path):
    skip_without("3.11")
    program = re.search(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    assert program is not None
    (tmp_path / "program.py").write_text(program[1], encoding="utf-8")
    assert "slowest step" in run(whole("3.11"), "program.py", cwd=tmp_path)
