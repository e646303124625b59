"""File systems that took no more results in this run: nothing more is bought for them, what is bought goes on."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from runner.execute.faults import NoRoomError
from runner.plan import Job

TAKES_NONE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS})


@dataclass(frozen=True, kw_only=True, slots=True)
class FullDisks:
    """`met` says by the device of the file system what a delivery to it ended in."""

    met: dict[int, str] = field(default_factory=dict)

    def note(self, path: Path, error: OSError) -> None:
        """A result couldn't be put at `path`."""
        if error.errno in TAKES_NONE and (device := _device_of(path.parent)) is not None:
            self.met.setdefault(device, f"{path} can't be written: {error.strerror}")

    def require_room(self, jobs: Iterable[Job], *, run_date: str) -> None:
        """Raises NoRoomError where results of one of `jobs` would go to a disk that took no more."""
        if not self.met:
            return
        for folder in dict.fromkeys(folder for job in jobs for folder in _folders(job, run_date)):
            if why := self.met.get(_device_of(folder) or 0):
                raise NoRoomError(
                    f"not begun, since another job met this: {why}",
                    hint="see that the disk takes files again; the next run goes on",
                )


def _folders(job: Job, run_date: str) -> Iterator[Path]:
    paths = job.expected_paths(run_date=run_date)
    return (Path(path).parent for path in paths) if paths else iter([Path(job.save.known_folder)])


def _device_of(folder: Path) -> int | None:
    """The file system that `folder` is on, or will be when it is made; None where nobody can tell."""
    while not os.path.lexists(folder):
        folder = folder.parent
    with suppress(OSError):
        return folder.stat().st_dev
    return None
