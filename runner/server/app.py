"""The application: the table of routes, and the one place where errors become answers."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from http import HTTPStatus

import apsw
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from runner.server.answers import ApiError, error_answer
from runner.server.api import catalog, contracts, documents, download, jobs, parts, presets, stats, upload
from runner.server.api.house import House
from runner.server.operating.observed import PATTERN
from runner.server.paths import Paths
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
    return _App(house)


@dataclass(frozen=True, slots=True)
class _Place:
    """One path, and what answers there by method."""

    path: str
    by_method: Mapping[str, Handler]

    def handler(self, method: str) -> Handler:
        if handler := self.by_method.get(method):
            return handler
        raise _plain(HTTPStatus.METHOD_NOT_ALLOWED, {"Allow": ", ".join(self.by_method)})


class _App:
    """ASGI itself: that spares every request the layers of Starlette's, which look for a route one after the other.

    Slashes are taken at their word: a redirect would lose the body, and clients with keys never follow one.
    """

    def __init__(self, house: House) -> None:
        self._house = house
        self._paths: Paths[_Place] = Paths()
        for place in _places():
            for prefix in PREFIXES:
                self._paths.add(prefix + place.path, place)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request, request_id = Request(scope, receive, send), request_id_of(scope)
        try:
            answer = await self._handler(scope)(self._house, request)
        except Exception as error:  # noqa: BLE001  # whatever it was, it is answered
            answer = _error_answer(request, error, request_id)
        await with_request_id(answer, request_id)(scope, receive, send)

    def _handler(self, scope: Scope) -> Handler:
        found = self._paths.find(scope["path"])
        if found is None:
            raise _plain(HTTPStatus.NOT_FOUND)
        place, scope["path_params"] = found
        scope[PATTERN] = place.path
        return place.handler(scope["method"])


def _places() -> Iterator[_Place]:
    grouped: dict[str, dict[str, Handler]] = {}
    for entry in ROUTES:
        grouped.setdefault(entry.path, {})[entry.method] = entry.handler
    for path, handlers in grouped.items():
        yield _Place(path, {**handlers, **({"HEAD": handlers["GET"]} if "GET" in handlers else {})})


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
