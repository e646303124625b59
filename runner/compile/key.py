"""Keys: when are two jobs the same work?

A job is skipped when the run log says its key is done. So a key covers what changes the result (sources,
targets, options) and leaves out what doesn't: the values of credentials, where results are saved, limits,
comments. Rotating a password must not convert everything again. ARCHITECTURE.md has the table.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import rfc8785

from runner.wire.secrets import OPTIONS_WITH_SECRETS, PLACEHOLDER
from runner.wire.values import Json, JsonObject, as_list, as_object

# Raise this when the rules below change; events written under the old rules no longer match.
SCHEME = "k1"


def job_key(
    payload: JsonObject,
    *,
    digests: Mapping[int, str],
    revisions: Mapping[int, str] | None = None,
    endpoint: str,
    epoch: int,
) -> str:
    """Name the work in `payload`: "k1:" and 64 hex digits, the same on every machine.

    digests    sha256 in hex of each uploaded input, by its index
    revisions  which version of it is meant, of inputs where that is known
    The order of options is irrelevant; the order of inputs and conversions counts.

    Source: RFC 8785 (JSON canonicalization).
    """
    work: JsonObject = {
        "endpoint": endpoint,
        "epoch": epoch,
        "input": [
            _input(as_object(entry), digests.get(index), (revisions or {}).get(index))
            for index, entry in enumerate(as_list(payload.get("input")))
        ],
        "conversion": [_conversion(as_object(entry)) for entry in as_list(payload.get("conversion"))],
    }
    return f"{SCHEME}:{hashlib.sha256(rfc8785.dumps(work)).hexdigest()}"


def _input(entry: JsonObject, digest: str | None, revision: str | None) -> JsonObject:
    kind = entry.get("type", "remote")
    work: JsonObject = {
        "type": kind,
        "engine": entry.get("engine"),
        "options": _without_secrets(as_object(entry.get("options"))),
        "filename": entry.get("filename"),
    }
    if revision:
        work["revision"] = revision
    if kind == "upload":
        return work | {"sha256": digest}
    if kind == "cloud":
        return work | {"source": entry.get("source"), "parameters": as_object(entry.get("parameters"))}
    return work | {"source": entry.get("identity", entry.get("source"))}


def _conversion(entry: JsonObject) -> JsonObject:
    return {
        "category": entry.get("category"),
        "target": entry.get("target"),
        "options": _without_secrets(as_object(entry.get("options"))),
        "metadata": as_object(entry.get("metadata")),
        "output_target": [
            {"type": as_object(one).get("type"), "parameters": as_object(as_object(one).get("parameters"))}
            for one in as_list(entry.get("output_target"))
        ],
    }


def _without_secrets(options: JsonObject) -> JsonObject:
    if OPTIONS_WITH_SECRETS.isdisjoint(options):
        return options
    masked: Json = PLACEHOLDER
    return {name: masked if name in OPTIONS_WITH_SECRETS else value for name, value in options.items()}
