"""Looking at what a plan asks about: delivered files as we left them, and what is in the way."""

from __future__ import annotations

import errno
import hashlib
import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from stat import S_ISDIR, S_ISREG

from runner.plan import Disk, Job, is_delivered, to_be_written, wanted_paths
from runner.state import DeliveredFile, KeyState


def look(jobs: Iterable[Job], states: Mapping[str, KeyState], *, run_date: str) -> Disk:
    """What is known of the paths where results lie or would go. Reads no contents where a stat is enough."""
    states_of = tuple(states.values())
    delivered = _delivered(states_of)
    records = {file for file in delivered if is_intact(file)}
    intact = {file.path for file in records}
    made = _made(states_of)
    wanted = {file.path for file in delivered}
    folders: set[str] = set()
    places: set[str] = set()
    for job in jobs:
        state = states.get(job.key)
        if is_delivered(job, state, records):
            continue  # nothing will be put anywhere
        paths = wanted_paths(job, state, run_date=run_date)
        wanted.update(paths)
        if job.save.on_conflict in ("error", "overwrite"):
            places.update(paths or [job.save.known_folder])
        written = to_be_written(paths, state, records)
        folders.update(map(_folder_of, written) if paths else [str(job.save.base)])
        unnoted = tuple(_put_but_not_noted(paths, intact, made))
        records.update(unnoted)
        intact.update(file.path for file in unnoted)
    present = frozenset(path for path in wanted if path in intact or os.path.lexists(path))
    return Disk(
        records=frozenset(records),
        intact=frozenset(intact),
        present=present,
        folders=frozenset(path for path in present - intact if _is_folder(path)),
        closed={folder: why for folder in folders if (why := _why_closed(folder))},
        taken=frozenset(place for place in places if place in present or (place not in wanted and _is_folder(place))),
    )


def _folder_of(path: str) -> str:
    return path.rpartition("/")[0] or "/"


def _why_closed(folder: str) -> str:
    """Why no file can be made in `folder`, which may not be there yet; "" where one can."""
    while not os.path.lexists(folder):
        folder = _folder_of(folder)
    if not Path(folder).is_dir():
        return f"{folder} is in the way, and isn't a folder"
    if os.access(folder, os.W_OK | os.X_OK):
        return ""
    refused = errno.EROFS if os.statvfs(folder).f_flag & os.ST_RDONLY else errno.EACCES
    return f"{folder} can't be written: {os.strerror(refused)}"


def _is_folder(path: str) -> bool:
    """A link to one counts, as it does where a result is put."""
    try:
        return S_ISDIR(Path(path).stat().st_mode)
    except OSError:
        return False


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
    expected: Iterable[str], known: set[str], made: Mapping[int, Sequence[str]]
) -> Iterator[DeliveredFile]:
    """Results at a place where the log doesn't know them: a run was killed after the rename, before the line.

    Whose result it is doesn't count: the recipe may have changed since.
    """
    for path in expected:
        if path in known:
            continue
        if _has_one_of(Path(path), made.get(_size(path), ())):
            found = record_of(Path(path))
            if found is not None:
                yield found


def _size(path: Path | str) -> int:
    try:
        return os.lstat(path).st_size
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
    """Whether the file at `path` is what the API announced, by size and checksum; without a checksum nothing is."""
    return _size(path) == size_bytes and _has_one_of(path, [checksum.lower()])


def _has_one_of(path: Path, checksums: Iterable[str]) -> bool:
    """Whether one of `checksums` is that of the file; of which kind each is, its length says."""
    by_kind: dict[str, list[str]] = defaultdict(list)
    for checksum in checksums:
        if kind := kind_of(checksum):
            by_kind[kind].append(checksum)
    return any(_digest(path, kind) in some for kind, some in by_kind.items())


def kind_of(checksum: str) -> str | None:
    """The digest that has as many hex digits; None where none has."""
    return _KINDS.get(len(checksum))


_KINDS = {32: "md5", 40: "sha1", 64: "sha256"}  # by hex digits; the API's are MD5, as far as is known


def _digest(path: Path, kind: str) -> str | None:
    """None for what is no plain file, or can't be read."""
    try:
        if not S_ISREG(path.lstat().st_mode):
            return None
        with path.open("rb") as file:
            return hashlib.file_digest(file, lambda: hashlib.new(kind, usedforsecurity=False)).hexdigest()
    except OSError:
        return None


def is_intact(file: DeliveredFile) -> bool:
    """Whether the file is as we left it: the same size, time and inode, or else the same bytes."""
    if not file.sha256:
        return False
    try:
        stat = os.lstat(file.path)
        if stat.st_size != file.size_bytes:
            return False
        if (stat.st_mtime_ns, stat.st_ino) == (file.mtime_ns, file.inode):
            return True
        with Path(file.path).open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest() == file.sha256
    except OSError:
        return False
