"""Every answer carries an id that also stands in the log: the client's own where it sent a plain one."""

from __future__ import annotations

import re

from starlette.responses import Response
from starlette.types import Scope

from runner.server.jobs.ids import new_key
from runner.wire.headers import REQUEST_ID

_HEADER = REQUEST_ID.lower().encode()
_PLAIN = re.compile(rb"[\w.\-]{1,128}\Z", re.ASCII)


def request_id_of(scope: Scope) -> str:
    """The id of the request; a new one with every call where the client sent none."""
    for name, value in scope["headers"]:
        if name == _HEADER and _PLAIN.match(value):
            return str(value, "ascii")
    return new_key()


def with_request_id(answer: Response, request_id: str) -> Response:
    answer.raw_headers.append((_HEADER, request_id.encode()))
    return answer
