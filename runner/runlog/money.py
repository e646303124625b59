"""Credits: reserved before a start, settled after, summed up by recipe, day (UTC) and run.

One row for every attempt. Its cap counts as reserved from the intent on; while the job is unstarted only as long as
somebody holds the lease under which that was said, for what a dead run never started costs nothing, whoever has its
key since. A lost job stays reserved: it may have cost.

What an endpoint books is its own: a budget counts what its run's endpoint was asked for, whoever's key was used, so
that neither a rehearsal on this machine uses it up nor a new key renews it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime

from runner.runlog.database import Transaction


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


# Whether somebody holds the lease on a key, as a row of `keys`, under which its work was intended.
HELD = """keys.owner IS NOT NULL AND EXISTS (
    SELECT 1 FROM events WHERE events.key = keys.key AND events.kind = 'intent' AND events.fence = keys.fence)"""
_SUMS = f"""
    COALESCE(SUM(money.spent), 0),
    COALESCE(SUM(CASE WHEN money.spent IS NULL AND money.reserved = 1 AND (money.started = 1 OR ({HELD}))
                      THEN money.cap ELSE 0 END), 0)
    FROM money LEFT JOIN keys ON keys.key = money.key LEFT JOIN runs ON runs.run_id = money.run_id
"""


def utc_day(at: float) -> date:
    return datetime.fromtimestamp(at, UTC).date()


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
