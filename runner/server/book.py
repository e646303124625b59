"""The book: how often each job was started and what it was charged, read from outside the server."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import apsw

DATABASE = "server.db"


@dataclass(frozen=True, kw_only=True, slots=True)
class BookEntry:
    """`starts` is 0 for a job that was never bought, and never more than 1."""

    job_id: str
    status: str
    starts: int
    credits: int


def read_book(state_dir: Path) -> dict[str, BookEntry]:
    """Every job of the server that keeps its state in `state_dir`; the server may be running."""
    connection = apsw.Connection(str(state_dir / DATABASE), flags=apsw.SQLITE_OPEN_READWRITE)
    try:
        connection.set_busy_timeout(10_000)
        rows = connection.execute(
            "select jobs.id, jobs.status, coalesce(sum(ledger.kind = 'start'), 0), "
            "coalesce(sum(ledger.credits), 0) from jobs left join ledger on ledger.job_id = jobs.id "
            "group by jobs.id order by jobs.seq"
        )
        return {
            str(job_id): BookEntry(job_id=str(job_id), status=str(status), starts=starts, credits=spent)
            for job_id, status, starts, spent in rows
            if isinstance(starts, int) and isinstance(spent, int)
        }
    finally:
        connection.close()
