"""A log that lost its end says how much that was, and that what it doesn't know any more is bought again."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence

from runner.runlog import Created, Intent, Owner, RunLog, open_log
from tests.acceptance.command_line import Desk

KEYS = [f"k{number:02}" for number in range(60)]


async def write_lines(log: RunLog, keys: Sequence[str]) -> None:
    fences = await log.claim(keys, Owner.this_process())
    for key in keys:
        intent = Intent(key=key, attempt=1, addresses=(key,), payload={"x": "y" * 300}, cap=1, recipe="r", account="a")
        await log.append(intent, Created(key=key, attempt=1, job_id=key), run_id="run", fence=fences[key])


def test_the_end_of_a_log_that_was_cut_off_is_told_once(desk: Desk) -> None:
    desk.write("runner.toml", "")
    place = desk.folder / ".runner" / "runs.db"
    with open_log(place) as log:
        asyncio.run(write_lines(log, KEYS))
    data = place.read_bytes()
    place.write_bytes(data[: len(data) // 2 // 4096 * 4096])

    rebuilt, again = desk.runner("doctor", "--rebuild-log"), desk.runner("doctor", "--rebuild-log")

    found = re.search(r"(\d+) lines could be read, (\d+) are lost;", rebuilt.err)
    assert found is not None
    assert (int(found[1]) + int(found[2]), int(found[2]) > 0) == (2 * len(KEYS), True)
    assert "is new to the next run: see `runner plan` before it" in rebuilt.err
    assert f"{found[1]} lines could be read, 0 are lost;" in again.err
    assert "is new to the next run" not in again.err
