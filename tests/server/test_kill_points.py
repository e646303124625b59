"""`kill -9` at chosen moments of a job's life, each hit by several seeds; a restart then accounts for everything.

Whatever was answered is there, every job that was started ends once and is charged once, steps that were recorded are
not made again, and whoever asked for callbacks hears of every end.
"""

from __future__ import annotations

import hashlib
import io
import json
import random
import subprocess
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import apsw
import httpx
import pytest
from PIL import Image

from runner.server.book import DATABASE
from tests.server.conftest import PATIENCE_S
from tests.server.post_office import PostOffice, post_office
from tests.server.test_survival import picture, server, until, until_ended

_UPLOADED = picture(1, size=300)
_HALF = len(_UPLOADED) // 2


@dataclass
class Scene:
    """One server that is going to be killed, and what it was told. `after` is done once it is back."""

    http: httpx.Client
    state: Path
    office: PostOffice
    slow_web: SlowWeb
    started: dict[str, int] = field(default_factory=dict)  # job: what it costs
    staged: list[str] = field(default_factory=list)
    after: list[Callable[[httpx.Client], None]] = field(default_factory=list)

    def create(self, **body: Any) -> dict[str, Any]:
        told = {"callback": self.office.url, "conversion": [{"target": "webp"}], "process": False, **body}
        answer = self.http.post("/jobs", json=told)
        assert answer.status_code == 201, answer.text
        job: dict[str, Any] = answer.json()
        return job

    def upload(self, job: dict[str, Any], number: int, *, size: int = 300) -> None:
        upload(self.http, job, picture(number, size=size), name=f"{number}.png")

    def start(self, job: dict[str, Any], *, credits_: int) -> None:
        assert self.http.patch(f"/jobs/{job['id']}", json={"process": True}).status_code == 200
        self.started[job["id"]] = credits_

    def status(self, job: dict[str, Any]) -> str:
        return str(self.http.get(f"/jobs/{job['id']}").json()["status"]["code"])

    def steps(self, job: dict[str, Any]) -> int:
        return len(self.http.get(f"/jobs/{job['id']}/threads").json())


def upload(http: httpx.Client, job: dict[str, Any], content: bytes, *, name: str, **headers: str) -> None:
    answer = http.post(
        f"{job['server']}/upload-file/{job['id']}",
        files={"file": (name, content)},
        headers={name.replace("_", "-"): value for name, value in headers.items()},
    )
    assert answer.status_code == 200, answer.text


def half_an_upload(scene: Scene) -> None:
    job = scene.create()

    def send(http: httpx.Client, first: int, last: int) -> None:
        part = f"bytes {first}-{last - 1}/{len(_UPLOADED)}"
        upload(http, job, _UPLOADED[first:last], name="1.png", x_oc_upload_uuid="one", content_range=part)

    def the_rest(http: httpx.Client) -> None:
        send(http, _HALF, len(_UPLOADED))
        shown = http.get(f"/jobs/{job['id']}/input").json()
        assert [one["checksum"] for one in shown] == [hashlib.md5(_UPLOADED, usedforsecurity=False).hexdigest()]
        assert http.patch(f"/jobs/{job['id']}", json={"process": True}).status_code == 200
        scene.started[job["id"]] = 1

    send(scene.http, 0, _HALF)
    scene.after.append(the_rest)


def half_a_download(scene: Scene) -> None:
    job = scene.create(process=True, input=[{"source": f"{scene.slow_web.url}/1.png"}])
    scene.started[job["id"]] = 1
    scene.slow_web.sent_half.wait(PATIENCE_S)
    assert scene.status(job) == "downloading"


def a_conversion_under_way(scene: Scene) -> None:
    job = scene.create()
    scene.upload(job, 1, size=2500)
    scene.start(job, credits_=1)
    until(lambda: scene.status(job) in ("processing", "completed"))  # a short moment, on a slow machine


def one_of_two_conversions_done(scene: Scene) -> None:
    job = scene.create(conversion=[{"target": "bmp"}, {"target": "webp"}])
    scene.upload(job, 1, size=1500)
    scene.start(job, credits_=2)
    until(lambda: scene.steps(job))


def results_being_packed(scene: Scene) -> None:
    job = scene.create(conversion=[{"target": "bmp"}])
    for number in range(4):
        scene.upload(job, number, size=900)
    scene.start(job, credits_=4)
    until(lambda: list((scene.state / "files" / "tmp").glob("*.zip")) or scene.status(job) == "completed")


def a_callback_on_its_way(scene: Scene) -> None:
    scene.office.answers = [-1]
    job = scene.create()
    scene.upload(job, 1)
    scene.start(job, credits_=1)
    scene.office.wait_for(lambda got: len(got) >= 1)


def the_end_of_a_job(scene: Scene) -> None:
    job = scene.create()
    scene.upload(job, 1)
    scene.start(job, credits_=1)
    until(lambda: scene.status(job) == "completed")
    (shown,) = scene.http.get(f"/jobs/{job['id']}").json()["output"]

    def is_the_same(http: httpx.Client) -> None:
        assert http.get(f"/jobs/{job['id']}").json()["output"] == [shown]

    scene.after.append(is_the_same)


POINTS = (
    half_an_upload,
    half_a_download,
    a_conversion_under_way,
    one_of_two_conversions_done,
    results_being_packed,
    a_callback_on_its_way,
    the_end_of_a_job,
)


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("point", POINTS, ids=lambda point: point.__name__)
def test_a_kill_at_this_moment_loses_nothing_and_repeats_nothing(
    tmp_path: Path, point: Callable[[Scene], None], seed: int
) -> None:
    dice, state = random.Random(f"{point.__name__} {seed}"), tmp_path / "state"
    with post_office() as office, slow_web() as web:
        with server(state, allow_private=["127.0.0.0/8"]) as (http, process):
            scene = Scene(http=http, state=state, office=office, slow_web=web)
            beside(scene, dice)
            point(scene)
            time.sleep(dice.choice([0.0, dice.uniform(0, 0.05)]))
            kill(process)
        before = recorded_steps(state)
        office.closing.set()  # who hung up on the killed server needs no answer
        web.whole.set()
        with server(state, allow_private=["127.0.0.0/8"]) as (http, _):
            for more in scene.after:
                more(http)
            check_results(http, scene)
            office.wait_for(lambda got: {one.job["id"] for one in got if one.status == "completed"} >= {*scene.started})
        check_book(state, scene)
        check_nothing_was_made_again(state, before)


def beside(scene: Scene, dice: random.Random) -> None:
    """Jobs that are there as well: one that is only staged, and some that run or wait, in any state."""
    staged = scene.create()
    scene.upload(staged, 50)
    scene.staged.append(staged["id"])
    for number in range(dice.randint(0, 2)):
        job = scene.create()
        scene.upload(job, 60 + number)
        scene.start(job, credits_=1)


def kill(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.wait()


def check_results(http: httpx.Client, scene: Scene) -> None:
    for job_id in scene.staged:
        assert http.get(f"/jobs/{job_id}").json()["status"]["code"] == "ready"
    for job_id in scene.started:
        job = until_ended(http, job_id)
        assert job["status"]["code"] == "completed", job["errors"]
        for output in job["output"]:
            content = http.get(output["uri"]).content
            assert hashlib.md5(content, usedforsecurity=False).hexdigest() == output["checksum"]
            check_pictures(content)
        again = http.patch(f"/jobs/{job_id}", json={"process": True})
        assert again.status_code in (200, 409)  # by whether it starts by itself; `check_book` sees that it started once


def check_pictures(content: bytes) -> None:
    files = [content]
    if zipfile.is_zipfile(io.BytesIO(content)):
        with zipfile.ZipFile(io.BytesIO(content)) as packed:
            files = [packed.read(name) for name in packed.namelist()]
        assert len(files) == 4
    for file in files:
        with Image.open(io.BytesIO(file)) as opened:
            opened.load()


def check_book(state: Path, scene: Scene) -> None:
    """One start and one charge of what it costs for every started job, and nothing else."""
    lines = query(state, "select job_id, kind, credits from ledger order by job_id, kind")
    wanted = [line for job, cost in scene.started.items() for line in ((job, "charge", cost), (job, "start", 0))]
    assert lines == sorted(wanted)


def recorded_steps(state: Path) -> dict[str, list[Any]]:
    return {job: json.loads(record)["steps"] for job, record in query(state, "select id, record from jobs")}


def check_nothing_was_made_again(state: Path, before: dict[str, list[Any]]) -> None:
    after = recorded_steps(state)
    assert after.keys() == before.keys()
    for job, steps in before.items():
        assert [one for one in steps if one not in after[job]] == []


def query(state: Path, statement: str) -> list[Any]:
    connection = apsw.Connection(str(state / DATABASE))
    try:
        return connection.execute(statement).fetchall()
    finally:
        connection.close()


@dataclass(frozen=True)
class SlowWeb:
    """Serves one picture: half of it, and the other half once `whole` is set."""

    url: str
    sent_half: threading.Event
    whole: threading.Event


@contextmanager
def slow_web() -> Iterator[SlowWeb]:
    sent_half, whole = threading.Event(), threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(_UPLOADED)))
            self.end_headers()
            self.wfile.write(_UPLOADED[:_HALF])
            sent_half.set()
            whole.wait(PATIENCE_S)
            self.wfile.write(_UPLOADED[_HALF:])

        def handle(self) -> None:
            try:
                super().handle()
            except OSError:  # the server that asked was killed
                pass

        def log_message(self, *_: object) -> None:
            pass

    web = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    web.daemon_threads = True
    thread = threading.Thread(target=web.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield SlowWeb(f"http://127.0.0.1:{web.server_port}", sent_half, whole)
    finally:
        whole.set()
        web.shutdown()
        thread.join()
        web.server_close()
