"""The API by hand: `runner serve` in one window, curl in the other, as the README shows and the API's pages say."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.acceptance.command_line import ROOT, Desk, new_desk, png, serving, until

JSON = "Content-Type: application/json"


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    return new_desk(tmp_path_factory.mktemp("serve"))


@pytest.fixture(scope="module")
def server(shared: Desk) -> Iterator[Mapping[str, Any]]:
    with serving(shared) as ready:
        yield ready


def curl(*args: str) -> tuple[int, str]:
    """Status and body."""
    command = ["curl", "-sS", "--max-time", "30", "-w", "\n%{http_code}", *args]
    done = subprocess.run(command, capture_output=True, check=True, text=True)
    body, _, status = done.stdout.rpartition("\n")
    return int(status), body


def test_the_line_for_scripts_is_all_that_stands_on_stdout(desk: Desk) -> None:
    with desk.start("serve", "--port", "0", "--format", "json") as process:
        assert process.stdout is not None
        ready = json.loads(process.stdout.readline())
        process.send_signal(signal.SIGTERM)
        out, _ = process.communicate(timeout=30)

    assert set(ready) == {"base_url", "api_key", "pid"}
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/v2", ready["base_url"])
    assert ready["pid"] == process.pid
    assert out == ""
    assert process.returncode in (0, 143)


def readme_block() -> str:
    text = (ROOT / "README.md").read_text()
    (block,) = re.findall(r"```\n(base=.*?)```", text, re.DOTALL)
    return str(block)


def test_what_the_readme_says_works_as_it_stands(server: Mapping[str, Any], desk: Desk) -> None:
    (desk.folder / "picture.jpg").write_bytes((ROOT / "recipes/pictures/mountains.jpg").read_bytes())
    script = (
        readme_block().replace("http://127.0.0.1:8700/v2", server["base_url"]).replace("local-key", server["api_key"])
    )
    *steps, look = script.strip().splitlines()
    poll = f"for _ in $(seq 300); do {look.partition('|')[0]} >last; grep -q completed last && break; sleep 0.1; done"
    fetch = f"{look.replace('jq ', 'jq -r ')} | tail -1 | xargs curl -s -o result.webp"

    done = subprocess.run(
        ["bash", "-euo", "pipefail"],
        input="\n".join([*steps, poll, look, fetch]),
        cwd=desk.folder,
        env=desk.env,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert '"completed"' in done.stdout
    with Image.open(desk.folder / "result.webp") as made:
        assert (made.format, made.size) == ("WEBP", (1600, 1067))


@pytest.mark.parametrize("header", ["X-Oc-Api-Key", "x-oc-api-key", "X-Api2convert-Api-Key"])
def test_both_families_of_headers_open_the_account(server: Mapping[str, Any], header: str) -> None:
    status, body = curl("-H", f"{header}: {server['api_key']}", f"{server['base_url']}/jobs")

    assert status == 200
    assert isinstance(json.loads(body), list)


@pytest.mark.parametrize("headers", [[], ["X-Oc-Api-Key: wrong-key-canary"], ["X-Api2convert-Api-Key: "]])
def test_without_a_good_key_nothing_is_told_and_nothing_echoed(server: Mapping[str, Any], headers: list[str]) -> None:
    asked = [part for header in headers for part in ("-H", header)]

    status, body = curl(*asked, f"{server['base_url']}/jobs")

    assert status == 401
    assert set(json.loads(body)) == {"message"}
    assert "canary" not in body


@pytest.mark.parametrize("family", ["X-Oc-Token", "X-Api2convert-Token"])
def test_a_jobs_token_is_enough_for_that_job_and_for_no_other(
    server: Mapping[str, Any], tmp_path: Path, family: str
) -> None:
    key, base = f"X-Oc-Api-Key: {server['api_key']}", server["base_url"]
    wanted = json.dumps({"process": False, "conversion": [{"target": "png"}]})
    job, other = (json.loads(curl("-H", key, "-H", JSON, "-d", wanted, f"{base}/jobs")[1]) for _ in range(2))
    token = f"{family}: {job['token']}"
    (tmp_path / "a b.png").write_bytes(png())

    uploaded, _ = curl("-H", token, "-F", f"file=@{tmp_path / 'a b.png'}", f"{job['server']}/upload-file/{job['id']}")
    started, _ = curl("-H", token, "-H", JSON, "-X", "PATCH", "-d", '{"process": true}', f"{base}/jobs/{job['id']}")
    until(lambda: _status(base, job, token) == "completed", what="the conversion")
    refused, body = curl("-H", token, f"{base}/jobs/{other['id']}")
    listed = json.loads(curl("-H", token, f"{base}/jobs")[1])

    assert (uploaded, started) == (200, 200)
    assert refused == 401
    assert job["token"] not in body
    assert [one["id"] for one in listed] == [job["id"]]


def _status(base: str, job: Mapping[str, Any], header: str) -> str:
    return str(json.loads(curl("-H", header, f"{base}/jobs/{job['id']}")[1])["status"]["code"])


def test_a_second_server_on_the_same_state_says_who_has_it(server: Mapping[str, Any], shared: Desk) -> None:
    second = shared.runner("serve", "--port", "0")

    assert second.code == 75
    assert str(server["pid"]) in second.err or "another server" in second.err


def test_a_taken_port_is_said(server: Mapping[str, Any], desk: Desk) -> None:
    port = server["base_url"].rpartition(":")[2].partition("/")[0]

    done = desk.runner("serve", "--port", port)

    assert done.code == 5
    assert "in use" in done.err.lower()


def test_the_key_of_the_account_is_not_in_the_list_of_processes(desk: Desk) -> None:
    canary = "canary-key-of-the-account-4711"
    keyed = Desk(folder=desk.folder, home=desk.home, more={"RUNNER_SERVE_KEY": canary})

    with serving(keyed) as ready:
        commands = b"\n".join(_commands())
        status, _ = curl("-H", f"X-Oc-Api-Key: {canary}", f"{ready['base_url']}/jobs")

    assert status == 200
    assert ready["api_key"] == canary
    assert canary.encode() not in commands


def _commands() -> Iterator[bytes]:
    """What `ps` shows to everybody, but for the curl that we run ourselves."""
    for folder in Path("/proc").iterdir():
        try:
            if folder.name.isdigit() and int(folder.name) != os.getpid():
                yield (folder / "cmdline").read_bytes()
        except OSError:
            continue
