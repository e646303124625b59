"""Writing lines: under a fence that is still current, in an order that folds, and within the budget.

Every check comes before the first statement that writes, so that a refused line leaves nothing behind and the lines
of other callers in the same transaction are none the worse.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from runner.runlog import money
from runner.runlog.database import Transaction
from runner.runlog.events import (
    Event,
    Failed,
    Finished,
    Intent,
    KeyEvent,
    Refused,
    RunEnded,
    RunStarted,
    Starting,
    StoredEvent,
    event_body,
    kind_of,
    read_event,
)
from runner.runlog.faults import AlreadyStarting, LeaseLost
from runner.runlog.fold import follow, key_of
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
        if any(key_of(event) not in (None, key) for event in events):
            raise ValueError("a line about a key needs the fence of that key")
        return cls(
            run_id=run_id,
            fence=fence,
            budget=budget,
            events=tuple(events),
            bodies=tuple(event_body(event) for event in events),
        )


@dataclass(kw_only=True, slots=True)
class Known:
    """States of keys under lease, so that they aren't read and parsed for every line.

    Only the holder of a fence writes about its key, and the fence is checked each time: so what was written under
    it is still so. Whoever undoes a transaction must `forget`.
    """

    states: dict[Fence, KeyState] = field(default_factory=dict)

    def forget(self) -> None:
        self.states.clear()


_MOST_KNOWN = 4096


def append(tx: Transaction, at: float, lines: Lines, known: Known) -> None:
    """Raises LeaseLost, OutOfOrder, AlreadyStarting and BudgetExceeded, each before anything is written."""
    state = None if lines.fence is None else _fenced_state(tx, lines.fence, known)
    after = _folded(state, lines.events, at)
    for event in lines.events:
        if isinstance(event, Starting):
            _check_start(tx, event)
    money.check(tx, at, lines.events, lines.budget)
    _write(tx, at, lines)
    if lines.fence is not None and after is not state and after is not None:
        tx.run("UPDATE keys SET state = ? WHERE key = ?", (write_state(after), lines.fence.key))
        if len(known.states) >= _MOST_KNOWN:
            known.forget()
        known.states[lines.fence] = after


def _fenced_state(tx: Transaction, fence: Fence, known: Known) -> KeyState | None:
    found = tx.rows("SELECT fence, owner FROM keys WHERE key = ?", (fence.key,))
    if found != [(fence.number, fence.token)]:
        raise LeaseLost(fence.key)
    state = known.states.get(fence)
    if state is None:
        text = tx.rows("SELECT state FROM keys WHERE key = ?", (fence.key,))[0][0]
        state = None if text is None else read_state(text)
    return state


def _folded(state: KeyState | None, events: tuple[Event, ...], at: float) -> KeyState | None:
    for event in events:
        if isinstance(event, KeyEvent):
            state = follow(state, event, at=at)
    return state


def _check_start(tx: Transaction, event: Starting) -> None:
    sql = "SELECT job_id FROM starts WHERE key = ? AND attempt = ? AND refused = 0"
    committed = tx.rows(sql, (event.key, event.attempt))
    if committed and committed[0][0] != event.job_id:
        raise AlreadyStarting(event.key, event.attempt, committed[0][0])


def _write(tx: Transaction, at: float, lines: Lines) -> None:
    number = None if lines.fence is None else lines.fence.number
    for event, body in zip(lines.events, lines.bodies, strict=True):
        tx.run(
            "INSERT INTO events (at, run_id, fence, kind, key, body) VALUES (?, ?, ?, ?, ?, ?)",
            (at, lines.run_id, number, kind_of(type(event)), key_of(event), body),
        )
        project(tx, at, lines.run_id, event)


def project(tx: Transaction, at: float, run_id: str, event: Event) -> None:
    """Carry a line into the tables that follow from the events, all but `keys.state`."""
    match event:
        case RunStarted():
            _project_run(tx, at, event)
        case RunEnded():
            sql = "UPDATE runs SET ended_at = ?, exit_code = ? WHERE run_id = ?"
            tx.run(sql, (at, event.exit_code, event.run_id))
        case Starting():
            _project_start(tx, event)
        case Refused():
            tx.run("UPDATE starts SET refused = 1 WHERE key = ? AND attempt = ?", (event.key, event.attempt))
    if isinstance(event, Intent | Starting | Refused | Finished | Failed):
        money.project(tx, at, run_id, event)


def _project_run(tx: Transaction, at: float, event: RunStarted) -> None:
    tx.run(
        "INSERT INTO runs (run_id, started_at, endpoint, account, command) VALUES (?, ?, ?, ?, ?) "
        "ON CONFLICT (run_id) DO NOTHING",
        (event.run_id, at, event.endpoint, event.account, event.command),
    )


def _project_start(tx: Transaction, event: Starting) -> None:
    # The second lock on the door: even if the check above were wrong, UNIQUE lets one job id through.
    written = tx.rows(
        "INSERT INTO starts (key, attempt, job_id) VALUES (?, ?, ?) ON CONFLICT (key, attempt) "
        "DO UPDATE SET job_id = excluded.job_id, refused = 0 "
        "WHERE starts.refused = 1 OR starts.job_id = excluded.job_id RETURNING job_id",
        (event.key, event.attempt, event.job_id),
    )
    if not written:
        raise AssertionError(f"two jobs for attempt {event.attempt} of {event.key}")


def rebuild(tx: Transaction, known: Known) -> None:
    """Make everything that follows from the events again, from nothing but the events."""
    known.forget()
    for table in ("starts", "money", "runs"):
        tx.run(f"DELETE FROM {table}")  # noqa: S608 - names of ours
    tx.run("UPDATE keys SET state = NULL")
    states: dict[str, KeyState] = {}
    for _, at, run_id, event in _all_events(tx):
        project(tx, at, run_id, event)
        if isinstance(event, KeyEvent):
            states[event.key] = follow(states.get(event.key), event, at=at)
    tx.many(
        "INSERT INTO keys (key, fence, state) VALUES (?, 1, ?) ON CONFLICT (key) DO UPDATE SET state = excluded.state",
        [(key, write_state(state)) for key, state in states.items()],
    )


def _all_events(tx: Transaction) -> list[tuple[int, float, str, Event]]:
    rows = tx.rows("SELECT seq, at, run_id, kind, body FROM events ORDER BY seq")
    return [(seq, at, run_id, read_event(kind, body)) for seq, at, run_id, kind, body in rows]


def stored_event(row: tuple[int, float, str, int | None, str, str]) -> StoredEvent:
    seq, at, run_id, fence, kind, body = row
    return StoredEvent(seq=seq, at=at, run_id=run_id, fence=fence, event=read_event(kind, body))
