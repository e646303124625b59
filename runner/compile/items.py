"""The items of `foreach`: what templates call `{item.…}`, and what the address shows in brackets."""

from __future__ import annotations

import itertools
import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from runner.compile.naming import parted
from runner.compile.rows import is_json_lines, rows_of
from runner.errors import Problem
from runner.recipe.model import Foreach, Recipe
from runner.recipe.template import names
from runner.wire.values import Json


@dataclass(frozen=True, kw_only=True, slots=True)
class Item:
    """One element of `foreach`; `label` is unique in the recipe, empty where there is no `foreach`.

    revision  what tells this version of a listed object from the next: an ETag, a generation, or size and time
    line      of a row, where it stands in its table
    """

    label: str = ""
    values: Mapping[str, Json] = field(default_factory=dict)
    revision: str = ""
    line: int = 0


def items_of(
    recipe: Recipe, *, files: Sequence[str] = (), table: str = "", objects: Sequence[tuple[str, str]] = ()
) -> tuple[tuple[Item, ...], tuple[Problem, ...]]:
    """The items of `recipe` and what is wrong with them.

    files  what the globs of `foreach.files` matched: POSIX paths relative to the recipe's folder
    table  the text of the file that `foreach.rows` names (CSV or JSON Lines, by its ending)
    objects  names and revisions of what lies in `foreach.bucket`; one more than `max_items` is enough of them
    """
    if recipe.foreach is None:
        return (Item(),), ()
    beforehand = tuple(_too_many(recipe, recipe.foreach, _combined(recipe.foreach)))
    if beforehand:
        return (), beforehand
    try:
        items = tuple(_items(recipe.foreach, files, table, objects))
    except ValueError as error:
        return (), (_problem(recipe, "bad-rows", str(error)),)
    return items, tuple(_guard(recipe, recipe.foreach, items))


def lacking(recipe: Recipe, items: Sequence[Item]) -> Iterator[tuple[Item, Problem]]:
    """The rows without a name that the recipe uses and other rows have: each of JSON Lines has names of its own."""
    if recipe.foreach is None or not is_json_lines(recipe.foreach.rows):
        return
    used = [name.name for name in names(recipe.job) if name.root == "item"]
    used += [name.name for name in names(recipe.save.path if recipe.save else "") if name.root == "item"]
    known = frozenset().union(*(item.values for item in items))
    needed = dict.fromkeys(name for name in used if name in known)
    for item in items:
        missing = [name for name in needed if name not in item.values]
        if missing:
            message = f"{recipe.foreach.rows}:{item.line}: the row has no {' and no '.join(map(repr, missing))}"
            yield item, _problem(recipe, "unknown-name", message, hint="give it a value; null is one, too")


def nothing_left(recipe: Recipe) -> Problem:
    """What to say where the globs of `foreach.files` match, and `exclude` takes all of that out."""
    place = recipe.locate(("foreach", "exclude"))
    message = "exclude takes out all that foreach.files matches, so there is nothing to convert"
    return Problem(place=place, code="no-items", message=message)


def unmatched(recipe: Recipe, foreach: Foreach, number: int) -> Problem:
    """Beside patterns that find something one may find nothing today; it may also be misspelt."""
    place = recipe.locate(("foreach", "files", number))
    message = f"{foreach.patterns[number]!r} matches no file in {recipe.folder}"
    return Problem(place=place, severity="warning", code="no-match", message=message)


def _items(foreach: Foreach, files: Sequence[str], table: str, objects: Sequence[tuple[str, str]]) -> Iterator[Item]:
    if foreach.kind == "files":
        return (Item(label=path, values=_listed_values(path)) for path in files)
    if foreach.kind == "bucket":
        return (Item(label=name, values=_file_values(name), revision=revision) for name, revision in objects)
    if foreach.kind == "rows":
        rows = enumerate(rows_of(foreach.rows, table), start=1)
        return (Item(label=str(number), values=row, line=line) for number, (line, row) in rows)
    return _combinations(foreach.matrix or {})


def _listed_values(path: str) -> dict[str, Json]:
    """`_file_values` of a path that has no empty part and no "." in it, as in listings."""
    folder, _, name = path.rpartition("/")
    return {"path": path, "name": name, "stem": parted(name)[0], "dir": folder}


def _file_values(path: str) -> dict[str, Json]:
    pure = PurePosixPath(path)
    parent = str(pure.parent)
    return {"path": path, "name": pure.name, "stem": pure.stem, "dir": "" if parent == "." else parent}


def _combinations(matrix: Mapping[str, Sequence[Json]]) -> Iterator[Item]:
    names = list(matrix)
    for values in itertools.product(*matrix.values()):
        pairs = dict(zip(names, values, strict=True))
        yield Item(label=",".join(f"{name}={_plain(value)}" for name, value in pairs.items()), values=pairs)


def _plain(value: Json) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _guard(recipe: Recipe, foreach: Foreach, items: Sequence[Item]) -> Iterator[Problem]:
    if not items:
        yield _no_items(recipe, foreach)
    for label in _repeated(items):
        yield _problem(recipe, "repeated-item", f"there are several items called {label!r}", hint="drop all but one")
    yield from _too_many(recipe, foreach, len(items))


def _combined(foreach: Foreach) -> int:
    """How many items a matrix has, which may be more than can ever be made; 0 for what has to be listed first."""
    return math.prod(map(len, foreach.matrix.values())) if foreach.matrix else 0


def _too_many(recipe: Recipe, foreach: Foreach, count: int) -> Iterator[Problem]:
    if foreach.max_items is not None and count > foreach.max_items:
        yield Problem(
            place=recipe.locate(("foreach", "max_items")),
            code="too-many-items",
            message=f"there are {_count(foreach, count)} items, more than max_items = {foreach.max_items}",
            hint="narrow it down, or raise max_items if the growth is meant",
        )


def _no_items(recipe: Recipe, foreach: Foreach) -> Problem:
    what = ", ".join(repr(one) for one in foreach.patterns) or foreach.rows or foreach.kind
    hint = f"paths are relative to {recipe.folder}"
    if foreach.bucket is not None:
        what = f"prefix {foreach.bucket.parameters.get('prefix', '')!r}"
        hint = "whole names begin with `prefix`, and `match` and `exclude` look at whole names"
    gives = "give" if len(foreach.patterns) > 1 else "gives"
    return _problem(recipe, "no-items", f"{what} {gives} no items, so there is nothing to convert", hint=hint)


def _count(foreach: Foreach, count: int) -> str:
    """A bucket isn't listed any further than it takes to know that it holds too much."""
    return f"at least {count}" if foreach.kind == "bucket" else str(count)


def _repeated(items: Sequence[Item]) -> list[str]:
    return [label for label, count in Counter(item.label for item in items).items() if count > 1]


def _problem(recipe: Recipe, code: str, message: str, *, hint: str = "") -> Problem:
    kind = recipe.foreach.kind if recipe.foreach else "files"
    return Problem(place=recipe.locate(("foreach", kind)), code=code, message=message, hint=hint)
