"""Jobs: created, listed, changed, started, canceled; who may, and what is refused."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runner.server.config import Assumptions
from runner.wire.status import INFO, StatusCode
from tests.server.post_office import api_of

JOB_FIELDS = {
    "id", "token", "type", "status", "errors", "warnings", "process", "fail_on_input_error",
    "fail_on_conversion_error", "conversion", "limits", "input", "output", "callback", "notify_status",
    "server", "spent", "created_at", "modified_at",
}  # fmt: skip


def test_a_new_job_has_every_field_with_category_and_options_filled_in(with_server: Any) -> None:
    async def test(api: Any) -> None:
        job = await api.create(process=False, conversion={"target": "webp", "options": {"quality": "85"}})

        assert set(job) == JOB_FIELDS
        assert job["status"] == {"code": "incomplete", "info": "Missing information to run the job."}
        assert job["conversion"][0]["category"] == "image"
        assert job["conversion"][0]["options"]["quality"] == 85
        assert job["conversion"][0]["options"]["rotate"] == 0
        assert job["limits"] == {"job": {}, "input": {}, "output": {}}
        assert job["server"].startswith("http://server.test/v2/")
        assert await api.get(job) == job

    with_server(test)


@pytest.mark.parametrize(
    ("body", "place"),
    [
        ("", "empty"),
        ("   ", "empty"),
        ("{", "line 1"),
        ('{"a": NaN}', "line 1"),
        ('{"callback": "\\ud800"}', "JSON"),
        ("\xff", "JSON"),
        ('"text"', "must be an object"),
        ("[1]", "must be an object"),
        ('{"process": "perhaps"}', "process"),
        ('{"process": {}}', "process"),
        ('{"input": [7]}', "input.0"),
        ('{"input": "x"}', "input.0"),
        ('{"input": [{}]}', "input.0.source"),
        ('{"input": [{"type": "carrier pigeon", "source": "x"}]}', "input.0.type"),
        ('{"input": [{"source": "http://x/", "engine": "steam"}]}', "input.0.engine"),
        ('{"input": [{"source": ["http://x/"]}]}', "input.0.source"),
        ('{"input": [{"type": "upload", "source": "x"}]}', "upload"),
        ('{"input": [{"type": "base64", "source": "&&&"}]}', "base64"),
        ('{"conversion": [{}]}', "conversion.0.target"),
        ('{"conversion": [{"target": "jpgg"}]}', "did you mean 'jpg'"),
        (
            '{"conversion": [{"target": "mp4"}]}',
            "is a target of the API, but this server doesn't make it; it makes avif,",
        ),
        ('{"conversion": [{"target": "mp5"}]}', "'mp5' is not a target here; there are"),
        ('{"conversion": [{"target": "jpg", "category": "audio"}]}', "isn't in category"),
        ('{"conversion": [{"target": "ico", "options": {"width": 300}}]}', "width is 300; the maximum for ico is 256"),
        ('{"conversion": [{"target": "jpg", "options": {"quality": 140}}]}', "conversion.0.options.quality"),
        ('{"conversion": [{"target": "jpg", "options": {"qualty": 1}}]}', "did you mean 'quality'"),
        ('{"conversion": [{"target": "jpg", "options": {"preset": "5ad9"}}]}', "no preset of this account"),
        ('{"conversion": [{"target": "jpg", "options": "fast"}]}', "conversion.0.options"),
        ('{"conversion": [{"target": "jpg", "output_target": [{}]}]}', "output_target.0.type"),
        ('{"limits": {"job": {"max_credit": -1}}}', "limits.job.max_credit"),
        ('{"limits": {"job": {"max_credit": "many"}}}', "limits.job.max_credit"),
        ('{"limits": 3}', "limits"),
        ('{"callback": "ftp://x"}', "callback"),
        ('{"download_passwords": [1]}', "download_passwords"),
        ('{"download_passwords": ["\\u00e4"]}', "download_passwords"),
        ("[" * 100_000, "JSON"),
        ('{"metadata": ' + "[" * 200 + "]" * 200 + "}", "nested"),
    ],
)
def test_what_is_no_job_is_refused_with_its_place(with_server: Any, body: str, place: str) -> None:
    async def test(api: Any) -> None:
        answer = await api.http.post("/jobs", content=body.encode("latin-1"))

        assert answer.status_code == 400, answer.text
        assert set(answer.json()) == {"message", "code", "errors"}
        assert place in answer.text
        assert (await api.http.get("/jobs")).json() == []

    with_server(test)


def test_all_problems_are_named_at_once(with_server: Any) -> None:
    async def test(api: Any) -> None:
        body = {"process": 7, "input": [{}], "conversion": [{"target": "nope"}, {"target": "png"}, 5]}
        errors = (await api.http.post("/jobs", json=body)).json()["errors"]

        assert set(errors) == {"process", "input.0.source", "conversion.0.target", "conversion.2"}

    with_server(test)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
job_like = st.dictionaries(
    st.sampled_from(["input", "conversion", "process", "limits", "callback", "download_passwords", "x"]),
    json_values
    | st.lists(st.dictionaries(st.sampled_from(["target", "type", "source", "options", "filename"]), json_values)),
    max_size=4,
)


def test_no_json_whatever_makes_the_server_fail(with_server: Any) -> None:
    async def test(api: Any) -> None:
        async def sent(body: Any) -> None:
            text = json.dumps(body).encode()
            job = await api.staged()
            answers = [
                await api.http.post("/jobs", content=text),
                await api.http.patch(f"/jobs/{job['id']}", content=text),
                await api.http.post(f"/jobs/{job['id']}/conversions", content=text),
                await api.http.patch(f"/jobs/{job['id']}/conversions/{job['conversion'][0]['id']}", content=text),
                await api.http.patch(f"/jobs/{job['id']}/input", content=text),
                await api.http.post(f"/jobs/{job['id']}/input", content=text),
                await api.http.patch(f"/jobs/{job['id']}/output", content=text),
            ]
            assert all(answer.status_code in (200, 201, 400, 402, 409) for answer in answers), answers

        for body in bodies:
            await sent(body)

    bodies: list[Any] = []

    @settings(max_examples=60, suppress_health_check=list(HealthCheck), deadline=None, database=None)
    @given(json_values | job_like)
    def collect(body: Any) -> None:
        bodies.append(body)

    collect()
    with_server(test, private=False)


KEYS = ("X-Api2convert-Api-Key", "x-oc-api-key")
TOKENS = ("X-Api2convert-Token", "x-oc-token")


@pytest.mark.parametrize("header", KEYS)
def test_both_key_headers_open_the_account(with_server: Any, header: str) -> None:
    async def test(api: Any) -> None:
        key = api.http.headers["X-Api2convert-Api-Key"]
        assert (await api.stranger.get("/jobs", headers={header: key})).status_code == 200
        refused = await api.stranger.get("/jobs", headers={header: key + "x"})
        assert (refused.status_code, refused.json()) == (401, {"message": "Invalid api key"})

    with_server(test)


@pytest.mark.parametrize("header", TOKENS)
def test_a_token_opens_its_own_job_and_no_other(with_server: Any, header: str) -> None:
    async def test(api: Any) -> None:
        mine, other = await api.staged(), await api.staged()
        token = {header: mine["token"]}

        assert (await api.stranger.get(f"/jobs/{mine['id']}", headers=token)).json()["id"] == mine["id"]
        assert [one["id"] for one in (await api.stranger.get("/jobs", headers=token)).json()] == [mine["id"]]
        assert (await api.stranger.get("/jobs?page=2", headers=token)).json() == []
        for path in (f"/jobs/{other['id']}", f"/jobs/{other['id']}/input", "/jobs/unknown"):
            assert (await api.stranger.get(path, headers=token)).status_code == 401
        assert (await api.stranger.post("/jobs", json={}, headers=token)).status_code == 401
        wrong = {header: mine["token"][:-1] + "!"}
        assert (await api.stranger.get("/jobs", headers=wrong)).status_code == 401

    with_server(test)


@pytest.mark.parametrize("value", ["", "ä", "x" * 10_000, "\x7f"])
def test_odd_keys_and_tokens_are_just_wrong(with_server: Any, value: str) -> None:
    async def test(api: Any) -> None:
        job = await api.staged()
        for name in (*KEYS, *TOKENS):
            for path in ("/jobs", f"/jobs/{job['id']}"):
                answer = await api.stranger.get(path, headers=httpx.Headers([(name.encode(), value.encode())]))
                assert (answer.status_code, answer.json()) == (401, {"message": "Invalid api key"})

    with_server(test)


def test_public_pages_need_no_key(with_server: Any) -> None:
    async def test(api: Any) -> None:
        codes = [one["code"] for one in (await api.stranger.get("/statuses")).json()]
        assert {"incomplete", "queued", "ready", "downloading", "processing", "completed", "failed"} <= set(codes)
        rows = (await api.stranger.get("/conversions")).json()
        assert {"jpg", "png", "webp", "pdf"} <= {row["target"] for row in rows}
        assert all(set(row) == {"id", "target", "category", "options"} and row["id"].isdigit() for row in rows)
        png = (await api.stranger.get("/conversions?category=image&target=png")).json()
        assert [row["target"] for row in png] == ["png"]
        assert (await api.stranger.get("/conversions?category=Image&target=PNG")).json() == png
        assert (await api.stranger.get("/conversions?page=2000")).json() == []
        assert (await api.stranger.get("/conversions?page=0")).status_code == 400

    with_server(test)


def test_jobs_are_listed_newest_first_fifty_a_page(with_server: Any) -> None:
    async def test(api: Any) -> None:
        made = [(await api.staged())["id"] for _ in range(53)]

        first = await api.http.get("/jobs")
        second = await api.http.get("/jobs?page=2")
        third = await api.http.get("/jobs?page=3")

        listed = [one["id"] for one in first.json()] + [one["id"] for one in second.json()]
        assert listed == made[::-1]
        assert (len(first.json()), third.json()) == (50, [])
        assert {one.headers["X-Count"] for one in (first, second, third)} == {"53"}
        assert (await api.http.get("/jobs?status=completed")).json() == []
        assert len((await api.http.get("/jobs?status=incomplete")).json()) == 50

    with_server(test)


@pytest.mark.parametrize(
    "page", ["0", "0.0", "-1", "x", "1.5", "1.", ".0", "1e0", "²", "9" * 40, "1" + "." + "0" * 40 + "1"]
)
def test_what_is_no_page_is_refused(with_server: Any, page: str) -> None:
    async def test(api: Any) -> None:
        assert (await api.http.get("/jobs", params={"page": page})).status_code == 400

    with_server(test)


def test_a_page_may_have_a_point_and_an_empty_one_counts_as_not_given(with_server: Any) -> None:
    async def test(api: Any) -> None:
        await api.create(process=False)
        await api.http.post("/presets", json={"name": "small", "target": "jpg", "options": {}})
        for path in ("/jobs", "/conversions", "/presets"):
            everything = await api.http.get(path)
            for query, same_as in (("page=1.0", "page=1"), ("page=2.00", "page=2"), ("page=", "")):
                asked, expected = await api.http.get(f"{path}?{query}"), await api.http.get(f"{path}?{same_as}")
                assert (asked.status_code, asked.json()) == (200, expected.json()), (path, query)
            assert everything.json()

    with_server(test)


def test_a_job_starts_once_and_then_nothing_of_it_can_be_changed(with_server: Any) -> None:
    async def test(api: Any) -> None:
        job = await api.staged()
        entry = (await api.upload(job, name="slow.jpg")).json()
        conversion = job["conversion"][0]["id"]
        path = f"/jobs/{job['id']}"

        assert (await api.get(job))["status"]["code"] == "ready"
        started = await api.start(job)
        assert started.json()["status"]["code"] in ("queued", "processing")

        refused = [
            await api.start(job),
            await api.http.patch(path, json={"notify_status": True}),
            await api.http.post(f"{path}/conversions", json={"target": "jpg"}),
            await api.http.patch(f"{path}/conversions/{conversion}", json={"options": {}}),
            await api.http.delete(f"{path}/conversions/{conversion}"),
            await api.http.post(f"{path}/input", json={"source": "http://x/"}),
            await api.http.patch(f"{path}/input", json=[{"id": entry["id"], "options": {"position": 1}}]),
            await api.http.patch(f"{path}/input/{entry['id']}", json={"parameters": {}}),
            await api.http.delete(f"{path}/input/{entry['id']}"),
            await api.upload(job, name="b.jpg"),
        ]
        assert [answer.status_code for answer in refused] == [409] * 10

        await api.until(job, lambda one: one.phase == "processing")
        assert (await api.http.delete(path)).status_code == 204
        assert (await api.http.delete(path)).status_code == 204
        assert (await api.get(job))["status"]["code"] == "canceled"
        history = (await api.http.get(f"{path}/history")).json()
        assert [row["status"] for row in history] == ["incomplete", "ready", "queued", "processing", "canceled"]

    with_server(test)


def test_two_starts_at_once_are_one_start(with_server: Any) -> None:
    async def test(api: Any) -> None:
        job = await api.staged()
        await api.upload(job)

        answers = await asyncio.gather(*(api.start(job) for _ in range(8)))

        assert sorted(answer.status_code for answer in answers) == [200] + [409] * 7

    with_server(test)


def test_an_ended_job_cant_be_canceled(with_server: Any) -> None:
    async def test(api: Any) -> None:
        job = await api.staged()
        await api.upload(job)
        await api.converted(job)

        assert (await api.http.delete(f"/jobs/{job['id']}")).status_code == 409
        assert (await api.start(job)).status_code == 409

    with_server(test)


def test_a_default_job_starts_with_its_first_upload_and_refuses_the_second(with_server: Any) -> None:
    async def test(api: Any) -> None:
        job = await api.create(conversion=[{"target": "png"}])
        assert job["status"]["code"] == "incomplete"

        assert (await api.upload(job)).status_code == 200
        assert (await api.upload(job)).status_code == 409
        assert (await api.ended(job))["status"]["code"] == "completed"

    with_server(test)


@pytest.mark.parametrize("body", [{"process": False}, {"process": "false", "notify_status": True}])
@pytest.mark.parametrize("started_too_early", [False, True])
def test_a_job_that_waits_for_something_is_staged_again(
    with_server: Any, body: dict[str, Any], started_too_early: bool
) -> None:
    async def test(api: Any) -> None:
        job = await (api.staged() if started_too_early else api.create(conversion=[{"target": "png"}]))
        if started_too_early:
            assert (await api.start(job)).json()["process"] is True
        answer = await api.http.patch(f"/jobs/{job['id']}", json=body)
        assert (answer.status_code, answer.json()["process"], answer.json()["status"]["code"]) == (
            200,
            False,
            "incomplete",
        )
        assert [(await api.upload(job, name=name)).status_code for name in ("a.jpg", "b.jpg")] == [200, 200]
        waiting = await api.get(job)
        assert (waiting["status"]["code"], waiting["spent"], api.converter.seen) == ("ready", 0, [])

        done = await api.converted(job)
        assert (done["status"]["code"], done["process"], done["spent"]) == ("completed", True, 2)
        (output,) = done["output"]
        assert output["source"]["input"] == [one["id"] for one in waiting["input"]]

    with_server(test)


def test_a_started_job_is_not_staged_again(with_server: Any) -> None:
    async def test(api: Any) -> None:
        job = await api.create(conversion=[{"target": "png"}])
        await api.upload(job, name="slow.jpg")
        refused = await api.http.patch(f"/jobs/{job['id']}", json={"process": False})
        assert (refused.status_code, (await api.get(job))["process"]) == (409, True)
        await api.until(job, lambda one: one.phase == "processing")
        assert (await api.http.delete(f"/jobs/{job['id']}")).status_code == 204

    with_server(test)


def test_an_idempotency_key_makes_one_job_and_another_body_is_refused(with_server: Any) -> None:
    async def test(api: Any) -> None:
        body, key = {"process": False, "conversion": [{"target": "png"}]}, {"Idempotency-Key": "once"}

        answers = await asyncio.gather(*(api.http.post("/jobs", json=body, headers=key) for _ in range(6)))
        other = await api.http.post("/jobs", json={**body, "process": True}, headers=key)

        assert {answer.status_code for answer in answers} == {201}
        assert len({answer.json()["id"] for answer in answers}) == 1
        assert other.status_code == 409
        assert (await api.http.get("/jobs")).headers["X-Count"] == "1"

    with_server(test)


def test_what_isnt_there_is_404_in_the_apis_words(with_server: Any) -> None:
    async def test(api: Any) -> None:
        job = await api.staged()
        for path in (
            "/jobs/x",
            "/nowhere",
            f"/jobs/{job['id']}/conversions/x",
            f"/jobs/{job['id']}/output/x",
            "/jobs/",
        ):
            answer = await api.http.get(path)
            assert (answer.status_code, answer.json()["code"]) == (404, 404), path
        assert (await api.http.put("/jobs", json={})).status_code == 405

    with_server(test)


def test_the_older_hosts_paths_without_version_work_too(with_server: Any) -> None:
    async def test(api: Any) -> None:
        assert (await api.http.get("http://server.test/jobs")).json() == []

    with_server(test)


def test_a_body_that_is_too_large_is_refused_before_it_is_read(with_server: Any) -> None:
    async def test(api: Any) -> None:
        async def endless() -> Any:
            while True:
                yield b" " * 1_000_000

        assert (await api.http.post("/jobs", content=b" " * (16 * 2**20 + 1))).status_code == 413
        assert (await api.http.post("/jobs", content=endless())).status_code == 413

    with_server(test)


def test_jobs_that_wait_for_a_worker_say_so_or_what_old_clients_know(tmp_path: Path) -> None:
    async def test(**settings: Any) -> tuple[Any, ...]:
        async with api_of(tmp_path / str(len(settings)), workers=1, **settings) as api:
            jobs = []
            for _ in range(4):
                jobs.append(job := await api.staged())
                await api.upload(job, name="slow.jpg")
            said = [(await api.start(job)).json()["status"]["code"] for job in jobs]
            await api.until(jobs[1], lambda one: one.phase == "processing")
            read = [(await api.get(job))["status"]["code"] for job in jobs]
            lists = {name: await api.http.get("/jobs", params={"status": name}) for name in ("queued", "processing")}
            counts = {name: len(one.json()) for name, one in lists.items()}
            histories = [(await api.http.get(f"/jobs/{job['id']}/history")).json() for job in jobs]
            assert all(row["info"] == INFO[StatusCode(row["status"])] for rows in histories for row in rows)
            numbers = [[row["id"].rpartition("-")[2] for row in rows] for rows in histories]
            assert numbers == [[str(number) for number, _ in enumerate(rows, start=1)] for rows in histories]
            return said, read, counts, [[row["status"] for row in rows] for rows in histories]

    said, read, counts, histories = asyncio.run(test())
    assert (said, read) == (["queued"] * 4, ["processing"] * 2 + ["queued"] * 2)
    assert counts == {"queued": 2, "processing": 2}
    assert histories == [["incomplete", "ready", "queued", "processing"]] * 2 + [["incomplete", "ready", "queued"]] * 2
    old = asyncio.run(test(assumptions=Assumptions(queued="processing")))
    assert old[:3] == (["processing"] * 4, ["processing"] * 4, {"queued": 0, "processing": 4})
    assert old[3] == [["incomplete", "ready", "processing"]] * 4
