"""Budgets: reserved with the line that intends, settled with the line that ends, across processes."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, date, datetime

import pytest

from runner.runlog import (
    Abandoned,
    BudgetExceeded,
    BudgetGuard,
    Clock,
    Created,
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
    Starting,
    memory_log,
    open_log,
)
from runner.wire.values import MOST_COUNT


def intent(key: str, *, attempt: int = 1, cap: int | None = 4) -> Intent:
    return Intent(key=key, attempt=attempt, addresses=(), payload={}, cap=cap, recipe="r", account="")


def guard(run_id: str = "run-1", *, run: int | None = None, day: int | None = None) -> BudgetGuard:
    return BudgetGuard(recipe="r", run_id=run_id, run_limit=run, day_limit=day)


def append(log: RunLog, fence: Fence, *events: Event, budget: BudgetGuard | None = None, run_id: str = "run-1") -> None:
    asyncio.run(log.append(*events, run_id=run_id, fence=fence, budget=budget))


def claim(log: RunLog, *keys: str) -> dict[str, Fence]:
    return asyncio.run(log.claim(keys, Owner.this_process()))


def begin(key: str) -> list[Event]:
    return [
        intent(key),
        Created(key=key, attempt=1, job_id=f"j-{key}"),
        Starting(key=key, attempt=1, job_id=f"j-{key}"),
    ]


def test_a_job_that_does_not_fit_the_run_is_refused_with_the_sums(log: RunLog) -> None:
    fences = claim(log, "a", "b", "c")
    append(log, fences["a"], *begin("a"), Finished(key="a", attempt=1, spent=3, outputs=()), budget=guard(run=10))
    append(log, fences["b"], intent("b"), budget=guard(run=10))

    with pytest.raises(BudgetExceeded) as caught:
        append(log, fences["c"], intent("c"), budget=guard(run=10))

    error = caught.value
    assert (error.which, error.limit, error.spent, error.reserved, error.asked) == ("run", 10, 3, 4, 4)
    assert "c" not in log.states()
    assert (log.spent("r"), log.reserved("r")) == (3, 4)


def test_a_job_that_fits_exactly_is_let_through(log: RunLog) -> None:
    fences = claim(log, "a", "b")

    append(log, fences["a"], intent("a"), budget=guard(run=8, day=8))
    append(log, fences["b"], intent("b"), budget=guard(run=8, day=8))

    assert log.reserved("r") == 8


def test_the_budget_of_a_day_counts_all_runs_and_of_a_run_only_its_own(log: RunLog) -> None:
    fences = claim(log, "a", "b")
    append(log, fences["a"], intent("a"), budget=guard("run-1", run=4, day=7), run_id="run-1")

    with pytest.raises(BudgetExceeded, match="for a day is 7 credits"):
        append(log, fences["b"], intent("b"), budget=guard("run-2", run=4, day=7), run_id="run-2")
    append(log, fences["b"], intent("b"), budget=guard("run-2", run=4, day=8), run_id="run-2")

    assert log.reserved(run_id="run-2") == 4


def test_saying_the_same_intent_again_asks_for_nothing_more(log: RunLog) -> None:
    fence = claim(log, "a")["a"]

    append(log, fence, intent("a"), budget=guard(run=4))
    append(log, fence, intent("a"), budget=guard(run=4))

    assert log.reserved("r") == 4


@pytest.mark.parametrize("end", ["finished", "failed"])
def test_a_job_that_ended_counts_with_what_it_cost(log: RunLog, end: str) -> None:
    fence = claim(log, "a")["a"]
    line: Event = (
        Finished(key="a", attempt=1, spent=1, outputs=())
        if end == "finished"
        else Failed(key="a", attempt=1, spent=1, errors=())
    )

    append(log, fence, *begin("a"), line)

    assert (log.spent("r"), log.reserved("r")) == (1, 0)


def test_credits_beyond_thirty_two_bits_are_booked_as_they_are(log: RunLog) -> None:
    fences = claim(log, "a", "b")
    much = 3_000_000_000

    append(log, fences["a"], *begin("a"), Finished(key="a", attempt=1, spent=MOST_COUNT, outputs=()))
    append(log, fences["b"], intent("b", cap=much), budget=guard(run=MOST_COUNT + much))

    assert (log.spent("r"), log.reserved("r")) == (MOST_COUNT, much)


def test_a_lost_job_stays_reserved_for_it_may_have_cost(log: RunLog) -> None:
    fence = claim(log, "a")["a"]

    append(log, fence, *begin("a"), Lost(key="a", attempt=1, reason="404"))
    asyncio.run(log.release([fence]))

    assert (log.spent("r"), log.reserved("r")) == (0, 4)


def test_a_refused_start_frees_its_credits_and_asks_for_them_again(log: RunLog) -> None:
    fences = claim(log, "a", "b")
    append(log, fences["a"], *begin("a"), Refused(key="a", attempt=1, status=402, message=""), budget=guard(run=4))
    assert log.reserved("r") == 0
    append(log, fences["b"], intent("b"), budget=guard(run=4))

    with pytest.raises(BudgetExceeded):
        append(log, fences["a"], Starting(key="a", attempt=1, job_id="j-a"), budget=guard(run=4))


def test_parked_jobs_count_for_the_run_that_starts_them(log: RunLog) -> None:
    fences = claim(log, "a", "b")
    for key in ("a", "b"):
        refused = Refused(key=key, attempt=1, status=402, message="")
        append(log, fences[key], *begin(key), refused, run_id="run-1")
    budget = guard("run-2", run=4)

    append(log, fences["a"], Starting(key="a", attempt=1, job_id="j-a"), budget=budget, run_id="run-2")
    with pytest.raises(BudgetExceeded):
        append(log, fences["b"], Starting(key="b", attempt=1, job_id="j-b"), budget=budget, run_id="run-2")

    assert (log.reserved(run_id="run-1"), log.reserved(run_id="run-2")) == (0, 4)


def test_asking_again_for_a_start_that_may_have_happened_is_never_a_matter_of_budget(log: RunLog) -> None:
    fences = claim(log, "a", "b")
    append(log, fences["a"], *begin("a"), run_id="run-1")
    append(log, fences["b"], *begin("b"), run_id="run-2")

    again = Starting(key="a", attempt=1, job_id="j-a")
    append(log, fences["a"], again, budget=guard("run-2", run=4), run_id="run-2")

    assert (log.reserved(run_id="run-1"), log.reserved(run_id="run-2")) == (4, 4)


def test_what_a_run_left_unstarted_stops_counting_with_its_lease(log: RunLog) -> None:
    fences = claim(log, "a", "b")
    append(log, fences["a"], intent("a"))
    append(log, fences["b"], *begin("b"))

    asyncio.run(log.release(fences))

    assert log.reserved("r") == 4  # only b, which was started


def run_started(run_id: str, endpoint: str, account: str = "me") -> RunStarted:
    return RunStarted(run_id=run_id, endpoint=endpoint, account=account, command="run", recipes=("r",))


def test_what_was_given_up_unstarted_stops_counting_while_its_lease_is_held(log: RunLog) -> None:
    fences = claim(log, "a", "b")
    append(log, fences["a"], intent("a"), Created(key="a", attempt=1, job_id="j-a"), budget=guard(run=4))

    append(log, fences["a"], Abandoned(key="a", attempt=1, job_id="j-a"))
    append(log, fences["b"], intent("b"), budget=guard(run=4))

    assert log.reserved("r") == 4
    with pytest.raises(BudgetExceeded):
        append(log, fences["a"], intent("a"), budget=guard(run=4))


def test_what_a_dead_run_never_started_does_not_count_again_once_somebody_has_its_key(log: RunLog) -> None:
    before = claim(log, "a")
    append(log, before["a"], intent("a"), budget=guard(day=4))
    asyncio.run(log.release(before))

    fences = claim(log, "a", "b")

    assert log.reserved("r") == 0
    append(log, fences["b"], intent("b"), budget=guard("run-2", day=4), run_id="run-2")
    with pytest.raises(BudgetExceeded):
        append(log, fences["a"], intent("a"), budget=guard("run-2", day=4), run_id="run-2")


def test_the_books_of_endpoints_are_kept_apart(log: RunLog) -> None:
    fences = claim(log, "a", "b", "c")
    for run_id, endpoint in (("run-1", "local"), ("run-2", "hosted"), ("run-3", "hosted")):
        asyncio.run(log.append(run_started(run_id, endpoint, f"key-of-{run_id}"), run_id=run_id))
    append(log, fences["a"], *begin("a"), budget=guard("run-1", day=4), run_id="run-1")

    append(log, fences["b"], *begin("b"), budget=guard("run-2", day=4), run_id="run-2")
    with pytest.raises(BudgetExceeded):  # another key at the same endpoint: the budget is the recipe's
        append(log, fences["c"], intent("c"), budget=guard("run-3", day=4), run_id="run-3")

    assert {(row.endpoint, row.reserved) for row in log.spent_by_day()} == {("local", 4), ("hosted", 4)}
    assert log.credits(endpoint="hosted", account="key-of-run-2").reserved == 4
    assert log.credits(endpoint="hosted", account="key-of-run-3").reserved == 0


def test_what_is_under_way_is_known_by_endpoint_and_account(log: RunLog) -> None:
    fences = claim(log, "a", "b", "c", "d")
    asyncio.run(log.append(run_started("run-1", "hosted"), run_id="run-1"))
    append(log, fences["a"], *begin("a"))
    append(log, fences["b"], *begin("b"), Finished(key="b", attempt=1, spent=1, outputs=()))
    append(log, fences["c"], *begin("c"), Lost(key="c", attempt=1, reason="404"))
    append(log, fences["d"], intent("d"))

    assert set(log.under_way(endpoint="hosted", account="me")) == {"a"}
    assert log.under_way(endpoint="local", account="me") == {}
    assert log.under_way(endpoint="hosted", account="you") == {}


def test_a_day_ends_at_midnight_utc() -> None:
    now = datetime(2026, 11, 23, 23, 59, 59, tzinfo=UTC).timestamp()
    times = iter([now, now, now + 2, now + 2, now + 2])
    with memory_log(clock=Clock(now=lambda: next(times))) as log:
        fences = claim(log, "a", "b")
        append(log, fences["a"], intent("a"), budget=guard(day=4))

        append(log, fences["b"], intent("b"), budget=guard(day=4))

        assert log.reserved("r", date(2026, 11, 23)) == 4
        assert log.reserved("r", date(2026, 11, 24)) == 4
        assert [(each.day.day, each.reserved) for each in log.spent_by_day()] == [(24, 4), (23, 4)]


def test_a_job_intended_before_midnight_counts_for_the_day_of_its_start() -> None:
    times = [datetime(2026, 11, 23, 23, 59, 59, tzinfo=UTC).timestamp()]
    with memory_log(clock=Clock(now=lambda: times[-1])) as log:
        fences = claim(log, "a", "b")
        append(log, fences["a"], intent("a"), Created(key="a", attempt=1, job_id="j-a"), budget=guard(day=4))
        times.append(times[-1] + 2)

        append(log, fences["a"], Starting(key="a", attempt=1, job_id="j-a"), budget=guard(day=4))

        with pytest.raises(BudgetExceeded):
            append(log, fences["b"], intent("b"), budget=guard(day=4))
        assert log.reserved("r", date(2026, 11, 24)) == 4


def test_many_at_once_never_reserve_more_than_the_budget(where: str) -> None:
    async def ask(log: RunLog, fences: dict[str, Fence]) -> list[BaseException | None]:
        calls = (
            log.append(intent(key), run_id="run-1", fence=fence, budget=guard(day=20)) for key, fence in fences.items()
        )
        return await asyncio.gather(*calls, return_exceptions=True)

    with open_log(where) as first, open_log(where) as second:
        mine, theirs = claim(first, *"abcdefgh"), claim(second, *"ijklmnop")

        async def both() -> Sequence[list[BaseException | None]]:
            return await asyncio.gather(ask(first, mine), ask(second, theirs))

        answers = [answer for each in asyncio.run(both()) for answer in each]

        assert answers.count(None) == 5
        assert {type(answer) for answer in answers if answer} == {BudgetExceeded}
        assert first.reserved("r") == 20


def test_a_budget_without_a_cap_for_the_job_is_a_mistake_of_the_caller(log: RunLog) -> None:
    with pytest.raises(ValueError, match="has no cap"):
        append(log, claim(log, "a")["a"], intent("a", cap=None), budget=guard(run=4))
