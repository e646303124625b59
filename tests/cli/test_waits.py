"""What is said of long waits."""

from __future__ import annotations

import asyncio

from runner.cli.waits import telling


def test_long_waits_are_told_and_those_beside_them_are_not() -> None:
    said: list[str] = []
    slept: list[float] = []
    now = 0.0

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    async def main() -> None:
        nonlocal now
        wait = telling(sleep, say=said.append, clock=lambda: now)
        await asyncio.gather(*(wait(seconds) for seconds in (2.0, 60.0, 61.0, 59.0)))
        now = 60.0
        await wait(300.0)

    asyncio.run(main())

    assert slept == [2.0, 60.0, 61.0, 59.0, 300.0]
    assert [words.rpartition(" in ")[2] for words in said] == ["60 s", "300 s"]
