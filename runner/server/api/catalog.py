"""`GET /conversions`: what this server converts, for everybody."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from runner.server.api.house import House
from runner.server.api.paging import one_page
from runner.server.jobs.targets import rows


async def list_catalog(house: House, request: Request) -> Response:  # noqa: ARG001  # every handler has one shape
    asked = {name: value.strip().lower() for name, value in request.query_params.items()}
    found = rows(asked.get("category") or None, asked.get("target") or None, asked.get("source") or None)
    return one_page(request, found)
