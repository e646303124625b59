"""`{server}/download-file/{output_id}/{filename}`: GET and HEAD, without a key, with Range.

The id in the path can't be guessed; who has the link may download, unless the output has a password.
"""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from http import HTTPStatus
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from runner.server.answers import ApiError, json_answer, not_found
from runner.server.api.house import House
from runner.server.jobs.limits import max_downloads
from runner.server.jobs.record import Job, Output
from runner.wire.headers import DOWNLOAD_PASSWORD, DOWNLOAD_PASSWORD_COOKIE

_CHUNK = 1024 * 1024
_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})\Z")

# `error_code` 107 is the API's; the others are ours, for what it answers in unknown ways.
_GONE = {
    "disabled": (107, "The file download has been disabled"),
    "expired": (108, "The file has expired and was deleted"),
    "overuse": (109, "The file was downloaded more often than allowed (limits.output.max_downloads)"),
}


async def download_file(house: House, request: Request) -> Response:
    job = house.jobs.job_of_part(request.path_params["output_id"])
    output = job.output(request.path_params["output_id"]) if job else None
    if job is None or output is None:
        raise not_found("file")
    if output.status in _GONE:
        return _gone(output.status)
    await _require_password(house, request, job, output)
    span = _span(request, output)
    if span is None:
        return Response(status_code=416, headers={"Content-Range": f"bytes */{output.size}"})
    if request.method == "GET" and span.first == 0 and not await _count(house, job, output):
        return _gone("overuse")
    return await _answer(house, request, output, span)


def _gone(status: str) -> Response:
    code, message = _GONE[status]
    return json_answer({"error_code": code, "message": message}, 410, {"Access-Control-Allow-Origin": "*"})


async def _require_password(house: House, request: Request, job: Job, output: Output) -> None:
    hashes = [*job.passwords, *filter(None, [output.password])]
    if not hashes:
        return
    given = next((request.headers[name] for name in DOWNLOAD_PASSWORD if name in request.headers), None)
    given = given or request.cookies.get(DOWNLOAD_PASSWORD_COOKIE)
    if not given:
        raise ApiError(HTTPStatus.UNAUTHORIZED, f"This file needs a password: send {DOWNLOAD_PASSWORD[0]}")
    if not await house.hashing.opens(hashes, given):
        raise ApiError(HTTPStatus.UNAUTHORIZED, "The password is wrong")


@dataclass(frozen=True, kw_only=True, slots=True)
class _Span:
    """Bytes `first` up to but not including `end`; `partial` where the client asked for a part."""

    first: int
    end: int
    partial: bool


def _span(request: Request, output: Output) -> _Span | None:
    """What to send; None where nothing of what was asked for exists."""
    whole = _Span(first=0, end=output.size, partial=False)
    found = _RANGE.match(request.headers.get("range", ""))
    if found is None or not (found[1] or found[2]) or _is_stale(request, output):
        return whole
    if not found[1]:  # the last so many bytes
        count = min(int(found[2]), output.size)
        return _Span(first=output.size - count, end=output.size, partial=True) if count else None
    first = int(found[1])
    end = min(int(found[2]) + 1, output.size) if found[2] else output.size
    return _Span(first=first, end=end, partial=True) if first < end else None


def _is_stale(request: Request, output: Output) -> bool:
    condition = request.headers.get("if-range")
    return condition is not None and condition != _etag(output)


async def _count(house: House, job: Job, output: Output) -> bool:
    """Count one download, durably; False when there were as many as allowed."""
    allowed = True

    def edit(now: Job) -> Job:
        nonlocal allowed
        one = now.output(output.id) or output
        allowed = one.downloads < max_downloads(now, house.config.contract)
        counted = replace(one, downloads=one.downloads + 1) if allowed else replace(one, status="overuse")
        return replace(now, outputs=tuple(counted if old.id == one.id else old for old in now.outputs))

    await house.jobs.change(job.id, edit)
    return allowed


async def _answer(house: House, request: Request, output: Output, span: _Span) -> Response:
    headers = _headers(output, span)
    status = 206 if span.partial else 200
    if request.method == "HEAD":
        return Response(status_code=status, headers=headers, media_type=output.content_type)
    try:
        descriptor = os.open(house.blobs.path(output.blob), os.O_RDONLY)
    except FileNotFoundError:
        return _gone("expired")
    if span.end - span.first <= _CHUNK:
        try:
            body = os.pread(descriptor, span.end - span.first, span.first)
        finally:
            os.close(descriptor)
        return Response(body, status, headers, media_type=output.content_type)
    return StreamingResponse(_read(descriptor, span), status, headers, media_type=output.content_type)


async def _read(descriptor: int, span: _Span) -> AsyncIterator[bytes]:
    try:
        at = span.first
        while at < span.end:
            chunk = await asyncio.to_thread(os.pread, descriptor, min(_CHUNK, span.end - at), at)
            if not chunk:
                raise OSError("the file is shorter than it was")
            at += len(chunk)
            yield chunk
    finally:
        os.close(descriptor)


def _headers(output: Output, span: _Span) -> dict[str, str]:
    headers = {
        "Content-Length": str(span.end - span.first),
        "Content-Disposition": _disposition(output.filename),
        "Accept-Ranges": "bytes",
        "ETag": _etag(output),
        "Access-Control-Allow-Origin": "*",
        "X-Content-Type-Options": "nosniff",
    }
    if span.partial:
        headers["Content-Range"] = f"bytes {span.first}-{span.end - 1}/{output.size}"
    return headers


def _etag(output: Output) -> str:
    return f'"{output.checksum or output.id}"'


def _disposition(filename: str) -> str:
    """The name twice, as RFC 6266 has it: for old readers in ASCII, for all others as it is."""
    plain = "".join(char if " " <= char <= "~" and char not in '"\\%' else "_" for char in filename)
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(filename, safe='')}"
