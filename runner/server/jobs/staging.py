"""What a job still lacks, and whether that is enough to go on. Pure: a job in, a job out."""

from __future__ import annotations

from dataclasses import replace

from runner.server.answers import conflict
from runner.server.config import Contract
from runner.server.jobs.lifecycle import RUNNING, STAGED, STATUS, Event, Phase, follow
from runner.server.jobs.limits import check_at_start
from runner.server.jobs.output_targets import closed_targets
from runner.server.jobs.record import Conversion, Input, Job


def settle(job: Job) -> Job:
    """`job` with the phase that follows from its parts."""
    phase = settled_phase(job.phase, job.inputs, job.conversions, process=job.process)
    return job if phase is job.phase else replace(job, phase=phase)


def settle_within(job: Job, contract: Contract) -> Job:
    """As `settle`; raises 402 when that starts a job that has more than its limits allow."""
    settled = settle(job)
    if job.phase in STAGED and settled.phase in RUNNING:
        check_at_start(settled, contract)
    return settled


def settled_phase(
    phase: Phase, inputs: tuple[Input, ...], conversions: tuple[Conversion, ...], *, process: bool
) -> Phase:
    """What follows from a job's parts; one that is to be processed starts as soon as it can.

    Uploads come before the start, however long they take: what is fetched has an end, and they perhaps haven't.
    """
    fetching = any(one.status == "downloading" for one in inputs)
    if phase is Phase.FETCHING:
        return phase if fetching else follow(phase, Event.SETTLES)
    if phase not in STAGED:
        return phase
    if not conversions or not inputs:
        return follow(phase, Event.LACKS)
    phase = follow(phase, Event.FETCHES if fetching else Event.SETTLES)
    return follow(phase, Event.START) if process and not any(map(is_arriving, inputs)) else phase


def is_arriving(entry: Input) -> bool:
    """Whether `entry` is an upload of which some chunks have come: who sends them says when it is whole."""
    return entry.type == "upload" and entry.status == "downloading"


def given_up(job: Job) -> Job:
    """`job` canceled, and whatever of it was still on its way."""
    inputs = tuple(replace(one, status="canceled") if one.status == "downloading" else one for one in job.inputs)
    targets = closed_targets(job.conversions)
    return replace(job, phase=follow(job.phase, Event.CANCEL), inputs=inputs, conversions=targets, steps=())


def require_staged(job: Job, what: str) -> None:
    """Raises 409 when `job` has started: what is being converted can't be changed any more."""
    if job.phase not in STAGED:
        raise conflict(f"{what} can't be changed: the job is {STATUS[job.phase]}")
