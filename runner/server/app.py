"""The application: the table of routes, and the one place where errors become answers."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from http import HTTPStatus

import apsw
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from runner.server.answers import ApiError, error_answer
from runner.server.api import catalog, contracts, documents, download, jobs, parts, presets, stats, upload
from runner.server.api.house import House
from runner.server.request_ids import RequestIds
from runner.wire.headers import REQUEST_ID

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


def make_app(house: House) -> Starlette:
    grouped: dict[str, dict[str, Handler]] = {}
    for entry in ROUTES:
        grouped.setdefault(entry.path, {})[entry.method] = entry.handler
    routes = [
        Route(prefix + path, _endpoint(house, handlers), methods=list(handlers))
        for prefix in PREFIXES
        for path, handlers in grouped.items()
    ]
    app = Starlette(routes=routes, exception_handlers={HTTPException: _http_error, Exception: _our_fault})
    app.add_middleware(RequestIds)
    # A redirect would lose the body, and clients with keys never follow one.
    app.router.redirect_slashes = False
    return app


def _endpoint(house: House, handlers: dict[str, Handler]) -> Callable[[Request], Awaitable[Response]]:
    by_method = {**handlers, **({"HEAD": handlers["GET"]} if "GET" in handlers else {})}

    async def endpoint(request: Request) -> Response:
        try:
            return await by_method[request.method](house, request)
        except ApiError as error:
            return error_answer(error)
        except (apsw.FullError, apsw.IOError, apsw.ReadOnlyError) as error:
            message = f"The server could not write its state: {error}; nothing was changed"
            return error_answer(ApiError(HTTPStatus.INSUFFICIENT_STORAGE, message))

    return endpoint


async def _http_error(_: Request, error: Exception) -> Response:
    status = HTTPStatus(error.status_code if isinstance(error, HTTPException) else 500)
    headers = error.headers if isinstance(error, HTTPException) else None
    return error_answer(ApiError(status, status.description or status.phrase, headers=headers))


async def _our_fault(request: Request, error: Exception) -> Response:
    request_id = str(request.scope.get("request_id", ""))
    _log.error("%s %s failed (request %s)", request.method, request.url.path, request_id, exc_info=error)
    failed = ApiError(
        HTTPStatus.INTERNAL_SERVER_ERROR,
        f"The server failed; its log says why (request {request_id})",
        headers={REQUEST_ID: request_id},
    )
    return error_answer(failed)
