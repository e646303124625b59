"""What is booked on budgets is read once and kept up to date, and is what the tables add up to."""

from __future__ import annotations

import asyncio
import itertools
from datetime import UTC, datetime
from pathlib import Path
from random import Random

import pytest

from runner.runlog import (
    Abandoned,
    BudgetExceeded,
    BudgetGuard,
    Created,
    Credits,
    Event,
    Failed,
    Fence,
    Finished,
    Intent,
    Lost,
    Owner,
    Refused,
    RunLog,
    RunStarted,
    Started,
    Starting,
    open_log,
)
from runner.runlog.sqlite import SqliteDatabase
from runner.state import KeyState, Stage

KEYS = "abcdefgh"


def intent(key: str, *, attempt: int = 1, cap: int = 1) -> Intent:
    return Intent(key=key, attempt=attempt, addresses=(), payload={}, cap=cap, recipe="r", account="")


def life(key: str) -> list[Event]:
    return [
        intent(key),
        Created(key=key, attempt=1, job_id=key),
        Starting(key=key, attempt=1, job_id=key),
        Finished(key=key, attempt=1, spent=1, outputs=()),
    ]


def append(log: RunLog, fence: Fence, *events: Event, run_id: str, budget: BudgetGuard | None = None) -> None:
    asyncio.run(log.append(*events, run_id=run_id, fence=fence, budget=budget))


def fill(log: RunLog, keys: list[str]) -> None:
    async def write() -> None:
        fences = await log.claim(keys, Owner.this_process())
        await asyncio.gather(*(log.append(*life(key), run_id="run", fence=fences[key]) for key in keys))

    asyncio.run(write())


def steps_of_an_intent(log: RunLog, key: str) -> int:
    """How much SQLite does for it, in hundreds of the instructions of its machine."""
    steps = itertools.count()
    fence = asyncio.run(log.claim([key], Owner.this_process()))[key]
    assert isinstance(log._db, SqliteDatabase)
    log._db._writer.set_progress_handler(lambda: next(steps) < 0, 100)
    budget = BudgetGuard(recipe="r", run_id="run", run_limit=10**6, day_limit=10**6)
    append(log, fence, intent(key), run_id="run", budget=budget)
    log._db._writer.set_progress_handler(None)
    return next(steps)


def test_what_a_budget_costs_does_not_grow_with_what_is_booked_on_it(tmp_path: Path) -> None:
    with open_log(tmp_path / "runs.db") as log:
        fill(log, [f"f{number}" for number in range(10)])
        steps_of_an_intent(log, "first")
        few = steps_of_an_intent(log, "among few")
        fill(log, [f"m{number}" for number in range(2000)])
        steps_of_an_intent(log, "next")

        assert steps_of_an_intent(log, "among many") < few + 20


@pytest.mark.parametrize("seed", range(3))
def test_budgets_hold_whatever_two_runs_do_by_turns(where: str, seed: int) -> None:
    random = Random(seed)
    with open_log(where) as first, open_log(where) as second:
        runs = [Run("run-1", first), Run("run-2", second)]
        asyncio.run(first.append(run_started("run-1", "hosted"), run_id="run-1"))
        for number in range(70):
            if number == 20:  # until then what it books is at no endpoint
                asyncio.run(second.append(run_started("run-2", "hosted"), run_id="run-2"))
            run = random.choice(runs)
            run.do_something(random)

            assert run.booked() == run.told_by_a_refusal()


def run_started(run_id: str, endpoint: str) -> RunStarted:
    return RunStarted(run_id=run_id, endpoint=endpoint, account="me", command="run", recipes=("r",))


class Run:
    """One that begins, ends, gives up and takes over work as it comes."""

    def __init__(self, run_id: str, log: RunLog) -> None:
        self.run_id = run_id
        self.log = log
        self.owner = Owner.this_process()
        self.probe = f"probe of {run_id}"
        self.fences = asyncio.run(log.claim([self.probe], self.owner))

    def do_something(self, random: Random) -> None:
        key = random.choice(KEYS)
        if key not in self.fences:
            self.fences |= asyncio.run(self.log.claim([key], self.owner))
        elif random.random() < 0.2:
            asyncio.run(self.log.release([self.fences.pop(key)]))
        if key in self.fences:
            line = random.choice(may_follow(self.log.states([key]).get(key), key, random.randrange(1, 6)))
            append(self.log, self.fences[key], line, run_id=self.run_id)

    def booked(self) -> tuple[Credits, Credits]:
        """Of the run, and of the day."""
        today = datetime.now(UTC).date()
        endpoint = next((each.endpoint for each in self.log.runs() if each.run_id == self.run_id), "")
        rows = [row for row in self.log.spent_by_day() if (row.day, row.endpoint) == (today, endpoint)]
        of_day = Credits(spent=sum(row.spent for row in rows), reserved=sum(row.reserved for row in rows))
        return self.log.credits(recipe="r", run_id=self.run_id), of_day

    def told_by_a_refusal(self) -> tuple[Credits, Credits]:
        return self._refused(run_limit=0), self._refused(day_limit=0)

    def _refused(self, *, run_limit: int | None = None, day_limit: int | None = None) -> Credits:
        budget = BudgetGuard(recipe="r", run_id=self.run_id, run_limit=run_limit, day_limit=day_limit)
        with pytest.raises(BudgetExceeded) as caught:
            append(self.log, self.fences[self.probe], intent(self.probe), run_id=self.run_id, budget=budget)
        return Credits(spent=caught.value.spent, reserved=caught.value.reserved)


def may_follow(state: KeyState | None, key: str, credits_: int) -> list[Event]:
    """Lines that may come next."""
    if state is None:
        return [intent(key, cap=credits_)]
    attempt, job_id = state.attempt, state.job_id
    ends: list[Event] = [
        Finished(key=key, attempt=attempt, spent=credits_, outputs=()),
        Failed(key=key, attempt=attempt, spent=credits_, errors=()),
        Lost(key=key, attempt=attempt, reason="404"),
    ]
    match state.stage:
        case Stage.INTENT:
            return [
                intent(key, attempt=attempt, cap=credits_),
                Created(key=key, attempt=attempt, job_id=f"{key}-{attempt}-{id(state)}"),
            ]
        case Stage.CREATED:
            return [
                Abandoned(key=key, attempt=attempt, job_id=job_id),
                Starting(key=key, attempt=attempt, job_id=job_id),
            ]
        case Stage.STARTING:
            refused = Refused(key=key, attempt=attempt, status=402, message="")
            return [Started(key=key, attempt=attempt, job_id=job_id), refused, *ends]
        case Stage.STAGED:
            return [Starting(key=key, attempt=attempt, job_id=job_id)]
        case Stage.STARTED:
            return ends
    return [intent(key, attempt=attempt + 1, cap=credits_)]
