"""Whether the endpoint keeps to what "never buys twice" rests on: asked with one job that is never started."""

from __future__ import annotations

import hashlib
import secrets
import tempfile
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from runner.cli.endpoint import ChosenEndpoint
from runner.cli.reach import open_api
from runner.client.api import ConversionApi
from runner.client.errors import ApiError, GoneError
from runner.client.transfer import Transfer
from runner.errors import RunnerError, counted
from runner.wire.job import Job
from runner.wire.values import Json

SAMPLE = b"conversion-runner looks at checksums\n"


@dataclass(frozen=True, slots=True)
class Finding:
    """`verdict`: ok, missing (can be had), wrong (mend it), unknown (can't be told for free)."""

    what: str
    verdict: str
    said: str

    def as_json(self) -> Mapping[str, Json]:
        return {"what": self.what, "verdict": self.verdict, "said": self.said}


async def ask_endpoint(chosen: ChosenEndpoint) -> list[Finding]:
    """The assumptions, one by one. The job that is made for it is deleted again, whatever happens."""
    try:
        async with open_api(chosen) as api:
            return [finding async for finding in _ask(api)]
    except RunnerError as error:
        return [Finding("endpoint answers", "wrong", str(error))]


async def _ask(api: ConversionApi) -> AsyncIterator[Finding]:
    token = secrets.token_hex(16)
    job = await api.create_job({"conversion": [{"target": "png"}]}, idempotency_key=token)
    yield Finding("endpoint answers", "ok", "the key is good")
    try:
        yield _is_free(job)
        yield await _is_listed(api, job)
        yield await _checksum(api, job)
        yield await _idempotency(api, job, token)
    finally:
        await api.delete_job(job.id)
    yield await _is_deleted(api, job)
    yield Finding("a second start answers 409", "unknown", "can't be told without buying; 200 would do as well")


def _is_free(job: Job) -> Finding:
    what = "an unstarted job is free"
    if not job.is_unstarted:
        return Finding(what, "wrong", f"a job with process:false is '{job.status}' at once")
    if job.spent:
        return Finding(what, "wrong", f"it cost {counted(job.spent, 'credit')}")
    return Finding(what, "ok", f"it is '{job.status}' and cost nothing")


async def _is_listed(api: ConversionApi, job: Job) -> Finding:
    listed = await api.jobs()
    if any(one.id == job.id for one in listed.jobs):
        return Finding("the list shows all jobs", "ok", "one look serves all who wait")
    return Finding(
        "the list shows all jobs", "unknown", "not the unstarted ones; what isn't listed is asked for singly"
    )


async def _checksum(api: ConversionApi, job: Job) -> Finding:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "sample.txt"
        path.write_bytes(SAMPLE)
        await Transfer(api=api).upload(job, path, filename=path.name, size_bytes=len(SAMPLE))
    inputs = (await api.job(job.id)).inputs
    shown = inputs[-1].checksum.lower() if inputs else ""
    if shown == hashlib.md5(SAMPLE, usedforsecurity=False).hexdigest():
        return Finding("checksums are MD5", "ok", "uploads and downloads are compared")
    return Finding("checksums are MD5", "unknown", f"it shows {shown or 'none'}; sizes are compared alone")


async def _idempotency(api: ConversionApi, job: Job, token: str) -> Finding:
    what = "Idempotency-Key is honoured"
    try:
        again = await api.create_job({"conversion": [{"target": "png"}]}, idempotency_key=token)
    except ApiError as error:
        return Finding(what, "unknown", str(error))
    if again.id == job.id:
        return Finding(what, "ok", "the same job came back; nothing here relies on it")
    await api.delete_job(again.id)
    return Finding(what, "unknown", "a second job was made; nothing here relies on it")


async def _is_deleted(api: ConversionApi, job: Job) -> Finding:
    what = "unstarted jobs can be deleted"
    try:
        left = await api.job(job.id)
    except GoneError:
        return Finding(what, "ok", "it is gone")
    return Finding(what, "ok" if left.ended else "wrong", f"it is '{left.status}'")
