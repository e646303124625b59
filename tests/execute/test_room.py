"""Who waits for others of the run, and who must not."""

from __future__ import annotations

import asyncio

from runner.execute.room import Room


def test_the_last_who_is_at_work_is_told_that_there_is_nobody_to_wait_for() -> None:
    async def alone() -> bool:
        room = Room()
        async with room.busy():
            return await room.wait()

    assert asyncio.run(alone()) is False


def test_who_was_called_counts_as_at_work_before_it_comes_round() -> None:
    """What it is about to do may make room, so another who asks meanwhile has somebody to wait for."""

    async def three() -> list[bool]:
        room, told = Room(), list[bool]()

        async def first() -> None:
            async with room.busy():
                told.append(await room.wait())

        async with room.busy():
            async with room.busy():  # a second, which ends while the first waits
                waiting = asyncio.create_task(first())
                await asyncio.sleep(0)
            async with asyncio.timeout(5):
                told.append(await room.wait())
            await waiting
        return told

    assert asyncio.run(three()) == [True, True]


def test_a_waiter_who_is_cancelled_is_at_work_again_until_it_has_ended() -> None:
    async def cancelled() -> list[bool]:
        room, told = Room(), list[bool]()

        async def waiter() -> None:
            async with room.busy():
                await room.wait()

        async with room.busy():
            task = asyncio.create_task(waiter())
            await asyncio.sleep(0)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            told.append(await room.wait())
        return told

    assert asyncio.run(cancelled()) == [False]
