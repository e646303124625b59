"""Half files: downloads on their way, under names of their own until they are whole.

Whoever writes one holds a lock on it that the kernel frees with the process. So what a killed run left is told from
what another run is just writing, and is removed by the next delivery into that folder.
"""

from __future__ import annotations

import fcntl
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

_NAME = re.compile(r"\.[0-9a-f]{12}-\d+-[0-9a-f]{8}\.part")


@contextmanager
def open_part(folder: Path, *, key: str, index: int) -> Iterator[tuple[Path, IO[bytes]]]:
    """A new file in `folder` for output `index` of `key`, locked; it is gone at the end unless it was renamed."""
    path, file = _locked(folder, f".{key[3:15]}-{index}")
    try:
        with file:
            yield path, file
    finally:
        path.unlink(missing_ok=True)


def _locked(folder: Path, stem: str) -> tuple[Path, IO[bytes]]:
    while True:
        path = folder / f"{stem}-{secrets.token_hex(4)}.part"
        file = path.open("x+b")
        with suppress(OSError):  # a file system without locks: then nobody can take it for a leftover either
            fcntl.flock(file, fcntl.LOCK_EX)
        if os.fstat(file.fileno()).st_nlink:
            return path, file
        file.close()  # somebody tidied up between the two calls


def remove_leftovers(folder: Path) -> None:
    """Remove the half files in `folder` that nobody writes any more. What can't be removed is left."""
    with suppress(OSError):
        for path in folder.iterdir():
            if _NAME.fullmatch(path.name):
                _remove_unlocked(path)


def _remove_unlocked(path: Path) -> None:
    with suppress(OSError):
        number = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink()
        finally:
            os.close(number)
