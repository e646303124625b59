"""Fetching: whatever a host answers, an input ends; and one account's downloads that hang leave room for others."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import logging
import socket
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import apsw
import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from runner.server.config import ServerConfig
from runner.server.engine.cloud_inputs import site_of
from runner.server.engine.fair_places import FairPlaces
from runner.server.engine.fetching import Fetching
from runner.server.engine.remote import Fetched, Order
from runner.server.jobs.ids import new_id, new_token
from runner.server.jobs.record import Input, Job
from runner.server.jobs.vault import Vault
from runner.server.operating.logs import logging_json
from runner.server.store.blobs import Blobs
from runner.server.store.keys import insert_key
from tests.server.conftest import PATIENCE_S
from tests.server.post_office import api_of
from tests.server.served import Served, serving
from tests.server.test_survival import until, until_ended

_SOON_S = 10.0  # what hangs is given up after 30


@pytest.mark.parametrize("staged", [False, True], ids=["started", "staged"])
def test_a_redirect_to_what_is_no_url_fails_the_input(with_server: Any, web: Any, *, staged: bool) -> None:
    web.pages["/a"] = (302, {"Location": "http://[bad/"}, b"")

    async def test(api: Any) -> None:
        entry = {"source": f"{web.url}/a"}
        job = await api.create(process=not staged, input=entry, conversion={"target": "png"})
        await api.until(job, lambda now: now.phase in ("staged-ready", "failed"))
        shown = await api.get(job)
        assert (shown["status"]["code"], shown["input"][0]["status"]) == ("ready" if staged else "failed", "failed")
        assert [one["id_source"] for one in shown["warnings"]] == [shown["input"][0]["id"]] * staged
        done = await api.converted(job) if staged else shown
        assert (done["errors"][0]["code"], done["spent"], done["warnings"]) == (404, 0, [])
        assert shown["warnings"] in ([], done["errors"])
        assert "redirects to what is not a valid URL" in done["errors"][0]["message"]

    with_server(test)


@pytest.mark.parametrize(
    "disposition", ["attachment; filename*0=a; filename*=UTF-8''b", "attachment; filename*=\x00''a", "filename", ";=;"]
)
def test_a_name_that_contradicts_itself_is_left_for_the_one_in_the_link(
    with_server: Any, web: Any, disposition: str
) -> None:
    web.pages["/own.jpg"] = (200, {"Content-Disposition": disposition}, b"\xff\xd8\xff")

    async def test(api: Any) -> None:
        job = await api.create(input={"source": f"{web.url}/own.jpg"}, conversion={"target": "png"})
        done = await api.ended(job)
        assert (done["status"]["code"], done["input"][0]["filename"]) == ("completed", "own.jpg")

    with_server(test)


def test_what_nobody_thought_of_fails_the_input_and_is_in_the_log_as_a_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def fetch(_: Order) -> Fetched:
        raise LookupError("what nobody thought of")

    with logging_json("error"):
        got, job = asyncio.run(_brought(tmp_path, fetch))

    assert (got.status, got.error and got.error["code"]) == ("failed", 500)
    (line,) = [json.loads(one) for one in capsys.readouterr().err.splitlines()]
    assert (line["level"], line["job"], line["input"]) == ("error", job.id, got.id)
    assert "what nobody thought of" in line["traceback"]


async def _brought(folder: Path, fetch: Any) -> tuple[Input, Job]:
    settled: asyncio.Queue[Input] = asyncio.Queue()
    job = job_with_input("main", source="http://example.org/")
    async with fetching(folder, fetch, settled) as flights:
        flights.take_off(job)
        return await asyncio.wait_for(settled.get(), PATIENCE_S), job


def job_with_input(account: str, **settings: Any) -> Job:
    entry = Input(id=new_id(), type="remote", status="downloading", **settings)
    job_id = new_id()
    return Job(id=job_id, token=new_token(job_id), account=account, created_at="", modified_at="", inputs=(entry,))


@asynccontextmanager
async def fetching(folder: Path, fetch: Any, settled: asyncio.Queue[Input], **settings: Any) -> AsyncIterator[Fetching]:
    async def settle(_: str, got: Input) -> Input | None:
        await settled.put(got)
        return None

    config = ServerConfig(state_dir=folder, **settings)
    opened = Fetching(config, site_of(config), Blobs(folder / "files"), Vault(), settle, fetch)
    try:
        yield opened
    finally:
        await opened.close()


def test_an_input_that_cant_be_recorded_is_recorded_when_the_disk_has_room_again(
    tmp_path: Path, web: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    web.pages["/a.jpg"] = (200, {}, b"x")
    monkeypatch.setattr("runner.server.engine.fetching._AGAIN_S", 0.05)

    async def test() -> None:
        async with api_of(tmp_path) as api:
            database = api.opened.house.database
            broken = "create trigger broken before update on jobs begin select raise(abort, 'no room'); end"
            await database.write(lambda db: db.execute(broken).fetchall())
            failed = asyncio.Event()
            handler = _Telling(failed)
            logging.getLogger("runner.server.engine.fetching").addHandler(handler)
            job = await api.create(input={"source": f"{web.url}/a.jpg"}, conversion={"target": "png"})
            await asyncio.wait_for(failed.wait(), PATIENCE_S)
            logging.getLogger("runner.server.engine.fetching").removeHandler(handler)
            await database.write(lambda db: db.execute("drop trigger broken").fetchall())

            assert (await api.ended(job))["status"]["code"] == "completed"

    asyncio.run(test())


class _Telling(logging.Handler):
    def __init__(self, event: asyncio.Event) -> None:
        super().__init__()
        self._event = event

    def emit(self, record: logging.LogRecord) -> None:
        self._event.set()


@pytest.fixture
def silent_host() -> Iterator[str]:
    """A host that takes every connection and says nothing."""
    with socket.create_server(("127.0.0.1", 0), backlog=128) as listening:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


def test_forty_downloads_of_one_account_that_hang_dont_keep_another_waiting(
    tmp_path: Path, web: Any, silent_host: str
) -> None:
    web.pages["/a.jpg"] = (200, {}, b"x")

    async def test() -> None:
        async with api_of(tmp_path) as api:
            await api.opened.house.database.write(partial(_add_key, "key-of-another"))
            hanging = [{"source": f"{silent_host}/{number}"} for number in range(40)]
            stuck = await api.create(input=hanging, conversion={"target": "png"})
            other = {"X-Api2convert-Api-Key": "key-of-another"}
            body = {"input": {"source": f"{web.url}/a.jpg"}, "conversion": {"target": "png"}}
            job = (await api.http.post("/jobs", json=body, headers=other)).json()
            await api.until(job, lambda one: one.phase == "completed")
            assert {one["status"] for one in (await api.get(stuck))["input"]} == {"downloading"}  # for 30 s

    asyncio.run(test())


def _add_key(key: str, db: apsw.Connection) -> None:
    insert_key(db, key, "another", "", time.time())


def test_deliveries_that_hang_keep_no_other_job_from_being_converted(tmp_path: Path, silent_host: str) -> None:
    port = int(silent_host.rpartition(":")[2])
    target = {
        "type": "ftp",
        "parameters": {"host": "127.0.0.1", "port": port, "file": "a.png"},
        "credentials": {"username": "u", "password": "p"},
    }

    async def test() -> None:
        async with api_of(tmp_path, workers=1) as api:
            body = {"input": {"type": "base64", "source": "eA=="}, "process": True}
            conversion = [{"target": "png", "output_target": target}]
            stuck = [await api.create(**body, conversion=conversion) for _ in range(5)]
            for job in stuck:
                await api.until(job, lambda one: one.conversions[0].output_target[0]["status"] == "uploading")
            done = await api.ended(await api.create(**body, conversion={"target": "png"}))

            assert done["status"]["code"] == "completed"
            assert {(await api.get(job))["status"]["code"] for job in stuck} == {"processing"}  # for 30 s
            await api.http.delete(f"/jobs/{stuck[0]['id']}")
            assert (await api.ended(stuck[0]))["status"]["code"] == "canceled"

    asyncio.run(test())


def test_pages_that_hang_leave_downloads_their_threads(tmp_path: Path, silent_host: str) -> None:
    async def test() -> Input:
        settled: asyncio.Queue[Input] = asyncio.Queue()
        loopback = (ip_network("127.0.0.0/8"),)
        async with fetching(tmp_path, _nothing, settled, fetches=1, allow_private=loopback) as flights:
            for _ in range(5):
                flights.take_off(job_with_input("main", source=silent_host, engine="screenshot"))
            flights.take_off(job_with_input("main", source="http://example.org/a.jpg"))
            return await asyncio.wait_for(settled.get(), PATIENCE_S)

    got = asyncio.run(test())
    assert (got.status, got.source) == ("ready", "http://example.org/a.jpg")


def _nothing(order: Order) -> Fetched:
    order.path.write_bytes(b"")
    return Fetched(size=0, checksum="", filename="a.jpg")


def test_an_account_alone_leaves_a_quarter_and_the_next_one_gets_most_of_that() -> None:
    async def test() -> Counter[str]:
        places, held = FairPlaces(16), Counter[str]()

        async def take(account: str) -> None:
            await places.take(account)
            held[account] += 1

        tasks = [asyncio.create_task(take(account)) for account in ["a"] * 40 + ["b"] * 40 + ["c"]]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return held

    assert asyncio.run(test()) == {"a": 12, "b": 3, "c": 1}


class Waiting:
    """Accounts that want places, have them, and give them back."""

    def __init__(self, places: FairPlaces) -> None:
        self._places = places
        self.held: Counter[str] = Counter()
        self.tasks: list[asyncio.Task[None]] = []

    def move(self, account: str, what: str) -> None:
        if what == "take":
            self.tasks.append(asyncio.create_task(self._take(account)))
        elif what == "cancel" and self.tasks:
            self.tasks.pop(0).cancel()
        elif what == "give back" and self.held[account]:
            self.held[account] -= 1
            self._places.give_back(account)

    async def _take(self, account: str) -> None:
        await self._places.take(account)
        self.held[account] += 1

    async def settled(self) -> None:
        for _ in range(3):
            await asyncio.sleep(0)

    async def give_all_back(self) -> None:
        while any(not task.done() for task in self.tasks):
            assert self.held.total()
            for account in list(self.held.elements()):
                self.move(account, "give back")
            await self.settled()


@given(
    st.integers(min_value=1, max_value=5),
    st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(["take", "cancel", "give back"])), max_size=60),
)
def test_places_are_never_lost_and_never_given_twice(count: int, moves: list[tuple[str, str]]) -> None:
    async def test() -> None:
        waiting = Waiting(FairPlaces(count))
        for account, what in moves:
            waiting.move(account, what)
            await waiting.settled()
            assert waiting.held.total() <= count
        await waiting.give_all_back()

    asyncio.run(test())


@pytest.mark.parametrize(("given", "shown"), [("", "own.jpg"), ("first", "first.jpg")])
def test_what_a_patch_says_of_an_input_on_its_way_is_there_when_it_has_come(
    tmp_path: Path, slow_host: SlowHost, given: str, shown: str
) -> None:
    async def test() -> None:
        async with api_of(tmp_path) as api:
            job = await api.staged(
                input=[{"source": f"{slow_host.url}/own.jpg", "filename": given} for _ in range(2)],
            )
            patched, left = (entry["id"] for entry in job["input"])
            change = {"filename": "second", "parameters": {"a": 1}}
            assert (await api.http.patch(f"/jobs/{job['id']}/input/{patched}", json=change)).status_code == 200
            slow_host.answer.set()
            await api.until(job, lambda one: one.phase == "staged-ready")
            entries = {entry["id"]: entry for entry in (await api.get(job))["input"]}

            assert (entries[patched]["filename"], entries[patched]["parameters"]) == ("second.jpg", {"a": 1})
            assert entries[left]["filename"] == shown

    asyncio.run(test())


def test_a_host_that_says_nothing_doesnt_hold_up_the_end_and_is_asked_again_by_the_next_server(
    tmp_path: Path, slow_host: SlowHost
) -> None:
    with serving(tmp_path / "state") as served, _client(served) as http:
        body = {"input": [{"type": "remote", "source": f"{slow_host.url}/a.jpg"}], "conversion": [{"target": "png"}]}
        job = http.post("/jobs", json=body).json()
        assert slow_host.asked.wait(PATIENCE_S)
        stopped_at = time.monotonic()
    ended_after_s = time.monotonic() - stopped_at

    slow_host.answer.set()
    with serving(tmp_path / "state", "--max-disk", "1G") as served, _client(served) as http:
        done = until_ended(http, job["id"])
        result = http.get(done["output"][0]["uri"]).content
        left = list((served.state / "files" / "tmp").iterdir())

    assert ended_after_s < _SOON_S
    assert (done["status"]["code"], done["spent"], left) == ("completed", 1, [])
    with Image.open(io.BytesIO(result)) as picture:
        assert (picture.format, picture.size) == ("PNG", (16, 9))


def test_a_delivery_that_hangs_doesnt_hold_up_the_end_and_is_tried_again_by_the_next_server(tmp_path: Path) -> None:
    picture = io.BytesIO()
    Image.new("RGB", (16, 9)).save(picture, "jpeg")
    source = {"type": "base64", "source": base64.b64encode(picture.getvalue()).decode()}
    options = ("--seal-key", str(tmp_path / "seal.key"))
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.settimeout(PATIENCE_S)
        target = {
            "type": "ftp",
            "parameters": {"host": "127.0.0.1", "port": silent.getsockname()[1], "file": "a.png"},
            "credentials": {"username": "u", "password": "p"},
        }
        with serving(tmp_path / "state", *options) as served, _client(served) as http:
            body = {"input": [source], "conversion": [{"target": "png", "output_target": [target]}]}
            job = http.post("/jobs", json=body).json()
            first, _ = silent.accept()
            stopped_at = time.monotonic()
        ended_after_s = time.monotonic() - stopped_at

        with serving(tmp_path / "state", *options) as served, _client(served) as http:
            second, _ = silent.accept()
            status = http.get(f"/jobs/{job['id']}").json()["status"]["code"]

        assert (ended_after_s < _SOON_S, status) == (True, "processing")
        first.close()
        second.close()


def test_a_canceled_job_lets_go_of_a_host_that_says_nothing(tmp_path: Path) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as listening,
        serving(tmp_path / "state", "--max-disk", "1M") as served,
        _client(served) as http,
    ):
        address = f"127.0.0.1:{listening.getsockname()[1]}/a.jpg"
        without_length = b"HTTP/1.1 200 OK\r\n\r\n\xff\xd8\xff"  # where it ends, the file does
        for scheme, answer in (("http", b""), ("https", b""), ("http", without_length)):
            source = {"type": "remote", "source": f"{scheme}://{address}"}
            job = http.post("/jobs", json={"input": [source]}).json()
            connection, _ = listening.accept()
            with connection:
                connection.settimeout(_SOON_S)
                connection.recv(4096)
                connection.sendall(answer)
                assert http.delete(f"/jobs/{job['id']}").status_code < 300
                assert connection.recv(1) == b""  # at once, and not after 30 seconds
        files = served.state / "files"
        until(lambda: not any(path.is_file() for path in files.rglob("*")))
        assert "\nrunner_files_bytes 0\n" in http.get(served.base_url.removesuffix("/v2") + "/metrics").text


def _client(served: Served) -> httpx.Client:
    headers = {"X-Api2convert-Api-Key": served.api_key}
    return httpx.Client(base_url=served.base_url, headers=headers, timeout=PATIENCE_S)


@dataclass(frozen=True)
class SlowHost:
    """Answers with a picture, once it may. `asked` is set when it was asked."""

    url: str
    answer: threading.Event
    asked: threading.Event


@pytest.fixture
def slow_host() -> Iterator[SlowHost]:
    may_answer, asked = threading.Event(), threading.Event()
    picture = io.BytesIO()
    Image.new("RGB", (16, 9)).save(picture, "jpeg")

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.set()
            may_answer.wait(PATIENCE_S)
            with suppress(OSError):  # who asked may have gone
                self.send_response(200)
                self.send_header("Content-Length", str(len(picture.getvalue())))
                self.end_headers()
                self.wfile.write(picture.getvalue())

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield SlowHost(f"http://127.0.0.1:{server.server_port}", may_answer, asked)
        may_answer.set()
        server.shutdown()
        thread.join()
