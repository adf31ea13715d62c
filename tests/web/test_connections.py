"""Connections over real TCP: bounded in number and in time, and who sends a whole request is answered."""

import asyncio
import socket
from contextlib import asynccontextmanager

import pytest

from pamiq_sched.web import connections as connections_module, door as door_module
from pamiq_sched.web.connections import MOST_CONNECTIONS, MOST_PIECES, MOST_THROWN_AWAY, Connections
from pamiq_sched.web.server import listen

pytestmark = pytest.mark.anyio

HEAD = b"Host: 127.0.0.1\r\nAuthorization: Bearer secret\r\n"
GET = b"GET /api/commands HTTP/1.1\r\n" + HEAD + b"\r\n"
HALF = GET[:-2]
LAST = b"Connection: close\r\n\r\n"


@asynccontextmanager
async def serving(site):
    """A server on a real port; yields all connections, and how to open one."""
    async with asyncio.timeout(60):
        listener = socket.create_server(("127.0.0.1", 0))
        address = listener.getsockname()
        connections = Connections("0.1.0")
        door = listen(listener, site.app, connections)
        writers = []

        async def connect(sent=b""):
            reader, writer = await asyncio.open_connection(*address)
            writers.append(writer)
            writer.write(sent)
            return reader, writer

        try:
            yield connections, connect
        finally:
            for writer in writers:
                writer.close()
            door.close()
            listener.close()
            await connections.finish(30)


async def answer(reader):
    """The status and the body of the next answer."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    length = [line.partition(":")[2] for line in head.lower().split("\r\n") if line.startswith("content-length")]
    return int(head.split(" ", 2)[1]), await reader.readexactly(int(length[0]))


async def is_closed(reader):
    try:
        return await reader.read() == b""
    except ConnectionResetError:
        return True


async def test_requests_are_answered_one_after_another_on_a_connection(site):
    async with serving(site) as (_, connect):
        reader, writer = await connect(GET)
        assert await answer(reader) == (200, b"[]")
        writer.write(GET + GET)
        assert await answer(reader) == (200, b"[]")
        assert await answer(reader) == (200, b"[]")


async def test_a_request_in_small_pieces_is_answered(site):
    async with serving(site) as (_, connect):
        reader, writer = await connect()
        for i in range(len(GET)):
            writer.write(GET[i : i + 1])
            await asyncio.sleep(0)
        assert await answer(reader) == (200, b"[]")


async def test_a_body_behind_its_head_is_read(site):
    async with serving(site) as (_, connect):
        head = (
            b"POST /api/horizon HTTP/1.1\r\n" + HEAD + b"Content-Type: application/json\r\nContent-Length: 50\r\n"
        )
        reader, writer = await connect(head + b"Expect: 100-continue\r\n\r\n")
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 100 ")
        for piece in (b'{"trainer": "dqn", ', b'"schedule": "lr", ', b'"horizon": 7}'):
            writer.write(piece)
            await asyncio.sleep(0)
        assert (await answer(reader))[0] == 200
        assert site.system.asked[0][1]["horizon"] == 7


async def test_when_there_are_too_many_the_oldest_without_a_whole_request_makes_room(site):
    async with serving(site) as (_, connect):
        held = [await connect(HALF) for _ in range(MOST_CONNECTIONS)]
        reader, _ = await connect(GET)
        assert await answer(reader) == (200, b"[]")
        assert await is_closed(held[0][0])
        reader, writer = held[1]
        writer.write(LAST)
        assert (await answer(reader))[0] == 200


async def test_one_that_is_answered_makes_no_room_for_one_that_sends_nothing(site):
    site.system.gates["save"] = gate = asyncio.Event()
    async with serving(site) as (_, connect):
        reader, _ = await connect(b"POST /api/save-state HTTP/1.1\r\n" + HEAD + b"\r\n")
        await site.system.was_asked.wait()
        for _ in range(MOST_CONNECTIONS + 10):
            await connect()
        gate.set()
        assert (await answer(reader))[0] == 200


async def test_when_all_are_answered_the_oldest_makes_room_for_a_shutdown(site):
    """Its command goes on, and its result can be asked for."""
    async with serving(site) as (connections, connect):
        wait = b"POST /api/shutdown?wait=600 HTTP/1.1\r\n" + HEAD + b"\r\n"
        held = [await connect(wait) for _ in range(MOST_CONNECTIONS)]
        while len(connections._served) < MOST_CONNECTIONS:
            await asyncio.sleep(0)
        reader, _ = await connect(b"POST /api/shutdown HTTP/1.1\r\n" + HEAD + b"\r\n")
        assert (await answer(reader))[0] == 200
        assert await is_closed(held[0][0])


@pytest.fixture
def little_time(monkeypatch):
    """A request must be whole at once."""
    for module in (connections_module, door_module):
        monkeypatch.setattr(module, "SECONDS_FOR_A_REQUEST", 0.01)


@pytest.mark.usefixtures("little_time")
async def test_a_request_that_does_not_become_whole_is_given_up(site):
    body = (
        b"POST /api/pause HTTP/1.1\r\n" + HEAD + b"Content-Type: application/json\r\nContent-Length: 9\r\n\r\n{}"
    )
    async with serving(site) as (_, connect):
        for sent in (b"", HALF, body):
            reader, _ = await connect(sent)
            assert await is_closed(reader)
    assert site.system.asked == []


async def test_the_next_request_on_a_connection_must_become_whole_too(site, monkeypatch):
    async with serving(site) as (_, connect):
        reader, writer = await connect(GET)
        await answer(reader)
        monkeypatch.setattr(connections_module, "SECONDS_FOR_A_REQUEST", 0.01)
        writer.write(HALF)
        assert await is_closed(reader)


async def test_the_time_for_a_body_begins_with_its_connection(site, monkeypatch):
    """Who sends the head late has no more time for the body."""
    monkeypatch.setattr(door_module, "SECONDS_FOR_A_REQUEST", 0.01)
    monkeypatch.setattr(connections_module, "SECONDS_FOR_A_REQUEST", 3600.0)
    async with serving(site) as (_, connect):
        head = (
            b"POST /api/pause HTTP/1.1\r\n" + HEAD + b"Content-Type: application/json\r\nContent-Length: 9\r\n\r\n"
        )
        reader, _ = await connect(head)
        assert await is_closed(reader)


@pytest.mark.usefixtures("little_time")
async def test_a_whole_request_may_be_answered_late(site):
    site.system.gates["save"] = gate = asyncio.Event()
    async with serving(site) as (_, connect):
        reader, _ = await connect(b"POST /api/save-state HTTP/1.1\r\n" + HEAD + b"\r\n")
        other, _ = await connect(HALF)
        assert await is_closed(other)  # the time is over
        gate.set()
        assert (await answer(reader))[0] == 200


async def test_a_reader_that_takes_nothing_is_given_up(site, monkeypatch):
    monkeypatch.setattr(connections_module, "SECONDS_FOR_A_READER", 0.01)
    for i in range(500):
        site.system.measure(f"{i:0400}", 0.0)
    async with serving(site) as (connections, connect):
        reader, writer = await connect(GET.replace(b"commands", b"history") * 300)
        await reader.readline()
        writer.transport.pause_reading()
        connections.none_left.clear()
        await connections.none_left.wait()


async def test_what_is_no_http_is_told_so(site):
    async with serving(site) as (_, connect):
        reader, _ = await connect(b"\x16\x03\x01 hello")
        status, body = await answer(reader)
        assert (status, body) == (400, b'{"error":"this is no request of HTTP/1.1"}')
        assert await is_closed(reader)


@pytest.mark.parametrize("more", [b"GET / HTTP/9\r\n\r\n", b"\0\r\n\r\n"])
async def test_nonsense_behind_an_answer_is_no_defect_of_the_server(site, more, caplog):
    async with serving(site) as (_, connect):
        reader, writer = await connect(GET)
        await answer(reader)
        writer.write(more)
        assert (await answer(reader))[0] == 400
    assert caplog.records == []


async def test_nonsense_in_a_body_that_was_refused_is_no_defect_of_the_server(site, caplog):
    start = b"POST /api/pause HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n"
    async with serving(site) as (_, connect):
        reader, writer = await connect(start)
        assert (await answer(reader))[0] == 401
        writer.write(b"no chunk\r\n")
        assert (await answer(reader))[0] == 400
        assert await is_closed(reader)
    assert caplog.records == []


async def test_too_large_headers_are_refused(site):
    async with serving(site) as (_, connect):
        reader, _ = await connect(HALF + b"X: " + b"x" * 100_000)
        assert (await answer(reader))[0] == 400


async def test_a_body_in_too_many_pieces_is_refused(site):
    """Chunks of one byte would keep the server from everything else."""
    start = b"POST /api/pause HTTP/1.1\r\n" + HEAD + b"Content-Type: application/json\r\n"
    async with serving(site) as (_, connect):
        body = b"1\r\n \r\n" * 2 * MOST_PIECES + b"0\r\n\r\n"
        reader, _ = await connect(start + b"Transfer-Encoding: chunked\r\n\r\n" + body)
        assert await is_closed(reader)
    assert site.system.asked == []


async def test_a_large_body_is_thrown_away_so_that_its_sender_sees_why(site):
    start = b"POST /api/pause HTTP/1.1\r\n" + HEAD + b"Content-Type: application/json\r\n"
    async with serving(site) as (_, connect):
        reader, writer = await connect()
        for _ in range(2):
            writer.write(start + b"Content-Length: 10000000\r\n\r\n" + bytes(10_000_000))
            await writer.drain()
            assert (await answer(reader))[0] == 413
        writer.write(GET)
        assert await answer(reader) == (200, b"[]")


async def test_a_body_without_end_is_cut(site):
    start = b"POST /api/pause HTTP/1.1\r\n" + HEAD + b"Content-Type: application/json\r\n"
    async with serving(site) as (_, connect):
        reader, writer = await connect(start + b"Content-Length: 999999999\r\n\r\n")
        assert (await answer(reader))[0] == 413
        with pytest.raises(ConnectionError):
            for _ in range(2 * MOST_THROWN_AWAY // 65536 + 100):
                writer.write(bytes(65536))
                await writer.drain()


async def test_at_the_end_who_waits_for_an_answer_gets_it_and_the_others_are_closed(site, monkeypatch):
    for module in (connections_module, door_module):
        monkeypatch.setattr(module, "SECONDS_FOR_A_REQUEST", 3600.0)
    async with serving(site) as (connections, connect):
        half, _ = await connect(HALF)
        idle, _ = await connect(GET)
        await answer(idle)
        waiting, _ = await connect(b"POST /api/shutdown?wait=60 HTTP/1.1\r\n" + HEAD + b"\r\n")
        await site.system.was_asked.wait()
        site.end()
        await connections.finish(3600)
        assert (await answer(waiting))[0] == 200
        for reader in (half, idle, waiting):
            assert await is_closed(reader)


async def test_the_end_waits_for_nobody_for_longer_than_it_may(site):
    site.system.gates["save"] = asyncio.Event()
    async with serving(site) as (connections, connect):
        reader, _ = await connect(b"POST /api/save-state HTTP/1.1\r\n" + HEAD + b"\r\n")
        await site.system.was_asked.wait()
        await connections.finish(0.01)
        assert await is_closed(reader)
