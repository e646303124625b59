"""Putting a sound log in the place of a damaged one, so that a kill at any step leaves the one or the other.

A write-ahead log is applied to whatever file has its name: the damaged one's must be gone before the sound file comes,
and the damaged file mustn't be without it. So what it holds is put into the damaged file first; applied twice it
changes nothing.
"""

from __future__ import annotations

import itertools
import os
import shutil
from pathlib import Path

WRITE_AHEAD_LOG = "-wal"
JOURNALS = (WRITE_AHEAD_LOG, "-journal")


def exchange(path: Path, *, merged: Path, sound: Path) -> None:
    """Put `sound` in the place of `path`. `merged` holds what `path` and its write-ahead log hold together.

    Raises OSError; what is at `path` is a whole log then, too.
    """
    _put(merged, path)
    for suffix in (*JOURNALS, "-shm"):
        Path(f"{path}{suffix}").unlink(missing_ok=True)
    _put(sound, path)


def keep(path: Path, *, named: str) -> Path:
    """The log at `path` under another name, too: `named`, or with a number where that is taken. Raises OSError."""
    backup = next(name for name in _names(path.with_name(named)) if not name.exists())
    for suffix in JOURNALS:
        if Path(f"{path}{suffix}").exists():
            # No link: should we be killed, the next run goes on with it.
            _copy(Path(f"{path}{suffix}"), Path(f"{backup}{suffix}"))
    # The file comes last: a name that is there has all that belongs to it.
    try:
        os.link(path, backup)
    except OSError:  # a file system without links
        _copy(path, backup)
    _sync(path.parent)
    return backup


def _names(path: Path) -> itertools.chain[Path]:
    return itertools.chain([path], (path.with_name(f"{path.name}-{number}") for number in itertools.count(2)))


def _copy(path: Path, to: Path) -> None:
    half = to.with_name(f"{to.name}.part")
    half.touch(mode=0o600)
    shutil.copyfile(path, half)
    _put(half, to)


def _put(path: Path, to: Path) -> None:
    _sync(path)
    path.replace(to)
    _sync(to.parent)


def _sync(path: Path) -> None:
    number = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(number)
    finally:
        os.close(number)
