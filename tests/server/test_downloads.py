"""Counting downloads: whole, in parts, broken off and resumed."""

from __future__ import annotations

import asyncio
import io
from dataclasses import replace
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
from tests.server.post_office import api_of, converted
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


def test_a_file_whose_time_is_over_is_gone_before_anybody_swept(tmp_path: Path) -> None:
    async def test() -> None:
        async with api_of(tmp_path, contract=Contract(retention_s=0.3)) as api:
            done = await converted(api)
            uri = done["output"][0]["uri"]
            assert (await api.stranger.get(uri)).status_code == 200
            await asyncio.sleep(0.4)
            gone = await api.stranger.get(uri)
            assert (gone.status_code, gone.json()["error_code"]) == (410, 108)
            assert api.opened.house.blobs.path(done["id"]).exists()

    asyncio.run(test())


def test_a_large_download_that_broke_off_is_resumed_where_only_one_is_allowed(tmp_path: Path) -> None:
    picture = io.BytesIO()
    Image.new("RGB", (5000, 5000), (9, 99, 9)).save(picture, "png")
    with serving(tmp_path / "state", "--workers", "1") as served, httpx.Client(base_url=served.base_url) as http:
        http.headers["X-Oc-Api-Key"] = served.api_key
        body = {"process": False, "conversion": [{"target": "bmp"}], "limits": {"output": {"max_downloads": 1}}}
        job = http.post("/jobs", json=body).json()
        http.post(f"{job['server']}/upload-file/{job['id']}", files={"file": ("a.png", picture.getvalue())})
        http.patch(f"/jobs/{job['id']}", json={"process": True})
        while (done := http.get(f"/jobs/{job['id']}").json())["status"]["code"] != "completed":
            assert done["status"]["code"] in ("queued", "processing"), done
        (output,) = done["output"]
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
