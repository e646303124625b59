"""Counting downloads: whole, in parts, broken off and resumed."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from email.utils import format_datetime, parsedate_to_datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from runner.server.config import Contract
from runner.server.jobs.downloads import asked_for, broken_off
from runner.server.jobs.record import Output
from tests.server.post_office import api_of, converted, waiting_until
from tests.server.served import serving

SIZE = 100
OUTPUT = Output(
    id="o", conversion="c", inputs=(), blob="b", filename="f", size=SIZE, checksum="", content_type="", created_at=""
)
REQUESTS = st.lists(st.tuples(st.integers(1, SIZE), st.integers(0, SIZE)), max_size=80)


@given(st.integers(0, 4), REQUESTS)
def test_however_it_is_cut_up_no_more_is_sent_than_allowed_and_once_more(
    most: int, requests: list[tuple[int, int]]
) -> None:
    output, sent = OUTPUT, 0
    for asked, arrives in requests:
        counted = asked_for(output, asked, most=most)
        if counted is None:
            continue
        arrived = min(asked, arrives)
        output, sent = broken_off(counted, asked - arrived), sent + arrived

    assert sent <= SIZE * (most + 1 if most else 0)
    assert output.downloads <= most


@given(st.integers(1, 4), st.lists(st.integers(0, SIZE - 1), max_size=9))
def test_a_download_that_breaks_off_again_and_again_is_resumed_to_its_end(most: int, breaks: list[int]) -> None:
    output = replace(OUTPUT, downloads=most - 1)
    at = 0
    for until in [*sorted(breaks), SIZE]:
        counted = asked_for(output, SIZE - at, most=most)
        if until == at == 0:
            continue  # nothing came: that was a download for nothing, as the next may be
        assert counted is not None
        output, at = broken_off(counted, SIZE - until), until
        if until == SIZE:
            return


@given(st.integers(1, 4), st.lists(st.integers(0, SIZE - 1), min_size=1, max_size=40))
def test_who_can_not_resume_begins_anew_while_what_was_sent_allows_it(most: int, breaks: list[int]) -> None:
    output, sent = OUTPUT, 0
    for until in breaks:
        counted = asked_for(output, SIZE, most=most)
        if counted is None:
            break
        output, sent = broken_off(counted, SIZE - until), sent + until

    assert asked_for(output, SIZE, most=most) or sent >= SIZE * most
    assert output.downloads * SIZE + output.in_parts == sent


@pytest.mark.parametrize("asked", ["bytes=1-", "bytes=0-9", "bytes=-10"])
def test_parts_beyond_what_is_allowed_are_refused(with_server: Any, asked: str) -> None:
    async def test(api: Any) -> None:
        output = (await converted(api, limits={"output": {"max_downloads": 2}}))["output"][0]
        sent = 0
        for _ in range(20):
            answer = await api.stranger.get(output["uri"], headers={"Range": asked})
            if answer.status_code == 410:
                assert answer.json()["error_code"] == 109
                break
            sent += len(answer.content)

        assert answer.status_code == 410
        assert output["size"] * 2 <= sent <= output["size"] * 3

    with_server(test)


def test_a_byte_is_no_download_and_looking_is_none_either(with_server: Any) -> None:
    async def test(api: Any) -> None:
        done = await converted(api, limits={"output": {"max_downloads": 1}})
        uri = done["output"][0]["uri"]
        for _ in range(5):
            assert (await api.stranger.get(uri, headers={"Range": "bytes=0-0"})).status_code == 206
            assert (await api.stranger.head(uri)).status_code == 200
        assert (await api.get(done))["output"][0]["downloads_counter"] == 0
        assert (await api.stranger.get(uri)).status_code == 200
        assert (await api.stranger.get(uri)).status_code == 410

    with_server(test)


@pytest.mark.parametrize("known", ['"{0}"', 'W/"{0}"', '"other", "{0}"', "*"])
def test_a_client_that_has_the_file_gets_it_not_once_more_and_nothing_is_counted(with_server: Any, known: str) -> None:
    async def test(api: Any) -> None:
        done = await converted(api, limits={"output": {"max_downloads": 1}})
        uri, tag = done["output"][0]["uri"], done["output"][0]["checksum"]

        same = await api.stranger.get(uri, headers={"If-None-Match": known.format(tag)})
        other = await api.stranger.get(uri, headers={"If-None-Match": '"other"', "Range": "Bytes=0-0"})

        assert (same.status_code, same.content, same.headers["ETag"]) == (304, b"", f'"{tag}"')
        assert (other.status_code, len(other.content)) == (206, 1)
        assert (await api.get(done))["output"][0]["downloads_counter"] == 0

    with_server(test)


def _date(shift_s: int) -> Callable[[httpx.Response], str]:
    return lambda answer: format_datetime(
        parsedate_to_datetime(answer.headers["Last-Modified"]) + timedelta(seconds=shift_s), usegmt=True
    )


@pytest.mark.parametrize(
    ("header", "value", "status"),
    [
        ("If-Match", lambda answer: answer.headers["ETag"], 200),
        ("If-Match", lambda answer: f'"other", {answer.headers["ETag"]}', 200),
        ("If-Match", lambda _: "*", 200),
        ("If-Match", lambda _: '"other"', 412),
        ("If-Match", lambda answer: f"W/{answer.headers['ETag']}", 412),
        ("If-Unmodified-Since", _date(0), 200),
        ("If-Unmodified-Since", _date(-1), 412),
        ("If-Unmodified-Since", lambda _: "yesterday", 200),
        ("If-Modified-Since", _date(0), 304),
        ("If-Modified-Since", _date(-1), 200),
        ("If-Modified-Since", lambda _: "yesterday", 200),
    ],
)
def test_a_condition_that_does_not_hold_is_answered_so_and_counts_as_no_download(
    with_server: Any, header: str, value: Callable[[httpx.Response], str], status: int
) -> None:
    async def test(api: Any) -> None:
        done = await converted(api)
        uri = done["output"][0]["uri"]
        looked_at = await api.stranger.head(uri)

        answer = await api.stranger.get(uri, headers={header: value(looked_at)})

        assert (answer.status_code, looked_at.status_code) == (status, 200)
        assert (await api.get(done))["output"][0]["downloads_counter"] == (status == 200)

    with_server(test)


def test_a_part_of_what_is_as_old_as_the_client_knows_is_sent_alone(with_server: Any) -> None:
    async def test(api: Any) -> None:
        uri = (await converted(api))["output"][0]["uri"]
        looked_at = await api.stranger.head(uri)

        codes = [
            (
                await api.stranger.get(uri, headers={"Range": "bytes=0-0", "If-Range": _date(shift_s)(looked_at)})
            ).status_code
            for shift_s in (0, -1)
        ]

        assert codes == [206, 200]

    with_server(test)


def test_a_whole_file_too_much_leaves_room_for_parts_that_fit(with_server: Any) -> None:
    async def test(api: Any) -> None:
        done = await converted(api, limits={"output": {"max_downloads": 1}})
        uri = done["output"][0]["uri"]
        whole = [(await api.stranger.get(uri)).status_code for _ in range(2)]
        looks = [(await api.stranger.head(uri)).status_code]
        assert (await api.get(done))["output"][0]["status"] == "overuse"

        part = await api.stranger.get(uri, headers={"Range": "bytes=1-"})

        assert (whole, looks, part.status_code) == ([200, 410], [410], 206)
        assert (await api.get(done))["output"][0]["status"] == "enabled"

    with_server(test)


def test_a_file_whose_time_is_over_is_gone_before_anybody_swept(tmp_path: Path) -> None:
    async def test() -> None:
        async with api_of(tmp_path) as api:
            done = await converted(api)
            uri = done["output"][0]["uri"]
            assert (await api.stranger.get(uri)).status_code == 200
            await api.opened.house.database.write(lambda db: db.execute("update jobs set expires = 1").fetchall())
            gone = await api.stranger.get(uri)
            assert (gone.status_code, gone.json()["error_code"]) == (410, 108)
            assert api.opened.house.blobs.path(done["id"]).exists()

    asyncio.run(test())


def test_files_whose_time_is_over_are_swept_at_once_and_give_back_their_room(tmp_path: Path) -> None:
    async def test() -> None:
        async with api_of(tmp_path, contract=Contract(retention_s=0.2), max_disk_bytes=1_000_000) as api:
            first = await api.staged()
            await api.upload(first, b"x" * 400_000)
            await api.converted(first)
            await waiting_until(lambda: api.opened.house.blobs.used_bytes == 0)

            second = await api.staged()
            uploaded = await api.upload(second, b"x" * 400_000)

            assert ((await api.get(first))["output"][0]["status"], uploaded.status_code) == ("expired", 200)

    asyncio.run(test())


@contextmanager
def _large_output(state: Path, *, max_downloads: int) -> Iterator[dict[str, Any]]:
    """A bmp of 75 MB, with a real server around it."""
    picture = io.BytesIO()
    Image.new("RGB", (5000, 5000), (9, 99, 9)).save(picture, "png")
    with serving(state, "--workers", "1") as served, httpx.Client(base_url=served.base_url) as http:
        http.headers["X-Oc-Api-Key"] = served.api_key
        limits = {"output": {"max_downloads": max_downloads}}
        job = http.post("/jobs", json={"process": False, "conversion": [{"target": "bmp"}], "limits": limits}).json()
        http.post(f"{job['server']}/upload-file/{job['id']}", files={"file": ("a.png", picture.getvalue())})
        http.patch(f"/jobs/{job['id']}", json={"process": True})
        while (done := http.get(f"/jobs/{job['id']}").json())["status"]["code"] != "completed":
            assert done["status"]["code"] in ("queued", "processing"), done
        (output,) = done["output"]
        yield output


def test_a_large_download_that_broke_off_is_resumed_where_only_one_is_allowed(tmp_path: Path) -> None:
    with _large_output(tmp_path / "state", max_downloads=1) as output:
        got = b""
        for _ in range(3):  # on connections of their own, which close in the middle
            headers = {"Range": f"bytes={len(got)}-"} if got else {}
            with httpx.stream("GET", output["uri"], headers=headers) as answer:
                assert answer.status_code in (200, 206)
                for piece in answer.iter_raw():
                    got += piece
                    if len(got) % 2_000_000 < len(piece):
                        break
        rest = httpx.get(output["uri"], headers={"Range": f"bytes={len(got)}-"})
        again = httpx.get(output["uri"])

    assert (rest.status_code, again.status_code) == (206, 410)
    with Image.open(io.BytesIO(got + rest.content)) as bmp:
        assert (len(got + rest.content), bmp.size) == (output["size"], (5000, 5000))


def test_a_client_that_can_not_resume_gets_its_file_after_connections_that_broke(tmp_path: Path) -> None:
    with _large_output(tmp_path / "state", max_downloads=2) as output:
        for _ in range(5):
            with httpx.stream("GET", output["uri"]) as answer:
                assert answer.status_code == 200
                next(answer.iter_raw())
        whole = httpx.get(output["uri"])

    assert (whole.status_code, len(whole.content)) == (200, output["size"])
    with Image.open(io.BytesIO(whole.content)) as bmp:
        assert bmp.size == (5000, 5000)
