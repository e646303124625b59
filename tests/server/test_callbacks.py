"""Callbacks: what is said, to whom, in which order, how often, and that nothing is ever lost."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import logging
import random
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import replace
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import apsw
import httpx
import pytest

from runner.server.book import DATABASE
from runner.server.callbacks.post import Letter, post
from runner.server.callbacks.sender import Callbacks
from runner.server.config import Network
from runner.server.engine.addresses import resolve
from runner.server.engine.fair_places import FairThreads
from runner.server.jobs.vault import Vault
from runner.server.standing import Standing
from runner.server.store.callbacks import CallbackQueue, Message
from runner.server.store.database import Database
from tests.acceptance.command_line import new_desk, png
from tests.execute.lab import KEY as LAB_KEY
from tests.execute.lab import running_server
from tests.server.conftest import PATIENCE_S, Copying
from tests.server.post_office import QUICK, PostOffice, api_of, converted, post_office, waiting_until


@pytest.fixture
def office() -> Iterator[PostOffice]:
    with post_office() as opened:
        yield opened


def waiting(state: Path) -> int:
    connection = apsw.Connection(str(state / DATABASE), flags=apsw.SQLITE_OPEN_READWRITE)
    try:
        return int(str(connection.execute("select count(*) from callbacks").fetchall()[0][0]))
    finally:
        connection.close()


def attempts(state: Path) -> list[int]:
    """How often each that waits was sent in vain."""
    with closing(apsw.Connection(str(state / DATABASE), flags=apsw.SQLITE_OPEN_READONLY)) as connection:
        return [int(str(row[0])) for row in connection.execute("select attempts from callbacks")]


def put_off(state: Path) -> None:
    with closing(apsw.Connection(str(state / DATABASE), flags=apsw.SQLITE_OPEN_READWRITE)) as connection:
        connection.execute("update callbacks set due = due + 3600")


def test_a_job_that_ends_is_announced_once_with_its_document(tmp_path: Path, office: PostOffice) -> None:
    async def test() -> None:
        async with api_of(tmp_path) as api:
            job = await converted(api, callback=f"{office.url}/hook?token=a b")
            await office.until(lambda got: len(got) >= 1)
            await waiting_until(lambda: waiting(tmp_path) == 0)
            shown = await api.get(job)

        post = office.got[0]
        assert post.path == "/hook?token=a%20b"
        assert post.headers["Content-Type"] == "application/json"
        assert "X-Oc-Signature" not in post.headers
        assert post.job == shown
        assert post.status == "completed"

    asyncio.run(test())


def test_a_failed_job_is_announced_and_a_canceled_one_only_with_notify_status(
    tmp_path: Path, office: PostOffice
) -> None:
    async def test() -> None:
        async with api_of(tmp_path) as api:
            failed = await api.staged(callback=office.url)
            await api.upload(failed, name="bad.jpg")
            await api.converted(failed)
            quiet, loud = (
                await api.staged(callback=office.url),
                await api.staged(callback=office.url, notify_status=True),
            )
            for one in (quiet, loud):
                await api.http.delete(f"/jobs/{one['id']}")
            await office.until(lambda got: len(got) >= 2)
            await waiting_until(lambda: waiting(tmp_path) == 0)

        assert office.statuses(failed) == ["failed"]
        assert office.statuses(quiet) == []
        assert office.statuses(loud) == ["canceled"]

    asyncio.run(test())


def test_notify_status_announces_every_change_in_its_order_although_the_receiver_stumbles(
    tmp_path: Path, office: PostOffice
) -> None:
    office.answers = [503, 0, 200, 500]

    async def test() -> None:
        async with api_of(tmp_path) as api:
            job = await converted(api, callback=office.url, notify_status=True)
            await office.until(lambda got: got[-1:] != [] and got[-1].status == "completed")
            await waiting_until(lambda: waiting(tmp_path) == 0)

        said = office.statuses(job)
        assert list(dict.fromkeys(said)) == ["ready", "queued", "processing", "completed"]
        assert said == sorted(said, key=["ready", "queued", "processing", "completed"].index)
        assert len(said) == 4 + 3

    asyncio.run(test())


def test_a_status_that_a_receiver_chokes_on_does_not_keep_the_end_from_it(tmp_path: Path, office: PostOffice) -> None:
    """However far off its next attempt is: the end brings it at once, and needn't wait for more."""
    office.chokes_on = "processing"
    patient = replace(QUICK, first_wait_s=0.01, most_wait_s=1.0)

    async def test() -> None:
        async with api_of(tmp_path, callbacks=patient) as api:
            job = await api.staged(callback=office.url, notify_status=True)
            assert (await api.upload(job, name="slow.jpg")).status_code == 200
            assert (await api.start(job)).status_code == 200
            await waiting_until(lambda: attempts(tmp_path) == [4])
            put_off(tmp_path)
            await api.http.delete(f"/jobs/{job['id']}")
            await office.until(lambda got: got[-1].status == "canceled")
            await waiting_until(lambda: waiting(tmp_path) == 0)
        assert list(dict.fromkeys(office.statuses(job))) == ["ready", "queued", "processing", "canceled"]

    asyncio.run(test())


def test_the_callback_given_with_the_start_is_the_one_that_counts(tmp_path: Path, office: PostOffice) -> None:
    async def test() -> None:
        async with api_of(tmp_path) as api:
            job = await api.staged()
            await api.upload(job)
            await api.http.patch(f"/jobs/{job['id']}", json={"process": True, "callback": f"{office.url}/late"})
            await office.until(lambda got: len(got) >= 1)

        assert (office.got[0].path, office.got[0].status) == ("/late", "completed")

    asyncio.run(test())


def test_a_secret_signs_the_bytes_that_are_sent(tmp_path: Path, office: PostOffice) -> None:
    async def test() -> None:
        async with api_of(tmp_path, callbacks=replace(QUICK, secret="geheim-ü")) as api:
            await converted(api, callback=office.url)
            await office.until(lambda got: len(got) >= 1)

        post = office.got[0]
        assert post.headers["X-Oc-Signature"] == hmac.new("geheim-ü".encode(), post.body, hashlib.sha256).hexdigest()

    asyncio.run(test())


@pytest.mark.parametrize("answer", [400, 404, 410, 301, 307])
def test_a_receiver_that_rejects_is_not_asked_again_and_not_followed(
    tmp_path: Path, office: PostOffice, answer: int
) -> None:
    office.answers = [answer]

    async def test() -> None:
        async with api_of(tmp_path) as api:
            job = await converted(api, callback=office.url)
            await office.until(lambda got: len(got) >= 1)
            await waiting_until(lambda: waiting(tmp_path) == 0)
            assert (await api.get(job))["status"]["code"] == "completed"

        assert len(office.got) == 1

    asyncio.run(test())


@pytest.mark.parametrize("answer", [500, 503, 0, -1])
def test_who_fails_is_asked_ten_more_times_and_no_more(
    tmp_path: Path, office: PostOffice, answer: int, caplog: pytest.LogCaptureFixture
) -> None:
    office.answers = [answer] * 100
    rules = replace(QUICK, first_wait_s=0.01, most_wait_s=0.01)
    if answer == -1:
        rules = replace(rules, first_timeout_s=0.2, retry_timeout_s=0.2)

    async def test() -> None:
        async with api_of(tmp_path, callbacks=rules) as api:
            await converted(api, callback=f"{office.url}/secret-path")
            await waiting_until(lambda: len(office.got) > 0 and waiting(tmp_path) == 0)

        # On a loaded machine time may be over before the receiver has read the request.
        assert len(office.got) == 11 or (answer == -1 and 0 < len(office.got) < 11)

    with caplog.at_level(logging.WARNING):
        asyncio.run(test())
    assert "given up after 11 attempts" in caplog.text
    assert "secret-path" not in caplog.text


def test_a_receiver_that_keeps_failing_rests_and_others_dont_wait_for_it(tmp_path: Path, office: PostOffice) -> None:
    office.answers = [500] * 4

    async def test() -> None:
        rules = replace(QUICK, rest_after=3, rest_s=2.5, at_once_per_host=1, first_wait_s=0.01)
        async with api_of(tmp_path, callbacks=rules) as api:
            with post_office() as other:
                for _ in range(3):
                    await converted(api, callback=office.url)
                await office.until(lambda got: len(got) >= 3)
                await converted(api, callback=other.url)
                await other.until(lambda got: len(got) >= 1)
                seen_while_resting = len(office.got)
                await waiting_until(lambda: waiting(tmp_path) == 0)

        assert seen_while_resting == 3
        assert Counter(post.job["id"] for post in office.got).total() == 4 + 3

    asyncio.run(test())


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://127.0.0.1:9/hook", "private or reserved network"),
        ("http://localhost:9/hook", "private or reserved network"),
        ("http://[::1]:9/hook", "private or reserved network"),
        ("http://169.254.169.254/latest", "private or reserved network"),
    ],
)
def test_what_may_not_be_reached_is_refused_once_and_logged_without_secrets(
    tmp_path: Path, url: str, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def test() -> None:
        async with api_of(tmp_path, allow_private=()) as api:
            job = await converted(api, callback=url)
            await waiting_until(lambda: waiting(tmp_path) == 0)
            assert (await api.get(job))["status"]["code"] == "completed"

    with caplog.at_level(logging.WARNING):
        asyncio.run(test())
    assert reason in caplog.text
    assert "/hook" not in caplog.text


def test_what_nobody_accepted_before_a_restart_is_sent_after_it(tmp_path: Path, office: PostOffice) -> None:
    office.answers = [503] * 100
    patient = replace(QUICK, first_wait_s=0.05, most_wait_s=0.05, rest_s=0.05, retries=1000)

    async def test() -> None:
        async with api_of(tmp_path, callbacks=patient) as api:
            jobs = [await converted(api, callback=office.url) for _ in range(3)]
            await office.until(lambda got: len(got) >= 3)
        assert waiting(tmp_path) == 3
        office.answers = []
        before = len(office.got)
        async with api_of(tmp_path, callbacks=patient):
            await waiting_until(lambda: waiting(tmp_path) == 0)

        assert {post.job["id"] for post in office.got[before:]} == {job["id"] for job in jobs}

    asyncio.run(test())


def test_callbacks_survive_kills_at_any_moment(tmp_path: Path, office: PostOffice) -> None:
    """A real server, killed again and again: every job ends and is announced, in the order of its statuses."""
    desk = new_desk(tmp_path)
    rng = random.Random(7)
    jobs: list[dict[str, Any]] = []

    with running_server(desk.folder / "server") as server:
        http = httpx.Client(
            headers={"X-Oc-Api-Key": LAB_KEY}, timeout=PATIENCE_S, transport=httpx.HTTPTransport(retries=3)
        )
        for number in range(4):
            for one in range(3):
                jobs.append(_started(http, server.base_url, office.url, png(color=f"#0{number}0{one}00")))
            office.closing.wait(rng.random() * 0.3)
            server.kill()
            server.wait_up()
        ids = {job["id"] for job in jobs}
        office.wait_for(lambda got: {post.job["id"] for post in got if post.status == "completed"} >= ids)
        http.close()

    order = ["ready", "queued", "processing", "completed"]
    for job in jobs:
        said = office.statuses(job)
        assert list(dict.fromkeys(said)) == order, said
        assert said == sorted(said, key=order.index)


def _started(http: Any, base_url: str, callback: str, content: bytes) -> dict[str, Any]:
    body = {"process": False, "conversion": [{"target": "webp"}], "callback": callback, "notify_status": True}
    job: dict[str, Any] = http.post(f"{base_url}/jobs", json=body).json()
    http.post(f"{job['server']}/upload-file/{job['id']}", files={"file": ("a.png", content)}).raise_for_status()
    http.patch(f"{base_url}/jobs/{job['id']}", json={"process": True}).raise_for_status()
    return job


class SlowQueue(CallbackQueue):
    """Its answers take longer than a message waits for its next attempt."""

    def due(self, now: float, **rest: Any) -> list[Message]:
        found = super().due(now, **rest)
        time.sleep(0.05)
        return found


def test_what_becomes_due_while_the_queue_is_read_is_sent(tmp_path: Path, office: PostOffice) -> None:
    office.answers = [500, 500]

    async def test() -> None:
        database, standing = Database(tmp_path / "x.db"), Standing()
        row = ("job", office.url, office.url, "completed", b'{"status": {"code": "completed"}}')
        insert = "insert into callbacks (job_id, host, url, status, body, attempts, due) values (?, ?, ?, ?, ?, 0, 0)"
        await database.write(lambda db: db.execute(insert, row).fetchall())
        rules = replace(QUICK, first_wait_s=0.01, most_wait_s=0.01)
        allowed = (ip_network("127.0.0.0/8"),)
        queue = SlowQueue(database, Vault())
        callbacks = Callbacks(queue, rules, base_url="http://a", allowed=allowed, standing=standing)
        callbacks.start()
        await office.until(lambda got: len(got) >= 3)
        await standing.close()
        await callbacks.close()
        database.close()

    asyncio.run(test())


def test_hundreds_of_callbacks_reach_their_receiver_a_few_at_a_time(tmp_path: Path, office: PostOffice) -> None:
    async def test() -> None:
        rules = replace(QUICK, at_once=32, at_once_per_host=8)
        async with api_of(tmp_path, Copying(wall_s=0.0), callbacks=rules) as api:
            for _ in range(75):
                job = await api.staged(callback=office.url, notify_status=True)
                await api.upload(job)
                await api.start(job)
            await office.until(lambda got: len(got) >= 300)

        assert len(office.got) == 300
        assert office.most_at_once <= 8

    asyncio.run(test())


def test_a_name_whose_lookup_hangs_keeps_no_other_receiver_waiting(
    office: PostOffice, monkeypatch: pytest.MonkeyPatch
) -> None:
    let_go = threading.Event()

    def hanging(host: str, port: int, allowed: Iterable[Network]) -> list[str]:
        if host == "hangs.example":
            let_go.wait(PATIENCE_S)
        return resolve(host, port, allowed)

    monkeypatch.setattr("runner.server.callbacks.post.resolve", hanging)
    resolvers = FairThreads(4, "resolve")

    async def sent_to(url: str) -> int:
        return await post(
            Letter(url=url, body=b"{}", headers={}),
            allowed=(ip_network("127.0.0.0/8"),),
            timeout_s=PATIENCE_S,
            resolvers=resolvers,
        )

    async def test() -> None:
        hung = [asyncio.create_task(sent_to("http://hangs.example/")) for _ in range(8)]
        await asyncio.sleep(0.05)
        try:
            assert await asyncio.wait_for(sent_to(f"{office.url}/hook"), PATIENCE_S / 2) == 200
        finally:
            for task in hung:
                task.cancel()
            await asyncio.gather(*hung, return_exceptions=True)
            let_go.set()

    asyncio.run(test())
