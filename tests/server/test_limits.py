"""Limits that were changed after what they limit had come, and what can't be changed any more."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.server.post_office import api_of, converted


@pytest.mark.parametrize(
    ("limits", "words"),
    [({"input": {"max_file_size": 5}}, "max_file_size"), ({"job": {"max_inputs": 1}}, "max_inputs")],
)
@pytest.mark.parametrize("together", [True, False])
def test_limits_are_checked_again_at_the_start(with_server: Any, limits: Any, words: str, together: bool) -> None:
    async def test(api: Any) -> None:
        job = await api.staged()
        await api.upload(job)
        await api.upload(job)
        path = f"/jobs/{job['id']}"
        if together:
            refused = await api.http.patch(path, json={"limits": limits, "process": True})
        else:
            assert (await api.http.patch(path, json={"limits": limits})).status_code == 200
            refused = await api.start(job)
        assert (refused.status_code, words in refused.json()["message"]) == (402, True)
        assert (await api.get(job))["status"]["code"] == "ready"

        lifted = {part: dict.fromkeys(names) for part, names in limits.items()}
        assert (await api.http.patch(path, json={"limits": lifted, "process": True})).status_code == 200

    with_server(test)


def test_what_looks_like_a_limit_and_is_none_is_a_warning_from_the_beginning(with_server: Any) -> None:
    async def test(api: Any) -> None:
        limits = {
            "job": {"max_credits": 5, "max_credit": 9},
            "input": {"max_inputs": 1},
            "max_downloads": 2,
            "jobs": {},
        }
        known = "job.max_credit, job.max_inputs, job.max_process_time, input.max_file_size, output.max_downloads"
        job = await api.staged(limits={**limits, "output": {"colour": "red"}})
        assert [one["message"].partition(" is no limit and does nothing; ")[::2] for one in job["warnings"]] == [
            ("limits.max_downloads", "did you mean limits.output.max_downloads?"),
            ("limits.jobs", "did you mean limits.job?"),
            ("limits.job.max_credits", "did you mean limits.job.max_credit?"),
            ("limits.input.max_inputs", "did you mean limits.job.max_inputs?"),
            ("limits.output.colour", f"there are {known}"),
        ]

        gone = {"job": {"max_credits": None}, "input": {"max_inputs": None}, "max_downloads": None, "jobs": None}
        patched = await api.http.patch(f"/jobs/{job['id']}", json={"limits": gone})
        await api.upload(job)
        done = await api.converted(job)

        assert [one["message"].partition(" ")[0] for one in patched.json()["warnings"]] == ["limits.output.colour"]
        assert (done["status"]["code"], done["warnings"]) == ("completed", patched.json()["warnings"])

    with_server(test)


def test_a_limit_stays_until_it_is_named_again(with_server: Any) -> None:
    async def test(api: Any) -> None:
        job = await api.staged(limits={"job": {"max_credit": 0, "max_inputs": 9}, "output": {"max_downloads": 3}})

        async def patched(limits: Any) -> Any:
            return (await api.http.patch(f"/jobs/{job['id']}", json={"limits": limits})).json()["limits"]

        kept = {"job": {"max_credit": 0, "max_inputs": 9}, "input": {}, "output": {"max_downloads": 3}}
        assert [await patched({}), await patched({"job": {}, "input": None})] == [kept, kept]
        assert await patched({"input": {"max_file_size": 50}, "job": {"max_inputs": 5}}) == {
            "job": {"max_credit": 0, "max_inputs": 5},
            "input": {"max_file_size": 50},
            "output": {"max_downloads": 3},
        }
        assert (await patched({"output": {"max_downloads": None}}))["output"] == {}
        await api.upload(job)
        done = await api.converted(job)
        assert (done["status"]["code"], done["spent"], done["limits"]["job"]["max_credit"]) == ("failed", 0, 0)

    with_server(test)


def test_a_job_that_would_start_by_itself_doesnt_beyond_limits_that_came_later(with_server: Any) -> None:
    async def test(api: Any) -> None:
        job = await api.create(conversion=[])
        await api.upload(job, b"123456")
        await api.http.patch(f"/jobs/{job['id']}", json={"limits": {"input": {"max_file_size": 5}}})
        refused = await api.http.post(f"/jobs/{job['id']}/conversions", json={"target": "png"})
        assert (refused.status_code, "max_file_size" in refused.text) == (402, True)
        assert (await api.get(job))["conversion"] == []

    with_server(test)


def test_a_job_that_is_refused_for_what_it_took_from_another_leaves_nothing(with_server: Any) -> None:
    async def test(api: Any) -> None:
        entry = (await api.upload(await api.staged(), b"123456")).json()
        before = sorted(api.opened.house.blobs.path(".").rglob("*"))
        body = {"input": {"type": "input_id", "source": entry["id"]}, "conversion": {"target": "png"}}
        answer = await api.http.post("/jobs", json={**body, "limits": {"input": {"max_file_size": 5}}})
        assert answer.status_code == 402
        assert sorted(api.opened.house.blobs.path(".").rglob("*")) == before

    with_server(test)


@pytest.mark.parametrize(
    "body", [{}, {"process": False}, {"process": True}, {"bogus": 1}, {"limits": {}}, {"process": True, "limits": {}}]
)
def test_a_job_that_has_ended_can_t_be_changed_in_any_way(tmp_path: Path, body: Any) -> None:
    async def test() -> None:
        async with api_of(tmp_path) as api:
            done = await converted(api)
            assert (await api.http.patch(f"/jobs/{done['id']}", json=body)).status_code == 409
            assert await api.get(done) == done

    asyncio.run(test())


def test_a_job_grows_no_larger_than_one_request_may_make_it_and_can_still_be_made_smaller_and_started(
    tmp_path: Path,
) -> None:
    async def test() -> None:
        async with api_of(tmp_path, max_json_bytes=235_000) as api:
            job = await api.staged()
            await api.upload(job)
            path, padding = f"/jobs/{job['id']}", {"metadata": {"note": "x" * 110_000}}
            small = [{"target": "png", **padding}]
            text = {"type": "base64", "source": "YQ==", "filename": "a.txt"}
            while (answer := await api.http.post(f"{path}/conversions", json=small)).status_code == 201:
                assert len((await api.http.get(path)).content) < 300_000
            assert (answer.status_code, answer.json()["message"]) == (
                413,
                "The job would be larger than 235000 bytes with that",
            )
            conversions, files = (await api.get(job))["conversion"], _files(api)
            one = f"{path}/conversions/{conversions[-1]['id']}"
            grown = [
                await api.http.patch(one, json={"metadata": {"note": "x" * 130_000}}),
                await api.http.post(f"{path}/input", json={**text, "options": padding["metadata"]}),
                await api.http.patch(path, json={"limits": {"job": padding["metadata"]}}),
            ]
            assert [answer.status_code for answer in grown] == [413, 413, 413]
            assert ((await api.get(job))["conversion"], _files(api)) == (conversions, files)

            assert (await api.http.patch(one, json={"metadata": {"note": "x" * 90_000}})).status_code == 200
            assert (await api.http.delete(one)).status_code == 204
            assert (await api.start(job)).status_code == 200

    asyncio.run(test())


def test_inputs_that_are_refused_together_leave_no_file(with_server: Any) -> None:
    async def test(api: Any) -> None:
        job = await api.staged()
        before = _files(api)
        good = {"type": "base64", "source": "YQ==", "filename": "a.txt"}
        answer = await api.http.post(f"/jobs/{job['id']}/input", json=[good, {**good, "source": "?"}])
        assert answer.status_code == 400
        assert ((await api.get(job))["input"], _files(api)) == ([], before)

    with_server(test)


def _files(api: Any) -> list[Path]:
    return sorted(path for path in api.opened.house.blobs.path(".").rglob("*") if path.is_file())
