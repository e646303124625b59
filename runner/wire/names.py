"""What a file is called once the API has it: names are cleaned on arrival, and results are named after them.

Shared by both wings, so that the runner predicts the names that the server gives.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import PurePosixPath

MOST_BYTES = 255  # of a name, on most file systems
_MOST_CLEAN_BYTES = MOST_BYTES - 5  # room for an extension
_MOST_ENDING_BYTES = 32  # what is longer tells no kind of file


def plain_name(name: str) -> str:
    """`name` as the name of one file: no folders, no control characters; empty where nothing but dots is left."""
    last = name.replace("\\", "/").rpartition("/")[2]
    printable = last if last.isprintable() else "".join(char for char in last if char.isprintable())
    clean = printable.strip()
    return clean if clean.strip(".") else ""


def clean_name(name: str) -> str:
    """`name` as a plain file name of at most 255 bytes with its extension; empty where nothing but dots is left."""
    name = plain_name(name)
    while len(name.encode()) > _MOST_CLEAN_BYTES:
        stem, dot, extension = name.rpartition(".")
        name = stem[:-1] + dot + extension if stem and len(extension) < 12 else name[:-1]
    return name


def unique_names(names: Iterable[str]) -> list[str]:
    """`names` without repetition: the second `a.png` is `a-2.png`; case doesn't make a difference."""
    taken: set[str] = set()
    result: list[str] = []
    for name in names:
        number, unique = 1, name
        while unique.lower() in taken:
            number += 1
            unique = numbered(name, number)
        taken.add(unique.lower())
        result.append(unique)
    return result


def numbered(name: str, number: int) -> str:
    """`a-2.png` of `a.png`, no longer than a name may be."""
    path = PurePosixPath(name)
    stem, ending = (path.stem, path.suffix) if is_ending(path.suffix) else (name, "")
    return fitted(stem, f"-{number}{ending}")


def fitted(stem: str, tail: str) -> str:
    """`stem` and `tail`, of the stem as much as a name may hold."""
    return stem.encode()[: MOST_BYTES - len(tail.encode())].decode(errors="ignore") + tail


def is_ending(suffix: str) -> bool:
    """Whether what follows the last dot of a name is worth keeping where the name is cut."""
    return len(suffix.encode()) <= _MOST_ENDING_BYTES


def sent_name(name: str) -> str:
    """`name` as it stands in the head of an upload. Source: WHATWG, multipart/form-data encoding."""
    return name.replace("\r", "%0D").replace("\n", "%0A").replace('"', "%22")


def received_name(sent: bytes) -> str:
    """The name that the head of an upload means; bytes that aren't UTF-8 are taken one by one."""
    try:
        return sent.decode().replace("%22", '"')
    except UnicodeDecodeError:
        return sent.decode("latin-1")


def uploaded_name(name: str) -> str:
    """What a local file called `name` is called once it is uploaded; "" where nothing of the name is left."""
    return clean_name(received_name(sent_name(name).encode("utf-8", "surrogateescape")))
