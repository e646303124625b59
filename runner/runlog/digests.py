"""Digests of files, remembered with what a stat said when they were read."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from runner.runlog.database import Database, Transaction


@dataclass(frozen=True, kw_only=True, slots=True)
class RememberedDigest:
    """`path` is absolute; `hashed_at_ns` is when reading began, in nanoseconds since the epoch."""

    path: str
    size: int
    mtime_ns: int
    inode: int
    sha256: str
    md5: str
    hashed_at_ns: int


_COLUMNS = "path, size, mtime_ns, inode, sha256, md5, hashed_at_ns"
_AT_ONCE = 10_000


def remember(tx: Transaction, db: Database, digests: Iterable[RememberedDigest]) -> None:
    tx.many(
        f"INSERT INTO digests (machine, {_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (machine, path) "  # noqa: S608
        "DO UPDATE SET size = excluded.size, mtime_ns = excluded.mtime_ns, inode = excluded.inode, "
        "sha256 = excluded.sha256, md5 = excluded.md5, hashed_at_ns = excluded.hashed_at_ns",
        [
            (db.machine, row.path, row.size, row.mtime_ns, row.inode, row.sha256, row.md5, row.hashed_at_ns)
            for row in digests
        ],
    )


def forget(tx: Transaction, db: Database, paths: Iterable[str]) -> None:
    """Called hashed before all time: there may be no right to delete."""
    sql = "UPDATE digests SET hashed_at_ns = 0 WHERE machine = ? AND path = ?"
    tx.many(sql, [(db.machine, path) for path in paths])


def recall(tx: Transaction, db: Database, paths: Sequence[str]) -> dict[str, RememberedDigest]:
    found: dict[str, RememberedDigest] = {}
    for first in range(0, len(paths), _AT_ONCE):
        names = json.dumps(paths[first : first + _AT_ONCE])
        sql = f"SELECT {_COLUMNS} FROM digests WHERE machine = ? AND path IN (SELECT value FROM {db.listed})"  # noqa: S608
        for path, size, mtime_ns, inode, sha256, md5, hashed_at_ns in tx.rows(sql, (db.machine, names)):
            found[path] = RememberedDigest(
                path=path,
                size=size,
                mtime_ns=mtime_ns,
                inode=inode,
                sha256=sha256,
                md5=md5,
                hashed_at_ns=hashed_at_ns,
            )
    return found
