"""Answers that take a while, and end when whoever asked has gone. Belongs to the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterator
from typing import Any

from starlette.types import Receive, Scope, Send


async def unless_gone(receive: Receive, work: Coroutine[Any, Any, object], seconds: float | None = None) -> None:
    """Do something to its end, or until whoever asked has gone, or for so long.

    Args:
        receive: Tells when the sender of a request has gone; its body is thrown away.
        work: Is cancelled if it is not finished by then.
        seconds: At the most; without a limit if None.
    """
    # Not Starlette's response of a generator: one that is left while its reader does not read is finished by the
    # garbage collector, whenever that comes, and what it holds stays held.
    working = asyncio.ensure_future(work)
    leaving = asyncio.ensure_future(_until_gone(receive))
    tasks = {working, leaving}
    try:
        await asyncio.wait(tasks, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
    if not working.cancelled():
        working.result()  # raises what went wrong


class PiecesResponse:
    """Sends pieces one by one, between which others have their turn; an ASGI application.

    Args:
        pieces: Are made one by one, when the one before is sent.
        media_type: What they are together.
    """

    def __init__(self, pieces: Iterator[str], media_type: str) -> None:
        self._pieces = pieces
        self._media_type = media_type

    async def __call__(self, _scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        await unless_gone(receive, self._send(send))

    async def _send(self, send: Send) -> None:
        headers = [(b"content-type", self._media_type.encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        for piece in self._pieces:
            await send({"type": "http.response.body", "body": piece.encode(), "more_body": True})
            await asyncio.sleep(0)
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
