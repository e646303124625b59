"""What lies at a place: seen before a result is fetched, and held against what lies there when it is put.

Minutes may be between the two, and what somebody saves there meanwhile is theirs.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import chain, count
from pathlib import Path
from typing import NamedTuple

from runner.wire.names import fitted, numbered


class Seen(NamedTuple):
    """A file, folder or link as a stat shows it; another name for it changes none of this."""

    device: int
    inode: int
    size_bytes: int
    mtime_ns: int


def seen_at(path: Path) -> Seen | None:
    """None where nothing lies there, or nobody may look."""
    try:
        stat = os.lstat(path)
    except OSError:
        return None
    return Seen(device=stat.st_dev, inode=stat.st_ino, size_bytes=stat.st_size, mtime_ns=stat.st_mtime_ns)


def beside(path: Path) -> Iterator[Path]:
    """Other names in the same folder, without an end."""
    return (path.with_name(numbered(path.name, number)) for number in count(1))


def keep_aside(path: Path) -> Path:
    """Give what lies at `path` another name, too; where it has such a name already, that one."""
    aside = path.with_name(fitted(path.name, ".changed"))
    for free in chain([aside], beside(aside)):
        try:
            os.link(path, free, follow_symlinks=False)
        except FileExistsError:
            if seen_at(free) != seen_at(path):
                continue
        return free
    raise AssertionError("there is always another name")
