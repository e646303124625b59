"""What the server says was spent, held against what this log knows."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import date
from typing import Any

from runner.cli.endpoint import ChosenEndpoint
from runner.cli.looping import run_async
from runner.cli.reach import open_api
from runner.client.api import ConversionApi
from runner.errors import RunnerError, counted
from runner.report.findings import one_line
from runner.wire.job import Job
from runner.wire.status import is_known
from runner.wire.values import Json, as_int, as_list, as_object, folded_id

MORE = "more: jobs of another log or program, or jobs still running"
MOST_STATUS = 40
LESS = "less: its books lag behind, or are another server's, or were begun anew since"


def booked_by_server(
    chosen: ChosenEndpoint, today: date, *, known: int, under_way: Collection[str]
) -> Mapping[str, Any]:
    """Credits that `/stats` shows for this key today, what `/contracts` says is left, and odd statuses.

    today  in UTC; known  what this log knows of it, at this endpoint and for this key
    under_way  ids of jobs that may have been started and weren't seen to end
    """
    stats, contracts, odd = run_async(_ask(chosen, today, under_way))
    booked = sum(as_int(as_object(row).get("conversion_minutes")) for row in as_list(stats))
    remaining = _remaining(contracts)
    return {
        "day": today.isoformat(),
        "booked": booked,
        "known": known,
        "remaining": remaining,
        "unheard_of": [{"job_id": job.id, "status": job.status} for job in odd],
        "lines": [*_lines(booked, known, remaining), *map(unheard_of, odd)],
    }


def unheard_of(job: Job) -> str:
    return f"job {job.id} is {one_line(job.status[:MOST_STATUS])!r}, a status that this version doesn't know"


async def _ask(chosen: ChosenEndpoint, today: date, under_way: Collection[str]) -> tuple[Json, Json, Sequence[Job]]:
    async with open_api(chosen) as api:
        stats, contracts = await api.stats_of_day(today.isoformat()), await api.contracts()
        return stats, contracts, await _odd_ones(api, under_way) if under_way else ()


async def _odd_ones(api: ConversionApi, under_way: Collection[str]) -> Sequence[Job]:
    """Of the newest jobs: it is one word more, and no reason to fail."""
    try:
        listed = await api.jobs(wanted={folded_id(job_id): job_id for job_id in under_way})
    except RunnerError:
        return ()
    return [job for job in listed.jobs if job.status and not is_known(job.status)]


def _remaining(contracts: Json) -> int | None:
    """Credits left, None for a contract without an end. The API's pages show an object, its schema an array."""
    if isinstance(contracts, Mapping) and "credits_remaining" in contracts:
        return as_int(contracts["credits_remaining"])
    rows = contracts.get("contracts") if isinstance(contracts, Mapping) else contracts
    left = [as_object(row)["credits_remaining"] for row in as_list(rows) if "credits_remaining" in as_object(row)]
    return sum(map(as_int, left)) if left else None


def _lines(booked: int, known: int, remaining: int | None) -> list[str]:
    lines = [f"the server booked {counted(booked, 'credit')} for this key today (UTC), this log knows of {known}"]
    if booked != known:
        lines.append(f"  {booked - known} {MORE}" if booked > known else f"  {known - booked} {LESS}")
    if remaining is not None:
        lines.append(f"{counted(remaining, 'credit')} {'is' if remaining == 1 else 'are'} left")
    return lines
