"""Files of jobs that ended are kept for a day; then their outputs say `expired` and the bytes go.

A job that nobody started for as long is canceled: its uploads would stay for ever.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from runner.server.jobs.ids import id_at
from runner.server.jobs.lifecycle import STAGED, Phase
from runner.server.jobs.record import Job
from runner.server.jobs.staging import given_up
from runner.server.store.blobs import Blobs
from runner.server.store.jobs import JobStore

_MOST_REST_S = 600.0
_LEAST_REST_S = 0.5

_log = logging.getLogger(__name__)


async def keep_retention(jobs: JobStore, blobs: Blobs, *, retention_s: float) -> None:
    """One round, and the wait for the next: expire what is old enough."""
    now = time.time()
    while await expire(jobs, blobs, now=now):
        now = time.time()
    await cancel_forgotten(jobs, before=time.time() - retention_s)
    await asyncio.to_thread(blobs.remove_scraps, older_than_s=retention_s)
    await asyncio.sleep(_rest_s(jobs, swept=now, retention_s=retention_s))


def _rest_s(jobs: JobStore, *, swept: float, retention_s: float) -> float:
    """Until the next files are to go: nobody may have them from then on, and others may need their room.

    What ends meanwhile is kept for `retention_s`, so nothing can be due before that is over. What was due when it was
    `swept` and is still there can't be cleaned up: it is tried again with others.
    """
    due = jobs.next_expiry(swept)
    until_due = _MOST_REST_S if due is None else due - time.time()
    return max(_LEAST_REST_S, min(_MOST_REST_S, retention_s, until_due))


async def expire(jobs: JobStore, blobs: Blobs, *, now: float) -> int:
    """Expire some of the jobs whose time is over; how many it could, the rest is in the log."""
    done = 0
    for job_id in jobs.expired(now):
        with _on_its_own(job_id):
            await jobs.change(job_id, _without_files)
            await jobs.forget_files(job_id)
            await asyncio.to_thread(blobs.remove_job, job_id)
            done += 1
    return done


async def cancel_forgotten(jobs: JobStore, *, before: float) -> int:
    """Cancel some of the jobs made before that moment and never started; how many these were."""
    canceled = 0
    for job_id in jobs.forgotten(id_at(before)):
        with _on_its_own(job_id):
            job = await jobs.change(job_id, _unstarted_given_up)
            canceled += job.phase is Phase.CANCELED
    return canceled


@contextmanager
def _on_its_own(job_id: str) -> Iterator[None]:
    """One job that can't be cleaned up must not keep the others' files."""
    try:
        yield
    except Exception:  # noqa: BLE001  # whatever it is about this one
        _log.exception("job %s: its files could not be cleaned up", job_id)


def _unstarted_given_up(job: Job) -> Job:
    return given_up(job) if job.phase in STAGED else job


def _without_files(job: Job) -> Job:
    outputs = tuple(
        replace(one, status="expired") if one.status in ("enabled", "overuse") else one for one in job.outputs
    )
    return job if outputs == job.outputs else replace(job, outputs=outputs)
