"""`PATCH {"process": true}`: it starts a job that was staged, and says nothing new to one that starts by itself."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from runner.server.jobs.record import Job, dump_record, load_record

_PNG = {"category": "image", "target": "png"}


@pytest.mark.parametrize("when", ["before the upload", "at once", "in progress", "completed", "failed"])
def test_a_start_of_a_job_that_starts_by_itself_answers_its_document_and_starts_nothing(
    with_server: Any, when: str
) -> None:
    async def test(api: Any) -> None:
        job = await api.create(conversion=[_PNG])
        name = {"in progress": "slow.jpg", "failed": "bad.jpg"}.get(when, "a.jpg")
        if when != "before the upload":
            await api.upload(job, name=name)
        if when == "in progress":
            await api.until(job, lambda one: one.phase == "processing")
        if when in ("completed", "failed"):
            await api.ended(job)
        before = await api.get(job)

        starts = [await api.start(job) for _ in range(3)]

        assert [one.status_code for one in starts] == [200] * 3
        if when != "at once":
            assert [one.json() for one in starts] == [before] * 3
            assert before["status"]["code"] in ("incomplete", "processing", when)
        if when == "before the upload":
            await api.upload(job)
        if when == "in progress":
            await api.http.delete(f"/jobs/{job['id']}")
        await api.ended(job)
        assert api.converter.seen == [f"{name}>png"]

    with_server(test)


def test_a_start_of_a_job_that_starts_by_itself_is_still_read(with_server: Any) -> None:
    async def test(api: Any) -> None:
        job = await api.create(conversion=[_PNG])
        path = f"/jobs/{job['id']}"

        other = await api.http.patch(path, json={"process": True, "conversion": [{"target": "jpg"}]})
        same = await api.http.patch(path, json={"process": "true", "conversion": [_PNG]})
        await api.http.delete(path)
        canceled = await api.start(job)

        assert (other.status_code, list(other.json()["errors"])) == (400, ["conversion"])
        assert same.status_code == 200
        assert (canceled.status_code, "is canceled" in canceled.json()["message"]) == (409, True)

    with_server(test)


def test_a_job_that_was_staged_again_is_started_once(with_server: Any) -> None:
    async def test(api: Any) -> None:
        job = await api.create(conversion=[_PNG])
        await api.http.patch(f"/jobs/{job['id']}", json={"process": False})
        await api.upload(job, name="slow.jpg")

        assert [(await api.start(job)).status_code for _ in range(2)] == [200, 409]

        await api.http.delete(f"/jobs/{job['id']}")

    with_server(test)


@pytest.mark.parametrize("early", [False, True])
def test_a_second_start_of_a_staged_job_is_refused_also_while_it_waits(with_server: Any, early: bool) -> None:
    async def test(api: Any) -> None:
        job = await api.staged()
        if not early:
            await api.upload(job, name="slow.jpg")

        assert [(await api.start(job)).status_code for _ in range(2)] == [200, 409]

        await api.http.delete(f"/jobs/{job['id']}")

    with_server(test)


def test_of_a_job_of_an_earlier_version_nobody_knows_how_it_was_made_and_a_second_start_is_refused(
    with_server: Any,
) -> None:
    async def test(api: Any) -> None:
        job = await api.create(conversion=[_PNG])

        def of_old(one: Job) -> Job:
            row = orjson.loads(dump_record(one))
            del row["self_starting"]
            return load_record(orjson.dumps(row))

        await api.opened.house.jobs.change(job["id"], of_old)

        assert (await api.start(job)).status_code == 409

    with_server(test)
