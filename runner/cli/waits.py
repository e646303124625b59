"""Waits that whoever watches a run should know of: a server may ask for minutes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

WORTH_TELLING_S = 30.0

Sleep = Callable[[float], Awaitable[None]]


def telling(sleep: Sleep, *, say: Callable[[str], None], clock: Callable[[], float]) -> Sleep:
    """`sleep` that says how long it takes where that is long; of waits side by side only what goes on for longest."""
    told_until = clock()

    async def told(seconds: float) -> None:
        nonlocal told_until
        until = clock() + seconds
        if seconds >= WORTH_TELLING_S and until > told_until + WORTH_TELLING_S / 2:
            told_until = until
            say(f"the server asks to be left alone; the next try comes in {seconds:.0f} s")
        await sleep(seconds)

    return told
