"""Making files durable for many at once: each is answered for its own, and a cancellation waits for the thread."""

from __future__ import annotations

import asyncio
import errno
import os
import threading
from pathlib import Path

import pytest

from runner.execute import syncing
from runner.execute.syncing import MOST_LANES, Syncer


def test_a_folder_is_synced_once_for_all_who_ask_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[str] = []
    real = os.fsync

    def noted(number: int) -> None:
        synced.append(str(Path(f"/proc/self/fd/{number}").readlink()))
        real(number)

    monkeypatch.setattr(os, "fsync", noted)
    files = [tmp_path / f"{number}.txt" for number in range(40)]

    async def main() -> None:
        syncer = Syncer()
        opened = [path.open("wb") for path in files]
        await asyncio.gather(*(syncer.sync(file.fileno()) for file in opened))
        await asyncio.gather(*(syncer.sync(tmp_path) for _ in files))
        for file in opened:
            file.close()

    asyncio.run(main())

    assert sorted(name for name in synced if name != str(tmp_path)) == sorted(map(str, files))
    assert 1 <= synced.count(str(tmp_path)) <= MOST_LANES


def test_a_file_that_cannot_be_synced_is_nobody_elses_trouble(tmp_path: Path) -> None:
    async def main() -> list[BaseException | None]:
        syncer = Syncer()
        with (tmp_path / "a").open("wb") as file:
            asked = (syncer.sync(file.fileno()), syncer.sync(tmp_path / "missing"), syncer.sync(tmp_path))
            return list(await asyncio.gather(*asked, return_exceptions=True))

    fine, wrong, also_fine = asyncio.run(main())

    assert (fine, also_fine) == (None, None)
    assert isinstance(wrong, OSError)
    assert wrong.errno == errno.ENOENT


def test_a_cancellation_waits_until_nobody_is_at_work_on_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    began, may_end, over = threading.Event(), threading.Event(), []

    def slow(_: int) -> None:
        began.set()
        may_end.wait(60)
        over.append("synced")

    monkeypatch.setattr(os, "fsync", slow)

    async def main() -> None:
        with (tmp_path / "a").open("wb") as file:
            syncing = asyncio.create_task(Syncer().sync(file.fileno()))
            await asyncio.to_thread(began.wait)
            syncing.cancel()
            await asyncio.sleep(0)
            assert not syncing.done()
            may_end.set()
            with pytest.raises(asyncio.CancelledError):
                await syncing

    asyncio.run(main())

    assert over == ["synced"]


def test_who_asks_in_the_turn_in_which_the_last_lane_ends_is_served(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As delivery does: a file, and at once the folder that it is in."""
    monkeypatch.setattr(syncing, "MOST_LANES", 1)

    async def main() -> None:
        syncer = Syncer()
        with (tmp_path / "a").open("wb") as file:
            for _ in range(3):
                await syncer.sync(file.fileno())
                await syncer.sync(tmp_path)

    asyncio.run(asyncio.wait_for(main(), 60))
