"""Contracts: what accounts may spend and run at once, and what is said when that is used up."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from runner.server.config import Contract
from runner.server.jobs.lifecycle import ENDED
from runner.server.jobs.record import Job
from tests.server.conftest import Copying

INLINE = {"type": "base64", "source": "cGl4ZWxz", "filename": "a.jpg"}


def body(*targets: str, **more: Any) -> dict[str, Any]:
    return {"input": [INLINE], "conversion": [{"target": one} for one in targets or ("png",)], **more}


@pytest.mark.parametrize(
    ("contract", "entry"),
    [
        (Contract(kind="free"), {"contract_type": "free", "credits_remaining": 30}),
        (
            Contract(kind="prepaid", credits=500),
            {"contract_type": "prepaid", "credits_bought": 500, "credits_remaining": 500},
        ),
        (Contract(kind="monthly"), {"contract_type": "invoice"}),
    ],
    ids=["free", "prepaid", "monthly"],
)
def test_a_contract_is_shown_with_what_is_left(with_server: Any, contract: Contract, entry: dict[str, Any]) -> None:
    async def test(api: Any) -> None:
        shown = (await api.http.get("/contracts")).json()

        (one,) = shown["contracts"]
        created = one.pop("contract_creation_date")
        assert len(created) == len("2016-02-02 10:52:36")
        assert one == entry
        assert shown.get("credits_remaining") == entry.get("credits_remaining")

    with_server(test, contract=contract)


def test_without_a_contract_there_is_nothing_to_show(with_server: Any) -> None:
    async def test(api: Any) -> None:
        answer = await api.http.get("/contracts")

        assert (answer.status_code, answer.content) == (204, b"")
        assert (await api.stranger.get("/contracts")).status_code == 401

    with_server(test)


def test_what_jobs_cost_is_missing_from_what_is_left_until_nothing_is_and_then_402(with_server: Any) -> None:
    async def test(api: Any) -> None:
        await api.ended(await api.create(**body("png", "webp")))
        left = (await api.http.get("/contracts")).json()["credits_remaining"]
        await api.ended(await api.create(**body("png")))
        refused = await api.http.post("/jobs", json=body())

        assert left == 1
        assert refused.status_code == 402
        assert "No credits are left" in refused.json()["message"]
        assert len((await api.http.get("/jobs")).json()) == 2

    with_server(test, contract=Contract(kind="prepaid", credits=3))


def test_a_staged_job_isnt_started_without_credits(with_server: Any) -> None:
    async def test(api: Any) -> None:
        staged = await api.create(**body(process=False))
        uploading = await api.create(conversion=[{"target": "png"}])
        await api.ended(await api.create(**body()))

        refused = [await api.start(staged), await api.upload(uploading)]

        assert [one.status_code for one in refused] == [402, 402]
        assert (await api.get(staged))["status"]["code"] == "ready"

    with_server(test, contract=Contract(kind="prepaid", credits=1))


@pytest.mark.parametrize(
    ("credits_", "fails", "status", "outputs", "spent"),
    [(3, True, "completed", 3, 3), (2, True, "failed", 0, 0), (2, False, "completed", 2, 2)],
)
def test_the_contract_bounds_a_job_as_max_credit_does(
    with_server: Any, credits_: int, fails: bool, status: str, outputs: int, spent: int
) -> None:
    async def test(api: Any) -> None:
        job = await api.ended(await api.create(**body("png", "bmp", "gif", fail_on_conversion_error=fails)))

        assert (job["status"]["code"], len(job["output"]), job["spent"]) == (status, outputs, spent)
        assert (await api.http.get("/contracts")).json()["credits_remaining"] == credits_ - spent

    with_server(test, contract=Contract(kind="prepaid", credits=credits_))


def test_two_jobs_at_once_dont_spend_the_same_credits(with_server: Any) -> None:
    async def test(api: Any) -> None:
        made = await asyncio.gather(*(api.create(**body("png", "bmp")) for _ in range(4)))
        ended = [await api.ended(one) for one in made]

        assert sum(one["spent"] for one in ended) <= 5
        assert sorted(one["spent"] for one in ended) == [0, 0, 2, 2]
        assert (await api.http.get("/contracts")).json()["credits_remaining"] == 1

    with_server(test, contract=Contract(kind="prepaid", credits=5))


def test_what_a_job_spent_is_counted_once_while_its_end_is_being_told(with_server: Any) -> None:
    async def test(api: Any) -> None:
        house, seen = api.opened.house, []

        def look(_: Job | None, new: Job) -> None:
            if new.phase in ENDED:
                seen.append(house.purse.left(new.account))

        house.jobs.listeners.insert(0, look)  # before the purse hears of it
        await api.ended(await api.create(**body("png", "bmp")))
        house.jobs.listeners.remove(look)

        assert seen == [3]

    with_server(test, contract=Contract(kind="prepaid", credits=5))


def test_a_new_kind_of_contract_doesnt_charge_for_what_was_before(with_server: Any) -> None:
    async def before(api: Any) -> None:
        await api.ended(await api.create(**body("png", "bmp")))

    async def after(api: Any) -> None:
        assert (await api.http.get("/contracts")).json()["credits_remaining"] == 10
        await api.ended(await api.create(**body()))
        assert (await api.http.get("/contracts")).json()["credits_remaining"] == 9

    async def later(api: Any) -> None:
        assert (await api.http.get("/contracts")).json()["credits_remaining"] == 19

    with_server(before)
    with_server(after, contract=Contract(kind="prepaid", credits=10))
    with_server(later, contract=Contract(kind="prepaid", credits=20))


def test_more_jobs_than_the_contract_runs_at_once_are_429_until_one_ends(with_server: Any) -> None:
    async def test(api: Any) -> None:
        slow = {**INLINE, "filename": "slow.jpg"}
        first = await api.http.post("/jobs", json={**body(), "input": [slow]})
        staged = await api.create(**body(process=False))
        refused = [await api.http.post("/jobs", json=body()), await api.start(staged)]
        await api.http.delete(f"/jobs/{first.json()['id']}")
        again = await api.start(staged)

        assert first.headers["RateLimit-Limit"] == "1"
        assert first.headers["RateLimit-Remaining"] == "0"
        for one in refused:
            assert one.status_code == 429
            assert int(one.headers["Retry-After"]) >= 1
            assert one.headers["RateLimit-Remaining"] == "0"
        assert again.status_code == 200

    with_server(test, contract=Contract(concurrency=1))


def test_many_starts_at_once_never_exceed_the_contract(with_server: Any) -> None:
    async def test(api: Any) -> None:
        slow = {**body(), "input": [{**INLINE, "filename": "slow.jpg"}]}
        answers = await asyncio.gather(*(api.http.post("/jobs", json=slow) for _ in range(20)))

        assert sorted(one.status_code for one in answers) == [201] * 3 + [429] * 17
        assert len((await api.http.get("/jobs")).json()) == 3

    with_server(test, contract=Contract(concurrency=3))


def test_a_repeated_request_is_answered_as_the_first_also_when_the_contract_is_used_up(with_server: Any) -> None:
    async def test(api: Any) -> None:
        key = {"Idempotency-Key": "once"}
        first = await api.http.post("/jobs", json=body(), headers=key)
        await api.ended(first.json())
        again = await api.http.post("/jobs", json=body(), headers=key)
        started = await api.start(first.json())

        assert (again.status_code, again.json()["id"]) == (201, first.json()["id"])
        assert (started.status_code, started.json()["status"]["code"]) == (200, "completed")

    with_server(test, contract=Contract(kind="prepaid", credits=1, concurrency=1))


def test_failed_and_canceled_jobs_cost_nothing(with_server: Any) -> None:
    async def test(api: Any) -> None:
        failed = await api.ended(await api.create(**{**body(), "input": [{**INLINE, "filename": "bad.jpg"}]}))
        slow = await api.create(**{**body(), "input": [{**INLINE, "filename": "slow.jpg"}]})
        await api.http.delete(f"/jobs/{slow['id']}")

        assert failed["status"]["code"] == "failed"
        assert (await api.http.get("/contracts")).json()["credits_remaining"] == 30

    with_server(test, contract=Contract(kind="free"), converter=Copying())
