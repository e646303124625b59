"""What accounts used, hour by hour: the ground of statistics and of what a contract still allows.

Written in the transaction that writes the job, so that nothing is counted twice and nothing is forgotten.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import apsw

from runner.server.jobs.lifecycle import ENDED, RUNNING, STAGED, Phase
from runner.server.jobs.record import Job
from runner.server.store.database import Database, Value

HOUR_S = 3600
_COLUMNS = ("started", "completed", "failed", "credits", "input_bytes", "output_bytes")


@dataclass(frozen=True, kw_only=True, slots=True)
class Usage:
    """One hour, counted from 1970 in UTC."""

    hour: int
    started: int
    completed: int
    failed: int
    credits: int
    input_bytes: int
    output_bytes: int


def note_usage(db: apsw.Connection, old: Job | None, new: Job, now: float) -> None:
    """Count a start, and an end with what it moved and cost."""
    hour = int(now // HOUR_S)
    if new.phase in RUNNING and (old is None or old.phase in STAGED):
        _add(db, new, hour, (1, 0, 0, 0, 0, 0))
    if new.phase in ENDED and old is not None and old.phase in RUNNING:
        completed, failed = new.phase is Phase.COMPLETED, new.phase is Phase.FAILED
        moved = (sum(one.size for one in new.inputs), sum(one.size for one in new.outputs))
        _add(db, new, hour, (0, int(completed), int(failed), new.spent, *moved))


def usage_of(database: Database, account: str, key_id: str | None, first_hour: int, end_hour: int) -> list[Usage]:
    """Hours from `first_hour` up to but not `end_hour` in which something happened; of one key or of all."""
    sums = ", ".join(f"sum({column})" for column in _COLUMNS)
    rows = database.rows(
        f"select hour, {sums} from usage where account = ? and hour >= ? and hour < ? "  # noqa: S608  # literals only
        "and (? is null or key_id = ?) group by hour order by hour",
        (account, first_hour, end_hour, key_id, key_id),
    )
    return [_usage(row) for row in rows]


def credits_since(database: Database, account: str, first_hour: int) -> int:
    row = database.row("select sum(credits) from usage where account = ? and hour >= ?", (account, first_hour))
    return _int(row[0]) if row else 0


def _add(db: apsw.Connection, job: Job, hour: int, counts: tuple[int, ...]) -> None:
    added = ", ".join(f"{column} = {column} + excluded.{column}" for column in _COLUMNS)
    db.execute(
        f"insert into usage (account, key_id, hour, {', '.join(_COLUMNS)}) values (?, ?, ?, ?, ?, ?, ?, ?, ?) "  # noqa: S608
        f"on conflict do update set {added}",
        (job.account, job.key_id, hour, *counts),
    )


def _usage(row: Sequence[Value]) -> Usage:
    hour, started, completed, failed, credits_, input_bytes, output_bytes = map(_int, row)
    return Usage(
        hour=hour,
        started=started,
        completed=completed,
        failed=failed,
        credits=credits_,
        input_bytes=input_bytes,
        output_bytes=output_bytes,
    )


def _int(value: Value) -> int:
    return value if isinstance(value, int) else 0
