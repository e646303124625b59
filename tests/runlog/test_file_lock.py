"""While a log is made anew nobody opens it; whoever waits gets the new one."""

from __future__ import annotations

import asyncio
import signal
import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest

from runner.runlog import LogBusy, Owner, open_log
from runner.runlog.file_lock import FileLock, alone
from runner.runlog.salvage import salvage
from tests.runlog.conftest import Others, wait_until
from tests.runlog.other_process import intent

NOW = datetime(2026, 11, 23, tzinfo=UTC)
MANY = [f"m{number}" for number in range(4000)]


def fill(place: Path) -> None:
    async def write() -> None:
        fences = await log.claim(MANY, Owner.this_process())
        await asyncio.gather(*(log.append(intent(key), run_id="run", fence=fences[key]) for key in MANY))

    with open_log(place) as log:
        asyncio.run(write())


def test_a_run_that_begins_while_the_log_is_rebuilt_writes_into_the_new_one(tmp_path: Path, others: Others) -> None:
    place = tmp_path / "runs.db"
    fill(place)
    rebuilding = threading.Thread(target=salvage, args=(place,), kwargs={"now": NOW})
    rebuilding.start()
    wait_until(lambda: bool(list(tmp_path.glob("*salvage-*/new.db"))))

    run = others("hold", str(place), "k", "30")

    assert run.hear() == "held"
    assert not rebuilding.is_alive()
    run.tell()
    assert run.hear() == "appended"
    run.send(signal.SIGKILL)
    run.process.wait(30)
    with open_log(place) as log:
        assert set(log.states()) == {*MANY, "k"}
        assert log.check() == ()


def test_who_looks_makes_no_lock_file_and_takes_part_where_there_is_one(tmp_path: Path) -> None:
    place = tmp_path / "runs.db"
    with open_log(place, read_only=True):
        assert list(tmp_path.iterdir()) == []
    open_log(place).close()

    with open_log(place, read_only=True), pytest.raises(BlockingIOError), alone(place):
        pass


def test_a_log_that_is_made_anew_for_too_long_is_told_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = tmp_path / "runs.db"
    open_log(place).close()
    monkeypatch.setattr("runner.runlog.sqlite.BUSY_TIMEOUT_MS", 50)

    with alone(place), pytest.raises(LogBusy, match=r"runs\.db: `runner doctor --rebuild-log` is making"):
        open_log(place)


def test_a_lock_is_free_again_once_it_is_closed(tmp_path: Path) -> None:
    place = tmp_path / "runs.db"
    locks = [FileLock(place, make=True, within_s=0) for _ in range(2)]

    for lock in locks:
        with pytest.raises(BlockingIOError), alone(place):
            pass
        lock.close()

    with alone(place):
        pass
