"""What was accepted survives: a kill at any moment, a restart, a second server, a full disk."""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
import os
import random
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import apsw
import httpx
import pytest
from PIL import Image

from runner.server.assembly import StateLocked, running, state_lock
from runner.server.book import read_book
from runner.server.config import ServerConfig
from runner.server.store.database import Database, StoreError, Table
from runner.server.store.jobs import JobStore
from runner.server.store.migrations import MIGRATIONS
from tests.server.conftest import PATIENCE_S

KEY = "key-of-the-tests"
KILLER = "import os, sys, time; time.sleep(float(sys.argv[1])); os.kill(int(sys.argv[2]), 9)"
ENDED = ("completed", "failed", "canceled")


@contextmanager
def server(state: Path, **settings: Any) -> Iterator[tuple[httpx.Client, subprocess.Popen[str]]]:
    """A real server process on a socket, and a client of it; killed at the end if it still runs."""
    uds = state.parent / "s"
    process = subprocess.Popen(
        [sys.executable, "-m", "runner.server.embedded"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        told = {"state_dir": str(state), "uds": str(uds), "api_keys": [KEY], **settings}
        process.stdin.write(json.dumps(told) + "\n")
        process.stdin.flush()
        ready = json.loads(process.stdout.readline())
        transport = httpx.HTTPTransport(uds=str(uds))
        headers = {"X-Oc-Api-Key": KEY}
        with httpx.Client(transport=transport, base_url=ready["base_url"], headers=headers, timeout=PATIENCE_S) as http:
            yield http, process
    finally:
        process.kill()
        process.wait()
        process.stdin.close()
        process.stdout.close()


def picture(number: int, size: int = 900) -> bytes:
    file = io.BytesIO()
    noise = random.Random(number).randbytes(64 * 64 * 3)
    Image.frombytes("RGB", (64, 64), noise).resize((size, size)).save(file, "png", compress_level=0)
    return file.getvalue()


def job_of(http: httpx.Client, count: int, **body: Any) -> str:
    job = http.post("/jobs", json={"process": False, "conversion": [{"target": "webp"}], **body}).json()
    for number in range(count):
        files = {"file": (f"{number}.png", picture(number))}
        assert http.post(f"{job['server']}/upload-file/{job['id']}", files=files).status_code == 200
    return str(job["id"])


def until_ended(http: httpx.Client, job_id: str) -> dict[str, Any]:
    job: dict[str, Any] = {}

    def has_ended() -> bool:
        job.update(http.get(f"/jobs/{job_id}").json())
        return job["status"]["code"] in ENDED

    until(has_ended)
    return job


def until(true: Callable[[], object]) -> None:
    """Soon after it has become so; who asks without a pause keeps a loaded machine from doing it."""
    give_up = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < give_up
        time.sleep(0.002)


@pytest.mark.parametrize("steps_done", [0, 1, 3])
def test_a_kill_in_the_middle_of_a_job_loses_nothing_and_starts_nothing_twice(tmp_path: Path, steps_done: int) -> None:
    state = tmp_path / "state"
    with server(state) as (http, process):
        job_id = job_of(http, 5)
        staged_id = job_of(http, 1)
        assert http.patch(f"/jobs/{job_id}", json={"process": True}).status_code == 200
        threads: list[dict[str, Any]] = []

        def are_done() -> bool:
            threads[:] = http.get(f"/jobs/{job_id}/threads").json()
            return len(threads) >= steps_done

        until(are_done)
        process.send_signal(signal.SIGKILL)
        process.wait()

    with server(state) as (http, _):
        done = until_ended(http, job_id)
        staged = http.get(f"/jobs/{staged_id}").json()
        after = http.get(f"/jobs/{job_id}/threads").json()
        archive = http.get(done["output"][0]["uri"]).content
        assert http.patch(f"/jobs/{job_id}", json={"process": True}).status_code == 409

    assert (done["status"]["code"], done["spent"], staged["status"]["code"]) == ("completed", 5, "ready")
    assert [one["hash"] for one in after[: len(threads)]] == [one["hash"] for one in threads]
    packed = zipfile.ZipFile(io.BytesIO(archive))
    assert sorted(packed.namelist()) == [f"{number}.webp" for number in range(5)]
    for name in packed.namelist():
        with Image.open(io.BytesIO(packed.read(name))) as result:
            assert (result.format, result.size) == ("WEBP", (900, 900))
    book = read_book(state)
    assert (book[job_id].starts, book[job_id].credits) == (1, 5)
    assert (book[staged_id].starts, book[staged_id].credits) == (0, 0)


def test_steps_that_were_done_are_not_done_again(tmp_path: Path, with_server: Any) -> None:
    """The second half runs in a new server on the same state, whose converter knows nothing of the first."""
    seen: list[str] = []
    job: dict[str, Any] = {}

    async def first(api: Any) -> None:
        job.update(await api.staged())
        for name in ("a.jpg", "slow.jpg", "b.jpg"):
            await api.upload(job, name.encode(), name=name)
        await api.start(job)
        await api.until(job, lambda one: len(one.steps) == 2)

    async def second(api: Any) -> None:
        await api.until(job, lambda one: one.phase == "processing")
        await asyncio.wait_for(api.converter.endless.wait(), PATIENCE_S)
        seen.extend(api.converter.seen)

    with_server(first)
    with_server(second)

    assert seen == ["slow.jpg>png"]


# httpcore leaves a socket open whose connect failed, which is what happens to the client of a killed server.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_random_kills_while_jobs_are_made_and_run_lose_nothing_that_was_answered(tmp_path: Path) -> None:
    state, dice = tmp_path / "state", random.Random(7)
    started: list[str] = []
    for _ in range(4):
        with server(state) as (http, process):
            job_id = job_of(http, 1)
            assert http.patch(f"/jobs/{job_id}", json={"process": True}).status_code == 200
            started.append(job_id)
            killer = subprocess.Popen([sys.executable, "-c", KILLER, str(dice.uniform(0.1, 0.7)), str(process.pid)])
            try:
                while True:
                    job_id = job_of(http, 1)
                    if http.patch(f"/jobs/{job_id}", json={"process": True}).status_code == 200:
                        started.append(job_id)
            except (httpx.HTTPError, AssertionError, ValueError):
                pass
            finally:
                killer.wait()

    with server(state) as (http, _):
        done = [until_ended(http, job_id) for job_id in started]
        for job in done:
            content = http.get(job["output"][0]["uri"]).content
            assert hashlib.md5(content, usedforsecurity=False).hexdigest() == job["output"][0]["checksum"]

    book = read_book(state)
    assert {job["status"]["code"] for job in done} == {"completed"}
    assert all((book[job_id].starts, book[job_id].credits) == (1, 1) for job_id in started)
    assert all(entry.starts <= 1 and entry.credits <= 1 for entry in book.values())


def test_a_job_whose_credentials_were_lost_fails_without_cost(with_server: Any, tmp_path: Path) -> None:
    job: dict[str, Any] = {}

    async def first(api: Any) -> None:
        job.update(await api.staged())
        answer = await api.http.post(
            f"{job['server']}/upload-file/{job['id']}",
            files={"file": ("a.jpg", b"x")},
            data={"decrypt_password": "secret"},
        )
        assert answer.status_code == 200

    async def second(api: Any) -> None:
        done = await api.converted(job)
        assert (done["status"]["code"], done["errors"][0]["code"], done["spent"]) == ("failed", 424, 0)
        assert api.converter.seen == []

    with_server(first)
    with_server(second)
    assert read_book(tmp_path / "state")[job["id"]].credits == 0


def test_a_download_password_works_after_a_restart(with_server: Any) -> None:
    output: dict[str, Any] = {}

    async def first(api: Any) -> None:
        job = await api.staged(download_passwords=["pa ss"])
        await api.upload(job)
        output.update((await api.converted(job))["output"][0])

    async def second(api: Any) -> None:
        assert (await api.stranger.get(output["uri"])).status_code == 401
        good = await api.stranger.get(output["uri"], headers={"X-Oc-Download-Password": "pa ss"})
        assert good.status_code == 200

    with_server(first)
    with_server(second)


def test_a_state_folder_has_one_server_at_a_time(tmp_path: Path) -> None:
    with state_lock(tmp_path), pytest.raises(StateLocked, match=str(os.getpid())), state_lock(tmp_path):
        pass
    with state_lock(tmp_path):
        pass


def test_a_file_that_is_no_database_is_refused_with_advice(tmp_path: Path) -> None:
    path = tmp_path / "server.db"
    path.write_bytes(b"no database" * 1000)

    with pytest.raises(StoreError, match="move it away"):
        Database(path)


def test_a_key_that_was_made_is_stored_only_as_a_digest_and_good_until_the_next_start(tmp_path: Path) -> None:
    async def run() -> str:
        config = ServerConfig(state_dir=tmp_path)
        async with running(config, base_url="http://a/v2") as first:
            key = first.api_key
        async with running(replace(config, api_keys=("key-that-is-given",)), base_url="http://a/v2") as second:
            assert not second.house.door._keys.caller_of(key)
        async with running(config, base_url="http://a/v2") as third:
            assert not third.house.door._keys.caller_of(key)
        return key

    key = asyncio.run(run())
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and key.encode() in path.read_bytes()]


def test_a_state_of_a_newer_version_is_refused_with_advice(tmp_path: Path) -> None:
    path = tmp_path / "server.db"
    connection = apsw.Connection(str(path))
    connection.execute(f"pragma user_version = {len(MIGRATIONS) + 1}")
    connection.close()

    with pytest.raises(
        StoreError, match=r"newer version .*; update the program: another state folder would know nothing"
    ):
        Database(path)


def test_one_failing_write_doesnt_take_its_neighbours_with_it(tmp_path: Path) -> None:
    async def run() -> None:
        database = Database(tmp_path / "x.db")
        insert = "insert into parts values (?, ?)"

        async def write(part: str) -> None:
            await database.write(lambda db: db.execute(insert, (part, "job")).fetchall())

        results = await asyncio.gather(*(write(part) for part in "abacd"), return_exceptions=True)

        assert [type(one) for one in results if one] == [apsw.ConstraintError]
        assert [row[0] for row in database.rows("select id from parts order by id")] == list("abcd")
        database.close()

    asyncio.run(run())


def test_rows_that_wait_together_are_one_statement_and_a_bad_one_fails_alone(tmp_path: Path) -> None:
    async def run() -> None:
        database = Database(tmp_path / "x.db")
        parts, told = Table("parts", ("id", "job_id")), list[str]()

        async def insert(part: str) -> None:
            await database.insert(parts, (part, "job"), lambda _: told.append(part))

        names = [f"{number:03}" for number in range(150)]
        results = await asyncio.gather(*(insert(part) for part in [*names, "007"]), return_exceptions=True)

        assert [type(one) for one in results if one] == [apsw.ConstraintError]
        assert [row[0] for row in database.rows("select id from parts order by id")] == told == names
        database.close()

    asyncio.run(run())


def test_what_comes_in_the_next_turns_of_the_loop_becomes_durable_together(tmp_path: Path) -> None:
    async def run() -> None:
        database = Database(tmp_path / "x.db")
        parts = Table("parts", ("id", "job_id"))
        first = database.insert(parts, ("a", "job"))
        await asyncio.sleep(0)
        second = database.insert(parts, ("b", "job"))
        await first

        assert second.done()
        assert len(database.rows("select id from parts")) == 2
        database.close()

    asyncio.run(run())


def test_changes_are_heard_of_in_the_order_they_were_asked_for(tmp_path: Path) -> None:
    """Over many batches, some of which fail as a whole and are taken apart."""

    async def run() -> None:
        database, told = Database(tmp_path / "x.db"), list[int]()
        dice = random.Random(3)

        async def write(number: int) -> None:
            fails = dice.random() < 0.1
            statement = "insert into nowhere values (1)" if fails else "insert into parts values (?, 'job')"
            await asyncio.sleep(0)
            await database.write(lambda db: db.execute(statement, () if fails else (str(number),)).fetchall())
            told.append(number)

        tasks = []
        for number in range(1000):
            tasks.append(asyncio.create_task(write(number)))
            if dice.random() < 0.05:
                await asyncio.sleep(dice.choice([0, 0, 0.002]))
        await asyncio.gather(*tasks, return_exceptions=True)

        rows = database.rows("select id from parts order by cast(id as integer)")
        assert told == sorted(told) == [int(str(row[0])) for row in rows]
        assert 700 < len(told) < 1000
        database.close()

    asyncio.run(run())


def test_an_insert_whose_caller_has_gone_is_written_and_heard_of(tmp_path: Path) -> None:
    async def run() -> None:
        database = Database(tmp_path / "x.db")
        told: list[None] = []
        inserting = database.insert(Table("parts", ("id", "job_id")), ("a", "b"), told.append)
        await asyncio.sleep(0)
        inserting.cancel()
        await asyncio.gather(inserting, return_exceptions=True)
        await database.write(lambda _: None)

        assert told == [None]
        assert database.rows("select id from parts") == [("a",)]
        database.close()

    asyncio.run(run())


def test_what_waits_when_the_database_is_closed_is_written_all_the_same(tmp_path: Path) -> None:
    async def run() -> None:
        database = Database(tmp_path / "x.db")
        parts = Table("parts", ("id", "job_id"))
        waiting = [database.insert(parts, (str(number), "job")) for number in range(5)]
        await asyncio.sleep(0)
        database.close()
        await asyncio.gather(*waiting)

    asyncio.run(run())
    reopened = Database(tmp_path / "x.db")
    assert len(reopened.rows("select id from parts")) == 5
    reopened.close()


def test_what_a_write_answered_is_there_for_whoever_opens_the_file(tmp_path: Path, with_server: Any) -> None:
    async def test(api: Any) -> None:
        job = await api.staged()
        other = Database(tmp_path / "state" / "server.db")
        found = JobStore(other, retention_s=1).held(job["id"])
        assert found is not None
        assert found.token == job["token"]
        other.close()

    with_server(test)


def test_files_that_no_record_knows_are_removed_when_a_restart_takes_a_job_up(with_server: Any) -> None:
    stray: list[Path] = []

    async def first(api: Any) -> None:
        job = await api.staged()
        await api.upload(job, name="slow.jpg")
        await api.start(job)
        await asyncio.wait_for(api.converter.endless.wait(), PATIENCE_S)
        stray.append(api.opened.house.blobs.path(job["id"]) / "out-of-a-killed-server")
        stray[0].write_bytes(b"x")

    async def second(api: Any) -> None:
        await asyncio.wait_for(api.converter.endless.wait(), PATIENCE_S)
        assert not stray[0].exists()
        assert len(list(stray[0].parent.iterdir())) == 1

    with_server(first)
    with_server(second)


def test_a_full_disk_is_said_and_the_server_goes_on(with_server: Any) -> None:
    async def test(api: Any) -> None:
        job = await api.staged()
        database = api.opened.house.database
        pages = database.rows("pragma page_count")[0][0]
        await database.write(lambda db: None)
        database._writer.execute(f"pragma max_page_count = {pages + 2}")

        answers = [await api.http.post("/jobs", json={"process": False}) for _ in range(40)]

        full = [answer for answer in answers if answer.status_code != 201]
        assert full
        assert {answer.status_code for answer in full} == {507}
        assert "could not write its state" in full[0].json()["message"]
        assert (await api.get(job))["status"]["code"] == "incomplete"
        database._writer.execute("pragma max_page_count = 1000000")
        assert (await api.http.post("/jobs", json={"process": False})).status_code == 201

    with_server(test)
