"""A folded state as one line of JSON, kept beside the events so that nobody has to fold a million of them."""

from __future__ import annotations

import gc
from collections.abc import Iterable
from typing import Any

import orjson

from runner.state import DeliveredFile, Delivery, KeyState, OutputRecord, Stage, StagedUpload
from runner.wire.values import JsonObject


def write_state(state: KeyState) -> str:
    return orjson.dumps(state, default=_plain).decode()


def read_state(text: str | bytes) -> KeyState:
    document: JsonObject = orjson.loads(text)
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
    return Delivery(
        save=row["save"],
        files=tuple([DeliveredFile(**each) for each in row["files"]]),
        earlier=tuple([DeliveredFile(**each) for each in row.get("earlier", ())]),
        at=row.get("at", 0.0),
        recipe_file=row.get("recipe_file", ""),
    )


_STAGES = {stage.value: stage for stage in Stage}


def _plain(value: Any) -> Any:
    if isinstance(value, frozenset):
        return sorted(value)
    raise TypeError(f"{type(value).__name__} is not JSON")
