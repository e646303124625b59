"""From a path in a merged recipe to a place in a file.

Positions are loaded only here and only when asked for: most checks find nothing, and shouldn't pay for three
parsers that say where.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Protocol

from runner.errors import Place
from runner.recipe.finding import Span, Steps
from runner.recipe.read import MAX_BYTES


@dataclass(frozen=True, kw_only=True, slots=True)
class Layer:
    """One of the files a recipe is merged from; `prefix` leads to the part that counts (a profile)."""

    file: Path
    prefix: Steps = ()


class PlacedNode(Protocol):
    """A node of `runner.recipe.positions`, named here so that nobody has to load it for its type."""

    key: Span
    value: Span

    def find(self, path: Steps) -> tuple[PlacedNode, int]: ...


def place_in(layers: Sequence[Layer], path: Steps, *, key: bool = False) -> Place:
    """The topmost layer that has the whole path, else the one that has most of it."""
    best: tuple[int, Place] | None = None
    for layer in layers:
        node = _tree(layer.file)
        whole = (*layer.prefix, *path)
        found, depth = node.find(whole) if node is not None else (None, 0)
        reached = depth - len(layer.prefix)
        place = _place(layer.file, found, key=key or depth < len(whole))
        if reached == len(path):
            return place
        if best is None or reached > best[0]:
            best = (reached, place)
    return best[1] if best else Place(file=Path())


def place_of(file: Path, span: Span) -> Place:
    return Place(file=file, line=span.line, column=span.column, end_line=span.end_line, end_column=span.end_column)


def _place(file: Path, node: PlacedNode | None, *, key: bool) -> Place:
    if node is None:
        return Place(file=file)
    return place_of(file, node.key if key else node.value)


def _tree(file: Path) -> PlacedNode | None:
    try:
        status = file.stat()
        if status.st_size > MAX_BYTES:
            return None
        return _parsed(file, status.st_mtime_ns, status.st_size)
    except OSError:  # gone or locked away since it was read: the file's name is still worth something
        return None


@lru_cache(maxsize=32)
def _parsed(file: Path, _mtime_ns: int, _size: int) -> PlacedNode:
    module = importlib.import_module("runner.recipe.positions")
    tree: PlacedNode = module.positions(file.read_bytes(), toml=not file.name.endswith(".json"))
    return tree
