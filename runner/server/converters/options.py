"""Options against their schemas: defaults filled in, numbers in strings read, every problem named."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from runner.server.converters.protocol import Target
from runner.wire.values import Json, JsonObject, as_object

Schema = Mapping[str, Json]

_MOST_TOLD = 20
_MOST_SHOWN = 60


@dataclass(frozen=True, kw_only=True, slots=True)
class OptionProblem:
    option: str
    message: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Expanded:
    """`options` holds every option of the target; where there are problems the defaults stand in."""

    options: JsonObject
    problems: tuple[OptionProblem, ...]


class _WrongValueError(ValueError):
    """A value its schema refuses; the text completes "NAME is ..."."""


def expand_options(target: Target, options: Json) -> Expanded:
    """Every option of `target`: as given, else its default, else None. `[]` and None count as `{}`.

    Numbers may come as strings ("85"), and an option that is null counts as not given.
    """
    if options not in (None, []) and not isinstance(options, Mapping):
        return Expanded(options=_defaults(target), problems=(_not_an_object(options),))
    given = as_object(options)
    problems = _unknown([name for name in given if name not in target.options_schema], target)
    expanded = _defaults(target)
    for name, schema in target.options_schema.items():
        if given.get(name) is None:
            continue
        try:
            expanded[name] = _accept(given[name], schema)
        except _WrongValueError as error:
            problems.append(OptionProblem(option=name, message=f"{name} is {error}"))
    return Expanded(options=expanded, problems=tuple(problems))


def near_word(word: str, known: Iterable[str]) -> str:
    """What was meant, perhaps. Only short words are compared: it takes long, and clients choose how long."""
    near = difflib.get_close_matches(word, list(known), n=1) if len(word) <= _MOST_SHOWN else []
    return near[0] if near else ""


def _defaults(target: Target) -> JsonObject:
    return {name: schema.get("default") for name, schema in target.options_schema.items()}


def _not_an_object(value: Json) -> OptionProblem:
    return OptionProblem(option="", message=f"options must be an object, not {_type_name(value)}")


def _unknown(names: list[str], target: Target) -> list[OptionProblem]:
    told = [_unknown_option(name, target) for name in names[:_MOST_TOLD]]
    if len(names) > _MOST_TOLD:
        more = f"{len(names) - _MOST_TOLD} more are no options of {target.target} either"
        told.append(OptionProblem(option="", message=more))
    return told


def _unknown_option(name: str, target: Target) -> OptionProblem:
    near = near_word(name, target.options_schema)
    known = f"did you mean '{near}'?" if near else f"there are {', '.join(target.options_schema)}"
    message = f"{_shown(name)} is not an option of {target.target}; {known}"
    return OptionProblem(option=name[:_MOST_SHOWN], message=message)


def _accept(value: Json, schema: Schema) -> Json:
    converted = _converted(value, str(schema["type"]))
    if "enum" in schema:
        _check_choice(converted, schema)
    if isinstance(converted, str):
        _check_text(converted, schema)
    elif not isinstance(converted, bool):
        _check_range(converted, schema)
    return converted


def _converted(value: Json, kind: str) -> Json:
    readers: dict[str, Callable[[Json], Json]] = {
        "boolean": _boolean,
        "integer": _integer,
        "number": _number,
        "string": _text,
    }
    return readers[kind](value)


def _boolean(value: Json) -> bool:
    if isinstance(value, bool):
        return value
    words = {"true": True, "1": True, "false": False, "0": False}
    if isinstance(value, str | int) and str(value).lower() in words:
        return words[str(value).lower()]
    raise _WrongValueError(f"{_shown(value)}; it must be true or false")


def _integer(value: Json) -> int:
    number = _number(value, wanted="a whole number")
    if number != int(number):
        raise _WrongValueError(f"{_shown(value)}; it must be a whole number")
    return int(number)


def _number(value: Json, wanted: str = "a number") -> float | int:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise _WrongValueError(f"{_type_name(value)}; it must be {wanted}")
    if isinstance(value, str) and not re.fullmatch(r"\s*[-+]?\d{1,30}(\.\d{1,30})?\s*", value):
        raise _WrongValueError(f"{_shown(value)}; it must be {wanted}")
    if isinstance(value, int):
        return value
    number = float(value)
    if not math.isfinite(number):
        raise _WrongValueError(f"{_shown(value)}; it must be {wanted}")
    return int(number) if number.is_integer() else number


def _text(value: Json) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, int) and not isinstance(value, bool):  # "color": 1980 is meant as "1980"
        return str(value)
    raise _WrongValueError(f"{_type_name(value)}; it must be a string")


def _check_choice(value: Json, schema: Schema) -> None:
    choices = [str(choice) for choice in schema["enum"]]
    if str(value) in choices:
        return
    near = near_word(str(value).lower(), choices)
    hint = f"did you mean '{near}'?" if near else f"it must be one of {', '.join(choices)}"
    raise _WrongValueError(f"{_shown(value)}; {hint}")


def _check_text(value: str, schema: Schema) -> None:
    # The value itself isn't shown: a download password has a pattern too.
    if "pattern" in schema and not re.search(str(schema["pattern"]), value):
        raise _WrongValueError(f"not usable; it must match {schema['pattern']}")


def _check_range(value: float, schema: Schema) -> None:
    if "minimum" in schema and value < schema["minimum"]:
        raise _WrongValueError(f"{value}; the minimum is {schema['minimum']}")
    if "maximum" in schema and value > schema["maximum"]:
        raise _WrongValueError(f"{_shown(value)}; the maximum is {schema['maximum']}")


def _shown(value: Json) -> str:
    text = repr(value[:_MOST_SHOWN]) if isinstance(value, str) else str(value)[:_MOST_SHOWN]
    return text if len(text) <= _MOST_SHOWN else f"{text[: _MOST_SHOWN - 3]}..."


def _type_name(value: Json) -> str:
    names = {type(None): "null", bool: "true or false", int: "a number", float: "a number", str: "a string"}
    return names.get(type(value), "an array" if isinstance(value, list) else "an object")
