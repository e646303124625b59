"""A folded state as one line of JSON, kept beside the events so that nobody has to fold a million of them.

What it holds is part of the log's format: MIGRATIONS says what else goes with a change.
"""

from __future__ import annotations

import gc
from collections.abc import Iterable, Iterator
from typing import Any

import orjson

from runner.runlog.unknown import newer, unknown_fields
from runner.state import DeliveredFile, Delivery, KeyState, OutputRecord, Stage, StagedUpload
from runner.wire.values import JsonObject


def write_state(state: KeyState) -> str:
    return orjson.dumps(state, default=_plain).decode()


def read_state(text: str | bytes) -> KeyState:
    """Raises LogNewer for what this runner doesn't know."""
    try:
        return _state(orjson.loads(text))
    except (LookupError, TypeError) as error:
        # Only now: this runs for every key of the log.
        for what in _unknown(orjson.loads(text)):
            raise newer(what) from error
        raise


def _state(document: JsonObject) -> KeyState:
    document["stage"] = _STAGES[document["stage"]]
    document["addresses"] = frozenset(document["addresses"])
    document["errors"] = tuple(document["errors"])
    # Lists first: a tuple of a generator costs twice as much, and this runs for every key of the log.
    document["outputs"] = tuple([OutputRecord(**row) for row in document["outputs"]])
    document["uploads"] = tuple([StagedUpload(**row) for row in document["uploads"]])
    document["deliveries"] = {at: _delivery(row) for at, row in document["deliveries"].items()}
    return KeyState(**document)


def read_states(rows: Iterable[tuple[str, str]]) -> dict[str, KeyState]:
    """Many of them, by key. The collector is kept from walking again and again what nobody has let go of."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        return {key: read_state(text) for key, text in rows}
    finally:
        if was_on:
            gc.enable()


def _delivery(row: JsonObject) -> Delivery:
    row["files"] = tuple([DeliveredFile(**each) for each in row["files"]])
    row["earlier"] = tuple([DeliveredFile(**each) for each in row.get("earlier", ())])
    return Delivery(**row)


def _unknown(document: JsonObject) -> Iterator[str]:
    """What of a state this runner doesn't know, in the words of an error."""
    if document["stage"] not in _STAGES:
        yield f"the stage {document['stage']}"
    parts: list[tuple[type, JsonObject]] = [(KeyState, document)]
    parts += [(OutputRecord, row) for row in document["outputs"]]
    parts += [(StagedUpload, row) for row in document["uploads"]]
    for delivery in document["deliveries"].values():
        parts += [(Delivery, delivery), *((DeliveredFile, row) for row in delivery["files"])]
        parts += [(DeliveredFile, row) for row in delivery.get("earlier", ())]
    for kind, row in parts:
        yield from (f"field {name} of {kind.__name__}" for name in unknown_fields(kind, row))


_STAGES = {stage.value: stage for stage in Stage}


def _plain(value: Any) -> Any:
    if isinstance(value, frozenset):
        return sorted(value)
    raise TypeError(f"{type(value).__name__} is not JSON")
