"""``pamiq-sched report``: what it draws of a run, and what it says if it cannot."""

import json
import math
import re
import struct
import sys
from html.parser import HTMLParser

import numpy as np
import pytest

from pamiq_sched import StateStore
from pamiq_sched.console import main
from pamiq_sched.data import SequentialBuffer
from pamiq_sched.metrics import Event, JsonLinesSink, Point
from pamiq_sched.report import write_report
from pamiq_sched.report.panels import COLUMNS, MOST_PANELS, amount, panels_of, time_ticks
from pamiq_sched.report.recording import read_recording

pytest.importorskip("matplotlib")

START = 1764000000.0


class Page(HTMLParser):
    """The elements of a page, and whether each is closed where it has to be."""

    VOID = frozenset({"meta", "br", "wbr"})
    """Elements that are never closed."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.open, self.elements, self.texts = [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] != "style":
            self.texts.append((self.open[-1], data))

    def count(self, tag, **attributes):
        return sum(
            found == tag and all(own.get(key.rstrip("_")) == value for key, value in attributes.items())
            for found, own in self.elements
        )

    def all(self, tag):
        """What is in the elements of a kind."""
        return [text for found, text in self.texts if found == tag]

    @property
    def text(self):
        return " ".join(text for _, text in self.texts)


def write(directory, points=(), events=(), name="metrics.jsonl", started=START):
    """One run, which began at a moment."""
    sink = JsonLinesSink(directory / name)
    sink.write(points, events)
    sink.close()
    lines = (directory / name).read_text().splitlines()
    last = max(i for i, line in enumerate(lines) if line.startswith('{"run"'))
    lines[last] = json.dumps({"run": json.loads(lines[last])["run"] | {"started": started, "program": "demo.py"}})
    (directory / name).write_text("\n".join(lines) + "\n")


def loss(count=20, start=START, name="dqn/loss"):
    return [Point.single(name, start + i, 10 * i, 1 / (1 + i)) for i in range(count)]


def state(name, time):
    return Event("state", time, name, {"state": name})


def full_run(directory):
    names = [
        "dqn/loss",
        "agent/return",
        "dqn/scheduled/lr",
        "interaction/step_time_p50",
        "interaction/step_time_p99",
        "interaction/lateness_p99",
        "dqn/replay_ratio",
        "models/network/seconds_behind",
        "buffers/transitions/fill",
        "agent/curiosity",
    ]
    points = [Point.single(name, START + i, i, 0.5 + 0.4 * math.sin(i)) for i in range(100) for name in names]
    events = [
        Event("started", START, "started"),
        state("active", START),
        state("paused", START + 20),
        state("saving", START + 25),
        state("paused", START + 26),
        state("active", START + 30),
        state("paused", START + 60),
        state("active", START + 70),
        Event("saved", START + 40, "saved x.state", {"path": "x.state", "number": 1}),
        Event("save failed", START + 45, "a save failed: no space left"),
        Event("changed", START + 50, "lr set to 0.1", {"trainer": "dqn"}),
        Event("log", START + 55, "a slow sync", {"level": "WARNING", "logger": "pamiq_sched"}),
        Event("error", START + 99, "Traceback:\n  line 1\nValueError: boom", {"type": "ValueError"}),
        Event("ended", START + 99, "ended with 1 error", {"errors": 1}),
    ]
    write(directory, points, events)


def report(directory, **options):
    html, _ = write_report(directory, **options)
    return Page(html.read_text(encoding="utf-8"))


@pytest.fixture
def called(capsys):
    """Calls the command; returns its status, its lines, and its errors."""

    def call(*arguments):
        status = main(["report", *map(str, arguments)])
        out, err = capsys.readouterr()
        return status, out.splitlines(), err.splitlines()

    return call


# The command.


def test_both_files_are_written_and_named(tmp_path, called):
    write(tmp_path, loss())
    html, png = tmp_path / "report.html", tmp_path / "report.png"
    assert called(tmp_path) == (0, [str(html), str(png)], [])
    assert html.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    assert png.read_bytes().startswith(b"\x89PNG")


def test_they_go_where_they_are_asked_to(tmp_path, called):
    write(tmp_path / "run", loss())
    out = tmp_path / "new" / "place"
    assert called(tmp_path / "run", "--out", out)[0] == 0
    assert sorted(path.name for path in out.iterdir()) == ["report.html", "report.png"]
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["metrics.jsonl"]


def test_older_ones_are_replaced(tmp_path):
    write(tmp_path, loss())
    first = report(tmp_path)
    write(tmp_path, loss(name="other/loss", start=START + 100), started=START + 100)
    assert "other/loss" not in first.text
    assert "other/loss" in report(tmp_path).text


def test_no_directory_is_a_line(tmp_path, called):
    status, out, err = called(tmp_path / "nowhere")
    assert (status, out) == (1, [])
    assert err == [f"error: there is no directory '{tmp_path / 'nowhere'}'"]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, r"there are no numbers in .*: it has neither metrics\.jsonl nor another \.jsonl file"),
        ("", r"there are no numbers in .*metrics\.jsonl': nothing was written yet"),
        ("\n\n", r"nothing was written yet"),
        ("a,b\n1,2\n", r"none of its lines was written by a JsonLinesSink"),
        ('{"loss": 1}\n', r"none of its lines was written by a JsonLinesSink"),
        ('{"run": {"started": 1, "version": "0"}}\n', r"the run ended before it logged one, or it logs none"),
    ],
)
def test_what_has_no_numbers_is_a_line(tmp_path, called, content, reason):
    if content is not None:
        (tmp_path / "metrics.jsonl").write_text(content)
    status, out, err = called(tmp_path)
    assert (status, out, len(err)) == (1, [], 1)
    assert re.search(reason, err[0])
    assert not (tmp_path / "report.html").exists()


def test_an_out_that_is_a_file_is_a_line(tmp_path, called):
    write(tmp_path, loss())
    (tmp_path / "file").touch()
    status, _, err = called(tmp_path, "--out", tmp_path / "file")
    assert (status, len(err)) == (1, 1)


def test_a_missing_extra_is_named(tmp_path, called, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    write(tmp_path, loss())
    assert called(tmp_path)[2] == ["error: pictures need matplotlib: pip install 'pamiq-sched[plot]'"]


# Which files.


def test_other_files_are_read_if_the_usual_one_is_missing(tmp_path):
    write(tmp_path, loss(name="a/loss"), name="a.jsonl")
    write(tmp_path, loss(name="b/loss"), name="b.jsonl")
    recording = read_recording(tmp_path)
    assert list(recording.series) == ["a/loss", "b/loss"]
    assert recording.duration == 19.0


def test_the_usual_one_goes_before_others(tmp_path):
    write(tmp_path, loss(name="a/loss"), name="a.jsonl")
    write(tmp_path, loss(name="b/loss"))
    assert list(read_recording(tmp_path).series) == ["b/loss"]


# The page.


def test_a_page_has_all_of_a_run(tmp_path):
    full_run(tmp_path)
    page = report(tmp_path)
    assert f"demo.py in {tmp_path.name}" in page.all("h1")
    groups = ["Losses", "Returns", "Hyperparameters", "Acting", "Training", "Models", "Buffers", "Other numbers"]
    assert page.all("h2") == ["Errors", *groups, "All numbers", "What happened"]
    assert page.count("figure") == 8
    assert page.count("svg", role="img") == 8
    assert "Step time and lateness" in page.all("figcaption")
    assert any("2 times, 20 s in all" in text for text in page.all("dd"))
    for text in (
        "saved x.state",
        "a save failed: no space left",
        "lr set to 0.1",
        "WARNING pamiq_sched: a slow sync",
    ):
        assert text in page.all("td")
    assert page.all("pre") == ["Traceback:\n  line 1\nValueError: boom"]
    for kind in ("pause", "save", "change", "error"):
        assert page.count("path", class_=kind) == (2 if kind == "pause" else 1)


def test_a_page_asks_nothing_of_any_host(tmp_path):
    full_run(tmp_path)
    page = report(tmp_path)
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "//" not in text.replace("<!--", "")
    assert "url(" not in text
    assert page.count("script") == page.count("link") == page.count("img") == page.count("iframe") == 0
    addresses = {value for _, own in page.elements for key, value in own.items() if key in ("href", "src")}
    assert addresses == {"#marks"}
    [policy] = [own["content"] for tag, own in page.elements if own.get("http-equiv")]
    assert policy == "default-src 'none'; style-src 'unsafe-inline'"


def test_markup_in_a_run_is_text(tmp_path):
    evil = "<script>alert(1)</script>\"'&amp;"
    points = [Point.single(f"agent/{evil}{i}", START + j, j, float(j)) for i in range(3) for j in range(3)]
    points += loss(name=f"{evil}/loss") + loss(name="other/loss")
    events = [
        Event(kind, START + 1, evil, {"state": evil, "level": evil, "logger": evil})
        for kind in ("saved", "save failed", "changed", "state", "log", "error", "started", "ended")
    ]
    write(tmp_path, points, events)
    lines = (tmp_path / "metrics.jsonl").read_text().splitlines()
    lines[0] = json.dumps({"run": {"started": START, "version": evil, "pid": 1, "program": evil}})
    (tmp_path / "metrics.jsonl").write_text("\n".join(lines))
    page = report(tmp_path)
    assert page.count("script") == 0
    assert not any(
        value and "<script" in value for tag, own in page.elements if tag != "svg" for value in own.values()
    )
    assert evil in page.all("pre")
    assert any(evil in text for text in page.all("figcaption"))
    assert any(evil in text for text in page.all("h1"))


def test_what_cannot_be_printed_is_shown_by_its_code(tmp_path):
    write(tmp_path, loss(name="a\x1b[2J\udc80\x00/loss"))
    assert "a\\x1b[2J\\udc80\\x00/loss " in report(tmp_path).all("figcaption")


def test_dollars_and_underscores_are_no_mathematics(tmp_path):
    """Text between dollars is a formula for matplotlib, and a label that begins with an underscore is hidden."""
    write(tmp_path, loss(name="_$x^$/loss") + loss(name="$\\frac$/loss"))
    assert "_$x^$/loss" in report(tmp_path).text


def test_a_single_number_is_a_dot(tmp_path):
    write(tmp_path, [Point.single("agent/return", START, 3, 12.5)])
    page = report(tmp_path)
    assert page.count("path", class_="l c0 dots") == 1
    assert page.all("figcaption") == ["agent/return "]
    assert "12.5" in page.all("b")


def test_a_run_without_events_has_neither_marks_nor_a_list_of_them(tmp_path):
    write(tmp_path, loss())
    page = report(tmp_path)
    assert page.all("h2") == ["Losses", "All numbers"]
    for kind in ("pause", "save", "change", "error", "continued"):
        assert page.count("path", class_=kind) == 0


def test_the_table_tells_of_all_values(tmp_path):
    write(tmp_path, [Point("x/y", START, 1, 2.0, 1.0, 3.0, 3), Point.single("x/y", START + 1, 9, 6.0)])
    cells = report(tmp_path).all("td")
    assert cells == ["4", "6", "9", "3", "1", "6"]


def test_values_that_are_not_finite_are_counted_and_the_others_drawn(tmp_path):
    points = loss() + [Point.single("dqn/loss", START + 20 + i, 200, math.nan) for i in range(5)]
    write(tmp_path, points)
    page = report(tmp_path)
    assert page.all("td") == ["25", "NaN", "200", "0.17989", "0.05", "1", "5"]
    assert page.count("path", class_="odd") == 1
    assert page.count("path", class_="l c0") == 1


def test_a_name_without_a_finite_value_is_told(tmp_path):
    write(tmp_path, [Point.single("dqn/loss", START + i, i, math.inf) for i in range(3)])
    assert report(tmp_path).count("path", class_="odd") == 1


@pytest.mark.parametrize("value", [1e308, -1e308, 5e-324, 0.0, 1e17])
def test_extreme_values_are_drawn(tmp_path, value):
    write(tmp_path, [Point.single("a/x", START + i, i, value * (1 - i % 2)) for i in range(2000)])
    assert report(tmp_path).count("figure") == 1


def test_damaged_lines_are_told(tmp_path):
    write(tmp_path, loss())
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"name": "dqn/lo')
    assert "1 line, damaged or foreign" in report(tmp_path).all("dd")


def test_states_are_listed(tmp_path):
    write(tmp_path, loss())
    store = StateStore(tmp_path / "states")
    store.register("rows", SequentialBuffer(2))
    saved = store.save_state()
    page = report(tmp_path)
    assert "Saved states" in page.all("h2")
    assert saved.name in page.all("th")
    assert "complete" in page.all("td")


def test_a_directory_without_states_is_left_out(tmp_path):
    write(tmp_path, loss())
    (tmp_path / "states").mkdir()
    assert "Saved states" not in report(tmp_path).all("h2")


def test_more_panels_than_are_looked_at_are_counted(tmp_path):
    write(
        tmp_path,
        [Point.single(f"agent/n{i}", START + j, j, 1.0) for i in range(MOST_PANELS + 5) for j in range(2)],
    )
    recording = read_recording(tmp_path)
    assert len(panels_of(recording)) == MOST_PANELS + 5
    from pamiq_sched.report.page import page

    found = Page(page(recording, panels_of(recording), "many", None))
    assert found.count("figure") == MOST_PANELS
    assert "5 more plots are left out; the table has all names." in found.all("p")
    assert f"n{MOST_PANELS + 4}" in found.all("th")


# The axis of time.


def test_a_run_that_was_continued_has_no_gap_in_it(tmp_path):
    write(tmp_path, loss(), [state("paused", START + 15)])
    day = START + 86400
    write(tmp_path, loss(start=day + 1), started=day)
    recording = read_recording(tmp_path)
    assert recording.duration == 39.0
    assert [(part.begin, part.end) for part in recording.parts] == [(0.0, 19.0), (19.0, 39.0)]
    assert recording.parts[1].gap == 86400 - 19
    assert recording.pauses == ((15.0, 19.0),)
    page = report(tmp_path)
    assert page.count("path", class_="continued") == 1
    assert "once" in page.all("dd")


def test_a_save_while_paused_does_not_end_the_pause(tmp_path):
    full_run(tmp_path)
    assert read_recording(tmp_path).pauses == ((20.0, 30.0), (60.0, 70.0))


def test_a_save_of_an_active_system_is_no_pause(tmp_path):
    write(tmp_path, loss(), [state("saving", START + 5), state("active", START + 6)])
    assert read_recording(tmp_path).pauses == ()


def test_a_line_is_broken_by_a_pause(tmp_path):
    points = [point for point in loss(100) if not 40 < point.time - START < 60]
    write(tmp_path, points, [state("paused", START + 40), state("active", START + 60)])
    [line] = panels_of(read_recording(tmp_path))[0].lines
    assert line.time[np.isnan(line.mean)].tolist() == [50.0]


def test_the_steps_stand_below_the_time(tmp_path):
    write(tmp_path, loss(41))
    [panel] = panels_of(read_recording(tmp_path))
    assert [label for _, label in time_ticks(40.0)] == ["0", "10 s", "20 s", "30 s", "40 s"]
    assert panel.steps == ("0", "100", "200", "300", "400")


@pytest.mark.parametrize("duration", [0.0, 1e-9, 0.3, 1.0, 7.0, 59.0, 61.0, 3600.0, 1e5, 1e7, 1e12])
def test_there_are_a_few_marks_of_time(duration):
    ticks = time_ticks(duration)
    assert 1 <= len(ticks) <= 6
    assert len({label for _, label in ticks}) == len(ticks)
    assert all(0 <= at <= duration * 1.001 for at, _ in ticks)


# Which points are drawn.


def test_thinning_keeps_every_extreme(tmp_path):
    rng = np.random.default_rng(0)
    values = rng.normal(size=20_000)
    values[12_345], values[17] = 99.0, -77.0
    write(tmp_path, [Point.single("a/x", START + i / 10, i, float(v)) for i, v in enumerate(values)])
    [panel] = panels_of(read_recording(tmp_path))
    [line] = panel.lines
    assert line.mean.size == COLUMNS
    assert (line.least.min(), line.greatest.max()) == (-77.0, 99.0)
    assert panel.low < -77.0
    assert panel.high > 99.0
    at = line.time[line.greatest.argmax()]
    assert abs(at - 1234.5) < 2000 / COLUMNS
    assert line.mean.mean() == pytest.approx(values.mean(), abs=1e-9)


def test_few_points_are_all_drawn(tmp_path):
    write(tmp_path, loss(50))
    [line] = panels_of(read_recording(tmp_path))[0].lines
    assert line.mean.tolist() == [1 / (1 + i) for i in range(50)]


def test_lines_of_other_magnitudes_get_other_panels(tmp_path):
    scales = {"a": 1.0, "b": 2.0, "c": 1e4}
    points = [
        Point.single(f"{n}/loss", START + i, i, k * (1 + i / 10)) for n, k in scales.items() for i in range(9)
    ]
    write(tmp_path, points)
    panels = panels_of(read_recording(tmp_path))
    assert sorted([line.series.name for line in panel.lines] for panel in panels) == [
        ["a/loss", "b/loss"],
        ["c/loss"],
    ]


def test_values_over_decades_get_a_logarithmic_axis(tmp_path):
    write(tmp_path, [Point.single("a/loss", START + i, i, 10.0 ** (-i / 10)) for i in range(60)])
    [panel] = panels_of(read_recording(tmp_path))
    assert panel.is_log
    assert panel.height(panel.low) == pytest.approx(0)
    assert panel.height(panel.high) == pytest.approx(1)
    assert 2 <= len(panel.ticks) <= 6


def test_names_are_in_natural_order(tmp_path):
    write(tmp_path, [Point.single(f"agent/joint_{i}", START + j, j, 1.0) for i in (10, 9, 1) for j in range(2)])
    assert list(read_recording(tmp_path).series) == ["agent/joint_1", "agent/joint_9", "agent/joint_10"]


def test_seconds_have_a_unit():
    assert [amount(v, "s") for v in (2e-6, 0.0123, 1.5, 0.0)] == ["2 µs", "12.3 ms", "1.5 s", "0 s"]


# The picture.


def size(png):
    return struct.unpack(">II", png.read_bytes()[16:24])


def test_a_picture_grows_with_its_panels_and_stays_within_bounds(tmp_path):
    write(tmp_path / "one", loss())
    write(tmp_path / "many", [Point.single(f"agent/n{i}", START + j, j, 1.0) for i in range(14) for j in range(2)])
    one, many = (size(write_report(tmp_path / name)[1]) for name in ("one", "many"))
    assert one[1] < many[1] < 2000
    assert one[0] < many[0] < 2500


def test_pictures_leave_pyplot_alone(tmp_path):
    import subprocess

    write(tmp_path, loss(name="損失/loss"))
    code = "import sys; from pamiq_sched.report import write_report; write_report(sys.argv[1])\n" + (
        "print([name for name in ('matplotlib.pyplot', 'torch') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("[]\n", "")
