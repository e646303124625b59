"""Which entry of the table of routes a path is: a tree of the parts between slashes.

A path is looked up part by part, so that it costs the same however many routes there are.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Generic, TypeVar

T = TypeVar("T")

_REST = ":path}"


@dataclass(slots=True)
class _Node(Generic[T]):
    """
    words  what follows this part where it is written out
    one    what follows where any part but an empty one may stand
    rest   what the path is, whatever follows
    here   what the path is where nothing follows, with the names of its values
    """

    words: dict[str, _Node[T]] = field(default_factory=dict)
    one: _Node[T] | None = None
    rest: tuple[T, tuple[str, ...]] | None = None
    here: tuple[T, tuple[str, ...]] | None = None


class Paths(Generic[T]):
    """Patterns are made of words, of `{name}` for one part, and of `{name:path}` at the end for all that follows."""

    def __init__(self) -> None:
        self._root: _Node[T] = _Node()
        self._written_out: dict[str, T] = {}  # those without values

    def add(self, pattern: str, target: T) -> None:
        if "{" not in pattern:
            self._written_out[pattern] = target
            return
        node, names = self._root, []
        for part in pattern.split("/"):
            if not part.startswith("{"):
                node = node.words.setdefault(part, _Node())
                continue
            names.append(part[1:].removesuffix(_REST).removesuffix("}"))
            if part.endswith(_REST):
                node.rest = (target, tuple(names))
                return
            node.one = node = node.one or _Node()
        node.here = (target, tuple(names))

    def find(self, path: str) -> tuple[T, dict[str, str]] | None:
        """What `path` is, and the values in it by name; None where it is nothing that was added."""
        if (target := self._written_out.get(path)) is not None:
            return target, {}
        node, values, parts = self._root, [], path.split("/")
        found = None
        for at, part in enumerate(parts):
            below = node.words.get(part)
            if below is None:
                if node.rest:
                    values.append("/".join(parts[at:]))
                    found = node.rest
                    break
                if node.one is None or not part:
                    return None
                below = node.one
                values.append(part)
            node = below
        else:
            found = node.here
        if found is None:
            return None
        target, names = found
        return target, dict(zip(names, values, strict=True)) if names else {}
