"""An ASGI layer that sees every request: counts it, logs it, and answers /health and /metrics itself."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from functools import cache
from typing import Any

import apsw
import orjson
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from runner import __version__
from runner.server.answers import AT_ONCE, AtOnce
from runner.server.operating.logs import log_event
from runner.server.operating.metrics import CONTENT_TYPE, Requests, Sample, exposition
from runner.wire.headers import REQUEST_ID

_log = logging.getLogger(__name__)

_ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\Z")
_DEEPEST = 8
_REQUEST_ID = REQUEST_ID.lower().encode()

Headers = Sequence[tuple[bytes, bytes]]
_NONE: Mapping[str, Any] = {}

# Where the application says in the scope which of its routes a request took: without values, as it is shown.
PATTERN = "conversion_runner.pattern"


class ObservedApp:
    """
    words    parts of paths that may be shown; everything else is shown as `*`
    gauges   what else is measured, asked for when /metrics is
    trouble  why the server can't work, or nothing: then it is healthy
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        words: frozenset[str],
        gauges: Callable[[], Iterable[Sample]],
        trouble: Callable[[], str],
    ) -> None:
        self._app = app
        self._words = words | {""}  # what stands before the first slash
        self._route = cache(self._shown)  # of the patterns of routes, which are few
        self._gauges = gauges
        self._trouble = trouble
        self._requests = Requests()
        self._began = time.monotonic()
        self._pages = {"/health": self._health, "/metrics": self._metrics}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        page = self._pages.get(scope["path"]) if scope["method"] in ("GET", "HEAD") else None
        if page is not None:
            await page(send, with_body=scope["method"] == "GET")
            return
        status, began = 0, time.monotonic()
        headers: Headers = ()

        def sending(message: Message) -> Awaitable[None]:
            nonlocal status, headers
            if message["type"] == "http.response.start":
                status, headers = message["status"], message.get("headers", ())
            return send(message)

        def answering(asked: Scope, code: int, given: Headers, body: bytes) -> bool:
            nonlocal status, headers
            status, headers = code, given  # should it come to nothing, it is sent, and noted, in the other way
            return at_once(asked, code, given, body)

        if extension := scope.get("extensions", _NONE).get(AT_ONCE):
            at_once: AtOnce = extension["call"]
            extension["call"] = answering
        self._requests.in_flight += 1
        try:
            await self._app(scope, receive, sending)
        finally:
            self._requests.in_flight -= 1
            self._note(scope, status, headers, time.monotonic() - began)

    def _note(self, scope: Scope, status: int, headers: Headers, seconds: float) -> None:
        """Status 0: no answer was given."""
        pattern = scope.get(PATTERN)
        route = self._route(pattern) if pattern else self._shown(scope["path"])
        self._requests.add(scope["method"], route, status, seconds)
        if _log.isEnabledFor(logging.INFO):
            ms = round(seconds * 1000, 1)
            about = {**_job_in(scope["path"]), **_id_in(headers)}
            log_event(_log, "request", method=scope["method"], route=route, status=status, ms=ms, **about)

    def _shown(self, path: str) -> str:
        parts = path.removeprefix("/v2").split("/", _DEEPEST)
        return "/".join([part if part in self._words else "*" for part in parts])

    async def _health(self, send: Send, *, with_body: bool) -> None:
        try:
            trouble = self._trouble()
        except (apsw.Error, OSError) as error:
            trouble = str(error)
        told = {"message": trouble} if trouble else {}
        state = {"status": "failing" if trouble else "ok", "version": __version__, **told}
        body = orjson.dumps({**state, "uptime_s": round(time.monotonic() - self._began)})
        await _send(send, 503 if trouble else 200, "application/json", body, with_body=with_body)

    async def _metrics(self, send: Send, *, with_body: bool) -> None:
        text = exposition(self._requests.samples()) + self._requests.histogram() + exposition(self._gauges())
        await _send(send, 200, CONTENT_TYPE, text.encode(), with_body=with_body)


def _id_in(headers: Headers) -> dict[str, str]:
    """By what the client may ask about this request."""
    found = next((value for name, value in headers if name == _REQUEST_ID), b"")
    return {"request_id": str(found, "ascii")} if found else {}


def _job_in(path: str) -> dict[str, str]:
    parts = path.removeprefix("/v2").split("/", 3)
    return {"job": parts[2]} if len(parts) > 2 and parts[1] == "jobs" and _ID.match(parts[2]) else {}


async def _send(send: Send, status: int, content_type: str, body: bytes, *, with_body: bool) -> None:
    headers = [(b"content-type", content_type.encode()), (b"content-length", str(len(body)).encode())]
    await send(
        {"type": "http.response.start", "status": status, "headers": [*headers, (b"cache-control", b"no-store")]}
    )
    await send({"type": "http.response.body", "body": body if with_body else b""})
