"""Carrying a plan out. When nothing is to do, no server is started and nothing is asked of the endpoint."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from runner.cli.looping import run_async
from runner.cli.open_files import jobs_with_room
from runner.cli.planning import Planned, Planning
from runner.errors import DeadlineReached, Problem
from runner.execute.ending import run_ended
from runner.execute.outcome import Report
from runner.execute.trouble import settled_report
from runner.plan import Policy
from runner.runlog import RunEnded, new_run_id

if TYPE_CHECKING:
    from runner.cli.session import Outside


@dataclass(frozen=True, kw_only=True, slots=True)
class Wishes:
    """What the command line asked of this run. `warn` allows a look at the account for what a new log can't know,
    `aloud` words about what is odd and stops nothing."""

    jobs: int = 8
    lock_wait_s: float = 0.0
    deadline_s: float | None = None
    policy: Policy = field(default_factory=Policy)
    aloud: bool = False
    bars: bool = False
    warn: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Done:
    """A run that ended. `problems` are those of inputs that can't be used, `warnings` those of recipes; `recipes` how
    many there were."""

    report: Report
    problems: tuple[Problem, ...]
    recipes: int
    warnings: tuple[Problem, ...] = ()


def carry_out(planning: Planning, wishes: Wishes, outside: Outside | None = None) -> Done:
    """Plan and run; `outside` is how the run reaches the world."""
    run_id = new_run_id(datetime.now(UTC))
    planned, wishes = _planned(planning, wishes, run_id)
    if planned.plan.has_changes:
        # Only now: the HTTP library takes longer to import than a run with nothing to do.
        import uvloop

        from runner.cli.session import run_session

        session = run_session(planning, planned, _with_room(wishes), run_id, outside)
        report, problems = run_async(session, loop_factory=uvloop.new_event_loop)
    else:
        report = settled_report(planned.plan, run_id=run_id, endpoint=planning.endpoint.name)
        if report.exit_code:  # a run with nothing to do writes nothing, and so stays fast
            run_async(planning.log.append(planning.run_started(run_id), run_ended(report), run_id=run_id))
        problems = planned.problems
    return Done(report=report, problems=problems, recipes=len(planned.recipes), warnings=planned.warnings)


def _with_room(wishes: Wishes) -> Wishes:
    """`wishes` with as many jobs as open files allow: beyond that jobs fail that are bought already."""
    jobs = jobs_with_room(wishes.jobs)
    if jobs < wishes.jobs and wishes.warn:
        click.echo(
            f"warning: this process may open too few files for --jobs {wishes.jobs}: {jobs} at once instead\n"
            "  raise the limit (`ulimit -Hn`, LimitNOFILE= of systemd, --ulimit of docker)",
            err=True,
        )
    return replace(wishes, jobs=jobs)


def _planned(planning: Planning, wishes: Wishes, run_id: str) -> tuple[Planned, Wishes]:
    """The plan, and `wishes` with what is left of the deadline: files are read and clouds are listed within it too."""
    began = time.monotonic()
    try:
        planned = run_async(_within(wishes.deadline_s, planning.plan_to_run(wishes.policy)))
    except DeadlineReached as error:
        ended = RunEnded(run_id=run_id, exit_code=int(error.exit_code), summary={})
        run_async(planning.log.append(planning.run_started(run_id), ended, run_id=run_id))
        raise
    if wishes.deadline_s is None:
        return planned, wishes
    return planned, replace(wishes, deadline_s=max(0.0, wishes.deadline_s - (time.monotonic() - began)))


async def _within(seconds: float | None, planning: Coroutine[Any, Any, Planned]) -> Planned:
    try:
        async with asyncio.timeout(seconds):
            return await planning
    except TimeoutError as error:
        raise DeadlineReached(
            "the deadline was reached before the plan was made. Nothing was sent.",
            hint="what was read so far is remembered; sources or clouds that answer slowly need a later deadline",
        ) from error
