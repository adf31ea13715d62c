"""The server's end of its link to the system: orders go one way, what happens comes the other way.

Lines of JSON over a pair of sockets. The invariant: whoever asks gets the system's own answer, or is told that the
system has ended; nobody waits for ever. Belongs to the event loop.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Final

from pamiq_sched.metrics import Event, Point
from pamiq_sched.web.mirror import Mirror

LONGEST_LINE: Final = 64 * 2**20
"""Bytes. A batch of points of the most names there may be has about one MiB, but a status carries the stacks of
threads, and the end all tracebacks."""

HAS_ENDED: Final = "the system has ended"


class CommandFailedError(Exception):
    """What an order came to, if the system raised an error.

    Args:
        type_name: The class of that error.
        message: What it says.
    """

    def __init__(self, type_name: str, message: str) -> None:
        super().__init__(message)
        self.type_name = type_name
        self.message = message


@dataclass(frozen=True)
class Hello:
    """The first that the system says."""

    host: str
    """Where the server was asked to listen."""
    port: int
    token: str | None
    """What requests must carry; None: nothing."""
    queue_size: int
    """How many orders may be unfinished."""
    version: str
    pid: int
    """Of the system."""
    program: str
    """The name of the script."""


class Link:
    """A connection to the system.

    Args:
        reader: Where lines come from.
        writer: Where they go.
    """

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._asked: dict[int, asyncio.Future[Any]] = {}
        self._count = 0
        self._is_over = False

    async def hello(self) -> Hello | None:
        """Wait for the first line; None if the system ended before it."""
        line = await self._reader.readline()
        if not line:
            return None
        values = json.loads(line)["hello"]
        return Hello(**{field.name: values[field.name] for field in fields(Hello)})

    def tell_ready(self) -> None:
        """Say that requests are answered."""
        self._write({"ready": True})

    async def ask(self, verb: str, arguments: Mapping[str, Any]) -> Any:
        """Give an order and wait for what it comes to.

        Raises:
            CommandFailedError: If the system says so, or if it ends before it answers.
        """
        if self._is_over:
            raise CommandFailedError("SystemStoppedError", HAS_ENDED)
        self._count += 1
        number = self._count
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._asked[number] = answer
        # How much may wait in the buffer is bounded by how many orders may be unfinished.
        self._write({"id": number, "verb": verb, "arguments": dict(arguments)})
        try:
            return await answer
        finally:
            del self._asked[number]

    async def run(self, mirror: Mirror) -> None:
        """Take what the system says until it ends.

        Args:
            mirror: Is told of all but the answers.
        """
        try:
            while not mirror.has_ended and (line := await self._reader.readline()):
                self._take(json.loads(line), mirror)
        finally:
            self._is_over = True
            for answer in self._asked.values():
                if not answer.done():
                    answer.set_exception(CommandFailedError("SystemStoppedError", HAS_ENDED))

    def close(self) -> None:
        """Close this end."""
        self._writer.close()

    def _take(self, message: dict[str, Any], mirror: Mirror) -> None:
        if "id" in message:
            answer = self._asked.get(message["id"])
            if answer is None or answer.done():
                return
            error = message.get("error")
            if error is None:
                answer.set_result(message["result"])
            else:
                answer.set_exception(CommandFailedError(error["type"], error["message"]))
        elif "status" in message:
            mirror.take_status(message["status"])
        elif "ended" in message:
            mirror.take_end(message["ended"]["errors"])
        else:
            mirror.take_batch(
                [Point(*point) for point in message["points"]], [Event(**event) for event in message["events"]]
            )

    def _write(self, message: Mapping[str, Any]) -> None:
        self._writer.write(json.dumps(message).encode() + b"\n")
