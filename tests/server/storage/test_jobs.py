"""Jobs whose inputs come from storage and whose results go there, through the API."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from runner.server.config import ServerConfig
from tests.server.conftest import KEY, PATIENCE_S, Api, Copying, run_against
from tests.server.storage.everywhere import everywhere
from tests.server.storage.ftpd import PASSWORD, Ftpd
from tests.server.storage.remote import LOOPBACK, Remote

Run = Callable[..., None]
Test = Callable[[Api], Awaitable[None]]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Runs an async test against a server of its own that is pointed at a provider."""

    def run_with(test: Test, remote: Remote, *, converter: Copying | None = None) -> None:
        endpoint: dict[str, Any] = dict(remote.endpoint)
        config = ServerConfig(
            state_dir=tmp_path / "state", api_keys=(KEY,), workers=2, allow_private=LOOPBACK, **endpoint
        )
        asyncio.run(run_against(test, config, converter or Copying()))

    return run_with


async def until(true: Callable[[], bool]) -> None:
    """For what is done behind the change that everybody sees, and has no event of its own."""
    for _ in range(2000):
        if true():
            return
        await asyncio.sleep(0.01)
    raise TimeoutError


def jpg(remote: Remote, name: str, content: bytes = b"\xff\xd8\xff picture") -> None:
    remote.put(name, content)


@everywhere
def test_a_file_comes_from_storage_and_its_result_goes_back(remote: Remote, run: Run, md5: Any) -> None:
    jpg(remote, "in/holi day.jpg")

    async def test(api: Any) -> None:
        conversion = {"target": "png", "output_target": [remote.target("out/holi day.png")]}
        done = await api.ended(await api.create(input=[remote.input("in/holi day.jpg")], conversion=[conversion]))

        assert done["errors"] == []
        assert (done["status"]["code"], done["spent"], done["output"]) == ("completed", 1, [])
        entry, target = done["input"][0], done["conversion"][0]["output_target"][0]
        assert (entry["status"], entry["filename"], entry["content_type"]) == ("ready", "holi day.jpg", "image/jpeg")
        assert (entry["checksum"], entry["credentials"]) == (md5(b"\xff\xd8\xff picture"), {})
        assert (target["status"], target["credentials"]) == ("completed", {})
        assert target["parameters"] == {**remote.parameters, "file": "out/holi day.png"}
        assert remote.get("out/holi day.png") == b"\xff\xd8\xff picture0"
        await until(lambda: not [path for path in files_of(api, done) if "/out-" in path])

    run(test, remote)


@everywhere
def test_a_taken_name_fails_the_target_and_the_job_and_costs_nothing(remote: Remote, run: Run) -> None:
    jpg(remote, "in/second.jpg")
    remote.put("out/second.png", b"first")

    async def test(api: Any) -> None:
        conversion = {"target": "png", "output_target": [remote.target("out/second.png")]}
        done = await api.ended(await api.create(input=[remote.input("in/second.jpg")], conversion=[conversion]))

        assert (done["status"]["code"], done["spent"], done["output"]) == ("failed", 0, [])
        assert done["conversion"][0]["output_target"][0]["status"] == "failed"
        (error,) = done["errors"]
        assert (error["source"], error["id_source"]) == ("conversion", done["conversion"][0]["id"])
        assert (error["code"], "file 'out/second.png': the name is taken" in error["message"]) == (409, True)
        assert remote.get("out/second.png") == b"first"

    run(test, remote)


def test_a_missing_file_fails_the_input_in_the_apis_shape(naughty: Ftpd, run: Run) -> None:
    async def test(api: Any) -> None:
        done = await api.ended(
            await api.create(input=[naughty.remote.input("gone.jpg")], conversion=[{"target": "png"}])
        )

        assert (done["status"]["code"], done["input"][0]["status"], done["spent"]) == ("failed", "failed", 0)
        (error,) = done["errors"]
        assert (error["source"], error["id_source"], error["code"]) == ("input", done["input"][0]["id"], 17)
        assert "FTP, host '127.0.0.1', file 'gone.jpg'" in error["message"]

    run(test, naughty.remote)


def test_several_results_on_one_name_are_numbered_and_a_folder_keeps_theirs(naughty: Ftpd, run: Run) -> None:
    jpg(naughty.remote, "a.jpg")

    async def test(api: Any) -> None:
        conversion = {
            "target": "png",
            "options": {"allow_multiple_outputs": True},
            "output_target": [naughty.remote.target("one/name.v1.png"), naughty.remote.target("folder/")],
        }
        done = await api.ended(await api.create(input=[naughty.remote.input("a.jpg")], conversion=[conversion]))

        assert [one["status"] for one in done["conversion"][0]["output_target"]] == ["completed", "completed"]
        assert stored(naughty, "one") == ["name.v1-2.png", "name.v1-3.png", "name.v1.png"]
        assert stored(naughty, "folder") == ["a-1.png", "a-2.png", "a-3.png"]
        assert naughty.remote.get("one/name.v1-2.png") == b"\xff\xd8\xff picture1"

    run(test, naughty.remote, converter=Copying(pages=3))


def test_one_target_that_fails_fails_the_job_and_the_others_say_what_they_did(naughty: Ftpd, run: Run) -> None:
    jpg(naughty.remote, "a.jpg")
    naughty.remote.put("taken.png", b"first")

    async def test(api: Any) -> None:
        targets = [naughty.remote.target("free.png"), naughty.remote.target("taken.png")]
        conversions = [{"target": "png", "output_target": targets}, {"target": "gif"}]
        done = await api.ended(await api.create(input=[naughty.remote.input("a.jpg")], conversion=conversions))

        statuses = [one["status"] for one in done["conversion"][0]["output_target"]]
        assert (done["status"]["code"], statuses, done["output"]) == ("failed", ["completed", "failed"], [])
        assert len(done["errors"]) == 1

    run(test, naughty.remote)


def test_conversions_without_a_target_keep_their_output(naughty: Ftpd, run: Run) -> None:
    jpg(naughty.remote, "a.jpg")

    async def test(api: Any) -> None:
        conversions = [{"target": "png", "output_target": [naughty.remote.target("x.png")]}, {"target": "gif"}]
        done = await api.ended(await api.create(input=[naughty.remote.input("a.jpg")], conversion=conversions))

        assert [one["filename"] for one in done["output"]] == ["a.gif"]
        assert (await api.stranger.get(done["output"][0]["uri"])).status_code == 200

    run(test, naughty.remote)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"type": "gdrive"}, "doesn't serve Google Drive ('gdrive')"),
        ({"type": "youtube"}, "doesn't serve YouTube ('youtube')"),
        ({"type": "floppy"}, "doesn't serve 'floppy'; it serves amazons3, googlecloud, azure, ftp"),
        ({"parameters": {"file": "x"}}, "FTP: parameters.host is missing"),
        ({"credentials": {}}, "credentials.password is missing; credentials.username is missing"),
        ({"parameters": {"host": "h", "file": "f", "port": "99999"}}, "parameters.port must be a number"),
    ],
)
def test_what_is_wrong_with_a_target_is_said_before_anything_is_converted(
    naughty: Ftpd, run: Run, change: dict[str, Any], message: str
) -> None:
    async def test(api: Any) -> None:
        target = {**naughty.remote.target("x.png"), **change}
        job = await api.staged()
        await api.http.delete(f"/jobs/{job['id']}/conversions/{job['conversion'][0]['id']}")
        await api.http.post(f"/jobs/{job['id']}/conversions", json={"target": "png", "output_target": [target]})
        await api.upload(job)
        done = await api.converted(job)

        assert (done["status"]["code"], done["spent"], api.converter.seen) == ("failed", 0, [])
        assert message in done["errors"][0]["message"]
        assert done["conversion"][0]["output_target"][0]["status"] == "failed"

    run(test, naughty.remote)


def test_two_targets_of_one_name_are_refused_before_anything_is_converted(naughty: Ftpd, run: Run) -> None:
    jpg(naughty.remote, "a.jpg")

    async def test(api: Any) -> None:
        twice = [{"target": one, "output_target": [naughty.remote.target("same")]} for one in ("png", "gif")]
        done = await api.ended(await api.create(input=[naughty.remote.input("a.jpg")], conversion=twice))

        assert (done["errors"][0]["code"], api.converter.seen) == (409, [])

    run(test, naughty.remote)


@pytest.mark.parametrize("source", ["gdrive", "youtube", "gdrive_picker", "floppy"])
def test_inputs_of_providers_that_are_not_served_fail_by_name(naughty: Ftpd, run: Run, source: str) -> None:
    async def test(api: Any) -> None:
        kind = {"type": source, "source": "id"} if source == "gdrive_picker" else {"type": "cloud", "source": source}
        done = await api.ended(await api.create(input=[kind], conversion=[{"target": "png"}]))

        assert (done["input"][0]["status"], done["errors"][0]["code"]) == ("failed", 99)
        assert f"'{source}'" in done["errors"][0]["message"]

    run(test, naughty.remote)


def test_credentials_given_later_are_tried_again(naughty: Ftpd, run: Run) -> None:
    jpg(naughty.remote, "a.jpg")

    async def test(api: Any) -> None:
        job = await api.staged(input=[{**naughty.remote.input("a.jpg"), "credentials": {}}])
        await api.until(job, lambda one: one.inputs[0].status == "failed")
        path = f"/jobs/{job['id']}/input/{job['input'][0]['id']}"
        await api.http.patch(path, json={"credentials": dict(naughty.remote.credentials)})
        await api.until(job, lambda one: one.inputs[0].status == "ready")

        assert (await api.converted(job))["status"]["code"] == "completed"

    run(test, naughty.remote)


def test_no_credential_is_ever_written_or_told(naughty: Ftpd, run: Run, tmp_path: Path, caplog: Any) -> None:
    jpg(naughty.remote, "a.jpg")
    naughty.remote.put("taken.png", b"first")

    async def test(api: Any) -> None:
        shown: list[str] = []
        for name in ("free.png", "taken.png"):
            conversion = {"target": "png", "output_target": [naughty.remote.target(name)]}
            job = await api.create(input=[naughty.remote.input("a.jpg")], conversion=[conversion])
            shown += [json.dumps(job), json.dumps(await api.ended(job))]

        written = [path.read_bytes() for path in (tmp_path / "state").rglob("*") if path.is_file()]
        assert PASSWORD not in "".join(shown) + caplog.text
        assert written
        assert not any(PASSWORD.encode() in content for content in written)
        assert api.opened.house.vault.get(job["id"], job["conversion"][0]["id"]) is None

    run(test, naughty.remote)


def test_credentials_of_an_input_are_forgotten_when_the_file_is_here(naughty: Ftpd, run: Run) -> None:
    jpg(naughty.remote, "a.jpg")

    async def test(api: Any) -> None:
        job = await api.staged(input=[naughty.remote.input("a.jpg")])
        await api.until(job, lambda one: one.phase == "staged-ready")

        await until(lambda: api.opened.house.vault.get(job["id"], job["input"][0]["id"]) is None)
        assert (await api.converted(job))["status"]["code"] == "completed"

    run(test, naughty.remote)


def test_a_job_can_be_canceled_while_it_waits_for_storage(naughty: Ftpd, run: Run) -> None:
    jpg(naughty.remote, "a.jpg", b"x" * 1000)
    naughty.mischief.stalls = True

    async def test(api: Any) -> None:
        conversion = {"target": "png", "output_target": [naughty.remote.target("x.png")]}
        job = await api.create(input=[naughty.remote.input("a.jpg")], conversion=[conversion])
        assert (await api.http.delete(f"/jobs/{job['id']}")).status_code == 204

        now = await api.get(job)
        assert (now["status"]["code"], now["input"][0]["status"]) == ("canceled", "canceled")
        assert now["conversion"][0]["output_target"][0]["status"] == "failed"
        naughty.mischief.stalls = False

    run(test, naughty.remote)


def files_of(api: Any, job: dict[str, Any]) -> list[str]:
    folder = api.opened.house.blobs.path(job["id"])
    return [str(path) for path in folder.rglob("*")]


def stored(server: Ftpd, folder: str) -> list[str]:
    return sorted(path.name for path in (server.home / folder).iterdir())


@pytest.mark.parametrize("first", ["first.jpg", "gone.jpg"])
def test_an_input_that_is_said_to_lie_elsewhere_while_it_comes_is_fetched_from_there(
    naughty: Ftpd, run: Run, first: str
) -> None:
    jpg(naughty.remote, "first.jpg", b"\xff\xd8\xff first")
    jpg(naughty.remote, "second.jpg", b"\xff\xd8\xff second")

    async def test(api: Any) -> None:
        with held_back(int(naughty.remote.parameters["port"])) as (port, let_go):
            entry = naughty.remote.input(first)
            entry["parameters"]["port"] = port
            job = await api.staged(input=[entry])
            place = f"/jobs/{job['id']}/input/{job['input'][0]['id']}"
            patched = await api.http.patch(place, json={"parameters": {"file": "second.jpg"}})
            let_go.set()
            await api.until(job, lambda one: one.phase == "staged-ready")
            (shown,) = (await api.get(job))["input"]

        assert (patched.status_code, patched.json()["status"]) == (200, "downloading")
        assert (shown["status"], shown["filename"], shown["parameters"]["file"]) == (
            "ready",
            "second.jpg",
            "second.jpg",
        )
        assert shown["size"] == len(b"\xff\xd8\xff second")
        (kept,) = files_of(api, job)
        assert "/in-" in kept

    run(test, naughty.remote)


@contextmanager
def held_back(port: int) -> Iterator[tuple[int, threading.Event]]:
    """A port that leads to `port` of loopback, and to nowhere until it is let go."""
    let_go, ended = threading.Event(), threading.Event()

    def pass_on(source: socket.socket, to: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while piece := source.recv(65536):
                to.sendall(piece)
            to.shutdown(socket.SHUT_WR)

    def lead(client: socket.socket) -> None:
        let_go.wait(PATIENCE_S)
        with client, socket.create_connection(("127.0.0.1", port)) as server:
            back = threading.Thread(target=pass_on, args=(server, client))
            back.start()
            pass_on(client, server)
            back.join()

    def accept(listening: socket.socket) -> None:
        while not ended.is_set():
            with contextlib.suppress(TimeoutError):
                leading.append(threading.Thread(target=lead, args=(listening.accept()[0],)))
                leading[-1].start()

    leading: list[threading.Thread] = []
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(0.05)
        accepting = threading.Thread(target=accept, args=(listening,))
        accepting.start()
        try:
            yield listening.getsockname()[1], let_go
        finally:
            ended.set()
            for thread in (accepting, *leading):
                thread.join()
