"""An answer that a thread works for: kept, broken, and waited for although nobody wants it any more."""

from __future__ import annotations

import asyncio

import pytest

from runner.runlog import Pledge


def test_it_answers_what_it_was_kept_with() -> None:
    async def main() -> str:
        pledge: Pledge[str] = Pledge()
        pledge.loop.call_soon(pledge.keep, "done")
        return await pledge.wait()

    assert asyncio.run(main()) == "done"


def test_what_went_wrong_is_raised() -> None:
    async def main() -> None:
        pledge: Pledge[None] = Pledge()
        pledge.loop.call_soon(pledge.fail, OSError("full"))
        await pledge.wait()

    with pytest.raises(OSError, match="full"):
        asyncio.run(main())


@pytest.mark.parametrize("error", [None, OSError("full")])
def test_a_cancellation_waits_for_the_end_however_it_ends(error: OSError | None) -> None:
    async def main() -> list[str]:
        seen: list[str] = []
        pledge: Pledge[None] = Pledge()
        waiting = asyncio.create_task(pledge.wait())
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.sleep(0.01)
        seen.append("over" if waiting.done() else "waits")
        if error is None:
            pledge.keep(None)
        else:
            pledge.fail(error)
        with pytest.raises(asyncio.CancelledError):
            await waiting
        return seen

    assert asyncio.run(main()) == ["waits"]


def test_a_second_cancellation_does_not_wait() -> None:
    async def main() -> None:
        pledge: Pledge[None] = Pledge()
        waiting = asyncio.create_task(pledge.wait())
        for _ in range(2):
            await asyncio.sleep(0)
            waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(waiting, 5)
        pledge.keep(None)  # nobody minds

    asyncio.run(main())


def test_an_answer_that_comes_with_the_cancellation_ends_it_at_once() -> None:
    async def main() -> None:
        pledge: Pledge[str] = Pledge()
        waiting = asyncio.create_task(pledge.wait())
        await asyncio.sleep(0)
        waiting.cancel()
        pledge.keep("done")
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(waiting, 5)

    asyncio.run(main())


def test_what_is_given_up_is_cancelled() -> None:
    async def main() -> None:
        pledge: Pledge[None] = Pledge()
        pledge.loop.call_soon(pledge.give_up)
        await pledge.wait()

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(main())
