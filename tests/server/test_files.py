"""Uploads and downloads: streamed, repeated, in pieces, protected, counted."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from runner.server.config import Contract
from runner.server.engine import admission
from runner.server.engine.retention import expire
from tests.server.post_office import api_of

BOUNDARY = "----b"


def form(content: bytes, *, name: str = "a.jpg", field: str = "file", extra: str = "") -> bytes:
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{field}"; filename="{name}"\r\n\r\n'
    return extra.encode() + head.encode() + content + f"\r\n--{BOUNDARY}--\r\n".encode()


HEADERS = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}


def url(job: dict[str, Any]) -> str:
    return f"{job['server']}/upload-file/{job['id']}"


def test_an_upload_is_an_input_with_size_checksum_and_type_from_its_content(with_server: Any, md5: Any) -> None:
    async def test(api: Any) -> None:
        content = b"\x89PNG\r\n\x1a\n" + b"x" * 3_000_000
        job = await api.staged()

        answer = await api.upload(job, content, name="holiday.jpg")

        entry = answer.json()
        assert (answer.status_code, entry["type"], entry["status"]) == (200, "upload", "ready")
        assert (entry["size"], entry["checksum"], entry["hash"]) == (len(content), md5(content), md5(content))
        assert (entry["filename"], entry["content_type"]) == ("holiday.jpg", "image/png")
        assert (await api.get(job))["input"] == [entry]
        assert (await api.http.get(f"/jobs/{job['id']}/input/{entry['id']}")).json() == entry

    with_server(test)


@pytest.mark.parametrize("size", [1, 7, 4096, 1_000_000])
def test_a_body_in_pieces_of_any_size_without_a_length_arrives_whole(with_server: Any, md5: Any, size: int) -> None:
    content = b"".join(b"\r\n--%d" % number for number in range(size if size < 4096 else 400_000))
    body = form(content)

    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(body), size):
            yield body[start : start + size]

    async def test(api: Any) -> None:
        job = await api.staged()
        entry = (await api.http.post(url(job), content=pieces(), headers=HEADERS)).json()
        assert (entry["size"], entry["checksum"]) == (len(content), md5(content))

    with_server(test)


@pytest.mark.parametrize(
    ("name", "stored"),
    [
        ("naïve ☃.jpg", "naïve ☃.jpg"),
        ("../../etc/passwd", "passwd"),
        ("C:\\\\temp\\\\a b.jpg", "a b.jpg"),
        ("-rf", "-rf"),
        ("..", "file.bin"),
        ("", "file.bin"),
        ("a%22b.jpg", 'a"b.jpg'),
        ("x" * 400 + ".jpg", "x" * 246 + ".jpg"),
    ],
)
def test_names_are_plain_file_names_whatever_was_sent(with_server: Any, name: str, stored: str) -> None:
    async def test(api: Any) -> None:
        job = await api.staged()
        answer = await api.http.post(url(job), content=form(b"\x00\x01\x02", name=name), headers=HEADERS)
        assert answer.json()["filename"] == stored

    with_server(test)


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (b"", HEADERS),
        (b"nonsense", HEADERS),
        (form(b"x")[:-10], HEADERS),
        (form(b"x", field="picture"), HEADERS),
        (form(b"x")[: -len(BOUNDARY) - 6] + form(b"y"), HEADERS),
        (form(b"x"), {"Content-Type": "application/octet-stream"}),
        (form(b"x"), {"Content-Type": "multipart/form-data"}),
        (form(b"x"), {}),
        (
            form(b"x", extra=f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="n"\r\n\r\n{"y" * 70_000}\r\n'),
            HEADERS,
        ),
        (form(b"x"), {**HEADERS, "Content-Range": "bytes 0-0/1"}),
        (form(b"x"), {**HEADERS, "Content-Range": "lines 0-0/1", "x-oc-upload-uuid": "u"}),
        (form(b"x"), {**HEADERS, "Content-Range": "bytes 5-0/9", "x-oc-upload-uuid": "u"}),
        (form(b"xyz"), {**HEADERS, "Content-Range": "bytes 0-0/9", "x-oc-upload-uuid": "u"}),
        (form(b"x"), {**HEADERS, "x-oc-upload-uuid": "u" * 300}),
    ],
)
def test_what_is_no_upload_is_refused_and_leaves_nothing(
    with_server: Any, body: bytes, headers: dict[str, str]
) -> None:
    async def test(api: Any) -> None:
        job = await api.staged()
        answer = await api.http.post(url(job), content=body, headers=headers)
        assert answer.status_code in (400, 402), answer.text
        assert (await api.get(job))["input"] == []
        left = [path for path in api.opened.house.blobs.path(".").rglob("*") if path.is_file()]
        assert [path for path in left if path.suffix != ".part"] == []

    with_server(test)


@pytest.mark.parametrize("size", [1, 100_000])
def test_a_file_in_the_wrong_field_is_told_which_one_is_right(with_server: Any, size: int) -> None:
    async def test(api: Any) -> None:
        job = await api.staged()
        answer = await api.http.post(url(job), content=form(b"x" * size, field="files"), headers=HEADERS)
        assert (answer.status_code, answer.json()["errors"]) == (
            400,
            {"file": "the file must be in the field 'file', not 'files'"},
        )

    with_server(test)


def test_only_the_owner_may_upload(with_server: Any) -> None:
    async def test(api: Any) -> None:
        job, other = await api.staged(), await api.staged()
        files = {"file": ("a.jpg", b"x")}
        assert (await api.stranger.post(url(job), files=files)).status_code == 401
        token = {"X-Oc-Token": other["token"]}
        assert (await api.stranger.post(url(job), files=files, headers=token)).status_code == 401
        token = {"X-Api2convert-Token": job["token"]}
        assert (await api.stranger.post(url(job), files=files, headers=token)).status_code == 200

    with_server(test)


def test_a_file_larger_than_allowed_is_refused_while_it_comes(with_server: Any) -> None:
    async def test(api: Any) -> None:
        job = await api.staged(limits={"input": {"max_file_size": "1000"}})
        refused = await api.upload(job, b"x" * 1001)
        assert refused.status_code == 402
        assert "1000 bytes" in refused.json()["message"]
        assert (await api.upload(job, b"x" * 1000)).status_code == 200

    with_server(test)


def test_a_repeated_upload_replaces_and_after_the_start_is_answered_as_before(with_server: Any, md5: Any) -> None:
    async def test(api: Any) -> None:
        job = await api.staged()
        first = (await api.upload(job, b"one", x_oc_upload_uuid="u1")).json()
        second = (await api.upload(job, b"two!", x_oc_upload_uuid="u1")).json()

        assert first["id"] == second["id"]
        assert [one["checksum"] for one in (await api.get(job))["input"]] == [md5(b"two!")]
        assert len(list((api.opened.house.blobs.path(job["id"])).iterdir())) == 1

        await api.converted(job)
        again = await api.upload(job, b"two!", x_oc_upload_uuid="u1")
        assert (again.status_code, again.json()["id"]) == (200, first["id"])
        assert (await api.upload(job, b"other", x_oc_upload_uuid="u1")).status_code == 409
        assert (await api.upload(job, b"two!", x_oc_upload_uuid="u2")).status_code == 409

    with_server(test)


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1), (1, 1, 2, 0, 0)])
def test_chunks_in_any_order_become_one_file(with_server: Any, md5: Any, order: tuple[int, ...]) -> None:
    content = bytes(range(256)) * 12

    async def test(api: Any) -> None:
        job = await api.create(conversion=[{"target": "png"}])
        entry: dict[str, Any] = {}
        for index in order:
            part = content[index * 1024 : (index + 1) * 1024]
            where = f"bytes {index * 1024}-{index * 1024 + 1023}/{len(content)}"
            entry = (await api.upload(job, part, x_oc_upload_uuid="u", Content_Range=where)).json()
        assert (entry["status"], entry["size"], entry["checksum"]) == ("ready", len(content), md5(content))
        assert (await api.ended(job))["status"]["code"] == "completed"

    with_server(test)


def test_a_decrypt_password_is_never_shown_nor_written(with_server: Any, tmp_path: Any) -> None:
    async def test(api: Any) -> None:
        job = await api.staged(input=[{"source": "http://x/", "credentials": {"decrypt_password": "s3cr3t-one"}}])
        extra = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="decrypt_password"\r\n\r\ns3cr3t-two\r\n'
        answer = await api.http.post(url(job), content=form(b"x", extra=extra), headers=HEADERS)

        assert answer.status_code == 200
        shown = await api.get(job)
        assert [one["credentials"] for one in shown["input"]] == [{}, {}]
        api.opened.house.database.rows("pragma wal_checkpoint(truncate)")
        written = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
        assert b"s3cr3t" not in written

    with_server(test, private=False)


async def converted(api: Any, content: bytes = b"0123456789", **body: Any) -> dict[str, Any]:
    job = await api.staged(**body)
    await api.upload(job, content)
    done: dict[str, Any] = await api.converted(job)
    assert done["status"]["code"] == "completed", done
    output: dict[str, Any] = done["output"][0]
    return output


def test_a_result_is_downloaded_without_a_key(with_server: Any, md5: Any) -> None:
    async def test(api: Any) -> None:
        output = await converted(api, b"x" * 2_500_000)

        head = await api.stranger.head(output["uri"])
        answer = await api.stranger.get(output["uri"])

        assert answer.content == b"x" * 2_500_000 + b"0"
        assert (output["size"], output["checksum"]) == (len(answer.content), md5(answer.content))
        assert (head.status_code, head.content) == (200, b"")
        for name in ("content-length", "content-type", "content-disposition", "etag", "accept-ranges"):
            assert head.headers[name] == answer.headers[name]
        assert answer.headers["content-type"] == "image/png"

    with_server(test)


def test_the_name_of_a_download_is_given_in_ascii_and_in_full(with_server: Any) -> None:
    async def test(api: Any) -> None:
        job = await api.staged()
        await api.upload(job, name='naïve "☃".jpg')
        output = (await api.converted(job))["output"][0]

        assert output["filename"] == 'naïve "☃".png'
        assert output["uri"].endswith("/na%C3%AFve%20%22%E2%98%83%22.png")
        disposition = (await api.stranger.head(output["uri"])).headers["content-disposition"]
        assert (
            disposition == "attachment; filename=\"na_ve ___.png\"; filename*=UTF-8''na%C3%AFve%20%22%E2%98%83%22.png"
        )

    with_server(test)


@pytest.mark.parametrize(
    ("asked", "status", "content"),
    [
        ("bytes=0-3", 206, b"0123"),
        ("bytes=4-", 206, b"4567890"),
        ("bytes=-3", 206, b"890"),
        ("bytes=-99", 206, b"01234567890"),
        ("bytes=5-99", 206, b"567890"),
        ("bytes=11-", 416, b""),
        ("bytes=-0", 416, b""),
        ("bytes=3-1", 416, b""),
        ("bytes=-", 200, b"01234567890"),
        ("bytes=0-1,3-4", 200, b"01234567890"),
        ("lines=0-1", 200, b"01234567890"),
    ],
)
def test_a_part_of_a_download_can_be_asked_for(with_server: Any, asked: str, status: int, content: bytes) -> None:
    async def test(api: Any) -> None:
        output = await converted(api)
        answer = await api.stranger.get(output["uri"], headers={"Range": asked})
        assert (answer.status_code, answer.content) == (status, content)
        if status == 206:
            first = 11 - len(content) if asked.startswith("bytes=-") else int(asked[6])
            assert answer.headers["content-range"] == f"bytes {first}-{first + len(content) - 1}/11"

    with_server(test)


def test_a_part_of_another_version_is_the_whole_file(with_server: Any) -> None:
    async def test(api: Any) -> None:
        output = await converted(api)
        headers = {"Range": "bytes=1-2", "If-Range": '"other"'}
        assert (await api.stranger.get(output["uri"], headers=headers)).status_code == 200
        headers["If-Range"] = f'"{output["checksum"]}"'
        assert (await api.stranger.get(output["uri"], headers=headers)).content == b"12"

    with_server(test)


def test_downloads_are_counted_and_end_when_there_were_enough(with_server: Any) -> None:
    async def test(api: Any) -> None:
        output = await converted(api, limits={"output": {"max_downloads": 2}})
        job = {"id": (await api.http.get("/jobs")).json()[0]["id"]}

        resumed = await api.stranger.get(output["uri"], headers={"Range": "bytes=3-"})
        codes = [(await api.stranger.get(output["uri"])).status_code for _ in range(4)]

        assert (resumed.status_code, codes) == (206, [200, 200, 410, 410])
        now = (await api.get(job))["output"][0]
        assert (now["downloads_counter"], now["status"]) == (2, "overuse")

    with_server(test)


@pytest.mark.parametrize("where", ["job", "option", "patch", "patch all"])
def test_a_protected_result_needs_one_of_its_passwords(with_server: Any, where: str) -> None:
    async def test(api: Any) -> None:
        job = await api.create(
            process=False,
            conversion=[{"target": "png", "options": {"download_password": "pa ss"} if where == "option" else []}],
            **({"download_passwords": ["other", "pa ss"]} if where == "job" else {}),
        )
        await api.upload(job)
        done = await api.converted(job)
        output = done["output"][0]
        if where.startswith("patch"):
            path = f"/jobs/{job['id']}/output" + ("" if where == "patch all" else f"/{output['id']}")
            assert (await api.http.patch(path, json={"download_password": "pa ss"})).status_code == 200

        async def status(**headers: str) -> int:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            answer = await api.stranger.get(output["uri"], headers=named)
            return int(answer.status_code)

        assert await status() == 401
        assert await status(X_Oc_Download_Password="wrong") == 401
        assert await status(X_Oc_Download_Password="pa ss") == 200
        assert await status(X_Api2convert_Download_Password="wrong, pa ss") == 200
        assert await status(Cookie="x-oc-download-password=nope") == 401
        assert "pa ss" not in (await api.http.get(f"/jobs/{job['id']}")).text

    with_server(test)


def test_a_deleted_output_answers_410_in_the_file_hosts_words(with_server: Any) -> None:
    async def test(api: Any) -> None:
        output = await converted(api)
        job = (await api.http.get("/jobs")).json()[0]
        path = f"/jobs/{job['id']}/output/{output['id']}"

        assert (await api.http.delete(path)).status_code == 204
        gone = await api.stranger.get(output["uri"])

        assert (gone.status_code, gone.headers["access-control-allow-origin"]) == (410, "*")
        assert gone.json() == {"error_code": 107, "message": "The file download has been disabled"}
        assert (await api.http.get(path)).json()["status"] == "disabled"

    with_server(test)


def test_outputs_are_renamed_and_filtered(with_server: Any) -> None:
    async def test(api: Any) -> None:
        job = await api.staged("png", "webp")
        await api.upload(job)
        done = await api.converted(job)
        first, second = done["output"]
        path = f"/jobs/{job['id']}/output"

        renamed = (await api.http.patch(f"{path}/{first['id']}", json={"filename": "../new name"})).json()
        by_conversion = await api.http.get(path, params={"conversion_id": second["source"]["conversion"]})
        by_input = await api.http.get(path, params={"input_id": "nobody"})

        assert (renamed["filename"], renamed["uri"].endswith("/new%20name.png")) == ("new name.png", True)
        assert [one["id"] for one in by_conversion.json()] == [second["id"]]
        assert by_input.json() == []
        assert (await api.stranger.get(renamed["uri"])).status_code == 200

    with_server(test)


def test_files_go_after_a_day_and_the_job_stays(with_server: Any) -> None:
    async def test(api: Any) -> None:
        output = await converted(api)
        job = (await api.http.get("/jobs")).json()[0]
        house = api.opened.house
        await api.stranger.get(output["uri"])  # a change after the end doesn't make them stay longer

        now = time.time()
        assert await expire(house.jobs, house.blobs, now=now + 24 * 3600 - 60) == 0
        assert await expire(house.jobs, house.blobs, now=now + 24 * 3600 + 60) == 1
        assert await expire(house.jobs, house.blobs, now=now + 99 * 3600) == 0

        assert (await api.stranger.get(output["uri"])).status_code == 410
        after = await api.get(job)
        assert (after["status"]["code"], after["output"][0]["status"]) == ("completed", "expired")
        assert not house.blobs.path(job["id"]).exists()

    with_server(test, contract=Contract())


def test_an_output_past_its_day_is_no_input_although_nobody_swept_it_away_yet(
    with_server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test(api: Any) -> None:
        output = await converted(api)
        body = {"input": [{"type": "output", "source": output["id"]}], "conversion": [{"target": "png"}]}
        before = (await api.http.post("/jobs", json=body)).json()
        later = time.time() + 24 * 3600 + 60
        monkeypatch.setattr(admission, "time", SimpleNamespace(time=lambda: later))

        after = (await api.http.post("/jobs", json=body)).json()

        assert before["input"][0]["status"] == "ready"
        assert after["input"][0]["status"] == "failed"
        assert "isn't there any more" in str((await api.ended(after))["errors"])

    with_server(test, contract=Contract())


def test_an_upload_that_stops_coming_ends_and_gives_back_its_place_and_its_room(tmp_path: Path) -> None:
    async def stopping() -> AsyncIterator[bytes]:
        yield form(b"x" * 1000)[:-500]
        await asyncio.Event().wait()

    async def test() -> None:
        contract = Contract(concurrency=1)
        async with api_of(tmp_path, upload_silence_s=0.1, max_disk_bytes=100_000, contract=contract) as api:
            body = {"conversion": {"target": "png"}}
            job = await api.create(**body)
            announced = {**HEADERS, "Content-Length": "90000"}
            answer = await api.http.post(url(job), content=stopping(), headers=announced)
            assert (answer.status_code, answer.headers["Connection"]) == (408, "close")
            assert "nothing came for 0.1 seconds" in answer.json()["message"]
            assert (await api.get(job))["input"] == []

            assert api.opened.house.blobs.used_bytes == 0
            assert (await api.upload(await api.create(**body), b"x" * 90_000)).status_code == 200

    asyncio.run(test())
