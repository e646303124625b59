"""One job that nothing can be done with stops no other: not now, not after a restart, and not unseen."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import apsw
import pytest

from runner.server.book import DATABASE, read_book
from runner.server.engine.retention import cancel_forgotten, expire
from runner.server.jobs.lifecycle import Phase
from runner.server.jobs.record import Job
from runner.server.standing import Standing
from runner.server.store.database import Database
from runner.server.store.jobs import JobStore
from tests.server.conftest import PATIENCE_S
from tests.server.post_office import QUICK, api_of, converted, waiting_until

NO_URL = "http://[bad/x"


@pytest.mark.parametrize(
    "url",
    [
        NO_URL,
        "http://example.org:port/",
        "http://example.org:99999/",
        "http://a..b/",
        "http://a\x00b/",
        "http://a b/",
        "http:///nowhere",
        "ftp://example.org/",
        "http://user:pa55word@example.org/",
    ],
)
def test_a_callback_that_can_never_be_posted_is_refused_when_it_is_given(tmp_path: Path, url: str) -> None:
    async def test() -> None:
        async with api_of(tmp_path) as api:
            made = await api.http.post("/jobs", json={"process": False, "callback": url})
            job = await api.staged(callback="http://example.org/before")
            changed = await api.http.patch(f"/jobs/{job['id']}", json={"callback": url})
            kept = (await api.get(job))["callback"]

        assert [made.status_code, changed.status_code] == [400, 400]
        assert made.json()["errors"].keys() == {"callback"}
        assert "pa55word" not in made.text
        assert kept == "http://example.org/before"

    asyncio.run(test())


def test_jobs_of_an_old_version_with_a_callback_that_is_no_url_end_and_stop_nobody(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def test() -> None:
        async with api_of(tmp_path, callbacks=QUICK) as api:
            bad = [await api.staged() for _ in range(5)]
            for job in bad:
                await api.upload(job)
                await api.opened.house.jobs.change(job["id"], lambda one: replace(one, callback=NO_URL))
            ended = [(await api.converted(job))["status"]["code"] for job in bad]
            good = await converted(api)
            database = api.opened.house.database
            await waiting_until(lambda: database.rows("select 1 from callbacks") == [])

        assert (ended, good["status"]["code"]) == (["completed"] * 5, "completed")

    with caplog.at_level(logging.WARNING):
        asyncio.run(test())
    assert "not a valid URL" in caplog.text


def test_a_job_whose_end_cant_be_written_takes_no_runner_away_and_ends_after_a_restart(tmp_path: Path) -> None:
    async def test() -> None:
        async with api_of(tmp_path, workers=1) as api:
            bad = [await api.staged() for _ in range(4)]
            for job in bad:
                await api.upload(job)
                await api.opened.house.database.write(partial(_make_unwritable, job["id"]))
            for job in bad:
                await api.start(job)
            good = [(await converted(api))["status"]["code"] for _ in range(3)]
            health = await api.stranger.get("http://server.test/health")
        with _opened(tmp_path) as database:
            for (name,) in database.execute("select name from sqlite_master where type = 'trigger'").fetchall():
                database.execute(f'drop trigger "{name}"')
        async with api_of(tmp_path, workers=1) as api:
            late = [(await api.ended(job))["status"]["code"] for job in bad]

        assert (good, health.status_code) == (["completed"] * 3, 200)
        assert late == ["completed"] * 4
        assert all(
            (read_book(tmp_path)[job["id"]].starts, read_book(tmp_path)[job["id"]].credits) == (1, 1) for job in bad
        )

    asyncio.run(test())


def _make_unwritable(job_id: str, db: apsw.Connection) -> None:
    db.execute(
        f"create trigger \"bad-{job_id}\" before update on jobs when new.id = '{job_id}' "
        "and new.status in ('completed', 'failed') begin select raise(abort, 'broken'); end"
    )


def _spoil(job_id: str, db: apsw.Connection) -> None:
    db.execute("update jobs set record = x'7b' where id = ?", (job_id,))


def _opened(state: Path) -> Any:
    return apsw.Connection(str(state / DATABASE))


def test_a_record_that_cant_be_read_is_left_alone_and_the_others_are_taken_up(tmp_path: Path) -> None:
    async def test() -> None:
        async with api_of(tmp_path, workers=1) as api:
            bad, good = await api.staged(), await api.staged()
            for job in (bad, good):
                await api.upload(job, name="slow.jpg")
                await api.start(job)
            await asyncio.wait_for(api.converter.endless.wait(), PATIENCE_S)
        with _opened(tmp_path) as database:
            database.execute("update jobs set record = ? where id = ?", (b"{", bad["id"]))
            database.execute(
                "update jobs set record = cast(replace(record, 'slow.jpg', 'good.jpg') as blob) where id = ?",
                (good["id"],),
            )
        async with api_of(tmp_path, workers=1) as api:
            ended = await api.ended(good)
            health = await api.stranger.get("http://server.test/health")

        assert (ended["status"]["code"], health.status_code) == ("completed", 200)

    asyncio.run(test())


def test_files_of_others_are_cleaned_up_although_one_record_cant_be_read(tmp_path: Path) -> None:
    async def test() -> None:
        async with api_of(tmp_path) as api:
            jobs = api.opened.house.jobs
            bad, good = await converted(api), await converted(api)
            bad_staged, good_staged = await api.staged(), await api.staged()
            for job in (bad, bad_staged):
                await api.opened.house.database.write(partial(_spoil, job["id"]))
            expired = await expire(jobs, api.opened.house.blobs, now=2e10)
            canceled = await cancel_forgotten(jobs, before=2e9)

            assert (expired, canceled) == (1, 1)
            assert (await api.get(good))["output"][0]["status"] == "expired"
            assert (await api.get(good_staged))["status"]["code"] == "canceled"

    asyncio.run(test())


def test_a_callback_that_we_fail_to_send_is_given_up_and_others_are_sent(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def test() -> None:
        rules = replace(QUICK, first_wait_s=0.01, most_wait_s=0.01)
        async with api_of(tmp_path, callbacks=rules, allow_private=("no network",)) as api:
            await converted(api, callback="http://127.0.0.1:9/")
            database = api.opened.house.database
            await waiting_until(lambda: database.rows("select 1 from callbacks") == [])
            health = await api.stranger.get("http://server.test/health")

        assert health.status_code == 200

    with caplog.at_level(logging.ERROR):
        asyncio.run(test())
    assert len([one for one in caplog.records if "could not be sent" in one.getMessage()]) == 11


def test_a_standing_task_goes_on_after_a_round_that_failed_and_is_missed_when_it_is_gone() -> None:
    async def test() -> None:
        rounds: list[int] = []
        enough, standing = asyncio.Event(), Standing(rest_s=0)

        async def one_round() -> None:
            rounds.append(len(rounds))
            if len(rounds) < 4:
                raise LookupError("a bad record")
            enough.set()
            await asyncio.Event().wait()

        async def ends() -> None:
            raise asyncio.CancelledError

        standing.start("goes on", one_round)
        standing.start("is gone", ends)
        await asyncio.wait_for(enough.wait(), PATIENCE_S)

        assert (rounds, standing.gone()) == ([0, 1, 2, 3], ["is gone"])
        await standing.close()

    asyncio.run(test())


def test_health_and_metrics_say_when_a_task_of_the_server_is_gone(tmp_path: Path) -> None:
    async def test() -> None:
        async with api_of(tmp_path) as api:
            runner = next(one for one in asyncio.all_tasks() if one.get_name() == "conversions")
            runner.cancel()
            await asyncio.wait([runner])
            health = await api.stranger.get("http://server.test/health")
            metrics = await api.stranger.get("http://server.test/metrics")

        assert (health.status_code, "conversions" in health.json()["message"]) == (503, True)
        assert "runner_tasks_gone 1\n" in metrics.text

    asyncio.run(test())


@asynccontextmanager
async def held_writer(database: Database) -> AsyncIterator[threading.Event]:
    """While it lasts and the event isn't set, writes wait: nothing becomes durable."""
    entered, go = threading.Event(), threading.Event()

    def hold(_: apsw.Connection) -> None:
        entered.set()
        go.wait()

    blocking = asyncio.create_task(database.write(hold))
    await asyncio.to_thread(entered.wait)
    try:
        yield go
    finally:
        go.set()
        await blocking


def test_a_change_whose_caller_goes_away_is_announced_and_the_next_one_builds_on_it(tmp_path: Path) -> None:
    async def test() -> None:
        async with api_of(tmp_path) as api:
            job = await api.staged()
            jobs: JobStore = api.opened.house.jobs
            heard: list[tuple[str, str]] = []
            jobs.listeners.append(lambda old, new: heard.append((old.callback if old else "", new.callback)))
            async with held_writer(api.opened.house.database):
                gone = asyncio.create_task(jobs.change(job["id"], _calling("http://a/")))
                await waiting_until(lambda: bool(jobs._under_way))
                gone.cancel()
                await asyncio.wait([gone])
                later = asyncio.create_task(jobs.change(job["id"], lambda one: _calling(one.callback + "b")(one)))
            await later

            assert (gone.cancelled(), heard) == (True, [("", "http://a/"), ("http://a/", "http://a/b")])

    asyncio.run(test())


def _calling(url: str) -> Any:
    return lambda job: replace(job, callback=url)


def test_a_job_whose_request_goes_away_while_it_is_written_is_converted_all_the_same(tmp_path: Path) -> None:
    async def test() -> None:
        async with api_of(tmp_path) as api:
            ended = asyncio.Event()
            seen: dict[str, Job] = {}  # by id

            def listen(_: Job | None, new: Job) -> None:
                seen[new.id] = new
                if new.phase in ("completed", "failed"):
                    ended.set()

            jobs = api.opened.house.jobs
            body = {
                "input": [{"type": "base64", "source": "eA==", "filename": "a.jpg"}],
                "conversion": {"target": "png"},
            }
            await api.staged()  # the account is known from then on, without a write
            jobs.listeners.append(listen)
            async with held_writer(api.opened.house.database):
                asking = asyncio.create_task(api.http.post("/jobs", json=body))
                await waiting_until(lambda: bool(api.opened.house.database._gathered) or asking.done())
                asking.cancel()
                await asyncio.wait([asking])
            await asyncio.wait_for(ended.wait(), PATIENCE_S)

            assert asking.cancelled()
            assert [job.phase for job in seen.values()] == ["completed"]

    asyncio.run(test())


def test_jobs_that_are_canceled_the_moment_they_are_taken_up_take_no_runner_away(tmp_path: Path) -> None:
    async def test() -> None:
        async with api_of(tmp_path, workers=1) as api:
            taken = api.opened.house.jobs
            jobs = [await api.staged() for _ in range(4)]
            for job in jobs:
                await api.upload(job)
                await api.start(job)
                for _ in range(jobs.index(job)):  # at the first, second, ... turn of the loop after the start
                    await asyncio.sleep(0)
                await taken.change(job["id"], _canceled)

            assert (await converted(api))["status"]["code"] == "completed"

    asyncio.run(test())


def _canceled(job: Job) -> Job:
    return replace(job, phase=Phase.CANCELED)


def test_no_reader_is_shown_less_than_what_is_durable(tmp_path: Path) -> None:
    async def test() -> None:
        async with api_of(tmp_path) as api:
            job = await api.staged()
            jobs: JobStore = api.opened.house.jobs
            changing = asyncio.create_task(jobs.change(job["id"], _calling("http://a/")))
            for _ in range(20):  # so that the write is on its way, and not only gathered
                await asyncio.sleep(0)
            block_until_durable(jobs, job["id"])
            held = jobs.held(job["id"])
            await changing

            assert held is not None
            assert b"http://a/" in held.document

    asyncio.run(test())


def block_until_durable(jobs: JobStore, job_id: str) -> None:
    """Without the event loop, so that it can't hear of the write."""
    give_up = time.monotonic() + PATIENCE_S
    while (loaded := jobs.load(job_id)) and not loaded.callback:
        assert time.monotonic() < give_up
        time.sleep(0.001)


def test_an_upload_whose_request_goes_away_while_it_is_recorded_keeps_its_file(tmp_path: Path) -> None:
    async def test() -> None:
        async with api_of(tmp_path) as api:
            job = await api.staged()
            jobs: JobStore = api.opened.house.jobs
            async with held_writer(api.opened.house.database):
                asking = asyncio.create_task(api.upload(job))
                await waiting_until(lambda: bool(jobs._under_way) or asking.done())
                asking.cancel()
                await asyncio.wait([asking])
            await api.until(job, lambda one: one.phase == "staged-ready")

            assert asking.cancelled()
            assert (await api.converted(job))["status"]["code"] == "completed"

    asyncio.run(test())
