"""Is a job really gone? Asked before anything is called lost or bought again, for a single 404 proves little.

A proxy that is being restarted, another server at the same address and a mistyped base path all say 404 too.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from runner.client.api import ConversionApi
from runner.client.errors import ApiUnreachableError, GoneError, OutcomeUnknownError
from runner.wire.job import Job
from runner.wire.status import StatusCode

SECOND_LOOK_S = 1.0


async def find_job(api: ConversionApi, job_id: str, *, sleep: Callable[[float], Awaitable[None]]) -> Job | None:
    """The job, or None where the server denies it twice and is the API otherwise.

    Raises ApiUnreachableError where what answers isn't the API, and what the client raises.
    """
    try:
        return await _job(api, job_id)
    except GoneError:
        await sleep(SECOND_LOOK_S)
    try:
        return await _job(api, job_id)
    except GoneError as error:
        await _require_api(api, error)
        return None


async def _job(api: ConversionApi, job_id: str) -> Job:
    job = await api.job(job_id)
    if job.id != job_id:
        raise OutcomeUnknownError(f"GET /jobs/{job_id}: the answer is not this job")
    return job


async def _require_api(api: ConversionApi, denied: GoneError) -> None:
    """Raise unless a call that needs no job is answered for our key: the list, or the contract where there is none."""
    for ask in (api.jobs, api.contracts):
        try:
            await ask()
        except GoneError:
            continue
        return
    raise ApiUnreachableError(
        f"{denied}; nor does it know any other call of the API",
        hint="check API2CONVERT_BASE_URL: the job may be there all the same",
    )


def is_void(job: Job) -> bool:
    """Canceled, and cost nothing: no purchase. Where its cost isn't said, it was none if it was never started."""
    was_free = job.spent == 0 or (job.spent is None and job.document.get("process") is False)
    return job.status == StatusCode.CANCELED and was_free
