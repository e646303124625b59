"""An answer that a thread works for. Whoever asked waits for it even when cancelled: the work is on what is theirs."""

from __future__ import annotations

import asyncio
from typing import Generic, TypeVar

T = TypeVar("T")


class Pledge(Generic[T]):
    """What was asked for in an event loop, and is answered there once. `asyncio.shield` costs several times as much."""

    __slots__ = ("_error", "_is_over", "_over", "_result", "loop")

    _result: T

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self._over: asyncio.Future[None] = self.loop.create_future()
        self._is_over = False
        self._error: BaseException | None = None

    async def wait(self) -> T:
        """A cancellation goes on when the work is over; a second one doesn't wait for that."""
        try:
            await self._over
        except asyncio.CancelledError:
            if not self._is_over:
                self._over = self.loop.create_future()
                await asyncio.wait([self._over])
            raise
        if self._error is not None:
            raise self._error
        return self._result

    def keep(self, result: T) -> None:
        self._result = result
        self._end()

    def fail(self, error: BaseException) -> None:
        """`wait` raises `error`."""
        self._error = error
        self._end()

    def give_up(self) -> None:
        """Nobody will ever answer: `wait` is cancelled."""
        self._is_over = True
        self._over.cancel()

    def _end(self) -> None:
        self._is_over = True
        if not self._over.done():
            self._over.set_result(None)
