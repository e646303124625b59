"""What a plan foresees."""

from __future__ import annotations

import asyncio
import shutil
import time
from dataclasses import replace
from pathlib import Path

import pytest

from runner.cli.planning import open_planning
from runner.plan import Policy
from runner.runlog import Clock, Created, Event, Finished, Intent, Owner, RunLog, RunStarted, Starting, memory_log

PICTURES = Path(__file__).parents[2] / "recipes" / "pictures"
DAY_S = 24 * 3600.0
RECIPE = """\
name = "shop"
limits.job.max_credit = 2
budget.day = 3
[[input]]
type = "upload"
source = "a.png"
[[conversion]]
target = "jpg"
"""


def spend(log: RunLog, credits: int) -> None:
    """A job of the recipe that ended today."""
    fence = asyncio.run(log.claim(["k"], Owner.this_process()))["k"]
    intent = Intent(key="k", attempt=1, addresses=("shop",), payload={}, cap=credits, recipe="shop", account="")
    events: tuple[Event, ...] = (
        intent,
        Created(key="k", attempt=1, job_id="j"),
        Starting(key="k", attempt=1, job_id="j"),
        Finished(key="k", attempt=1, spent=credits, outputs=()),
    )
    begun = RunStarted(run_id="r", endpoint="local", account="local", command="run", recipes=("shop",))
    asyncio.run(log.append(begun, run_id="r"))
    asyncio.run(log.append(*events, run_id="r", fence=fence))


@pytest.mark.parametrize("ahead_s", [-DAY_S, 0.0, DAY_S])
def test_the_budget_of_a_day_goes_by_the_clock_of_the_run_log(tmp_path: Path, ahead_s: float) -> None:
    shutil.copy(PICTURES / "badge.png", tmp_path / "a.png")
    recipe = tmp_path / "shop.recipe.toml"
    recipe.write_text(RECIPE)

    with (
        memory_log(clock=Clock(now=lambda: time.time() + ahead_s)) as log,
        open_planning([recipe], profile=None, overrides={}, endpoint="local", state=None, read_only=True) as planning,
    ):
        spend(log, 2)
        there = replace(planning, log=log)
        planned = there.foresee(asyncio.run(there.plan(Policy())))

    (step,) = planned.plan.steps
    assert step.reason.endswith("budget.day has no room for it now")
    assert planned.plan.notes[0].startswith("budget.day = 3 of shop lets 0 of 1 jobs through now")
