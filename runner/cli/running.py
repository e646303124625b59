"""Carrying a plan out. When nothing is to do, no server is started and nothing is asked of the endpoint."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from runner.cli.looping import run_async
from runner.cli.planning import Planning
from runner.errors import Problem
from runner.execute.outcome import Report
from runner.execute.trouble import settled_report
from runner.plan import Policy
from runner.runlog import RunEnded, new_run_id

if TYPE_CHECKING:
    from runner.cli.session import Outside


@dataclass(frozen=True, kw_only=True, slots=True)
class Wishes:
    """What the command line asked of this run. `warn` allows a look at the account for what a new log can't know."""

    jobs: int = 8
    lock_wait_s: float = 0.0
    deadline_s: float | None = None
    policy: Policy = field(default_factory=Policy)
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
    planned = run_async(planning.plan_to_run(wishes.policy))
    if planned.plan.has_changes:
        # Only now: the HTTP library takes longer to import than a run with nothing to do.
        import uvloop

        from runner.cli.session import run_session

        session = run_session(planning, planned, wishes, run_id, outside)
        report, problems = run_async(session, loop_factory=uvloop.new_event_loop)
    else:
        report = settled_report(planned.plan, run_id=run_id, endpoint=planning.endpoint.name)
        if report.exit_code:  # a run with nothing to do writes nothing, and so stays fast
            ended = RunEnded(run_id=run_id, exit_code=int(report.exit_code), summary=dict(report.summary))
            run_async(planning.log.append(planning.run_started(run_id), ended, run_id=run_id))
        problems = planned.problems
    return Done(report=report, problems=problems, recipes=len(planned.recipes), warnings=planned.warnings)
