"""Waiting for others of the same run to end, without ever waiting for nobody."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Room:
    """Counts who is at work; `wait` ends when one of them has ended, and says no when only waiters are left."""

    def __init__(self) -> None:
        self._busy = 0
        self._waiting: set[asyncio.Event] = set()

    @asynccontextmanager
    async def busy(self) -> AsyncIterator[None]:
        self._busy += 1
        try:
            yield
        finally:
            self._busy -= 1
            self._call_all()

    def _call_all(self) -> None:
        """Whoever is called counts as at work from now on, not from when it comes round: what it does next may make
        room for others, who must not believe until then that nobody is left."""
        called, self._waiting = self._waiting, set()
        for event in called:
            event.set()

    async def wait(self) -> bool:
        """Whether somebody ended meanwhile; at once False for the last one who isn't waiting."""
        if self._busy - len(self._waiting) <= 1:
            return False
        event = asyncio.Event()
        self._waiting.add(event)
        try:
            await event.wait()
        finally:
            self._waiting.discard(event)
        return True
