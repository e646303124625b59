"""What many callers write in one transaction, gathered and written by a handful of statements.

A statement gives the interpreter's lock away and has to wait for it again while the event loop is busy: that costs
more than what it does. So one statement writes the rows of all, given as one array of JSON.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import IntEnum

import orjson

from runner.runlog.database import Database, Transaction, Value
from runner.runlog.events import (
    Abandoned,
    Created,
    Event,
    Failed,
    Finished,
    Intent,
    Refused,
    RunEnded,
    RunStarted,
    Starting,
    kind_of,
)
from runner.runlog.fold import key_of


class _Step(IntEnum):
    """What a line does to the tables that follow from the events, in the order in which `flush` does it."""

    RESERVE = 0
    MAKE = 1
    COMMIT = 2
    SETTLE = 3
    REFUSE = 4
    ABANDON = 5


@dataclass(kw_only=True, slots=True)
class Gathered:
    """Rows that wait for `flush`. Reading what they are about before that shows what was there before.

    lines   of the events, in their order; all are said at one time, `at`
    states  of keys, as text
    steps   rows by what is done with them; `latest` is the last step of each attempt
    made    ids of jobs that are among them
    """

    db: Database
    at: float = 0.0
    lines: list[tuple[Value, ...]] = field(default_factory=list)
    states: dict[str, str] = field(default_factory=dict)
    steps: dict[_Step, list[tuple[Value, ...]]] = field(default_factory=lambda: {step: [] for step in _Step})
    latest: dict[tuple[str, int], _Step] = field(default_factory=dict)
    made: set[str] = field(default_factory=set)

    def clear(self) -> None:
        self.made.clear()
        self.lines.clear()
        self.states.clear()
        self.latest.clear()
        for rows in self.steps.values():
            rows.clear()

    def line(self, tx: Transaction, at: float, *, run_id: str, fence: int | None, event: Event, body: str) -> None:
        """One more line, and what follows from it."""
        if self.lines and at != self.at:
            self.flush(tx)
        self.at = at
        self.lines.append((len(self.lines), run_id, fence, kind_of(type(event)), key_of(event), body))
        self.project(tx, at, run_id, event)

    def project(self, tx: Transaction, at: float, run_id: str, event: Event) -> None:
        """What follows from a line, all but the state of its key."""
        if isinstance(event, RunStarted):
            _run_started(tx, at, event)
        elif isinstance(event, RunEnded):
            sql = "UPDATE runs SET ended_at = ?, exit_code = ? WHERE run_id = ?"
            tx.run(sql, (at, event.exit_code, event.run_id))
        elif (found := _step_of(at, run_id, event)) is not None:
            self._step(tx, *found)
        if isinstance(event, Created):
            self.made.add(event.job_id)

    def _step(self, tx: Transaction, step: _Step, row: tuple[Value, ...]) -> None:
        attempt = (str(row[0]), int(row[1] or 0))
        if self.latest.get(attempt, -1) >= step:
            self.flush(tx)
        self.latest[attempt] = step
        self.steps[step].append(row)

    def flush(self, tx: Transaction) -> None:
        """Write what was gathered. Raises AssertionError for two jobs of one attempt."""
        lines, states, steps = self.lines, self.states, self.steps
        if lines:
            tx.run(_LINES.format(self.db.tabled), (self.at, _json(lines)))
        if states:
            tx.run(_STATES.format(self.db.tabled), (_json(list(states.items())),))
        for step, rows in steps.items():
            if rows:
                for sql in _STATEMENTS[step]:
                    tx.run(sql.format(self.db.tabled), (_json(rows),))
                if step is _Step.COMMIT:
                    _require_one_job_each(tx, self.db, rows)
        self.clear()


def _step_of(at: float, run_id: str, event: Event) -> tuple[_Step, tuple[Value, ...]] | None:
    """What a line about a key does, with the row of it; None where it does nothing but stand there."""
    match event:
        case Intent():
            row = (event.key, event.attempt, event.recipe, _utc_day(at), run_id, event.cap or 0)
            return _Step.RESERVE, row
        case Created():
            return _Step.MAKE, (event.key, event.attempt, event.job_id, run_id)
        case Starting():
            return _Step.COMMIT, (event.key, event.attempt, event.job_id, _utc_day(at), run_id)
        case Finished() | Failed():
            return _Step.SETTLE, (event.key, event.attempt, event.spent)
        case Refused():
            return _Step.REFUSE, (event.key, event.attempt)
        case Abandoned():
            return _Step.ABANDON, (event.key, event.attempt)
    return None


def _json(rows: list[tuple[Value, ...]] | list[tuple[str, str]]) -> str:
    return orjson.dumps(rows).decode()


def _utc_day(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).date().isoformat()


def _run_started(tx: Transaction, at: float, event: RunStarted) -> None:
    tx.run(
        "INSERT INTO runs (run_id, started_at, endpoint, account, command) VALUES (?, ?, ?, ?, ?) "
        "ON CONFLICT (run_id) DO NOTHING",
        (event.run_id, at, event.endpoint, event.account, event.command),
    )


def _require_one_job_each(tx: Transaction, db: Database, commits: list[tuple[Value, ...]]) -> None:
    """The second lock on the door: even if the check of each start were wrong, UNIQUE lets one job id through."""
    ((count,),) = tx.rows(_COMMITTED.format(db.tabled), (_json(commits),))
    if count != len(commits):
        raise AssertionError("two jobs for one attempt of a key")


# Statements with a place for the table that an array of JSON rows is; rows are as `project` makes them.
_LINES = """INSERT INTO events (at, run_id, fence, kind, key, body)
    SELECT ?, value->>1, CAST(value->>2 AS BIGINT), value->>3, value->>4, value->>5 FROM {}
    ORDER BY CAST(value->>0 AS INTEGER)"""
_STATES = """UPDATE keys SET state = fresh.state
    FROM (SELECT value->>0 AS key, value->>1 AS state FROM {}) AS fresh WHERE keys.key = fresh.key"""
_ATTEMPTS = "SELECT value->>0 AS key, CAST(value->>1 AS INTEGER) AS attempt"
_SAME = "{table}.key = fresh.key AND {table}.attempt = fresh.attempt"
_OF_STARTS, _OF_MONEY = _SAME.format(table="starts"), _SAME.format(table="money")
_RESERVE = """INSERT INTO money (key, attempt, recipe, day, run_id, cap, reserved)
    SELECT value->>0, CAST(value->>1 AS INTEGER), value->>2, value->>3, value->>4, CAST(value->>5 AS BIGINT), 1
    FROM {} WHERE true ON CONFLICT (key, attempt) DO UPDATE SET recipe = excluded.recipe, day = excluded.day,
    run_id = excluded.run_id, cap = excluded.cap, reserved = 1"""
_MAKE = """INSERT INTO jobs (endpoint, job_id, key)
    SELECT COALESCE((SELECT endpoint FROM runs WHERE run_id = value->>3), ''), value->>2, value->>0
    FROM {} WHERE true ON CONFLICT DO NOTHING"""
_START = """INSERT INTO starts (key, attempt, job_id)
    SELECT value->>0, CAST(value->>1 AS INTEGER), value->>2 FROM {} WHERE true ON CONFLICT (key, attempt)
    DO UPDATE SET job_id = excluded.job_id, refused = 0 WHERE starts.refused = 1 OR starts.job_id = excluded.job_id"""
# The credits count for the run and the day that start the job, whenever it was made.
_COMMIT = f"""UPDATE money SET reserved = 1, started = 1, day = fresh.day, run_id = fresh.run_id
    FROM ({_ATTEMPTS}, value->>3 AS day, value->>4 AS run_id FROM {{}}) AS fresh
    WHERE {_OF_MONEY} AND money.started = 0"""  # noqa: S608 - names of ours
_COMMITTED = f"""SELECT count(*) FROM ({_ATTEMPTS}, value->>2 AS job_id FROM {{}}) AS fresh
    JOIN starts ON {_OF_STARTS} AND starts.job_id = fresh.job_id AND starts.refused = 0"""  # noqa: S608
_SETTLE = f"""UPDATE money SET spent = fresh.spent, reserved = 0
    FROM ({_ATTEMPTS}, CAST(value->>2 AS BIGINT) AS spent FROM {{}}) AS fresh WHERE {_OF_MONEY}"""  # noqa: S608
_REFUSE_START = f"UPDATE starts SET refused = 1 FROM ({_ATTEMPTS} FROM {{}}) AS fresh WHERE {_OF_STARTS}"  # noqa: S608
_REFUSE_MONEY = f"""UPDATE money SET reserved = 0, started = 0
    FROM ({_ATTEMPTS} FROM {{}}) AS fresh WHERE {_OF_MONEY}"""  # noqa: S608
_ABANDON = f"""UPDATE money SET reserved = 0
    FROM ({_ATTEMPTS} FROM {{}}) AS fresh WHERE {_OF_MONEY} AND money.started = 0"""  # noqa: S608
_STATEMENTS: dict[_Step, tuple[str, ...]] = {
    _Step.RESERVE: (_RESERVE,),
    _Step.MAKE: (_MAKE,),
    _Step.COMMIT: (_START, _COMMIT),
    _Step.SETTLE: (_SETTLE,),
    _Step.REFUSE: (_REFUSE_START, _REFUSE_MONEY),
    _Step.ABANDON: (_ABANDON,),
}
