"""Orders to the system: each has an id, and what it came to is kept.

The invariant: an order that was taken is carried out or fails, whoever waits for it, and its result can be asked
for later. A shutdown is always taken. Belongs to the event loop.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from pamiq_sched.web.link import CommandFailedError

MOST_KEPT: Final = 100
"""How many finished commands are kept, the latest."""

ENDED_BY_ERRORS: Final = "SystemEndedByErrors"
"""The type of the failure of a shutdown whose system ended with errors."""


class QueueFullError(Exception):
    """So many commands are unfinished that no other is taken."""


@dataclass
class Command:
    """An order, and what came of it."""

    id: str
    verb: str
    time: float
    """When it was given, in seconds since 1970."""
    state: Literal["pending", "accepted", "done", "failed"] = "pending"
    """A shutdown is accepted until the system has ended."""
    value: Any = None
    """What it gave: the path of a save."""
    error: str | None = None
    type: str | None = None
    """The class of the error."""
    answered: asyncio.Event = field(default_factory=asyncio.Event, repr=False)
    """Set when the system has answered: the order has been carried out or has failed; a shutdown is accepted."""
    over: asyncio.Event = field(default_factory=asyncio.Event, repr=False)
    """Set when nothing will change any more."""

    def told(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        return {
            "id": self.id,
            "command": self.verb,
            "state": self.state,
            "value": self.value,
            "error": self.error,
            "type": self.type,
            "time": self.time,
        }

    def finish(self, value: Any) -> None:
        """Note that it has been carried out."""
        self.state, self.value = "done", value
        self._settle()

    def fail(self, type_name: str, text: str) -> None:
        """Note why it was not carried out."""
        self.state, self.type, self.error = "failed", type_name, text
        self._settle()

    def _settle(self) -> None:
        self.answered.set()
        self.over.set()


class Commands:
    """All commands of a server.

    Args:
        ask: Gives an order to the system and returns what it came to; raises :class:`CommandFailedError`.
        queue_size: How many commands may be unfinished, a shutdown not counted.
    """

    def __init__(self, ask: Callable[[str, Mapping[str, Any]], Awaitable[Any]], queue_size: int) -> None:
        self._ask = ask
        self._queue_size = queue_size
        self._commands: dict[str, Command] = {}  # oldest first
        self._count = 0
        self._tasks: set[asyncio.Task[None]] = set()  # the loop itself keeps no reference that holds them
        self._shutdown: Command | None = None
        self._has_ended = False

    def give(self, verb: str, arguments: Mapping[str, Any]) -> Command:
        """Give an order; what it comes to can be waited for.

        A second shutdown is the first one: there is only one end.

        Raises:
            QueueFullError: If too many are unfinished; never for a shutdown.
        """
        is_shutdown = verb == "shutdown"
        if is_shutdown and self._shutdown is not None and self._shutdown.state != "failed":
            return self._shutdown
        if not is_shutdown and self._unfinished() >= self._queue_size:
            raise QueueFullError
        self._count += 1
        command = Command(str(self._count), verb, time.time())
        self._commands[command.id] = command
        if is_shutdown:
            self._shutdown = command
        if is_shutdown and self._has_ended:
            command.finish(None)
        else:
            task = asyncio.get_running_loop().create_task(self._carry_out(command, arguments))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        self._forget_old()
        return command

    def find(self, number: str) -> Command | None:
        """Return the command with an id, if it is known."""
        return self._commands.get(number)

    def latest(self) -> list[Command]:
        """Return the latest commands, the oldest of them first."""
        return list(self._commands.values())[-MOST_KEPT:]

    def end(self, errors: Sequence[str]) -> None:
        """Note that the system has ended: a shutdown is done, or has failed by errors."""
        self._has_ended = True
        command = self._shutdown
        if command is None or command.over.is_set():
            return
        if errors:
            command.fail(ENDED_BY_ERRORS, "\n".join(errors))
        else:
            command.finish(None)

    async def _carry_out(self, command: Command, arguments: Mapping[str, Any]) -> None:
        try:
            value = await self._ask(command.verb, arguments)
        except CommandFailedError as failure:
            if not command.over.is_set():
                command.fail(failure.type_name, failure.message)
            return
        if command.over.is_set():
            return  # a shutdown whose system ended before this task had its turn
        if command.verb == "shutdown":
            command.state = "accepted"
            command.answered.set()
        else:
            command.finish(value)

    def _unfinished(self) -> int:
        return sum(not c.over.is_set() for c in self._commands.values() if c is not self._shutdown)

    def _forget_old(self) -> None:
        excess = len(self._commands) - MOST_KEPT
        finished = [c.id for c in self._commands.values() if c.over.is_set() and c is not self._shutdown]
        for number in finished[: max(0, excess)]:
            del self._commands[number]
