"""The link: orders and answers over a real pair of sockets."""

import asyncio
import json
import socket
from contextlib import asynccontextmanager

import pytest

from pamiq_sched.web.link import LONGEST_LINE, CommandFailedError, Hello, Link
from pamiq_sched.web.mirror import Mirror

pytestmark = pytest.mark.anyio

HELLO = {
    "host": "127.0.0.1",
    "port": 8391,
    "token": None,
    "queue_size": 16,
    "version": "0.1.0",
    "pid": 7,
    "program": "demo.py",
}


class System:
    """The other end."""

    def __init__(self, reader, writer):
        self._reader = reader
        self._writer = writer

    def say(self, **message):
        self._writer.write(json.dumps(message).encode() + b"\n")

    async def hear(self):
        return json.loads(await self._reader.readline())

    def end(self):
        self._writer.close()


@asynccontextmanager
async def link_and_system():
    ours, theirs = socket.socketpair()
    link = Link(*await asyncio.open_unix_connection(sock=ours, limit=LONGEST_LINE))
    system = System(*await asyncio.open_unix_connection(sock=theirs))
    async with asyncio.timeout(30):
        yield link, system
    link.close()
    system.end()


async def test_the_system_says_hello():
    async with link_and_system() as (link, system):
        system.say(hello={**HELLO, "colour": "of a later version"})
        assert await link.hello() == Hello(**HELLO)


async def test_a_system_that_ends_before_it_says_hello():
    async with link_and_system() as (link, system):
        system.end()
        assert await link.hello() is None


async def test_orders_are_answered_in_any_order():
    async with link_and_system() as (link, system):
        running = asyncio.ensure_future(link.run(Mirror()))
        link.tell_ready()
        save, pause = (asyncio.ensure_future(link.ask(verb, {"a": 1})) for verb in ("save", "pause"))
        assert await system.hear() == {"ready": True}
        assert await system.hear() == {"id": 1, "verb": "save", "arguments": {"a": 1}}
        assert await system.hear() == {"id": 2, "verb": "pause", "arguments": {"a": 1}}
        system.say(id=2, error={"type": "TimeoutError", "message": "too late"})
        with pytest.raises(CommandFailedError, match="too late") as caught:
            await pause
        assert caught.value.type_name == "TimeoutError"
        system.say(id=1, result="x.state")
        assert await save == "x.state"
        system.end()
        await running


async def test_what_the_system_tells_is_noted():
    async with link_and_system() as (link, system):
        mirror = Mirror()
        system.say(status={"state": "paused"})
        system.say(
            points=[["loss", 1.0, 2, float("nan"), float("-inf"), float("inf"), 3]],
            events=[{"kind": "log", "time": 1.0, "text": "a", "details": {}}],
        )
        system.end()
        await link.run(mirror)
        status = await mirror.status(30.0)
        assert status["state"] == "paused"
        assert mirror.history.columns("loss", 0.0)["greatest"] == [float("inf")]
        assert [event.text for event in mirror.history.log] == ["a"]
        assert not mirror.has_ended


async def test_the_end_that_is_told_ends_the_link():
    async with link_and_system() as (link, system):
        mirror = Mirror()
        system.say(ended={"errors": ["Traceback"]})
        await link.run(mirror)
        assert mirror.has_ended
        assert mirror.errors == ["Traceback"]


@pytest.mark.parametrize("how", ["told", "not told"])
async def test_who_waits_for_an_answer_is_told_that_the_system_has_ended(how):
    async with link_and_system() as (link, system):
        running = asyncio.ensure_future(link.run(Mirror()))
        asked = asyncio.ensure_future(link.ask("save", {}))
        await system.hear()
        if how == "told":
            system.say(ended={"errors": []})
        else:
            system.end()
        with pytest.raises(CommandFailedError, match="the system has ended") as caught:
            await asked
        assert caught.value.type_name == "SystemStoppedError"
        await running
        with pytest.raises(CommandFailedError, match="the system has ended"):
            await link.ask("pause", {})


async def test_an_answer_that_nobody_waits_for_any_more_is_no_error():
    async with link_and_system() as (link, system):
        running = asyncio.ensure_future(link.run(Mirror()))
        asked = asyncio.ensure_future(link.ask("save", {}))
        await system.hear()
        asked.cancel()
        await asyncio.wait([asked])
        system.say(id=1, result=None)
        system.say(id=99, result=None)
        system.end()
        await running


async def test_of_two_answers_the_first_counts():
    async with link_and_system() as (link, system):
        running = asyncio.ensure_future(link.run(Mirror()))
        asked = asyncio.ensure_future(link.ask("save", {}))
        await system.hear()
        system._writer.write(b'{"id": 1, "result": "first"}\n{"id": 1, "result": "second"}\n')
        system.end()
        await running
        assert await asked == "first"


async def test_a_line_of_many_stacks_is_read():
    async with link_and_system() as (link, system):
        running = asyncio.ensure_future(link.run(mirror := Mirror()))
        system.say(status={"stuck": {"training": "x" * 2**21}})
        system.end()
        await running
        assert len((await mirror.status(30.0))["stuck"]["training"]) == 2**21


async def test_a_line_that_is_no_message_ends_the_process():
    """The system sees its end and says so; to go on would be to guess."""
    async with link_and_system() as (link, system):
        system._writer.write(b"no json\n")
        with pytest.raises(ValueError, match="Expecting value"):
            await link.run(Mirror())
