"""Reading the log back: its runs, its lines, the jobs that were made and never started."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from runner.runlog.database import Database, Transaction, Value
from runner.runlog.events import (
    EVENT_KINDS,
    Abandoned,
    Created,
    Event,
    Failed,
    Finished,
    Refused,
    Starting,
    StoredEvent,
    kind_of,
    read_event,
)
from runner.runlog.ledger import stored_event

_AT_ONCE = 1000
_RUN_COLUMNS = "run_id, started_at, ended_at, endpoint, account, command, exit_code"


@dataclass(frozen=True, kw_only=True, slots=True)
class RunSummary:
    """One run; `counts` says how many lines of each kind about keys it wrote ("started": 3).

    spent  credits of the jobs whose end this run saw
    """

    run_id: str
    started_at: float
    ended_at: float | None
    endpoint: str
    account: str
    command: str
    exit_code: int | None
    spent: int = 0
    counts: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Leftover:
    """A job of ours that was made and neither started nor deleted, as far as this log knows."""

    job_id: str
    key: str
    attempt: int
    endpoint: str
    account: str
    at: float


class StartLine(NamedTuple):
    seq: int
    run_id: str
    key: str


def last_seq(tx: Transaction) -> int:
    return int(tx.rows("SELECT COALESCE(MAX(seq), 0) FROM events")[0][0])


def starts_after(tx: Transaction, seq: int) -> list[StartLine]:
    sql = "SELECT seq, run_id, key FROM events WHERE seq > ? AND kind = ? ORDER BY seq"
    return [StartLine(*row) for row in tx.rows(sql, (seq, kind_of(Starting)))]


def runs(tx: Transaction, *, limit: int, before: str | None) -> list[RunSummary]:
    """The newest runs first; `before` is a run id, exclusive."""
    where, values = ("WHERE run_id < ?", [before]) if before else ("", [])
    sql = f"SELECT {_RUN_COLUMNS} FROM runs {where} ORDER BY run_id DESC LIMIT ?"  # noqa: S608 - names of ours
    return [_summary(tx, row) for row in tx.rows(sql, [*values, limit])]


def find_runs(tx: Transaction, prefix: str) -> list[RunSummary]:
    """The runs whose id begins with `prefix`, newest first."""
    sql = f"SELECT {_RUN_COLUMNS} FROM runs WHERE substr(run_id, 1, ?) = ? ORDER BY run_id DESC"  # noqa: S608
    return [_summary(tx, row) for row in tx.rows(sql, (len(prefix), prefix))]


def _summary(tx: Transaction, row: tuple[str, float, float | None, str, str, str, int | None]) -> RunSummary:
    run_id, started_at, ended_at, endpoint, account, command, exit_code = row
    sql = "SELECT kind, COUNT(*) FROM events WHERE run_id = ? AND key IS NOT NULL GROUP BY kind"
    ends = tx.rows("SELECT kind, body FROM events WHERE run_id = ? AND kind IN ('finished', 'failed')", (run_id,))
    return RunSummary(
        run_id=run_id,
        started_at=started_at,
        ended_at=ended_at,
        endpoint=endpoint,
        account=account,
        command=command,
        exit_code=exit_code,
        spent=sum(_spent(read_event(kind, body)) for kind, body in ends),
        counts=dict(tx.rows(sql, (run_id,))),
    )


def _spent(event: Event) -> int:
    return event.spent if isinstance(event, Finished | Failed) else 0


def events(
    db: Database, *, run_id: str | None, key: str | None, kinds: frozenset[str] | None, after_seq: int
) -> Iterator[StoredEvent]:
    """Lines in their order, a page at a time; what is written meanwhile is seen as well. Raises LogNewer for kinds that
    this runner doesn't know, whatever is asked for: they may say more of it."""
    wanted: list[tuple[str, Value]] = [("run_id", run_id), ("key", key)]
    chosen = [(column, value) for column, value in wanted if value is not None]
    where = "".join(f" AND {column} = ?" for column, _ in chosen)
    sql = f"SELECT seq, at, run_id, fence, kind, body FROM events WHERE seq > ?{where} ORDER BY seq LIMIT ?"  # noqa: S608
    while True:
        with db.reading() as tx:
            rows = tx.rows(sql, (after_seq, *(value for _, value in chosen), _AT_ONCE))
        for seq, at, run, fence, kind, body in rows:
            if kinds is None or kind in kinds or kind not in EVENT_KINDS:
                yield stored_event((seq, at, run, fence, kind, body))
        if len(rows) < _AT_ONCE:
            return
        after_seq = rows[-1][0]


def unstarted(db: Database) -> list[Leftover]:
    """Every job that was made, and neither started nor deleted, oldest first."""
    with db.reading() as tx:
        origins = {run: (endpoint, account) for run, endpoint, account in tx.rows(_ORIGINS)}
    left: dict[tuple[str, str], Leftover] = {}
    committed: dict[tuple[str, int], Leftover] = {}
    for stored in events(db, run_id=None, key=None, kinds=_LEFTOVER_KINDS, after_seq=0):
        event = stored.event
        match event:
            case Created():
                endpoint, account = origins.get(stored.run_id, ("", ""))
                left[event.key, event.job_id] = Leftover(
                    job_id=event.job_id,
                    key=event.key,
                    attempt=event.attempt,
                    endpoint=endpoint,
                    account=account,
                    at=stored.at,
                )
            case Abandoned():
                left.pop((event.key, event.job_id), None)
            case Starting() if (event.key, event.job_id) in left:
                committed[event.key, event.attempt] = left.pop((event.key, event.job_id))
            case Refused() if (event.key, event.attempt) in committed:
                refused = committed.pop((event.key, event.attempt))
                left[refused.key, refused.job_id] = refused
    return sorted(left.values(), key=lambda each: each.at)


_ORIGINS = "SELECT run_id, endpoint, account FROM runs"
_LEFTOVER_KINDS = frozenset(kind_of(each) for each in (Created, Abandoned, Starting, Refused))
