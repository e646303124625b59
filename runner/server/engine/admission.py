"""Inputs that need no network are taken in while the request waits: base64, and files of other jobs.

Inputs of providers that this server doesn't serve are accepted and fail afterwards, as the API does it.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from http import HTTPStatus
from pathlib import Path

from runner.server.answers import ApiError, invalid
from runner.server.config import Contract
from runner.server.engine.arrivals import arrived, lost, shown_name
from runner.server.jobs.ids import new_id
from runner.server.jobs.limits import max_input_bytes, too_large
from runner.server.jobs.record import Input, Job
from runner.server.storage.places import refusal
from runner.server.storage.protocol import FAILED
from runner.server.store.blobs import Blobs
from runner.server.store.jobs import JobStore
from runner.server.web.capture import ENGINES as PAGE_ENGINES
from runner.server.web.capture import HOW_TO_GET_IT, chromium
from runner.wire.values import JsonObject

_SHOWN_SOURCE = 64


@dataclass(frozen=True, kw_only=True, slots=True)
class Asker:
    """Whose files may be used; `only_job` is set where a token asks."""

    account: str
    only_job: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Desk:
    """What admission needs to know of: the jobs, the files, and what the contract allows."""

    jobs: JobStore
    blobs: Blobs
    contract: Contract


class _Unfit(Exception):
    """A field of an input can't be; the message says why."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


async def admit(
    desk: Desk, job_id: str, inputs: tuple[Input, ...], *, at: str, limits: JsonObject, asks: Asker
) -> tuple[Input, ...]:
    """`inputs` with everything done that needs no network.

    at  the place of the inputs in the request: "input." or nothing

    Raises ApiError 400 with every problem, and keeps nothing then.
    """
    most = max_input_bytes(limits, desk.contract)
    admitted: list[Input] = []
    problems: dict[str, str] = {}
    try:
        for number, entry in enumerate(inputs):
            try:
                admitted.append(await _admitted(desk, job_id, entry, most, asks))
            except _Unfit as unfit:
                problems[f"{at}{number}.{unfit.field}"] = str(unfit)
        if problems:
            raise invalid(problems)
    except BaseException:
        turn_out(desk.blobs, admitted)
        raise
    return tuple(admitted)


async def _admitted(desk: Desk, job_id: str, entry: Input, most: int, asks: Asker) -> Input:
    if entry.type == "base64":
        return await asyncio.to_thread(_decoded, desk.blobs, job_id, entry, most)
    if entry.type in ("input_id", "output"):
        return _copied(desk, job_id, entry, asks)
    return _judged(entry)


def turn_out(blobs: Blobs, admitted: Iterable[Input]) -> None:
    """Remove the files of inputs that come into no job after all."""
    for entry in admitted:
        if entry.blob:
            blobs.remove(entry.blob)


def new_input_blob(job_id: str) -> str:
    return f"{job_id}/in-{new_id()}"


def _judged(entry: Input) -> Input:
    if entry.type == "upload":
        raise _Unfit("type", "'upload' isn't sent here: POST the file to {server}/upload-file/{job id}")
    if entry.type == "remote" and entry.engine in PAGE_ENGINES and not chromium():
        return lost(entry, 501, f"The engine '{entry.engine}' needs {HOW_TO_GET_IT}")
    if entry.type == "remote" and entry.engine not in ("auto", "file", *PAGE_ENGINES):
        engines = ", ".join(["auto", "file", *(sorted(PAGE_ENGINES) if chromium() else ())])
        return lost(entry, 501, f"This server doesn't have the engine '{entry.engine}'; it has {engines}")
    if entry.type in ("cloud", "gdrive_picker"):
        refused = refusal(entry.source if entry.type == "cloud" else entry.type)
        return lost(entry, FAILED, refused) if refused else entry
    return entry


def _decoded(blobs: Blobs, job_id: str, entry: Input, most: int) -> Input:
    text = entry.source
    if text.startswith("data:"):
        text = text.partition(",")[2]
    try:
        content = base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError):
        raise _Unfit("source", "is not base64") from None
    shown = replace(entry, source=entry.source[:_SHOWN_SOURCE])
    if len(content) > most:
        return lost(shown, 413, too_large(most))
    written = blobs.scratch(new_id())
    try:
        written.write_bytes(content)
        taken = arrived(shown, written, size=len(content), checksum=blobs.checksum(written), own_name="")
        return keep_input(blobs, job_id, taken, written)
    except OSError as error:
        message = f"The server could not store the file: {error.strerror or error}"
        raise ApiError(HTTPStatus.INSUFFICIENT_STORAGE, message) from error
    finally:
        written.unlink(missing_ok=True)


def keep_input(blobs: Blobs, job_id: str, entry: Input, written: Path) -> Input:
    """`entry` with `written` as its file, durable and under a name of its own."""
    kept = replace(entry, blob=new_input_blob(job_id))
    blobs.keep(written, kept.blob)
    return kept


def _copied(desk: Desk, job_id: str, entry: Input, asks: Asker) -> Input:
    owner = desk.jobs.job_of_part(entry.source)
    if owner is None or owner.account != asks.account or asks.only_job not in (None, owner.id):
        return lost(entry, 404, f"There is no {_WHAT[entry.type]} with the id '{entry.source[:_SHOWN_SOURCE]}'")
    known = _known_input(owner, entry) if entry.type == "input_id" else _known_output(owner, entry)
    if desk.jobs.is_expired(owner.id, time.time()):  # and not swept away yet
        known = None
    if known is None or not desk.blobs.path(known.blob).is_file():
        return lost(entry, 404, f"The file of {_WHAT[entry.type]} '{entry.source}' isn't there any more")
    own = replace(known, blob=new_input_blob(job_id))
    desk.blobs.share(known.blob, own.blob)
    return own


_WHAT = {"input_id": "input", "output": "output"}


def _known_input(owner: Job, entry: Input) -> Input | None:
    source = owner.input(entry.source)
    if source is None or source.status != "ready":
        return None
    return replace(
        entry,
        status="ready",
        original=source.original,
        filename=shown_name(entry.filename, source.filename, source.kind),
        size=source.size,
        checksum=source.checksum,
        content_type=source.content_type,
        kind=source.kind,
        metadata=source.metadata,
        blob=source.blob,
    )


def _known_output(owner: Job, entry: Input) -> Input | None:
    source = owner.output(entry.source)
    if source is None or source.status != "enabled":
        return None
    kind = Path(source.filename).suffix.removeprefix(".").lower()
    return replace(
        entry,
        status="ready",
        original=source.filename,
        filename=shown_name(entry.filename, source.filename, kind),
        size=source.size,
        checksum=source.checksum,
        content_type=source.content_type,
        kind=kind,
        blob=source.blob,
    )
