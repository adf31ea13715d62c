"""Server-sent events: what a reader gets, and what a slow one costs."""

import asyncio

import pytest

from pamiq_sched.metrics import Event, Point
from pamiq_sched.web import streams as streams_module
from pamiq_sched.web.streams import MOST_EVENTS, MOST_STREAMS, Streams, TooManyStreamsError

pytestmark = pytest.mark.anyio


async def test_the_first_that_a_reader_gets_is_the_status(site):
    site.system.measure("dqn/loss", 0.5, time=1.0, step=7)
    async with site.exchange("GET", "/api/events") as reader:
        kind, status = await reader.event()
    assert reader.status == 200
    assert kind == "status"
    assert status == {**site.system.status, "numbers": {"dqn/loss": {"value": 0.5, "step": 7, "time": 1.0}}}


async def test_a_reader_gets_what_happens(site):
    async with site.exchange("GET", "/api/events") as reader:
        await reader.event()
        site.system.be("paused")
        kind, status = await reader.event()
        assert (kind, status["state"]) == ("status", "paused")
        site.system.measure("dqn/loss", float("nan"), time=1.0, step=7)
        assert await reader.event() == ("points", [["dqn/loss", 1.0, 7, None, None, None, 1]])
        site.system.log("a line\n\nevent: status", level="INFO")
        kind, event = await reader.event()
        assert kind == "event"
        assert event == {
            "kind": "log",
            "time": 5.0,
            "text": "a line\n\nevent: status",
            "details": {"level": "INFO"},
        }


async def test_the_end_is_the_last_that_a_reader_gets(site):
    async with site.exchange("GET", "/api/events") as reader:
        await reader.event()
        site.system.be("offline")
        site.end("Traceback")
        assert (await reader.event())[0] == "status"
        assert await reader.event() == ("ended", {"errors": ["Traceback"]})
        await reader.task


async def test_who_comes_after_the_end_is_told_of_it(site):
    site.end()
    async with site.exchange("GET", "/api/events") as reader:
        assert (await reader.event())[0] == "status"
        assert await reader.event() == ("ended", {"errors": []})
        await reader.task


async def test_a_reader_that_leaves_is_forgotten(site):
    async with site.exchange("GET", "/api/events") as reader:
        await reader.event()
        assert site.mirror.streams.are_open
    assert not site.mirror.streams.are_open


async def test_a_reader_that_leaves_without_having_read_is_forgotten(site):
    async with site.exchange("GET", "/api/events") as reader:
        reader.reads.clear()
        site.system.measure("a", 1.0)
        await asyncio.sleep(0)
        reader._left.set()
        await reader.task
        assert not site.mirror.streams.are_open


async def test_more_readers_than_may_be_are_refused(site):
    streams = [site.mirror.open_stream() for _ in range(MOST_STREAMS)]
    refused = await site.get("/api/events")
    assert refused.status_code == 503
    assert refused.headers["retry-after"] == "10"
    site.mirror.streams.close(streams[0])
    async with site.exchange("GET", "/api/events") as reader:
        assert (await reader.event())[0] == "status"


async def test_a_slow_reader_gets_the_latest_status_merged_points_and_every_state(site):
    async with site.exchange("GET", "/api/events") as reader:
        await reader.event()
        reader.reads.clear()
        for i in range(1000):
            site.system.be("paused" if i % 2 else "active")
            site.system.measure("dqn/loss", float(i), time=float(i), step=i)
            if i % 100 == 0:
                state = Event("state", float(i), "", {"state": "paused"})
                site.mirror.take_batch([], [state])
        site.end()
        reader.reads.set()
        got = []
        while not got or got[-1][0] != "ended":
            got.append(await reader.event())
    statuses = [value for kind, value in got if kind == "status"]
    points = [point for kind, value in got if kind == "points" for point in value]
    states = [value["time"] for kind, value in got if kind == "event"]
    assert len(statuses) <= 2
    assert statuses[-1]["state"] == "paused"
    assert len(points) <= 6
    assert sum(count for *_, count in points) == 1000
    assert (min(p[4] for p in points), max(p[5] for p in points)) == (0.0, 999.0)
    assert states == [100.0 * i for i in range(10)]


async def test_old_lines_of_the_log_make_room_for_what_must_not_be_lost():
    streams = Streams()
    stream = streams.open()
    streams.publish([], [Event("state", 0.0, "first")])
    for i in range(2 * MOST_EVENTS):
        streams.publish([], [Event("log", float(i), f"line {i}.")])
    streams.publish([], [Event("state", 1.0, "last")])
    text = await stream.take()
    assert text.count("event: event") == MOST_EVENTS
    assert "first" in text
    assert "last" in text
    assert "line 0." not in text
    assert f"line {2 * MOST_EVENTS - 1}." in text
    assert not stream.is_over


async def test_a_reader_that_would_lose_a_state_is_cut():
    """It comes again, and begins with the status."""
    streams = Streams()
    stream = streams.open()
    for i in range(MOST_EVENTS + 1):
        streams.publish([], [Event("state", float(i), "")])
    assert stream.is_over
    assert (await stream.take()).count("event: event") == MOST_EVENTS


async def test_a_stream_without_news_gives_a_sign_of_life(monkeypatch):
    monkeypatch.setattr(streams_module, "SECONDS_BETWEEN_SIGNS", 0.001)
    assert await Streams().open().take() == ":\n\n"


async def test_points_are_made_text_once_for_all_readers():
    streams = Streams()
    one, other = streams.open(), streams.open()
    streams.publish([Point.single("a", 1.0, 1, 2.0)], [])
    assert one._batches[0] is other._batches[0]
    assert await one.take() == await other.take()


async def test_a_closed_stream_is_told_nothing():
    streams = Streams()
    stream = streams.open()
    streams.close(stream)
    streams.publish([Point.single("a", 1.0, 1, 2.0)], [Event("log", 1.0, "")])
    assert stream._batches == []


async def test_a_closed_stream_makes_room():
    streams = Streams()
    opened = [streams.open() for _ in range(MOST_STREAMS)]
    with pytest.raises(TooManyStreamsError):
        streams.open()
    streams.close(opened[3])
    streams.open()
