"""One thread that writes: whatever callers ask for while it syncs goes into the next transaction together.

So many concurrent callers share one fsync, and each is answered only when its own lines are durable.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from runner.runlog.database import Database, Transaction
from runner.runlog.faults import (
    AlreadyStarting,
    BudgetExceeded,
    JobTaken,
    LeaseLost,
    LineUnstorable,
    LogUnusable,
    OutOfOrder,
)
from runner.runlog.pledge import Pledge

T = TypeVar("T")
Work = Callable[[Transaction, float], T]

# More in one transaction gains nothing, and keeps the first caller waiting.
MOST_TOGETHER = 1000
# Raised by work before it wrote anything: the others in the transaction go on.
_REFUSALS = (LeaseLost, AlreadyStarting, JobTaken, BudgetExceeded, OutOfOrder, ValueError)


@dataclass(kw_only=True, slots=True)
class _Request:
    work: Work[Any]
    answer: Pledge[Any]
    result: object = None
    refusal: BaseException | None = None


class GroupWriter:
    """Runs work in transactions of `db`, in the order it came.

    settle  called at the end of each transaction, before it is kept
    undone  called when one was not kept
    """

    def __init__(self, db: Database, *, settle: Callable[[Transaction], None], undone: Callable[[], None]) -> None:
        self._db = db
        self._settle = settle
        self._undone = undone
        self._waiting: deque[_Request] = deque()
        self._wake = threading.Condition()
        self._closing = False
        self._thread: threading.Thread | None = None
        self._rousing: asyncio.AbstractEventLoop | None = None

    async def run(self, work: Work[T]) -> T:
        """What `work` answers, once what it wrote is durable; a cancellation waits for that too."""
        answer: Pledge[T] = Pledge()
        with self._wake:
            if self._closing:
                raise LogUnusable("the run log is closed")
            if self._thread is None:
                self._thread = threading.Thread(target=self._serve, name="run log", daemon=True)
                self._thread.start()
            self._waiting.append(_Request(work=work, answer=answer))
        if self._rousing is not answer.loop:
            self._rousing = answer.loop
            answer.loop.call_soon(self._rouse)
        return await answer.wait()

    def _rouse(self) -> None:
        """Once for all who asked in one go of the event loop: waking a thread costs more than most of them ask for."""
        self._rousing = None
        with self._wake:
            self._wake.notify()

    def close(self) -> None:
        """Write what was asked for, and stop."""
        with self._wake:
            self._closing = True
            self._wake.notify()
        if self._thread is not None:
            self._thread.join()

    def _serve(self) -> None:
        while batch := self._next():
            failure = self._write(batch)
            if isinstance(failure, LineUnstorable):  # whose line that was only each by itself tells
                for request in batch:
                    _answer([request], self._write([request]))
            else:
                _answer(batch, failure)

    def _next(self) -> list[_Request]:
        with self._wake:
            self._wake.wait_for(lambda: self._waiting or self._closing)
            return [self._waiting.popleft() for _ in range(min(MOST_TOGETHER, len(self._waiting)))]

    def _write(self, batch: list[_Request]) -> BaseException | None:
        """Why the whole transaction failed, if it did."""
        try:
            with self._db.writing() as tx:
                at = self._db.now(tx)
                for request in batch:
                    request.refusal = None
                    try:
                        request.result = request.work(tx, at)
                    except _REFUSALS as refusal:
                        request.refusal = refusal
                self._settle(tx)
        except BaseException as failure:  # noqa: BLE001 - the thread must live, and every caller must hear of it
            self._undone()
            return failure
        return None


def _answer(batch: list[_Request], failure: BaseException | None) -> None:
    """Wake each event loop once for all of its callers."""
    by_loop: dict[asyncio.AbstractEventLoop, list[_Request]] = {}
    for request in batch:
        by_loop.setdefault(request.answer.loop, []).append(request)
    for loop, requests in by_loop.items():
        try:
            loop.call_soon_threadsafe(_resolve, requests, failure)
        except RuntimeError:  # the loop was closed meanwhile: nobody is waiting
            continue


def _resolve(requests: list[_Request], failure: BaseException | None) -> None:
    for request in requests:
        error = failure or request.refusal
        if error is None:
            request.answer.keep(request.result)
        else:
            request.answer.fail(error)
