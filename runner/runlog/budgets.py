"""Budgets: whether what a job may cost still fits, exactly, whoever else spends from the same one.

What is booked on a budget is read once. After that only rows of keys are read about which lines came since, whoever
wrote them: no row changes without a line about its key, and lines are numbered in the order in which they become
visible. Whether somebody still holds the lease on unstarted work no line tells: that is asked whenever it matters.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple

from runner.runlog.database import Database, Transaction
from runner.runlog.events import Event, Intent, RunStarted, Starting, kind_of
from runner.runlog.faults import BudgetExceeded
from runner.runlog.money import HELD, BudgetGuard, utc_day


class Budgets:
    """Asked within a writing transaction, once the lines before are written; whoever undoes it must `forget`."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._books: dict[tuple[str, str], _Book] = {}  # the latest of each recipe and kind of limit

    def forget(self) -> None:
        self._books.clear()

    def check(self, tx: Transaction, at: float, events: Sequence[Event], guard: BudgetGuard) -> None:
        """Raise BudgetExceeded if what `events` reserve doesn't fit. Writes nothing."""
        asking = next((event for event in events if isinstance(event, Intent | Starting)), None)
        if asking is None:
            return
        own = next((row for row in _rows_of(tx, self._db, [asking.key]) if row.attempt == asking.attempt), None)
        if isinstance(asking, Starting) and own is not None and own.started:
            return  # the credits were committed by a start before: saying it again asks for nothing
        asked = _asked(asking, own, guard)
        endpoint = _endpoint_of(tx, guard.run_id)
        if guard.run_limit is not None:
            scope = _Scope("run", guard.recipe, guard.run_id, endpoint)
            self._check_limit(tx, scope, guard.run_limit, asked, own)
        if guard.day_limit is not None:
            scope = _Scope("day", guard.recipe, utc_day(at).isoformat(), endpoint)
            self._check_limit(tx, scope, guard.day_limit, asked, own)

    def _check_limit(self, tx: Transaction, scope: _Scope, limit: int, asked: int, own: _Row | None) -> None:
        book = self._book(tx, scope)
        mine = _NOTHING if own is None else scope.counts(own)
        spent, started, unstarted = book.booked.without(mine)
        if spent + started + unstarted + asked <= limit:
            return  # even if somebody is at all that is unstarted
        held = book.held(tx, self._db)
        reserved = started + sum(held.values()) - (mine.unstarted if own is not None and own.key in held else 0)
        if spent + reserved + asked > limit:
            raise BudgetExceeded(
                recipe=scope.recipe, which=scope.which, limit=limit, spent=spent, reserved=reserved, asked=asked
            )

    def _book(self, tx: Transaction, scope: _Scope) -> _Book:
        book = self._books.get((scope.recipe, scope.which))
        if book is None or book.scope != scope:
            book = self._books[scope.recipe, scope.which] = _Book(scope)
        book.catch_up(tx, self._db)
        return book


class _Counts(NamedTuple):
    """Credits: `unstarted` ones are reserved as long as somebody holds the lease under which they were."""

    spent: int
    started: int
    unstarted: int

    def plus(self, other: _Counts) -> _Counts:
        return _Counts(self.spent + other.spent, self.started + other.started, self.unstarted + other.unstarted)

    def without(self, other: _Counts) -> _Counts:
        return _Counts(self.spent - other.spent, self.started - other.started, self.unstarted - other.unstarted)


_NOTHING = _Counts(0, 0, 0)


class _Row(NamedTuple):
    """What an attempt is booked with."""

    key: str
    attempt: int
    recipe: str
    day: str
    run_id: str
    endpoint: str
    cap: int
    reserved: int
    started: int
    spent: int | None


_ROWS = """SELECT money.key, money.attempt, money.recipe, money.day, money.run_id, COALESCE(runs.endpoint, ''),
    money.cap, money.reserved, money.started, money.spent
    FROM money LEFT JOIN runs ON runs.run_id = money.run_id WHERE"""


class _Scope(NamedTuple):
    """What a limit is about: the run or day that `value` names, of one recipe at one endpoint."""

    which: Literal["run", "day"]
    recipe: str
    value: str
    endpoint: str

    def rows(self, tx: Transaction) -> list[_Row]:
        column = "run_id" if self.which == "run" else "day"
        return [
            _Row(*row) for row in tx.rows(f"{_ROWS} money.recipe = ? AND money.{column} = ?", (self.recipe, self.value))
        ]

    def counts(self, row: _Row) -> _Counts:
        value = row.run_id if self.which == "run" else row.day
        if (row.recipe, value, row.endpoint) != (self.recipe, self.value, self.endpoint):
            return _NOTHING
        if row.spent is not None:
            return _Counts(row.spent, 0, 0)
        cap = row.cap if row.reserved else 0
        return _Counts(0, cap, 0) if row.started else _Counts(0, 0, cap)


class _Book:
    """All that is `booked` in a scope, as of the last line that was looked at."""

    def __init__(self, scope: _Scope) -> None:
        self.scope = scope
        self.booked = _NOTHING
        self._by_key: dict[str, _Counts] = {}
        self._unstarted: set[str] = set()
        self._seq: int | None = None

    def catch_up(self, tx: Transaction, db: Database) -> None:
        if self._seq is None:
            self._read(tx)
            return
        lines = tx.rows("SELECT seq, kind, key FROM events WHERE seq > ? ORDER BY seq", (self._seq,))
        if any(kind == _RUN_STARTED for _, kind, _ in lines):  # the only line that changes rows without their key
            self._read(tx)
        elif lines:
            keys = {key for _, _, key in lines if key is not None}
            for key in keys:
                self._strike(key)
            self._enter(_rows_of(tx, db, keys))
            self._seq = lines[-1][0]

    def held(self, tx: Transaction, db: Database) -> dict[str, int]:
        """The unstarted credits, by key, of which somebody holds the lease."""
        sql = f"SELECT key FROM keys WHERE key IN (SELECT value FROM {db.listed}) AND {HELD}"  # noqa: S608 - ours
        return {key: self._by_key[key].unstarted for (key,) in tx.rows(sql, (json.dumps(list(self._unstarted)),))}

    def _read(self, tx: Transaction) -> None:
        self.booked = _NOTHING
        self._by_key.clear()
        self._unstarted.clear()
        self._enter(self.scope.rows(tx))
        self._seq = int(tx.rows("SELECT COALESCE(MAX(seq), 0) FROM events")[0][0])

    def _strike(self, key: str) -> None:
        self.booked = self.booked.without(self._by_key.pop(key, _NOTHING))
        self._unstarted.discard(key)

    def _enter(self, rows: Iterable[_Row]) -> None:
        for row in rows:
            counts = self.scope.counts(row)
            if counts != _NOTHING:
                self.booked = self.booked.plus(counts)
                self._by_key[row.key] = self._by_key.get(row.key, _NOTHING).plus(counts)
            if counts.unstarted:
                self._unstarted.add(row.key)


_RUN_STARTED = kind_of(RunStarted)


def _rows_of(tx: Transaction, db: Database, keys: Iterable[str]) -> list[_Row]:
    sql = f"{_ROWS} money.key IN (SELECT value FROM {db.listed})"  # noqa: S608 - names of ours
    return [_Row(*row) for row in tx.rows(sql, (json.dumps(list(keys)),))]


def _asked(event: Intent | Starting, own: _Row | None, guard: BudgetGuard) -> int:
    cap = event.cap if isinstance(event, Intent) else None if own is None else own.cap
    if cap is None:
        raise ValueError(f"recipe {guard.recipe} has a budget, but job {event.key} has no cap")
    return cap


def _endpoint_of(tx: Transaction, run_id: str) -> str:
    found = tx.rows("SELECT endpoint FROM runs WHERE run_id = ?", (run_id,))
    return str(found[0][0]) if found else ""
