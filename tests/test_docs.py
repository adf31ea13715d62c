"""Every program in the README and the docs runs as it stands, and every command in them is one that there is."""

import re
import runpy
import shlex
from pathlib import Path

import pytest
import typer

from pamiq_sched.console import application
from pamiq_sched.web.openapi import document

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
LANGUAGES = {"python", "sh", "console", "ini", "text", "d2"}
"""Of the blocks: ``console`` shows commands and what they print, ``text`` is no program of ours."""


def blocks_of(*languages):
    for page in PAGES:
        found = re.findall(
            r"^[ ]*```(\w+)[^\n]*\n(.*?)^[ ]*```$", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE
        )
        for number, (language, block) in enumerate(found):
            if not languages or language in languages:
                yield language, block, f"{page.relative_to(ROOT)}:{number}"


def commands_of(language, block):
    """Return the command lines of a block for the shell: those behind the prompt if it shows output as well."""
    lines = block.replace("\\\n", " ").splitlines()
    if language == "console":
        lines = [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]
    return [line for line in lines if line.split("#")[0].strip()]


COMMANDS = [
    pytest.param(command, id=f"{where}:{command[:40]}")
    for language, block, where in blocks_of("sh", "console")
    for command in commands_of(language, block)
]
TARGETS = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
NOT_OURS = {
    "./restart-simulator.sh",
    "bash",
    "cd",
    "git",
    "grep",
    "pip",
    "python3",
    "set",
    "source",
    "tensorboard",
}


def check_command(command):
    """Fail unless it is a command that there is; of ours also its options."""
    words = shlex.split(command, comments=True)
    while words and re.fullmatch(r"\w+=.*", words[0]):
        words.pop(0)  # what the environment gets
    if not words:
        return
    program, *arguments = words
    name = Path(program).name
    if program.startswith(".venv/bin/") or name in {"pip", "tensorboard"}:
        program = name
    if name == "make":
        assert {word for word in arguments if "=" not in word} <= TARGETS
    elif name == "pamiq-sched":
        commands = typer.main.get_command(application()).commands
        assert arguments[0] in commands
        commands[arguments[0]].make_context(arguments[0], arguments[1:])
    elif name == "python":
        assert (ROOT / arguments[0]).is_file()
    elif name == "curl":
        paths = re.findall(r"/api(/[\w-]+)", command.replace("$api", "/api"))
        assert paths
        assert {f"/api{path}" for path in paths} <= set(document("0", 8391)["paths"])
    else:
        assert program in NOT_OURS


def test_every_block_is_of_a_language_that_is_looked_at():
    assert {language for language, _, _ in blocks_of()} <= LANGUAGES


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_is_one_that_there_is(command):
    check_command(command)


@pytest.mark.parametrize(
    "command",
    [
        "make tset",
        "pamiq-sched pauze",
        "pamiq-sched watch --colour",
        "python samples/no.py",
        "curl x/api/no",
        "rm -r /",
    ],
)
def test_a_command_that_there_is_not_is_found(command):
    with pytest.raises((AssertionError, Exception)):  # typer has errors of its own
        check_command(command)


BLOCKS = [pytest.param(block, id=where) for _, block, where in blocks_of("python")]


@pytest.mark.parametrize("block", BLOCKS)
def test_a_code_block_runs(block, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    program = tmp_path / "block.py"
    program.write_text(block, encoding="utf-8")
    runpy.run_path(str(program), run_name="__main__")


def test_every_regression_has_the_test_that_the_page_names():
    page = (ROOT / "docs" / "regressions.md").read_text(encoding="utf-8")
    named = re.findall(r"`([\w/]+\.py)::(test_\w+)`", page)
    assert len(named) > 30
    for file, test in named:
        assert f"def {test}(" in (ROOT / "tests" / file).read_text(encoding="utf-8"), f"{file}::{test}"


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_links_to_files_of_the_repository_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), f"{page.name} links to {target}"
