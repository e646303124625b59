"""Downloads under way: a resume may come before the server has noticed that the download it goes on with broke off."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager


class Streams:
    def __init__(self) -> None:
        self._of: dict[str, set[asyncio.Future[None]]] = {}

    @contextmanager
    def sending(self, output_id: str) -> Iterator[None]:
        """Around one download, and around noting how much of it was sent."""
        ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        mine = self._of.setdefault(output_id, set())
        mine.add(ended)
        try:
            yield
        finally:
            mine.discard(ended)
            if not mine:
                self._of.pop(output_id, None)
            ended.set_result(None)

    async def one_ends(self, output_id: str, *, timeout_s: float) -> bool:
        """Whether a download of the output, of those under way now, ended in time."""
        running = self._of.get(output_id)
        if not running:
            return False
        done, _ = await asyncio.wait(tuple(running), timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
        return bool(done)
