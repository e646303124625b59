"""Giving a finished file its name: whole or not at all, and over before a cancellation goes on."""

from __future__ import annotations

import asyncio
import errno
import os
import threading
from pathlib import Path

import pytest

from runner.execute.deliver import _to_its_end
from runner.execute.parts import link_new


def test_a_part_that_is_gone_leaves_nothing_under_the_results_name(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        link_new(tmp_path / "gone.part", tmp_path / "result.webp")

    assert list(tmp_path.iterdir()) == []


def test_without_hard_links_a_file_still_gets_its_name_and_takes_nobodys(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EPERM, "no hard links here")

    monkeypatch.setattr(os, "link", refuse)
    for name in ("one.part", "two.part"):
        (tmp_path / name).write_bytes(name.encode())

    link_new(tmp_path / "one.part", tmp_path / "result")
    with pytest.raises(FileExistsError):
        link_new(tmp_path / "two.part", tmp_path / "result")

    assert (tmp_path / "result").read_bytes() == b"one.part"


def test_a_cancellation_waits_until_the_thread_is_done() -> None:
    began, may_end, over = threading.Event(), threading.Event(), []

    def work() -> None:
        began.set()
        may_end.wait(60)
        over.append("done")

    async def test() -> None:
        task = asyncio.create_task(_to_its_end(work))
        await asyncio.to_thread(began.wait)
        task.cancel()
        await asyncio.sleep(0)
        assert not task.done()
        may_end.set()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(test())

    assert over == ["done"]
