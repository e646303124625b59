"""The run log as the rest of the program sees it. Who keeps it, a file or a server, shows nowhere."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date
from types import TracebackType
from typing import Self

from runner.errors import RunnerError
from runner.runlog import digests, history, leases, money
from runner.runlog.database import Clock, Database, Row, Transaction
from runner.runlog.digests import RememberedDigest
from runner.runlog.events import Event, StoredEvent
from runner.runlog.faults import LogUnusable
from runner.runlog.history import Leftover, RunSummary, StartLine
from runner.runlog.leases import Fence, Lease, Watch
from runner.runlog.ledger import Ledger, Lines, knows_job
from runner.runlog.money import BudgetGuard, Credits, SpentRow
from runner.runlog.owner import Owner
from runner.runlog.snapshot import read_states
from runner.runlog.writer import GroupWriter, T, Work
from runner.state import UNDER_WAY, KeyState

LEASE_S = 30.0
Fences = Mapping[str, Fence] | Iterable[Fence]  # as `claim` answers them, or picked from that


class RunLog:
    """Append-only lines, what they add up to, and the leases on the work they are about.

    What writes is asynchronous and durable when it returns; what reads answers at once and may be called from any
    thread. Made by `open_log`.
    """

    def __init__(self, db: Database, *, clock: Clock) -> None:
        self._db = db
        self._clock = clock
        self._ledger = Ledger(db)
        self._writer = GroupWriter(db, settle=self._ledger.flush, undone=self._ledger.forget)
        self._watch = Watch()
        self._owners: set[str] = set()
        self._closed = False

    # Writing

    async def append(
        self, *events: Event, run_id: str, fence: Fence | None = None, budget: BudgetGuard | None = None
    ) -> None:
        """Write lines, all or none. Lines about a key need its fence; `budget` goes with an Intent or a Starting.

        Also a cancellation waits until they are durable or refused: cleaning up relies on the last line.

        Raises LeaseLost, OutOfOrder, JobTaken, AlreadyStarting, BudgetExceeded; LogUnusable when the disk fails.
        """
        lines = Lines.of(events, run_id=run_id, fence=fence, budget=budget)
        self._require_writable()
        await self._writer.run(lambda tx, at: self._ledger.append(tx, at, lines))

    async def claim(self, keys: Iterable[str], owner: Owner, ttl_s: float = LEASE_S) -> dict[str, Fence]:
        """Leases on those of `keys` that nobody alive holds; the others are missing. Ask again to wait for them."""
        wanted = list(keys)

        def work(tx: Transaction, _at: float) -> dict[str, Fence]:
            if self._db.locks is not None:
                self._db.locks.hold(owner.token)
            won = leases.claim(tx, self._db, wanted, owner, ttl_s, self._watch, self._clock.monotonic())
            self._ledger.know(tx, won.values())
            return won

        self._owners.add(owner.token)
        return await self._write(work)

    async def renew(self, fences: Fences, ttl_s: float = LEASE_S) -> frozenset[str]:
        """Keep the leases; the keys of those that were lost. One beat keeps all leases of an owner."""
        held = _listed(fences)
        return await self._write(lambda tx, _at: leases.renew(tx, self._db, held, ttl_s))

    async def release(self, fences: Fences) -> None:
        """Give leases back."""
        given = _listed(fences)
        await self._write(lambda tx, _at: leases.release(tx, given))

    async def remember(self, rows: Iterable[RememberedDigest]) -> None:
        """Keep digests of files. A log opened to be read keeps none."""
        kept = list(rows)
        if kept and not self._db.read_only:
            await self._write(lambda tx, _at: digests.remember(tx, self._db, kept))

    async def forget(self, paths: Iterable[str]) -> None:
        """Let the files at these absolute paths be read again."""
        gone = list(paths)
        await self._write(lambda tx, _at: digests.forget(tx, self._db, gone))

    async def rebuild(self) -> None:
        """Make all that follows from the lines again."""
        await self._write(lambda tx, _at: self._ledger.rebuild(tx))

    # Reading

    def states(self, keys: Iterable[str] | None = None) -> dict[str, KeyState]:
        """What is known of `keys`, or of all; those without a line are missing."""
        with self._db.reading() as tx:
            if keys is None:
                rows = tx.rows("SELECT key, state FROM keys WHERE state IS NOT NULL")
            else:
                sql = f"SELECT key, state FROM keys WHERE state IS NOT NULL AND key IN (SELECT value FROM {self._db.listed})"  # noqa: S608, E501
                rows = tx.rows(sql, (json.dumps(list(keys)),))
        return read_states(_let_go(rows))

    def events(
        self,
        *,
        run_id: str | None = None,
        key: str | None = None,
        kinds: Iterable[str] | None = None,
        after_seq: int = 0,
    ) -> Iterator[StoredEvent]:
        """Lines in their order."""
        chosen = None if kinds is None else frozenset(kinds)
        return history.events(self._db, run_id=run_id, key=key, kinds=chosen, after_seq=after_seq)

    def runs(self, *, limit: int = 20, before: str | None = None) -> list[RunSummary]:
        """Runs, newest first; `before` is a run id, exclusive."""
        with self._db.reading() as tx:
            return history.runs(tx, limit=limit, before=before)

    def find_runs(self, prefix: str) -> list[RunSummary]:
        """The runs whose id begins with `prefix`, newest first."""
        with self._db.reading() as tx:
            return history.find_runs(tx, prefix)

    def endpoints(self) -> frozenset[str]:
        """Names of the endpoints that made a job for this log: one that never answered doesn't count."""
        made_one = "SELECT 1 FROM events WHERE events.run_id = runs.run_id AND kind = 'created'"
        sql = f"SELECT DISTINCT endpoint FROM runs WHERE EXISTS ({made_one})"  # noqa: S608
        with self._db.reading() as tx:
            return frozenset(row[0] for row in tx.rows(sql))

    def leases(self) -> list[Lease]:
        """Who holds what, by key."""
        with self._db.reading() as tx:
            return leases.leases(tx, self._db)

    def knows_job(self, job_id: str, *, run_id: str) -> bool:
        """Whether a job with this id was made before at the endpoint of the run."""
        with self._db.reading() as tx:
            return knows_job(tx, job_id, run_id=run_id)

    def unstarted(self) -> list[Leftover]:
        """Jobs of ours that were made and neither started nor deleted."""
        return history.unstarted(self._db)

    def credits(
        self,
        *,
        recipe: str | None = None,
        day_utc: date | None = None,
        run_id: str | None = None,
        endpoint: str | None = None,
        account: str | None = None,
    ) -> Credits:
        """What was spent and is reserved; None means all."""
        day = None if day_utc is None else day_utc.isoformat()
        with self._db.reading() as tx:
            return money.credits_of(tx, recipe=recipe, day=day, run_id=run_id, endpoint=endpoint, account=account)

    def today(self) -> date:
        """The day (UTC) that a start would be booked to now, by the clock that all users of this log share."""
        with self._db.reading() as tx:
            return money.utc_day(self._db.now(tx))

    def last_seq(self) -> int:
        """The number of the newest line, 0 where there is none."""
        with self._db.reading() as tx:
            return history.last_seq(tx)

    def starts_after(self, seq: int) -> list[StartLine]:
        """The commit points after line `seq`, in their order."""
        with self._db.reading() as tx:
            return history.starts_after(tx, seq)

    def spent(self, recipe: str | None = None, day_utc: date | None = None, *, run_id: str | None = None) -> int:
        return self.credits(recipe=recipe, day_utc=day_utc, run_id=run_id).spent

    def reserved(self, recipe: str | None = None, day_utc: date | None = None, *, run_id: str | None = None) -> int:
        return self.credits(recipe=recipe, day_utc=day_utc, run_id=run_id).reserved

    def spent_by_day(self) -> list[SpentRow]:
        """Per recipe, day (UTC) and endpoint, newest day first."""
        with self._db.reading() as tx:
            return money.spent_rows(tx)

    def under_way(self, *, endpoint: str, account: str) -> dict[str, KeyState]:
        """By key, what was, or may have been, started there with this account's key, and whose end nobody has seen."""
        with self._db.reading() as tx:
            keys = money.under_way(tx, endpoint=endpoint, account=account)
        states = self.states(keys) if keys else {}
        return {key: state for key, state in states.items() if state.stage in UNDER_WAY}

    def recall(self, paths: Sequence[str]) -> dict[str, RememberedDigest]:
        """What is remembered of files, by absolute path."""
        with self._db.reading() as tx:
            return digests.recall(tx, self._db, paths)

    def check(self) -> tuple[str, ...]:
        """What is wrong with the stored data; empty when it is sound. Reads all of it. Raises LogNewer."""
        return self._db.check() or self._unreadable()

    def _unreadable(self) -> tuple[str, ...]:
        try:
            self.states()
            for _ in self.events():
                pass
        except (LookupError, TypeError, ValueError) as error:
            return (f"not all that it holds can be read ({error})",)
        return ()

    # The end

    def close(self) -> None:
        """Write what was asked for, give all leases back, and let go. Closing twice does nothing."""
        if self._closed:
            return
        self._closed = True
        self._writer.close()
        # A full disk must not hide what went wrong before: leases that stay behind are free once we are gone.
        with contextlib.suppress(RunnerError):
            self._give_back()
        self._db.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _give_back(self) -> None:
        if self._owners:
            with self._db.writing() as tx:
                for token in self._owners:
                    leases.bury(tx, token)

    async def _write(self, work: Work[T]) -> T:
        """`work`, which writes by itself, among the lines of others."""

        def alone(tx: Transaction, at: float) -> T:
            self._ledger.step_aside(tx)
            return work(tx, at)

        self._require_writable()
        return await self._writer.run(alone)

    def _require_writable(self) -> None:
        if self._db.read_only:
            raise LogUnusable("this run log was opened to be read, not written. Nothing was sent.")


def _let_go(rows: list[Row]) -> Iterator[Row]:
    """The rows in their order, held here no longer: else text and state of a million keys would both be there."""
    rows.reverse()
    while rows:
        yield rows.pop()


def _listed(fences: Fences) -> list[Fence]:
    return list(fences.values() if isinstance(fences, Mapping) else fences)
