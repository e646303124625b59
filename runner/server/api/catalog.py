"""`GET /conversions`: what this server converts, for everybody."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from runner.server.api.house import House
from runner.server.api.paging import one_page
from runner.server.jobs.targets import rows


async def list_catalog(house: House, request: Request) -> Response:  # noqa: ARG001  # every handler has one shape
    query = request.query_params
    found = rows(query.get("category") or None, query.get("target") or None, query.get("source") or None)
    return one_page(request, found)
