"""Numbers and events in a file of JSON lines, written and read back."""

import json
import math
import os
import sys

import pytest
from hypothesis import given, settings, strategies as st

import pamiq_sched
from pamiq_sched.metrics import Event, JsonLinesSink, Point, read_json_lines


@pytest.fixture
def path(tmp_path):
    return tmp_path / "runs" / "a" / "metrics.jsonl"


def write(path, *batches, **options):
    """One run that writes batches of points and events."""
    sink = JsonLinesSink(path, **options)
    for points, events in batches:
        sink.write(points, events)
    sink.close()


def strict(line):
    """Parse JSON as a reader does that knows no NaN."""

    def refuse(name):
        raise AssertionError(f"{name} is no JSON")

    return json.loads(line, parse_constant=refuse)


def points_in(path):
    return [point for run in read_json_lines(path) for point in run.points]


def single(name="dqn/loss", time=1764000000.25, step=7, value=0.5):
    return Point.single(name, time, step, value)


# What is in the file.


def test_a_value_is_a_line(path):
    write(path, ([single()], []))
    assert strict(path.read_text().splitlines()[1]) == {
        "name": "dqn/loss",
        "time": 1764000000.25,
        "step": 7,
        "value": 0.5,
    }


def test_several_values_tell_their_extremes_and_count(path):
    write(path, ([Point("dqn/loss", 1764000000.25, 7, 0.5, -1.0, 2.0, 40)], []))
    line = strict(path.read_text().splitlines()[1])
    assert (line["least"], line["greatest"], line["count"]) == (-1.0, 2.0, 40)


def test_an_event_is_a_line(path):
    write(path, ([], [Event("saved", 2.0, "saved x.state", {"path": "x.state", "number": 3})]))
    assert strict(path.read_text().splitlines()[1]) == {
        "event": "saved",
        "time": 2.0,
        "text": "saved x.state",
        "details": {"path": "x.state", "number": 3},
    }


def test_a_run_begins_with_who_it_is(path, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["/somewhere/demo.py", "--fast"])
    write(path)
    about = strict(path.read_text())["run"]
    assert about.pop("started") > 1.7e9
    assert about == {"version": pamiq_sched.__version__, "pid": os.getpid(), "program": "demo.py"}


def test_what_is_not_finite_is_a_string(path):
    write(path, ([Point("x", 1.0, 1, math.nan, -math.inf, math.inf, 2)], []))
    line = strict(path.read_text().splitlines()[1])
    assert (line["value"], line["least"], line["greatest"]) == ("NaN", "-Infinity", "Infinity")


def test_details_that_json_does_not_know_are_told_as_text(path):
    details = {"to": math.inf, "list": [math.nan, {"deep": (-math.inf,)}], "path": path}
    write(path, ([], [Event("changed", 1.0, "", details)]))
    line = strict(path.read_text().splitlines()[1])
    assert line["details"] == {"to": "Infinity", "list": ["NaN", {"deep": ["-Infinity"]}], "path": str(path)}


def test_a_scalar_of_numpy_is_a_number(path):
    np = pytest.importorskip("numpy")
    write(path, ([Point.single("x", np.float64(1.0), np.int64(2), np.float32(0.5))], []))
    assert strict(path.read_text().splitlines()[1]) == {"name": "x", "time": 1.0, "step": 2, "value": 0.5}


def test_another_process_sees_a_batch_at_once(path):
    sink = JsonLinesSink(path)
    sink.write([single()], [])
    assert points_in(path) == [single()]
    sink.close()


def test_a_batch_is_one_write(path, monkeypatch):
    sink = JsonLinesSink(path)
    sizes = []

    class Counting:
        def write(self, data):
            sizes.append(len(data))
            return len(data)

        closed = True

    with monkeypatch.context() as patched:
        patched.setattr(sink, "_file", Counting())
        sink.write([single(step=i) for i in range(100)], [Event("log", 1.0, "x")])
    sink.close()
    assert len(sizes) == 1


def test_an_empty_batch_writes_nothing(path):
    write(path, ([], []))
    assert len(path.read_text().splitlines()) == 1


# There and back.

numbers = st.floats(allow_nan=True, allow_infinity=True)
moments = st.floats(min_value=0, max_value=4e9)
points = st.builds(
    Point, st.text(), moments, st.integers(0, 2**53), numbers, numbers, numbers, st.integers(2, 10**9)
) | st.builds(Point.single, st.text(), moments, st.integers(0, 2**53), numbers)
events = st.builds(
    Event,
    st.text(),
    moments,
    st.text(),
    st.dictionaries(st.text(), st.none() | st.booleans() | st.integers() | st.text() | moments),
)


@settings(max_examples=50, deadline=None)
@given(st.lists(points), st.lists(events))
def test_what_is_written_is_read(tmp_path_factory, points, events):
    """With any names and texts, newlines and lone surrogates too; repr() compares NaN."""
    path = tmp_path_factory.mktemp("run") / "metrics.jsonl"
    write(path, (points, events))
    [run] = read_json_lines(path)
    assert repr(run.points) == repr(tuple(points))
    assert run.events == tuple(events)
    assert run.skipped == 0
    for line in path.read_bytes().split(b"\n")[:-1]:
        strict(line)


def test_runs_in_one_file_are_kept_apart(path):
    write(path, ([single(step=1)], []))
    write(path, ([single(step=2)], [Event("saved", 1.0, "x")]))
    first, second = read_json_lines(path)
    assert [point.step for point in first.points] == [1]
    assert [point.step for point in second.points] == [2]
    assert [event.kind for event in second.events] == ["saved"]
    assert first.started <= second.started
    assert second.about["pid"] == os.getpid()


# Crashes.


def test_a_run_begins_behind_a_line_that_a_crash_cut(path):
    write(path, ([single(step=1), single(step=2)], []))
    path.write_bytes(path.read_bytes()[:-9])
    write(path, ([single(step=3)], []))
    first, second = read_json_lines(path)
    assert [point.step for point in first.points] == [1]
    assert first.skipped == 1
    assert [point.step for point in second.points] == [3]
    assert second.skipped == 0


@pytest.mark.parametrize("kept", range(1, 60, 7))
def test_a_file_that_is_cut_anywhere_can_be_read_and_continued(path, kept):
    write(path, ([single(step=1)], []))
    content = path.read_bytes()
    path.write_bytes(content[: len(content) - kept])
    before = len(points_in(path))
    write(path, ([single(step=9)], []))
    assert len(points_in(path)) == before + 1


def test_a_line_that_was_written_in_part_is_ended_by_the_next(path):
    """A disk that took half of a batch, and then takes the rest of the run."""
    sink = JsonLinesSink(path)
    real = sink._file

    class Full:
        closed = False
        fails = False

        def write(self, data):
            if self.fails:
                raise OSError(28, "No space left on device")
            self.fails = True
            return real.write(data[:20])

    sink._file = Full()
    with pytest.raises(OSError, match="No space left"):
        sink.write([single(step=1)], [])
    sink._file = real
    sink.write([single(step=2)], [])
    sink.close()
    [run] = read_json_lines(path)
    assert [point.step for point in run.points] == [2]
    assert run.skipped == 1


@pytest.mark.parametrize(
    "line",
    [
        b"{}",
        b"[]",
        b"7",
        b"\xff\xfe",
        b'{"name": 3, "time": 1, "step": 1, "value": 1}',
        b'{"name": "x", "time": "NaN", "step": 1, "value": 1}',
        b'{"name": "x", "time": 1, "step": 1, "value": "high"}',
        b'{"name": "x", "time": 1, "step": 1, "value": 1, "count": 0}',
        b'{"name": "x", "time": 1, "step": 1, "value": 1, "count": "2"}',
        b'{"event": "x"}',
        b'{"run": []}',
        b"[" * 100_000,
    ],
)
def test_a_line_of_another_kind_is_skipped_and_counted(path, line):
    write(path, ([single(step=1)], []))
    path.write_bytes(path.read_bytes() + line + b"\n")
    [run] = read_json_lines(path)
    assert len(run.points) == 1
    assert run.skipped == 1


def test_points_without_a_first_line_are_a_run(path):
    write(path, ([single(step=1), single(time=1764000009.0, step=2)], []))
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[1:]))
    [run] = read_json_lines(path)
    assert run.started == 1764000000.25
    assert run.about == {}
    assert len(run.points) == 2


def test_an_empty_file_has_no_runs(path):
    path.parent.mkdir(parents=True)
    path.touch()
    assert read_json_lines(path) == []


# Merging.


def plainly_merged(points, every):
    """What a sink with ``every`` keeps of points whose times grow, by name."""
    groups = {}
    for point in points:
        own = groups.setdefault(point.name, [])
        if own and point.time - own[-1][0].time < every:
            own[-1].append(point)
        else:
            own.append([point])
    return {
        name: [
            (
                group[-1].time,
                group[-1].step,
                pytest.approx(math.fsum(p.value * p.count for p in group) / sum(p.count for p in group)),
                min(p.least for p in group),
                max(p.greatest for p in group),
                sum(p.count for p in group),
            )
            for group in own
        ]
        for name, own in groups.items()
    }


@st.composite
def streams(draw):
    """Batches of points of a few names, in the order of time."""
    time, step, batches = 1000.0, 0, []
    for _ in range(draw(st.integers(0, 8))):
        batch = []
        for _ in range(draw(st.integers(0, 5))):
            time += draw(st.sampled_from([0.0, 0.25, 1.0, 3.0]))
            step += 1
            values = draw(st.lists(st.floats(0, 100), min_size=1, max_size=3))
            mean = sum(values) / len(values)
            name = draw(st.sampled_from("ab"))
            batch.append(Point(name, time, step, mean, min(values), max(values), len(values)))
        batches.append((batch, []))
    return batches


@settings(max_examples=60, deadline=None)
@given(streams(), st.sampled_from([0.5, 1.0, 2.5]))
def test_points_that_are_close_are_merged(tmp_path_factory, batches, every):
    path = tmp_path_factory.mktemp("run") / "metrics.jsonl"
    write(path, *batches, every=every)
    found = {}
    for p in points_in(path):
        found.setdefault(p.name, []).append((p.time, p.step, p.value, p.least, p.greatest, p.count))
    assert found == plainly_merged([point for batch, _ in batches for point in batch], every)


def test_what_waits_is_written_when_its_time_is_over(path):
    """A name that is no longer logged does not wait for the end of the run."""
    sink = JsonLinesSink(path, every=10.0)
    sink.write([single("rare", time=100.0)], [])
    assert points_in(path) == []
    sink.write([], [Event("log", 110.0, "")])
    assert [point.name for point in points_in(path)] == ["rare"]
    sink.close()


def test_what_waits_is_written_at_the_end(path):
    write(path, ([single(time=100.0, value=1.0), single(time=101.0, value=2.0)], []), every=10.0)
    [point] = points_in(path)
    assert (point.value, point.count) == (1.5, 2)


def test_a_clock_that_was_set_back_ends_what_waits(path):
    write(path, ([single(time=5000.0)], []), ([single(time=100.0)], []), every=10.0)
    assert [(point.time, point.count) for point in points_in(path)] == [(5000.0, 1), (100.0, 1)]


# What is refused.


def test_a_sink_may_be_closed_twice(path):
    sink = JsonLinesSink(path)
    sink.close()
    sink.close()


def test_a_path_that_cannot_be_written_is_refused_at_once(tmp_path):
    with pytest.raises(IsADirectoryError):
        JsonLinesSink(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises((FileExistsError, NotADirectoryError)):
        JsonLinesSink(tmp_path / "file" / "metrics.jsonl")


@pytest.mark.parametrize("path", ["", 3])
def test_what_is_no_path_is_refused(path):
    with pytest.raises((TypeError, ValueError), match="path must be a path"):
        JsonLinesSink(path)


@pytest.mark.parametrize("every", [-1, math.nan, math.inf])
def test_what_is_no_time_between_points_is_refused(path, every):
    with pytest.raises(ValueError, match="every must be a number of seconds of at least 0"):
        JsonLinesSink(path, every=every)
    assert not path.parent.exists()
