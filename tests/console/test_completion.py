"""What the shell completes."""

import os
import shutil
import subprocess
import sys

import pytest

BASH = shutil.which("bash")
COMMANDS = {"status", "pause", "resume", "save", "shutdown", "watch", "console", "inspect", "preview", "report"}


@pytest.fixture
def run(tmp_path):
    """A function that runs a script in a shell that has the command; returns what it printed."""
    command = tmp_path / "pamiq-sched"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m pamiq_sched "$@"\n')
    command.chmod(0o755)
    environment = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}", "HOME": str(tmp_path)}

    def call(script, shell=BASH, **more):
        done = subprocess.run(
            [shell, "-c", script], env=environment | more, capture_output=True, text=True, check=True, timeout=60
        )
        assert done.stderr == ""
        return done.stdout

    return call


def completed(run, *words):
    """What bash completes the last word to."""
    line = " ".join(f"'{word}'" for word in words)
    script = (
        "source <(_PAMIQ_SCHED_COMPLETE=source_bash pamiq-sched); "
        f"COMP_WORDS=({line}); COMP_CWORD={len(words) - 1}; "
        '_pamiq_sched_completion pamiq-sched; printf "%s\\n" "${COMPREPLY[@]}"'
    )
    return set(run(script).split())


@pytest.mark.skipif(BASH is None, reason="there is no bash")
def test_bash_completes_the_commands(run):
    assert completed(run, "pamiq-sched", "") >= COMMANDS
    assert completed(run, "pamiq-sched", "sh") == {"shutdown"}


@pytest.mark.skipif(BASH is None, reason="there is no bash")
def test_bash_completes_the_options_of_a_command(run):
    assert completed(run, "pamiq-sched", "shutdown", "--") >= {
        "--host",
        "--port",
        "--token",
        "--wait",
        "--no-wait",
    }


def test_zsh_completes_the_commands(run):
    out = run(
        "pamiq-sched", "/bin/sh", _PAMIQ_SCHED_COMPLETE="complete_zsh", _TYPER_COMPLETE_ARGS="pamiq-sched sh"
    )
    assert '"shutdown"' in out
    assert '"status"' not in out


@pytest.mark.parametrize(("shell", "said"), [("bash", "complete -o default -F"), ("zsh", "#compdef pamiq-sched")])
def test_each_shell_has_a_script(run, shell, said):
    out = run("pamiq-sched", "/bin/sh", _PAMIQ_SCHED_COMPLETE=f"source_{shell}")
    assert said in out


@pytest.mark.skipif(BASH is None, reason="there is no bash")
def test_the_script_is_shown_and_installed(run, tmp_path):
    assert "_pamiq_sched_completion" in run("pamiq-sched --show-completion; true")
    run("pamiq-sched --install-completion; true")
    assert list(tmp_path.glob(".bash_completions/*"))
