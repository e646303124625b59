"""Work in a thread that nobody walks away from."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

T = TypeVar("T")


async def in_a_thread(work: Callable[[], T]) -> T:
    """What `work` returns or raises. Who is canceled goes on when the thread has ended, not before.

    `asyncio.to_thread` lets go of a thread that still writes files, and who then cleans up is too early.
    """
    working = asyncio.ensure_future(asyncio.to_thread(work))
    try:
        return await asyncio.shield(working)
    finally:
        while not working.done():
            with suppress(asyncio.CancelledError):
                await asyncio.wait([working])
        if not working.cancelled():
            working.exception()  # looked at, so that nobody is told of one that came too late
