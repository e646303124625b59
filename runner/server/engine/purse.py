"""What an account may still spend and run at the same time, by its contract.

Credits that jobs have spent are in the database once they end. What jobs under way will cost is held here, so
that two of them don't spend the same credit; a credit a conversion is held before it begins, and one that takes
longer than it paid for is stopped by its allowance.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus

from runner.server.answers import ApiError
from runner.server.config import Contract
from runner.server.jobs.lifecycle import ENDED, RUNNING
from runner.server.jobs.record import Job
from runner.server.store.database import Database
from runner.server.store.jobs import JobStore
from runner.server.store.usage import HOUR_S, credits_since

FREE_CREDITS_A_DAY = 30

_DAY_HOURS = 24
_RETRY_AFTER_S = 1


class Purse:
    """Listens to `jobs` for as long as the server lives."""

    def __init__(self, database: Database, jobs: JobStore, contract: Contract) -> None:
        self._db = database
        self._jobs = jobs
        self._contract = contract
        self._held: dict[str, tuple[str, int]] = {}
        self._running: dict[str, set[str]] = {}
        self._starting: dict[str, int] = {}
        self._opened: set[str] = set()
        for job in jobs.busy():
            self._watch(None, job)
        jobs.listeners.append(self._watch)

    @property
    def is_counted(self) -> bool:
        """Whether the contract has an end of credits."""
        return self._contract.kind in ("free", "prepaid")

    async def open(self, account: str) -> None:
        """Begin the account's contract, where it hasn't begun: what was used before is not charged to it."""
        if account in self._opened:
            return
        now = time.time()
        used_before = credits_since(self._db, account, int(now // HOUR_S))
        values = (account, self._contract.kind, now, used_before)
        await self._db.write(
            lambda db: db.execute("insert or ignore into contracts values (?, ?, ?, ?)", values).fetchall()
        )
        self._opened.add(account)

    def since(self, account: str) -> float:
        """When the account's contract began."""
        return self._beginning(account)[0]

    def left(self, account: str, *, but_for: str = "") -> int | None:
        """Credits that are neither spent nor held by jobs other than `but_for`; None where there is no end."""
        if not self.is_counted:
            return None
        held = {
            job_id: count for job_id, (owner, count) in self._held.items() if owner == account and job_id != but_for
        }
        with self._db.snapshot():
            remaining = self.remaining(account)
            charged = self._jobs.ended(held)  # in the database, and not announced to us yet: don't count it twice
        if remaining is None:
            return None
        return max(0, remaining - sum(count for job_id, count in held.items() if job_id not in charged))

    def remaining(self, account: str) -> int | None:
        """Credits that aren't spent, as the contract shows them."""
        if not self.is_counted:
            return None
        if self._contract.kind == "free":
            today = int(time.time() // HOUR_S) // _DAY_HOURS * _DAY_HOURS
            return max(0, FREE_CREDITS_A_DAY - credits_since(self._db, account, today))
        since, used_before = self._beginning(account)
        used = credits_since(self._db, account, int(since // HOUR_S)) - used_before
        return max(0, self._contract.credits - used)

    def hold(self, job: Job, credits_: int) -> None:
        if self.is_counted:
            self._held[job.id] = (job.account, credits_)

    def require_credit(self, account: str) -> None:
        """Raises 402 when nothing is left to spend."""
        if self.left(account) == 0:
            until = "until 00:00 UTC" if self._contract.kind == "free" else "in this contract"
            message = f"No credits are left {until}; nothing was started and nothing was charged"
            raise ApiError(HTTPStatus.PAYMENT_REQUIRED, message)

    @contextmanager
    def place(self, account: str) -> Iterator[None]:
        """A place for one more running job while it is being started; raises 429 where there is none."""
        most = self._contract.concurrency
        if most and self._under_way(account) >= most:
            message = f"The contract allows {most} jobs at the same time; try again when one of them has ended"
            raise ApiError(HTTPStatus.TOO_MANY_REQUESTS, message, headers=self.headers(account, retry=True))
        self._starting[account] = self._starting.get(account, 0) + 1
        try:
            yield
        finally:
            self._starting[account] -= 1

    def headers(self, account: str, *, retry: bool = False) -> dict[str, str]:
        """How many more jobs may run, in headers; none where there is no limit."""
        most = self._contract.concurrency
        if not most:
            return {}
        free = max(0, most - self._under_way(account))
        headers = {"RateLimit-Limit": str(most), "RateLimit-Remaining": str(free), "RateLimit-Reset": "1"}
        return {**headers, "Retry-After": str(_RETRY_AFTER_S)} if retry else headers

    def _under_way(self, account: str) -> int:
        return len(self._running.get(account, ())) + self._starting.get(account, 0)

    def _beginning(self, account: str) -> tuple[float, int]:
        row = self._db.row(
            "select created, used_before from contracts where account = ? and kind = ?", (account, self._contract.kind)
        )
        if row and isinstance(row[0], float) and isinstance(row[1], int):
            return row[0], row[1]
        return time.time(), 0

    def _watch(self, _: Job | None, new: Job) -> None:
        if new.phase in RUNNING:
            self._running.setdefault(new.account, set()).add(new.id)
        elif new.phase in ENDED:
            self._running.get(new.account, set()).discard(new.id)
            self._held.pop(new.id, None)
