"""A folded state as one line of JSON, kept beside the events so that nobody has to fold a million of them."""

from __future__ import annotations

from typing import Any

import orjson

from runner.state import DeliveredFile, Delivery, KeyState, OutputRecord, Stage, StagedUpload
from runner.wire.values import JsonObject


def write_state(state: KeyState) -> str:
    return orjson.dumps(state, default=_plain).decode()


def read_state(text: str | bytes) -> KeyState:
    document: JsonObject = orjson.loads(text)
    document["stage"] = Stage(document["stage"])
    document["addresses"] = frozenset(document["addresses"])
    document["errors"] = tuple(document["errors"])
    document["outputs"] = tuple(OutputRecord(**row) for row in document["outputs"])
    document["uploads"] = tuple(StagedUpload(**row) for row in document["uploads"])
    document["deliveries"] = {at: _delivery(row) for at, row in document["deliveries"].items()}
    return KeyState(**document)


def _delivery(row: JsonObject) -> Delivery:
    return Delivery(save=row["save"], files=tuple(DeliveredFile(**each) for each in row["files"]))


def _plain(value: Any) -> Any:
    if isinstance(value, frozenset):
        return sorted(value)
    raise TypeError(f"{type(value).__name__} is not JSON")
