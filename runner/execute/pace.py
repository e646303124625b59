"""How many started jobs the account bears: found by asking, since no source tells it beforehand.

A 429 on a start says that too many are running. The pace halves, waits, and finds back up by one more for every
round of successes, as congestion control does (additive increase, multiplicative decrease).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Pace:
    """At most `limit` slots in use at once; never fewer than one."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._limit = float(most)
        self._in_use = 0
        self._waiting = 0
        self._freed = asyncio.Condition()

    @property
    def limit(self) -> int:
        return max(1, int(self._limit))

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[None]:
        """A place among the started jobs, from the start to the end."""
        if self._in_use >= self.limit:
            await self._wait()
        self._in_use += 1
        try:
            yield
        finally:
            self._in_use -= 1
            if self._waiting:
                async with self._freed:
                    self._freed.notify_all()

    async def _wait(self) -> None:
        self._waiting += 1
        try:
            async with self._freed:
                await self._freed.wait_for(lambda: self._in_use < self.limit)
        finally:
            self._waiting -= 1

    def too_many(self) -> None:
        self._limit = max(1.0, min(self._limit, self._in_use) / 2)

    def went_well(self) -> None:
        self._limit = min(float(self._most), self._limit + 1 / self._limit)
