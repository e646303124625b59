"""What git ignores: asked of git itself. A module of its own, since starting programs is slow to load."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path


def not_ignored(folder: Path, files: Sequence[str]) -> Sequence[str]:
    """Those of `files` below `folder` that git doesn't ignore; all in a folder that is ignored as a whole."""
    start = len(os.path.join(folder, ""))  # noqa: PTH118 - the length that it has in the strings of `files`
    names = [b"./" + os.fsencode(file[start:]) for file in files]
    ignored = _ignored(folder, names)
    if len(ignored) == len(names) and _ignored(folder.parent, [b"./" + os.fsencode(folder.name)]):
        return files  # somebody who names such a folder means it
    return [file for file, name in zip(files, names, strict=True) if name not in ignored]


def _ignored(folder: Path, names: Sequence[bytes]) -> frozenset[bytes]:
    command = ["git", "-C", os.fspath(folder), "check-ignore", "-z", "--stdin"]
    asked = b"\0".join(names)
    try:
        done = subprocess.run(command, input=asked, capture_output=True, check=False, timeout=60)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired):
        return frozenset()
    return frozenset(done.stdout.split(b"\0")) - {b""} if done.returncode == 0 else frozenset()
