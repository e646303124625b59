"""JSON bodies: read up to a limit, refused with 400 for everything that is none."""

from __future__ import annotations

from http import HTTPStatus

import orjson
from starlette.requests import Request

from runner.server.answers import EMPTY_BODY_CODE, ApiError
from runner.server.api.heads import header
from runner.wire.values import Json

_DEEPEST = 64


async def read_body(request: Request, most: int) -> bytes:
    """The body; raises 413 beyond `most` bytes."""
    announced = header(request, b"content-length")
    if announced.isdigit() and int(announced) > most:
        raise _too_large(most)
    body, is_whole = bytearray(), False
    while not is_whole:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise ApiError(HTTPStatus.BAD_REQUEST, "The body broke off")
        body += message.get("body", b"")
        if len(body) > most:
            raise _too_large(most)
        is_whole = not message.get("more_body", False)
    return bytes(body)


def parse(body: bytes) -> Json:
    """The JSON in `body`; raises 400 with the place of what is wrong."""
    if not body.strip():
        raise ApiError(HTTPStatus.BAD_REQUEST, "The JSON body is empty", code=EMPTY_BODY_CODE)
    try:
        value: Json = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        message = f"The body is not valid JSON: {error.msg} (line {error.lineno}, column {error.colno})"
        raise ApiError(HTTPStatus.BAD_REQUEST, message) from error
    if body.count(b"[") + body.count(b"{") > _DEEPEST and _depth(value) > _DEEPEST:
        raise ApiError(HTTPStatus.BAD_REQUEST, f"The body is nested more than {_DEEPEST} deep")
    return value


def _too_large(most: int) -> ApiError:
    return ApiError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"The body is larger than {most} bytes")


def _depth(value: Json) -> int:
    """How deep `value` is nested; walks level by level, so that no depth exhausts the stack."""
    depth, level = 0, [value]
    while level := [one for one in level if isinstance(one, dict | list)]:
        depth += 1
        level = [inner for one in level for inner in (one.values() if isinstance(one, dict) else one)]
    return depth
