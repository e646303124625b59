"""The server as a guest of its parent: one line in, one line out, gone when the parent is."""

from __future__ import annotations

import fcntl
import json
import signal
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.server.conftest import PATIENCE_S

COMMAND = [sys.executable, "-m", "runner.server.embedded"]


def start(config: dict[str, Any]) -> tuple[subprocess.Popen[str], dict[str, Any]]:
    process = subprocess.Popen(COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(json.dumps(config) + "\n")
    process.stdin.flush()
    return process, json.loads(process.stdout.readline())


def end(process: subprocess.Popen[str]) -> int:
    process.communicate(timeout=PATIENCE_S)
    return process.returncode


def test_it_answers_on_a_socket_only_for_its_owner_and_stops_with_stdin(tmp_path: Path) -> None:
    uds = tmp_path / "s"
    process, ready = start({"state_dir": str(tmp_path / "state"), "uds": str(uds)})

    with httpx.Client(transport=httpx.HTTPTransport(uds=str(uds)), base_url=ready["base_url"]) as http:
        jobs = http.get("/jobs", headers={"X-Oc-Api-Key": ready["api_key"]})

    assert jobs.json() == []
    assert ready["pid"] == process.pid
    assert stat.S_IMODE(uds.stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "state" / "key").stat().st_mode) == 0o600
    assert end(process) == 0
    assert not uds.exists()


def test_its_key_is_the_same_every_time(tmp_path: Path) -> None:
    config = {"state_dir": str(tmp_path / "state"), "uds": str(tmp_path / "s")}
    keys = []
    for _ in range(2):
        process, ready = start(config)
        keys.append(ready["api_key"])
        assert end(process) == 0

    assert keys[0] == keys[1]
    assert len(keys[0]) == 32


def test_a_second_one_says_that_the_folder_is_taken(tmp_path: Path) -> None:
    config = {"state_dir": str(tmp_path / "state"), "uds": str(tmp_path / "s")}
    process, _ = start(config)

    second, answer = start({**config, "uds": str(tmp_path / "t")})

    assert answer["error"] == "locked"
    assert str(process.pid) in answer["message"]
    assert end(second) == 75
    assert end(process) == 0


def test_a_second_one_on_the_same_socket_leaves_the_first_in_peace(tmp_path: Path) -> None:
    uds = tmp_path / "s"
    process, ready = start({"state_dir": str(tmp_path / "state"), "uds": str(uds)})

    for state in ("state", "other"):
        second, answer = start({"state_dir": str(tmp_path / state), "uds": str(uds)})
        assert answer["error"] in ("locked", "address")
        end(second)

    with httpx.Client(transport=httpx.HTTPTransport(uds=str(uds)), base_url=ready["base_url"]) as http:
        assert http.get("/statuses").status_code == 200
    assert end(process) == 0


def test_a_killed_one_leaves_nothing_in_the_way(tmp_path: Path) -> None:
    config = {"state_dir": str(tmp_path / "state"), "uds": str(tmp_path / "s")}
    process, _ = start(config)
    process.send_signal(signal.SIGKILL)
    end(process)

    process, ready = start(config)

    assert "base_url" in ready
    assert end(process) == 0


def test_it_stays_while_somebody_holds_the_guests_lock(tmp_path: Path) -> None:
    guests = tmp_path / "guests"
    config = {"state_dir": str(tmp_path / "state"), "uds": str(tmp_path / "s"), "guests_lock": str(guests)}
    with guests.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)
        process, ready = start(config)
        assert process.stdin is not None
        process.stdin.close()
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(timeout=0.5)
        transport = httpx.HTTPTransport(uds=config["uds"])
        with httpx.Client(transport=transport, base_url=ready["base_url"]) as http:
            assert http.get("/statuses").status_code == 200

    assert process.wait(timeout=PATIENCE_S) == 0
    assert process.stdout is not None
    process.stdout.close()


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("", "config"),
        ("nonsense\n", "config"),
        ("[]\n", "config"),
        ('{"state_dir": 7}\n', "config"),
        ('{"state_dir": "STATE", "allow_private": ["everything"]}\n', "config"),
        ('{"state_dir": "/proc/nope", "uds": "STATE"}\n', "address"),
        ('{"state_dir": "STATE", "uds": "/proc/nope/s"}\n', "address"),
        ('{"state_dir": "STATE", "uds": "/tmp/' + "x" * 200 + '"}\n', "address"),
    ],
)
def test_what_it_cant_do_is_one_line_of_json(tmp_path: Path, line: str, error: str) -> None:
    said = subprocess.run(
        COMMAND,
        input=line.replace("STATE", str(tmp_path / "state")),
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_S,
    )

    assert (said.returncode, said.stderr) == (1, "")
    answer = json.loads(said.stdout)
    assert answer["error"] == error
    assert answer["message"]
