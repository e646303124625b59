"""Whether the endpoint keeps to what "never buys twice" rests on: asked with one job that is never started."""

from __future__ import annotations

import hashlib
import secrets
import tempfile
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from runner.cli.endpoint import ChosenEndpoint
from runner.cli.reach import open_api
from runner.client.api import ConversionApi
from runner.client.errors import GoneError
from runner.client.transfer import Transfer
from runner.errors import RunnerError, counted
from runner.wire.job import Job
from runner.wire.values import Json, JsonObject, folded_id

SAMPLE = b"conversion-runner looks at checksums\n"
SAMPLE_JOB: JsonObject = {"conversion": [{"target": "png"}]}
LISTED = "the list shows all jobs"
CHECKSUM = "checksums are MD5"
IDEMPOTENCY = "Idempotency-Key is honoured"
DELETED = "unstarted jobs can be deleted"


@dataclass(frozen=True, slots=True)
class Finding:
    """`verdict`: ok, missing (can be had), wrong (mend it), unknown (can't be told for free)."""

    what: str
    verdict: str
    said: str

    def as_json(self) -> Mapping[str, Json]:
        return {"what": self.what, "verdict": self.verdict, "said": self.said}


async def ask_endpoint(chosen: ChosenEndpoint) -> list[Finding]:
    """The assumptions, one by one; an answer that doesn't come says nothing about the others.

    What was made for it is deleted again, whatever happens.
    """
    try:
        async with open_api(chosen) as api:
            token = secrets.token_hex(16)
            job = await api.create_job(SAMPLE_JOB, idempotency_key=token)
            made = [job]
            try:
                told = [
                    Finding("endpoint answers", "ok", "the key is good"),
                    _is_free(job),
                    await _told(LISTED, _is_listed(api, job)),
                    await _told(CHECKSUM, _checksum(api, job)),
                    await _told(IDEMPOTENCY, _idempotency(api, token, made)),
                ]
            finally:
                refused = [words for one in made if (words := await _delete(api, one))]
            told.append(await _told(DELETED, _is_deleted(api, job, refused)))
            return [*told, SECOND_START, OUTPUTS]
    except RunnerError as error:
        return [Finding("endpoint answers", "wrong", str(error))]


async def _told(what: str, question: Awaitable[Finding]) -> Finding:
    try:
        return await question
    except RunnerError as error:  # AuthenticationError, too: the key was good enough to make a job
        return Finding(what, "unknown", str(error))


async def _delete(api: ConversionApi, job: Job) -> str:
    """What the server said against it."""
    try:
        await api.delete_job(job.id)
    except RunnerError as error:
        return str(error)
    return ""


def _is_free(job: Job) -> Finding:
    what = "an unstarted job is free"
    if not job.is_unstarted:
        return Finding(what, "wrong", f"a job with process:false is '{job.status}' at once")
    if job.spent:
        return Finding(what, "wrong", f"it cost {counted(job.spent, 'credit')}")
    if job.spent is None:
        return Finding(what, "unknown", f"it is '{job.status}', and the API doesn't say what it cost")
    return Finding(what, "ok", f"it is '{job.status}' and cost nothing")


async def _is_listed(api: ConversionApi, job: Job) -> Finding:
    listed = await api.jobs()
    if any(folded_id(one.id) == folded_id(job.id) for one in listed.jobs):
        return Finding(LISTED, "ok", "one look serves all who wait")
    return Finding(LISTED, "unknown", "not the unstarted ones; what isn't listed is asked for singly")


async def _checksum(api: ConversionApi, job: Job) -> Finding:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "sample.txt"
        path.write_bytes(SAMPLE)
        await Transfer(api=api).upload(job, path, filename=path.name, size_bytes=len(SAMPLE))
    inputs = (await api.job(job.id)).inputs
    shown = inputs[-1].checksum.lower() if inputs else ""
    if shown == hashlib.md5(SAMPLE, usedforsecurity=False).hexdigest():
        return Finding(CHECKSUM, "ok", "uploads and downloads are compared")
    return Finding(CHECKSUM, "unknown", f"it shows {shown or 'none'}; sizes are compared alone")


async def _idempotency(api: ConversionApi, token: str, made: list[Job]) -> Finding:
    """`made` holds what the token made so far, and what it makes now."""
    again = await api.create_job(SAMPLE_JOB, idempotency_key=token)
    if again.id == made[0].id:
        return Finding(IDEMPOTENCY, "ok", "the same job came back; nothing here relies on it")
    made.append(again)
    return Finding(IDEMPOTENCY, "unknown", "a second job was made; nothing here relies on it")


async def _is_deleted(api: ConversionApi, job: Job, refused: Sequence[str]) -> Finding:
    try:
        left = await api.job(job.id)
    except GoneError:
        return Finding(DELETED, "ok", "it is gone")
    if left.ended:
        return Finding(DELETED, "ok", f"it is '{left.status}'")
    why = f"{refused[0]}; it" if refused else "it"
    return Finding(DELETED, "unknown", f"{why} is '{left.status}', free, and stays until the server forgets it")


SECOND_START = Finding("a second start answers 409", "unknown", "can't be told without buying; 200 would do as well")
OUTPUTS = Finding("outputs show with the end", "unknown", "can't be told without buying; late ones are waited for")
