"""Numbers and events for TensorBoard, read back by TensorBoard."""

import math
import subprocess
import sys

import pytest

pytest.importorskip("tensorboard")

from pamiq_sched.metrics import Event, Point, TensorBoardSink


def write(directory, points=(), events=()):
    sink = TensorBoardSink(directory)
    sink.write(points, events)
    sink.close()


def read(directory):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = EventAccumulator(str(directory), size_guidance={"scalars": 0, "tensors": 0})
    found.Reload()
    return found


def test_a_name_is_a_curve_over_its_steps(tmp_path):
    points = [Point.single("dqn/loss", 1764000000.0 + i, 10 * i, i / 4) for i in range(5)]
    write(tmp_path, points)
    found = read(tmp_path)
    assert found.Tags()["scalars"] == ["dqn/loss"]
    assert [(s.wall_time, s.step, s.value) for s in found.Scalars("dqn/loss")] == [
        (1764000000.0 + i, 10 * i, i / 4) for i in range(5)
    ]


def test_merged_points_are_one_curve_of_their_means(tmp_path):
    write(tmp_path, [Point("dqn/loss", 1.0, 7, 0.5, 0.0, 2.0, 40)])
    found = read(tmp_path)
    assert found.Tags()["scalars"] == ["dqn/loss"]
    assert [s.value for s in found.Scalars("dqn/loss")] == [0.5]


def test_names_of_one_moment_and_step_are_all_kept(tmp_path):
    names = [f"interaction/{i}" for i in range(5)]
    write(tmp_path, [Point.single(name, 1.0, 3, float(i)) for i, name in enumerate(names)])
    found = read(tmp_path)
    assert [found.Scalars(name)[0].value for name in names] == [0.0, 1.0, 2.0, 3.0, 4.0]


def test_what_is_not_finite_is_kept(tmp_path):
    write(tmp_path, [Point.single("x", 1.0, i, v) for i, v in enumerate((math.nan, math.inf, -math.inf))])
    nan, *infinite = [s.value for s in read(tmp_path).Scalars("x")]
    assert math.isnan(nan)
    assert infinite == [math.inf, -math.inf]


def test_any_name_is_a_tag(tmp_path):
    write(tmp_path, [Point.single("学習/損失 <b>", 1.0, 1, 1.0)])
    assert read(tmp_path).Tags()["scalars"] == ["学習/損失 <b>"]


@pytest.mark.parametrize("kind", ["saved", "state", "changed", "error", "save failed"])
def test_an_event_is_a_text(tmp_path, kind):
    write(tmp_path, events=[Event(kind, 1764000000.0, "one\n  *two* \udc80", {"state": "paused"})])
    found = read(tmp_path)
    [tag] = found.Tags()["tensors"]
    assert tag == f"events/{kind.replace(' ', '_')}"
    [text] = found.Tensors(tag)
    assert text.wall_time == 1764000000.0
    assert text.tensor_proto.string_val[0].decode() == "    one\n      *two* \\udc80\n"
    assert found.SummaryMetadata(tag).plugin_data.plugin_name == "text"


def test_the_log_is_left_out(tmp_path):
    write(tmp_path, events=[Event("log", 1.0, "a line")])
    assert read(tmp_path).Tags()["tensors"] == []


def test_events_are_counted_in_seconds_since_the_sink_was_made(tmp_path):
    sink = TensorBoardSink(tmp_path)
    sink.write([], [Event("saved", sink._started + 90.5, "x")])
    sink.close()
    assert [t.step for t in read(tmp_path).Tensors("events/saved")] == [90]


def test_a_batch_is_seen_before_the_end(tmp_path):
    sink = TensorBoardSink(tmp_path)
    sink.write([Point.single("x", 1.0, 1, 2.0)], [])
    assert [s.value for s in read(tmp_path).Scalars("x")] == [2.0]
    sink.close()


def test_runs_in_one_directory_are_one_curve(tmp_path):
    write(tmp_path, [Point.single("x", 1.0, 1, 1.0)])
    write(tmp_path, [Point.single("x", 2.0, 2, 2.0)])
    assert len(list(tmp_path.iterdir())) == 2
    assert [s.step for s in read(tmp_path).Scalars("x")] == [1, 2]


def test_torch_and_tensorflow_are_not_loaded(tmp_path):
    code = (
        "import sys; from pamiq_sched.metrics import TensorBoardSink, Point\n"
        "sink = TensorBoardSink(sys.argv[1]); sink.write([Point.single('x', 1.0, 1, 1.0)], []); sink.close()\n"
        "print([name for name in ('torch', 'tensorflow') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code, str(tmp_path)], check=True, capture_output=True, text=True
    )
    assert (done.stdout, done.stderr) == ("[]\n", "")


def test_a_missing_package_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboard.summary.writer.record_writer", None)
    with pytest.raises(ImportError, match=r"pip install 'pamiq-sched\[tensorboard\]'"):
        TensorBoardSink(tmp_path)


def test_a_directory_that_cannot_be_made_is_refused_at_once(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises((FileExistsError, NotADirectoryError)):
        TensorBoardSink(tmp_path / "file")
