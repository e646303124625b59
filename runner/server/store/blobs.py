"""Files of jobs, in a folder of their own per job. Names come from ids only, never from a client."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
from collections.abc import Iterable
from pathlib import Path

_CHUNK = 1024 * 1024


class Blobs:
    """A blob's name is `JOB/FILE`; what is half written lies under `tmp/` and is never found by name."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._tmp = folder / "tmp"
        self._tmp.mkdir(parents=True, exist_ok=True)

    def path(self, blob: str) -> Path:
        return self._folder / blob

    def scratch(self, name: str) -> Path:
        """Where to write what will become a blob; same file system, so that keeping it is a rename."""
        return self._tmp / name

    def keep(self, written: Path, blob: str) -> None:
        """Make `written` durable and give it its name; replaces what was there."""
        sync_file(written)
        place = self.path(blob)
        try:
            written.replace(place)
        except FileNotFoundError:  # the first file of a job
            place.parent.mkdir(exist_ok=True)
            written.replace(place)

    def share(self, blob: str, new: str) -> None:
        """A second name for the same bytes; they stay as long as one of the names does."""
        place = self.path(new)
        place.parent.mkdir(exist_ok=True)
        with contextlib.suppress(FileExistsError):
            os.link(self.path(blob), place)

    def remove(self, blob: str) -> None:
        self.path(blob).unlink(missing_ok=True)

    def remove_job(self, job_id: str) -> None:
        shutil.rmtree(self._folder / job_id, ignore_errors=True)

    def keep_only(self, job_id: str, blobs: Iterable[str]) -> None:
        """Remove files of a job that no record mentions: what a kill left between a rename and its line."""
        known = {self.path(blob) for blob in blobs}
        folder = self._folder / job_id
        for path in folder.iterdir() if folder.is_dir() else ():
            if path not in known:
                path.unlink(missing_ok=True)


def sync_file(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def md5_of(path: Path) -> str:
    """MD5 in hex: what the API calls `checksum`. It finds accidents; it is no proof against malice."""
    digest = hashlib.md5(usedforsecurity=False)
    with path.open("rb", buffering=0) as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()
