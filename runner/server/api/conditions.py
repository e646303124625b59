"""The conditions that a client may set on a download, before anything of it is sent or counted.

Source: RFC 9110, section 13.
"""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime

from starlette.datastructures import Headers

from runner.server.jobs.record import Output


def etag(output: Output) -> str:
    return f'"{output.checksum or output.id}"'


def last_modified(output: Output) -> str:
    """What is under an id never changes, so it is as old as the output, and good for `If-Range` too."""
    return format_datetime(_made(output), usegmt=True)


def is_another(headers: Headers, output: Output) -> bool:
    """Whether the client wants another file than this one, or none younger than it knows."""
    wanted = headers.get("if-match")
    if wanted is not None:
        return _tags(wanted).isdisjoint({"*", etag(output)})
    since = _moment(headers.get("if-unmodified-since"))
    return since is not None and _made(output) > since


def is_known(headers: Headers, output: Output) -> bool:
    """Whether the client has this very file."""
    known = headers.get("if-none-match")
    if known is not None:
        return not {tag.removeprefix("W/") for tag in _tags(known)}.isdisjoint({"*", etag(output)})
    since = _moment(headers.get("if-modified-since"))
    return since is not None and _made(output) <= since


def is_stale(headers: Headers, output: Output) -> bool:
    """Whether a part that the client has is one of another file, so that it needs all of this one."""
    return headers.get("if-range", etag(output)) not in (etag(output), last_modified(output))


def _tags(given: str) -> set[str]:
    return {tag.strip() for tag in given.split(",")}


def _made(output: Output) -> datetime:
    return datetime.fromisoformat(output.created_at).replace(tzinfo=UTC)


def _moment(given: str | None) -> datetime | None:
    """None also for what can't be read: such a condition doesn't count."""
    try:
        found = parsedate_to_datetime(given) if given else None
    except (ValueError, OverflowError):
        return None
    return found.replace(tzinfo=UTC) if found and found.tzinfo is None else found
