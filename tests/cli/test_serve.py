"""`runner serve`: the line it prints, curl by hand as the API's pages describe, and what it refuses."""

from __future__ import annotations

import io
import json
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from PIL import Image

from runner.cli.seal_key import default_seal_key
from runner.cli.serve import serve
from runner.errors import ExitCode, RunnerError

COMMAND = [sys.executable, "-c", "from runner.cli.serve import serve; serve()"]


@pytest.fixture
def ready(tmp_path: Path) -> Iterator[dict[str, Any]]:
    process = subprocess.Popen(
        [*COMMAND, "--port", "0", "--state", str(tmp_path / "state"), "--format", "json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    yield json.loads(process.stdout.readline())
    process.send_signal(signal.SIGTERM)
    out, errors = process.communicate(timeout=20)
    assert (process.returncode, out, errors) == (0, "", "")


def curl(*args: str) -> Any:
    done = subprocess.run(["curl", "-sS", "-f", *args], capture_output=True, check=True, timeout=30)
    return json.loads(done.stdout)


def test_upload_start_and_download_by_hand_as_the_api_describes(ready: dict[str, Any], tmp_path: Path) -> None:
    assert set(ready) == {"base_url", "api_key", "pid"}
    base, key = ready["base_url"], f"x-oc-api-key: {ready['api_key']}"
    file = tmp_path / "a b.png"
    Image.new("RGBA", (64, 32), (255, 0, 0, 0)).save(file)

    body = '{"process": false, "conversion": [{"target": "jpg", "options": []}]}'
    job = curl("-H", key, "-H", "Content-Type: application/json", "-d", body, f"{base}/jobs")
    upload = f"{job['server']}/upload-file/{job['id']}"
    curl("-H", key, "-H", "Expect: 100-continue", "-F", f"file=@{file}", upload)
    curl("-H", key, "--http2", "-F", f"file=@{file};filename=b.png", upload)
    curl("-H", f"X-Oc-Token: {job['token']}", "-X", "PATCH", "-d", '{"process": true}', f"{base}/jobs/{job['id']}")
    while (done := curl("-H", key, f"{base}/jobs/{job['id']}"))["status"]["code"] != "completed":
        assert done["status"]["code"] in ("queued", "processing"), done

    assert [one["filename"] for one in done["input"]] == ["a b.png", "b.png"]
    result = subprocess.run(["curl", "-sSf", done["output"][0]["uri"]], capture_output=True, check=True, timeout=30)
    assert result.stdout[:2] == b"PK"
    assert done["output"][0]["filename"] == "a b.zip"


def test_a_picture_is_really_converted(ready: dict[str, Any], tmp_path: Path) -> None:
    key = f"x-api2convert-api-key: {ready['api_key']}"
    file = tmp_path / "a.png"
    Image.new("RGBA", (64, 32), (255, 0, 0, 0)).save(file)

    job = curl("-H", key, "-d", '{"conversion": {"target": "jpg"}}', f"{ready['base_url']}/jobs")
    curl("-H", key, "-F", f"file=@{file}", f"{job['server']}/upload-file/{job['id']}")
    while not (done := curl("-H", key, f"{ready['base_url']}/jobs/{job['id']}"))["output"]:
        assert done["status"]["code"] in ("queued", "processing"), done

    out = subprocess.run(["curl", "-sSf", done["output"][0]["uri"]], capture_output=True, check=True, timeout=30)
    with Image.open(io.BytesIO(out.stdout)) as picture:
        assert (picture.format, picture.size, picture.getpixel((0, 0))) == ("JPEG", (64, 32), (255, 255, 255))


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--host", "0.0.0.0"], "set a key"),
        (["--host", "example.org"], "set a key"),
        (["--key", "short"], "at least 8"),
        (["--key", "with a blank"], "no blank"),
        (["--allow-private", "everything"], "not a network"),
        (["--state", "/proc/nope"], "can't serve"),
        (["--base-url", "convert.example.com"], "is no URL"),
        (["--base-url", "ftp://convert.example.com"], "is no URL"),
        (["--base-url", "https://"], "is no URL"),
        (["--base-url", "https://me:pass@x"], "is no URL"),
        (["--base-url", "https://x y"], "is no URL"),
        (["--base-url", "https://x:99999"], "is no URL"),
        (["--base-url", "https://x/?a=b"], "more than a host and a path"),
    ],
)
def test_what_it_cant_do_is_a_message_and_not_a_key(tmp_path: Path, args: list[str], words: str) -> None:
    result = CliRunner().invoke(serve, ["--state", str(tmp_path / "state"), *args])

    assert isinstance(result.exception, RunnerError)
    assert result.exception.exit_code is ExitCode.INVALID
    assert words in str(result.exception)


def test_an_address_in_use_is_named(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        result = CliRunner().invoke(serve, ["--state", str(tmp_path / "state"), "--port", port])

    assert isinstance(result.exception, RunnerError)
    assert "in use" in str(result.exception)
    assert port in result.exception.hint


def test_no_folder_is_left_for_an_address_that_cant_be_had(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        command = [*COMMAND, "--port", str(taken.getsockname()[1]), "--state", str(tmp_path / "state")]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    assert "Address already in use" in done.stderr
    assert not (tmp_path / "state").exists()


def test_help_teaches_with_an_example() -> None:
    result = CliRunner().invoke(serve, ["--help"])

    assert result.exit_code == 0
    for word in ("Example", "curl", "--allow-private", "base_url", "restart"):
        assert word in result.output


def test_a_secret_on_the_command_line_is_refused_without_showing_it(tmp_path: Path) -> None:
    result = CliRunner().invoke(serve, ["--state", str(tmp_path / "state"), "--callback-secret", "canary"])

    assert result.exit_code == 2
    assert "processes are listed" in result.output
    assert "canary" not in result.output


@pytest.mark.parametrize(
    ("variables", "path"),
    [
        ({"HOME": "/home/me", "XDG_STATE_HOME": "/var/state"}, "/var/state/conversion-runner/seal.key"),
        ({"HOME": "/home/me", "XDG_STATE_HOME": ""}, "/home/me/.local/state/conversion-runner/seal.key"),
        ({"HOME": "/home/me", "XDG_STATE_HOME": "here"}, "/home/me/.local/state/conversion-runner/seal.key"),
    ],
)
def test_the_key_that_seals_secrets_lies_in_the_users_own_state(
    variables: dict[str, str], path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)

    assert default_seal_key() == Path(path)
