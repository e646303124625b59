"""Credits: reserved before a start, settled after, summed up by recipe, day (UTC) and run.

One row for every attempt. Its cap counts as reserved from the intent on; while the job is unstarted only as long as
somebody holds the lease under which that was said, for what a dead run never started costs nothing, whoever has its
key since. A lost job stays reserved: it may have cost.

What an endpoint books is its own: a budget counts what its run's endpoint was asked for, whoever's key was used, so
that neither a rehearsal on this machine uses it up nor a new key renews it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Literal

from runner.runlog.database import Transaction
from runner.runlog.events import Event, Intent, Starting
from runner.runlog.faults import BudgetExceeded


@dataclass(frozen=True, kw_only=True, slots=True)
class BudgetGuard:
    """What a recipe may spend, in credits; None is no limit. `run_id` is the run that `run_limit` is about."""

    recipe: str
    run_id: str
    run_limit: int | None
    day_limit: int | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Credits:
    """What was spent, and what work under way may still cost."""

    spent: int
    reserved: int


@dataclass(frozen=True, kw_only=True, slots=True)
class SpentRow:
    """What one recipe spent and still has reserved on one day at one endpoint ("" where no run says which)."""

    recipe: str
    day: date
    endpoint: str
    spent: int
    reserved: int


_SUMS = """
    COALESCE(SUM(money.spent), 0),
    COALESCE(SUM(CASE WHEN money.spent IS NULL AND money.reserved = 1
                       AND (money.started = 1 OR (keys.owner IS NOT NULL AND EXISTS (
                           SELECT 1 FROM events WHERE events.key = money.key AND events.kind = 'intent'
                           AND events.fence = keys.fence))) THEN money.cap ELSE 0 END), 0)
    FROM money LEFT JOIN keys ON keys.key = money.key LEFT JOIN runs ON runs.run_id = money.run_id
"""
_SAME_ENDPOINT = "COALESCE(runs.endpoint, '') = COALESCE((SELECT endpoint FROM runs WHERE run_id = ?), '')"


def utc_day(at: float) -> date:
    return datetime.fromtimestamp(at, UTC).date()


def check(tx: Transaction, at: float, events: Sequence[Event], guard: BudgetGuard | None) -> None:
    """Raise BudgetExceeded if what `events` reserve doesn't fit. Writes nothing."""
    asking = [event for event in events if isinstance(event, Intent | Starting)]
    if guard is None or not asking or _is_committed(tx, asking[0]):
        return
    key, attempt = asking[0].key, asking[0].attempt
    asked = _asked(tx, asking[0], guard)
    _check_limit(tx, guard, "run", guard.run_limit, asked, key, attempt, ("run_id", guard.run_id))
    _check_limit(tx, guard, "day", guard.day_limit, asked, key, attempt, ("day", utc_day(at).isoformat()))


def _is_committed(tx: Transaction, event: Intent | Starting) -> bool:
    """Whether the credits were committed by a start before: saying it again asks for nothing."""
    sql = "SELECT 1 FROM money WHERE key = ? AND attempt = ? AND started = 1"
    return isinstance(event, Starting) and bool(tx.rows(sql, (event.key, event.attempt)))


def _asked(tx: Transaction, event: Intent | Starting, guard: BudgetGuard) -> int:
    if isinstance(event, Intent):
        cap = event.cap
    else:
        found = tx.rows("SELECT cap FROM money WHERE key = ? AND attempt = ?", (event.key, event.attempt))
        cap = found[0][0] if found else None
    if cap is None:
        raise ValueError(f"recipe {guard.recipe} has a budget, but job {event.key} has no cap")
    return cap


def _check_limit(
    tx: Transaction,
    guard: BudgetGuard,
    which: Literal["run", "day"],
    limit: int | None,
    asked: int,
    key: str,
    attempt: int,
    scope: tuple[str, str],
) -> None:
    if limit is None:
        return
    column, value = scope
    others = "NOT (money.key = ? AND money.attempt = ?)"
    sql = f"SELECT {_SUMS} WHERE money.recipe = ? AND money.{column} = ? AND {_SAME_ENDPOINT} AND {others}"
    spent, reserved = tx.rows(sql, (guard.recipe, value, guard.run_id, key, attempt))[0]
    if spent + reserved + asked > limit:
        raise BudgetExceeded(
            recipe=guard.recipe,
            which=which,
            limit=limit,
            spent=int(spent),
            reserved=int(reserved),
            asked=asked,
        )


_COLUMNS = {
    "recipe": "money.recipe",
    "day": "money.day",
    "run_id": "money.run_id",
    "endpoint": "runs.endpoint",
    "account": "runs.account",
}


def credits_of(tx: Transaction, **wanted: str | None) -> Credits:
    """What was spent and is reserved, by the columns of `_COLUMNS`; those that are None don't matter."""
    chosen = [(_COLUMNS[name], value) for name, value in wanted.items() if value is not None]
    where = " AND ".join(["1 = 1", *(f"{column} = ?" for column, _ in chosen)])
    spent, reserved = tx.rows(f"SELECT {_SUMS} WHERE {where}", [value for _, value in chosen])[0]
    return Credits(spent=int(spent), reserved=int(reserved))


def spent_rows(tx: Transaction) -> list[SpentRow]:
    """Per recipe, day and endpoint, newest day first."""
    sql = f"SELECT money.recipe, money.day, COALESCE(runs.endpoint, ''), {_SUMS} GROUP BY 1, 2, 3 ORDER BY 2 DESC, 1, 3"
    return [
        SpentRow(
            recipe=recipe, day=date.fromisoformat(day), endpoint=endpoint, spent=int(spent), reserved=int(reserved)
        )
        for recipe, day, endpoint, spent, reserved in tx.rows(sql)
    ]


def under_way(tx: Transaction, *, endpoint: str, account: str) -> list[str]:
    """Keys of what was, or may have been, started there with this account's key, and whose end nobody has seen.

    Lost work is among them; its state tells.
    """
    sql = (
        "SELECT money.key FROM money JOIN runs ON runs.run_id = money.run_id "
        "WHERE money.started = 1 AND money.spent IS NULL AND runs.endpoint = ? AND runs.account = ? ORDER BY 1"
    )
    return [row[0] for row in tx.rows(sql, (endpoint, account))]
