"""A sound log takes the place of a damaged one: a kill at any step leaves the one or the other, and never neither."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from runner.runlog import Created, Intent, LogCorrupt, Owner, Staged, Started, Starting, open_log
from runner.runlog.exchange import keep
from runner.runlog.salvage import salvage
from runner.state import KeyState, Stage

NOW = datetime(2026, 11, 23, tzinfo=UTC)
KEYS = [f"k{number:02}" for number in range(40)]
# Rebuilds a log, and is killed right before the step with the number that it is given.
REBUILD = """
import os, signal, sys
from datetime import UTC, datetime
from pathlib import Path
from runner.runlog.salvage import salvage

place, left = Path(sys.argv[1]), int(sys.argv[2])

def count(event, arguments):
    global left
    if event in ("os.link", "os.rename", "os.remove", "os.rmdir"):
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)

sys.addaudithook(count)
salvage(place, now=datetime(2026, 11, 23, tzinfo=UTC))
"""
# Writes the second half of the keys, and is killed with the log open: what it wrote lies in the write-ahead log.
WRITE = """
import os, signal, sys
from pathlib import Path
from tests.runlog.test_exchange import KEYS, buy

buy(Path(sys.argv[1]), KEYS[20:], last=lambda: os.kill(os.getpid(), signal.SIGKILL))
"""


def buy(place: Path, keys: list[str], last: object = None) -> None:
    async def write() -> None:
        fences = await log.claim(keys, Owner.this_process())
        for key in keys:
            await log.append(
                Intent(key=key, attempt=1, addresses=(key,), payload={"x": "y" * 300}, cap=1, recipe="r", account="a"),
                Created(key=key, attempt=1, job_id=f"job-of-{key}"),
                Staged(key=key, attempt=1, uploads=()),
                Starting(key=key, attempt=1, job_id=f"job-of-{key}"),
                Started(key=key, attempt=1, job_id=f"job-of-{key}"),
                run_id="run",
                fence=fences[key],
            )
        if callable(last):
            last()

    with open_log(place) as log:
        asyncio.run(write())


@pytest.fixture(scope="module")
def damaged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a log of which one page is damaged and half of the lines are in the write-ahead log."""
    folder = tmp_path_factory.mktemp("damaged")
    place = folder / "runs.db"
    buy(place, KEYS[:20])
    subprocess.run([sys.executable, "-c", WRITE, place], cwd=Path.cwd(), check=False)
    assert Path(f"{place}-wal").stat().st_size > 0
    whole = place.read_bytes()
    page = next(number for number in range(5, 99) if b'"stage"' in whole[number * 4096 : (number + 1) * 4096])
    place.write_bytes(whole[: page * 4096] + b"\xaa" * 4096 + whole[(page + 1) * 4096 :])
    return folder


def known(place: Path) -> dict[str, KeyState]:
    with open_log(place) as log:
        return log.states()


def test_a_kill_at_any_step_forgets_nothing(damaged: Path, tmp_path: Path) -> None:
    for step in range(99):
        place = tmp_path / str(step) / "runs.db"
        shutil.copytree(damaged, place.parent)

        ended = subprocess.run([sys.executable, "-c", REBUILD, place, str(step)], check=False)

        try:
            states = known(place)
        except LogCorrupt:
            salvage(place, now=NOW)
            states = known(place)
        assert {key for key, state in states.items() if state.stage in (Stage.STARTING, Stage.STARTED)} == set(KEYS)
        if ended.returncode == 0:
            break
    assert step > 5
    assert not list(place.parent.glob("*salvage*"))


def test_what_a_killed_rebuilding_left_goes_with_the_next_one(damaged: Path, tmp_path: Path) -> None:
    place = tmp_path / "state" / "runs.db"
    shutil.copytree(damaged, place.parent)
    subprocess.run([sys.executable, "-c", REBUILD, place, "1"], check=False)
    assert list(place.parent.glob("*salvage*"))

    told = salvage(place, now=NOW)

    assert not list(place.parent.glob("*salvage*"))
    assert told.backup.read_bytes() == (damaged / "runs.db").read_bytes()
    assert Path(f"{told.backup}-wal").read_bytes() == (damaged / "runs.db-wal").read_bytes()


def test_an_earlier_backup_is_never_replaced(damaged: Path, tmp_path: Path) -> None:
    place = tmp_path / "runs.db"
    place.write_bytes(b"one")
    first = keep(place, named="runs.db.damaged")
    place.unlink()
    place.write_bytes(b"two")

    second = keep(place, named="runs.db.damaged")

    assert (first.read_bytes(), second.read_bytes()) == (b"one", b"two")
