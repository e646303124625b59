"""Templates: `{item.path}` and its like in the strings of a recipe. There is no code in them.

A brace that doesn't open one of the five roots is just a brace. Expansion may be partial: a root that the
scope doesn't hold stays as it is written, for someone who knows it later. What was put in is never expanded
again, so the name of a file can't smuggle a template in.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache

from runner.errors import InvalidError
from runner.wire.values import Json

ROOTS = ("item", "vars", "recipe", "run", "output")
Scope = Mapping[str, Mapping[str, Json]]

_NAME = re.compile(r"\{(item|vars|recipe|run|output)\.([^{}]*)\}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Name:
    """`{root.name}`"""

    root: str
    name: str

    def __str__(self) -> str:
        return f"{{{self.root}.{self.name}}}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Template:
    """Text and names in their order; empty text is left out."""

    parts: tuple[str | Name, ...]
    names: tuple[Name, ...] = ()

    @classmethod
    def parse(cls, text: str) -> Template:
        """Never raises: whatever is no name is text."""
        parts = _parts(text)
        return cls(parts=parts, names=tuple(part for part in parts if isinstance(part, Name)))

    def expand(self, scope: Scope) -> Json:
        """The text with what `scope` holds put in; the bare value where one name is all there is.

        Raises UnknownName for a name that a root in `scope` doesn't hold, InvalidError for an array or an
        object in the middle of text.
        """
        if len(self.parts) == 1 and isinstance(self.parts[0], Name):
            return _value(self.parts[0], scope)
        return self.text(scope)

    def text(self, scope: Scope) -> str:
        """`expand`, and text also where one name is all there is."""
        return "".join([part if isinstance(part, str) else _text(part, scope) for part in self.parts])


class UnknownName(InvalidError):
    """`name` is not one of `known`, the names behind its root."""

    def __init__(self, name: Name, known: tuple[str, ...]) -> None:
        listed = ", ".join(known) if known else "none"
        super().__init__(f"{name} does not exist; behind '{name.root}.' there is: {listed}")
        self.name = name
        self.known = known


@lru_cache(maxsize=4096)
def parsed(text: str) -> Template:
    """`Template.parse`, remembered: recipes say the same over and over."""
    return Template.parse(text)


def expand(value: Json, scope: Scope) -> Json:
    """A copy of the JSON value with the templates in all its strings expanded; keys stay as they are."""
    if isinstance(value, str):
        return parsed(value).expand(scope) if "{" in value else value
    if isinstance(value, dict | Mapping):
        return {key: expand(inner, scope) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [expand(inner, scope) for inner in value]
    return value


def expand_text(text: str, scope: Scope) -> str:
    """`expand` where nothing but text can stand: a number and true and false are spelt alike, alone or not."""
    return parsed(text).text(scope) if "{" in text else text


def lone_name(text: str) -> Name | None:
    """The name that is all of `text`, whose value keeps its type."""
    parts = parsed(text).parts if "{" in text else ()
    return parts[0] if len(parts) == 1 and isinstance(parts[0], Name) else None


def names(value: Json) -> Iterator[Name]:
    """Every name in the strings of a JSON value, in order, repeated as often as it is used."""
    if isinstance(value, str):
        if "{" in value:
            yield from parsed(value).names
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from names(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from names(inner)


def has_template(text: str) -> bool:
    return "{" in text and _NAME.search(text) is not None


def _parts(text: str) -> tuple[str | Name, ...]:
    parts: list[str | Name] = []
    end = 0
    for match in _NAME.finditer(text):
        parts += [text[end : match.start()], Name(root=match[1], name=match[2])]
        end = match.end()
    return tuple(part for part in (*parts, text[end:]) if part != "")


def _value(name: Name, scope: Scope) -> Json:
    known = scope.get(name.root)
    if known is None:
        return str(name)
    if name.name not in known:
        raise UnknownName(name, tuple(sorted(known)))
    return known[name.name]


def _text(part: Name, scope: Scope) -> str:
    value = _value(part, scope)
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return ""
    if isinstance(value, Mapping | list | tuple):
        raise InvalidError(f"{part} is an array or an object and can't stand in the middle of text")
    return str(value)
