"""Names of files, as both wings make them: what one gives a result, the other has to foresee."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import PurePosixPath


def plain_name(name: str) -> str:
    """`name` as the name of one file: no folders, no control characters; empty where nothing but dots is left."""
    last = name.replace("\\", "/").rpartition("/")[2]
    clean = "".join(char for char in last if char.isprintable()).strip()
    return clean if clean.strip(".") else ""


def unique_names(names: Iterable[str]) -> list[str]:
    """`names` without repetition: the second `a.png` is `a-2.png`; case doesn't make a difference."""
    taken: set[str] = set()
    result: list[str] = []
    for name in names:
        path, number, unique = PurePosixPath(name), 1, name
        while unique.lower() in taken:
            number += 1
            unique = f"{path.stem}-{number}{path.suffix}"
        taken.add(unique.lower())
        result.append(unique)
    return result
