"""The lines of the run log: one frozen value for every kind, to and from JSON.

A line says what is known from now on; it is written before the step that relies on it. Fields are only ever
added, with a default, so that an old log stays readable, and with a step in MIGRATIONS, so that an old runner leaves a
new log alone. Secrets are references in every payload.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import orjson

from runner.runlog.unknown import made, newer
from runner.state import DeliveredFile, KeyState, OutputRecord, StagedUpload
from runner.wire.records import record
from runner.wire.values import JsonObject


@record
class RunStarted:
    """A run begins. `account` is the fingerprint of the API key, never the key."""

    run_id: str
    endpoint: str
    account: str
    command: str
    recipes: tuple[str, ...]


@record
class NotDone:
    """Addresses that a run didn't get done for one reason: `count` of them, the first of which are named.

    status  what became of them in the report of the run ("blocked", "pending", ...)
    errors  `{"code", "message", "hint"}` each
    """

    status: str
    count: int
    addresses: tuple[str, ...]
    errors: tuple[JsonObject, ...]


@record
class RunEnded:
    """A run ends; `summary` counts its outcomes, `not_done` says why some are none, as far as it has room."""

    run_id: str
    exit_code: int
    summary: Mapping[str, int]
    not_done: tuple[NotDone, ...] = ()


@record
class KeyEvent:
    """What all lines about a key have in common; attempts count from 1."""

    key: str
    attempt: int


@record
class Intent(KeyEvent):
    """We are going to do this work: `payload` is the expanded job document, `cap` its credits at most.

    run_date  what `{run.date}` stands for in the payload ("2026-11-23"), "" in old lines
    endpoint  the one that the key holds, by name, "" in old lines; epoch the recipe's, None in those
    """

    addresses: tuple[str, ...]
    payload: JsonObject
    cap: int | None
    recipe: str
    account: str
    run_date: str = ""
    endpoint: str = ""
    epoch: int | None = None

    @classmethod
    def again(cls, state: KeyState) -> Intent:
        """The intent that `state` came from: back to it, under the same attempt, before its job is deleted.

        The job keeps its name until then.
        """
        return cls(
            key=state.key,
            attempt=state.attempt,
            addresses=tuple(sorted(state.addresses)),
            payload=dict(state.payload),
            cap=state.cap,
            recipe=state.recipe,
            account=state.account,
            run_date=state.run_date,
            endpoint=state.endpoint,
            epoch=state.epoch,
        )


@record
class Created(KeyEvent):
    """An unstarted job is there; it costs nothing."""

    job_id: str


@record
class Abandoned(KeyEvent):
    """An unstarted job of ours was deleted or given up."""

    job_id: str


@record
class Staged(KeyEvent):
    """Every input is there, and what the API shows of it is what we sent."""

    uploads: tuple[StagedUpload, ...]


@record
class Starting(KeyEvent):
    """The commit point: from here on the job may be bought."""

    job_id: str


@record
class Started(KeyEvent):
    """It is bought."""

    job_id: str


@record
class Refused(KeyEvent):
    """The job or its start was definitely refused, so nothing was bought; `until` is when to try again, if known."""

    status: int
    message: str
    until: float | None = None


@record
class Finished(KeyEvent):
    """The job completed; its outputs are on the server for a while."""

    spent: int
    outputs: tuple[OutputRecord, ...]


@record
class Failed(KeyEvent):
    """The job ended without success."""

    spent: int
    errors: tuple[JsonObject, ...]


@record
class Lost(KeyEvent):
    """Bought, or perhaps bought, and gone from the server before its end was seen."""

    reason: str


@record
class Delivered(KeyEvent):
    """`save` is the template that the address asked for, `files` what lies there now.

    recipe_file  the file of the recipe that asked, relative to its project; "" in old lines
    """

    address: str
    save: str
    files: tuple[DeliveredFile, ...]
    recipe_file: str = ""


@record
class DeliveryFailed(KeyEvent):
    """The results are not all at the address yet, and why.

    gone   the server no longer has them, for good
    files  those that lie there all the same; none in old lines
    """

    address: str
    message: str
    gone: bool = False
    files: tuple[DeliveredFile, ...] = ()


Event = (
    RunStarted
    | RunEnded
    | Intent
    | Created
    | Abandoned
    | Staged
    | Starting
    | Started
    | Refused
    | Finished
    | Failed
    | Lost
    | Delivered
    | DeliveryFailed
)

EVENT_TYPES: tuple[type[Event], ...] = (
    RunStarted,
    RunEnded,
    Intent,
    Created,
    Abandoned,
    Staged,
    Starting,
    Started,
    Refused,
    Finished,
    Failed,
    Lost,
    Delivered,
    DeliveryFailed,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredEvent:
    """An event with its place in the log.

    seq     grows with every line; nothing else orders them
    at      seconds since the epoch, for people: clocks may jump
    fence   the number of the lease it was written under, None for lines about a run
    """

    seq: int
    at: float
    run_id: str
    fence: int | None
    event: Event = field(compare=True)


def kind_of(event_type: type[Event]) -> str:
    """The name of a kind in the log: `DeliveryFailed` is "delivery_failed"."""
    return _KIND_OF[event_type]


def event_body(event: Event) -> str:
    """The event's fields as one line of JSON. Raises TypeError for a payload that isn't JSON."""
    return orjson.dumps(event).decode()


def read_event(kind: str, body: str | bytes) -> Event:
    """The event that `event_body` wrote. Raises LogNewer for kinds and fields that this runner doesn't know."""
    if kind not in EVENT_KINDS:
        raise newer(f"the kind of line {kind}")
    event_type: Callable[..., Event] = EVENT_KINDS[kind]
    document: JsonObject = orjson.loads(body)
    return made(event_type, _values(document))


def _values(row: JsonObject) -> JsonObject:
    return {name: _value(name, value) for name, value in row.items()}


def _value(name: str, value: object) -> object:
    if not isinstance(value, list):
        return value
    kind = _RECORDS.get(name)
    return tuple(value) if kind is None else tuple(made(kind, _values(row)) for row in value)


_RECORDS: dict[str, Callable[..., object]] = {
    "not_done": NotDone,
    "outputs": OutputRecord,
    "files": DeliveredFile,
    "uploads": StagedUpload,
}
_KIND_OF: dict[type[Event], str] = {
    each: re.sub(r"(?<=[a-z])(?=[A-Z])", "_", each.__name__).lower() for each in EVENT_TYPES
}
EVENT_KINDS: dict[str, type[Event]] = {name: each for each, name in _KIND_OF.items()}
