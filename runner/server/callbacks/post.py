"""One POST to a receiver: the address is checked and then connected to, the whole exchange has one deadline.

The event loop's own streams are enough: nothing of the answer matters but its status, and an ordinary client would
neither let us choose the address nor keep a receiver that dribbles from taking longer than it may.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache, partial
from urllib.parse import SplitResult

from runner.server.config import Network
from runner.server.engine.addresses import resolve
from runner.server.engine.fair_places import FairThreads
from runner.server.engine.remote import encoded
from runner.server.jobs.receivers import RefusedReceiver, checked_receiver

_MOST_HEAD = 64 * 1024


@dataclass(frozen=True, kw_only=True, slots=True)
class Letter:
    url: str
    body: bytes
    headers: Mapping[str, str]


async def post(letter: Letter, *, allowed: tuple[Network, ...], timeout_s: float, resolvers: FairThreads) -> int:
    """The status that the receiver answers.

    resolvers  where names are looked up, which may hang for longer than anybody waits: shared fairly by name

    Raises RefusedReceiver and RefusedAddress where it must not be asked, TimeoutError and OSError where it
    doesn't answer in time or not with HTTP. Redirects are answers like any other: they are not followed.
    """
    if not letter.url:
        raise RefusedReceiver("its address was lost: the key that opens it is not there any more")
    parts = checked_receiver(letter.url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    async with asyncio.timeout(timeout_s):
        host = parts.hostname or ""
        addresses = await resolvers.run(host, partial(resolve, host, port, allowed))
        reader, writer = await _connected(addresses, port, parts)
        try:
            writer.write(_head(parts, letter) + letter.body)
            await writer.drain()
            return await _status(reader)
        finally:
            writer.transport.abort()


async def _connected(
    addresses: list[str], port: int, parts: SplitResult
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    context = _tls() if parts.scheme == "https" else None
    last: OSError = OSError("no address")
    for address in addresses:
        try:
            return await asyncio.open_connection(
                address, port, ssl=context, server_hostname=parts.hostname if context else None, limit=_MOST_HEAD
            )
        except OSError as error:
            last = error
    raise last


@lru_cache(maxsize=1)
def _tls() -> ssl.SSLContext:
    return ssl.create_default_context()


def _head(parts: SplitResult, letter: Letter) -> bytes:
    target = encoded((parts.path or "/") + (f"?{parts.query}" if parts.query else ""))
    host = (parts.hostname or "").encode("idna").decode()
    named = f"[{host}]" if ":" in host else host
    lines = [
        f"POST {target} HTTP/1.1",
        f"Host: {named}:{parts.port}" if parts.port else f"Host: {named}",
        f"Content-Length: {len(letter.body)}",
        "Connection: close",
        *(f"{name}: {value}" for name, value in letter.headers.items()),
    ]
    return "\r\n".join([*lines, "", ""]).encode("ascii")


async def _status(reader: asyncio.StreamReader) -> int:
    """The final status; raises ConnectionError for what is no HTTP."""
    while True:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError as error:  # a status line alone says enough
            head = error.partial
        except asyncio.LimitOverrunError as error:
            raise ConnectionError("the answer has no end of headers") from error
        first = head.split(b"\r\n", 1)[0].split(b" ")
        if len(first) < 2 or not first[0].startswith(b"HTTP/1.") or not (first[1].isdigit() and len(first[1]) == 3):
            raise ConnectionError("the answer is not HTTP")
        status = int(first[1])
        if status >= 200:
            return status
