"""Which parts of a payload go into the creation of a job, and which follow one by one.

Inputs count in order, and a job numbers them as they arrive. So the creation carries the inputs before the
first upload, and everything from there on is added in turn.
"""

from __future__ import annotations

import re

from runner.wire.job import Job
from runner.wire.status import StatusCode
from runner.wire.values import Json, JsonObject, as_list, as_object, as_text


def create_body(payload: JsonObject) -> JsonObject:
    """The body of `POST /jobs`: all of `payload` but the inputs from the first upload on."""
    inputs = [as_object(entry) for entry in as_list(payload.get("input"))]
    body = {name: value for name, value in payload.items() if name != "input"}
    leading = inputs[: _first_upload(inputs)]
    return body | ({"input": [_as_sent(entry) for entry in leading]} if leading else {})


def later_inputs(payload: JsonObject) -> list[tuple[int, JsonObject]]:
    """The inputs that are added after the creation, with their index in the payload."""
    inputs = [as_object(entry) for entry in as_list(payload.get("input"))]
    first = _first_upload(inputs)
    return [(index, _as_sent(entry)) for index, entry in enumerate(inputs) if index >= first]


def unlike(created: Job, sent: JsonObject) -> str:
    """What shows that this isn't the job which was just created by `sent`; "" where nothing does.

    Servers show what they were sent in their own words, or not at all. So only what none of them has a reason to show
    counts: a new job that has results, more inputs, another number of conversions, targets or sources that have nothing
    in common with ours. Aliases of one target begin alike (jpeg, jpg).
    """
    conversions = as_list(created.document.get("conversion"))
    wanted = as_list(sent.get("conversion"))
    if created.status == StatusCode.COMPLETED or created.outputs:
        return "it has results"
    if len(created.inputs) > len(as_list(sent.get("input"))):
        return "it has inputs that were not sent"
    if conversions and len(conversions) != len(wanted):
        return "it has other conversions than were sent"
    if _have_nothing_in_common(_initials(conversions), _initials(wanted)):
        return "it converts into something else"
    if _have_nothing_in_common(_sources(created.document), _sources(sent)):
        return "it has other sources than were sent"
    return ""


def _have_nothing_in_common(shown: set[str], sent: set[str]) -> bool:
    return bool(shown and sent) and shown.isdisjoint(sent)


def _initials(conversions: list[Json]) -> set[str]:
    return {as_text(as_object(row).get("target")).strip().lower()[:1] for row in conversions} - {""}


def _sources(document: JsonObject) -> set[str]:
    """What the files of the remote inputs are called; nothing where one has a name that may be written in several
    ways."""
    rows = [as_object(entry) for entry in as_list(document.get("input"))]
    urls = [as_text(row.get("source")) for row in rows if row.get("type", "remote") == "remote"]
    names = {url.partition("?")[0].partition("#")[0].rpartition("/")[2] for url in urls}
    return names if all(_PLAIN.fullmatch(name) for name in names) else set()


_PLAIN = re.compile(r"[A-Za-z0-9._-]+")


def late_upload_options(entry: JsonObject) -> JsonObject:
    """Options of an uploaded input: the upload itself can't carry them, a PATCH does."""
    return as_object(entry.get("options"))


def _first_upload(inputs: list[JsonObject]) -> int:
    return next((index for index, entry in enumerate(inputs) if entry.get("type") == "upload"), len(inputs))


_OURS = frozenset({"sha256", "revision", "identity", "revalidate"})


def _as_sent(entry: JsonObject) -> JsonObject:
    """Without what is ours alone."""
    return {name: value for name, value in entry.items() if name not in _OURS}
