"""What the run log needs of a database: one writer at a time, durable when it returns, and its clocks.

The statements are the same for all; they use `?` for values. What differs lies behind this protocol.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

from runner.runlog.owner import Owner, OwnerLocks

Row = tuple[Any, ...]
Value = str | int | float | None


def _kernel_monotonic() -> float:
    # Unlike time.monotonic(), promised to be the same clock in every process of this boot.
    return time.clock_gettime(time.CLOCK_MONOTONIC)


@dataclass(frozen=True, kw_only=True, slots=True)
class Clock:
    """`now` is seconds since the epoch, for people; `monotonic` can't be set, and is the same for a whole boot."""

    now: Callable[[], float] = time.time
    monotonic: Callable[[], float] = _kernel_monotonic


class Transaction(Protocol):
    def rows(self, sql: str, values: Sequence[Value] = ()) -> list[Row]:
        """Run one statement; the rows it answers."""
        ...

    def run(self, sql: str, values: Sequence[Value] = ()) -> None:
        """Run one statement whose answer nobody waits for; a failure may only show at the end."""
        ...

    def many(self, sql: str, rows: Iterable[Sequence[Value]]) -> None:
        """Run one statement for each of `rows`."""
        ...


class Database(Protocol):
    """`listed` and `tabled` are FROM clauses that yield `value` for each element of a JSON array given as one `?`:
    strings as text, rows (arrays themselves) as JSON."""

    @property
    def listed(self) -> str: ...

    @property
    def tabled(self) -> str: ...

    @property
    def locks(self) -> OwnerLocks | None:
        """Lock files that tell whether an owner lives, where all users share one machine."""
        ...

    @property
    def machine(self) -> str:
        """The name under which file digests are kept: empty where only one machine uses the log."""
        ...

    @property
    def read_only(self) -> bool: ...

    def writing(self) -> AbstractContextManager[Transaction]:
        """A transaction that no other writer overlaps; durable when the block ends, undone when it raises."""
        ...

    def reading(self) -> AbstractContextManager[Transaction]:
        """A consistent view of what is durable."""
        ...

    def now(self, tx: Transaction) -> float:
        """Seconds since the epoch by the clock that all users of this log share."""
        ...

    def lease_now(self, tx: Transaction) -> float:
        """The clock that leases run by."""
        ...

    def shares_lease_clock(self, one: Owner, other: Owner) -> bool:
        """Whether both owners' leases run by the same clock."""
        ...

    def foreign_version(self, tx: Transaction) -> int | None:
        """A number that stays while nobody but us writes; None where the database can't tell."""
        ...

    def check(self) -> tuple[str, ...]:
        """What is wrong with the stored data; empty when it is sound."""
        ...

    def close(self) -> None: ...
