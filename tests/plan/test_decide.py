"""What happens to one address: the table of stages, of what lies on disk, and of what a person allows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runner.compile import Job
from runner.errors import ExitCode
from runner.plan import (
    CHANGING,
    Action,
    Disk,
    Plan,
    Policy,
    RecipeFile,
    Step,
    make_plan,
    with_begun,
    with_budgets,
    with_holders,
)
from runner.recipe.model import Budget
from runner.report.plans import plan_summary
from runner.state import DeliveredFile, Delivery, KeyState, OutputRecord, Stage
from tests.plan.conftest import TODAY, make_job, state_of

NOW = 1_795_444_000.0
DAY_S = 24 * 3600.0
RESULT = "/srv/shop/out/a.jpg.webp"
SAVE = "out/a.jpg.{output.ext}"
FILE = DeliveredFile(path=RESULT, size_bytes=3, sha256="0" * 64, mtime_ns=1, inode=1)
OUTPUT = OutputRecord(id="o", filename="a.webp", uri="http://x/o", size_bytes=3, checksum="", conversion_index=0)
INTACT = Disk(records=frozenset({FILE}), intact=frozenset({RESULT}), present=frozenset({RESULT}))
CHANGED = Disk(present=frozenset({RESULT}))
EMPTY = Disk()


def planned(*jobs: Job, states: Mapping[str, KeyState] | None = None, disk: Disk = EMPTY, **more: Any) -> Plan:
    return make_plan(jobs, states or {}, disk=disk, now=NOW, run_date=TODAY, **more)


def step(job: Job, *states: KeyState, disk: Disk = EMPTY, **more: Any) -> Step:
    return planned(job, states={one.key: one for one in states}, disk=disk, **more).steps[0]


DELIVERED = {"deliveries": {"shop[a.jpg]": Delivery(save=SAVE, files=(FILE,))}, "outputs": (OUTPUT,)}
ELSEWHERE = {"deliveries": {"shop[a.jpg]": Delivery(save="old/{output.filename}", files=())}, "outputs": (OUTPUT,)}
JUST_NOW = {"finished_at": NOW - 60}
LONG_AGO = {"finished_at": NOW - DAY_S - 1}
AGAIN = Policy(retry_failed=True)
LOST_AGAIN = Policy(retry_lost=True)
ERROR = {"errors": ({"code": 15, "message": "no such codec"},), "spent": 3}

TABLE = [
    # stage, what else is known, disk, policy, recipe -> action, words in the reason
    pytest.param(Stage.INTENT, {}, EMPTY, None, {}, Action.RESUME, "nothing was bought yet", id="intent"),
    pytest.param(Stage.CREATED, {}, EMPTY, None, {}, Action.RESUME, "nothing was bought yet", id="created"),
    pytest.param(Stage.STAGED, {}, EMPTY, None, {}, Action.RESUME, "nothing was bought yet", id="staged"),
    pytest.param(Stage.STAGED, {}, CHANGED, None, {}, Action.BLOCKED, "nothing was bought", id="staged-in-the-way"),
    pytest.param(
        Stage.STAGED, {"parked_until": NOW + 90}, EMPTY, None, {}, Action.BLOCKED, "due again in 90 s", id="parked"
    ),
    pytest.param(Stage.STAGED, {"parked_until": NOW + 90}, EMPTY, AGAIN, {}, Action.RESUME, "interrupted", id="urged"),
    pytest.param(
        Stage.STAGED, {"parked_until": NOW + 9e6}, EMPTY, None, {}, Action.RESUME, "interrupted", id="parked-by-a-clock"
    ),
    pytest.param(Stage.STAGED, {"parked_until": NOW - 1}, EMPTY, None, {}, Action.RESUME, "interrupted", id="due"),
    pytest.param(Stage.STARTING, {}, EMPTY, None, {}, Action.RESUME, "it may be bought already", id="starting"),
    pytest.param(Stage.STARTED, {}, EMPTY, None, {}, Action.RESUME, "end was not seen", id="started"),
    pytest.param(Stage.STARTED, {}, CHANGED, None, {}, Action.RESUME, "end was not seen", id="started-in-the-way"),
    pytest.param(Stage.FAILED, ERROR, EMPTY, None, {}, Action.BLOCKED, "(15: no such codec)", id="failed"),
    pytest.param(Stage.FAILED, ERROR, EMPTY, AGAIN, {}, Action.RETRY, "(--retry-failed)", id="failed-by-hand"),
    pytest.param(Stage.FAILED, ERROR, EMPTY, None, {"retry": 1}, Action.RETRY, "retry = 1", id="failed-by-recipe"),
    pytest.param(
        Stage.FAILED, {"attempt": 2}, EMPTY, None, {"retry": 1}, Action.BLOCKED, "attempt 2 failed", id="used-up"
    ),
    pytest.param(Stage.FAILED, ERROR, CHANGED, AGAIN, {}, Action.BLOCKED, "is in the way", id="failed-in-the-way"),
    pytest.param(Stage.FAILED, {}, EMPTY, LOST_AGAIN, {}, Action.BLOCKED, "failed", id="failed-other-policy"),
    pytest.param(Stage.LOST, {}, EMPTY, None, {}, Action.LOST, "gone from the server", id="lost"),
    pytest.param(Stage.LOST, {}, EMPTY, LOST_AGAIN, {}, Action.RETRY, "(--retry-lost)", id="lost-by-hand"),
    pytest.param(Stage.LOST, {}, EMPTY, AGAIN, {"retry": 9}, Action.LOST, "--retry-lost", id="lost-stays"),
    pytest.param(Stage.LOST, {}, CHANGED, LOST_AGAIN, {}, Action.BLOCKED, "is in the way", id="lost-in-the-way"),
    pytest.param(Stage.FINISHED, DELIVERED | JUST_NOW, INTACT, None, {}, Action.SKIP, "done", id="done"),
    pytest.param(Stage.FINISHED, DELIVERED | LONG_AGO, INTACT, None, {}, Action.SKIP, "done", id="long-done"),
    pytest.param(
        Stage.FINISHED, DELIVERED | JUST_NOW, EMPTY, None, {}, Action.REDELIVER, f"{RESULT} is missing", id="deleted"
    ),
    pytest.param(Stage.FINISHED, DELIVERED | JUST_NOW, CHANGED, None, {}, Action.REDELIVER, "was changed", id="edited"),
    pytest.param(
        Stage.FINISHED, DELIVERED | LONG_AGO, EMPTY, None, {}, Action.BLOCKED, "no longer has it", id="deleted-and-gone"
    ),
    pytest.param(
        Stage.FINISHED, DELIVERED | LONG_AGO, EMPTY, LOST_AGAIN, {}, Action.RETRY, "(--retry-lost)", id="gone-by-hand"
    ),
    pytest.param(
        Stage.FINISHED, {"outputs": (OUTPUT,)} | JUST_NOW, EMPTY, None, {}, Action.REDELIVER, "not delivered", id="new"
    ),
    pytest.param(
        Stage.FINISHED, {"outputs": (OUTPUT,)} | JUST_NOW, CHANGED, None, {}, Action.BLOCKED, "in the way", id="no-room"
    ),
    pytest.param(
        Stage.FINISHED, ELSEWHERE | JUST_NOW, EMPTY, None, {}, Action.REDELIVER, "save.path changed: old/", id="moved"
    ),
    pytest.param(Stage.FINISHED, LONG_AGO, EMPTY, None, {}, Action.REDELIVER, "not delivered", id="cloud-target"),
]


def test_an_item_without_a_folder_shows_no_empty_part_in_a_path_that_changed(job: Any) -> None:
    before = {"deliveries": {"shop[a.jpg]": Delivery(save="out/shop//{output.filename}", files=())}}
    one = job(save="new/{output.filename}")

    got = step(one, state_of(one, Stage.FINISHED, outputs=(OUTPUT,), **before, **JUST_NOW))

    assert got.reason == "save.path changed: out/shop/{output.filename} -> new/{output.filename}"


@pytest.mark.parametrize("swapped_at", [5.0, 0.0], ids=["swapped", "old-log"])
def test_work_is_compared_with_what_its_address_got_last(job: Any, swapped_at: float) -> None:
    one, two = job(digest="one"), job(digest="two")
    first = Delivery(save=SAVE, files=(FILE,), at=swapped_at)
    states = [
        state_of(one, Stage.FINISHED, finished_at=1.0, deliveries={one.address: first}),
        state_of(two, Stage.FINISHED, finished_at=2.0, deliveries={two.address: replace(first, at=3.0)}),
    ]

    got = step(job(digest="one" if swapped_at else "two", quality=10), *states)

    assert [str(change) for change in got.changes] == ["conversion[0].options.quality: 80 -> 10"]


@pytest.mark.parametrize(
    ("rivals", "reason", "estimate"),
    [
        pytest.param((), "changed: conversion[0].options.quality: 70 -> 80", 3, id="moved"),
        pytest.param([RecipeFile("shop", "x/shop.recipe.toml")], "new", None, id="still-there"),
    ],
)
def test_what_another_recipe_of_the_name_got_is_not_compared_with(
    job: Any, rivals: Sequence[RecipeFile], reason: str, estimate: int | None
) -> None:
    theirs, ours = job(quality=70), job(quality=80)
    delivery = Delivery(save=SAVE, files=(), recipe_file="x/shop.recipe.toml")
    state = state_of(theirs, Stage.FINISHED, deliveries={theirs.address: delivery}, spent=3)

    got = step(ours, state, rivals=rivals)

    assert (got.action, got.reason, got.credits.estimate) == (Action.RUN, reason, estimate)


@pytest.mark.parametrize(("stage", "more", "disk", "policy", "recipe", "action", "words"), TABLE)
def test_every_stage_leads_to_its_action_with_a_reason(
    job: Any,
    stage: Stage,
    more: dict[str, Any],
    disk: Disk,
    policy: Policy | None,
    recipe: dict[str, Any],
    action: Action,
    words: str,
) -> None:
    one = job(**recipe)

    got = step(one, state_of(one, stage, **more), disk=disk, policy=policy)

    assert got.action is action, got.reason
    assert words in got.reason
    assert (got.address, got.key, got.job) == (one.address, one.key, one)


@pytest.mark.parametrize(
    ("on_conflict", "action", "words"),
    [
        ("error", Action.BLOCKED, "is in the way; nothing was bought"),
        ("skip", Action.SKIP, "exists (on_conflict = skip)"),
        ("overwrite", Action.RUN, "new"),
        ("rename", Action.RUN, "new"),
    ],
)
def test_a_stranger_in_the_way_is_met_by_policy_before_anything_is_bought(
    job: Any, on_conflict: str, action: Action, words: str
) -> None:
    got = step(job(on_conflict=on_conflict), disk=CHANGED)

    assert (got.action, words in got.reason) == (action, True), got.reason


def test_a_result_that_somebody_edited_is_in_the_way_of_new_work_too(job: Any) -> None:
    before = job(quality=80)

    got = step(job(quality=90), state_of(before, Stage.FINISHED, **DELIVERED), disk=CHANGED)

    assert got.action is Action.BLOCKED
    assert "was changed since an earlier run delivered it" in got.reason


def test_our_own_untouched_result_is_ours_to_replace(job: Any) -> None:
    before = job(quality=80)

    got = step(job(quality=90), state_of(before, Stage.FINISHED, spent=3, **DELIVERED), disk=INTACT)

    assert got.action is Action.RUN
    assert got.reason == "changed: conversion[0].options.quality: 80 -> 90"
    assert (got.credits.cap, got.credits.estimate) == (2, 3)


THEIRS = {"deliveries": {"shop[b.jpg]": Delivery(save=SAVE, files=(FILE,))}, "outputs": (OUTPUT,)}


@pytest.mark.parametrize(
    ("on_conflict", "action", "words"),
    [
        ("error", Action.BLOCKED, "holds the result of shop[b.jpg]; nothing was bought"),
        ("overwrite", Action.BLOCKED, "holds the result of shop[b.jpg]; nothing was bought"),
        ("skip", Action.SKIP, "exists (on_conflict = skip)"),
        ("rename", Action.RUN, "new"),
    ],
)
def test_the_result_of_another_item_is_not_ours_to_replace(
    job: Any, on_conflict: str, action: Action, words: str
) -> None:
    one, other = job(on_conflict=on_conflict), job("b.jpg")
    states = {other.key: state_of(other, Stage.FINISHED, **THEIRS)}

    got = planned(one, other, states=states, disk=INTACT).steps[0]

    assert (got.action, words in got.reason) == (action, True), got.reason


def test_the_result_of_an_item_that_is_gone_is_ours_to_replace(job: Any) -> None:
    gone = job("b.jpg")

    got = step(job(), state_of(gone, Stage.FINISHED, **THEIRS), disk=INTACT)

    assert got.action is Action.RUN


def test_an_item_that_was_refused_is_still_asked_for_and_keeps_its_results(job: Any) -> None:
    refused = job("b.jpg")

    plan = planned(
        job(),
        states={refused.key: state_of(refused, Stage.FINISHED, **THEIRS)},
        disk=INTACT,
        asked={refused.address: None},
    )

    assert [one.action for one in plan.steps] == [Action.BLOCKED]


ROW_BEFORE = "shop[3.jpg]"
HELD_BY_ROW: dict[str, Any] = {
    "addresses": frozenset({ROW_BEFORE}),
    "deliveries": {ROW_BEFORE: Delivery(save=SAVE, files=(FILE,))},
}


def row(number: int, name: str, **recipe: Any) -> Job:
    """The job of the row `number`, which names the picture and the result."""
    return make_job(f"{number}.jpg", digest=name, save=f"out/{name}.jpg.{{output.ext}}", **recipe)


@pytest.mark.parametrize(("quality", "action"), [(80, Action.REDELIVER), (90, Action.RUN)])
def test_what_a_row_held_goes_to_the_row_that_asks_for_it_after_one_above_was_removed(
    quality: int, action: Action
) -> None:
    """Row 3 asks for other work now, which is saved elsewhere; the work of row 2 may have changed as well."""
    before = state_of(row(3, "a"), Stage.FINISHED, outputs=(OUTPUT,), **HELD_BY_ROW, **LONG_AGO)
    moved, below = row(2, "a", quality=quality), row(3, "b", quality=quality)

    plan = planned(moved, below, states={before.key: before}, disk=INTACT)

    assert [one.action for one in plan.steps] == [action, Action.RUN]
    assert plan.holdings.others(RESULT, address=moved.address, key=moved.key) == ()


def test_what_two_rows_held_of_one_work_is_replaced_for_the_one_that_still_saves_there() -> None:
    both = HELD_BY_ROW["deliveries"] | {"shop[2.jpg]": Delivery(save=SAVE, files=(FILE,))}
    before = state_of(row(3, "a"), Stage.FINISHED, deliveries=both, outputs=(OUTPUT,))

    plan = planned(row(2, "a", quality=90), row(3, "b"), states={before.key: before}, disk=INTACT)

    assert [one.action for one in plan.steps] == [Action.RUN, Action.RUN]


def test_a_row_that_may_still_save_there_keeps_what_it_held() -> None:
    before = state_of(row(3, "a"), Stage.FINISHED, outputs=(OUTPUT,), **HELD_BY_ROW)
    wants = row(2, "b", quality=90)
    there = row(3, "a", quality=90)
    there = replace(there, expected=(), places=())  # only the server knows what it will be called

    plan = planned(wants, there, states={before.key: before}, disk=INTACT)

    assert plan.holdings.others(RESULT, address=wants.address, key=wants.key) == (ROW_BEFORE,)


def test_what_was_delivered_here_is_blocked_where_another_result_has_its_place_by_now(job: Any) -> None:
    one, other = job(), job("b.jpg")
    lost = DeliveredFile(path=RESULT, size_bytes=4, sha256="1" * 64, mtime_ns=2, inode=2)
    ours = {"deliveries": {one.address: Delivery(save=SAVE, files=(lost,))}, "outputs": (OUTPUT,)}
    states = {
        one.key: state_of(one, Stage.FINISHED, **ours, **JUST_NOW),
        other.key: state_of(other, Stage.FINISHED, **THEIRS, **JUST_NOW),
    }

    got = planned(one, other, states=states, disk=INTACT).steps[0]

    assert got.action is Action.BLOCKED
    assert "holds the result of shop[b.jpg]; it is bought already" in got.reason


@pytest.mark.parametrize(
    ("on_conflict", "action", "words"),
    [
        ("error", Action.BLOCKED, f"{RESULT} is in the way; it is bought already; move it, or set"),
        ("overwrite", Action.REDELIVER, "was left as it was"),
        ("skip", Action.SKIP, "done"),
        ("rename", Action.REDELIVER, "was left as it was"),
    ],
)
def test_what_skip_left_alone_is_in_the_way_of_its_result_like_any_file_that_is_not_ours(
    job: Any, on_conflict: str, action: Action, words: str
) -> None:
    one = job(on_conflict=on_conflict)
    left = DeliveredFile(path=RESULT, size_bytes=0, sha256="", mtime_ns=0, inode=0)
    ours = {"deliveries": {one.address: Delivery(save=one.save.path, files=(left,))}, "outputs": (OUTPUT,)}

    got = step(one, state_of(one, Stage.FINISHED, **ours, **JUST_NOW), disk=CHANGED)

    assert (got.action, words in got.reason) == (action, True), got.reason


def test_an_intact_copy_at_another_address_is_delivered_after_the_server_has_forgotten(job: Any) -> None:
    before, renamed = job("b.jpg", digest="same"), job("a.jpg", digest="same")
    lies = DeliveredFile(path="/srv/shop/out/b.jpg.webp", size_bytes=3, sha256="0" * 64, mtime_ns=1, inode=1)
    known = {"deliveries": {before.address: Delivery(save="out/b.jpg.{output.ext}", files=(lies,))}}
    disk = Disk(records=frozenset({lies}), intact=frozenset({lies.path}), present=frozenset({lies.path}))

    here = step(renamed, state_of(before, Stage.FINISHED, outputs=(OUTPUT,), **known, **LONG_AGO), disk=disk)
    changed = step(renamed, state_of(before, Stage.FINISHED, outputs=(OUTPUT,), **known, **LONG_AGO))

    assert (here.action, changed.action) == (Action.REDELIVER, Action.BLOCKED)
    assert here.reason.endswith("/srv/shop/out/b.jpg.webp is a copy")


def test_new_work_waits_until_the_only_copy_in_its_place_is_delivered_elsewhere(job: Any) -> None:
    renamed, new = job("b.jpg", digest="same"), job("a.jpg", digest="new")
    before = job("a.jpg", digest="same")
    known = {"deliveries": {before.address: Delivery(save=SAVE, files=(FILE,))}, "outputs": (OUTPUT,)}

    forgotten = planned(new, renamed, states={before.key: state_of(before, Stage.FINISHED, **known)}, disk=INTACT)
    kept = state_of(before, Stage.FINISHED, **known, **JUST_NOW)
    there = planned(new, renamed, states={before.key: kept}, disk=INTACT)

    assert [one.action for one in forgotten.steps] == [Action.BLOCKED, Action.REDELIVER]
    assert "is the only copy of a result for shop[b.jpg]" in forgotten.steps[0].reason
    assert [one.action for one in there.steps] == [Action.RUN, Action.REDELIVER]


def test_a_folder_that_cannot_be_written_blocks_what_would_be_bought(job: Any) -> None:
    got = step(job(), disk=Disk(closed={"/srv/shop/out": "/srv/shop/out can't be written: Permission denied"}))

    assert got.action is Action.BLOCKED
    assert got.reason == "/srv/shop/out can't be written: Permission denied; nothing was bought"


def test_work_of_another_account_is_left_alone_and_says_so(job: Any) -> None:
    one = job()

    got = step(one, state_of(one, Stage.STARTED, account="theirs"), account="ours")

    assert (got.action, got.exit_code) == (Action.BLOCKED, ExitCode.AUTHENTICATION)
    assert "another account" in got.reason


def test_what_is_done_and_in_its_place_stays_done_whoever_asks(job: Any) -> None:
    one = job()
    done = state_of(one, Stage.FINISHED, account="theirs", **DELIVERED)
    there = Disk(records=frozenset({FILE}), intact=frozenset({FILE.path}), present=frozenset({FILE.path}))

    assert step(one, done, account="ours", disk=there).action is Action.SKIP
    assert step(one, done, account="ours").action is Action.BLOCKED  # it is gone here, and the other key has it


def test_an_intent_that_never_made_a_job_belongs_to_no_account(job: Any) -> None:
    one = job()

    got = step(one, state_of(one, Stage.INTENT, account="mistyped", job_id=""), account="ours")

    assert got.action is Action.RESUME


def test_a_start_refused_for_want_of_credits_ends_a_run_with_quota(job: Any) -> None:
    one = job()

    plan = planned(one, states={one.key: state_of(one, Stage.STAGED, parked_until=NOW + 1)})

    assert plan.exit_code is ExitCode.QUOTA


def test_parked_work_says_what_the_server_said_and_waits_for_its_time_or_for_other_limits(job: Any) -> None:
    one, other = job(cap=2), job(cap=3)
    refused = {"parked_until": NOW + 90, "refusal": "402 larger than limits.input.max_file_size"}

    parked = step(one, state_of(one, Stage.STAGED, **refused))
    mended = step(other, state_of(one, Stage.STAGED, **refused))

    assert parked.action is Action.BLOCKED
    assert "402 larger than limits.input.max_file_size" in parked.reason
    assert parked.reason.endswith("due again in 90 s, or at once with --retry-failed or other limits")
    assert (one.key, mended.action) == (other.key, Action.RESUME)


def test_an_item_that_is_gone_is_an_orphan_whose_results_stay(job: Any) -> None:
    kept, gone = job("a.jpg"), job("b.jpg")
    states = {one.key: state_of(one, Stage.FINISHED, **JUST_NOW, **DELIVERED) for one in (kept, gone)}

    plan = planned(kept, states=states, disk=INTACT)

    assert [(one.address, one.action) for one in plan.steps] == [
        ("shop[a.jpg]", Action.SKIP),
        ("shop[b.jpg]", Action.ORPHAN),
    ]
    assert not plan.has_changes


def test_orphans_of_recipes_that_were_not_asked_about_are_not_shown(job: Any) -> None:
    other = job("b.jpg", name="other")

    plan = planned(job("a.jpg"), states={other.key: state_of(other, Stage.FINISHED)})

    assert [one.address for one in plan.steps] == ["shop[a.jpg]"]


def test_equal_work_is_bought_once_and_only_the_first_address_has_credits_at_stake(job: Any) -> None:
    first, second = job("a.jpg", digest="same"), job("b.jpg", digest="same")

    plan = planned(first, second)

    assert [one.action for one in plan.steps] == [Action.RUN, Action.RUN]
    assert [one.credits.cap for one in plan.steps] == [2, 0]
    assert plan.steps[1].reason == "same work as shop[a.jpg]: bought once, delivered here too"


def test_equal_work_interrupted_before_its_start_is_counted_once(job: Any) -> None:
    first, second = job("a.jpg", digest="same"), job("b.jpg", digest="same")

    plan = planned(first, second, states={first.key: state_of(first, Stage.STAGED)})

    assert [(one.action, one.credits.cap) for one in plan.steps] == [(Action.RESUME, 2), (Action.RESUME, 0)]


@pytest.mark.parametrize("stage", [Stage.STARTING, Stage.STARTED])
def test_what_is_under_way_may_still_cost_what_it_was_capped_at(job: Any, stage: Stage) -> None:
    first, second = job("a.jpg", digest="same", cap=2), job("b.jpg", digest="same", cap=2)

    capped = planned(first, second, states={first.key: state_of(first, stage, cap=5)})
    uncapped = planned(first, states={first.key: state_of(first, stage)})

    assert [one.credits.cap for one in capped.steps] == [5, 0]
    assert plan_summary(capped) == "Plan: 2 to resume. Credits: at most 5."
    assert "Credits: no cap" in plan_summary(uncapped)


def test_what_is_under_way_for_an_earlier_recipe_may_still_cost_its_cap(job: Any) -> None:
    before, now = job(quality=70), job(quality=80)
    begun = {before.key: state_of(before, Stage.STARTED, cap=5)}

    plan = with_begun(planned(now), begun, recipes=frozenset({"shop"}), jobs=[now])

    assert plan_summary(plan) == "Plan: 1 to run, 1 to resume. Credits: at most 7."


def test_work_for_an_earlier_recipe_that_a_run_holds_is_left_to_that_run(job: Any) -> None:
    before, now = job(quality=70), job(quality=80)
    begun = {before.key: state_of(before, Stage.STARTED)}

    plan = with_begun(planned(now), begun, recipes=frozenset({"shop"}), jobs=[now])
    told = with_holders(plan, {before.key: "pid 7 on here"})

    assert told.begun[0].reason.endswith("; a run holds it now, and sees to that")
    assert told.notes == ()


def test_what_is_reserved_already_takes_no_second_room_of_a_budget(job: Any) -> None:
    begun, new = job("a.jpg", cap=3, budget=Budget(day=5)), job("b.jpg", cap=2, budget=Budget(day=5))

    plan = planned(begun, new, states={begun.key: state_of(begun, Stage.STARTED, cap=3)})
    told = with_budgets(plan, {"shop": 3})

    assert told.notes == ()
    assert [one.credits.cap for one in told.steps] == [3, 2]


def test_equal_work_whose_first_address_is_blocked_is_bought_for_the_second(job: Any) -> None:
    first, second = job("a.jpg", digest="same"), job("b.jpg", digest="same")

    plan = planned(first, second, disk=CHANGED)

    assert [(one.action, one.credits.cap) for one in plan.steps] == [(Action.BLOCKED, 0), (Action.RUN, 2)]
    assert plan.steps[1].reason == "new"


def test_every_action_can_be_reached() -> None:
    reached = {case.values[5] for case in TABLE} | {Action.RUN, Action.ORPHAN}

    assert reached == set(Action)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])  # `job` is a plain function
@given(order=st.permutations(range(4)))
def test_the_plan_of_the_same_values_is_the_same_whatever_order_they_were_read_in(job: Any, order: list[int]) -> None:
    jobs = [job(f"{name}.jpg") for name in "abcd"]
    gone = [job(f"gone{number}.jpg") for number in range(4)]
    known = [state_of(one, Stage.FINISHED) for one in gone]

    usual = planned(*jobs, states={one.key: one for one in known})
    shuffled = planned(*jobs, states={known[index].key: known[index] for index in order})

    assert shuffled.as_json() == usual.as_json()


def test_the_summary_counts_every_action_and_names_those_at_zero(job: Any) -> None:
    plan = planned(job("a.jpg"), job("b.jpg"))

    assert plan.summary == {action.value: 2 if action is Action.RUN else 0 for action in Action}
    assert plan.has_changes


def test_only_steps_that_do_something_count_as_changes() -> None:
    assert set(Action) - CHANGING == {Action.SKIP, Action.BLOCKED, Action.LOST, Action.ORPHAN}
