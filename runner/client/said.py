"""What a server says of its refusal: its own words, short, on one line and without our credentials, for they go to a
terminal and into logs."""

from __future__ import annotations

from collections.abc import Callable

import orjson

from runner.client.http import Answer
from runner.wire.values import Json, as_int, as_object
from runner.wire.words import words_in

MOST_SAID = 300  # characters of a sentence
MOST_PARTS = 20


def what_it_says(response: Answer, mask: Callable[[str], str]) -> str:
    """Empty where it says nothing in JSON. `mask` sees sentences whole: half a secret wouldn't be known for one."""
    return "; ".join(_shortened(mask(part)) for part in words_in(_document(response))[:MOST_PARTS])


def error_code(response: Answer) -> int:
    """`error_code` of the answer, 0 without one."""
    return as_int(as_object(_document(response)).get("error_code"))


def _document(response: Answer) -> Json:
    try:
        return orjson.loads(response.content)
    except (ValueError, RecursionError):
        return None


def _shortened(text: str) -> str:
    return "".join(one if one.isprintable() else " " for one in text)[:MOST_SAID]
