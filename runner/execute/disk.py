"""Looking at what a plan asks about: delivered files as we left them, and what is in the way."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from stat import S_ISREG

from runner.plan import Disk, Job
from runner.state import DeliveredFile, KeyState


def look(jobs: Iterable[Job], states: Mapping[str, KeyState], *, run_date: str) -> Disk:
    """What is known of the paths where results lie or would go. Reads no contents where a stat is enough."""
    records = {file for file in _delivered(states.values()) if is_intact(file)}
    intact = {file.path for file in records}
    present: set[str] = set()
    wanted: set[str] = set()
    for job in jobs:
        expected = job.expected_paths(run_date=run_date)
        wanted |= {str(path) for path in expected}
        intact |= _put_but_not_noted(expected, intact, states.get(job.key))
    wanted |= {file.path for file in _delivered(states.values())}
    present.update(path for path in wanted if path in intact or _exists(Path(path)))
    return Disk(records=frozenset(records), intact=frozenset(intact), present=frozenset(present))


def _delivered(states: Iterable[KeyState]) -> list[DeliveredFile]:
    return [file for state in states for delivery in state.deliveries.values() for file in delivery.files]


def _put_but_not_noted(expected: Iterable[Path], intact: set[str], state: KeyState | None) -> set[str]:
    """Results at their place that the log doesn't know there: a run was killed after the rename, before the line."""
    if state is None:
        return set()
    return {
        str(path)
        for path in expected
        if str(path) not in intact
        and any(is_announced(path, size_bytes=each.size_bytes, checksum=each.checksum) for each in state.outputs)
    }


def is_announced(path: Path, *, size_bytes: int, checksum: str) -> bool:
    """Whether the file at `path` is what the API announced, by size and MD5; without a checksum nothing is."""
    try:
        stat = path.lstat()
        if not S_ISREG(stat.st_mode) or stat.st_size != size_bytes or not checksum:
            return False
        with path.open("rb") as file:
            return hashlib.file_digest(file, _md5).hexdigest() == checksum.lower()
    except OSError:
        return False


def _md5() -> hashlib._Hash:
    return hashlib.md5(usedforsecurity=False)


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
