"""Looking at what a plan asks about: delivered files as we left them, and what is in the way."""

from __future__ import annotations

import hashlib
import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from stat import S_ISREG

from runner.plan import Disk, Job
from runner.state import DeliveredFile, KeyState


def look(jobs: Iterable[Job], states: Mapping[str, KeyState], *, run_date: str) -> Disk:
    """What is known of the paths where results lie or would go. Reads no contents where a stat is enough."""
    states_of = tuple(states.values())
    records = {file for file in _delivered(states_of) if is_intact(file)}
    intact = {file.path for file in records}
    made = _made(states_of)
    wanted = {file.path for file in _delivered(states_of)}
    for job in jobs:
        expected = job.expected_paths(run_date=run_date)
        wanted |= {str(path) for path in expected}
        unnoted = tuple(_put_but_not_noted(expected, intact, made))
        records.update(unnoted)
        intact.update(file.path for file in unnoted)
    present = {path for path in wanted if path in intact or _exists(Path(path))}
    return Disk(records=frozenset(records), intact=frozenset(intact), present=frozenset(present))


def _delivered(states: Iterable[KeyState]) -> list[DeliveredFile]:
    return [file for state in states for delivery in state.deliveries.values() for file in delivery.all_files]


def _made(states: Iterable[KeyState]) -> Mapping[int, Sequence[str]]:
    """Checksums of all that was ever made, by size."""
    made: dict[int, list[str]] = defaultdict(list)
    for state in states:
        for output in state.outputs:
            if output.checksum:
                made[output.size_bytes].append(output.checksum.lower())
    return made


def _put_but_not_noted(
    expected: Iterable[Path], known: set[str], made: Mapping[int, Sequence[str]]
) -> Iterator[DeliveredFile]:
    """Results at a place where the log doesn't know them: a run was killed after the rename, before the line.

    Whose result it is doesn't count: the recipe may have changed since.
    """
    for path in expected:
        if str(path) in known:
            continue
        checksums = made.get(_size(path))
        if checksums and _md5_of(path) in checksums:
            found = record_of(path)
            if found is not None:
                yield found


def _size(path: Path) -> int:
    try:
        return path.lstat().st_size
    except OSError:
        return -1


def record_of(path: Path) -> DeliveredFile | None:
    """The file at `path` as we would note it; None where it can't be read."""
    try:
        with path.open("rb") as file:
            stat, sha256 = os.fstat(file.fileno()), hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return None
    return DeliveredFile(
        path=str(path), size_bytes=stat.st_size, sha256=sha256, mtime_ns=stat.st_mtime_ns, inode=stat.st_ino
    )


def is_announced(path: Path, *, size_bytes: int, checksum: str) -> bool:
    """Whether the file at `path` is what the API announced, by size and MD5; without a checksum nothing is."""
    return bool(checksum) and _size(path) == size_bytes and _md5_of(path) == checksum.lower()


def _md5_of(path: Path) -> str | None:
    """None for what is no plain file, or can't be read."""
    try:
        if not S_ISREG(path.lstat().st_mode):
            return None
        with path.open("rb") as file:
            return hashlib.file_digest(file, _md5).hexdigest()
    except OSError:
        return None


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
