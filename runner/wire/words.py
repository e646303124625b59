"""What somebody says in JSON, in whatever form: a text, a list of texts, an object that has some."""

from __future__ import annotations

from runner.wire.values import Json, JsonObject

_NAMES = ("message", "error", "error_description", "detail", "title", "description", "reason")
_ERRORS = "errors"
_MOST_NESTED = 4


def words_in(value: Json) -> list[str]:
    """The texts that are meant for people: those of an object's fields that such texts usually stand in, errors by
    field with the field's name before them. Never raises."""
    return _words(value, depth=0)


def texts_in(value: Json) -> list[str]:
    """`words_in`; of an object that has none every text, with its field's name before it."""
    return _words(value, depth=0) or _by_field(value, depth=0)


def _words(value: Json, *, depth: int) -> list[str]:
    if isinstance(value, str):
        return [value] if value.strip() else []
    if depth > _MOST_NESTED:
        return []
    if isinstance(value, list):
        return [text for one in value for text in _words(one, depth=depth + 1)]
    return _of_object(value, depth=depth) if isinstance(value, dict) else []


def _of_object(value: JsonObject, *, depth: int) -> list[str]:
    said = [text for name in _NAMES for text in _nested(value.get(name), depth=depth + 1)]
    errors = value.get(_ERRORS)
    by_field = _by_field(errors, depth=depth + 1) or _words(errors, depth=depth + 1)
    # The message is often the first of them, perhaps with how many more there are.
    repeats = bool(said and by_field and said[0].startswith(by_field[0]))
    return by_field if repeats else said + [one for one in by_field if one not in said]


def _nested(value: Json, *, depth: int) -> list[str]:
    return _words(value, depth=depth) or _by_field(value, depth=depth)


def _by_field(value: Json, *, depth: int) -> list[str]:
    if not isinstance(value, dict) or depth > _MOST_NESTED:
        return []
    return [f"{name}: {text}" for name, one in value.items() for text in _words(one, depth=depth + 1)]
