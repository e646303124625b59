"""Which version of an input is meant: the object that a listing showed, the page that a web server announced.

Such a revision goes into the key, so that a changed source is new work under the same name. Pure: what was listed
and what was asked come in as values.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

from runner.compile.draft import Draft
from runner.recipe.model import Bucket
from runner.wire.holders import holder_of
from runner.wire.values import Json, JsonObject, as_list, as_object


def asked_name(source: Json) -> str:
    """How a remote source is called in `seen`: a URL, or the reference to a secret one."""
    return source if isinstance(source, str) else json.dumps(source, sort_keys=True)


def to_revalidate(payload: JsonObject) -> Iterator[tuple[int, Json]]:
    """Index and source of every remote input that is to be asked whether it changed."""
    for index, entry in enumerate(map(as_object, as_list(payload.get("input")))):
        if entry.get("revalidate") is True and entry.get("type", "remote") == "remote":
            yield index, entry.get("source")


def revisions_of(payload: JsonObject, draft: Draft, seen: Mapping[str, str]) -> Mapping[int, str]:
    """Revisions of the inputs in `payload`, by index, as far as they are known."""
    bucket = draft.recipe.foreach.bucket if draft.recipe.foreach else None
    if bucket is None and not seen:
        return {}
    found = {index: seen[asked_name(source)] for index, source in to_revalidate(payload) if asked_name(source) in seen}
    if bucket is not None and draft.item.revision:
        for index, entry in enumerate(map(as_object, as_list(payload.get("input")))):
            if _is_the_item(entry, bucket, draft.item.label):
                found[index] = draft.item.revision
    return found


def _is_the_item(entry: JsonObject, bucket: Bucket, name: str) -> bool:
    if entry.get("type") != "cloud" or entry.get("source") != bucket.source:
        return False
    parameters = as_object(entry.get("parameters"))
    is_there = holder_of(bucket.source, parameters) == holder_of(bucket.source, bucket.parameters)
    return is_there and parameters.get("file") == name
