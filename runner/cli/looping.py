"""An event loop for one piece of work."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


def run_async(
    work: Coroutine[Any, Any, T], *, loop_factory: Callable[[], asyncio.AbstractEventLoop] | None = None
) -> T:
    """`asyncio.run`, with the answer kept out of its task.

    When asyncio gives the signal handlers back it makes the signal module spell out the task with its result
    (enum's ValueError holds its repr): for a plan of many jobs that takes longer than the plan.
    """
    answers: list[T] = []

    async def kept() -> None:
        answers.append(await work)

    with asyncio.Runner(loop_factory=loop_factory) as runner:
        runner.run(kept())
    return answers[0]
