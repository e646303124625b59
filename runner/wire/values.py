"""JSON as Python types, and tolerant readers: the API's language sends `[]` where it means `{}`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Json = Any  # null, bool, int, float, str, list[Json] or dict[str, Json]; mypy has no useful recursive form
JsonObject = dict[str, Any]


def as_object(value: Json) -> JsonObject:
    """`value` as an object; `[]`, `null` and anything else that is no object count as empty."""
    return dict(value) if isinstance(value, dict) or isinstance(value, Mapping) else {}  # noqa: SIM101 - much faster


def as_list(value: Json) -> list[Json]:
    """`value` as a list: `null` and `{}` are empty, a bare value is a list of one."""
    if isinstance(value, list):
        return list(value)
    if value is None or value == {}:
        return []
    return list(value) if isinstance(value, tuple) else [value]


def as_text(value: Json) -> str:
    return value if isinstance(value, str) else "" if value is None else str(value)


def as_int(value: Json) -> int:
    """Whole number; strings of digits count (the API's statistics are all strings), the rest is 0."""
    try:
        return int(value)
    except (TypeError, ValueError, OverflowError):
        return 0


MOST_COUNT = 1 << 48  # so many are a mistake or a lie, and sums of them still fit a database


def as_count(value: Json) -> int:
    """How many, or how large: `as_int`, never below 0, however much was said."""
    return min(max(as_int(value), 0), MOST_COUNT)
