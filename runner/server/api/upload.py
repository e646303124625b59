"""`POST {server}/upload-file/{job_id}`: a file becomes an input.

The answer is the input as `GET .../input` shows it, with a plain `id`: what today's SDKs read. (Older programs
were seen reading `id.job` and `id.input`; one answer can't be both, and the newer form wins.)

With `x-oc-upload-uuid` an upload can be repeated: the id of the input follows from it, so that the second
one replaces the first, or, once the job has started, is answered as the first was if the bytes are the same.
Chunks have one id together. From the first on they are an input that is `downloading`, and a job doesn't start before
that is whole, or deleted.
"""

from __future__ import annotations

import asyncio
import re
import time
import uuid
from dataclasses import replace
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import TypeGuard

from starlette.requests import Request
from starlette.responses import Response

from runner.server.answers import ApiError, conflict, invalid, json_answer
from runner.server.api.house import House
from runner.server.api.multipart import Received, receive
from runner.server.engine.admission import keep_input
from runner.server.engine.arrivals import arrived, shown_name
from runner.server.jobs.document import input_document
from runner.server.jobs.ids import new_id
from runner.server.jobs.lifecycle import STAGED
from runner.server.jobs.limits import check_input_count, max_input_bytes, too_large
from runner.server.jobs.record import Input, Job, timestamp
from runner.server.jobs.staging import is_arriving, require_staged, settle, settle_within
from runner.server.store.blobs import PART
from runner.server.store.checksums import Digest, new_digest
from runner.server.store.chunks import Chunk, add_chunk, forget_chunks, other_totals
from runner.wire.headers import UPLOAD_ID
from runner.wire.names import clean_name

_CONTENT_RANGE = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18})\Z")
_MOST_UPLOAD_ID = 255
_COMPARED = 1024 * 1024


async def upload_file(house: House, request: Request) -> Response:
    _, job_id = house.entered(request)
    job = house.job(request)
    entry = _new_input(job_id, request)
    if not _is_whole(job.input(entry.id)):  # a repeated upload may still be answered after the start
        require_staged(job, "Its inputs")
    if job.input(entry.id) is None:
        check_input_count(len(job.inputs) + 1, job.limits, house.config.contract)
    chunk = _chunk(request)
    with house.starting(job), house.incoming.upload(job_id, entry.id):
        taken = await (_one_chunk(house, request, job, entry, chunk) if chunk else _whole(house, request, job, entry))
    return json_answer(input_document(taken))


def _new_input(job_id: str, request: Request) -> Input:
    given = request.headers.get(UPLOAD_ID, "").strip()
    if len(given) > _MOST_UPLOAD_ID:
        raise invalid({UPLOAD_ID: f"must have at most {_MOST_UPLOAD_ID} characters"})
    at = timestamp(time.time())
    return Input(
        id=_id_of_upload(job_id, given) if given else new_id(),
        type="upload",
        source=given,
        status="downloading",
        created_at=at,
        modified_at=at,
    )


def _is_whole(known: Input | None) -> TypeGuard[Input]:
    return known is not None and bool(known.blob)


def _id_of_upload(job_id: str, upload_id: str) -> str:
    return str(uuid.uuid5(uuid.UUID(job_id), upload_id))


def _chunk(request: Request) -> Chunk | None:
    header = request.headers.get("content-range")
    if header is None:
        return None
    found = _CONTENT_RANGE.match(header.strip())
    if found is None:
        raise invalid({"Content-Range": "must be 'bytes FIRST-LAST/TOTAL'"})
    chunk = Chunk(first=int(found[1]), last=int(found[2]), total=int(found[3]))
    if not chunk.first <= chunk.last < chunk.total:
        raise invalid({"Content-Range": "must have FIRST <= LAST < TOTAL"})
    if not request.headers.get(UPLOAD_ID, "").strip():
        raise invalid({UPLOAD_ID: "is missing: it says which chunks belong together"})
    return chunk


async def _whole(house: House, request: Request, job: Job, entry: Input) -> Input:
    scratch = house.blobs.scratch(new_id())
    try:
        house.blobs.reserve(scratch, _announced(request))
        most = max_input_bytes(job.limits, house.config.contract)
        got = await _received(house, request, scratch, most, house.blobs.digest())
        taken = await asyncio.to_thread(_kept, house, job.id, entry, scratch, got)
    except OSError as error:
        raise storage_full(error) from error
    finally:
        house.blobs.discard(scratch)
    accepted = await _accepted(house, job.id, taken, got.decrypt_password)
    if is_arriving(job.input(entry.id) or taken):
        house.blobs.remove_parts(f"{job.id}.{entry.id}")  # the chunks that it took the place of
    return accepted


async def _received(house: House, request: Request, scratch: Path, most: int, digest: Digest) -> Received:
    return await receive(
        request,
        scratch,
        most=most,
        digest=digest,
        reserve=partial(house.blobs.reserve, scratch),
        silence_s=house.config.upload_silence_s,
    )


def _announced(request: Request) -> int:
    length = request.headers.get("content-length", "")
    return int(length) if length.isdigit() else 0


async def _one_chunk(house: House, request: Request, job: Job, entry: Input, chunk: Chunk) -> Input:
    """A chunk arrives in a file of its own, and joins the others when it is whole and nobody else of them does.

    So a repetition, or one that breaks off, never writes into what another request is completing.
    """
    most, size = max_input_bytes(job.limits, house.config.contract), chunk.last - chunk.first + 1
    if chunk.total > most:
        raise ApiError(HTTPStatus.PAYMENT_REQUIRED, too_large(most))
    scratch, collected = house.blobs.scratch(new_id()), _collected(house, job.id, entry, chunk)
    try:
        if not _is_whole(job.input(entry.id)):
            house.blobs.require_room(chunk.total - _size_of(collected))
        house.blobs.reserve(scratch, size)
        got = await _received(house, request, scratch, most, new_digest("none"))
        if got.size != size:
            raise invalid({"Content-Range": f"announces other than the {got.size} bytes that came"})
        async with house.uploads.turn(entry.id):
            return await _joined(house, job.id, entry, chunk, scratch, got)
    except FileNotFoundError as error:
        raise conflict("The files of this job were removed meanwhile") from error
    except OSError as error:
        raise storage_full(error) from error
    finally:
        house.blobs.discard(scratch)


def _collected(house: House, job_id: str, entry: Input, chunk: Chunk) -> Path:
    return _collected_of(house, job_id, entry, chunk.total)


def _collected_of(house: House, job_id: str, entry: Input, total: int) -> Path:
    return house.blobs.scratch(f"{job_id}.{entry.id}.{total}{PART}")


def _require_one_total(house: House, job_id: str, entry: Input, chunk: Chunk) -> None:
    """Else neither would ever be whole. What was said of a file that was swept away meanwhile doesn't count."""
    for total in other_totals(house.database, job_id, entry.id, chunk.total):
        if _collected_of(house, job_id, entry, total).exists():
            raise conflict(f"Chunks of this upload said that it has {total} bytes in all, and this one {chunk.total}")


def _size_of(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


async def _joined(house: House, job_id: str, entry: Input, chunk: Chunk, part: Path, got: Received) -> Input:
    """The input with this chunk; for who has the turn, since what was known before is looked at again."""
    job = house.jobs.load(job_id)
    known = job.input(entry.id) if job else None
    if _is_whole(known):
        return await _repeated_chunk(house, known, chunk, part)
    _require_one_total(house, job_id, entry, chunk)
    collected = _collected(house, job_id, entry, chunk)
    if not collected.exists():  # what is noted of an earlier file (kept, or swept away) isn't in this one
        await forget_chunks(house.database, job_id, entry.id)
    await asyncio.to_thread(house.blobs.pour, part, collected, chunk.first)
    password = await _password_of_chunks(house, job, entry, got)
    if not await add_chunk(house.database, job_id, entry.id, chunk):
        name = clean_name(got.filename)
        return await _announced_input(house, job_id, replace(entry, filename=name, original=name), collected)
    whole = replace(got, size=chunk.total, checksum=await asyncio.to_thread(house.blobs.checksum, collected))
    whole = replace(whole, decrypt_password=password)
    taken = await asyncio.to_thread(_kept, house, job_id, entry, collected, whole)
    await forget_chunks(house.database, job_id, entry.id)
    return await _accepted(house, job_id, taken, password)


async def _announced_input(house: House, job_id: str, entry: Input, collected: Path) -> Input:
    """The input of which a chunk has come: the job isn't started without the others. Keeps nothing for one that was."""

    def edit(job: Job) -> Job:
        require_staged(job, "Its inputs")
        if job.input(entry.id):
            return job
        check_input_count(len(job.inputs) + 1, job.limits, house.config.contract)
        return settle(replace(job, inputs=(*job.inputs, entry)))

    try:
        job = await house.jobs.change(job_id, edit)
    except ApiError:
        house.blobs.discard(collected)
        raise
    return job.input(entry.id) or entry


async def _password_of_chunks(house: House, job: Job | None, entry: Input, got: Received) -> str:
    """The password that came with one of the chunks: a client may send it with the first alone."""
    if job and job.phase in STAGED and got.decrypt_password:
        house.vault.put(job.id, entry.id, {"decrypt_password": got.decrypt_password})
        await house.jobs.keep_secrets(job.id)
    known = house.vault.get(job.id, entry.id) if job else None
    return str((known or {}).get("decrypt_password", ""))


async def _repeated_chunk(house: House, known: Input, chunk: Chunk, part: Path) -> Input:
    """A chunk of an upload that is complete: good when the bytes are the same."""
    if not await asyncio.to_thread(_is_part, part, house.blobs.path(known.blob), chunk):
        raise conflict(f"This upload is complete, with other bytes; another file needs another {UPLOAD_ID}")
    return known


def _is_part(part: Path, whole: Path, chunk: Chunk) -> bool:
    """In a thread: whether `part` is what `whole` has at the place of `chunk`."""
    if whole.stat().st_size != chunk.total or part.stat().st_size != chunk.last - chunk.first + 1:
        return False
    with part.open("rb") as one, whole.open("rb") as other:
        other.seek(chunk.first)
        while piece := one.read(_COMPARED):
            if piece != other.read(len(piece)):
                return False
    return True


def _kept(house: House, job_id: str, entry: Input, written: Path, got: Received) -> Input:
    """In a thread: what the file is, and the file in its place."""
    taken = arrived(entry, written, size=got.size, checksum=got.checksum, own_name=got.filename)
    named = replace(taken, source=taken.source or taken.filename, sealed=bool(got.decrypt_password))
    return keep_input(house.blobs, job_id, named, written)


async def _accepted(house: House, job_id: str, taken: Input, password: str) -> Input:
    unused: list[str] = []

    def edit(job: Job) -> Job:
        known = job.input(taken.id)
        if job.phase not in STAGED and known is not None and _same_bytes(known, taken):
            unused.append(taken.blob)
            return job
        require_staged(job, "Its inputs")
        if password:
            house.vault.put(job_id, taken.id, {"decrypt_password": password})
        if known is not None:
            unused.extend(filter(None, [known.blob]))
            new = _as_patched(taken, known) if is_arriving(known) else taken
            inputs = tuple(new if one is known else one for one in job.inputs)
            return settle_within(replace(job, inputs=inputs), house.config.contract)
        check_input_count(len(job.inputs) + 1, job.limits, house.config.contract)
        return settle_within(replace(job, inputs=(*job.inputs, taken)), house.config.contract)

    try:
        job = await house.jobs.change(job_id, edit)
    except Exception:  # not when the request goes away: then the change may become durable without us
        house.blobs.remove(taken.blob)
        raise
    for blob in unused:
        house.blobs.remove(blob)
    return job.input(taken.id) or taken


def _as_patched(taken: Input, known: Input) -> Input:
    """`taken` with what was said of it while it came."""
    own = known.filename == known.original
    return replace(
        taken,
        filename=taken.filename if own else shown_name(known.filename, taken.original, taken.kind),
        options=known.options,
        parameters=known.parameters,
        created_at=known.created_at,
    )


def _same_bytes(one: Input, other: Input) -> bool:
    return one.checksum == other.checksum and one.size == other.size


def storage_full(error: OSError) -> ApiError:
    reason = error.strerror or str(error)
    return ApiError(HTTPStatus.INSUFFICIENT_STORAGE, f"The server could not store the file: {reason}")
