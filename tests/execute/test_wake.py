"""A callback wakes a run: by a file that is written by one process and looked at by others."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from runner.execute.wake import MOST_BYTES, WakeFile, say_ended, waking


def test_what_is_said_is_heard_once_by_everybody_who_listened_before(tmp_path: Path) -> None:
    path = tmp_path / "new" / "wake"
    early = WakeFile(path)
    say_ended(path, "a")
    late = WakeFile(path)
    say_ended(path, "b")

    assert [early.news(), early.news(), late.news()] == [["a", "b"], [], ["b"]]


def test_half_a_line_is_left_until_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "wake"
    file = WakeFile(path)
    path.write_text("one\ntw")
    first = file.news()
    with path.open("a") as appending:
        appending.write("o\n")

    assert [first, file.news()] == [["one"], ["two"]]


def test_the_file_stays_small_and_nothing_said_after_it_was_replaced_is_missed(tmp_path: Path) -> None:
    path = tmp_path / "wake"
    file = WakeFile(path)
    heard = []
    for number in range(4000):
        say_ended(path, f"job-{number:032}")
        heard += file.news()

    assert heard == [f"job-{number:032}" for number in range(4000)]
    assert path.stat().st_size < MOST_BYTES + 100


@given(st.lists(st.binary(max_size=40), max_size=8))
def test_no_content_of_the_file_is_trouble(parts: list[bytes]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "wake"
        file = WakeFile(path)
        for part in parts:
            with path.open("ab") as appending:
                appending.write(part)
            assert all(isinstance(one, str) for one in file.news())


def test_who_waits_is_woken(tmp_path: Path) -> None:
    async def test() -> str:
        woken: asyncio.Queue[str] = asyncio.Queue()
        async with waking(tmp_path / "wake", woken.put_nowait, sleep=lambda _: asyncio.sleep(0.001)):
            say_ended(tmp_path / "wake", "job-1")
            return await asyncio.wait_for(woken.get(), 60)

    assert asyncio.run(test()) == "job-1"
