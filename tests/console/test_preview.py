"""``pamiq-sched preview``, as it is called."""

import os
import subprocess
import sys

import pytest

from pamiq_sched.console import main

GOOD = """
optimizer: {name: SGD, lr: 0.001, weight_decay: 0.05}
scheduler:
  - {name: CosineAnnealingLR, T_max: 100, eta_min: 1.0e-6}
  - {name: LinearLR, start_factor: 0.1, total_iters: 10, schedule_target: weight_decay}
"""


@pytest.fixture
def config(tmp_path):
    """A function that writes a config and returns its path."""

    def write(text=GOOD):
        path = tmp_path / "config.yaml"
        path.write_text(text, encoding="utf-8")
        return str(path)

    return write


def test_it_plots_each_hyperparameter(config, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    assert main(["preview", config(), "--steps", "100"]) == 0
    out, err = capsys.readouterr()
    assert "lr: min 1e-06, max 0.001, first 0.001, last 1e-06" in out
    assert "weight_decay: min 0.005, max 0.05, first 0.005, last 0.05" in out
    assert max(map(len, out.splitlines())) <= 80
    assert err == ""


def test_it_writes_a_picture_and_says_where(config, capsys, tmp_path):
    path = tmp_path / "out.png"
    assert main(["preview", config(), "--steps", "10", "--out", str(path)]) == 0
    assert path.read_bytes().startswith(b"\x89PNG")
    assert capsys.readouterr().out.endswith(f"wrote {path}\n")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{name: CosineAnealingLR, T_max: 3}", "did you mean 'CosineAnnealingLR'"),
        ("{name: StepLR, step_siz: 3}", "did you mean 'step_size'"),
        ("{name: StepLR}", "lacks 'step_size'"),
        ("{name: StepLR, step_size: 0}", "step_size of StepLR must be a finite number above 0, got 0"),
        ("{name: ExponentialLR, gamma: -1.0}", "lr must be a finite real number of at least 0.0, got -1.0"),
        ("{name: StepLR, step_size: '3'}", "must be a number"),
        ("{name: StepLR, step_size: '${nowhere}'}", "nowhere"),
        ("name: [a\n  b: {", "config.yaml"),
        ("", 'a mapping with a "name"'),
        ("{name: ConstantCurve, groups: trunk}", "must choose param groups"),
    ],
)
def test_what_is_wrong_with_a_config_is_told_in_one_line(text, told, config, capsys):
    assert main(["preview", config(text), "--steps", "3"]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert told in err
    assert err.count("\n") == 1


@pytest.mark.parametrize("steps", ["0", "-5"])
def test_steps_below_1_are_an_error(steps, config, capsys):
    assert main(["preview", config(), "--steps", steps]) == 1
    assert capsys.readouterr().err == f"error: steps must be a whole number of at least 1, got {steps}\n"


def test_a_missing_file_is_named(tmp_path, capsys):
    missing = str(tmp_path / "none.yaml")
    assert main(["preview", missing, "--steps", "3"]) == 1
    assert capsys.readouterr().err == f"error: No such file or directory: '{missing}'\n"


def test_a_picture_that_cannot_be_written_is_an_error(config, tmp_path, capsys):
    out = str(tmp_path / "nowhere" / "out.png")
    assert main(["preview", config(), "--steps", "3", "--out", out]) == 1
    assert capsys.readouterr().err == f"error: No such file or directory: '{out}'\n"


@pytest.mark.parametrize("arguments", [["preview"], ["preview", "a.yaml", "--stepz", "3"], ["prevjew"]])
def test_a_wrong_call_ends_with_2(arguments, capsys):
    assert main(arguments) == 2
    assert "Usage: " in capsys.readouterr().err


def test_help_names_the_command(capsys):
    assert main(["--help"]) == 0
    assert "preview" in capsys.readouterr().out


def test_without_typer_the_extra_is_named(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "typer", None)
    assert main(["preview"]) == 1
    assert capsys.readouterr().err == "error: the command line needs typer: pip install 'pamiq-sched[console]'\n"


def test_the_module_is_the_command_in_any_encoding(config):
    """An encoding that lacks the dots gets question marks, not a traceback."""
    command = [sys.executable, "-m", "pamiq_sched", "preview", config(), "--steps", "3"]
    env = os.environ | {"PYTHONIOENCODING": "latin-1"}
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=env)
    assert (done.returncode, done.stderr) == (0, "")
    assert "lr: min" in done.stdout
    assert "?" in done.stdout
