"""What is wrong with a recipe beside what couldn't be read of it: a value that JSON can't carry, a file it includes.

A gap stands in the place of such a value, so that everything else can be judged; what only the gap, or an included
file that isn't there, is to blame for, is not told: it may be gone when that is mended.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from runner.recipe.finding import Finding, Steps
from runner.recipe.template import Name, names
from runner.wire.values import Json, JsonObject, as_list, as_object


class Gap(str):
    """What stands for a value that couldn't be read; the same object wherever it is put in."""

    __slots__ = ()


GAP = Gap("unread")


def with_gaps(value: JsonObject, findings: Iterable[Finding]) -> JsonObject:
    """`value`, which nobody else has yet, with a gap where each of `findings` points; keys at fault are left out."""
    for found in findings:
        parent: Any = _at(value, found.path[:-1])
        step = found.path[-1]
        if isinstance(parent, dict) and found.key:
            parent.pop(step, None)
        elif parent is not None:
            parent[step] = GAP
    return value


def told_now(
    findings: Iterable[Finding], written: JsonObject, expanded: JsonObject, *, whole: bool
) -> Iterator[Finding]:
    """The findings that hang on no gap of the recipe.

    written   the document with its templates, expanded with constants put in
    whole     whether everything that it includes was read
    """
    for found in findings:
        value = _at(written, found.path)
        used = tuple(names(value)) if isinstance(value, str) else ()
        if _leads_to_gap(written, found.path) or _leads_to_gap(expanded, found.path) or _uses_gap(used, written):
            continue
        if whole or not _may_be_elsewhere(found, used):
            yield found


def _leads_to_gap(document: Json, path: Steps) -> bool:
    return any(isinstance(_at(document, path[:length]), Gap) for length in range(len(path) + 1))


def _uses_gap(used: Iterable[Name], document: JsonObject) -> bool:
    constants = as_object(document.get("vars"))
    matrix = as_object(as_object(document.get("foreach")).get("matrix"))
    return any(
        isinstance(constants.get(name.name), Gap)
        if name.root == "vars"
        else any(isinstance(one, Gap) for one in as_list(matrix.get(name.name)))
        for name in used
        if name.root in ("vars", "item")
    )


def _may_be_elsewhere(found: Finding, used: Iterable[Name]) -> bool:
    """Whether another file, merged below, may bring what is missing. Arrays replace each other: theirs is all here."""
    if found.code == "unknown-name":
        return any(name.root in ("vars", "item") for name in used)
    if any(isinstance(step, int) for step in found.path):
        return False
    return found.code == "missing-key" or (found.key and found.code in ("wrong-size", "no-effect"))


def _at(document: Json, path: Steps) -> Any:
    for step in path:
        if isinstance(document, dict):
            document = document.get(step)
        elif isinstance(document, list) and isinstance(step, int) and step < len(document):
            document = document[step]
        else:
            return None
    return document
