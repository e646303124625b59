"""A body on its way, watched: a server that stops reading ends its request.

aiohttp counts how long nothing comes only once it has handed over the whole body, however long that takes.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import aiohttp

# One in the time that a server may be silent: a slow line takes that much, too.
PIECE_BYTES = 64 << 10


class StalledError(aiohttp.ServerTimeoutError):
    """The server took nothing of the body for too long."""


@dataclass(kw_only=True, slots=True)
class Sending:
    """How long the piece that was handed over last may be under way; made by `watched`.

    over  whether it doesn't matter any more
    """

    patience_s: float
    limit: asyncio.Timeout
    over: bool = False

    async def pieces(self, content: bytes | AsyncIterable[bytes]) -> AsyncIterator[bytes | memoryview]:
        """`content` as it is taken. Waiting for its next block isn't the server's doing, and doesn't count."""
        async for block in _blocks(content):
            view = memoryview(block)
            for first in range(0, len(view), PIECE_BYTES):
                self._may_take(self.patience_s)
                yield view[first : first + PIECE_BYTES]
                self._may_take(None)
        # The last piece is under way yet, and then the answer is.
        self._may_take(2 * self.patience_s)

    def head_came(self) -> None:
        """How long the rest of the answer takes is counted as it comes."""
        self._may_take(None)
        self.over = True

    def _may_take(self, seconds: float | None) -> None:
        if not self.over and not self.limit.expired():
            self.limit.reschedule(None if seconds is None else asyncio.get_running_loop().time() + seconds)


@asynccontextmanager
async def watched(*, patience_s: float) -> AsyncIterator[Sending]:
    """For one request. Raises StalledError where its server takes nothing for `patience_s`."""
    try:
        async with asyncio.timeout(None) as limit:
            sending = Sending(patience_s=patience_s, limit=limit)
            try:
                yield sending
            finally:
                sending.over = True
    except TimeoutError as error:
        if isinstance(error, aiohttp.ClientError):
            raise
        raise StalledError("nothing of the body was taken") from error


async def _blocks(content: bytes | AsyncIterable[bytes]) -> AsyncIterator[bytes]:
    if isinstance(content, bytes):
        yield content
    else:
        async for block in content:
            yield block
