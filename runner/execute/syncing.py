"""fsync for many who wait for it at once.

A thread gives the interpreter's lock away with every call to the system, and has to wait for it again while the
event loop is busy. So threads do nothing here but sync, several files in a go, and a folder once for all who ask.
"""

from __future__ import annotations

import asyncio
import os
from collections import deque
from collections.abc import Sequence
from pathlib import Path

from runner.runlog import Pledge

MOST_LANES = 4  # on a slow disk some syncs at once are faster than one after the other
MOST_TOGETHER = 16

Target = int | Path  # the number of an open file, or a folder


class Syncer:
    """What was synced is durable when the call returns. Raises OSError."""

    def __init__(self) -> None:
        self._waiting: deque[tuple[Target, Pledge[None]]] = deque()
        self._lanes = 0
        self._running: set[asyncio.Task[None]] = set()  # a task that nobody holds may be collected

    async def sync(self, target: Target) -> None:
        """A cancellation waits for the end: nobody closes a file that a thread is at work on."""
        done: Pledge[None] = Pledge()
        self._waiting.append((target, done))
        self._open_lane()
        await done.wait()

    def _open_lane(self) -> None:
        if self._lanes < MOST_LANES:
            self._lanes += 1
            lane = asyncio.create_task(self._work())
            self._running.add(lane)
            lane.add_done_callback(self._running.discard)

    async def _work(self) -> None:
        """Until nobody waits. A lane counts for as long as it will look once more, and not a turn of the loop longer:
        who asks right after that opens another."""
        try:
            while self._waiting:
                await self._sync_some()
        finally:
            self._lanes -= 1

    async def _sync_some(self) -> None:
        some = [self._waiting.popleft() for _ in range(min(MOST_TOGETHER, len(self._waiting)))]
        try:
            errors = await asyncio.to_thread(_synced, [target for target, _ in some])
        except asyncio.CancelledError:
            for _, done in some:
                done.give_up()
            raise
        for (_, done), error in zip(some, errors, strict=True):
            if error is None:
                done.keep(None)
            else:
                done.fail(error)


def _synced(targets: Sequence[Target]) -> list[OSError | None]:
    done: dict[Target, OSError | None] = {}
    for target in targets:
        if target not in done:
            done[target] = _sync(target)
    return [done[target] for target in targets]


def _sync(target: Target) -> OSError | None:
    try:
        if isinstance(target, int):
            os.fsync(target)
        else:
            _sync_folder(target)
    except OSError as error:
        return error
    return None


def _sync_folder(folder: Path) -> None:
    number = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
