"""What a job still lacks, and whether that is enough to go on. Pure: a job in, a job out."""

from __future__ import annotations

from dataclasses import replace

from runner.server.answers import conflict
from runner.server.jobs.lifecycle import STAGED, STATUS, Event, Phase, follow
from runner.server.jobs.record import Job

_FIRST_CONTENT = (Phase.STAGED_FETCHING, Phase.STAGED_READY)


def settle(job: Job) -> Job:
    """`job` with the phase that follows from its parts; one that is to be processed starts as soon as it can."""
    if job.phase is Phase.FETCHING:
        return job if _is_fetching(job) else replace(job, phase=follow(job.phase, Event.SETTLES))
    if job.phase not in STAGED:
        return job
    phase = follow(job.phase, _staged_event(job))
    if job.process and phase in _FIRST_CONTENT:
        phase = follow(phase, Event.START)
    return replace(job, phase=phase)


def require_staged(job: Job, what: str) -> None:
    """Raises 409 when `job` has started: what is being converted can't be changed any more."""
    if job.phase not in STAGED:
        raise conflict(f"{what} can't be changed: the job is {STATUS[job.phase]}")


def _staged_event(job: Job) -> Event:
    if not job.conversions or not job.inputs:
        return Event.LACKS
    return Event.FETCHES if _is_fetching(job) else Event.SETTLES


def _is_fetching(job: Job) -> bool:
    return any(one.status == "downloading" for one in job.inputs)
