"""`runner sweep`: delete unstarted leftovers of this log, and list what else the account has."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import click

from runner.cli.looping import run_async
from runner.cli.options import endpoint_options, format_option
from runner.wire.values import folded_id

if TYPE_CHECKING:
    from runner.cli.endpoint import ChosenEndpoint
    from runner.client.api import ConversionApi
    from runner.runlog import Fence, Leftover, RunLog
    from runner.state import KeyState

MOST_PAGES = 200
LEASE_S = 30.0
RENEWALS = 3  # in the time of one lease
Found = dict[str, list[str]]


@click.command()
@click.argument("recipes", nargs=-1, type=click.Path(path_type=Path))
@endpoint_options
@format_option("text", "json")
@click.option("--dry-run", is_flag=True, help="Only say what would be deleted.")
def sweep(recipes: tuple[Path, ...], endpoint: str | None, state: Path | None, style: str, dry_run: bool) -> None:
    """Delete jobs that killed runs created and never started. They cost nothing, but clutter the account.

    Only jobs whose id is in this run log are deleted; other unstarted jobs of the account are listed and left
    alone. RECIPES only tell where the run log lies; without any, the current folder does.

    Example: runner sweep recipes/ --dry-run

    Exits 0; 3 for a wrong or missing key; 5 when the run log can't be used (--dry-run lists what the account holds
    before it says so); 8 when the endpoint doesn't answer.
    """
    from runner.cli.endpoint import choose_endpoint
    from runner.runlog import LogCorrupt

    chosen = choose_endpoint(recipes or (Path.cwd(),), endpoint=endpoint, state=state)
    try:
        # A log that isn't there has nothing to sweep, and looking makes none.
        with chosen.open_log(read_only=_is_missing(chosen.log_place)) as log:
            chosen.check_against(log)
            ours = [left for left in log.unstarted() if (left.endpoint, left.account) == (chosen.name, chosen.account)]
            found = run_async(_sweep(chosen, log, ours, dry_run=dry_run))
    except LogCorrupt:
        # Whoever thinks of going on without this log has to know what the account holds.
        if dry_run:
            _say(run_async(_foreign(chosen)), style, dry_run=True)
        raise
    _say(found, style, dry_run=dry_run)


def _is_missing(place: Path | str) -> bool:
    """Or can't be seen, of which opening it says more."""
    return isinstance(place, Path) and not os.path.exists(place)  # noqa: PTH110 - Path.exists raises where it can't look


def _say(found: Found, style: str, *, dry_run: bool) -> None:
    if style == "json":
        click.echo(json.dumps(found, indent=2))
    else:
        click.echo(_text(found, dry_run=dry_run), nl=False)


async def _foreign(chosen: ChosenEndpoint) -> Found:
    from runner.cli.reach import open_api

    async with open_api(chosen) as api:
        return {"deleted": [], "held": [], "foreign": sorted((await _unstarted(api)).values()), "gone": []}


async def _sweep(chosen: ChosenEndpoint, log: RunLog, ours: Sequence[Leftover], *, dry_run: bool) -> Found:
    from runner.cli.reach import open_api

    if chosen.embedded and not ours:
        return {"deleted": [], "held": [], "foreign": [], "gone": []}
    async with open_api(chosen) as api:
        listed = await _unstarted(api)
        known = {folded_id(left.job_id) for left in ours}
        foreign = sorted(job_id for folded, job_id in listed.items() if folded not in known)
        there = [left for left in ours if folded_id(left.job_id) in listed]
        async with claimed(log, {left.key for left in ours}) as fences:
            mine = [left for left in ours if left.key in fences and _is_free(left, _state(log, left))]
            found, gone = await _looked_for(api, [left for left in mine if left not in there])
            free = [left for left in mine if left in there or left in found]
            held = [left.job_id for left in ours if left not in free and left not in gone]
            deleted = [left.job_id for left in free]
            if not dry_run and (free or gone):
                deleted = await _delete(api, log, chosen, [*gone, *free], fences)
    held += [left.job_id for left in free if left.job_id not in deleted]
    lost = [left.job_id for left in gone]
    return {
        "deleted": [job_id for job_id in deleted if job_id not in lost],
        "held": held,
        "foreign": foreign,
        "gone": lost,
    }


async def _looked_for(api: ConversionApi, unlisted: Sequence[Leftover]) -> tuple[list[Leftover], list[Leftover]]:
    """Of those that the list doesn't show, which may be all unstarted ones: those that are there and were never
    started, and those that were deleted, by somebody who was killed before the log knew it."""
    from runner.execute.presence import find_job, is_void

    jobs = await asyncio.gather(*(find_job(api, left.job_id, sleep=asyncio.sleep) for left in unlisted))
    looked_for = list(zip(unlisted, jobs, strict=True))
    gone = [left for left, job in looked_for if job is None or is_void(job)]
    return [left for left, job in looked_for if job is not None and job.is_unstarted], gone


async def _unstarted(api: ConversionApi) -> dict[str, str]:
    """Ids of all jobs of the account that were never started, as the list of jobs shows them, by what `folded_id` makes
    of them."""
    found: dict[str, str] = {}
    seen: set[str] = set()
    for page in range(1, MOST_PAGES + 1):
        listed = await api.jobs(page=page)
        new = {folded_id(job.id): job for job in listed.jobs if folded_id(job.id) not in seen}
        found |= {folded: job.id for folded, job in new.items() if job.is_unstarted}
        seen.update(new)
        # Pages may be short, and some lists begin anew behind their end.
        if not new or (listed.count is not None and len(seen) >= listed.count):
            break
    return found


@asynccontextmanager
async def claimed(
    log: RunLog, keys: Collection[str], *, lease_s: float = LEASE_S
) -> AsyncIterator[Mapping[str, Fence]]:
    """Leases on those of `keys` that no run is at work on, renewed for as long as the block lasts."""
    from runner.runlog import Owner

    if not keys:
        yield {}
        return
    fences = await log.claim(keys, Owner.this_process(), ttl_s=lease_s)

    async def renew() -> None:
        while True:
            await asyncio.sleep(lease_s / RENEWALS)
            await log.renew(fences, ttl_s=lease_s)

    renewal = asyncio.create_task(renew())
    try:
        yield fences
    finally:
        renewal.cancel()
        await asyncio.gather(renewal, return_exceptions=True)
        await log.release(fences)


def _state(log: RunLog, left: Leftover) -> KeyState | None:
    return log.states([left.key]).get(left.key)


def _is_current(left: Leftover, state: KeyState | None) -> bool:
    return state is not None and state.job_id == left.job_id


def _is_free(left: Leftover, state: KeyState | None) -> bool:
    """Whether it is not, or not any more, a job that somebody may have started."""
    return state is None or state.job_id != left.job_id or state.stage in _FREE


_FREE = frozenset({"intent", "created", "staged"})


async def _delete(
    api: ConversionApi, log: RunLog, chosen: ChosenEndpoint, free: Sequence[Leftover], fences: Mapping[str, Fence]
) -> list[str]:
    """Delete them, as a run of its own in the log; the ids of those that are gone."""
    from datetime import UTC, datetime

    from runner.client.errors import RefusedError
    from runner.runlog import LeaseLost, RunEnded, RunStarted, new_run_id

    run_id = new_run_id(datetime.now(UTC))
    begun = RunStarted(run_id=run_id, endpoint=chosen.name, account=chosen.account, command="sweep", recipes=())
    await log.append(begun, run_id=run_id)
    deleted: list[str] = []
    for left in free:
        with suppress(RefusedError, LeaseLost):
            await delete_one(api, log, run_id, left, fences[left.key])
            deleted.append(left.job_id)
    await log.append(RunEnded(run_id=run_id, exit_code=0, summary={"deleted": len(deleted)}), run_id=run_id)
    return deleted


async def delete_one(api: ConversionApi, log: RunLog, run_id: str, left: Leftover, fence: Fence) -> None:
    """Raises LeaseLost, before anything is deleted, where a run took the key over; RefusedError by the server."""
    from runner.runlog import Abandoned, Intent

    state = _state(log, left)
    # Should we be suspended here, whoever takes over would start what we delete when we wake up.
    lines = (Intent.again(state),) if state is not None and _is_current(left, state) and state.stage == "staged" else ()
    await log.append(*lines, run_id=run_id, fence=fence)
    await api.delete_job(left.job_id)
    if state is not None and _is_current(left, state):
        await log.append(Abandoned(key=left.key, attempt=state.attempt, job_id=left.job_id), run_id=run_id, fence=fence)


def _text(found: Mapping[str, Sequence[str]], *, dry_run: bool) -> str:
    lines = [f"{'would delete' if dry_run else 'deleted'} {job_id}" for job_id in found["deleted"]]
    lines += [f"left alone {job_id}: a run is at work on it, or it was started" for job_id in found["held"]]
    forgot = "would forget" if dry_run else "forgot"
    lines += [f"{forgot} {job_id}: it was deleted before" for job_id in found["gone"]]
    lines += [f"not ours {job_id}: unstarted, and unknown to this log" for job_id in found["foreign"]]
    return "".join(f"{line}\n" for line in lines or ["Nothing to sweep."])
