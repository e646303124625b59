"""The local server that a run starts for itself: gone afterwards, however the run went, and its work is not lost."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from runner.server.book import read_book
from tests.execute.island import LOCKED
from tests.execute.lab import gone, wait_for
from tests.execute.scenarios import Scene, many

ROOT = Path(__file__).resolve().parents[2]


def start(scene: Scene) -> subprocess.Popen[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("RUNNER_", "API2"))}
    return subprocess.Popen(
        [sys.executable, "-m", "runner", "run", str(scene.recipe), "--jobs", "1"],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def server_pid(scene: Scene) -> int:
    """The process that a run started, once it answers."""
    folder = scene.folder / ".runner" / "server"
    wait_for(folder / "address.json")
    return int((folder / "lock").read_text())


@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -signal.SIGKILL)],
    ids=["SIGINT", "SIGTERM", "SIGKILL"],
)
def test_the_server_goes_with_its_run_and_the_next_run_finishes(number: int, code: int, tmp_path: Path) -> None:
    scene = many(tmp_path, 800_000, "")

    run = start(scene)
    server = server_pid(scene)
    run.send_signal(number)
    _, said = run.communicate(timeout=60)
    left = gone(server)
    again = start(scene)
    _, said_again = again.communicate(timeout=60)

    assert run.returncode == code, said
    assert "Traceback" not in said + said_again
    assert left
    assert again.returncode == 0, said_again
    assert scene.wrong_files() == []
    starts = [entry.starts for entry in read_book(scene.folder / ".runner" / "server").values()]
    assert sum(starts) == scene.attempts
    assert max(starts) == 1


def test_two_runs_share_one_server_and_it_outlives_the_one_that_started_it(tmp_path: Path) -> None:
    scene = many(tmp_path, 801_000, "")

    first = start(scene)
    server = server_pid(scene)
    second = start(scene)
    _, said_second = second.communicate(timeout=60)
    _, said_first = first.communicate(timeout=60)

    assert {first.returncode, second.returncode} <= {0, LOCKED}, said_first + said_second
    assert gone(server)
    assert scene.wrong_files() == []
    assert sum(entry.starts for entry in read_book(scene.folder / ".runner" / "server").values()) == scene.attempts
