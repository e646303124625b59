"""Work of old logs, whose keys say nothing of accounts."""

from __future__ import annotations

from typing import Any

import pytest

from runner.cli.former_keys import under_known_key
from runner.compile import Job
from runner.plan import Action, Disk, make_plan, with_begun
from runner.state import KeyState, Stage
from tests.plan.conftest import TODAY, make_job, state_of

BEHIND: dict[str, Any] = {"env": "NAME"}


def stored(username: Any, **more: Any) -> Job:
    target = {"type": "ftp", "parameters": {"host": "h", "file": "a.webp"}, "credentials": {"username": username}}
    conversion = {"target": "webp", "output_target": [target]}
    return make_job(job={"input": [{"type": "upload", "source": "{item.path}"}], "conversion": [conversion]}, **more)


def of_an_old_log(job: Job, stage: Stage = Stage.FINISHED, **more: Any) -> KeyState:
    return state_of(job, stage, **({"key": job.former_key, "endpoint": job.endpoint, "epoch": 0} | more))


@pytest.mark.parametrize(
    ("before", "now", "is_known"),
    [
        pytest.param("u", "u", True, id="one-account"),
        pytest.param("u", "v", False, id="two-accounts"),
        pytest.param(BEHIND, BEHIND, False, id="a-reference-may-have-stood-for-another"),
        pytest.param("u", BEHIND, False, id="a-reference-by-now"),
    ],
)
def test_work_that_is_known_under_its_former_key_keeps_it_where_the_account_is_the_same(
    before: Any, now: Any, is_known: bool
) -> None:
    job, old = stored(now), of_an_old_log(stored(before))

    got = under_known_key(job, {old.key: old})

    assert got.key == (old.key if is_known else job.key)
    assert job.key != old.key


def test_work_that_is_known_under_both_keys_has_the_new_one() -> None:
    job = stored("u")
    old = of_an_old_log(job)
    new = of_an_old_log(job, key=job.key)

    assert under_known_key(job, {old.key: old, new.key: new}).key == job.key


def test_what_names_no_account_has_no_former_key() -> None:
    assert make_job().former_key == ""


@pytest.mark.parametrize(
    ("username", "more", "reason"),
    [
        pytest.param(BEHIND, {}, "changed: how keys are made (whose storage it is counts by now)", id="old-log"),
        pytest.param(
            BEHIND, {"key": "k1:other"}, 'changed: the account that {"env": "NAME"} names', id="another-account"
        ),
        pytest.param(
            "u",
            {"key": "k1:other"},
            "changed: how it is written (a file's own name as `filename`, say), or how keys are made",
            id="neither-endpoint-nor-epoch",
        ),
        pytest.param(
            "u",
            {"key": "k1:other", "epoch": None},
            "changed: endpoint or epoch (an old log doesn't say which)",
            id="older-log",
        ),
    ],
)
def test_a_plan_says_what_made_work_new_that_looks_the_same(username: Any, more: dict[str, Any], reason: str) -> None:
    job = stored(username)
    old = of_an_old_log(job, Stage.FAILED, **more)

    (step, *_) = make_plan([job], {old.key: old}, disk=Disk(), now=0.0, run_date=TODAY).steps

    assert (step.action, step.reason) == (Action.RUN, reason)


def test_work_in_flight_that_keys_made_anew_overtook_is_told_as_that() -> None:
    job = stored(BEHIND)
    old = of_an_old_log(job, Stage.STARTED)

    plan = make_plan([job], {old.key: old}, disk=Disk(), now=0.0, run_date=TODAY)
    (begun,) = with_begun(plan, {old.key: old}, recipes=frozenset({"shop"}), jobs=[job]).begun

    assert begun.cause.startswith("how keys are made changed meanwhile (whose storage it is counts)")
    assert begun.cause in begun.reason
