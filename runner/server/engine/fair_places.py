"""Places for work that may hang, like downloads: no account takes them all, and those who wait get them in turn.

A queue in turns isn't enough here: forty downloads of one account that hang would hold every place before another
account comes. So an account gets a further place only while it holds less than `_SHARE` times the places that are
free. Alone it gets three quarters of them; some are left for who comes next, and for the one after that.

Source: Choudhury and Hahne, "Dynamic queue length thresholds", 1998.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter, deque
from collections.abc import Callable
from concurrent.futures import Future, wait
from threading import Thread
from typing import Any, TypeVar

T = TypeVar("T")

_SHARE = 3
_MOST_HANGING_S = 2.0


class FairPlaces:
    """`take` waits for a place of `places`; `give_back` makes room. Both only on the event loop."""

    def __init__(self, places: int) -> None:
        self._free = places
        self._held: Counter[str] = Counter()  # by account
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}  # by account, in the order of whose turn it is

    async def take(self, account: str) -> None:
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(account, deque()).append(turn)
        self._call_next()
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():  # called in the same moment
                self.give_back(account)
            raise

    def give_back(self, account: str) -> None:
        self._free += 1
        self._held[account] -= 1
        if not self._held[account]:
            del self._held[account]
        self._call_next()

    def _call_next(self) -> None:
        """Call everybody who may have a place now; an account that got one goes to the end."""
        while (account := next(filter(self._may_take, self._waiting), None)) is not None:
            waiting = self._waiting.pop(account)
            turn = waiting.popleft()
            if waiting:
                self._waiting[account] = waiting
            if not turn.done():  # a canceled one has left
                self._free -= 1
                self._held[account] += 1
                turn.set_result(None)

    def _may_take(self, account: str) -> bool:
        return self._held[account] < _SHARE * self._free


class FairThreads:
    """So many threads, fairly shared. A place is free when its thread is, which may be after its caller has gone.

    They are daemons: the end of the process would wait for others, as long as a host says nothing. So work that was
    told to stop writes nothing any more but what the next process removes.
    """

    def __init__(self, count: int, name: str) -> None:
        self._name = name
        self._places = FairPlaces(count)
        self._under_way: set[Future[Any]] = set()

    async def run(self, account: str, work: Callable[[], T]) -> T:
        """What `work` returns or raises, in a thread."""
        await self._places.take(account)
        loop = asyncio.get_running_loop()
        future: Future[T] = Future()
        self._under_way.add(future)

        def give_back(_: Future[T]) -> None:
            with contextlib.suppress(RuntimeError):  # the loop has ended, and nobody waits for a place any more
                loop.call_soon_threadsafe(self._give_back, account, future)

        future.add_done_callback(give_back)
        try:
            Thread(target=_do, args=(work, future), name=self._name, daemon=True).start()
        except RuntimeError as error:  # the system has no thread for us
            future.set_exception(error)
        return await asyncio.wrap_future(future)

    def _give_back(self, account: str, future: Future[T]) -> None:
        self._under_way.discard(future)
        self._places.give_back(account)

    async def close(self) -> None:
        """For who has told all work to stop: wait until it has, but not for work that hangs."""
        await asyncio.to_thread(wait, frozenset(self._under_way), _MOST_HANGING_S)


def _do(work: Callable[[], T], future: Future[T]) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        result = work()
    except BaseException as error:  # noqa: BLE001  # it is raised where the result is waited for
        future.set_exception(error)
    else:
        future.set_result(result)
