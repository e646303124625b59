"""Pages of a list: fifty a page where one is asked for, all without; past the end there are none."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.requests import Request
from starlette.responses import Response

from runner.server.answers import invalid, json_answer
from runner.server.store.jobs import PAGE
from runner.wire.headers import TOTAL_COUNT
from runner.wire.values import JsonObject

_LAST_PAGE = 10**9


def page_number(request: Request) -> int:
    """`?page=`, from 1; raises 400 for what is no page."""
    text = request.query_params.get("page", "1")
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:12]) <= _LAST_PAGE):
        raise invalid({"page": "must be a whole number from 1"})
    return int(text)


def one_page(request: Request, found: Sequence[JsonObject]) -> Response:
    shown = list(found)
    if "page" in request.query_params:
        first = (page_number(request) - 1) * PAGE
        shown = shown[first : first + PAGE]
    return json_answer(shown, headers={TOTAL_COUNT: str(len(found))})
