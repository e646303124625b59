"""JSON as Python types, and tolerant readers: the API's language sends `[]` where it means `{}`."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from decimal import Decimal
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


MOST_ID_LETTERS = 512


def as_id(value: Json) -> str:
    """An id, which some servers write as a number; "" for what can't be one, nor be kept in every database."""
    if isinstance(value, str):
        text = value.strip()
        return text if text.isprintable() and len(text) <= MOST_ID_LETTERS else ""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else ""


def folded_id(job_id: str) -> str:
    """What two ids of one thing have in common: a server may write its own in another case than before."""
    return job_id.casefold()


def as_int(value: Json) -> int:
    """Whole number; strings of digits count (the API's statistics are all strings), the rest is 0.

    Never more than JSON and databases take, which is 64 bits.
    """
    try:
        return min(max(int(value), -_MOST_INT), _MOST_INT)
    except (TypeError, ValueError, OverflowError):
        return 0


_MOST_INT = (1 << 63) - 1
MOST_COUNT = 1 << 48  # so many are a mistake or a lie, and sums of them still fit a database


def as_count(value: Json) -> int:
    """How many, or how large: `as_int`, never below 0, however much was said."""
    return min(max(as_int(value), 0), MOST_COUNT)


def as_written_count(text: str) -> int | None:
    """How many, as a header writes it: digits alone. None for anything else, and for more than there can be."""
    is_number = text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS
    return int(text) if is_number and int(text) <= MOST_COUNT else None


_MOST_DIGITS = 100  # far below where Python refuses to read on
_DECIMAL = re.compile(r"[0-9]{1,40}(?:\.[0-9]{1,40}|,[0-9]{1,2})?")


def as_credits(value: Json) -> int | None:
    """Credits, whole: a part of one counts as one. None where nobody can tell how many are meant.

    Three digits behind a comma may be thousands, so they say nothing. Never more than a database holds.
    """
    if isinstance(value, str) and _DECIMAL.fullmatch(value.strip()):
        return min(math.ceil(Decimal(value.strip().replace(",", "."))), MOST_COUNT)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
        return None
    return min(math.ceil(value), MOST_COUNT)
