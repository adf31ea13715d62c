"""The history: bounded, and no number is ever dropped."""

import math

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from pamiq_sched.metrics import Event, Point
from pamiq_sched.web import history as history_module
from pamiq_sched.web.history import (
    LONGEST_ERROR,
    LONGEST_NAME,
    MOST_CHANGES,
    MOST_ERRORS,
    MOST_LOG_LINES,
    MOST_NAMES,
    MOST_PAUSES,
    MOST_POINTS,
    MOST_SAVES,
    History,
    Series,
    merged,
)

# A loaded machine may be slow to draw examples.
SETTINGS = settings(max_examples=60, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow])

NUMBERS = st.floats(allow_nan=True, allow_infinity=True)
ROWS = st.tuples(NUMBERS, NUMBERS, NUMBERS, st.integers(1, 10**6)).map(
    lambda row: (0.0, 0, sorted(row[:3])[1], min(row[:3]), max(row[:3]), row[3])
)


@given(st.lists(ROWS, min_size=1, max_size=200), st.integers(8, 40))
@SETTINGS
def test_whatever_is_added_the_number_of_points_is_bounded_and_no_value_is_lost(rows, most):
    series = Series()
    for i, row in enumerate(rows):
        series.add((float(i), i, *row[2:]), most)
        assert len(series) <= most
    columns = series.columns(since=-math.inf)
    assert sum(columns["count"]) == sum(row[5] for row in rows)
    assert columns["time"] == sorted(columns["time"])
    assert columns["step"][-1] == len(rows) - 1
    numbers = [row for row in rows if not any(map(math.isnan, row[2:5]))]
    if len(numbers) == len(rows):
        assert min(columns["least"]) == min(row[3] for row in rows)
        assert max(columns["greatest"]) == max(row[4] for row in rows)
        for value, least, greatest in zip(columns["value"], columns["least"], columns["greatest"], strict=True):
            assert math.isnan(value) or least <= value <= greatest


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=300), st.integers(8, 40))
@SETTINGS
def test_merging_keeps_the_mean(values, most):
    series = Series()
    for i, value in enumerate(values):
        series.add((float(i), i, value, value, value, 1), most)
    columns = series.columns(since=-math.inf)
    total = sum(value * count for value, count in zip(columns["value"], columns["count"], strict=True))
    assert total / len(values) == pytest.approx(sum(values) / len(values), abs=1e-6)


def counts(added, most):
    series = Series()
    for i in range(added):
        series.add((float(i), i, 0.0, 0.0, 0.0, 1), most)
    return series.columns(since=-math.inf)["count"]


def test_the_past_is_even_and_the_present_is_as_it_came():
    """A chart of a day shows its morning as finely as its noon."""
    told = counts(100_000, most=1000)
    assert len(told) > 500
    assert told[-400:] == [1] * 400
    past = [count for count in told if count > 1]
    assert len(past) >= 240
    assert set(past[:-1]) == {256}
    assert past[-1] <= 256


def test_below_the_bound_nothing_is_merged():
    assert counts(1000, most=1000) == [1] * 1000


def test_a_series_whose_bound_shrinks_is_merged_until_it_keeps_to_it():
    series = Series()
    for i in range(1000):
        series.add((float(i), i, 0.0, 0.0, 0.0, 1), 1000)
    series.add((1000.0, 1000, 0.0, 0.0, 0.0, 1), 250)
    assert len(series) <= 250
    assert sum(series.columns(since=-math.inf)["count"]) == 1001


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        (math.nan, 1.0, (math.nan, 1.0, 1.0)),
        (math.nan, math.nan, (math.nan, math.nan, math.nan)),
        (math.inf, 1.0, (math.inf, 1.0, math.inf)),
        (math.inf, -math.inf, (math.nan, -math.inf, math.inf)),
        (1e308, 1e308, (1e308, 1e308, 1e308)),
        (-1.7e308, 1.7e308, (0.0, -1.7e308, 1.7e308)),
        (0.1, 0.1, (0.1, 0.1, 0.1)),
    ],
)
def test_merging_numbers_at_the_edge(first, second, expected):
    _, _, *numbers, count = merged((1.0, 1, first, first, first, 1), (2.0, 2, second, second, second, 1))
    assert numbers == pytest.approx(expected, nan_ok=True, rel=0)
    assert count == 2


@SETTINGS
@given(st.floats(allow_nan=False, allow_infinity=False), st.lists(st.integers(1, 1000), min_size=2, max_size=20))
def test_merging_equal_values_gives_that_value(value, weights):
    row = (0.0, 0, value, value, value, weights[0])
    for weight in weights[1:]:
        row = merged(row, (0.0, 0, value, value, value, weight))
    assert row[2] == value


def test_points_from_a_moment_on():
    series = Series()
    for i in range(5):
        series.add((float(i), i, 0.0, 0.0, 0.0, 1), 100)
    assert series.columns(since=3.0)["step"] == [3, 4]
    assert series.columns(since=9.0)["step"] == []


def point(name, value=1.0, time=1.0):
    return Point.single(name, time, 1, value)


def test_a_name_too_many_is_refused_once_and_the_others_go_on():
    history = History()
    kept, notes = history.add_points([point(f"loss{i}") for i in range(MOST_NAMES)])
    assert (len(kept), notes) == (MOST_NAMES, [])
    kept, notes = history.add_points([point("one more"), point("loss1"), point("another")])
    assert [one.name for one in kept] == ["loss1"]
    (note,) = notes
    assert note.kind == "log"
    assert note.details["level"] == "WARNING"
    assert "at most 2000 names" in note.text
    assert "'one more'" in note.text
    assert history.add_points([point("yet another")]) == ([], [])
    assert len(history.names()) == MOST_NAMES


def test_a_name_too_long_is_refused():
    history = History()
    kept, (note,) = history.add_points([point("x" * (LONGEST_NAME + 1)), point("x" * LONGEST_NAME)])
    assert [len(one.name) for one in kept] == [LONGEST_NAME]
    assert len(note.text) < 1000


def test_many_names_share_what_there_is(monkeypatch):
    """All together stay in bounded memory."""
    monkeypatch.setattr(history_module, "MOST_POINTS_OF_ALL", 1000)
    history = History()
    for i in range(300):
        history.add_points([point(f"name{name}", time=float(i)) for name in range(10)])
    lengths = [len(history.columns(name, -math.inf)["time"]) for name in history.names()]
    assert max(lengths) <= 100
    assert [sum(history.columns(name, -math.inf)["count"]) for name in history.names()] == [300] * 10


def test_a_single_name_has_at_most_so_many_points():
    history = History()
    for i in range(3 * MOST_POINTS):
        history.add_points([point("loss", time=float(i))])
    assert MOST_POINTS / 2 <= len(history.columns("loss", -math.inf)["time"]) <= MOST_POINTS


def test_the_latest_of_each_name_by_name():
    history = History()
    history.add_points([point("b", 1.0), point("a", 2.0), point("b", 3.0)])
    assert [(name, one["value"]) for name, one in history.latest().items()] == [("a", 2.0), ("b", 3.0)]


@pytest.mark.parametrize(
    ("kind", "attribute", "most"),
    [
        ("log", "log", MOST_LOG_LINES),
        ("started", "log", MOST_LOG_LINES),
        ("save failed", "log", MOST_LOG_LINES),
        ("error", "errors", MOST_ERRORS),
        ("changed", "changes", MOST_CHANGES),
        ("saved", "saves", MOST_SAVES),
    ],
)
def test_the_latest_events_of_a_kind_are_kept(kind, attribute, most):
    history = History()
    for i in range(most + 5):
        history.add_event(Event(kind, float(i), "", {"path": "x"}))
    kept = getattr(history, attribute)
    moments = [one["time"] if kind == "saved" else one.time for one in kept]
    assert moments == [float(i) for i in range(5, most + 5)]


def test_an_event_is_in_one_list_only():
    history = History()
    for kind in ("log", "error", "changed"):
        history.add_event(Event(kind, 1.0, ""))
    assert [len(history.log), len(history.errors), len(history.changes)] == [1, 1, 1]


def state(moment, name):
    return Event("state", moment, "", {"state": name})


def test_a_pause_lasts_until_the_system_goes_on_whatever_it_saves_meanwhile():
    history = History()
    for moment, name in [(1.0, "pausing"), (2.0, "paused"), (3.0, "saving"), (4.0, "paused"), (5.0, "active")]:
        history.add_event(state(moment, name))
    history.add_event(state(6.0, "paused"))
    assert list(history.pauses) == [[2.0, 5.0], [6.0, None]]


def test_the_latest_pauses_are_kept():
    history = History()
    for i in range(MOST_PAUSES + 1):
        history.add_event(state(2.0 * i, "paused"))
        history.add_event(state(2.0 * i + 1, "active"))
    assert len(history.pauses) == MOST_PAUSES
    assert history.pauses[0] == [2.0, 3.0]


def test_a_text_too_long_is_kept_without_its_middle():
    """What an error is about is at the end of its traceback."""
    history = History()
    kept = history.add_event(Event("error", 1.0, "Traceback" + "x" * 2 * LONGEST_ERROR + "ValueError: no"))
    assert len(kept.text) < LONGEST_ERROR + 100
    assert kept.text.startswith("Traceback")
    assert kept.text.endswith("ValueError: no")
    assert f"... {LONGEST_ERROR + 23} characters ..." in kept.text
    assert history.errors[0] is kept


def test_details_are_kept_as_far_as_they_are_few_and_flat():
    details = {"path": "x" * 10_000, "number": 3, "none": None, "deep": [[1]], **{f"k{i}": i for i in range(100)}}
    kept = History().add_event(Event("saved", 1.0, "", details)).details
    assert len(kept) < 20
    assert len(kept["path"]) < 5000
    assert kept["number"] == 3
    assert "deep" not in kept
