"""`{server}/download-file/{output_id}/{filename}`: GET and HEAD, without a key, with Range.

The id in the path can't be guessed; who has the link may download, unless the output has a password.
"""

from __future__ import annotations

import asyncio
import os
import re
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from http import HTTPStatus
from urllib.parse import quote

import apsw
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from runner.server.answers import ApiError, json_answer, not_found
from runner.server.api.conditions import etag, is_another, is_known, is_stale, last_modified
from runner.server.api.house import House
from runner.server.jobs.downloads import asked_for, broken_off
from runner.server.jobs.limits import max_downloads
from runner.server.jobs.record import Job, Output
from runner.wire.headers import DOWNLOAD_PASSWORD, DOWNLOAD_PASSWORD_COOKIE

_CHUNK = 1024 * 1024
_NEWS_WITHIN_S = 2.0
_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})\Z", re.IGNORECASE)

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
    if output.status in ("disabled", "expired"):
        return _gone(output.status)
    if house.jobs.is_expired(job.id, time.time()):  # and not swept away yet
        return _gone("expired")
    await _require_password(house, request, job, output)
    return _conditional(request, output) or await _sent(house, request, job, output)


def _conditional(request: Request, output: Output) -> Response | None:
    """The answer to a condition that doesn't hold: nothing is sent, and nothing counted."""
    if is_another(request.headers, output):
        raise ApiError(HTTPStatus.PRECONDITION_FAILED, "This is another file than the one asked for")
    if is_known(request.headers, output):
        return Response(status_code=304, headers={**_validators(output), "Access-Control-Allow-Origin": "*"})
    return None


async def _sent(house: House, request: Request, job: Job, output: Output) -> Response:
    span = _span(request, output)
    if span is None:
        return Response(status_code=416, headers={"Content-Range": f"bytes */{output.size}"})
    if request.method == "HEAD":
        if not _fits(house, job, output, span):
            return _gone("overuse")
        return Response(status_code=_status(span), headers=_headers(output, span), media_type=output.content_type)
    if not await _count(house, job, output, span):
        return _gone("overuse")
    return _answer(house, job, output, span)


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
    if found is None or not (found[1] or found[2]) or is_stale(request.headers, output):
        return whole
    if not found[1]:  # the last so many bytes
        count = min(int(found[2]), output.size)
        return _Span(first=output.size - count, end=output.size, partial=True) if count else None
    first = int(found[1])
    end = min(int(found[2]) + 1, output.size) if found[2] else output.size
    return _Span(first=first, end=end, partial=True) if first < end else None


def _fits(house: House, job: Job, output: Output, span: _Span) -> bool:
    return asked_for(output, span.end - span.first, most=max_downloads(job, house.config.contract)) is not None


async def _count(house: House, job: Job, output: Output, span: _Span) -> bool:
    """Count what is asked for, durably; False when that is more than allowed.

    A client may be ahead of the news that its last download broke off: it waits a moment for that.
    """
    while not await _counted(house, job, output, span.end - span.first):
        if not await house.streams.one_ends(output.id, timeout_s=_NEWS_WITHIN_S):
            await house.jobs.change(job.id, partial(_overused, output.id))
            return False
    return True


async def _counted(house: House, job: Job, output: Output, size_bytes: int) -> bool:
    allowed = True

    def edit(now: Job) -> Job:
        nonlocal allowed
        counted = asked_for(_now(now, output), size_bytes, most=max_downloads(now, house.config.contract))
        allowed = counted is not None
        return _with_output(now, _usable(counted)) if counted else now

    await house.jobs.change(job.id, edit)
    return allowed


def _overused(output_id: str, job: Job) -> Job:
    now = job.output(output_id)
    return _with_output(job, replace(now, status="overuse")) if now and now.status == "enabled" else job


def _usable(output: Output) -> Output:
    """`output`, of which something may be sent: that more than allowed was asked for before says nothing any more."""
    return replace(output, status="enabled") if output.status == "overuse" else output


async def _note_unsent(house: House, job: Job, output: Output, unsent_bytes: int) -> None:
    """What a broken download wasn't sent doesn't count; where that can't be written, it stays counted."""

    def edit(now: Job) -> Job:
        return _with_output(now, _usable(broken_off(_now(now, output), unsent_bytes)))

    with suppress(apsw.Error):
        await house.jobs.change(job.id, edit)


def _now(job: Job, output: Output) -> Output:
    return job.output(output.id) or output


def _with_output(job: Job, output: Output) -> Job:
    return replace(job, outputs=tuple(output if old.id == output.id else old for old in job.outputs))


def _answer(house: House, job: Job, output: Output, span: _Span) -> Response:
    headers = _headers(output, span)
    try:
        descriptor = os.open(house.blobs.path(output.blob), os.O_RDONLY)
    except FileNotFoundError:
        return _gone("expired")
    if span.end - span.first <= _CHUNK:
        try:
            body = os.pread(descriptor, span.end - span.first, span.first)
        finally:
            os.close(descriptor)
        return Response(body, _status(span), headers, media_type=output.content_type)
    return _Streamed(house, job, output, _Reading(descriptor, span), headers)


class _Reading:
    """A part of a file, chunk by chunk; what was handed out counts as sent."""

    def __init__(self, descriptor: int, span: _Span) -> None:
        self.span = span
        self.at = span.first
        self._descriptor = descriptor

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while self.at < self.span.end:
            most = min(_CHUNK, self.span.end - self.at)
            chunk = await asyncio.to_thread(os.pread, self._descriptor, most, self.at)
            if not chunk:
                raise OSError("the file is shorter than it was")
            self.at += len(chunk)
            yield chunk

    def close(self) -> None:
        os.close(self._descriptor)


class _Streamed(StreamingResponse):
    def __init__(self, house: House, job: Job, output: Output, reading: _Reading, headers: dict[str, str]) -> None:
        super().__init__(reading, _status(reading.span), headers, media_type=output.content_type)
        self._house = house
        self._job = job
        self._output = output
        self._reading = reading

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._house.streams.sending(self._output.id):
            try:
                await super().__call__(scope, receive, send)
            finally:
                self._reading.close()
                if unsent_bytes := self._reading.span.end - self._reading.at:
                    await _note_unsent(self._house, self._job, self._output, unsent_bytes)


def _status(span: _Span) -> int:
    return 206 if span.partial else 200


def _headers(output: Output, span: _Span) -> dict[str, str]:
    headers = {
        "Content-Length": str(span.end - span.first),
        "Content-Disposition": _disposition(output.filename),
        "Accept-Ranges": "bytes",
        **_validators(output),
        "Access-Control-Allow-Origin": "*",
        "X-Content-Type-Options": "nosniff",
    }
    if span.partial:
        headers["Content-Range"] = f"bytes {span.first}-{span.end - 1}/{output.size}"
    return headers


def _validators(output: Output) -> dict[str, str]:
    return {"ETag": etag(output), "Last-Modified": last_modified(output)}


def _disposition(filename: str) -> str:
    """The name twice, as RFC 6266 has it: for old readers in ASCII, for all others as it is."""
    plain = "".join(char if " " <= char <= "~" and char not in '"\\%' else "_" for char in filename)
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(filename, safe='')}"
