"""The receiver of callbacks: lost, doubled, forged, reordered, early ones, and what can't be stored."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from runner.server.callbacks.sender import signature
from runner.server.receiver.app import Reception, UnconfirmedError, make_receiver
from runner.server.receiver.mailbox import Mailbox
from tests.server.conftest import PATIENCE_S
from tests.server.post_office import post_office

ID = "019ab000-0000-7000-8000-000000000001"
SECRET = "s3cret-of-the-tests"


def document(status: str, job_id: str = ID, **more: Any) -> dict[str, Any]:
    return {"id": job_id, "status": {"code": status}, "token": "t0ken", "modified_at": "2026-11-23T10:00:00", **more}


@dataclass
class Desk:
    """A receiver in this process; `api` is what the API answers for each job, fails with, or waits for."""

    http: httpx.AsyncClient
    folder: Path
    ended: list[str] = field(default_factory=list)
    api: dict[str, Any] = field(default_factory=dict)

    async def send(self, body: Any, *, secret: str = "", **headers: str) -> int:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        if secret:
            headers["X-Oc-Signature"] = signature(secret, content)
        return (await self.http.post("/hook/of/mine", content=content, headers=headers)).status_code

    @property
    def stored(self) -> dict[str, Any]:
        return {path.name: json.loads(path.read_bytes()) for path in self.folder.glob("*")}


Body = Callable[[Desk], Awaitable[None]]


def receive(folder: Path, body: Body, *, secret: str = "", confirms: bool = False, forward: str = "") -> Desk:
    async def run() -> Desk:
        api: dict[str, Any] = {}
        ended: list[str] = []

        async def confirm(job_id: str) -> dict[str, Any] | None:
            found = api.get(job_id)
            if isinstance(found, str):
                raise UnconfirmedError(found)
            if isinstance(found, asyncio.Event):
                await found.wait()
            return found

        reception = Reception(
            mailbox=Mailbox(folder),
            secret=secret,
            confirm=confirm if confirms else None,
            ended=ended.append,
            forward_to=forward,
        )
        transport = httpx.ASGITransport(make_receiver(reception))
        async with httpx.AsyncClient(transport=transport, base_url="http://receiver.test") as http:
            desk = Desk(http=http, folder=folder, ended=ended, api=api)
            await body(desk)
        return desk

    return asyncio.run(run())


def test_a_body_is_stored_by_id_and_status_and_an_end_wakes_who_waits(tmp_path: Path) -> None:
    async def body(desk: Desk) -> None:
        assert await desk.send(document("processing")) == 200
        assert desk.ended == []
        assert await desk.send(document("completed")) == 200

    desk = receive(tmp_path / "new" / "folder", body)

    assert desk.stored == {
        f"{ID}_processing.json": document("processing"),
        f"{ID}_completed.json": document("completed"),
    }
    assert desk.ended == [ID]
    assert {path.stat().st_mode & 0o777 for path in desk.folder.glob("*")} == {0o600}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"no json",
        b"[]",
        b"null",
        b'{"status": {"code": "completed"}}',
        b'{"id": null}',
        b'{"id": 7}',
        b'{"id": ""}',
        b'{"id": {"job": "x"}}',
        b'{"id": "../../etc/passwd"}',
        b'{"id": "a/b"}',
        b'{"id": ".hidden"}',
        b'{"id": "a\\nb"}',
        b'{"id": "a\\u0000b"}',
        b'{"id": "' + b"a" * 300 + b'"}',
        b"[" * 100_000,
    ],
)
def test_what_has_no_id_is_rejected_and_logged_and_nothing_is_stored(
    tmp_path: Path, body: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async def sending(desk: Desk) -> None:
        assert await desk.send(body) == 400

    with caplog.at_level(logging.WARNING):
        desk = receive(tmp_path, sending)

    assert desk.stored == {}
    assert "rejected" in caplog.text


@pytest.mark.parametrize("status", [None, "", "../x", "COMPLETED", 7, "a" * 50, "x\n"])
def test_a_status_that_is_none_is_unknown_and_still_a_safe_name(tmp_path: Path, status: Any) -> None:
    async def body(desk: Desk) -> None:
        assert await desk.send({"id": ID, "status": {"code": status}}) == 200

    assert set(receive(tmp_path, body).stored) == {f"{ID}_unknown.json"}


def test_a_doubled_one_is_dropped_also_when_both_come_at_once(tmp_path: Path) -> None:
    async def body(desk: Desk) -> None:
        answers = await asyncio.gather(*(desk.send(document("completed")) for _ in range(20)))
        assert set(answers) == {200}

    desk = receive(tmp_path, body)

    assert len(desk.stored) == 1
    assert desk.ended == [ID]


def test_what_the_api_says_is_stored_once_however_new_its_sender_calls_it(tmp_path: Path) -> None:
    async def body(desk: Desk) -> None:
        desk.api[ID] = document("processing")
        for _ in range(3):
            assert await desk.send(document("processing", modified_at="9999")) == 200
        desk.api[ID] = document("processing", modified_at="2026-11-23T10:00:01")
        assert await desk.send(document("processing", modified_at="9999")) == 200

    with post_office() as office:
        desk = receive(tmp_path, body, confirms=True, forward=f"{office.url}/mine")
        office.wait_for(lambda got: len(got) == 2)

    assert [post.job["modified_at"][-2:] for post in office.got] == ["00", "01"]
    assert desk.stored == {f"{ID}_processing.json": document("processing", modified_at="2026-11-23T10:00:01")}


def test_a_status_that_comes_again_later_replaces_the_older_one_and_never_the_newer(tmp_path: Path) -> None:
    async def body(desk: Desk) -> None:
        for second in (20, 40, 30):
            assert await desk.send(document("ready", modified_at=f"2026-11-23T10:00:{second}")) == 200

    assert receive(tmp_path, body).stored[f"{ID}_ready.json"]["modified_at"] == "2026-11-23T10:00:40"


def test_with_a_secret_only_what_is_signed_with_it_is_taken(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def body(desk: Desk) -> None:
        content = json.dumps(document("completed")).encode()
        assert await desk.send(content) == 401
        assert await desk.send(content, secret="another") == 401
        assert await desk.send(content + b" ", **{"X-Oc-Signature": signature(SECRET, content)}) == 401
        assert await desk.send(content, **{"X-Oc-Signature": "no digest at all"}) == 401
        assert desk.stored == {}
        assert await desk.send(content, **{"x-oc-signature": signature(SECRET, content).upper()}) == 200

    with caplog.at_level(logging.DEBUG):
        desk = receive(tmp_path, body, secret=SECRET)

    assert desk.ended == [ID]
    assert SECRET not in caplog.text
    assert "t0ken" not in caplog.text


def test_a_forged_one_is_not_believed_when_the_api_can_be_asked(tmp_path: Path) -> None:
    async def body(desk: Desk) -> None:
        assert await desk.send(document("completed")) == 404  # the API knows of no such job
        desk.api[ID] = document("failed")
        assert await desk.send(document("completed")) == 400  # and here it ended otherwise
        assert desk.stored == {}
        desk.api[ID] = document("completed", output=[{"uri": "https://api/true"}])
        assert await desk.send(document("completed", output=[{"uri": "https://evil/false"}])) == 200

    desk = receive(tmp_path, body, confirms=True)

    assert desk.stored[f"{ID}_completed.json"]["output"] == [{"uri": "https://api/true"}]


def test_an_early_one_is_put_off_until_the_api_says_the_same(tmp_path: Path) -> None:
    async def body(desk: Desk) -> None:
        desk.api[ID] = document("processing")
        assert await desk.send(document("completed")) == 503
        assert desk.ended == []
        desk.api[ID] = document("completed")
        assert await desk.send(document("completed")) == 200

    assert receive(tmp_path, body, confirms=True).ended == [ID]


@pytest.mark.parametrize("secret", ["", SECRET])
def test_reordered_ones_do_no_harm_and_the_end_is_known_at_once(tmp_path: Path, secret: str) -> None:
    async def body(desk: Desk) -> None:
        desk.api[ID] = document("completed")
        for status in ("processing", "completed", "queued"):
            assert await desk.send(document(status), secret=secret) == 200

    desk = receive(tmp_path, body, confirms=True, secret=secret)

    assert ID in desk.ended
    signed = {f"{ID}_processing.json", f"{ID}_queued.json"} if secret else set()
    assert set(desk.stored) == {f"{ID}_completed.json", *signed}


def test_an_api_that_doesnt_answer_puts_it_off(tmp_path: Path) -> None:
    async def body(desk: Desk) -> None:
        desk.api[ID] = "no connection"
        assert await desk.send(document("completed")) == 503

    assert receive(tmp_path, body, confirms=True).stored == {}


def test_a_folder_that_cant_be_written_puts_it_off(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")

    async def body(desk: Desk) -> None:
        assert await desk.send(document("completed")) == 503

    assert receive(tmp_path / "file" / "folder", body).ended == []


def test_what_was_stored_is_forwarded_as_it_came_and_a_dead_end_does_no_harm(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def body(desk: Desk) -> None:
        for status in ("processing", "completed", "completed"):
            assert await desk.send(document(status), secret=SECRET) == 200

    with post_office() as office:
        receive(tmp_path / "one", body, secret=SECRET, forward=f"{office.url}/dev")

    assert [(post.path, post.status) for post in office.got] == [("/dev", "processing"), ("/dev", "completed")]
    assert office.got[0].headers["X-Oc-Signature"] == signature(SECRET, office.got[0].body)
    with caplog.at_level(logging.WARNING):
        assert len(receive(tmp_path / "two", body, secret=SECRET, forward=f"{office.url}/gone").stored) == 2
    assert "not forwarded" in caplog.text


def test_a_receiver_answers_while_the_name_it_forwards_to_hangs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    let_go, asked = threading.Event(), threading.Event()

    def hanging(host: str, port: int, allowed: object) -> list[str]:
        asked.set()
        let_go.wait(PATIENCE_S)
        raise OSError("never found")

    monkeypatch.setattr("runner.server.callbacks.post.resolve", hanging)
    monkeypatch.setattr("runner.server.receiver.app._FORWARD_S", 0.1)

    async def body(desk: Desk) -> None:
        first = asyncio.create_task(desk.send(document("processing")))
        await asyncio.to_thread(asked.wait, PATIENCE_S)
        assert await asyncio.wait_for(first, PATIENCE_S / 2) == 200
        assert await asyncio.wait_for(desk.send(document("completed")), PATIENCE_S / 2) == 200

    try:
        receive(tmp_path, body, forward="http://hangs.example/")
    finally:
        let_go.set()


def test_an_api_that_says_nothing_about_one_job_holds_up_no_other_and_no_sender(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runner.server.receiver.app._CONFIRM_S", 0.5)
    other = ID.replace("1", "2")

    async def body(desk: Desk) -> None:
        desk.api[ID] = asyncio.Event()  # never set
        desk.api[other] = document("completed", other)
        began = time.monotonic()
        silent = [asyncio.create_task(desk.send(document("completed"))) for _ in range(3)]
        await asyncio.sleep(0.05)
        assert await desk.send(document("completed", other)) == 200
        assert time.monotonic() - began < 0.5
        assert await asyncio.gather(*silent) == [503, 503, 503]

    assert list(receive(tmp_path, body, confirms=True).stored) == [f"{other}_completed.json"]
