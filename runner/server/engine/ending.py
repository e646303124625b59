"""How a job ends: what stops it before it begins, what it publishes, and what it is charged."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

from runner.server.engine.cloud_inputs import LOST_CREDENTIALS, LOST_CREDENTIALS_MESSAGE
from runner.server.engine.delivery import target_errors
from runner.server.engine.steps import (
    Parcel,
    named,
    output_of,
    pack,
    parcels,
    step_errors,
    step_warnings,
    with_facts,
    with_unique_names,
)
from runner.server.jobs.credits import charged
from runner.server.jobs.lifecycle import Event, Phase, follow
from runner.server.jobs.notes import input_errors
from runner.server.jobs.output_targets import closed_targets
from runner.server.jobs.record import Job, Output, Step, StepFile
from runner.server.jobs.vault import Vault
from runner.server.store.blobs import Blobs
from runner.wire.names import unique_names
from runner.wire.values import JsonObject

_NO_INPUT = 404


def must_fail(job: Job, vault: Vault) -> list[JsonObject]:
    """Why a job can't even begin; nothing of it costs anything. Empty: it can."""
    failed = input_errors(job)
    if failed and (job.fail_on_input_error or not any(one.status == "ready" for one in job.inputs)):
        return failed
    return _lost_credentials(job, vault) or target_errors(job, vault)


def ended_badly(job: Job, errors: Sequence[JsonObject]) -> Job:
    """`job` failed, without outputs and without cost."""
    if job.phase is not Phase.PROCESSING:
        return job
    phase = follow(job.phase, Event.FAIL)
    return replace(
        job,
        phase=phase,
        errors=tuple(errors),
        outputs=(),
        steps=(),
        spent=0,
        conversions=closed_targets(job.conversions),
    )


def ended_well(job: Job, steps: Sequence[Step], outputs: Sequence[Output]) -> Job:
    """`job` completed: what went wrong on the way are warnings, what was made is charged."""
    if job.phase is not Phase.PROCESSING:
        return job
    return replace(
        job,
        phase=follow(job.phase, Event.SUCCEED),
        steps=tuple(steps),
        outputs=tuple(outputs),
        inputs=with_facts(job.inputs, steps),
        conversions=closed_targets(job.conversions),
        warnings=(*input_errors(job), *step_errors(steps), *step_warnings(steps)),
        spent=charged(steps),
    )


def has_to_pack(job: Job, steps: Iterable[Step]) -> bool:
    return any(parcel.packed for parcel in parcels(job, steps))


def published(job: Job, steps: Iterable[Step], blobs: Blobs) -> tuple[Output, ...]:
    """The outputs of a job, packed where they have to be; in a thread where it has to pack."""
    now = time.time()
    outputs: list[Output] = []
    for parcel in parcels(job, steps):
        if parcel.packed:
            outputs.append(_packed(job, parcel, blobs, now))
        else:
            outputs += [output_of(parcel.conversion, file, inputs, now=now) for file, inputs in parcel.files]
    return with_unique_names(outputs)


def _packed(job: Job, parcel: Parcel, blobs: Blobs, now: float) -> Output:
    scratch = blobs.scratch(f"{parcel.conversion.id}.zip")
    try:
        archive = _archive(job, parcel, blobs, scratch)
    finally:
        blobs.discard(scratch)
    inputs = dict.fromkeys(one for _, made_from in parcel.files for one in made_from)
    return output_of(parcel.conversion, archive, tuple(inputs), now=now)


def _archive(job: Job, parcel: Parcel, blobs: Blobs, scratch: Path) -> StepFile:
    names = unique_names(file.filename for file, _ in parcel.files)
    blobs.reserve(scratch, sum(file.size for file, _ in parcel.files))
    pack(((blobs.path(file.blob), name) for (file, _), name in zip(parcel.files, names, strict=True)), scratch)
    archive = StepFile(
        blob=f"{job.id}/zip-{parcel.conversion.id}",
        filename=_archive_name(job, parcel),
        size=scratch.stat().st_size,
        checksum=blobs.checksum(scratch),
        content_type="application/zip",
    )
    blobs.keep(scratch, archive.blob)
    return archive


def _archive_name(job: Job, parcel: Parcel) -> str:
    """After the first input, since its files may be called after its pages."""
    file, made_from = parcel.files[0]
    names = {one.id: one.filename for one in job.inputs}
    stem = PurePosixPath(names.get(made_from[0]) or file.filename).stem
    return named(parcel.conversion, f"{stem}.zip")


def _lost_credentials(job: Job, vault: Vault) -> list[JsonObject]:
    parts = [("input", one.id, one.sealed) for one in job.inputs]
    parts += [("conversion", one.id, one.sealed) for one in job.conversions]
    return [
        {
            "source": source,
            "id_source": part_id,
            "code": LOST_CREDENTIALS,
            "message": LOST_CREDENTIALS_MESSAGE,
        }
        for source, part_id, sealed in parts
        if sealed and vault.get(job.id, part_id) is None
    ]
