"""Older programs and odd wires: what they send is taken as it is meant."""

from __future__ import annotations

import base64
import hashlib
import json
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from tests.server.served import KEY, Served, serving


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("old") / "state", "--workers", "1") as one:
        yield one


@pytest.fixture
def http(served: Served) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=served.base_url, headers={"x-oc-api-key": KEY}) as client:
        yield client


def curl(*args: str) -> Any:
    done = subprocess.run(
        ["curl", "-sS", "-H", f"x-oc-api-key: {KEY}", *args], capture_output=True, check=True, timeout=60
    )
    return json.loads(done.stdout)


def staged(http: httpx.Client) -> dict[str, Any]:
    job: dict[str, Any] = http.post("/jobs", json={"process": False}).json()
    return job


def test_a_form_sent_by_curl_with_strings_for_numbers_and_bare_objects_is_converted(
    served: Served, http: httpx.Client, tmp_path: Path, picture_base64: str
) -> None:
    file = tmp_path / "a b.png"
    file.write_bytes(base64.b64decode(picture_base64))
    body = {
        "process": "false",
        "fail_on_input_error": "1",
        "conversion": {"target": "JPG", "options": {"quality": "70", "allow_multiple_outputs": "true"}, "metadata": []},
        "limits": {"job": {"max_credit": "4"}, "input": []},
    }

    job = curl("-d", json.dumps(body), f"{served.base_url}/jobs")
    curl("-F", f"file=@{file}", "-H", "x-oc-upload-uuid: 1", f"{job['server']}/upload-file/{job['id']}")
    curl("-X", "PATCH", "-d", '{"process": "true"}', f"{served.base_url}/jobs/{job['id']}")

    assert job["conversion"][0]["options"]["quality"] == 70
    assert job["limits"] == {"job": {"max_credit": 4}, "input": {}, "output": {}}
    done = ended(http, job["id"])
    assert (done["status"]["code"], done["output"][0]["filename"]) == ("completed", "a b.jpg")
    assert done["spent"] == 1


def ended(http: httpx.Client, job_id: str) -> dict[str, Any]:
    for _ in range(10_000):
        job: dict[str, Any] = http.get(f"/jobs/{job_id}").json()
        if job["status"]["code"] in ("completed", "failed"):
            return job
    raise AssertionError(f"the job doesn't end: {job['status']}")


@pytest.mark.parametrize(
    "options",
    [
        ("-H", "Transfer-Encoding: chunked"),
        ("-H", "Expect: 100-continue"),
        ("-H", "Connection: Upgrade, HTTP2-Settings", "-H", "Upgrade: h2c", "-H", "HTTP2-Settings: AAMAAABkAAQAAP__"),
        ("--http1.0",),
        ("--http2",),
        (),
    ],
    ids=["chunked", "100-continue", "h2c by hand", "http/1.0", "h2c by curl", "curl's own"],
)
def test_an_upload_arrives_whole_however_it_is_put_on_the_wire(
    served: Served, http: httpx.Client, tmp_path: Path, options: tuple[str, ...]
) -> None:
    content = bytes(range(256)) * 9000  # more than one buffer of anyone
    (tmp_path / "a.bin").write_bytes(content)
    job = staged(http)

    entry = curl(*options, "-F", f"file=@{tmp_path / 'a.bin'}", f"{job['server']}/upload-file/{job['id']}")

    assert (entry["size"], entry["checksum"]) == (len(content), hashlib.md5(content).hexdigest())


def test_a_client_that_waits_for_100_continue_is_told_to_go_on(served: Served, http: httpx.Client) -> None:
    body = b'{"process": false}'
    head = b"Expect: 100-continue\r\nContent-Length: %d\r\nContent-Type: application/json\r\n" % len(body)
    with connected(served, b"POST", b"/v2/jobs", head) as connection:
        assert connection.recv(100).startswith(b"HTTP/1.1 100 ")
        connection.sendall(body)
        assert connection.recv(1000).startswith(b"HTTP/1.1 201 ")


def test_a_refused_key_is_known_before_the_body_is_sent(served: Served) -> None:
    head = b"Expect: 100-continue\r\nContent-Length: 1000000\r\n"
    with connected(served, b"POST", b"/v2/jobs", head, key=b"wrong") as connection:
        assert connection.recv(1000).startswith(b"HTTP/1.1 401 ")


def test_an_offer_of_h2c_with_a_body_behind_it_is_ignored_and_the_body_read(served: Served) -> None:
    body = b'{"process": false, "conversion": [{"target": "jpg"}]}'
    head = (
        b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n"
        b"Transfer-Encoding: chunked\r\n"
    )
    with connected(served, b"POST", b"/v2/jobs", head) as connection:
        for at in range(0, len(body), 7):
            piece = body[at : at + 7]
            connection.sendall(b"%x\r\n%s\r\n" % (len(piece), piece))
        connection.sendall(b"0\r\n\r\n")
        answer = b""
        while not answer.endswith(b"}"):
            answer += connection.recv(65536)

    assert answer.startswith(b"HTTP/1.1 201 ")
    assert b'"target":"jpg"' in answer


def connected(served: Served, method: bytes, path: bytes, head: bytes, *, key: bytes = KEY.encode()) -> socket.socket:
    """A connection on which the head of a request was sent."""
    address = urlsplit(served.base_url)
    connection = socket.create_connection((str(address.hostname), address.port or 80), timeout=20)
    connection.sendall(b"%s %s HTTP/1.1\r\nHost: x\r\nX-Oc-Api-Key: %s\r\n%s\r\n" % (method, path, key, head))
    return connection


@pytest.mark.parametrize(
    "prefix", ["", "data:image/png;base64,", "data:;base64,", "data:text/plain;charset=utf-8;base64,"]
)
def test_base64_is_taken_with_and_without_a_prefix_and_in_lines(
    http: httpx.Client, picture_base64: str, prefix: str
) -> None:
    lines = "\r\n".join(picture_base64[at : at + 76] for at in range(0, len(picture_base64), 76))
    body = {"input": {"type": "base64", "source": prefix + lines, "filename": "a.png"}, "conversion": {"target": "gif"}}

    done = ended(http, http.post("/jobs", json=body).json()["id"])

    assert done["status"]["code"] == "completed"
    assert done["input"][0]["checksum"] == hashlib.md5(base64.b64decode(picture_base64)).hexdigest()


@pytest.mark.parametrize("body", [b"[]", b"null", b"", b"{}"])
def test_bodies_of_deletes_are_ignored(http: httpx.Client, body: bytes) -> None:
    assert http.request("DELETE", f"/jobs/{staged(http)['id']}", content=body).status_code == 204


def test_an_array_is_an_empty_object_wherever_one_is_expected(http: httpx.Client) -> None:
    made = http.post("/jobs", json=[])
    conversion = {"target": "jpg", "options": [], "metadata": [], "output_target": {}}
    full = http.post("/jobs", json={"process": 0, "conversion": [conversion], "limits": [], "input": {}})

    assert made.json()["status"]["code"] == "incomplete"
    assert (full.status_code, full.json()["conversion"][0]["output_target"]) == (201, [])


def test_the_paths_without_a_version_are_the_same_server(served: Served, http: httpx.Client) -> None:
    job = staged(http)
    old = served.base_url.removesuffix("/v2")

    assert curl(f"{old}/jobs/{job['id']}") == job
    assert curl(f"{old}/presets") == []


def test_a_token_in_the_older_header_is_enough_to_upload_start_and_read(
    served: Served, http: httpx.Client, picture_base64: str
) -> None:
    job = http.post("/jobs", json={"process": False, "conversion": {"target": "gif"}}).json()
    with httpx.Client(base_url=served.base_url, headers={"X-Oc-Token": job["token"]}) as only:
        file = {"file": ("a.png", base64.b64decode(picture_base64))}
        only.post(f"{job['server']}/upload-file/{job['id']}", files=file).raise_for_status()
        only.patch(f"/jobs/{job['id']}", json={"process": True}).raise_for_status()
        assert ended(only, job["id"])["status"]["code"] == "completed"
        assert only.get("/contracts").status_code == 401


@pytest.mark.parametrize(
    ("disposition", "name"),
    [
        ("filename*=utf-8''%C3%BC%20x.png", "ü x.png"),
        ("filename*=\"UTF-8'de'%C3%BC.png\"", "ü.png"),
        ("filename*=iso-8859-1''%FC.png", "ü.png"),
        ("filename=\"=?utf-8?B?w7wgeC5wbmc=?=\"; filename*=utf-8''%C3%BC%20x.png", "ü x.png"),
        ("filename=a.png; filename*=nonsense", "a.png"),
        ("filename*=utf-8''..%2F..%2Fb%0D%0A.png", "b.png"),
        ("filename*=nonsense", "file.png"),
    ],
)
def test_a_name_in_the_extended_form_counts_before_any_other(
    http: httpx.Client, picture_base64: str, disposition: str, name: str
) -> None:
    job = staged(http)
    head = f'--B\r\nContent-Disposition: form-data; name="file"; {disposition}\r\n\r\n'
    body = head.encode() + base64.b64decode(picture_base64) + b"\r\n--B--\r\n"

    answer = http.post(
        f"{job['server']}/upload-file/{job['id']}",
        content=body,
        headers={"Content-Type": "multipart/form-data; boundary=B"},
    )

    assert (answer.status_code, answer.json()["filename"]) == (200, name)


@pytest.mark.parametrize(("encoding", "status"), [("base64", 400), ("Quoted-Printable", 400), ("binary", 200)])
def test_a_file_comes_as_it_is_and_is_never_stored_in_another_form(
    http: httpx.Client, picture_base64: str, encoding: str, status: int
) -> None:
    job = staged(http)
    head = (
        '--B\r\nContent-Disposition: form-data; name="file"; filename="a.png"\r\n'
        f"Content-Transfer-Encoding: {encoding}\r\n\r\n"
    )
    body = head.encode() + base64.b64decode(picture_base64) + b"\r\n--B--\r\n"

    answer = http.post(
        f"{job['server']}/upload-file/{job['id']}",
        content=body,
        headers={"Content-Type": "multipart/form-data; boundary=B"},
    )

    assert answer.status_code == status, answer.text


def test_a_boundary_that_is_too_long_is_refused(http: httpx.Client) -> None:
    job = staged(http)

    answer = http.post(
        f"{job['server']}/upload-file/{job['id']}",
        content=b"--B--",
        headers={"Content-Type": f"multipart/form-data; boundary={'B' * 300}"},
    )

    assert (answer.status_code, list(answer.json()["errors"])) == (400, ["body"])
