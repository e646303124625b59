"""Waiting for others of the same run to end, without ever waiting for nobody."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Room:
    """Counts who is at work; `wait` ends when one of them has ended, and says no when only waiters are left."""

    def __init__(self) -> None:
        self._busy = 0
        self._waiting = 0
        self._ended = asyncio.Condition()

    @asynccontextmanager
    async def busy(self) -> AsyncIterator[None]:
        self._busy += 1
        try:
            yield
        finally:
            self._busy -= 1
            if self._waiting:
                async with self._ended:
                    self._ended.notify_all()

    async def wait(self) -> bool:
        """Whether somebody ended meanwhile; at once False for the last one who isn't waiting."""
        if self._busy - self._waiting <= 1:
            return False
        self._waiting += 1
        try:
            async with self._ended:
                await self._ended.wait()
        finally:
            self._waiting -= 1
        return True
