"""`/openapi.json`, and the same facts at `/schema` in the older form that older clients read."""

from __future__ import annotations

from functools import lru_cache

import orjson
from starlette.requests import Request
from starlette.responses import Response

from runner.resources import openapi_document
from runner.server.answers import raw_json
from runner.server.api.house import House
from runner.server.api.swagger import swagger_document


async def show_openapi(house: House, request: Request) -> Response:
    return raw_json(_openapi(house.base_of(request)))


async def show_schema(house: House, request: Request) -> Response:
    return raw_json(_swagger(house.base_of(request)))


@lru_cache(maxsize=4)
def _openapi(base_url: str) -> bytes:
    return orjson.dumps({**openapi_document(), "servers": [{"url": base_url, "description": "This server"}]})


@lru_cache(maxsize=4)
def _swagger(base_url: str) -> bytes:
    return orjson.dumps(swagger_document(openapi_document(), base_url))
