"""`GET /conversions`: what this server converts, for everybody."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from runner.server.answers import json_answer
from runner.server.api.house import House
from runner.server.api.jobs import page_number
from runner.server.jobs.targets import rows
from runner.server.store.jobs import PAGE
from runner.wire.headers import TOTAL_COUNT


async def list_catalog(house: House, request: Request) -> Response:  # noqa: ARG001  # every handler has one shape
    """All rows, or one page of them where a page is asked for; past the end there are none."""
    query = request.query_params
    found = rows(query.get("category") or None, query.get("target") or None, query.get("source") or None)
    shown = found
    if "page" in query:
        first = (page_number(request) - 1) * PAGE
        shown = found[first : first + PAGE]
    return json_answer(shown, headers={TOTAL_COUNT: str(len(found))})
