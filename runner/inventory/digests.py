"""Digests of files: what a job's key is made of, and what uploads are checked against.

A file whose size, time and inode are those of the last time isn't read again, except when it was modified, or its inode
changed, later than two seconds before it was read: the clock of a file system may be too coarse to tell a change right
after from none. Whoever edits a file and sets its time back changes its inode.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import stat
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from runner.inventory.listing import FileFact, FileProblem, shown
from runner.runlog import RememberedDigest, RunLog

BLOCK_BYTES = 1024 * 1024
RACY_NS = 2_000_000_000
_REMEMBERED_TOGETHER = 1000


@dataclass(frozen=True, kw_only=True, slots=True)
class Digest:
    """`sha256` and `md5` in hex, and how many bytes they are of."""

    sha256: str
    md5: str
    size: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Digests:
    """By absolute path: what was read or remembered, and what couldn't be read."""

    found: Mapping[str, Digest]
    problems: Mapping[str, FileProblem]


async def digests(files: Iterable[FileFact], log: RunLog, *, now: Callable[[], float], jobs: int) -> Digests:
    """The digests of `files`, of which the unchanged ones aren't read.

    now   seconds since the epoch
    jobs  how many files are read at once

    A file that can't be read is a problem and stops no other.
    """
    found: dict[str, Digest] = {}
    problems: dict[str, FileProblem] = {}
    wanted = list({fact.absolute: fact for fact in files}.values())
    changed = _unchanged(wanted, log, into=found)
    with ThreadPoolExecutor(max_workers=max(1, jobs), thread_name_prefix="digest") as pool:
        for first in range(0, len(changed), _REMEMBERED_TOGETHER):
            facts = changed[first : first + _REMEMBERED_TOGETHER]
            fresh = await _read_all(facts, pool, now, log)
            for fact, answer in zip(facts, fresh, strict=True):
                if isinstance(answer, FileProblem):
                    problems[fact.absolute] = answer
                else:
                    found[fact.absolute] = _digest(answer)
            await log.remember(each for each in fresh if isinstance(each, RememberedDigest))
    return Digests(found=found, problems=problems)


def file_sha256(path: Path) -> str:
    """The sha256 of a file in hex. Raises OSError."""
    with path.open("rb", buffering=0) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _unchanged(facts: Sequence[FileFact], log: RunLog, *, into: dict[str, Digest]) -> list[FileFact]:
    """Take over what is remembered; the facts of the files that have to be read."""
    remembered = log.recall([fact.absolute for fact in facts])
    changed: list[FileFact] = []
    for fact in facts:
        row = remembered.get(fact.absolute)
        if row is not None and _is_same(fact, row):
            into[fact.absolute] = _digest(row)
        else:
            changed.append(fact)
    return changed


def _is_same(fact: FileFact, row: RememberedDigest) -> bool:
    same = (fact.size, fact.mtime_ns, fact.inode) == (row.size, row.mtime_ns, row.inode)
    return same and max(fact.mtime_ns, fact.ctime_ns) + RACY_NS <= row.hashed_at_ns


def _digest(row: RememberedDigest) -> Digest:
    return Digest(sha256=row.sha256, md5=row.md5, size=row.size)


async def _read_all(
    facts: Sequence[FileFact], pool: ThreadPoolExecutor, now: Callable[[], float], log: RunLog
) -> list[RememberedDigest | FileProblem]:
    """What was read when a deadline or a signal came is remembered: the next run goes on from there."""
    loop = asyncio.get_running_loop()
    reading = [loop.run_in_executor(pool, _read, fact, now) for fact in facts]
    try:
        return await asyncio.gather(*reading)
    except asyncio.CancelledError:
        read = [one.result() for one in reading if one.done() and not one.cancelled() and one.exception() is None]
        await log.remember(each for each in read if isinstance(each, RememberedDigest))
        raise


def _read(fact: FileFact, now: Callable[[], float]) -> RememberedDigest | FileProblem:
    name = shown(fact.path)
    try:
        # A pipe that took the file's place would make a plain open wait for ever.
        number = os.open(fact.absolute, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            return _read_open(fact, number, now)
        finally:
            os.close(number)
    except OSError as error:
        return FileProblem(path=name, code="unreadable-file", message=f"'{name}' can't be read: {error.strerror}")


def _read_open(fact: FileFact, number: int, now: Callable[[], float]) -> RememberedDigest | FileProblem:
    name = shown(fact.path)
    before = os.fstat(number)
    if not stat.S_ISREG(before.st_mode):
        return FileProblem(path=name, code="not-a-file", message=f"'{name}' is not a regular file")
    hashed_at_ns = int(now() * 1e9)
    sha256, md5, size = _hash(number)
    after = os.fstat(number)
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns) or size != after.st_size:
        return FileProblem(
            path=name,
            code="changing-file",
            message=f"'{name}' changed while it was read",
            hint="run again when whatever writes it is done",
        )
    return RememberedDigest(
        path=fact.absolute,
        size=size,
        mtime_ns=after.st_mtime_ns,
        inode=after.st_ino,
        sha256=sha256,
        md5=md5,
        hashed_at_ns=hashed_at_ns,
    )


def _hash(number: int) -> tuple[str, str, int]:
    """Both digests in one pass, in constant memory."""
    sha256, md5 = hashlib.sha256(), hashlib.md5(usedforsecurity=False)
    block = memoryview(bytearray(BLOCK_BYTES))
    size = 0
    while count := os.readv(number, [block]):
        sha256.update(block[:count])
        md5.update(block[:count])
        size += count
    return sha256.hexdigest(), md5.hexdigest(), size
