"""`runner sweep`: delete unstarted leftovers of this log, and list what else the account has."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from runner.cli.options import endpoint_options, format_option

if TYPE_CHECKING:
    from runner.cli.endpoint import ChosenEndpoint
    from runner.client.api import ConversionApi
    from runner.runlog import Leftover, RunLog

MOST_PAGES = 200


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

    Exits 0; 3 for a wrong or missing key; 8 when the endpoint doesn't answer.
    """
    from runner.cli.context import RUN_LOG
    from runner.cli.endpoint import choose_endpoint
    from runner.runlog import open_log

    chosen = choose_endpoint(recipes or (Path.cwd(),), endpoint=endpoint, state=state)
    with open_log(chosen.log_place(RUN_LOG)) as log:
        chosen.check_against(log)
        ours = [left for left in log.unstarted() if (left.endpoint, left.account) == (chosen.name, chosen.account)]
        found = asyncio.run(_sweep(chosen, log, ours, dry_run=dry_run))
    if style == "json":
        click.echo(json.dumps(found, indent=2))
    else:
        click.echo(_text(found, dry_run=dry_run), nl=False)


async def _sweep(
    chosen: ChosenEndpoint, log: RunLog, ours: Sequence[Leftover], *, dry_run: bool
) -> dict[str, list[str]]:
    from runner.cli.reach import open_api

    if chosen.embedded and not ours:
        return {"deleted": [], "held": [], "foreign": []}
    async with open_api(chosen) as api:
        unstarted = await _unstarted(api)
        there = [left for left in ours if left.job_id in unstarted]
        foreign = sorted(unstarted - {left.job_id for left in there})
        if dry_run:
            return {"deleted": [left.job_id for left in there], "held": [], "foreign": foreign}
        return {**await _delete(api, log, there), "foreign": foreign}


async def _unstarted(api: ConversionApi) -> set[str]:
    """Ids of all jobs of the account that were never started, as the list of jobs shows them."""
    from runner.wire.status import UNSTARTED

    found: set[str] = set()
    for page in range(1, MOST_PAGES + 1):
        listed = await api.jobs(page=page)
        found |= {job.id for job in listed.jobs if job.status in UNSTARTED}
        if not listed.full:
            break
    return found


async def _delete(api: ConversionApi, log: RunLog, ours: Sequence[Leftover]) -> dict[str, list[str]]:
    """Delete under each key's lease: a run that is at work on one keeps it."""
    from datetime import UTC, datetime

    from runner.client.errors import RefusedError
    from runner.runlog import Abandoned, Owner, new_run_id

    run_id = new_run_id(datetime.now(UTC))
    fences = await log.claim({left.key for left in ours}, Owner.this_process())
    deleted: list[str] = []
    held: list[str] = []
    try:
        for left in ours:
            fence = fences.get(left.key)
            state = log.states([left.key]).get(left.key)
            if fence is None or (state is not None and state.job_id == left.job_id and state.stage not in _FREE):
                held.append(left.job_id)
                continue
            try:
                await api.delete_job(left.job_id)
            except RefusedError:
                held.append(left.job_id)
                continue
            if state is not None and state.job_id == left.job_id:
                line = Abandoned(key=left.key, attempt=state.attempt, job_id=left.job_id)
                await log.append(line, run_id=run_id, fence=fence)
            deleted.append(left.job_id)
    finally:
        await log.release(fences)
    return {"deleted": deleted, "held": held}


_FREE = frozenset({"intent", "created", "staged"})


def _text(found: Mapping[str, Sequence[str]], *, dry_run: bool) -> str:
    lines = [f"{'would delete' if dry_run else 'deleted'} {job_id}" for job_id in found["deleted"]]
    lines += [f"left alone {job_id}: a run is at work on it, or it was started" for job_id in found["held"]]
    lines += [f"not ours {job_id}: unstarted, and unknown to this log" for job_id in found["foreign"]]
    return "".join(f"{line}\n" for line in lines or ["Nothing to sweep."])
