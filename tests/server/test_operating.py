"""Operating the server: /health, /metrics, its log, its limits on disk and time, and a queue that is fair."""

from __future__ import annotations

import asyncio
import base64
import io
import itertools
import json
import re
import signal
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from runner.server.config import Contract
from runner.server.engine.fair_queue import FairQueue
from runner.server.engine.retention import cancel_forgotten
from runner.server.store.blobs import Blobs
from tests.acceptance.command_line import PATIENCE_S, new_desk, png
from tests.server.conftest import Api, Web
from tests.server.post_office import api_of, converted
from tests.server.served import serving
from tests.server.test_survival import until

LINE = re.compile(r'[a-z_]+(\{[a-z]+="[^"\n]*"(,[a-z]+="[^"\n]*")*\})? [0-9.e+-]+\Z')


def test_health_needs_no_key_and_says_when_no_work_can_be_accepted(tmp_path: Path) -> None:
    async def test() -> None:
        async with api_of(tmp_path, max_disk_bytes=20) as api:
            good = await api.stranger.get("http://server.test/health")
            await api.staged(input=[{"type": "base64", "source": "eHh4" * 6 + "eHg="}])
            full = await api.stranger.get("http://server.test/health")
            head = await api.stranger.head("http://server.test/health")

        assert (good.status_code, good.json()["status"], good.json().keys() & {"message"}) == (200, "ok", set())
        assert (full.status_code, full.json()["status"], head.status_code, head.content) == (503, "failing", 503, b"")
        assert "--max-disk" in full.json()["message"]

    asyncio.run(test())


def test_metrics_are_prometheus_text_and_their_labels_hold_nothing_that_clients_sent(tmp_path: Path) -> None:
    async def test() -> None:
        async with api_of(tmp_path, max_disk_bytes=10_000) as api:
            done = await converted(api)
            await api.http.get(done["output"][0]["uri"])
            for path in ("/jobs/geheim", "/geheim/a/b/c/d/e/f/g/h/i", "/jobs?status=geheim", "/%0A%22geheim"):
                await api.http.get(path)
            await api.http.request("GEHEIM", "/jobs")
            answer = await api.stranger.get("http://server.test/metrics")

        assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
        lines = [line for line in answer.text.splitlines() if not line.startswith("#")]
        assert [line for line in lines if not LINE.match(line)] == []
        assert "geheim" not in answer.text.lower()
        assert 'runner_jobs{status="completed"} 1' in lines
        route = 'method="GET",route="/dl/local/download-file/*/*",status="200"'
        assert f"runner_requests_total{{{route}}} 1" in lines
        assert "runner_files_bytes 13" in lines
        types = [line.split()[2] for line in answer.text.splitlines() if line.startswith("# TYPE")]
        assert [name for name, count in Counter(types).items() if count > 1] == []

    asyncio.run(test())


def test_the_log_has_every_request_and_status_and_no_secret(tmp_path: Path) -> None:
    desk = new_desk(tmp_path)
    key, secret = "key-that-nobody-may-see", "secret-of-callbacks"
    shell = replace(desk, more={"RUNNER_SERVE_KEY": key, "RUNNER_SERVE_CALLBACK_SECRET": secret})
    with shell.start("serve", "--port", "0", "--format", "json", "--log-level", "info", "--workers", "1") as process:
        assert process.stdout is not None
        base_url = json.loads(process.stdout.readline())["base_url"]
        with httpx.Client(base_url=base_url, headers={"X-Oc-Api-Key": key}) as http:
            body = {
                "process": False,
                "callback": "http://127.0.0.1:9/hook?token=t0k3n",
                "conversion": [{"target": "webp", "options": {"download_password": "pa55"}}],
            }
            job = http.post("/jobs?token=t0k3n", json=body).json()
            upload = f"{job['server']}/upload-file/{job['id']}"
            http.post(upload, files={"file": ("private-name.png", png())}, data={"decrypt_password": "pa55"})
            http.patch(f"/jobs/{job['id']}", json={"process": True})
            while (done := http.get(f"/jobs/{job['id']}").json())["status"]["code"] != "completed":
                assert done["status"]["code"] in ("queued", "processing")
                time.sleep(0.05)  # every look is a line, and nobody reads them yet: the pipe would be full
            http.get(done["output"][0]["uri"], headers={"X-Oc-Download-Password": "pa55"})
            refused = http.get("/jobs", headers={"X-Oc-Api-Key": "wr0ng"})
            http.get("/jobs", headers={"X-Request-Id": "mine-1"})
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=PATIENCE_S)

    lines = [json.loads(line) for line in err.splitlines()]
    said = [line["status"] for line in lines if line["event"] == "job"]
    assert said == ["incomplete", "ready", "queued", "processing", "completed"]
    requests = [(line["method"], line["route"], line["status"]) for line in lines if line["event"] == "request"]
    assert ("POST", "/dl/local/upload-file/*", 200) in requests
    assert ("GET", "/jobs", 401) in requests
    by_id = {line["request_id"]: line["status"] for line in lines if line["event"] == "request"}
    assert (by_id[refused.headers["X-Request-Id"]], by_id["mine-1"]) == (401, 200)
    assert all(set(line) >= {"time", "level", "event"} for line in lines)
    for hidden in (key, secret, "t0k3n", "pa55", "private-name", "wr0ng", job["token"], done["output"][0]["id"]):
        assert hidden not in err


def test_sigterm_lets_what_is_being_answered_be_finished(tmp_path: Path) -> None:
    desk = new_desk(tmp_path)
    with desk.start("serve", "--port", "0", "--format", "json", "--faults", "list delay=2") as process:
        assert process.stdout is not None
        ready = json.loads(process.stdout.readline())

        async def asked() -> int:
            async with httpx.AsyncClient() as http:
                headers = {"X-Oc-Api-Key": ready["api_key"]}
                asking = asyncio.create_task(http.get(f"{ready['base_url']}/jobs", headers=headers))
                root = ready["base_url"].removesuffix("/v2")
                while "runner_requests_in_flight 1\n" not in (await http.get(f"{root}/metrics")).text:
                    assert not asking.done()
                process.send_signal(signal.SIGTERM)
                return (await asking).status_code

        assert asyncio.run(asked()) == 200
        assert process.wait(PATIENCE_S) == 0


def test_beyond_the_limit_on_disk_uploads_are_refused_and_room_comes_back_with_deletion(tmp_path: Path) -> None:
    async def test() -> None:
        async with api_of(tmp_path, max_disk_bytes=100_000) as api:
            kept, other = await api.staged(), await api.staged()
            assert (await api.upload(kept, b"x" * 60_000)).status_code == 200
            refused = await api.upload(other, b"x" * 60_000)
            assert (refused.status_code, "100000 bytes" in refused.text) == (507, True)
            text = "eHh4" * 20_000
            answer = await api.http.post(f"/jobs/{other['id']}/input", json={"type": "base64", "source": text})
            assert answer.status_code == 507, answer.text
            assert (await api.get(other))["input"] == []
            await api.http.delete(f"/jobs/{kept['id']}")
            assert (await api.upload(other, b"x" * 60_000)).status_code == 200

        async with api_of(tmp_path, max_disk_bytes=100_000) as api:  # what lies there is counted at the start
            assert (await api.upload(await api.staged(), b"x" * 60_000)).status_code == 507

    asyncio.run(test())


def test_beyond_the_limit_on_disk_a_download_stops_and_leaves_the_room_that_it_took(tmp_path: Path, web: Web) -> None:
    web.pages["/announced"] = (200, {}, b"x" * 2_000_000)
    web.pages["/endless"] = (200, {"Content-Length": ""}, b"x" * 5_000_000)

    async def test() -> None:
        contract = Contract(max_input_bytes=3_000_000)  # what would stop it next
        async with api_of(tmp_path, max_disk_bytes=1_000_000, contract=contract) as api:
            for page in ("/announced", "/endless"):
                job = await api.create(input={"source": web.url + page}, conversion={"target": "png"})
                failed = await api.ended(job)
                (error,) = failed["errors"]
                assert (error["source"], error["code"], "1000000 bytes" in error["message"]) == ("input", 507, True)
                assert not any((tmp_path / "files" / "tmp").iterdir())
            assert (await api.upload(await api.staged(), b"x" * 990_000)).status_code == 200

    asyncio.run(test())


def test_what_a_killed_server_was_writing_takes_no_room_after_the_restart_but_chunks_do(tmp_path: Path) -> None:
    folder = tmp_path / "files"
    before = Blobs(folder)
    before.scratch("fetched").write_bytes(b"x" * 900)
    before.scratch("conversion.zip").write_bytes(b"x" * 900)
    before.scratch("job.input.10.part").write_bytes(b"x" * 10)

    after = Blobs(folder, most_bytes=1000)

    assert after.used_bytes == 10
    assert [path.name for path in (folder / "tmp").iterdir()] == ["job.input.10.part"]


def test_what_could_not_be_kept_is_counted_until_it_is_discarded(tmp_path: Path) -> None:
    blobs = Blobs(tmp_path, most_bytes=1000)
    (tmp_path / "job").write_text("in the way of the job's folder")
    scratch = blobs.scratch("a")
    scratch.write_bytes(b"x" * 100)

    with pytest.raises(OSError, match="job"):
        blobs.keep(scratch, "job/a")
    used = [blobs.used_bytes]
    blobs.discard(scratch)
    used.append(blobs.used_bytes)

    assert used == [100, 0]


def test_what_is_kept_while_its_job_is_removed_stays_counted_until_it_is_removed_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blobs = Blobs(tmp_path, most_bytes=1000)
    for name in "ab":
        blobs.scratch(name).write_bytes(b"x" * 100)
    blobs.keep(blobs.scratch("a"), "job/a")
    real = Path.unlink

    def kept_meanwhile(path: Path, missing_ok: bool = False) -> None:
        real(path, missing_ok)
        monkeypatch.setattr(Path, "unlink", real)
        blobs.scratch("b").replace(tmp_path / "job" / "b")

    blobs._count(blobs.scratch("b"))
    monkeypatch.setattr(Path, "unlink", kept_meanwhile)
    blobs.remove_job("job")
    used = [blobs.used_bytes]
    blobs.remove_job("job")
    used.append(blobs.used_bytes)

    assert used == [100, 0]
    assert not (tmp_path / "job").exists()


def test_shared_files_are_counted_once_and_until_their_last_name_is_gone(tmp_path: Path) -> None:
    blobs = Blobs(tmp_path, most_bytes=1000)
    scratch = blobs.scratch("a")
    scratch.write_bytes(b"x" * 100)
    blobs.keep(scratch, "job/a")
    blobs.share("job/a", "other/a")
    used = [blobs.used_bytes]
    blobs.remove("job/a")
    used.append(blobs.used_bytes)
    blobs.remove_job("other")
    used.append(blobs.used_bytes)
    blobs.remove("job/a")
    used.append(blobs.used_bytes)

    assert used == [100, 100, 0, 0]


def test_a_job_that_holds_the_same_bytes_twice_leaves_all_of_its_room(tmp_path: Path) -> None:
    async def test() -> None:
        async with api_of(tmp_path, max_disk_bytes=100_000) as api:
            made_from = await api.staged()
            await api.upload(made_from, b"x" * 20_000)
            output = (await api.converted(made_from))["output"][0]["id"]
            for kind, source in (("input_id", ""), ("output", output)):
                job = await api.staged()
                own = (await api.upload(job, b"x" * 50_000)).json()["id"]
                twice = [{"type": kind, "source": source or own}] * 2
                shared = (await api.http.post(f"/jobs/{job['id']}/input", json=twice)).json()
                assert {one["status"] for one in shared} == {"ready"}
                await api.http.delete(f"/jobs/{job['id']}")
                assert await _counted_bytes(api) == 40_001
            await api.http.delete(f"/jobs/{made_from['id']}/output/{output}")
            assert await _counted_bytes(api) == 20_000
            assert (await api.upload(await api.staged(), b"x" * 79_000)).status_code == 200

    asyncio.run(test())


@pytest.mark.parametrize("moment", ["*/out-*", "tmp/*.zip"])
def test_a_job_that_is_canceled_while_its_results_are_kept_or_packed_keeps_none(tmp_path: Path, moment: str) -> None:
    with serving(tmp_path / "state", "--max-disk", "200M") as served:
        files = served.state / "files"
        headers = {"X-Api2convert-Api-Key": served.api_key}
        with httpx.Client(base_url=served.base_url, headers=headers, timeout=PATIENCE_S) as http:
            for _ in range(3):
                inputs = [{"type": "base64", "source": _large_picture(), "filename": f"{name}.png"} for name in "ab"]
                job = http.post("/jobs", json={"input": inputs, "conversion": [{"target": "bmp"}]}).json()
                until(lambda: any(files.glob(moment)))
                assert http.delete(f"/jobs/{job['id']}").status_code < 300
                time.sleep(1)  # for what goes on behind its back
                until(lambda: not any(path.is_file() for path in files.rglob("*")))

                metrics = http.get(served.base_url.removesuffix("/v2") + "/metrics").text
                assert "\nrunner_files_bytes 0\n" in metrics
                assert http.get(f"/jobs/{job['id']}").json()["status"]["code"] == "canceled"


def _large_picture() -> str:
    file = io.BytesIO()
    Image.new("RGB", (4000, 3000), (200, 10, 10)).save(file, "png")
    return base64.b64encode(file.getvalue()).decode()


async def _counted_bytes(api: Api) -> int:
    metrics = (await api.http.get("http://server.test/metrics")).text
    return next(int(line.split()[1]) for line in metrics.splitlines() if line.startswith("runner_files_bytes "))


def test_jobs_that_nobody_starts_are_canceled_with_their_files_and_started_ones_are_not(tmp_path: Path) -> None:
    async def test() -> None:
        async with api_of(tmp_path, contract=Contract(retention_s=3600)) as api:
            old = await api.staged()
            await api.upload(old)
            started = await api.staged()
            await api.upload(started, name="slow.jpg")
            await api.start(started)
            await asyncio.wait_for(api.converter.endless.wait(), PATIENCE_S)
            early = await cancel_forgotten(api.opened.house.jobs, before=time.time() - 3600)
            late = await cancel_forgotten(api.opened.house.jobs, before=time.time() + 1)
            statuses = [(await api.get(one))["status"]["code"] for one in (old, started)]

        assert (early, late, statuses) == (0, 1, ["canceled", "processing"])
        assert not (tmp_path / "files" / old["id"]).exists()

    asyncio.run(test())


def test_an_account_with_one_job_waits_for_one_of_anothers_and_not_for_all() -> None:
    async def test() -> list[tuple[str, str]]:
        queue = FairQueue()
        for number in range(1000):
            queue.put("many", f"m{number}")
        queue.put("one", "o")
        return [await queue.get() for _ in range(3)]

    assert asyncio.run(test()) == [("many", "m0"), ("one", "o"), ("many", "m1")]


@given(st.lists(st.tuples(st.sampled_from("abc"), st.booleans()), max_size=60))
def test_the_queue_loses_nothing_keeps_each_accounts_order_and_never_favours_one(moves: list[tuple[str, bool]]) -> None:
    async def test() -> None:
        queue, put, got = FairQueue(), Counter[str](), dict[str, list[str]]()
        for account, gets in moves:
            queue.put(account, str(put[account]))
            put[account] += 1
            if gets:
                owner, job_id = await queue.get()
                got.setdefault(owner, []).append(job_id)
        last: list[str] = []
        while len(queue):
            owner, job_id = await queue.get()
            got.setdefault(owner, []).append(job_id)
            last.append(owner)
        for account, count in put.items():
            assert got.get(account, []) == [str(number) for number in range(count)]
        for at, (before, after) in enumerate(itertools.pairwise(last)):
            assert before != after or set(last[at:]) == {before}  # twice in a row only where nobody else waits

    asyncio.run(test())


def test_settings_that_cant_be_read_are_named(tmp_path: Path) -> None:
    desk = new_desk(tmp_path)
    desk.write("empty.txt", "\n")

    for args, words in (
        (("--max-disk", "much"), "'much' is no size"),
        (("--max-disk", "-1G"), "is no size"),
        (("--callback-secret-file", "nowhere.txt"), "can't be read from nowhere.txt"),
        (("--callback-secret-file", "empty.txt"), "is empty"),
    ):
        done = desk.runner("serve", *args)
        assert (done.code, words in done.err) == (5, True), done.err
