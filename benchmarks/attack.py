"""Attack an HTTP control: ``python -m benchmarks.attack PORT SLOW RIGHT_TOKEN KIND...``, until stdin ends.

Holds ``SLOW`` connections open that send a byte a second of a request without an end, and opens those anew that
are closed; beside them one client for each kind sends commands as fast as they are answered. Prints a line when it
has begun, and at the end the number of answers that each client got.
"""

from __future__ import annotations

import asyncio
import sys
from contextlib import suppress


async def _slow(port: int) -> None:
    while True:
        with suppress(OSError):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"POST /api/shutdown HTTP/1.1\r\nHost: localhost\r\nX-Slow: ")
            with suppress(OSError):
                while not writer.is_closing():
                    await asyncio.sleep(1.0)
                    writer.write(b"x")
                    await writer.drain()
            writer.close()
        await asyncio.sleep(0.5)


async def _flood(port: int, token: str, counts: list[int], place: int) -> None:
    head = f"POST /api/resume?wait=0 HTTP/1.1\r\nHost: localhost:{port}\r\nContent-Length: 0\r\n"
    if token:
        head += f"Authorization: Bearer {token}\r\n"
    while True:
        with suppress(OSError, asyncio.IncompleteReadError):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            while True:
                writer.write(head.encode() + b"\r\n")
                answer = await reader.readuntil(b"\r\n\r\n")
                length = next(
                    int(line.split(b":")[1])
                    for line in answer.lower().split(b"\r\n")
                    if b"content-length:" in line
                )
                await reader.readexactly(length)
                counts[place] += 1
        await asyncio.sleep(0.05)


async def _attack(port: int, slow: int, right: str, kinds: list[str]) -> None:
    counts = [0] * len(kinds)
    tokens = {"": "", "wrong": "wrong", "right": right}
    tasks = [asyncio.create_task(_slow(port)) for _ in range(slow)]
    tasks += [asyncio.create_task(_flood(port, tokens[kind], counts, i)) for i, kind in enumerate(kinds)]
    await asyncio.sleep(0.5)
    print("under way", flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    print(*counts, flush=True)


if __name__ == "__main__":
    asyncio.run(_attack(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4:]))
