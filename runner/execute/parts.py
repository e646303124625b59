"""Half files: downloads on their way, which nobody takes for whole, and which are gone when whoever writes them is.

A half file has no name at all (O_TMPFILE, see open(2)) until it is whole. Where a file system can't do that, it has a
name of its own, and whoever writes it holds a lock on it that the kernel frees with the process. So what a killed run
left is told from what another run is just writing, and is removed by the next delivery into that folder.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import secrets
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from io import BufferedWriter, FileIO
from pathlib import Path
from typing import IO

from runner.execute.seen import Seen, seen_at

_NAME = re.compile(r"\.[0-9a-f]{12}-\d+-[0-9a-f]{8}\.part")
_TRIAL = ".000000000000-0"
_RIGHTS = 0o666  # less what the umask takes
_NO_NAMELESS_FILES = frozenset({errno.EOPNOTSUPP, errno.ENOTSUP, errno.EISDIR, errno.EINVAL, errno.ENOSYS})
_NO_HARD_LINKS = frozenset({errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK})


@dataclass(kw_only=True, slots=True)
class Part:
    """A file of ours that nobody else takes for whole. It is gone after `discard`, unless it was given a name.

    path  its name until it is whole, which it may have none of
    hint  what such a name begins with
    """

    file: IO[bytes]
    hint: str
    path: Path | None = None

    @classmethod
    def in_folder(cls, folder: Path, *, key: str, index: int) -> Part:
        """A new one, empty, for output `index` of `key`. Raises FileNotFoundError where the folder isn't there."""
        hint = f".{key[3:15]}-{index}"
        number = _nameless(folder)
        if number is None:
            return cls._named(folder, hint)
        return cls(file=_writer(number), hint=hint)

    @classmethod
    def _named(cls, folder: Path, hint: str) -> Part:
        while True:
            path = _free_name(folder, hint)
            file = _writer(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _RIGHTS))
            _lock(file)
            if os.fstat(file.fileno()).st_nlink:
                return cls(file=file, hint=hint, path=path)
            file.close()  # somebody tidied up between the two calls

    def written(self) -> int:
        """All of it is with the system; the number to sync it by."""
        self.file.flush()
        return self.file.fileno()

    def stat(self) -> os.stat_result:
        return os.fstat(self.file.fileno())

    def named(self, path: Path, *, instead_of: Seen | None = None) -> bool:
        """Whether it has this name now; whatever lies there stays, unless it is exactly what was seen."""
        if instead_of is not None:
            return self._exchanged(path, instead_of)
        try:
            if self.path is None:
                _link_open(self.file.fileno(), path)
            else:
                link_new(self.path, path)
        except FileExistsError:
            return False
        return True

    def discard(self) -> None:
        with suppress(OSError):  # what no longer fits on a full disk was to go anyway
            self.file.close()
        if self.path is not None:
            self.path.unlink(missing_ok=True)
            self.path = None

    def _exchanged(self, path: Path, seen: Seen) -> bool:
        part = self._with_name(path.parent)
        if seen_at(path) != seen:
            return False
        part.replace(path)
        self.path = None
        return True

    def _with_name(self, folder: Path) -> Path:
        """Only what has a name can take another file's place."""
        if self.path is None:
            _lock(self.file)
            path = _free_name(folder, self.hint)
            _link_open(self.file.fileno(), path)
            self.path = path
        return self.path


def _nameless(folder: Path) -> int | None:
    """A file without a name that can be given one, None where that can't be had."""
    return _open_nameless(folder) if _can_be_named(str(folder)) else None


@lru_cache(maxsize=4096)
def _can_be_named(address: str) -> bool:
    """Whether a file can go without a name here, and get one later: tried, for file systems and sandboxes differ."""
    folder = Path(address)
    number = _open_nameless(folder)
    if number is None:
        return False
    path = _free_name(folder, _TRIAL)
    try:
        _link_open(number, path)
        path.unlink(missing_ok=True)
    except OSError:
        return False
    finally:
        os.close(number)
    return True


def _open_nameless(folder: Path) -> int | None:
    try:
        return os.open(folder, os.O_TMPFILE | os.O_WRONLY | os.O_CLOEXEC, _RIGHTS)
    except OSError as error:
        if error.errno not in _NO_NAMELESS_FILES:
            raise
        return None


def _link_open(number: int, path: Path) -> None:
    """Name an open file. Raises FileExistsError. Source: open(2), "O_TMPFILE"."""
    # With a folder's number Python calls linkat, which follows the link that an open file is in /proc.
    os.link(f"/proc/self/fd/{number}", path, src_dir_fd=number, follow_symlinks=True)


def _writer(number: int) -> IO[bytes]:
    return BufferedWriter(FileIO(number, "wb"))


def _lock(file: IO[bytes]) -> None:
    with suppress(OSError):  # a file system without locks: then nobody can take it for a leftover either
        fcntl.flock(file, fcntl.LOCK_EX)


def _free_name(folder: Path, hint: str) -> Path:
    return folder / f"{hint}-{secrets.token_hex(4)}.part"


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
