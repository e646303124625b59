"""Headers of a request, as the parser has them: a few in a list that is quicker looked through than wrapped."""

from __future__ import annotations

from starlette.requests import Request


def header(request: Request, name: bytes) -> str:
    """The first header of that lower-case name; empty where there is none."""
    for known, value in request.scope["headers"]:
        if known == name:
            return str(value, "latin-1")
    return ""
