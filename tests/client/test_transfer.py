"""Uploads and downloads against a server that misbehaves."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import io
import json
import subprocess
import sys
import time
import traceback
from pathlib import Path
from typing import Any

import pytest

from runner.client.errors import (
    ApiError,
    ApiUnreachableError,
    ChangedFileError,
    CorruptDownloadError,
    GoneError,
    OutcomeUnknownError,
    RefusedError,
)
from runner.client.transfer import Transfer
from runner.errors import AuthenticationError
from runner.wire.job import Job, JobOutput, read_job

MIB = 1 << 20
BYTES = bytes(range(256)) * 5000
MD5 = hashlib.md5(BYTES, usedforsecurity=False).hexdigest()
SHA256 = hashlib.sha256(BYTES).hexdigest()
TOKEN = "canarytoken"
PASSWORD = "canarypassword"


def job_at(url: str, *, token: str = TOKEN, job_id: str = "j1") -> Job:
    return read_job({"id": job_id, "token": token, "server": f"{url}/v2/dl/web2/"})


def uploading(path: Path, **more: Any) -> Any:
    """A scene that uploads the file at `path`."""

    size_bytes = path.stat().st_size if path.exists() else 1

    async def do(scene: Any) -> Any:
        usual: dict[str, Any] = {"filename": path.name, "size_bytes": size_bytes}
        job = more.pop("job", None) or job_at(scene.server.url)
        return await Transfer(api=scene.api).upload(job, path, **(usual | more))

    return do


def downloading(*, into: Any = None, at: str = "", password: str = "", **more: Any) -> Any:
    """A scene that downloads what the server answers."""

    async def do(scene: Any) -> Any:
        usual: dict[str, Any] = {
            "id": "o1",
            "filename": "a.webp",
            "uri": at or f"{scene.server.url}/dl/o1?token={TOKEN}",
            "size_bytes": len(BYTES),
            "checksum": MD5,
            "status": "enabled",
            "conversion": "",
            "inputs": (),
        }
        output = JobOutput(**(usual | more))
        return await Transfer(api=scene.api).download(output, into or io.BytesIO(), password=password)

    return do


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "a.jpg"
    path.write_bytes(BYTES)
    return path


def test_an_upload_is_one_multipart_post_to_the_jobs_own_server(stage: Any, picture: Path) -> None:
    moved: list[int] = []
    shown = {"id": "i1", "checksum": MD5, "size": len(BYTES), "filename": "a.jpg"}

    played = stage.play(uploading(picture, progress=moved.append), stage.reply(200, shown))

    (request,) = played.server.requests
    digests, described = played.value
    assert (request.method, request.path) == ("POST", "/v2/dl/web2/upload-file/j1")
    boundary = request.headers["content-type"].partition("boundary=")[2].encode()
    head, _, rest = request.body.partition(b"\r\n\r\n")
    assert head.splitlines()[1] == b'Content-Disposition: form-data; name="file"; filename="a.jpg"'
    assert rest == BYTES + b"\r\n--" + boundary + b"--\r\n"
    assert (digests.size_bytes, digests.sha256, digests.md5) == (len(BYTES), SHA256, MD5)
    assert (described.id, described.checksum) == ("i1", MD5)
    assert sum(moved) == len(BYTES)


def test_an_upload_shows_the_jobs_token_and_never_the_accounts_key(stage: Any, picture: Path) -> None:
    played = stage.play(uploading(picture), stage.reply(200, {}))

    (request,) = played.server.requests
    assert request.headers["x-api2convert-token"] == TOKEN
    assert stage.key not in json.dumps(request.headers)
    assert played.value[1] is None  # the server described nothing


def test_a_token_that_no_header_carries_is_the_trouble_of_its_job_alone(stage: Any, picture: Path) -> None:
    async def do(scene: Any) -> Any:
        return await uploading(picture, job=job_at(scene.server.url, token="canary\r\nX-Other: 1"))(scene)

    played = stage.play(do, stage.reply(200, {}))

    assert type(played.error) is ApiError
    assert str(played.error) == "the job came with a token that no request can carry: nothing was uploaded"
    assert played.server.connections == 0


def test_without_a_token_the_key_goes_to_the_endpoints_own_host_alone(stage: Any, picture: Path) -> None:
    async def both() -> tuple[Any, Any, Any]:
        async with stage.rogue(stage.reply(200, {})) as elsewhere:
            away = await asyncio.to_thread(stage.play, uploading(picture, job=job_at(elsewhere.url, token="")))

            async def home(scene: Any) -> Any:
                return await uploading(picture, job=job_at(scene.server.url, token=""))(scene)

            return away, await asyncio.to_thread(stage.play, home, stage.reply(200, {})), elsewhere

    away, home, elsewhere = asyncio.run(both())

    assert type(away.error) is ApiError
    assert elsewhere.connections == 0
    assert home.server.requests[0].headers["x-api2convert-api-key"] == stage.key


@pytest.mark.parametrize(
    ("name", "quoted"),
    [
        ("a b.jpg", "a b.jpg"),
        ('a"b.jpg', "a%22b.jpg"),
        ("a\r\nX-Evil: 1.jpg", "a%0D%0AX-Evil: 1.jpg"),
        ("Łódź 日本.jpg", "Łódź 日本.jpg"),
        ("a;b\\c.jpg", "a;b\\c.jpg"),
        ("-rf", "-rf"),
    ],
)
def test_any_name_is_quoted_as_browsers_do(stage: Any, picture: Path, name: str, quoted: str) -> None:
    played = stage.play(uploading(picture, filename=name), stage.reply(200, {}))

    head = played.server.requests[0].body.partition(b"\r\n\r\n")[0].decode()
    assert head.splitlines()[1] == f'Content-Disposition: form-data; name="file"; filename="{quoted}"'
    assert len(head.splitlines()) == 3


def test_a_password_to_open_the_file_travels_beside_it(stage: Any, picture: Path) -> None:
    played = stage.play(uploading(picture, decrypt_password=PASSWORD), stage.reply(200, {}))

    assert b'name="decrypt_password"\r\n\r\ncanarypassword\r\n--' in played.server.requests[0].body


@pytest.mark.parametrize("size", [0, 1, MIB, MIB + 1])
def test_files_of_every_size_arrive_whole(stage: Any, tmp_path: Path, size: int) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(b"x" * size)

    played = stage.play(uploading(path), stage.reply(200, {}))

    assert played.value[0].size_bytes == size
    assert played.server.requests[0].body.count(b"x" * size) >= 1


def test_a_file_that_grows_during_the_upload_is_noticed(stage: Any, tmp_path: Path) -> None:
    path = tmp_path / "log.bin"
    path.write_bytes(b"x" * 3 * MIB)

    def grow(_moved: int) -> None:
        with path.open("ab") as file:
            file.write(b"y" * MIB)

    played = stage.play(uploading(path, progress=grow), stage.reply(200, {}))

    assert type(played.error) is ChangedFileError
    assert str(played.error) == f"{path} grew while it was uploaded"


def test_a_file_that_shrinks_during_the_upload_is_noticed(stage: Any, tmp_path: Path) -> None:
    path = tmp_path / "log.bin"
    path.write_bytes(b"x" * 3 * MIB)

    def shrink(_moved: int) -> None:
        with path.open("r+b") as file:
            file.truncate(MIB)

    played = stage.play(uploading(path, progress=shrink), stage.reply(200, {}))

    assert type(played.error) is ChangedFileError
    assert str(played.error) == f"{path} shrank while it was uploaded"


def test_a_file_that_is_gone_is_named(stage: Any, tmp_path: Path) -> None:
    played = stage.play(uploading(tmp_path / "gone.jpg"), stage.reply(200, {}))

    assert type(played.error) is ApiError
    assert str(played.error) == f"{tmp_path / 'gone.jpg'} can't be read: No such file or directory"


@pytest.mark.parametrize(
    ("status", "error"),
    [(401, AuthenticationError), (404, GoneError), (413, RefusedError), (500, OutcomeUnknownError)],
)
def test_a_refused_upload_is_sorted_like_any_refusal_and_sent_once(
    stage: Any, picture: Path, status: int, error: type[Exception]
) -> None:
    played = stage.play(uploading(picture), stage.reply(status, {"message": "no"}))

    assert type(played.error) is error
    assert str(played.error) == f"uploading 'a.jpg': {status} no"
    assert len(played.server.requests) == 1


@pytest.mark.parametrize("how", [{"deaf": True}, {}, {"mute": True, "timeout_s": 0.2}])
def test_an_upload_whose_answer_was_lost_is_unknown_and_sent_once(
    stage: Any, picture: Path, how: dict[str, Any]
) -> None:
    played = stage.play(uploading(picture), None, **how)

    assert type(played.error) is OutcomeUnknownError
    assert played.server.connections == 1


def test_an_upload_to_a_server_that_stops_reading_ends(stage: Any, tmp_path: Path) -> None:
    path = tmp_path / "big"
    with path.open("wb") as file:
        file.truncate(64 * MIB)  # more than the system takes for a server that reads nothing

    played = stage.play(within_s(10, uploading(path)), None, full=True, timeout_s=0.3)

    assert type(played.error) is OutcomeUnknownError
    assert str(played.error) == "uploading 'big': no answer (the server took nothing more of what was sent)"
    assert played.server.connections == 1


def test_an_upload_that_is_taken_slowly_goes_on(stage: Any, tmp_path: Path) -> None:
    path = tmp_path / "big"
    with path.open("wb") as file:
        file.truncate(64 * MIB)

    played = stage.play(within_s(20, uploading(path)), stage.reply(200, {}), slow_s=0.05, timeout_s=1.5)

    assert played.error is None
    assert len(played.server.requests[0].body) > 64 * MIB


def within_s(seconds: float, doing: Any) -> Any:
    async def do(scene: Any) -> Any:
        async with asyncio.timeout(seconds):
            return await doing(scene)

    return do


def test_an_upload_is_never_redirected(stage: Any, picture: Path) -> None:
    async def main() -> tuple[Any, Any]:
        async with stage.rogue(stage.reply(200, {})) as elsewhere:
            away = stage.reply(307, Location=f"{elsewhere.url}/")
            return await asyncio.to_thread(stage.play, uploading(picture), away), elsewhere

    played, elsewhere = asyncio.run(main())

    assert isinstance(played.error, RefusedError)
    assert elsewhere.connections == 0


def test_a_download_arrives_whole_with_its_digests(stage: Any) -> None:
    into = io.BytesIO()

    played = stage.play(downloading(into=into), stage.reply(200, BYTES))

    assert into.getvalue() == BYTES
    assert (played.value.size_bytes, played.value.sha256, played.value.md5) == (len(BYTES), SHA256, MD5)


def test_a_download_carries_neither_key_nor_token_of_ours(stage: Any) -> None:
    plain = stage.play(downloading(), stage.reply(200, BYTES))
    locked = stage.play(downloading(password=PASSWORD), stage.reply(200, BYTES))

    for played in (plain, locked):
        assert stage.key not in json.dumps(played.server.requests[0].headers)
    assert "x-api2convert-download-password" not in plain.server.requests[0].headers
    assert locked.server.requests[0].headers["x-api2convert-download-password"] == PASSWORD


def test_a_slow_body_is_waited_for(stage: Any) -> None:
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (BYTES[:1], BYTES[1:7], BYTES[7:])) + b"0\r\n\r\n"
    answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n" + chunks

    assert stage.play(downloading(), answer).value.sha256 == SHA256


def test_a_download_is_asked_for_as_it_is_and_unpacked_where_the_server_packs_it_anyway(stage: Any) -> None:
    into = io.BytesIO()

    played = stage.play(downloading(into=into), stage.reply(200, gzip.compress(BYTES), Content_Encoding="gzip"))

    assert played.server.requests[0].headers["accept-encoding"] == "identity"
    assert (played.error, into.getvalue()) == (None, BYTES)


BROKEN = {
    "cut short": (lambda reply: reply(200, BYTES[:-9], Content_Length=str(len(BYTES))), OutcomeUnknownError),
    "cut chunk": (
        lambda _: b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\nff\r\nabc",
        OutcomeUnknownError,
    ),
    "too few": (lambda reply: reply(200, BYTES[:-9]), CorruptDownloadError),
    "too many": (lambda reply: reply(200, BYTES + b"!"), CorruptDownloadError),
    "other bytes": (lambda reply: reply(200, BYTES[::-1]), CorruptDownloadError),
    "no gzip": (lambda reply: reply(200, BYTES[:-9], Content_Encoding="gzip"), CorruptDownloadError),
    "gone": (lambda reply: reply(410), GoneError),
    "locked": (lambda reply: reply(401), AuthenticationError),
    "elsewhere": (lambda reply: reply(302, Location="http://127.0.0.1:1/"), ApiUnreachableError),
    "nowhere": (lambda reply: reply(302), RefusedError),
    "no content": (lambda reply: reply(204), CorruptDownloadError),
    "not modified": (lambda reply: reply(304), RefusedError),
    "broken down": (lambda reply: reply(500), OutcomeUnknownError),
    "hung up": (lambda _: None, OutcomeUnknownError),
    "no http": (lambda _: b"hello\r\n\r\n", OutcomeUnknownError),
}


@pytest.mark.parametrize(("answer", "error"), BROKEN.values(), ids=BROKEN.keys())
def test_a_broken_download_is_never_taken_for_the_result(stage: Any, answer: Any, error: type[Exception]) -> None:
    played = stage.play(downloading(password=PASSWORD), answer(stage.reply))

    assert type(played.error) is error
    assert "'a.webp'" in str(played.error)


@pytest.mark.parametrize(
    "announced", [{"size_bytes": 0}, {"checksum": ""}, {"checksum": MD5.upper()}, {"checksum": "crc32:12345678"}]
)
def test_what_the_api_does_not_announce_cannot_be_compared(stage: Any, announced: dict[str, Any]) -> None:
    assert stage.play(downloading(**announced), stage.reply(200, BYTES)).error is None


@pytest.mark.parametrize(
    ("server", "token"),
    [
        (f"http://{'a' * 64}.example/dl", TOKEN),
        ("http://[bad/dl", TOKEN),
        ("http://[bad/dl", ""),
        ("http://x/dl", "a\nb"),
    ],
)
def test_a_server_of_a_job_that_can_be_none_is_the_trouble_of_that_job(
    stage: Any, picture: Path, server: str, token: str
) -> None:
    job = read_job({"id": "j1", "token": token, "server": server})

    played = stage.play(uploading(picture, job=job))

    assert isinstance(played.error, ApiError)
    assert "nothing was" in str(played.error)


def test_an_upload_takes_as_long_as_it_takes(stage: Any, picture: Path) -> None:
    def late(_request: Any) -> bytes:
        time.sleep(0.3)
        return bytes(stage.reply(200, {}))

    assert stage.play(uploading(picture), late, call_timeout_s=0.1).error is None


@pytest.mark.parametrize("uri", ["", "ftp://canarytoken@example.com/a", "http://", "file:///etc/passwd"])
def test_an_address_that_is_none_is_refused_without_repeating_it(stage: Any, uri: str) -> None:
    played = stage.play(downloading(uri=uri))

    assert type(played.error) is ApiUnreachableError
    assert str(played.error) == "downloading 'a.webp': the address is not an http(s) URL; nothing was sent"


def echo(status: int) -> Any:
    """Repeats every header of the request, as some servers do when they refuse it."""

    def answer(request: Any) -> bytes:
        message = json.dumps({"message": " ".join(request.headers.values())}).encode()
        return b"HTTP/1.1 %d Said\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s" % (
            status,
            len(message),
            message,
        )

    return answer


@pytest.mark.parametrize("answer", [echo(400), echo(401), echo(404), echo(500), b"what?\r\n\r\n", None])
@pytest.mark.parametrize("up", [True, False])
def test_no_secret_is_in_any_error(stage: Any, picture: Path, answer: Any, *, up: bool) -> None:
    do = uploading(picture, decrypt_password=PASSWORD) if up else downloading(password=PASSWORD)

    played = stage.play(do, answer)

    assert isinstance(played.error, ApiError | AuthenticationError)
    whole = "".join(traceback.format_exception(played.error)) + repr(played.error) + played.error.hint
    assert "canary" not in whole


def test_a_big_file_goes_up_and_down_in_constant_memory(tmp_path: Path) -> None:
    grown = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("big_file.py")), str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
        env={"PATH": "/usr/bin:/bin"},
    )

    assert int(grown.stdout) < 32 * MIB, grown.stdout
