"""Where links lead: what is configured, else what the server listens on, else what the client called it."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.server.post_office import api_of, converted, post_office
from tests.server.served import serving


@pytest.mark.parametrize(
    ("host", "base_url"),
    [
        ("convert.lan:8080", "http://convert.lan:8080/v2"),
        ("10.1.2.3", "http://10.1.2.3/v2"),
        ("[fd00::1]:80", "http://[fd00::1]:80/v2"),
        ("a b", "http://server.test/v2"),
        ('x"y', "http://server.test/v2"),
        ("x/y?z#", "http://server.test/v2"),
        ("x:port", "http://server.test/v2"),
        ("", "http://server.test/v2"),
    ],
)
def test_a_server_on_every_address_is_where_the_client_called_it(tmp_path: Path, host: str, base_url: str) -> None:
    async def test() -> list[str]:
        async with api_of(tmp_path, host="0.0.0.0") as api:
            done = await converted(api)
            headers = {"Host": host}
            path = f"/jobs/{done['id']}"
            job = (await api.http.get(path, headers=headers)).json()
            (listed,) = (await api.http.get("/jobs", headers=headers)).json()
            (output,) = (await api.http.get(f"{path}/output", headers=headers)).json()
            patched = (await api.http.patch(f"{path}/output", json={"filename": "b"}, headers=headers)).json()
            made = (await api.http.post("/jobs", json={"process": False}, headers=headers)).json()
            document = (await api.http.get("/openapi.json", headers=headers)).json()
            links = [one["uri"] for one in (job["output"][0], listed["output"][0], output, *patched)]
            return [*links, job["server"], made["server"], document["servers"][0]["url"]]

    shown = asyncio.run(test())

    assert [one for one in shown if not one.startswith(base_url)] == []


def test_elsewhere_the_host_of_a_request_changes_nothing(tmp_path: Path) -> None:
    async def test(**settings: Any) -> str:
        async with api_of(tmp_path, **settings) as api:
            answer = await api.http.post("/jobs", json={"process": False}, headers={"Host": "evil.example"})
            server: str = answer.json()["server"]
            return server

    assert asyncio.run(test()) == "http://server.test/v2/dl/local"
    assert asyncio.run(test(host="0.0.0.0", base_url="http://server.test/v2")) == "http://server.test/v2/dl/local"


def test_a_real_server_on_every_address_hands_out_links_that_work_and_callbacks_name_the_machine(
    tmp_path: Path,
) -> None:
    with post_office() as office, serving(tmp_path / "state", "--host", "0.0.0.0", "--workers", "1") as served:
        port = httpx.URL(served.base_url).port
        headers = {"X-Oc-Api-Key": served.api_key}
        body = {"callback": f"{office.url}/hook", "conversion": [{"target": "png"}], "process": False}
        job = httpx.post(f"http://localhost:{port}/v2/jobs", json=body, headers=headers).json()
        files = {"file": ("a.txt", b"no picture")}
        taken = httpx.post(f"{job['server']}/upload-file/{job['id']}", files=files, headers=headers)
        httpx.patch(f"{served.base_url}/jobs/{job['id']}", json={"process": True}, headers=headers)
        office.wait_for(bool)

    assert (job["server"], taken.status_code) == (f"http://localhost:{port}/v2/dl/local", 200)
    assert httpx.URL(served.base_url).host == "127.0.0.1"
    assert office.got[0].job["server"] == f"http://{socket.gethostname()}:{port}/v2/dl/local"


@pytest.mark.parametrize(
    ("given", "base_url"),
    [
        ("https://convert.example.com", "https://convert.example.com/v2"),
        ("https://convert.example.com/", "https://convert.example.com/v2"),
        ("http://[::1]:81/api/v2/", "http://[::1]:81/api/v2"),
    ],
)
def test_a_base_url_is_what_links_begin_with(tmp_path: Path, given: str, base_url: str) -> None:
    with serving(tmp_path / "state", "--base-url", given) as served:
        assert served.base_url == base_url
