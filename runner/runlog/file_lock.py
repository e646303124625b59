"""The lock beside a log's file: who has the log open shares it, who puts another file in its place has it alone.

SQLite's locks are on the file itself. Who waits for one of them while the file is moved away goes on with the old file
and, by name, with the write-ahead log of the new one, and so destroys both. This lock is taken before a file is opened.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path

ASK_AGAIN_S = 0.02


class FileLock:
    """Held from the making to `close`, or to the end of the process."""

    def __init__(self, log: Path, *, make: bool, within_s: float) -> None:
        """Share the lock of `log`; who has it alone is waited for.

        make  make the lock file where there is none; who only looks makes none, and goes without

        Raises BlockingIOError when `within_s` seconds are over, OSError where the file can't be made.
        """
        self._number = _opened(log, make=make)
        if self._number is not None:
            try:
                _wait(self._number, until=time.monotonic() + within_s)
            except BaseException:
                self.close()
                raise

    def close(self) -> None:
        if self._number is not None:
            os.close(self._number)
            self._number = None


@contextlib.contextmanager
def alone(log: Path) -> Iterator[None]:
    """Raises BlockingIOError while anybody has `log` open, OSError where there can be no lock."""
    number = os.open(_lock_file(log), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(number)


def _lock_file(log: Path) -> Path:
    return log.with_name(f"{log.name}-lock")


def _opened(log: Path, *, make: bool) -> int | None:
    try:
        return os.open(_lock_file(log), os.O_RDONLY | os.O_CLOEXEC | (os.O_CREAT if make else 0), 0o600)
    except OSError:
        if make:
            raise
        return None


def _wait(number: int, *, until: float) -> None:
    while True:
        try:
            fcntl.flock(number, fcntl.LOCK_SH | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() > until:
                raise
            time.sleep(ASK_AGAIN_S)
