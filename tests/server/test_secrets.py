"""Secrets of jobs: sealed while the job needs them, gone with its end, never in the state folder as they are."""

from __future__ import annotations

import asyncio
import socket
import stat
import time
from collections.abc import Awaitable, Callable
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest

from runner.server.callbacks.post import Letter, post
from runner.server.config import ServerConfig
from runner.server.engine.fair_places import FairThreads
from runner.server.jobs.addresses import is_masked, shown_address
from runner.server.jobs.receivers import RefusedReceiver
from runner.server.jobs.seal import Seal, seal_of
from runner.server.jobs.vault import Vault
from runner.server.store.callbacks import CallbackQueue
from runner.server.store.database import Database
from runner.wire.addresses import masked
from tests.server.conftest import KEY, Api, Copying, Web, run_against

CANARY = "canary4711"
Serve = Callable[..., None]


@pytest.fixture
def serve(tmp_path: Path) -> Serve:
    """Runs a test against the server of one state folder, whose key lies beside it; `key` names another."""

    def run(test: Callable[[Api], Awaitable[None]], *, key: str = "seal.key") -> None:
        config = ServerConfig(
            state_dir=tmp_path / "state",
            api_keys=(KEY,),
            workers=2,
            allow_private=(ip_network("127.0.0.0/8"),),
            seal_key=tmp_path / "keys" / key,
        )
        asyncio.run(run_against(test, config, Copying()))

    return run


def leaks(folder: Path) -> list[str]:
    return [path.name for path in folder.rglob("*") if path.is_file() and CANARY.encode() in path.read_bytes()]


def rows(api: Any) -> int:
    (count,) = api.opened.house.database.row("select count(*) from secrets")
    return int(count)


async def with_password(api: Api, job: dict[str, Any]) -> None:
    answer = await api.http.post(
        f"{job['server']}/upload-file/{job['id']}",
        files={"file": ("a.jpg", b"x")},
        data={"decrypt_password": CANARY},
    )
    assert answer.status_code == 200


def test_credentials_survive_a_restart_and_are_gone_when_the_job_has_ended(serve: Serve, tmp_path: Path) -> None:
    job: dict[str, Any] = {}

    async def first(api: Api) -> None:
        job.update(await api.staged())
        await with_password(api, job)
        assert rows(api) == 1

    async def second(api: Api) -> None:
        held = api.opened.house.jobs.load(job["id"])
        assert held is not None
        assert api.opened.house.vault.get(job["id"], held.inputs[0].id) == {"decrypt_password": CANARY}
        assert (await api.converted(job))["status"]["code"] == "completed"
        assert rows(api) == 0
        assert api.opened.house.vault.get(job["id"], held.inputs[0].id) is None

    serve(first)
    assert leaks(tmp_path / "state") == []
    serve(second)
    assert leaks(tmp_path / "state") == []


def test_without_its_key_a_job_fails_without_cost(serve: Serve) -> None:
    job: dict[str, Any] = {}

    async def first(api: Api) -> None:
        job.update(await api.staged())
        await with_password(api, job)

    async def second(api: Api) -> None:
        done = await api.converted(job)
        assert (done["status"]["code"], done["errors"][0]["code"], done["spent"]) == ("failed", 424, 0)
        assert rows(api) == 0

    serve(first)
    serve(second, key="another.key")


def test_a_canceled_job_leaves_no_secret(serve: Serve, tmp_path: Path) -> None:
    async def test(api: Api) -> None:
        job = await api.staged()
        await with_password(api, job)
        assert (await api.http.delete(f"/jobs/{job['id']}")).status_code == 204
        assert rows(api) == 0

    serve(test)
    assert leaks(tmp_path / "state") == []


def test_a_signed_link_is_shown_until_the_job_has_ended_and_never_written_down(
    serve: Serve, tmp_path: Path, web: Web
) -> None:
    web.pages[f"/a.jpg?sig={CANARY}"] = (200, {}, b"pixels")
    job: dict[str, Any] = {}
    source, callback = f"{web.url}/a.jpg?sig={CANARY}", f"http://127.0.0.1:1/hook?sig={CANARY}"

    async def first(api: Api) -> None:
        job.update(await api.staged(input=[{"source": source}], callback=callback))
        await api.until(job, lambda one: one.inputs[0].status == "ready")
        shown = await api.get(job)
        listed = (await api.http.get("/jobs")).json()
        assert (shown["input"][0]["source"], shown["callback"]) == (source, callback)
        assert (listed[0]["input"][0]["source"], listed[0]["callback"]) == (source, callback)
        assert leaks(tmp_path / "state") == []

    async def second(api: Api) -> None:
        shown, listed = await api.get(job), (await api.http.get("/jobs")).json()
        assert (shown["input"][0]["source"], shown["callback"]) == (source, callback)
        assert listed == [shown]
        done = await api.converted(job)
        assert done["status"]["code"] == "completed"
        assert (done["input"][0]["source"], done["callback"]) == (
            f"{web.url}/a.jpg?***",
            "http://127.0.0.1:1/hook?***",
        )
        assert (await api.http.get("/jobs")).json() == [done]

    serve(first)
    serve(second)
    assert leaks(tmp_path / "state") == []


def test_a_source_that_is_no_address_is_never_written_down(serve: Serve, tmp_path: Path) -> None:
    async def test(api: Api) -> None:
        job = await api.create(conversion=[{"target": "png"}], input=[{"source": CANARY}], process=False)
        live = await api.get(job)
        assert (await api.start(job)).status_code == 200
        done = await api.ended(job)

        assert live["input"][0]["source"] == CANARY
        assert (done["status"]["code"], done["input"][0]["source"]) == ("failed", "***")

    serve(test)
    assert leaks(tmp_path / "state") == []


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("https://x.org/a.png?sig=1", "https://x.org/a.png?***"),
        ("ftp://u:p@x.org/a.png", "ftp://***@x.org/a.png"),
        ("x.org/a.png", "***"),
        ("https://", "***"),
        ("***", "***"),
        ("", ""),
    ],
)
def test_what_has_no_host_is_not_shown_at_all(address: str, shown: str) -> None:
    assert shown_address(address) == shown
    assert is_masked(shown) == (shown != address or shown == "***")


def test_a_link_whose_secret_is_lost_is_not_asked_for_without_it(serve: Serve) -> None:
    job: dict[str, Any] = {}
    silent = socket.create_server(("127.0.0.1", 0))
    silent.settimeout(10)
    asked: list[socket.socket] = []

    async def first(api: Api) -> None:
        source = f"http://127.0.0.1:{silent.getsockname()[1]}/a.jpg?sig={CANARY}"
        job.update(await api.staged(input=[{"source": source}]))
        asked.append((await asyncio.to_thread(silent.accept))[0])

    async def second(api: Api) -> None:
        await api.until(job, lambda one: one.inputs[0].status == "failed")
        held = api.opened.house.jobs.load(job["id"])
        assert held is not None
        assert held.inputs[0].error is not None
        assert held.inputs[0].error["code"] == 424

    serve(first)
    serve(second, key="another.key")
    silent.setblocking(False)
    with pytest.raises(BlockingIOError):
        silent.accept()
    for one in (silent, *asked):
        one.close()


def test_a_callback_whose_secret_is_lost_is_given_up(serve: Serve, tmp_path: Path) -> None:
    async def test(api: Api) -> None:
        job = await api.create(
            conversion=[{"target": "png"}],
            input=[{"type": "base64", "source": "eA=="}],
            callback=f"http://127.0.0.1:1/hook?sig={CANARY}",
        )
        await api.ended(job)

    serve(test)
    database = Database(tmp_path / "state" / "server.db")
    (message,) = CallbackQueue(database, Vault()).due(time.time() + 60, limit=9)
    database.close()

    letter = Letter(url=message.url, body=message.body, headers={})
    with pytest.raises(RefusedReceiver, match="its address was lost"):
        asyncio.run(post(letter, allowed=(), timeout_s=1, resolvers=FairThreads(1, "resolve")))


def test_a_callback_reaches_its_whole_address_also_after_a_restart(serve: Serve, tmp_path: Path) -> None:
    heard: asyncio.Queue[bytes] = asyncio.Queue()

    async def hook(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.put_nowait(await reader.readline())
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        writer.close()
        await writer.wait_closed()

    port = 0

    async def first(api: Api) -> None:
        nonlocal port
        closed = await asyncio.start_server(hook, "127.0.0.1", 0)
        port = closed.sockets[0].getsockname()[1]
        closed.close()
        await closed.wait_closed()
        job = await api.create(
            conversion=[{"target": "png"}],
            input=[{"type": "base64", "source": "eA=="}],
            callback=f"http://127.0.0.1:{port}/hook?sig={CANARY}",
        )
        await api.ended(job)

    async def second(api: Api) -> None:
        async with await asyncio.start_server(hook, "127.0.0.1", port), asyncio.timeout(15):
            assert await heard.get() == f"POST /hook?sig={CANARY} HTTP/1.1\r\n".encode()

    serve(first)
    assert leaks(tmp_path / "state") == []
    serve(second)


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("https://x.org/a.png", "https://x.org/a.png"),
        ("https://x.org/a.png?sig=1&b=2", "https://x.org/a.png?***"),
        ("https://u:p@x.org:8/a?b#c", "https://***@x.org:8/a?***#***"),
        ("https://x.org?a@b", "https://x.org?***"),
        ("http://[::1", "http://[::1"),
        ("no address?at all", "no address?***"),
        ("", ""),
        ("https://x.org/a\n?b\nc", "https://x.org/a\n?***"),
    ],
)
def test_user_query_and_fragment_are_what_an_address_hides(address: str, shown: str) -> None:
    assert masked(address) == shown
    assert masked(shown) == shown
    assert is_masked(shown) == (shown != address)


def test_a_key_is_made_once_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "seal.key"

    sealed = seal_of(path).sealed(b"secret", "one")

    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert len(path.read_bytes()) == 32
    assert [one.name for one in path.parent.iterdir()] == ["seal.key"]
    assert seal_of(path).opened(sealed, "one") == b"secret"


def test_what_is_sealed_opens_only_for_what_it_was_sealed_for(tmp_path: Path) -> None:
    seal = Seal()
    sealed = seal.sealed(b"secret", "one")

    assert b"secret" not in sealed
    assert seal.sealed(b"secret", "one") != sealed
    assert seal.opened(sealed, "another") is None
    assert seal.opened(sealed[:-1] + bytes([sealed[-1] ^ 1]), "one") is None
    assert seal.opened(b"", "one") is None
    assert Seal().opened(sealed, "one") is None


@pytest.mark.parametrize("content", [b"", b"short"])
def test_a_key_that_is_none_is_left_alone_and_said(
    content: bytes, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "seal.key").write_bytes(content)

    seal = seal_of(tmp_path / "seal.key")

    assert seal.opened(seal.sealed(b"x", "a"), "a") == b"x"
    assert (tmp_path / "seal.key").read_bytes() == content
    assert "won't survive a restart" in caplog.text


def test_what_is_refused_changes_no_credentials(with_server: Any) -> None:
    async def test(api: Any) -> None:
        job = await api.create(conversion=[])
        await api.upload(job, b"123456")
        (entry,) = (await api.get(job))["input"]
        vault, path = api.opened.house.vault, f"/jobs/{job['id']}"
        first = {"id": entry["id"], "credentials": {"token": "first"}}
        assert (await api.http.patch(f"{path}/input", json=[first])).status_code == 200

        second = {"id": entry["id"], "credentials": {"token": "second", "more": CANARY}}
        refused = await api.http.patch(f"{path}/input", json=[second, {"id": "nobody"}])
        assert refused.status_code == 400
        await api.http.patch(path, json={"limits": {"input": {"max_file_size": 5}}})
        target = {"type": "amazons3", "parameters": {}, "credentials": {"secret": CANARY}}
        refused = await api.http.post(f"{path}/conversions", json={"target": "png", "output_target": [target]})
        assert refused.status_code == 402

        assert vault.get(job["id"], entry["id"]) == {"token": "first"}
        assert vault.changes(job["id"]) == {}
        rows = api.opened.house.database.rows("select part_id from secrets where job_id = ?", (job["id"],))
        assert rows == [(entry["id"],)]

    with_server(test)


def test_an_upload_that_comes_too_late_takes_no_password_with_it(serve: Serve) -> None:
    async def test(api: Api) -> None:
        with socket.create_server(("127.0.0.1", 0)) as mute:
            source = f"http://127.0.0.1:{mute.getsockname()[1]}/a.jpg"
            job = await api.staged(input=[{"type": "remote", "source": source}])

            async def upload(content: bytes) -> Any:
                return await api.http.post(
                    f"{job['server']}/upload-file/{job['id']}",
                    files={"file": ("a.jpg", content)},
                    data={"decrypt_password": CANARY},
                    headers={"x-oc-upload-uuid": "one"},
                )

            first = await upload(b"pixels")
            assert (await api.start(job)).status_code == 200  # and it waits for the other input
            late = await upload(b"other pixels")
            kept = api.opened.house.vault.get(job["id"], first.json()["id"])
            await api.http.delete(f"/jobs/{job['id']}")

        assert (first.status_code, late.status_code) == (200, 409)
        assert kept == {"decrypt_password": CANARY}

    serve(test)
