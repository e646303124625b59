"""The queue of started jobs: first come, first served within an account, and accounts in turn.

Whoever starts ten thousand jobs makes another account's single job wait for one of them, not for all.
"""

from __future__ import annotations

import asyncio
from collections import deque


class FairQueue:
    def __init__(self) -> None:
        self._waiting: dict[str, deque[str]] = {}  # by account, in the order of whose turn it is
        self._count = asyncio.Semaphore(0)
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def put(self, account: str, job_id: str) -> None:
        self._waiting.setdefault(account, deque()).append(job_id)
        self._length += 1
        self._count.release()

    async def get(self) -> tuple[str, str]:
        """Account and id of the job whose turn it is; its account's next one comes after everybody else's."""
        await self._count.acquire()
        account = next(iter(self._waiting))
        jobs = self._waiting.pop(account)
        job_id = jobs.popleft()
        if jobs:
            self._waiting[account] = jobs  # at the end
        self._length -= 1
        return account, job_id
