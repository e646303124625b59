"""Files of jobs, in a folder of their own per job. Names come from ids only, never from a client."""

from __future__ import annotations

import contextlib
import errno
import os
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from runner.server.store.checksums import Digest, Kind, checksum_of, new_digest

_PIECE = 1024 * 1024

PART = ".part"

# Told how large a file is about to be, before that is written; raises OSError where there is no room.
Reserve = Callable[[int], None]


def without_limit(_: int) -> None:
    """There is room for any size, as far as we know."""


class Blobs:
    """A blob's name is `JOB/FILE`; what is half written lies under `tmp/` and is never found by name.

    checksum    how the checksums that clients see are made
    most_bytes  what all files together may take, half-written ones too; 0 means as much as there is. Beyond it `keep`,
                `reserve`, `pour` and `require_room` raise OSError with EDQUOT, as a disk quota would
    """

    def __init__(self, folder: Path, *, checksum: Kind = "md5", most_bytes: int = 0) -> None:
        self._folder = folder
        self._tmp = folder / "tmp"
        self._tmp.mkdir(parents=True, exist_ok=True)
        self._kind = checksum
        self._most = most_bytes
        self._lock = threading.Lock()
        self._remove_what_broke_off()
        self._used = sum(map(_own_bytes, _files(folder))) if most_bytes else 0
        # What of it is counted for files that aren't kept yet.
        self._begun = {path: _own_bytes(path) for path in _files(self._tmp)} if most_bytes else {}

    @property
    def used_bytes(self) -> int:
        """What is taken, where it is counted: it isn't without a limit."""
        return self._used

    @property
    def most_bytes(self) -> int:
        return self._most

    def digest(self) -> Digest:
        return new_digest(self._kind)

    def checksum(self, path: Path) -> str:
        return checksum_of(path, self._kind)

    def path(self, blob: str) -> Path:
        return self._folder / blob

    def scratch(self, name: str) -> Path:
        """Where to write what will become a blob; same file system, so that keeping it is a rename.

        What is named `JOB.` and more goes with the job; what ends with PART is written to by several requests, and
        outlives a restart. Anything else is of no use to the next process.
        """
        return self._tmp / name

    def require_room(self, size_bytes: int) -> None:
        """Raises OSError when so much can't be kept any more."""
        if self._most and self._used + size_bytes > self._most:
            raise OSError(errno.EDQUOT, f"the files of jobs may take {self._most} bytes, and {self._used} are taken")

    def reserve(self, scratch: Path, size_bytes: int) -> None:
        """Count `scratch` as so large from now on, if it wasn't already: others can't take the room meanwhile."""
        if self._most:
            with self._lock:
                known = self._begun.get(scratch, 0)
                self._recount(scratch, max(known, size_bytes), before=known)

    def pour(self, part: Path, whole: Path, offset: int) -> None:
        """Copy `part`, a scratch file, into the scratch file `whole` at `offset`, durably; in a thread.

        `part` is still there, and isn't counted any more: its bytes are counted once.
        """
        if self._most:
            with self._lock:
                known = self._begun.get(whole, 0)
                end = max(known, offset + part.stat().st_size)
                self._recount(whole, end, before=known + self._begun.get(part, 0))
                self._begun.pop(part, None)
        _copy_into(part, whole, offset)
        sync_file(whole)

    def discard(self, scratch: Path) -> None:
        """Remove a scratch file, if it is there, and count it no more."""
        scratch.unlink(missing_ok=True)
        with self._lock:
            self._used -= self._begun.pop(scratch, 0)

    def keep(self, written: Path, blob: str) -> None:
        """Make `written` durable and give it its name; replaces what was there."""
        size_bytes = self._count(written)
        try:
            sync_file(written)
            self._put(written, self.path(blob))
        except OSError:
            with self._lock:
                self._begun[written] = size_bytes  # still counted, and it goes with `discard`
            raise

    def share(self, blob: str, new: str) -> None:
        """A second name for the same bytes; they stay as long as one of the names does."""
        place = self.path(new)
        place.parent.mkdir(exist_ok=True)
        with contextlib.suppress(FileExistsError):
            os.link(self.path(blob), place)

    def remove(self, blob: str) -> None:
        self._remove(self.path(blob))

    def remove_job(self, job_id: str) -> None:
        folder = self._folder / job_id
        for path in _files(folder):
            self._remove(path)
        with contextlib.suppress(OSError):  # what was kept there just now goes with the next call
            folder.rmdir()
        self.remove_parts(job_id)

    def remove_parts(self, owner: str) -> None:
        """Remove the scratch files named `OWNER.` and more."""
        for path in self._tmp.glob(f"{owner}.*"):
            self.discard(path)

    def keep_only(self, job_id: str, blobs: Iterable[str]) -> None:
        """Remove files of a job that no record mentions: what a kill left between a rename and its line."""
        known = {self.path(blob) for blob in blobs}
        for path in _files(self._folder / job_id):
            if path not in known:
                self._remove(path)

    def remove_scraps(self, *, older_than_s: float) -> None:
        """Remove what was begun and left so long ago that nobody can be writing it any more."""
        for path in _files(self._tmp):
            with contextlib.suppress(FileNotFoundError):
                if time.time() - path.stat().st_mtime > older_than_s:
                    self.discard(path)

    def _remove_what_broke_off(self) -> None:
        """What an earlier process was writing when it was killed: it is fetched or sent again, into another file."""
        for path in _files(self._tmp):
            if path.suffix != PART:
                path.unlink(missing_ok=True)

    def _put(self, written: Path, place: Path) -> None:
        with self._lock:
            self._discount(place)
        try:
            written.replace(place)
        except FileNotFoundError:  # the first file of a job
            place.parent.mkdir(exist_ok=True)
            written.replace(place)

    def _count(self, written: Path) -> int:
        """`written` is about to be kept: from now on it is counted by its size, and no longer as begun."""
        if not self._most:
            return 0
        with self._lock:
            self._recount(written, written.stat().st_size, before=self._begun.get(written, 0))
            return self._begun.pop(written)

    def _recount(self, scratch: Path, size_bytes: int, *, before: int) -> None:
        """Under the lock: count `size_bytes` for `scratch`, where `before` was counted for the same bytes."""
        more = size_bytes - before
        if more > 0:
            self.require_room(more)
        self._used += more
        self._begun[scratch] = size_bytes

    def _remove(self, path: Path) -> None:
        """Remove `path` if it is there. Both under the lock: of two names that go at once, one is the last."""
        with self._lock:
            self._discount(path)
            path.unlink(missing_ok=True)

    def _discount(self, path: Path) -> None:
        """Under the lock: `path` is about to go. Bytes that have another name stay, and stay counted."""
        if self._most:
            self._used -= _own_bytes(path) if _links(path) == 1 else 0


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()] if folder.is_dir() else []


def _own_bytes(path: Path) -> int:
    """The part of the bytes that this name stands for, where they have several."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return 0
    return found.st_size // max(1, found.st_nlink)


def _links(path: Path) -> int:
    try:
        return path.stat().st_nlink
    except FileNotFoundError:
        return 0


def _copy_into(part: Path, whole: Path, offset: int) -> None:
    target = os.open(whole, os.O_WRONLY | os.O_CREAT, 0o600)
    try:
        with part.open("rb") as source:
            while piece := source.read(_PIECE):
                offset += _written(target, piece, offset)
    finally:
        os.close(target)


def _written(target: int, piece: bytes, offset: int) -> int:
    left = memoryview(piece)
    while left:
        count = os.pwrite(target, left, offset)
        left, offset = left[count:], offset + count
    return len(piece)


def sync_file(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
