"""Where a job needs text and an item of JSON may bring something else.

A template that is alone keeps the type of its value, which is right for options. In a name or a path a number and
true and false are spelt as inside of text; null, arrays and objects have no spelling, and refuse their item.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from runner.compile.items import Item
from runner.compile.rows import is_json_lines
from runner.errors import Problem
from runner.recipe.credentials import PUBLIC
from runner.recipe.finding import Steps
from runner.recipe.model import Recipe
from runner.recipe.template import Scope, expand_text, lone_name
from runner.wire.providers import PROVIDERS
from runner.wire.values import Json, JsonObject, as_list, as_object

_INPUT = ("type", "source", "engine", "filename", "identity")
_CONVERSION = ("target", "category")
_PARAMETERS = tuple(
    {name for one in PROVIDERS.values() for name in one.parameters_required | one.parameters_optional} - {"port"}
)


def text_slots(recipe: Recipe) -> tuple[Steps, ...]:
    """The places in the recipe's job that need text and hold a lone `{item.…}` which may be none."""
    if not _brings_values(recipe):
        return ()
    return tuple(path for path in _texts(recipe.job) if _item_name(_at(recipe.job, path)))


def with_texts(payload: JsonObject, recipe: Recipe, slots: Sequence[Steps], scope: Scope) -> JsonObject:
    """`payload`, the recipe's job under `scope` and nobody else's yet, with text in these slots."""
    for path in slots:
        _at(payload, path[:-1])[path[-1]] = expand_text(_at(recipe.job, path), scope)
    return payload


def unspelt(recipe: Recipe, items: Sequence[Item]) -> Iterator[tuple[Item, Problem]]:
    """The items that bring what can't be spelt to where text must stand."""
    needed = {path: _item_name(_at(recipe.job, path)) for path in text_slots(recipe)}
    if recipe.save is not None and _brings_values(recipe):
        needed[("save", "path")] = _item_name(recipe.save.path)
    for item in items if needed else ():
        wrong = {path: name for path, name in needed.items() if not _is_spelt(item, name)}
        if wrong:
            yield item, _problem(recipe, item, wrong)


def _is_spelt(item: Item, name: str) -> bool:
    return not name or isinstance(item.values.get(name, ""), str | int | float)  # true and false are int


def _problem(recipe: Recipe, item: Item, wrong: Mapping[Steps, str]) -> Problem:
    where = f"{recipe.foreach.rows}:{item.line}" if recipe.foreach and item.line else f"{recipe.name}[{item.label}]"
    said = (f"{name!r} is {_kind(item.values[name])}, and {_place(path)} must be text" for path, name in wrong.items())
    return Problem(
        place=recipe.locate(next(iter(wrong))),
        code="wrong-type",
        message=f"{where}: {'; '.join(said)}",
        hint="write a text there; null can stand for an option alone",
    )


def _kind(value: Json) -> str:
    return "null" if value is None else "an array" if isinstance(value, list) else "an object"


def _place(path: Steps) -> str:
    return "save.path" if path[0] == "save" else str(path[-1])


def _brings_values(recipe: Recipe) -> bool:
    """Whether items may hold anything but text: listings and CSV don't."""
    foreach = recipe.foreach
    return foreach is not None and (foreach.kind == "matrix" or is_json_lines(foreach.rows))


def _texts(job: JsonObject) -> Iterator[Steps]:
    if "callback" in job:
        yield ("callback",)
    for number, entry in enumerate(as_list(job.get("input"))):
        yield from _texts_in(as_object(entry), ("input", number), _INPUT)
    for number, entry in enumerate(as_list(job.get("conversion"))):
        at = ("conversion", number)
        yield from _texts_in(as_object(entry), at, _CONVERSION)
        for index, target in enumerate(as_list(as_object(entry).get("output_target"))):
            yield from _texts_in(as_object(target), (*at, "output_target", index), ("type",))


def _texts_in(entry: JsonObject, at: Steps, names: Sequence[str]) -> Iterator[Steps]:
    yield from ((*at, name) for name in names if name in entry)
    for part, known in (("parameters", _PARAMETERS), ("credentials", tuple(PUBLIC))):
        yield from ((*at, part, name) for name in known if name in as_object(entry.get(part)))


def _item_name(value: Json) -> str:
    name = lone_name(value) if isinstance(value, str) else None
    return name.name if name is not None and name.root == "item" else ""


def _at(value: Json, path: Steps) -> Any:
    for step in path:
        value = value[step]
    return value
