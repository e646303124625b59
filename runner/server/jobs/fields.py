"""Reading a request's JSON leniently and completely: every problem is collected, none stops the reading.

`[]` counts as `{}`, a bare object as an array of one, strings of digits as numbers, null as not given,
as does "" where one of some words is meant.
"""

from __future__ import annotations

from collections.abc import Collection, ItemsView

import orjson

from runner.wire.values import Json, JsonObject

_WORDS = {"true": True, "1": True, "false": False, "0": False}
_MOST_DIGITS = 18
_MOST_TABLE_BYTES = 131_072  # a password of the longest kind and more


class Fields:
    """One object of the request. `at` is its place ("conversion.0"), `problems` is shared by all of them."""

    __slots__ = ("_at", "_object", "problems")

    def __init__(self, value: Json, at: str, problems: dict[str, str]) -> None:
        self._at = at
        self.problems = problems
        self._object: JsonObject = {}
        if isinstance(value, dict):
            self._object = value
        elif value not in (None, []):
            self.wrong("", f"must be an object, not {_type_name(value)}")

    def __contains__(self, name: str) -> bool:
        return self._object.get(name) is not None

    def raw(self, name: str) -> Json:
        return self._object.get(name)

    def wrong(self, name: str, message: str) -> None:
        if name and self._at in self.problems:  # it isn't even an object: what it lacks is no news
            return
        self.problems.setdefault(_join(self._at, name) or "body", message)

    def text(self, name: str, default: str = "", *, most: int = 65_536) -> str:
        value = self._object.get(name)
        if value is None:
            return default
        if not isinstance(value, str):
            if isinstance(value, bool) or not isinstance(value, int | float):
                self.wrong(name, f"must be a string, not {_type_name(value)}")
                return default
            value = str(value)
        if len(value) > most:
            self.wrong(name, f"must have at most {most} characters")
            return default
        return value

    def choice(self, name: str, default: str, choices: Collection[str]) -> str:
        value = self.text(name) or default
        if value not in choices:
            self.wrong(name, f"must be one of {', '.join(choices)}")
            return default
        return value

    def flag(self, name: str, *, default: bool) -> bool:
        value = self._object.get(name)
        if value is None:
            return default
        if isinstance(value, bool):
            return value
        known = _WORDS.get(str(value).lower()) if isinstance(value, str | int) else None
        if known is None:
            self.wrong(name, "must be true or false")
            return default
        return known

    def whole(self, name: str) -> int | None:
        """A whole number from 0, or None where there is none."""
        value = self._object.get(name)
        if value is None:
            return None
        number = _whole(value)
        if number is None:
            self.wrong(name, "must be a whole number from 0")
        return number

    def table(self, name: str) -> JsonObject:
        """A free-form object; what is kept with a job as it came has an end."""
        table = dict(self.part(name).items()) if name in self else {}
        if table and len(orjson.dumps(table)) > _MOST_TABLE_BYTES:
            self.wrong(name, f"must have at most {_MOST_TABLE_BYTES} bytes")
            return {}
        return table

    def items(self) -> ItemsView[str, Json]:
        return self._object.items()

    def part(self, name: str) -> Fields:
        return Fields(self._object.get(name), _join(self._at, name), self.problems)

    def array(self, name: str) -> list[Fields]:
        return fields_of(self._object.get(name), _join(self._at, name), self.problems) if name in self else []

    def texts(self, name: str, *, most: int) -> list[str]:
        value = self._object.get(name)
        found = value if isinstance(value, list) else [] if value is None else [value]
        texts = [one for one in found if isinstance(one, str) and len(one) <= most]
        if len(texts) != len(found):
            self.wrong(name, f"must be an array of strings of at most {most} characters")
        return texts


def fields_of(value: Json, at: str, problems: dict[str, str]) -> list[Fields]:
    """The objects of an array, or of a bare object where an array is meant."""
    entries = value if isinstance(value, list) else [] if value in (None, {}) else [value]
    return [Fields(one, _join(at, str(index)), problems) for index, one in enumerate(entries)]


def _whole(value: Json) -> int | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, float) and value.is_integer() and 0 <= value < 10**_MOST_DIGITS:
        return int(value)
    if isinstance(value, int):
        return value if 0 <= value < 10**_MOST_DIGITS else None
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= _MOST_DIGITS:
        return int(value)
    return None


def _join(at: str, name: str) -> str:
    return f"{at}.{name}" if at and name else at or name


def _type_name(value: Json) -> str:
    names = {bool: "true or false", int: "a number", float: "a number", str: "a string", list: "an array"}
    return names.get(type(value), "null" if value is None else "an object")
