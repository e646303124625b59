"""Chunked uploads when things go wrong: chunks that are repeated, cut off, or whose file is gone."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from runner.server.engine.retention import cancel_forgotten
from tests.server.post_office import api_of, waiting_until
from tests.server.test_files import HEADERS, form, url

CONTENT = bytes(range(256)) * 4096
HALF = len(CONTENT) // 2


async def send(
    api: Any, job: dict[str, Any], first: int, end: int, content: bytes = CONTENT, name: str = "a.jpg"
) -> httpx.Response:
    """Bytes `first` up to `end` of `content`, as a chunk of it."""
    where = f"bytes {first}-{end - 1}/{len(content)}"
    answer: httpx.Response = await api.upload(
        job, content[first:end], name=name, x_oc_upload_uuid="u", Content_Range=where
    )
    return answer


def test_a_last_chunk_that_is_repeated_at_the_same_moment_completes_the_upload_once(with_server: Any, md5: Any) -> None:
    async def test(api: Any) -> None:
        async def after(job: dict[str, Any], wait_s: float) -> httpx.Response:
            await asyncio.sleep(wait_s)
            return await send(api, job, HALF, len(CONTENT))

        for round_ in range(30):
            job = await api.staged()
            await send(api, job, 0, HALF)
            answers = await asyncio.gather(*(after(job, number * (round_ % 6) / 1000) for number in range(4)))

            assert [one.status_code for one in answers] == [200] * 4
            (entry,) = (await api.get(job))["input"]
            assert [one.json() for one in answers] == [entry] * 4
            assert (entry["size"], entry["checksum"]) == (len(CONTENT), md5(CONTENT))
            (blob,) = api.opened.house.blobs.path(job["id"]).iterdir()
            assert blob.read_bytes() == CONTENT

    with_server(test)


def test_a_repetition_with_other_bytes_is_refused_and_changes_nothing(with_server: Any, md5: Any) -> None:
    async def test(api: Any) -> None:
        job = await api.staged()
        await send(api, job, 0, HALF)
        other = CONTENT[:HALF] + b"x" * HALF
        answers = await asyncio.gather(send(api, job, HALF, len(CONTENT)), send(api, job, HALF, len(CONTENT), other))

        (entry,) = (await api.get(job))["input"]
        assert sorted(one.status_code for one in answers) == [200, 409]
        assert entry["checksum"] == md5(CONTENT if answers[0].status_code == 200 else other)

    with_server(test)


def test_a_chunk_that_breaks_off_leaves_what_came_before_as_it_was(with_server: Any, md5: Any) -> None:
    async def test(api: Any) -> None:
        job = await api.staged()
        await send(api, job, 0, HALF)

        async def broken() -> AsyncIterator[bytes]:
            yield form(b"x" * HALF)[: HALF // 2]

        where = {"x-oc-upload-uuid": "u", "Content-Range": f"bytes 0-{HALF - 1}/{len(CONTENT)}"}
        assert (await api.http.post(url(job), content=broken(), headers={**HEADERS, **where})).status_code == 400
        entry = (await send(api, job, HALF, len(CONTENT))).json()

        assert (entry["status"], entry["checksum"]) == ("ready", md5(CONTENT))

    with_server(test)


@pytest.mark.parametrize("restarts", [False, True])
def test_a_password_may_come_with_any_of_the_chunks(tmp_path: Path, *, restarts: bool) -> None:
    async def test() -> None:
        async with api_of(tmp_path / "state", seal_key=tmp_path / "key") as api:
            job = await api.staged()
            where = {"x-oc-upload-uuid": "u", "Content-Range": f"bytes 0-{HALF - 1}/{len(CONTENT)}"}
            files, fields = {"file": ("a.jpg", CONTENT[:HALF])}, {"decrypt_password": "pa55"}
            await api.http.post(url(job), headers=where, files=files, data=fields)
            if not restarts:
                await completed(api, job)
        if restarts:
            async with api_of(tmp_path / "state", seal_key=tmp_path / "key") as api:
                await completed(api, job)

    async def completed(api: Any, job: dict[str, Any]) -> None:
        entry = (await send(api, job, HALF, len(CONTENT))).json()
        assert entry["status"] == "ready"
        assert api.opened.house.vault.get(job["id"], entry["id"]) == {"decrypt_password": "pa55"}
        assert api.opened.house.jobs.load(job["id"]).inputs[0].sealed

    asyncio.run(test())


def test_chunks_whose_file_was_swept_away_have_to_come_again(with_server: Any, md5: Any) -> None:
    async def test(api: Any) -> None:
        job = await api.staged()
        await send(api, job, 0, HALF)
        api.opened.house.blobs.remove_scraps(older_than_s=-1)
        last = (await send(api, job, HALF, len(CONTENT))).json()
        assert (last["status"], (await api.get(job))["input"]) == ("downloading", [last])
        first = (await send(api, job, 0, HALF)).json()
        assert (first["status"], first["checksum"]) == ("ready", md5(CONTENT))

    with_server(test)


def test_a_job_that_is_started_in_the_middle_of_an_upload_waits_for_the_rest(with_server: Any, md5: Any) -> None:
    async def test(api: Any) -> None:
        job = await api.staged()
        await api.upload(job, b"whole", name="a.jpg")
        coming = (await send(api, job, 0, HALF)).json()

        shown = (await api.http.get(f"/jobs/{job['id']}/input/{coming['id']}")).json()
        started = (await api.start(job)).json()
        await api.http.patch(f"/jobs/{job['id']}/input", json=[{"id": coming["id"], "options": {"position": 0}}])
        assert (shown, started["status"]["code"], started["input"][1]) == (coming, "downloading", coming)
        assert api.converter.seen == []

        whole = (await send(api, job, HALF, len(CONTENT))).json()
        done = await api.ended(job)

        assert (whole["id"], whole["checksum"], whole["options"]) == (coming["id"], md5(CONTENT), {"position": 0})
        assert (done["status"]["code"], len(api.converter.seen)) == ("completed", 2)
        assert list(api.opened.house.blobs.scratch("").iterdir()) == []

    with_server(test)


def test_an_upload_that_does_not_go_on_may_be_deleted_and_the_job_goes_on_without_it(with_server: Any) -> None:
    async def test(api: Any) -> None:
        job = await api.staged()
        await api.upload(job, b"whole", name="a.jpg")
        coming = (await send(api, job, 0, HALF)).json()
        await api.start(job)

        deleted = await api.http.delete(f"/jobs/{job['id']}/input/{coming['id']}")
        done = await api.ended(job)

        assert (deleted.status_code, done["status"]["code"]) == (204, "completed")
        assert [one["filename"] for one in done["input"]] == ["a.jpg"]
        assert list(api.opened.house.blobs.scratch("").iterdir()) == []
        late = await send(api, job, HALF, len(CONTENT))
        assert (late.status_code, list(api.opened.house.blobs.scratch("").iterdir())) == (409, [])

    with_server(test)


def test_a_whole_upload_takes_the_place_of_chunks_under_the_same_id(with_server: Any, md5: Any) -> None:
    async def test(api: Any) -> None:
        job = await api.staged()
        await send(api, job, 0, HALF)
        whole = (await api.upload(job, CONTENT, x_oc_upload_uuid="u")).json()

        assert (whole["status"], whole["checksum"]) == ("ready", md5(CONTENT))
        assert [one["id"] for one in (await api.get(job))["input"]] == [whole["id"]]
        assert list(api.opened.house.blobs.scratch("").iterdir()) == []

    with_server(test)


def test_the_name_is_that_of_the_request_that_completes_an_upload_unless_a_patch_has_set_another(
    with_server: Any,
) -> None:
    async def test(api: Any) -> None:
        replaced, chunked, renamed = [await api.staged("png") for _ in range(3)]
        await send(api, replaced, 0, HALF, name="half.jpg")
        await api.upload(replaced, CONTENT, name="whole.jpg", x_oc_upload_uuid="u")
        await send(api, chunked, 0, HALF, name="blob")
        await send(api, chunked, HALF, len(CONTENT), name="real.jpg")
        coming = (await send(api, renamed, 0, HALF, name="blob")).json()
        await api.http.patch(f"/jobs/{renamed['id']}/input/{coming['id']}", json={"filename": "wanted"})
        await send(api, renamed, HALF, len(CONTENT), name="real.jpg")

        for job, name in ((replaced, "whole"), (chunked, "real"), (renamed, "wanted")):
            done = await api.converted(job)
            names = [done["input"][0]["filename"], done["output"][0]["filename"]]
            assert names == [f"{name}.jpg", f"{name}.png"]

    with_server(test)


@pytest.mark.parametrize("total", [len(CONTENT), 4096])  # a folder has 4096 bytes on many file systems
@pytest.mark.parametrize("given_up_by", ["client", "retention"])
def test_what_comes_of_an_upload_after_its_job_is_canceled_is_refused_for_that(
    tmp_path: Path, given_up_by: str, total: int
) -> None:
    async def test() -> None:
        async with api_of(tmp_path) as api:
            content, job = CONTENT[:total], await api.staged()
            await send(api, job, 0, 99, content)
            await api.start(job)
            if given_up_by == "client":
                await api.http.delete(f"/jobs/{job['id']}")
            else:
                await cancel_forgotten(api.opened.house.jobs, before=time.time() + 1)

            rest = await send(api, job, 99, total, content)
            whole = await api.upload(job, content, x_oc_upload_uuid="u")

            for answer in (rest, whole):
                assert (answer.status_code, "the job is canceled" in answer.json()["message"]) == (409, True)
            assert list(api.opened.house.blobs.scratch("").iterdir()) == []

    asyncio.run(test())


def test_a_job_that_waits_for_an_upload_ends_with_its_time(tmp_path: Path) -> None:
    async def test() -> None:
        async with api_of(tmp_path) as api:
            job = await api.staged()
            await send(api, job, 0, HALF)
            await api.start(job)
        async with api_of(tmp_path) as api:  # nobody fetches it after a restart, either
            assert (await api.get(job))["status"]["code"] == "downloading"
            await cancel_forgotten(api.opened.house.jobs, before=time.time() + 1)
            ended = await api.get(job)

            assert (ended["status"]["code"], ended["input"][0]["status"]) == ("canceled", "canceled")
            assert list(api.opened.house.blobs.scratch("").iterdir()) == []

    asyncio.run(test())


def test_a_start_in_the_middle_of_an_upload_is_refused_and_tells_why(with_server: Any) -> None:
    async def test(api: Any) -> None:
        job = await api.staged()
        await api.upload(job, b"whole", name="a.jpg")
        begun, goes_on, body = asyncio.Event(), asyncio.Event(), form(CONTENT)

        async def slowly() -> AsyncIterator[bytes]:
            yield body[:HALF]
            begun.set()
            await goes_on.wait()
            yield body[HALF:]

        uploading = asyncio.create_task(api.http.post(url(job), content=slowly(), headers=HEADERS))
        await begun.wait()
        refused = await api.start(job)
        goes_on.set()
        uploaded = await uploading
        done = await api.converted(job)

        assert (refused.status_code, "still being uploaded" in refused.json()["message"]) == (409, True)
        assert (uploaded.status_code, done["status"]["code"]) == (200, "completed")
        assert len(api.converter.seen) == 2

    with_server(test)


def test_what_is_still_being_uploaded_counts_on_disk(tmp_path: Path, md5: Any) -> None:
    async def test() -> None:
        async with api_of(tmp_path, max_disk_bytes=1_500_000) as api:
            job, other = await api.staged(), await api.staged()
            assert (await send(api, job, 0, HALF)).status_code == 200
            assert api.opened.house.blobs.used_bytes == HALF
            refused = await api.upload(other, b"x" * 1_200_000)
            assert (refused.status_code, "1500000 bytes" in refused.text) == (507, True)
            assert (await send(api, other, 0, HALF)).status_code == 507  # there is no room for the second half
            entry = (await send(api, job, HALF, len(CONTENT))).json()
            assert entry["checksum"] == md5(CONTENT)
            assert api.opened.house.blobs.used_bytes == len(CONTENT)
            await api.http.delete(f"/jobs/{job['id']}")
            assert api.opened.house.blobs.used_bytes == 0
            await send(api, other, 0, HALF)

        async with api_of(tmp_path, max_disk_bytes=1_500_000) as api:
            assert api.opened.house.blobs.used_bytes == HALF
            await api.http.delete(f"/jobs/{other['id']}")
            assert api.opened.house.blobs.used_bytes == 0

    asyncio.run(test())


def test_uploads_at_the_same_time_dont_take_the_same_room(tmp_path: Path) -> None:
    async def test() -> None:
        async with api_of(tmp_path, max_disk_bytes=1_000_000) as api:
            sent, goes_on = 0, asyncio.Event()
            body = form(b"x" * 600_000)

            async def slowly() -> AsyncIterator[bytes]:  # without a length: what is announced is no help
                nonlocal sent
                yield body[:500_000]
                sent = 500_000
                await goes_on.wait()
                yield body[500_000:]

            first, second = await api.staged(), await api.staged()
            uploading = asyncio.create_task(api.http.post(url(first), content=slowly(), headers=HEADERS))
            await waiting_until(lambda: api.opened.house.blobs.used_bytes > 499_000)
            refused = await api.upload(second, b"x" * 600_000)
            goes_on.set()

            assert (sent, refused.status_code) == (500_000, 507)
            assert (await uploading).status_code == 200
            assert api.opened.house.blobs.used_bytes == 600_000

    asyncio.run(test())


def test_a_chunk_longer_than_it_says_and_one_of_another_total_are_told_as_that(with_server: Any, md5: Any) -> None:
    async def test(api: Any) -> None:
        job = await api.staged()
        headers = {"x_oc_upload_uuid": "u", "Content_Range": f"bytes 0-9/{len(CONTENT)}"}
        long = await api.upload(job, CONTENT, **headers)
        assert (long.status_code, "Content-Range: announces other than" in long.json()["message"]) == (400, True)

        await send(api, job, 0, HALF)
        other = await send(api, job, HALF, len(CONTENT) - 1, CONTENT[:-1])
        assert (other.status_code, f"it has {len(CONTENT)} bytes in all" in other.json()["message"]) == (409, True)

        assert (await send(api, job, HALF, len(CONTENT))).json()["checksum"] == md5(CONTENT)

    with_server(test)
