"""A job as the store keeps it. Frozen: a change makes a new record.

Secrets are not in here: passwords of downloads are hashed, `sealed` marks what only the vault holds.
"""

from __future__ import annotations

from dataclasses import field
from datetime import UTC, datetime
from functools import lru_cache

import orjson

from runner.server.jobs.lifecycle import Phase
from runner.wire.records import record
from runner.wire.values import JsonObject


@record
class Input:
    """`filename` is what is shown (a suggestion wins), `original` the file's own name; `kind` is sniffed.

    error   why it failed, with `code`; None while it hasn't
    blob    its file in the blob store; every arrival has a new one, so that a replaced file is never half there
    """

    id: str
    type: str
    source: str
    status: str
    engine: str = "auto"
    filename: str = ""
    original: str = ""
    size: int = 0
    checksum: str = ""
    content_type: str = ""
    kind: str = ""
    options: JsonObject = field(default_factory=dict)
    parameters: JsonObject = field(default_factory=dict)
    metadata: JsonObject = field(default_factory=dict)
    sealed: bool = False
    error: JsonObject | None = None
    blob: str = ""
    created_at: str = ""
    modified_at: str = ""


@record
class Conversion:
    """`given` holds the options as the client wrote them, `options` all of the target's with defaults."""

    id: str
    target: str
    category: str
    category_given: bool
    given: JsonObject
    options: JsonObject
    metadata: JsonObject = field(default_factory=dict)
    output_target: tuple[JsonObject, ...] = ()
    password: str = ""
    sealed: bool = False


@record
class StepFile:
    """One file that a step made; `blob` names it in the blob store."""

    blob: str
    filename: str
    size: int
    checksum: str
    content_type: str
    metadata: JsonObject = field(default_factory=dict)


@record
class Step:
    """One conversion of one input (or of all, where they are merged) that ended well or badly.

    skipped  it never ran, because a limit was reached
    facts    what it saw of its inputs, in their order
    warnings what its files lack of what was asked for, though it ended well
    """

    conversion: str
    inputs: tuple[str, ...]
    credits: int
    wall_s: float
    files: tuple[StepFile, ...] = ()
    error: JsonObject | None = None
    skipped: bool = False
    facts: tuple[JsonObject, ...] = ()
    warnings: tuple[JsonObject, ...] = ()
    ended_at: str = ""

    @property
    def name(self) -> tuple[str, tuple[str, ...]]:
        return self.conversion, self.inputs


@record
class Output:
    """`downloads` and `in_parts` (bytes) count what was sent, as `downloads.py` has it."""

    id: str
    conversion: str
    inputs: tuple[str, ...]
    blob: str
    filename: str
    size: int
    checksum: str
    content_type: str
    created_at: str
    status: str = "enabled"
    downloads: int = 0
    in_parts: int = 0
    password: str = ""
    metadata: JsonObject = field(default_factory=dict)


Moment = tuple[str, str]  # a status and when it began


@record
class Job:
    """`passwords` are hashes; `history` says when it came into each status; times are as the API writes them.

    key_id         the account's key that made it, for statistics
    self_starting  made with `process: true` and never staged since; records of earlier versions don't say
    """

    id: str
    token: str
    account: str
    created_at: str
    modified_at: str
    key_id: str = ""
    phase: Phase = Phase.STAGED_INCOMPLETE
    process: bool = True
    self_starting: bool = False
    fail_on_input_error: bool = True
    fail_on_conversion_error: bool = True
    notify_status: bool = False
    callback: str = ""
    limits: JsonObject = field(default_factory=dict)
    inputs: tuple[Input, ...] = ()
    conversions: tuple[Conversion, ...] = ()
    steps: tuple[Step, ...] = ()
    outputs: tuple[Output, ...] = ()
    errors: tuple[JsonObject, ...] = ()
    warnings: tuple[JsonObject, ...] = ()
    passwords: tuple[str, ...] = ()
    spent: int = 0
    history: tuple[Moment, ...] = ()

    def input(self, input_id: str) -> Input | None:
        return next((one for one in self.inputs if one.id == input_id), None)

    def conversion(self, conversion_id: str) -> Conversion | None:
        return next((one for one in self.conversions if one.id == conversion_id), None)

    def output(self, output_id: str) -> Output | None:
        return next((one for one in self.outputs if one.id == output_id), None)


def timestamp(now: float) -> str:
    """`now` as the API writes it: UTC, whole seconds, no zone."""
    return _second(int(now))


@lru_cache(maxsize=64)
def _second(now: int) -> str:
    return datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def dump_record(job: Job) -> bytes:
    return orjson.dumps(job)


def load_record(text: bytes) -> Job:
    """The job in `text`, which `dump_record` made."""
    row: JsonObject = orjson.loads(text)
    row["phase"] = Phase(row["phase"])
    row["inputs"] = tuple(Input(**one) for one in row["inputs"])
    row["conversions"] = tuple(_conversion(one) for one in row["conversions"])
    row["steps"] = tuple(_step(one) for one in row["steps"])
    row["outputs"] = tuple(_output(one) for one in row["outputs"])
    for name in ("errors", "warnings", "passwords"):
        row[name] = tuple(row[name])
    row["history"] = tuple((status, at) for status, at in row["history"])
    return Job(**row)


def _conversion(row: JsonObject) -> Conversion:
    return Conversion(**{**row, "output_target": tuple(row["output_target"])})


def _step(row: JsonObject) -> Step:
    files = tuple(StepFile(**one) for one in row["files"])
    lists = {name: tuple(row.get(name, ())) for name in ("inputs", "facts", "warnings")}
    return Step(**{**row, **lists, "files": files})


def _output(row: JsonObject) -> Output:
    return Output(**{**row, "inputs": tuple(row["inputs"])})
