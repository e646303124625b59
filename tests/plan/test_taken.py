"""Names at output targets that other work holds, or is about to take."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from runner.compile import Job
from runner.plan import Action, Disk, Plan, Policy, Step, make_plan, with_begun
from runner.state import KeyState, Stage
from tests.plan.conftest import TODAY, make_job
from tests.plan.conftest import state_of as known_state

NOW = 1_795_444_000.0
NAME = "FTP, host 'h', file 'a.webp'"
AGAIN = Policy(retry_failed=True)
TAKEN = {"errors": ({"code": 409, "message": f"{NAME}: the name is taken, and nothing is overwritten"},)}
BROKEN = {"errors": ({"code": 15, "message": "no such codec"},)}


def stored(quality: int = 80, *, files: tuple[str, ...] = ("a.webp",), username: Any = "u", **more: Any) -> Job:
    """Work whose results go to FTP."""
    targets = [
        {"type": "ftp", "parameters": {"host": "h", "file": file}, "credentials": {"username": username}}
        for file in files
    ]
    conversion = {"target": "webp", "options": {"quality": quality}, "output_target": targets}
    return make_job(
        job={"input": [{"type": "upload", "source": "{item.path}"}], "conversion": [conversion]}, cap=None, **more
    )


def state_of(job: Job, stage: Stage, **more: Any) -> KeyState:
    return known_state(job, stage, **({"endpoint": job.endpoint, "account": "ours"} | more))


def planned(job: Job, *states: KeyState, beside: tuple[KeyState, ...] = (), policy: Policy | None = None) -> Plan:
    known = {one.key: one for one in states}
    return make_plan([job], known, disk=Disk(), now=NOW, run_date=TODAY, policy=policy, account="ours", beside=beside)


def step(job: Job, *states: KeyState, **more: Any) -> Step:
    return planned(job, *states, **more).steps[0]


@pytest.mark.parametrize(
    ("stage", "more", "action", "held", "words"),
    [
        pytest.param(Stage.INTENT, {}, Action.RUN, False, "changed", id="intent"),
        pytest.param(Stage.STAGED, {}, Action.RUN, False, "changed", id="staged"),
        pytest.param(Stage.STARTING, {}, Action.BLOCKED, False, "then looks whether the name is free", id="starting"),
        pytest.param(Stage.STARTED, {}, Action.BLOCKED, False, "then looks whether the name is free", id="started"),
        pytest.param(
            Stage.STARTED, {"account": "theirs"}, Action.BLOCKED, False, "another account's API key", id="another-key"
        ),
        pytest.param(
            Stage.STARTED, {"endpoint": "hosted"}, Action.BLOCKED, False, "it runs at hosted", id="another-endpoint"
        ),
        pytest.param(
            Stage.STARTED,
            {"account": "theirs", "started_at": NOW - 90_000},
            Action.RUN,
            True,
            "whose end was not seen",
            id="another-key-long-ago",
        ),
        pytest.param(
            Stage.STARTED,
            {"started_at": NOW - 90_000},
            Action.BLOCKED,
            False,
            "then looks whether the name is free",
            id="long-ago",
        ),
        pytest.param(Stage.FINISHED, {}, Action.RUN, True, "holds what an earlier run delivered", id="finished"),
        pytest.param(Stage.FAILED, TAKEN, Action.RUN, True, "was taken when", id="failed-since-it-was-taken"),
        pytest.param(Stage.FAILED, BROKEN, Action.RUN, False, "changed", id="failed"),
        pytest.param(Stage.LOST, {}, Action.RUN, True, "may hold the result of a job that was lost", id="lost"),
    ],
)
@pytest.mark.parametrize("beside", [False, True], ids=["of-the-recipe", "of-another"])
def test_changed_work_goes_by_what_its_name_may_hold(
    stage: Stage, more: dict[str, Any], action: Action, held: bool, words: str, beside: bool
) -> None:
    before = state_of(stored(80), stage, **more)

    got = step(stored(50), beside=(before,)) if beside else step(stored(50), before)

    assert (got.action, bool(got.held)) == (action, held), got.reason
    assert words in got.reason or (beside and words == "changed")


@pytest.mark.parametrize(
    ("stage", "more", "policy", "action", "held"),
    [
        pytest.param(Stage.FAILED, TAKEN, AGAIN, Action.RETRY, (NAME,), id="failed-since-it-was-taken"),
        pytest.param(Stage.FAILED, TAKEN, None, Action.BLOCKED, (), id="nobody-allowed-another"),
        pytest.param(Stage.FAILED, BROKEN, AGAIN, Action.RETRY, (), id="failed-for-something-else"),
        pytest.param(Stage.LOST, {}, Policy(retry_lost=True), Action.RETRY, (), id="lost"),
        pytest.param(Stage.STARTED, {}, None, Action.RESUME, (), id="bought-already"),
        pytest.param(
            Stage.FINISHED, {"gone": True}, Policy(retry_lost=True), Action.RETRY, (NAME,), id="its-own-result"
        ),
    ],
)
def test_another_attempt_looks_at_the_names_that_the_last_one_met(
    stage: Stage, more: dict[str, Any], policy: Policy | None, action: Action, held: tuple[str, ...]
) -> None:
    job = stored()

    got = step(job, state_of(job, stage, **more), policy=policy)

    assert (got.action, got.held) == (action, held), got.reason


def test_of_several_names_only_the_one_that_was_taken_is_looked_at() -> None:
    job = stored(files=("a.webp", "b.webp"))

    got = step(job, state_of(job, Stage.FAILED, **TAKEN), policy=AGAIN)

    assert got.held == (NAME,)


def test_what_nobody_can_look_at_is_bought_again_by_a_person_alone() -> None:
    job = stored(retry=3)
    unnamed = replace(state_of(job, Stage.FAILED, **TAKEN), payload={})

    allowed, urged = step(job, unnamed), step(job, unnamed, policy=AGAIN)

    assert (allowed.action, urged.action) == (Action.BLOCKED, Action.RETRY)


def test_what_failed_for_a_taken_name_says_how_to_free_it() -> None:
    job = stored()

    taken, broken = (step(job, state_of(job, Stage.FAILED, **errors)).reason for errors in (TAKEN, BROKEN))

    assert taken.endswith(
        "remove what has the name there, or give `file` another one; --retry-failed then buys another"
    )
    assert broken.endswith("--retry-failed or a higher retry buys another")


def test_work_under_way_is_resumed_although_another_result_has_its_name() -> None:
    job, other = stored(80), stored(50)

    got = step(job, state_of(job, Stage.STARTED), state_of(other, Stage.FINISHED))

    assert (got.action, got.held) == (Action.RESUME, ())


@pytest.mark.parametrize(
    ("before", "now", "action"),
    [
        ("u", "u", Action.BLOCKED),
        ("u", "v", Action.RUN),
        ("u", {"env": "NAME"}, Action.BLOCKED),
        ({"env": "NAME"}, {"env": "OTHER"}, Action.BLOCKED),
    ],
)
def test_a_name_in_another_account_is_another_where_both_are_known(before: Any, now: Any, action: Action) -> None:
    got = step(stored(50, username=now), state_of(stored(80, username=before), Stage.STARTED))

    assert got.action is action


def test_equal_work_is_blocked_at_each_of_its_addresses() -> None:
    before = state_of(stored(80), Stage.STARTED)
    jobs = [stored(50, digest="same"), stored(50, item="b.jpg", digest="same")]

    plan = make_plan(jobs, {before.key: before}, disk=Disk(), now=NOW, run_date=TODAY, account="ours")

    assert [one.action for one in plan.steps] == [Action.BLOCKED, Action.BLOCKED]


def test_work_that_a_name_waits_for_is_seen_to_its_end_whatever_recipe_began_it() -> None:
    before = state_of(stored(80, name="renamed-since"), Stage.STARTED)
    job = stored(50)

    waiting, free = planned(job, beside=(before,)), planned(make_job())
    found = [
        with_begun(plan, {before.key: before}, recipes=frozenset({"shop"}), jobs=[job]).begun
        for plan in (waiting, free)
    ]

    assert [len(begun) for begun in found] == [1, 0]
    assert found[0][0].reason == (
        "job job-1 was begun before; it was begun for another recipe, and its result goes to a name that is asked for "
        f"here; what it cost is noted at its end, and its results go to {NAME}"
    )
