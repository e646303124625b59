"""Pages of a list: fifty a page where one is asked for, all without; past the end there are none."""

from __future__ import annotations

import re
from collections.abc import Sequence

from starlette.requests import Request
from starlette.responses import Response

from runner.server.answers import invalid, json_answer
from runner.server.store.jobs import PAGE
from runner.wire.headers import TOTAL_COUNT
from runner.wire.values import JsonObject

_LAST_PAGE = 10**9
# The vendor's document calls it a number, so clients made from that document send 1.0.
_PAGE = re.compile(r"([0-9]{1,12})(?:\.0+)?")


def page_number(request: Request) -> int:
    """`?page=`, from 1; raises 400 for what is no page."""
    return _asked_page(request) or 1


def one_page(request: Request, found: Sequence[JsonObject]) -> Response:
    shown = list(found)
    page = _asked_page(request)
    if page is not None:
        first = (page - 1) * PAGE
        shown = shown[first : first + PAGE]
    return json_answer(shown, headers={TOTAL_COUNT: str(len(found))})


def _asked_page(request: Request) -> int | None:
    """None where no page is asked for; an empty one asks for none."""
    text = request.query_params.get("page")
    if not text:
        return None
    number = _PAGE.fullmatch(text)
    if number is None or not 1 <= int(number[1]) <= _LAST_PAGE:
        raise invalid({"page": "must be a whole number from 1"})
    return int(number[1])
