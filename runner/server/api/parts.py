"""Handlers of a job's conversions, inputs and outputs."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from http import HTTPStatus
from pathlib import PurePosixPath
from typing import TypeVar

import orjson
from starlette.requests import Request
from starlette.responses import Response

from runner.server.answers import invalid, json_answer, not_found, raw_json
from runner.server.api.house import House
from runner.server.engine.admission import Asker, admit, turn_out
from runner.server.engine.arrivals import renamed
from runner.server.engine.steps import with_unique_names
from runner.server.jobs.document import conversion_document, input_document, output_document, with_base
from runner.server.jobs.fields import fields_of
from runner.server.jobs.fixed import Secrets
from runner.server.jobs.intake import (
    OutputPatch,
    new_conversions,
    new_inputs,
    output_patch,
    patched_conversion,
    patched_input,
)
from runner.server.jobs.lifecycle import RUNNING
from runner.server.jobs.limits import check_conversion_count, check_input_count, check_patch_count
from runner.server.jobs.record import Conversion, Input, Job, Output
from runner.server.jobs.staging import require_staged, settle, settle_within
from runner.wire.names import clean_name, plain_name
from runner.wire.values import Json, JsonObject, as_list

T = TypeVar("T")


async def list_conversions(house: House, request: Request) -> Response:
    return json_answer([conversion_document(one) for one in house.job(request).conversions])


async def get_conversion(house: House, request: Request) -> Response:
    return json_answer(conversion_document(_conversion(house.job(request), request)))


async def add_conversions(house: House, request: Request) -> Response:
    caller, job_id = house.entered(request)
    body = await house.body(request)
    hashed = await house.hashing.of(body)
    made, credentials = new_conversions(body, presets=house.presets_of(caller), hashed=hashed)

    def edit(job: Job) -> Job:
        require_staged(job, "Its conversions")
        check_conversion_count(len(job.conversions) + len(made))
        _keep(house, job_id, credentials)
        return settle_within(replace(job, conversions=(*job.conversions, *made)), house.config.contract)

    with house.starting(house.job(request)):
        await house.extend(job_id, edit)
    return _like_asked(body, [conversion_document(one) for one in made])


def _keep(house: House, job_id: str, credentials: Mapping[str, JsonObject]) -> None:
    """In an edit, so that nothing of it stays should the edit be refused."""
    for part_id, given in credentials.items():
        house.vault.put(job_id, part_id, given)


async def patch_conversion(house: House, request: Request) -> Response:
    caller, job_id = house.entered(request)
    body = await house.body(request)
    hashed, secrets = await house.hashing.of(body), Secrets(credentials=partial(house.vault.get, job_id))

    def edit(job: Job) -> Job:
        known, presets = _conversion(job, request), house.presets_of(caller)
        patched = patched_conversion(known, body, presets=presets, hashed=hashed, secrets=secrets)
        require_staged(job, "The conversion")
        return replace(job, conversions=_replaced(job.conversions, patched, lambda one: one.id))

    job = await house.extend(job_id, edit)
    return json_answer(conversion_document(_conversion(job, request)))


async def delete_conversion(house: House, request: Request) -> Response:
    _, job_id = house.entered(request)

    def edit(job: Job) -> Job:
        gone = _conversion(job, request)
        require_staged(job, "The conversion")
        return settle(replace(job, conversions=tuple(one for one in job.conversions if one.id != gone.id)))

    await house.jobs.change(job_id, edit)
    return Response(status_code=HTTPStatus.NO_CONTENT)


async def list_inputs(house: House, request: Request) -> Response:
    return json_answer([input_document(one) for one in house.job(request).inputs])


async def get_input(house: House, request: Request) -> Response:
    return json_answer(input_document(_input(house.job(request), request)))


async def add_inputs(house: House, request: Request) -> Response:
    caller, job_id = house.entered(request)
    body = await house.body(request)
    check_input_count(len(as_list(body)), {}, house.config.contract)  # before anything is made of them
    made, credentials = new_inputs(body, now=time.time())
    job = house.job(request)
    require_staged(job, "Its inputs")
    check_input_count(len(job.inputs) + len(made), job.limits, house.config.contract)
    asks = Asker(account=caller.account, only_job=caller.only_job)
    admitted = await admit(house.desk, job_id, tuple(made), at="", limits=job.limits, asks=asks)

    def edit(now: Job) -> Job:
        require_staged(now, "Its inputs")
        check_input_count(len(now.inputs) + len(made), now.limits, house.config.contract)
        _keep(house, job_id, credentials)
        return settle_within(replace(now, inputs=(*now.inputs, *admitted)), house.config.contract)

    try:
        with house.starting(house.job(request)):
            await house.extend(job_id, edit)
    except Exception:  # not when the request goes away: then the change may become durable without us
        turn_out(house.blobs, admitted)
        raise
    return _like_asked(body, [input_document(one) for one in admitted])


async def patch_input(house: House, request: Request) -> Response:
    _, job_id = house.entered(request)
    body = await house.body(request)

    def edit(job: Job) -> Job:
        entry = _input(job, request)
        require_staged(job, "The input")
        return settle(_with_patched_input(house, job, entry, body))

    job = await house.extend(job_id, edit)
    return json_answer(input_document(_input(job, request)))


async def patch_inputs(house: House, request: Request) -> Response:
    """An array of `{id, options}`: all of them, or none when one of the ids is wrong."""
    _, job_id = house.entered(request)
    body = await house.body(request)
    check_patch_count(len(as_list(body)), house.config.contract)
    problems: dict[str, str] = {}
    patches = fields_of(body, "", problems)

    def edit(job: Job) -> Job:
        require_staged(job, "Its inputs")
        for patch in patches:
            entry = job.input(patch.text("id"))
            if entry is None:
                patch.wrong("id", "is no input of this job")
            else:
                job = _with_patched_input(house, job, entry, dict(patch.items()))
        if problems:
            raise invalid(problems)
        return settle(job)

    job = await house.extend(job_id, edit)
    return json_answer([input_document(one) for one in job.inputs])


def _with_patched_input(house: House, job: Job, entry: Input, body: Json) -> Job:
    patched, credentials = patched_input(entry, body, now=time.time())
    _keep(house, job.id, {entry.id: credentials})
    return replace(job, inputs=_replaced(job.inputs, renamed(patched, entry), lambda one: one.id))


async def delete_input(house: House, request: Request) -> Response:
    _, job_id = house.entered(request)
    blobs: list[str] = []

    def edit(job: Job) -> Job:
        gone = _input(job, request)
        require_staged(job, "The input")
        blobs.append(gone.blob)
        return settle_within(_without(job, gone), house.config.contract)

    before = house.job(request)
    starts = settle(_without(before, _input(before, request))).phase in RUNNING  # nothing else was missing
    with house.starting(before) if starts else nullcontext():
        job = await house.jobs.change(job_id, edit)
    for blob in filter(None, blobs):
        house.blobs.remove(blob)
    if job.input(request.path_params["file_id"]) is None:
        house.blobs.remove_parts(f"{job_id}.{request.path_params['file_id']}")
    return Response(status_code=HTTPStatus.NO_CONTENT)


def _without(job: Job, gone: Input) -> Job:
    return replace(job, inputs=tuple(one for one in job.inputs if one.id != gone.id))


async def list_outputs(house: House, request: Request) -> Response:
    """All outputs, or those of `?conversion_id=` or made from `?input_id=`."""
    conversion, made_from = request.query_params.get("conversion_id"), request.query_params.get("input_id")
    return _outputs(
        house,
        request,
        [
            output_document(one)
            for one in house.job(request).outputs
            if conversion in (None, "", one.conversion) and (not made_from or made_from in one.inputs)
        ],
    )


async def get_output(house: House, request: Request) -> Response:
    return _outputs(house, request, output_document(_output(house.job(request), request)))


async def patch_output(house: House, request: Request) -> Response:
    _, job_id = house.entered(request)
    patch = await _output_patch(house, request)
    job = await house.jobs.change(job_id, lambda job: _with_patched_outputs(job, (_output(job, request).id,), patch))
    return _outputs(house, request, output_document(_output(job, request)))


async def patch_outputs(house: House, request: Request) -> Response:
    _, job_id = house.entered(request)
    patch = await _output_patch(house, request)
    job = await house.jobs.change(
        job_id, lambda job: _with_patched_outputs(job, tuple(one.id for one in job.outputs), patch)
    )
    return _outputs(house, request, [output_document(one) for one in job.outputs])


async def _output_patch(house: House, request: Request) -> OutputPatch:
    body = await house.body(request)
    return output_patch(body, hashed=await house.hashing.of(body))


async def delete_output(house: House, request: Request) -> Response:
    """Removes the file; the output stays in the list as `disabled`, and downloads of it answer 410."""
    _, job_id = house.entered(request)

    def edit(job: Job) -> Job:
        gone = replace(_output(job, request), status="disabled")
        return replace(job, outputs=_replaced(job.outputs, gone, lambda one: one.id))

    job = await house.jobs.change(job_id, edit)
    house.blobs.remove(_output(job, request).blob)
    return Response(status_code=HTTPStatus.NO_CONTENT)


def _with_patched_outputs(job: Job, ids: tuple[str, ...], patch: OutputPatch) -> Job:
    patched = [_patched_output(one, patch) if one.id in ids else one for one in job.outputs]
    return replace(job, outputs=with_unique_names(patched))


def _patched_output(output: Output, patch: OutputPatch) -> Output:
    output = replace(output, filename=_renamed(output.filename, patch.name))
    return output if patch.password is None else replace(output, password=patch.password)


def _renamed(filename: str, name: str) -> str:
    """`filename` as `name` says it, with its own extension: whether `name` has that one, too, is all the same."""
    extension = PurePosixPath(filename).suffix
    wanted = PurePosixPath(plain_name(name))
    stem = clean_name(wanted.stem if wanted.suffix.lower() == extension.lower() else wanted.name)
    return stem + extension if stem else filename


def _conversion(job: Job, request: Request) -> Conversion:
    found = job.conversion(request.path_params["conversion_id"])
    if found is None:
        raise not_found("conversion")
    return found


def _input(job: Job, request: Request) -> Input:
    found = job.input(request.path_params["file_id"])
    if found is None:
        raise not_found("input")
    return found


def _output(job: Job, request: Request) -> Output:
    found = job.output(request.path_params["file_id"])
    if found is None:
        raise not_found("output")
    return found


def _replaced(parts: tuple[T, ...], new: T, name: Callable[[T], str]) -> tuple[T, ...]:
    return tuple(new if name(one) == name(new) else one for one in parts)


def _like_asked(body: Json, made: list[JsonObject]) -> Response:
    """An array answers an array, an object an object."""
    return json_answer(made if isinstance(body, list) else made[0], 201)


def _outputs(house: House, request: Request, content: Json) -> Response:
    return raw_json(with_base(orjson.dumps(content), house.base_of(request)))
