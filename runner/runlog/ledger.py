"""Writing lines: under a fence that is still current, in an order that folds, and within the budget.

Every check comes before the first statement that writes, so that a refused line leaves nothing behind and the lines
of other callers in the same transaction are none the worse.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from runner.runlog.budgets import Budgets
from runner.runlog.database import Database, Row, Transaction
from runner.runlog.events import Created, Event, KeyEvent, Refused, Starting, StoredEvent, event_body, read_event
from runner.runlog.faults import AlreadyStarting, JobTaken, LeaseLost
from runner.runlog.fold import follow, key_of
from runner.runlog.gathered import Gathered
from runner.runlog.leases import Fence
from runner.runlog.money import BudgetGuard
from runner.runlog.snapshot import read_state, write_state
from runner.state import KeyState


@dataclass(frozen=True, kw_only=True, slots=True)
class Lines:
    """What one call appends: events, serialised already, under one fence or about a run."""

    run_id: str
    fence: Fence | None
    budget: BudgetGuard | None
    events: tuple[Event, ...]
    bodies: tuple[str, ...]

    @classmethod
    def of(cls, events: Sequence[Event], *, run_id: str, fence: Fence | None, budget: BudgetGuard | None) -> Lines:
        """Raises ValueError for lines about a key without its fence, TypeError for what isn't JSON."""
        key = None if fence is None else fence.key
        for event in events:
            if key_of(event) not in (None, key):
                raise ValueError("a line about a key needs the fence of that key")
        return cls(
            run_id=run_id,
            fence=fence,
            budget=budget,
            events=tuple(events),
            bodies=tuple([event_body(event) for event in events]),
        )


class Ledger:
    """Lines under fences that are still current, in an order that folds, and within the budget.

    What is written shows in the tables only after `flush`, which ends every transaction. Fences, states and starts that
    were read once aren't read again for every line: only the holder of a fence writes about its key, and what others
    did meanwhile the database tells. Whoever undoes a transaction must `forget`.
    """

    def __init__(self, db: Database) -> None:
        self._db = db
        self._gathered = Gathered(db=db)
        self._budgets = Budgets(db)
        self._states: dict[Fence, KeyState | None] = {}
        self._starts: dict[Fence, dict[int, str]] = {}  # the job that is committed to, by attempt
        self._holders: dict[str, Row] = {}
        self._version: int | None = None
        self._has_version = False

    def forget(self) -> None:
        self._gathered.clear()
        self._budgets.forget()
        self._states.clear()
        self._starts.clear()
        self._holders.clear()
        self._has_version = False

    def know(self, tx: Transaction, fences: Collection[Fence]) -> None:
        """Read at once what lines under `fences`, which were just taken, will be held against."""
        if len(self._states) + len(fences) > _MOST_KNOWN:
            self._states.clear()
            self._starts.clear()
        for token in {fence.token for fence in fences}:
            held = tx.rows("SELECT key, fence, owner FROM keys WHERE owner = ?", (token,))
            self._holders.update({key: (number, owner) for key, number, owner in held})
        new = {fence.key: fence for fence in fences if fence not in self._states}
        if not new:
            return
        keys, listed = (json.dumps(list(new)),), f"(SELECT value FROM {self._db.listed})"  # noqa: S608 - ours
        self._states.update(dict.fromkeys(new.values()))
        self._starts.update({fence: {} for fence in new.values()})
        states = f"SELECT key, state FROM keys WHERE state IS NOT NULL AND key IN {listed}"  # noqa: S608
        for key, state in tx.rows(states, keys):
            self._states[new[key]] = read_state(state)
        starts = f"SELECT key, attempt, job_id FROM starts WHERE refused = 0 AND key IN {listed}"  # noqa: S608
        for key, attempt, job_id in tx.rows(starts, keys):
            self._starts[new[key]][attempt] = job_id

    def append(self, tx: Transaction, at: float, lines: Lines) -> None:
        """Raises LeaseLost, OutOfOrder, JobTaken, AlreadyStarting and BudgetExceeded, before anything is written."""
        if lines.fence is not None and lines.fence.key in self._gathered.states:
            self._gathered.flush(tx)
        state = None if lines.fence is None else self._fenced_state(tx, lines.fence)
        after = _folded(state, lines.events, at)
        for event in lines.events:
            if isinstance(event, Created):
                self._check_made(tx, event, lines.run_id)
            elif isinstance(event, Starting):
                self._check_start(tx, event, lines.fence)
        if lines.budget is not None:
            self._gathered.flush(tx)
            self._budgets.check(tx, at, lines.events, lines.budget)
        self._write(tx, at, lines)
        if lines.fence is not None and after is not state and after is not None:
            self._gathered.states[lines.fence.key] = write_state(after)
            self._note(lines.fence, after, lines.events)

    def flush(self, tx: Transaction) -> None:
        """Write what was gathered."""
        self._gathered.flush(tx)
        self._has_version = False

    def step_aside(self, tx: Transaction) -> None:
        """Before others write in the same transaction: what was gathered is written, and fences may change."""
        self.flush(tx)
        self._holders.clear()

    def rebuild(self, tx: Transaction) -> None:
        """Make everything that follows from the events again, from nothing but the events."""
        self.step_aside(tx)
        self.forget()
        for table in ("jobs", "starts", "money", "runs"):
            tx.run(f"DELETE FROM {table}")  # noqa: S608 - names of ours
        tx.run("UPDATE keys SET state = NULL")
        states: dict[str, KeyState] = {}
        for _, at, run_id, event in _all_events(tx):
            self._gathered.project(tx, at, run_id, event)
            if isinstance(event, KeyEvent):
                states[event.key] = follow(states.get(event.key), event, at=at)
        self.flush(tx)
        tx.many(
            "INSERT INTO keys (key, fence, state) VALUES (?, 1, ?) "
            "ON CONFLICT (key) DO UPDATE SET state = excluded.state",
            [(key, write_state(state)) for key, state in states.items()],
        )

    def _fenced_state(self, tx: Transaction, fence: Fence) -> KeyState | None:
        if self._holder(tx, fence.key) != (fence.number, fence.token):
            raise LeaseLost(fence.key)
        if fence in self._states:
            return self._states[fence]
        text = tx.rows("SELECT state FROM keys WHERE key = ?", (fence.key,))[0][0]
        return None if text is None else read_state(text)

    def _holder(self, tx: Transaction, key: str) -> Row:
        if not self._has_version:  # nobody else writes until the end of the transaction
            version = self._db.foreign_version(tx)
            if version is None or version != self._version or len(self._holders) >= _MOST_KNOWN:
                self._holders.clear()
            self._version, self._has_version = version, True
        if key not in self._holders:
            self._holders[key] = next(iter(tx.rows("SELECT fence, owner FROM keys WHERE key = ?", (key,))), ())
        return self._holders[key]

    def _check_made(self, tx: Transaction, event: Created, run_id: str) -> None:
        if event.job_id in self._gathered.made or knows_job(tx, event.job_id, run_id=run_id):
            raise JobTaken(event.job_id)

    def _check_start(self, tx: Transaction, event: Starting, fence: Fence | None) -> None:
        if fence in self._starts:
            committed = self._starts[fence].get(event.attempt, event.job_id)
        else:
            sql = "SELECT job_id FROM starts WHERE key = ? AND attempt = ? AND refused = 0"
            committed = next(iter(tx.rows(sql, (event.key, event.attempt))), (event.job_id,))[0]
        if committed != event.job_id:
            raise AlreadyStarting(event.key, event.attempt, committed)

    def _note(self, fence: Fence, state: KeyState, events: Iterable[Event]) -> None:
        if len(self._states) >= _MOST_KNOWN:
            self._states.clear()
            self._starts.clear()
        self._states[fence] = state
        starts = self._starts.get(fence, {})
        for event in events:
            if isinstance(event, Starting):
                starts[event.attempt] = event.job_id
            elif isinstance(event, Refused):
                starts.pop(event.attempt, None)

    def _write(self, tx: Transaction, at: float, lines: Lines) -> None:
        number = None if lines.fence is None else lines.fence.number
        for event, body in zip(lines.events, lines.bodies, strict=True):
            self._gathered.line(tx, at, run_id=lines.run_id, fence=number, event=event, body=body)


_MOST_KNOWN = 4096


def knows_job(tx: Transaction, job_id: str, *, run_id: str) -> bool:
    """Whether a job with this id was made before at the endpoint of the run."""
    sql = (
        "SELECT 1 FROM jobs WHERE job_id = ? AND endpoint = COALESCE((SELECT endpoint FROM runs WHERE run_id = ?), '')"
    )
    return bool(tx.rows(sql, (job_id, run_id)))


def _folded(state: KeyState | None, events: tuple[Event, ...], at: float) -> KeyState | None:
    for event in events:
        if isinstance(event, KeyEvent):
            state = follow(state, event, at=at)
    return state


def _all_events(tx: Transaction) -> list[tuple[int, float, str, Event]]:
    rows = tx.rows("SELECT seq, at, run_id, kind, body FROM events ORDER BY seq")
    return [(seq, at, run_id, read_event(kind, body)) for seq, at, run_id, kind, body in rows]


def stored_event(row: tuple[int, float, str, int | None, str, str]) -> StoredEvent:
    seq, at, run_id, fence, kind, body = row
    return StoredEvent(seq=seq, at=at, run_id=run_id, fence=fence, event=read_event(kind, body))
