"""How the server says no: one error, one shape, and the only place where JSON answers are made."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Any

import orjson
from starlette.background import BackgroundTask
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from runner.wire.values import Json

Problems = Mapping[str, str]

# The API answers this text for a missing and for a bad key alike, and echoes nothing.
INVALID_KEY = "Invalid api key"
EMPTY_BODY_CODE = 8

# The server's protocol puts {"call": an AtOnce} under this name into the scope's extensions; who changes what is sent
# takes it away, who only watches puts one of its own there.
AT_ONCE = "conversion_runner.at_once"

# Sends status, headers and body to who sent the request of that scope, and says so; False where that isn't possible
# now, and nothing was done.
AtOnce = Callable[[Scope, int, Sequence[tuple[bytes, bytes]], bytes], bool]

_NONE: Mapping[str, Any] = {}
_JSON = (b"content-type", b"application/json")


class ApiError(Exception):
    """A request that is refused: the status, one sentence, and per field what is wrong with it."""

    def __init__(
        self,
        status: HTTPStatus,
        message: str,
        *,
        code: int | None = None,
        errors: Problems | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.code = int(status) if code is None else code
        self.errors = dict(errors or {})
        self.headers = dict(headers or {})


def invalid(errors: Problems) -> ApiError:
    """400 with every problem; the message is the first of them, and says how many more there are."""
    field, first = next(iter(errors.items()))
    more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    return ApiError(HTTPStatus.BAD_REQUEST, f"{field}: {first}{more}", errors=errors)


def unauthorized() -> ApiError:
    return ApiError(HTTPStatus.UNAUTHORIZED, INVALID_KEY)


def not_found(what: str) -> ApiError:
    return ApiError(HTTPStatus.NOT_FOUND, f"The {what} was not found")


def conflict(message: str) -> ApiError:
    return ApiError(HTTPStatus.CONFLICT, message)


def json_answer(content: Json, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    return raw_json(orjson.dumps(content), status, headers)


def raw_json(content: bytes, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    return _JsonAnswer(content, status, headers or {})


class _JsonAnswer(Response):
    """What nearly every request gets: spared what Starlette does for answers of every kind."""

    def __init__(self, content: bytes, status: int, headers: Mapping[str, str]) -> None:
        self.status_code = status
        self.body = content
        self.background: BackgroundTask | None = None
        self.raw_headers = [(b"content-length", b"%d" % len(content)), _JSON]
        for name, value in headers.items():
            self.raw_headers.append((name.lower().encode("latin-1"), value.encode("latin-1")))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002  # ASGI's shape
        extension = scope.get("extensions", _NONE).get(AT_ONCE)
        if not extension or not extension["call"](scope, self.status_code, self.raw_headers, self.body):
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            await send({"type": "http.response.body", "body": self.body})
        if self.background is not None:
            await self.background()


def error_answer(error: ApiError) -> Response:
    if error.status == HTTPStatus.UNAUTHORIZED:
        return json_answer({"message": error.message}, error.status)
    body = {"message": error.message, "code": error.code, "errors": error.errors}
    return json_answer(body, error.status, error.headers)
