"""Every answer carries an id that also stands in the log: the client's own where it sent a plain one."""

from __future__ import annotations

import re

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from runner.server.jobs.ids import new_key
from runner.wire.headers import REQUEST_ID

_HEADER = REQUEST_ID.lower().encode()
_PLAIN = re.compile(rb"[\w.\-]{1,128}\Z", re.ASCII)


class RequestIds:
    """ASGI: `scope["request_id"]` for whoever is inside, a header for whoever asked."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = next((value for name, value in scope["headers"] if name == _HEADER), b"")
        request_id = given if _PLAIN.match(given) else new_key().encode()
        scope["request_id"] = request_id.decode()

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), (_HEADER, request_id)]
            await send(message)

        await self._app(scope, receive, sending)
