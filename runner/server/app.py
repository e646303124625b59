"""The application: the table of routes, and the one place where errors become answers."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus

import apsw
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, Router
from starlette.types import ASGIApp, Receive, Scope, Send

from runner.server.answers import ApiError, error_answer
from runner.server.api import catalog, contracts, documents, download, jobs, parts, presets, stats, upload
from runner.server.api.house import House
from runner.server.request_ids import request_id_of, with_request_id

Handler = Callable[[House, Request], Awaitable[Response]]

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Entry:
    method: str
    path: str
    handler: Handler


_CONVERSION = "/jobs/{job_id}/conversions/{conversion_id}"
_INPUT = "/jobs/{job_id}/input/{file_id}"
_OUTPUT = "/jobs/{job_id}/output/{file_id}"

ROUTES: tuple[Entry, ...] = (
    Entry("GET", "/jobs/{job_id}", jobs.get_job),
    Entry("PATCH", "/jobs/{job_id}", jobs.patch_job),
    Entry("DELETE", "/jobs/{job_id}", jobs.delete_job),
    Entry("GET", "/jobs", jobs.list_jobs),
    Entry("POST", "/jobs", jobs.create_job),
    Entry("POST", "/dl/local/upload-file/{job_id}", upload.upload_file),
    Entry("GET", "/dl/local/download-file/{output_id}/{filename:path}", download.download_file),
    Entry("GET", "/jobs/{job_id}/conversions", parts.list_conversions),
    Entry("POST", "/jobs/{job_id}/conversions", parts.add_conversions),
    Entry("GET", _CONVERSION, parts.get_conversion),
    Entry("PATCH", _CONVERSION, parts.patch_conversion),
    Entry("DELETE", _CONVERSION, parts.delete_conversion),
    Entry("GET", "/jobs/{job_id}/input", parts.list_inputs),
    Entry("POST", "/jobs/{job_id}/input", parts.add_inputs),
    Entry("PATCH", "/jobs/{job_id}/input", parts.patch_inputs),
    Entry("GET", _INPUT, parts.get_input),
    Entry("PATCH", _INPUT, parts.patch_input),
    Entry("DELETE", _INPUT, parts.delete_input),
    Entry("GET", "/jobs/{job_id}/output", parts.list_outputs),
    Entry("PATCH", "/jobs/{job_id}/output", parts.patch_outputs),
    Entry("GET", _OUTPUT, parts.get_output),
    Entry("PATCH", _OUTPUT, parts.patch_output),
    Entry("DELETE", _OUTPUT, parts.delete_output),
    Entry("GET", "/jobs/{job_id}/history", jobs.job_history),
    Entry("GET", "/jobs/{job_id}/threads", jobs.job_threads),
    Entry("GET", "/statuses", jobs.statuses),
    Entry("GET", "/conversions", catalog.list_catalog),
    Entry("GET", "/presets", presets.list_presets),
    Entry("POST", "/presets", presets.create_preset),
    Entry("GET", "/presets/{preset_id}", presets.get_preset),
    Entry("PATCH", "/presets/{preset_id}", presets.patch_preset),
    Entry("DELETE", "/presets/{preset_id}", presets.delete_preset),
    Entry("GET", "/contracts", contracts.show_contracts),
    Entry("GET", "/stats/day/{day}/{filter}", stats.day_stats),
    Entry("GET", "/stats/month/{month}/{filter}", stats.month_stats),
    Entry("GET", "/stats/year/{year}/{filter}", stats.year_stats),
    Entry("GET", "/openapi.json", documents.show_openapi),
    Entry("GET", "/schema", documents.show_schema),
)

# The older host serves the same paths without the version.
PREFIXES = ("/v2", "")


def make_app(house: House) -> ASGIApp:
    grouped: dict[str, dict[str, Handler]] = {}
    for entry in ROUTES:
        grouped.setdefault(entry.path, {})[entry.method] = entry.handler
    routes = [
        Route(prefix + path, _Endpoint(house, handlers)) for prefix in PREFIXES for path, handlers in grouped.items()
    ]
    # A redirect would lose the body, and clients with keys never follow one.
    return Router(routes, redirect_slashes=False, default=_nowhere)


class _Endpoint:
    """One path. ASGI itself, and errors are answered here: that spares every request four layers of Starlette's."""

    def __init__(self, house: House, handlers: dict[str, Handler]) -> None:
        self._house = house
        self._by_method = {**handlers, **({"HEAD": handlers["GET"]} if "GET" in handlers else {})}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request, request_id = Request(scope, receive, send), request_id_of(scope)
        try:
            answer = await self._handler(request.method)(self._house, request)
        except Exception as error:  # noqa: BLE001  # whatever it was, it is answered
            answer = _error_answer(request, error, request_id)
        await with_request_id(answer, request_id)(scope, receive, send)

    def _handler(self, method: str) -> Handler:
        if handler := self._by_method.get(method):
            return handler
        raise _plain(HTTPStatus.METHOD_NOT_ALLOWED, {"Allow": ", ".join(self._by_method)})


async def _nowhere(scope: Scope, receive: Receive, send: Send) -> None:
    answer = error_answer(_plain(HTTPStatus.NOT_FOUND))
    await with_request_id(answer, request_id_of(scope))(scope, receive, send)


def _plain(status: HTTPStatus, headers: Mapping[str, str] | None = None) -> ApiError:
    return ApiError(status, status.description or status.phrase, headers=headers)


def _error_answer(request: Request, error: Exception, request_id: str) -> Response:
    if isinstance(error, ApiError):
        return error_answer(error)
    if isinstance(error, apsw.FullError | apsw.IOError | apsw.ReadOnlyError):
        message = f"The server could not write its state: {error}; nothing was changed"
        return error_answer(ApiError(HTTPStatus.INSUFFICIENT_STORAGE, message))
    _log.error("%s %s failed (request %s)", request.method, request.url.path, request_id, exc_info=error)
    message = f"The server failed; its log says why (request {request_id})"
    return error_answer(ApiError(HTTPStatus.INTERNAL_SERVER_ERROR, message))
