"""``pamiq-sched inspect``, as it is called."""

import hashlib
import json
import math
import os
import pty
import re
import subprocess
import sys

import pytest
import torch
from torch import nn

from pamiq_sched import SequentialBuffer, StateStore, TensorRingBuffer, TorchTrainingModel, TrainingModelsDict
from pamiq_sched.console import main
from pamiq_sched.console.inspect import age

ABOUT = {
    "torch": "2.4.0",
    "steps": 20,
    "sessions": {"learner": 3},
    "metric": 0.25,
    "uptime": 12.5,
    "cut_sessions": ["learner"],
    "without_state": ["interaction/environment (Maze)"],
}


class Run:
    """A model and two buffers, saved as often as one likes."""

    def __init__(self, folder):
        torch.manual_seed(0)
        self.model = TorchTrainingModel(nn.Linear(4, 2))
        self.ring = TensorRingBuffer(8)
        self.rows = SequentialBuffer(8)
        self.ring.add({"x": torch.zeros(4)})
        self.folder = folder
        self.store = StateStore(folder)
        self.store.register("models", TrainingModelsDict({"policy": self.model}))
        self.store.register("ring", self.ring)
        self.store.register("rows", self.rows)

    def save(self, about=ABOUT, traceback=""):
        return self.store.publish(self.store.stage(about=about, crashed=bool(traceback), traceback=traceback))


@pytest.fixture
def run(tmp_path):
    return Run(tmp_path / "states")


@pytest.fixture
def told(capsys):
    """Calls the command; returns its status and its lines."""

    def call(*arguments):
        status = main(["inspect", *map(str, arguments)])
        out, err = capsys.readouterr()
        assert err == ""
        return status, out.splitlines()

    return call


def rewrite_manifest(saved, **changes):
    """Change what a state says about itself, with a checksum that is right."""
    document = json.loads((saved / "manifest.json").read_text()) | changes
    text = json.dumps(document).encode()
    (saved / "manifest.json").write_bytes(text)
    (saved / "manifest.json.sha256").write_text(f"{hashlib.sha256(text).hexdigest()}  manifest.json\n")


def flip(file):
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)


# One state.


def test_a_state_tells_of_its_run(told, run):
    saved = run.save()
    status, lines = told(saved)
    assert status == 0
    assert lines[0] == saved.name
    facts = dict(re.split(r"\s{2,}", line.strip(), maxsplit=1) for line in lines[1 : lines.index("")])
    moment = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d [+-]\d{4} \(\d+ (s|min) ago\)"
    assert re.fullmatch(moment, facts.pop("saved"))
    assert re.fullmatch(r"pamiq-sched \S+, python \S+, torch 2\.4\.0", facts.pop("versions"))
    assert re.fullmatch(r"\S+ kB in \d files", facts.pop("size"))
    assert facts == {
        "number": "1",
        "crashed": "no",
        "steps": "20",
        "sessions": "learner 3",
        "metric": "0.25",
        "uptime": "12.5",
        "cut sessions": "learner",
        "without state": "interaction/environment (Maze)",
        "verifies": "yes, every file is as it was saved",
    }


def test_the_components_are_in_a_table(told, run):
    _, lines = told(run.save())
    table = [re.split(r"\s{2,}", line.strip(), maxsplit=3) for line in lines[lines.index("") + 1 :]]
    holds = {row[0]: row[3] for row in table if len(row) == 4}
    assert [row[0] for row in table] == ["component", "models", "policy", "ring", "rows"]
    assert holds["policy"].startswith("module, average, version 0")
    assert holds["policy"].endswith("; 2 tensors: 10 float32")
    assert "count 1" in holds["ring"]
    assert holds["rows"] == "items 0"


def test_a_damaged_state_names_each_difference_and_ends_with_1(told, run):
    saved = run.save()
    flip(saved / "models" / "policy.safetensors")
    (saved / "rows.json").unlink()
    status, lines = told(saved)
    assert status == 1
    assert "NO: 2 differences" in next(line for line in lines if "verifies" in line)
    assert "    component 'rows': rows.json is missing" in lines
    assert any(line.startswith("    component 'models': models/policy.safetensors has another") for line in lines)
    assert any("2 tensors: 10 float32" in line for line in lines)


def test_a_crash_is_told_by_the_last_line_of_its_traceback(told, run):
    saved = run.save(traceback="Traceback:\n  line 1\nValueError: boom\n")
    status, lines = told(saved)
    assert status == 0
    assert "yes: ValueError: boom" in next(line for line in lines if "crashed  " in line)
    assert "  line 1" not in lines


def test_the_whole_traceback_is_shown_on_request(told, run):
    text = ["Traceback:", "  line 1", "ValueError: boom"]
    assert told(run.save(traceback="\n".join(text)), "--traceback")[1][-3:] == text


def test_without_a_crash_there_is_no_traceback(told, run):
    assert told(run.save(), "--traceback")[1][-1] == "there is no traceback in it"


def test_what_could_not_be_saved_is_told(told, run, monkeypatch):
    def refuse(path):
        raise OSError("worn out")

    monkeypatch.setattr(run.ring, "save_state", refuse)
    assert "ring could not be saved: OSError('worn out')" in told(run.save(traceback="boom"))[1]


def test_tensors_are_listed_on_request(told, run):
    with torch.no_grad():
        run.model.model.bias.copy_(torch.tensor([1.0, math.nan]))
        run.model.model.weight.fill_(0.5)
    _, lines = told(run.save(), "--tensors")
    table = [line.split("  ") for line in lines[lines.index("models/policy") + 1 :]]
    rows = {row[0]: row for row in ([cell.strip() for cell in cells if cell] for cells in table) if row}
    assert rows["tensor"] == ["tensor", "dtype", "shape", "min", "max", "mean", "NaN", "inf"]
    assert rows["module.weight"] == ["module.weight", "float32", "(2, 4)", "0.5", "0.5", "0.5", "0", "0"]
    assert rows["module.bias"] == ["module.bias", "float32", "(2,)", "1", "1", "1", "1", "0"]


def test_a_state_is_printed_as_json(told, run):
    saved = run.save()
    rewrite_manifest(saved, about={**ABOUT, "odd": math.inf})
    status, lines = told(saved, "--tensors", "--json")
    document = json.loads("\n".join(lines), parse_constant=pytest.fail)
    assert status == 0
    assert document["path"] == str(saved)
    assert document["verifies"] is True
    assert document["manifest"]["about"]["steps"] == 20
    assert document["manifest"]["about"]["odd"] == "inf"
    (policy,) = document["components"][0]["values"]
    assert [t["path"] for t in policy["tensors"]] == ["module.weight", "module.bias"]
    assert policy["tensors"][0]["numbers"]["nan"] == 0


def test_what_would_steer_a_terminal_is_printed_as_text(told, run):
    saved = run.save({"steps": "\x1b[2J", "a\nb": 1}, traceback="\x1b]0;title\x07")
    (saved / "\x1b[31m\n").write_text("")
    status, lines = told(saved, "--traceback")
    assert status == 1
    assert all(line.isprintable() for line in lines)
    assert r"  steps     \x1b[2J" in lines
    assert r"    no component: \x1b[31m\n was not saved with it" in lines
    assert lines[-1] == r"\x1b]0;title\x07"


# A directory of states.


def test_states_are_listed_the_newest_last(told, run):
    first = run.save({"steps": 5})
    second = run.save({"steps": 1000, "metric": 0.5})
    status, lines = told(run.folder)
    assert status == 0
    cells = [re.split(r"\s{2,}", line) for line in lines[:3]]
    assert cells[0] == ["no", "name", "age", "state", "size", "steps", "metric"]
    assert [cells[1][i] for i in (0, 1, 3, 5)] == ["1", first.name, "complete", "5"]
    assert [cells[2][i] for i in (0, 1, 3, 5, 6)] == ["2", second.name, "complete", "1000", "0.5"]


def test_names_that_do_not_tell_the_day_are_followed_by_it(told, tmp_path):
    StateStore(tmp_path, "run.state").save_state()
    header, row = told(tmp_path)[1]
    assert header.split() == ["no", "name", "saved", "age", "state", "size"]
    assert re.search(r"run\.state  \d{4}-\d\d-\d\d \d\d:\d\d:\d\d ", row)


def test_a_crashed_state_is_no_damaged_one(told, run):
    run.save()
    run.save(traceback="boom")
    status, lines = told(run.folder)
    assert status == 0
    assert "  crashed  " in lines[2]


@pytest.mark.parametrize(("which", "expected"), [(0, 0), (1, 1)])
def test_the_status_is_1_if_the_newest_is_damaged(told, run, which, expected):
    saved = [run.save(), run.save()]
    (saved[which] / "rows.json").unlink()
    status, lines = told(run.folder)
    assert status == expected
    assert "  damaged  " in lines[which + 1]
    assert f"{saved[which].name}: component 'rows': rows.json is missing" in lines


def test_interrupted_saves_are_mentioned(told, run):
    staged = run.store.stage()
    status, lines = told(run.folder)
    assert status == 0
    assert lines == [
        f"{staged.directory.name}: a save that is under way, or an interrupted one, which the next save removes"
    ]
    run.store.publish(staged)


def test_a_directory_is_printed_as_json(told, run):
    saved = run.save()
    document = json.loads("\n".join(told(run.folder, "--json")[1]))
    assert [(s["path"], s["problems"]) for s in document["states"]] == [(str(saved), [])]


def test_an_odd_moment_is_printed_as_it_is(told, run):
    """It is for people, and checked by nobody."""
    saved = run.save()
    rewrite_manifest(saved, saved_at="yesterday")
    assert "  saved          yesterday (? ago)" in told(saved)[1]


@pytest.mark.parametrize(
    ("seconds", "told"),
    [(-5, "0 s"), (0, "0 s"), (119, "119 s"), (120, "2 min"), (7200, "2 h"), (172_800, "2 d"), (1e9, "11574 d")],
)
def test_an_age_is_told_in_one_unit(seconds, told):
    assert age(seconds) == told


# Two states.


def test_equal_states_end_with_0(told, run):
    status, lines = told(run.save(), run.save())
    assert status == 0
    assert lines[-1] == "they are equal"
    assert lines[0].startswith("A  ")
    assert "number 1, saved " in lines[0]
    assert "number 2, saved " in lines[1]


def test_states_that_differ_end_with_1_and_name_what(told, run):
    first = run.save()
    with torch.no_grad():
        run.model.model.bias += 0.013
    run.rows.add(1)
    status, lines = told(first, run.save({**ABOUT, "steps": 21}))
    assert status == 1
    assert lines[lines.index("the runs") + 1] == "  steps: 20 in A, 21 in B"
    assert "  models/policy: module.bias: 2 of 2 numbers differ, largest difference 0.013" in lines
    assert "  rows: items: 0 items in A, 1 item in B" in lines
    assert lines[-1] == "they differ"


def test_twenty_differences_are_listed_and_all_on_request(told, tmp_path):
    store = StateStore(tmp_path)
    rows = SequentialBuffer(30)
    store.register("rows", rows)
    saved = []
    for sign in (1, -1):
        for i in range(30):
            rows.add(sign * (i + 1))
        saved.append(store.save_state())
    few, every = told(*saved)[1], told(*saved, "--all")[1]
    assert "rows: 0 equal, 30 different" in few
    assert [sum(line.startswith("  rows: ") for line in lines) for lines in (few, every)] == [20, 30]
    assert "  and 10 more; --all lists them" in few


def test_a_damaged_one_is_named_as_such(told, run):
    first, second = run.save(), run.save()
    (second / "rows.json").unlink()
    status, lines = told(first, second)
    assert status == 1
    assert lines[2] == "   it does not verify: component 'rows': rows.json is missing"
    assert "  rows: only in A" in lines


def test_a_comparison_is_printed_as_json(told, run):
    first = run.save()
    run.rows.add(1)
    status, lines = told(first, run.save(), "--json")
    document = json.loads("\n".join(lines))
    assert status == 1
    assert document["are_equal"] is False
    assert document["components"]["rows"]["differences"] == [
        {"value": "rows", "path": "items", "text": "0 items in A, 1 item in B"}
    ]


# How it is called.


@pytest.mark.parametrize("number", [1, 2])
def test_what_is_no_state_gives_one_line(number, tmp_path, capsys):
    assert main(["inspect", *[str(tmp_path)] * number]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"error: {tmp_path} is ")
    assert err.count("\n") == 1


def test_a_missing_directory_is_named(tmp_path, capsys):
    missing = str(tmp_path / "none")
    assert main(["inspect", missing]) == 1
    assert capsys.readouterr().err == f"error: No such file or directory: '{missing}'\n"


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["{state}", "{state}", "{state}"],
        ["{state}", "--tensorz"],
        ["{state}", "--all"],
        ["{state}", "{state}", "--tensors"],
        ["{state}", "{state}", "--traceback"],
        ["{folder}", "--tensors"],
        ["{folder}", "--all"],
    ],
    ids=" ".join,
)
def test_a_wrong_call_ends_with_2(arguments, run, capsys):
    state = run.save()
    assert main(["inspect", *(a.format(state=state, folder=run.folder) for a in arguments)]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "Usage: " in err


def in_a_terminal(arguments, columns):
    """Run the command in a terminal of so many columns; return what it shows."""
    parent, child = pty.openpty()
    env = os.environ | {"COLUMNS": str(columns), "TERM": "xterm", "LINES": "40"}
    env.pop("NO_COLOR", None)
    command = [sys.executable, "-m", "pamiq_sched", "inspect", *map(str, arguments)]
    with subprocess.Popen(command, stdin=child, stdout=child, stderr=child, env=env) as process:
        os.close(child)
        shown = b""
        while True:
            try:
                piece = os.read(parent, 1 << 16)
            except OSError:  # the terminal is gone with the process
                break
            if not piece:
                break
            shown += piece
        os.close(parent)
        process.wait(30)
    return shown.decode().replace("\r\n", "\n")


def test_in_a_terminal_it_keeps_to_the_columns_and_shows_colours(run):
    shown = in_a_terminal([run.save()], 80)
    assert "\x1b[32m" in shown
    lines = re.sub(r"\x1b\[\d*m", "", shown).splitlines()
    assert max(map(len, lines)) <= 80
    assert "10 float32" in re.sub(r"\s+", " ", shown)


def test_in_a_pipe_it_is_plain_and_a_line_is_a_line(run):
    command = [sys.executable, "-m", "pamiq_sched", "inspect", str(run.save())]
    env = os.environ | {"COLUMNS": "40", "PYTHONIOENCODING": "ascii"}
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=env)
    assert "\x1b" not in done.stdout
    assert max(map(len, done.stdout.splitlines())) > 60
    assert done.stderr == ""


def test_help_names_the_command_and_loads_neither_torch_nor_numpy(capsys):
    code = (
        "import sys; from pamiq_sched.console import main; main(['inspect', '--help']);"
        "print({'torch', 'numpy'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert "--tensors" in done.stdout
    assert done.stdout.endswith("set()\n")
