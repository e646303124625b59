"""Handlers of `/jobs` and `/jobs/{job_id}`."""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import Response

from runner.server.answers import ApiError, conflict, invalid, json_answer, not_found, raw_json
from runner.server.api.access import Caller
from runner.server.api.bodies import parse, read_body
from runner.server.api.heads import header
from runner.server.api.house import House
from runner.server.api.paging import page_number
from runner.server.engine.admission import Asker, admit
from runner.server.jobs.document import with_base
from runner.server.jobs.fixed import Secrets, passwords_to_compare
from runner.server.jobs.intake import Intake, asks_to_start, has_settings, new_job, patched_job, rotates_passwords
from runner.server.jobs.lifecycle import ENDED, RUNNING, STAGED, STATUS, Phase
from runner.server.jobs.limits import check_at_start, check_input_count
from runner.server.jobs.record import Job
from runner.server.jobs.staging import given_up, require_staged, settle_within, settled_phase
from runner.server.store.job_rows import Repeat
from runner.wire.headers import IDEMPOTENCY_KEY, TOTAL_COUNT
from runner.wire.status import INFO, StatusCode
from runner.wire.values import as_list

_IDEMPOTENCY_KEY = IDEMPOTENCY_KEY.lower().encode()
_STATUSES = [{"code": code, "info": INFO[code]} for code in StatusCode]


async def list_jobs(house: House, request: Request) -> Response:
    caller = house.door.caller(request)
    if caller.only_job is not None:
        return _only(house, request, caller.only_job)
    status = request.query_params.get("status") or None
    documents, total = house.jobs.page(caller.account, status, page_number(request))
    if not total and house.config.assumptions.list != "all":
        return Response(status_code=HTTPStatus.NO_CONTENT)
    listed = b"[" + with_base(b",".join(documents), house.base_of(request)) + b"]"
    return raw_json(listed, headers={TOTAL_COUNT: str(total)})


def _only(house: House, request: Request, job_id: str) -> Response:
    held = house.jobs.held(job_id)
    first = page_number(request) == 1 and held is not None
    listed = with_base(held.document, house.base_of(request)) if first and held else b""
    return raw_json(b"[" + listed + b"]", headers={TOTAL_COUNT: "1"})


async def create_job(house: House, request: Request) -> Response:
    caller = house.door.account_caller(request)
    body = await read_body(request, house.config.max_json_bytes)
    idempotency = _idempotency(house, request, caller, body)
    if idempotency and (known := house.jobs.used(caller.account, idempotency[0])):
        return _repeated(house, request, caller, body, known)
    await house.purse.open(caller.account)
    house.purse.require_credit(caller.account)
    given = parse(body)
    if isinstance(given, dict) and "input" in given:  # before any is made
        check_input_count(len(as_list(given["input"])), {}, house.config.contract)
    hashed = await house.hashing.of_body(body, given)
    presets = house.presets_of(caller)
    intake = new_job(
        given, account=caller.account, key_id=caller.key_id, now=time.time(), presets=presets, hashed=hashed
    )
    if intake.job.inputs:
        check_input_count(len(intake.job.inputs), intake.job.limits, house.config.contract)
    stored = await _stored(house, caller, intake, idempotency)
    if isinstance(stored, Repeat):
        return _repeated(house, request, caller, body, stored)
    return raw_json(with_base(stored, house.base_of(request)), 201, house.purse.headers(caller.account))


async def _stored(
    house: House, caller: Caller, intake: Intake, idempotency: tuple[str, bytes] | None
) -> bytes | Repeat:
    """Take the inputs in and write the job; where that can't be, or it was done before, nothing of it is left."""
    job, kept = intake.job, False
    try:
        for part_id, secret in intake.credentials.items():
            house.vault.put(job.id, part_id, secret)
        if job.inputs:
            job = await _admitted(house, caller, job)
        with house.purse.place(job.account) if job.process else nullcontext():
            kept = True  # should we be cancelled from here on, the store goes on without us
            stored = await house.jobs.create(job, idempotency=idempotency)
        kept = not isinstance(stored, Repeat)
        return stored
    except Exception:
        kept = False
        raise
    finally:
        if not kept:
            house.vault.wipe(job.id)
            house.blobs.remove_job(job.id)


async def _admitted(house: House, caller: Caller, job: Job) -> Job:
    asks = Asker(account=caller.account, only_job=None)
    inputs = await admit(house.desk, job.id, job.inputs, at="input.", limits=job.limits, asks=asks)
    phase = settled_phase(Phase.STAGED_INCOMPLETE, inputs, job.conversions, process=job.process)
    admitted = replace(job, inputs=inputs, phase=phase, history=((STATUS[phase], job.created_at),))
    if phase in RUNNING:
        check_at_start(admitted, house.config.contract)
    return admitted


def _idempotency(house: House, request: Request, caller: Caller, body: bytes) -> tuple[str, bytes] | None:
    key = header(request, _IDEMPOTENCY_KEY) if house.config.assumptions.idempotency == "honoured" else ""
    if not key:
        return None
    if len(key) > 255:
        raise invalid({IDEMPOTENCY_KEY: "must have at most 255 characters"})
    return key, house.vault.mark_of_body(caller.account, body)


def _repeated(house: House, request: Request, caller: Caller, body: bytes, repeat: Repeat) -> Response:
    if not hmac.compare_digest(repeat.body_mac, house.vault.mark_of_body(caller.account, body)):
        raise conflict("This Idempotency-Key was used with another body; a new job needs a new key")
    held = house.jobs.held(repeat.job_id)
    if held is None:
        raise not_found("job")
    return raw_json(with_base(held.document, house.base_of(request)), 201)


async def get_job(house: House, request: Request) -> Response:
    _, held = house.door.held(request, request.path_params["job_id"])
    return raw_json(with_base(held.document, house.base_of(request)))


async def patch_job(house: House, request: Request) -> Response:
    caller, job_id = house.entered(request)
    body = await house.body(request)
    start = asks_to_start(body)
    only_start = start and not has_settings(body)
    hashed = await house.hashing.of(body)
    passwords = await house.hashing.belonging(passwords_to_compare(house.job(request), body))
    secrets = Secrets(credentials=partial(house.vault.get, job_id), passwords=passwords)
    repetition = house.config.assumptions.second_start if only_start else "409"

    def edit(job: Job) -> Job:
        if only_start and job.self_starting and job.phase is not Phase.CANCELED:
            patched_job(job, body, hashed=hashed, secrets=secrets)  # refuses what else the request may name
            return job
        if repetition != "409" and (job.process or job.phase not in STAGED):
            return _started_before(job, repetition)
        if not rotates_passwords(body):
            require_staged(job, "The job")
        if only_start and job.process:  # else it is a document that says what it is already
            raise conflict("The job is to be processed already; it starts when nothing is missing any more")
        if start and not job.process and not house.incoming.are_known(job):
            raise conflict("A file is still being uploaded to the job: start it when that upload has been answered")
        return settle_within(patched_job(job, body, hashed=hashed, secrets=secrets), house.config.contract)

    before = house.job(request)
    with house.starting(replace(before, process=start and not before.process)):
        change = house.extend if has_settings(body) else house.jobs.change  # a start is never refused for its size
        job = await change(job_id, edit)
    return _document(house, request, job, 200, house.purse.headers(caller.account))


def _started_before(job: Job, answer: str) -> Job:
    """The job as it is, or the refusal that somebody who starts twice perhaps gets."""
    if answer == "200":
        return job
    raise ApiError(HTTPStatus(int(answer)), "The job can't be started (a rehearsed answer to a second start)")


async def delete_job(house: House, request: Request) -> Response:
    """Cancels; a job that is canceled already stays so, which makes it safe to ask twice."""
    _, job_id = house.entered(request)

    def edit(job: Job) -> Job:
        if job.phase is Phase.CANCELED:
            return job
        if job.phase in STAGED and house.config.assumptions.delete_unstarted == "409":
            raise conflict("The job can't be canceled: it was not started")
        if job.phase in ENDED:
            raise conflict(f"The job can't be canceled: it is {STATUS[job.phase]}")
        return given_up(job)

    await house.jobs.change(job_id, edit)
    return Response(status_code=HTTPStatus.NO_CONTENT)


async def job_history(house: House, request: Request) -> Response:
    job = house.job(request)
    return json_answer(
        [
            {"id": f"{job.id}-{number}", "status": status, "info": INFO[StatusCode(status)], "created_at": at}
            for number, (status, at) in enumerate(house.jobs.history(job), start=1)
        ]
    )


async def job_threads(house: House, request: Request) -> Response:
    """What the job's conversions did: one entry for each that ended."""
    job = house.job(request)
    return json_answer(
        [
            {
                "hash": hashlib.sha256(repr(step.name).encode()).hexdigest()[:32],
                "status": 1 if step.error else 0,
                "info": step.error["message"] if step.error else f"{len(step.files)} files",
                "exec_time": round(step.wall_s),
                "created_at": step.ended_at,
                "modified_at": step.ended_at,
            }
            for step in job.steps
        ]
    )


async def statuses(house: House, request: Request) -> Response:  # noqa: ARG001  # every handler has one shape
    return json_answer(_STATUSES)


def _document(house: House, request: Request, job: Job, status: int, headers: Mapping[str, str]) -> Response:
    return raw_json(with_base(house.jobs.render(job), house.base_of(request)), status, headers)
