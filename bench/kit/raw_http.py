"""A client that costs next to nothing: whole requests as bytes, one after another on a few connections."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from urllib.parse import urlsplit

# What to send next, given the answer to what was sent before (empty at first); None ends this connection.
Turn = Callable[[bytes], bytes | None]


def seconds_for(url: str, turns: list[Turn]) -> float:
    """Until every turn has ended, each on a connection of its own."""
    return asyncio.run(_timed(url, turns))


def request(method: str, path: str, *, key: str = "", body: bytes = b"") -> bytes:
    head = f"{method} {path} HTTP/1.1\r\nHost: bench\r\nX-Oc-Api-Key: {key}\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


async def _timed(url: str, turns: list[Turn]) -> float:
    parts = urlsplit(url)
    connections = [await asyncio.open_connection(parts.hostname, parts.port) for _ in turns]
    began = time.perf_counter()
    await asyncio.gather(*(_talk(*connection, turn) for connection, turn in zip(connections, turns, strict=True)))
    took = time.perf_counter() - began
    for _, writer in connections:
        writer.close()
        await writer.wait_closed()
    return took


async def _talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, turn: Turn) -> None:
    answer = b""
    while (sent := turn(answer)) is not None:
        writer.write(sent)
        head = await reader.readuntil(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 2"):
            raise ConnectionError(head.decode())
        at = head.lower().index(b"content-length:") + len(b"content-length:")
        answer = await reader.readexactly(int(head[at : head.index(b"\r", at)]))
