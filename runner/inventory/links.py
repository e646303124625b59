"""Which folders are links, or lie behind one: each is looked at once, however many files are named by it."""

from __future__ import annotations

import os
from collections.abc import Iterable


def linked_folders(folders: Iterable[str]) -> dict[str, str]:
    """Those of `folders`, absolute paths, that aren't where their path says, with where they really are.

    What isn't there can't be a link. Never raises.
    """
    known: dict[str, str] = {"": "", "/": "/"}
    real = ((folder, _real(folder, known)) for folder in folders)
    return {folder: there for folder, there in real if there != folder}


def _real(folder: str, known: dict[str, str]) -> str:
    found = known.get(folder)
    return found if found is not None else _walked(folder, known)


def _walked(folder: str, known: dict[str, str]) -> str:
    """Part by part, for a look at a folder serves all below it."""
    parts = folder.split("/")[1:]
    if {"", ".", ".."}.intersection(parts):
        known[folder] = os.path.realpath(folder)
        return known[folder]
    here = real = ""
    for name in parts:
        here, there = f"{here}/{name}", f"{real.rstrip('/')}/{name}"
        if here not in known:
            known[here] = os.path.realpath(there) if os.path.islink(there) else there  # noqa: PTH114 - never raises
        real = known[here]
    return real
