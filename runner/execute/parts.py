"""Half files: downloads on their way, under names of their own until they are whole.

Whoever writes one holds a lock on it that the kernel frees with the process. So what a killed run left is told from
what another run is just writing, and is removed by the next delivery into that folder.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import secrets
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

_NAME = re.compile(r"\.[0-9a-f]{12}-\d+-[0-9a-f]{8}\.part")
_NO_HARD_LINKS = frozenset({errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK})


@dataclass(kw_only=True, slots=True)
class Part:
    """A file of ours that nobody else takes for whole. It is gone after `discard`, unless it was given a name."""

    path: Path
    file: IO[bytes]
    gone: bool = False

    @classmethod
    def in_folder(cls, folder: Path, *, key: str, index: int) -> Part:
        """A new one, empty and locked, for output `index` of `key`."""
        while True:
            path = folder / f".{key[3:15]}-{index}-{secrets.token_hex(4)}.part"
            file = path.open("x+b")
            with suppress(OSError):  # a file system without locks: then nobody can take it for a leftover either
                fcntl.flock(file, fcntl.LOCK_EX)
            if os.fstat(file.fileno()).st_nlink:
                return cls(path=path, file=file)
            file.close()  # somebody tidied up between the two calls

    def written(self) -> int:
        """All of it is with the system; the number to sync it by."""
        self.file.flush()
        return self.file.fileno()

    def named(self, path: Path, *, replace: bool) -> bool:
        """Whether it has this name now; without `replace` somebody else's file under it stays."""
        try:
            if replace:
                self.path.replace(path)
                self.gone = True
            else:
                link_new(self.path, path)
        except FileExistsError:
            return False
        return True

    def discard(self) -> None:
        self.file.close()
        if not self.gone:
            self.path.unlink(missing_ok=True)
            self.gone = True


def link_new(part: Path, path: Path) -> None:
    """Give `part` another name that must be free. Raises FileExistsError."""
    try:
        os.link(part, path)
    except OSError as error:
        if error.errno not in _NO_HARD_LINKS:
            raise
        _take_name(part, path)


def _take_name(part: Path, path: Path) -> None:
    """On a file system without hard links: claim the name first, then take it over."""
    with path.open("xb"):
        pass
    try:
        part.replace(path)
    except OSError:
        path.unlink(missing_ok=True)
        raise


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
