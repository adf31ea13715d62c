"""The server's process: from the first line of the link to its end.

The invariant: it lives as long as its system. The end of the link, however it comes, ends it. It yields to the
agent (niceness), and bounds what it holds open. One event loop on the main thread.
"""

from __future__ import annotations

import asyncio
import logging
import os
import resource
import socket
from typing import Final

from starlette.types import ASGIApp
from uvicorn.config import Config

from pamiq_sched.web.app import create_app
from pamiq_sched.web.commands import Commands
from pamiq_sched.web.connections import MOST_CONNECTIONS, SECONDS_BETWEEN_REQUESTS, Connection, Connections
from pamiq_sched.web.door import Door
from pamiq_sched.web.link import LONGEST_LINE, Link
from pamiq_sched.web.mirror import Mirror

NICENESS: Final = 5
"""How far the server steps back behind the agent: of a core that both want, it gets a quarter."""

SECONDS_FOR_THE_END: Final = 2.0
"""That requests may take to get their last answers when the system has ended."""

FILES: Final = MOST_CONNECTIONS + 128
"""That must be allowed to be open: connections, those that are taken before another has made room, and our own."""


def main(listen_fd: int, link_fd: int) -> None:
    """Serve until the system ends.

    Args:
        listen_fd: A socket that is bound.
        link_fd: A socket whose other end the system has.
    """
    os.nice(NICENESS)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < FILES:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(FILES, hard), hard))
    with socket.socket(fileno=listen_fd) as listener, socket.socket(fileno=link_fd) as link:
        asyncio.run(serve(listener, link))


async def serve(listener: socket.socket, link_socket: socket.socket) -> None:
    """Serve until the link ends.

    Args:
        listener: A socket that is bound.
        link_socket: Connected to the system.
    """
    link = Link(*await asyncio.open_unix_connection(sock=link_socket, limit=LONGEST_LINE))
    hello = await link.hello()
    if hello is None:
        return
    mirror = Mirror()
    commands = Commands(link.ask, hello.queue_size)
    connections = Connections(hello.version)
    door = listen(listener, create_app(hello, mirror, commands), connections)
    link.tell_ready()
    await link.run(mirror)
    door.close()
    if mirror.has_ended:
        commands.end(mirror.errors)
        await connections.finish(SECONDS_FOR_THE_END)
    # What is left is cancelled, and uvicorn would write a traceback for each.
    logging.disable()


def listen(listener: socket.socket, app: ASGIApp, connections: Connections) -> Door:
    """Begin to answer requests.

    Args:
        listener: A socket that is bound.
        app: What answers.
        connections: Keeps those that are made.
    """
    config = Config(
        app,
        interface="asgi3",
        http=Connection,
        ws="none",
        lifespan="off",
        log_config=None,
        log_level="error",
        access_log=False,
        proxy_headers=False,
        timeout_keep_alive=SECONDS_BETWEEN_REQUESTS,
    )
    # Not uvicorn's Server: it looks ten times a second whether it is to end, takes the signals, and waits at the
    # end for whatever is open.
    door = Door(listener, config, connections)
    door.open()
    return door
