"""Looking at what a plan asks about: delivered files as we left them, and what is in the way."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path

from runner.plan import Disk, Job
from runner.state import DeliveredFile, KeyState


def look(jobs: Iterable[Job], states: Mapping[str, KeyState], *, run_date: str) -> Disk:
    """What is known of the paths where results lie or would go. Reads no contents where a stat is enough."""
    intact: set[str] = set()
    present: set[str] = set()
    for file in _delivered(states.values()):
        if is_intact(file):
            intact.add(file.path)
    wanted = {str(path) for job in jobs for path in job.expected_paths(run_date=run_date)}
    wanted |= {file.path for file in _delivered(states.values())}
    present.update(path for path in wanted if path in intact or _exists(Path(path)))
    return Disk(intact=frozenset(intact), present=frozenset(present))


def _delivered(states: Iterable[KeyState]) -> list[DeliveredFile]:
    return [file for state in states for delivery in state.deliveries.values() for file in delivery.files]


def is_intact(file: DeliveredFile) -> bool:
    """Whether the file is as we left it: the same size, time and inode, or else the same bytes."""
    path = Path(file.path)
    try:
        stat = path.lstat()
        if stat.st_size != file.size_bytes:
            return False
        if (stat.st_mtime_ns, stat.st_ino) == (file.mtime_ns, file.inode):
            return True
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest() == file.sha256
    except OSError:
        return False


def _exists(path: Path) -> bool:
    try:
        path.lstat()
    except OSError:
        return False
    return True
