"""A job as a client reads it: the parts we act on, read tolerantly; unknown fields stay in `document`."""

from __future__ import annotations

from dataclasses import dataclass

from runner.wire.status import FETCHING, UNSTARTED, is_terminal
from runner.wire.values import Json, JsonObject, as_count, as_credits, as_id, as_int, as_list, as_object, as_text
from runner.wire.words import texts_in, words_in


@dataclass(frozen=True, kw_only=True, slots=True)
class UserError:
    """An entry of `errors` or `warnings`: `source` is "input" or "conversion", `id_source` its id."""

    source: str
    id_source: str
    code: int
    message: str


@dataclass(frozen=True, kw_only=True, slots=True)
class JobInput:
    id: str
    type: str
    status: str
    filename: str
    size_bytes: int
    checksum: str


@dataclass(frozen=True, kw_only=True, slots=True)
class JobOutput:
    """A file the API made. `checksum` is the MD5 in hex as far as anyone has seen, or empty."""

    id: str
    filename: str
    uri: str
    size_bytes: int
    checksum: str
    status: str
    conversion: str
    inputs: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """`status` is in small letters, and empty where the API shows none that can be read; `spent` is None where the API
    doesn't say it, or says what nobody can read."""

    id: str
    token: str
    status: str
    info: str
    server: str
    spent: int | None
    errors: tuple[UserError, ...]
    warnings: tuple[UserError, ...]
    outputs: tuple[JobOutput, ...]
    document: JsonObject

    @property
    def inputs(self) -> tuple[JobInput, ...]:
        return tuple(read_input(row) for row in as_list(self.document.get("input")))

    @property
    def ended(self) -> bool:
        return is_terminal(self.status)

    @property
    def is_unstarted(self) -> bool:
        """Whether it still waits for its start, as far as it shows."""
        return self.status in UNSTARTED or (self.status in FETCHING and self.document.get("process") is False)


def read_job(document: Json) -> Job:
    """The job in `document`, as `GET /jobs/{id}` answers it. Never raises: what is missing is empty."""
    job = as_object(document)
    status = as_object(job.get("status"))
    return Job(
        id=as_id(job.get("id")),
        token=as_text(job.get("token")),
        status=code_of(job).lower(),
        info=as_text(status.get("info")),
        server=as_text(job.get("server")),
        spent=as_credits(job.get("spent")),
        errors=tuple(_error(row) for row in as_list(job.get("errors"))),
        warnings=tuple(_error(row) for row in as_list(job.get("warnings"))),
        outputs=tuple(_output(row) for row in as_list(job.get("output"))),
        document=job,
    )


def code_of(document: JsonObject) -> str:
    """The status as it is written; "" where there is none."""
    return as_text(as_object(document.get("status")).get("code")).strip()


def _error(row: Json) -> UserError:
    error = as_object(row)
    said = words_in(row) if "message" in error or "code" in error else texts_in(row)
    return UserError(
        source=as_text(error.get("source")),
        id_source=as_text(error.get("id_source", error.get("idSource"))),
        code=as_int(error.get("code")),
        message="; ".join(said),
    )


def read_input(row: Json) -> JobInput:
    """An input as its job shows it, or as the answer to its upload does."""
    entry = as_object(row)
    return JobInput(
        id=_input_id(entry),
        type=as_text(entry.get("type")),
        status=as_text(entry.get("status")),
        filename=as_text(entry.get("filename")),
        size_bytes=as_count(entry.get("size")),
        checksum=as_text(entry.get("checksum") or entry.get("hash")),
    )


def _input_id(entry: JsonObject) -> str:
    """An upload is answered with `{"id": {"job": ..., "input": ...}}`."""
    shown = entry.get("id")
    return as_id(as_object(shown).get("input")) if isinstance(shown, dict) else as_id(shown)


def _output(row: Json) -> JobOutput:
    entry = as_object(row)
    source = as_object(entry.get("source"))
    return JobOutput(
        id=as_id(entry.get("id")),
        filename=as_text(entry.get("filename") or entry.get("name")),
        uri=as_text(entry.get("uri")),
        size_bytes=as_count(entry.get("size")),
        checksum=as_text(entry.get("checksum") or entry.get("hash")),
        status=as_text(entry.get("status")),
        conversion=as_id(source.get("conversion")),
        inputs=tuple(as_id(one) for one in as_list(source.get("input"))),
    )
