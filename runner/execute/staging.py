"""Which parts of a payload go into the creation of a job, and which follow one by one.

Inputs count in order, and a job numbers them as they arrive. So the creation carries the inputs before the
first upload, and everything from there on is added in turn.
"""

from __future__ import annotations

from runner.wire.values import JsonObject, as_list, as_object


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


def late_upload_options(entry: JsonObject) -> JsonObject:
    """Options of an uploaded input: the upload itself can't carry them, a PATCH does."""
    return as_object(entry.get("options"))


def _first_upload(inputs: list[JsonObject]) -> int:
    return next((index for index, entry in enumerate(inputs) if entry.get("type") == "upload"), len(inputs))


_OURS = frozenset({"sha256", "revision", "identity", "revalidate"})


def _as_sent(entry: JsonObject) -> JsonObject:
    """Without what is ours alone."""
    return {name: value for name, value in entry.items() if name not in _OURS}
