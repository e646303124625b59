"""How a callback wakes a run: whoever receives it appends the job's id to a file, and runs look at its end.

A file needs no process to be there, no socket and no rights but those of the state folder, and the worst that can
happen to it is that a run looks at a job when it would have looked anyway.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

WAKE_FILE = "wake"
LOOK_EVERY_S = 0.1
MOST_BYTES = 64 * 1024


def say_ended(path: Path, job_id: str) -> None:
    """Tell every run that waits in the state folder of `path`. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(FileNotFoundError):
        if path.stat().st_size > MOST_BYTES:
            path.unlink()  # runs see another file, and read it from its beginning
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(descriptor, f"{job_id}\n".encode())
    finally:
        os.close(descriptor)


class WakeFile:
    """The end of the file: `news` are the ids that were appended since the last look, or since this was made."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._inode, self._at = _stat(path)

    def news(self) -> list[str]:
        inode, size = _stat(self._path)
        if inode != self._inode or size < self._at:
            self._inode, self._at = inode, 0
        if size == self._at:
            return []
        with self._path.open("rb") as file:
            file.seek(self._at)
            lines, _, _ = file.read(size - self._at).rpartition(b"\n")
        if not lines:
            return []
        self._at += len(lines) + 1
        return lines.decode("ascii", "replace").split("\n")


@asynccontextmanager
async def waking(
    path: Path, wake: Callable[[str], None], *, sleep: Callable[[float], Awaitable[None]]
) -> AsyncIterator[None]:
    """While it lasts, `wake` is called with the id of every job that is said to have ended."""
    watching = asyncio.create_task(_watch(WakeFile(path), wake, sleep))
    try:
        yield
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)


async def _watch(file: WakeFile, wake: Callable[[str], None], sleep: Callable[[float], Awaitable[None]]) -> None:
    while True:
        await sleep(LOOK_EVERY_S)
        with contextlib.suppress(OSError):  # a hint that can't be read is no hint: the poller looks in its own time
            for job_id in file.news():
                wake(job_id)


def _stat(path: Path) -> tuple[int, int]:
    try:
        found = path.stat()
    except OSError:
        return 0, 0
    return found.st_ino, found.st_size
