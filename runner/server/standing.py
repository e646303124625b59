"""Tasks that live as long as the server: what goes wrong in one round is logged, and the next round comes.

A task that ended because of one bad record would take everybody's work with it, and nobody would notice. So rounds
may fail, and whoever asks for the server's health learns of a task that is gone all the same.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

_REST_S = 5.0

_log = logging.getLogger(__name__)


class Standing:
    """`rest_s` is the pause after a round that failed, so that a failure which stays doesn't keep a processor busy."""

    def __init__(self, *, rest_s: float = _REST_S) -> None:
        self._rest_s = rest_s
        self._tasks: list[asyncio.Task[None]] = []

    def start(self, name: str, one_round: Callable[[], Awaitable[None]]) -> None:
        """Run `one_round` again and again; `name` is what logs and /health call it."""
        self._tasks.append(asyncio.create_task(self._forever(name, one_round), name=name))

    def gone(self) -> list[str]:
        """Names of tasks that ended; there should be none before `close`."""
        return [task.get_name() for task in self._tasks if task.done()]

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _forever(self, name: str, one_round: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                await one_round()
            except Exception:  # noqa: BLE001  # whatever it was, the next round is another one's
                _log.exception("%s: a round failed", name)
                await asyncio.sleep(self._rest_s)
