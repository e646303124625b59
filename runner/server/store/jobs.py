"""Jobs in the database: reading what is durable, and changing one job at a time.

Every change of a job goes through `change`, which writes record, document, history and book in one
transaction. The book (table `ledger`) has a line for every start and every charge, so that anyone can prove
that a job was started once.
"""

from __future__ import annotations

import asyncio
import hmac
import time
import weakref
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import partial

import apsw

from runner.server.answers import not_found
from runner.server.config import Assumptions
from runner.server.jobs.document import render
from runner.server.jobs.ids import id_range
from runner.server.jobs.lifecycle import ENDED, RUNNING, STAGED, STATUS, Phase
from runner.server.jobs.record import Job, Moment, dump_record, load_record, timestamp
from runner.server.store.callbacks import note_callback
from runner.server.store.database import Database, Value
from runner.server.store.migrations import NEVER
from runner.server.store.usage import note_usage
from runner.wire.status import TERMINAL, StatusCode

PAGE = 50
_HAS_ENDED = "select 1 from jobs where id = ? and expires is not null"
_MOST_RECENT = 1024

DEFAULT_ASSUMPTIONS = Assumptions()
_UNLISTED: dict[str, frozenset[StatusCode]] = {"all": frozenset(), "active": TERMINAL, "none": frozenset(StatusCode)}

Edit = Callable[[Job], Job]
Listener = Callable[[Job | None, Job], None]


@dataclass(frozen=True, kw_only=True, slots=True)
class Held:
    """What a request needs of a job before it is let in, and the document most of them want."""

    account: str
    token: str
    document: bytes


@dataclass(frozen=True, kw_only=True, slots=True)
class Repeat:
    """An `Idempotency-Key` that was used before: the job it made, and what its body was."""

    job_id: str
    body_mac: bytes


class JobStore:
    """
    retention_s  how long files are kept after a job has ended
    assumptions  what is shown of canceled jobs, and in lists
    """

    def __init__(
        self, database: Database, *, retention_s: float, assumptions: Assumptions = DEFAULT_ASSUMPTIONS
    ) -> None:
        self._db = database
        self._retention_s = retention_s
        self._hides_canceled = assumptions.canceled == "404"
        self._unlisted = _UNLISTED[assumptions.list] | ({StatusCode.CANCELED} if self._hides_canceled else frozenset())
        self._shown = {StatusCode.QUEUED: StatusCode(assumptions.queued)}
        self._locks: weakref.WeakValueDictionary[str, asyncio.Lock] = weakref.WeakValueDictionary()
        # Jobs that were just written are asked for at once: this spares the database, which the writer is busy with.
        self._recent: OrderedDict[str, Held] = OrderedDict()
        self.listeners: list[Listener] = []

    def held(self, job_id: str) -> Held | None:
        if known := self._recent.get(job_id):
            return known
        row = self._db.row("select account, token, document, status from jobs where id = ?", (job_id,))
        if row is None or (self._hides_canceled and row[3] == StatusCode.CANCELED):
            return None
        return Held(account=_text(row[0]), token=_text(row[1]), document=_bytes(row[2]))

    def render(self, job: Job) -> bytes:
        """The document of `job` as clients see it, but for the server's address."""
        return render(job, self._shown)

    def load(self, job_id: str) -> Job | None:
        row = self._db.row("select record from jobs where id = ?", (job_id,))
        return load_record(_bytes(row[0])) if row else None

    def job_of_token(self, token: str) -> tuple[str, str] | None:
        """Job id and account of the job with this token."""
        rows = self._db.rows("select id, account, token from jobs where id between ? and ?", id_range(token))
        same = [row for row in rows if hmac.compare_digest(_text(row[2]).encode(), token.encode())]
        return (_text(same[0][0]), _text(same[0][1])) if same else None

    def job_of_part(self, part_id: str) -> Job | None:
        """The job that has an input or an output of this id."""
        row = self._db.row("select job_id from parts where id = ?", (part_id,))
        return self.load(_text(row[0])) if row else None

    def page(self, account: str, status: str | None, page: int) -> tuple[list[bytes], int]:
        """Documents of one page of an account's jobs, newest first, and how many there are in all."""
        where, values = "account = ?", [account]
        if status is not None:
            shown_so = [code for code in StatusCode if self._shown.get(code, code) == status]
            marks = ", ".join("?" for _ in shown_so)
            where, values = f"account = ? and status in ({marks})", [account, *shown_so]
        if self._unlisted:
            marks = ", ".join("?" for _ in self._unlisted)
            where, values = f"{where} and status not in ({marks})", [*values, *self._unlisted]
        total = self._db.row(f"select count(*) from jobs where {where}", values)  # noqa: S608  # literals only
        # The inner query reads an index alone, however far the page is; documents are read for one page.
        rows = self._db.rows(
            f"select document from jobs where seq in (select seq from jobs where {where} "  # noqa: S608
            f"order by seq desc limit {PAGE} offset ?) order by seq desc",
            (*values, (page - 1) * PAGE),
        )
        return [_bytes(row[0]) for row in rows], _int(total[0]) if total else 0

    def busy(self) -> list[Job]:
        """Jobs that something has to be done for, oldest first: what a restart takes up again."""
        rows = self._db.rows(
            "select record from jobs where expires is null and status in ('downloading', 'queued', 'processing') "
            "order by seq"
        )
        return [load_record(_bytes(row[0])) for row in rows]

    def ended(self, job_ids: Iterable[str]) -> set[str]:
        """Those that have ended."""
        return {job_id for job_id in job_ids if self._db.row(_HAS_ENDED, (job_id,))}

    def counts(self) -> dict[str, int]:
        """How many jobs there are, by status; over all accounts."""
        rows = self._db.rows("select status, count(*) from jobs group by status")
        return {_text(status): _int(count) for status, count in rows}

    def forgotten(self, before: str) -> list[str]:
        """Some jobs made before the one with this id would have been, that never ended and may never have started."""
        rows = self._db.rows(
            "select id from jobs where expires is null and status in ('incomplete', 'ready', 'downloading') "
            "and id < ? order by id limit 500",
            (before,),
        )
        return [_text(row[0]) for row in rows]

    def expired(self, now: float) -> list[str]:
        """Some jobs whose files may go."""
        rows = self._db.rows("select id from jobs where expires < ? order by expires limit 500", (now,))
        return [_text(row[0]) for row in rows]

    def is_expired(self, job_id: str, now: float) -> bool:
        """Whether a job's files may go, and perhaps have gone."""
        return bool(self._db.row("select 1 from jobs where id = ? and expires < ?", (job_id, now)))

    def used(self, account: str, key: str) -> Repeat | None:
        """What an `Idempotency-Key` was used for."""
        row = self._db.row("select job_id, body_mac from idempotency where account = ? and key = ?", (account, key))
        return Repeat(job_id=_text(row[0]), body_mac=_bytes(row[1])) if row else None

    async def create(self, job: Job, *, idempotency: tuple[str, bytes] | None = None) -> Repeat | None:
        """Write a new job; with an `Idempotency-Key` that was used before, write nothing and say which."""
        document = self.render(job)
        repeat = await self._db.write(partial(_insert, job, document, idempotency, self._expires(job)))
        if repeat is None:
            self._remember(job, document)
            self._announce(None, job)
        return repeat

    async def change(self, job_id: str, edit: Edit) -> Job:
        """Replace a job by what `edit` makes of it, durably; one change of a job at a time."""
        async with self._locks.setdefault(job_id, asyncio.Lock()):
            old = self.load(job_id)
            if old is None:
                raise not_found("job")
            edited = edit(old)
            if edited is old:
                return old
            at = timestamp(time.time())
            history = job_history(old, edited.phase, at)
            new = replace(edited, modified_at=at, history=history)
            document = self.render(new)
            self._recent.pop(job_id, None)  # should we be cancelled here, what is durable is in the database alone
            await self._db.write(partial(_update, old, new, document, self._expires(new)))
            self._remember(new, document)
        self._announce(old, new)
        return new

    async def forget_files(self, job_id: str) -> None:
        """Never asks again for the files of a job whose retention is over."""
        await self._db.write(
            lambda db: db.execute("update jobs set expires = ? where id = ?", (NEVER, job_id)).fetchall()
        )

    def _remember(self, job: Job, document: bytes) -> None:
        """What is durable now; called in the order of the writes of one job."""
        self._recent.pop(job.id, None)
        if self._hides_canceled and job.phase is Phase.CANCELED:
            return
        self._recent[job.id] = Held(account=job.account, token=job.token, document=document)
        if len(self._recent) > _MOST_RECENT:
            self._recent.popitem(last=False)

    def _expires(self, job: Job) -> float | None:
        return time.time() + self._retention_s if job.phase in ENDED else None

    def _announce(self, old: Job | None, new: Job) -> None:
        for listener in self.listeners:
            listener(old, new)


def job_history(old: Job, phase: Phase, at: str) -> tuple[Moment, ...]:
    """The history of a job after a change: one more moment where its status is another."""
    if STATUS[old.phase] is STATUS[phase]:
        return old.history
    return (*old.history, (STATUS[phase], at))


def _insert(
    job: Job, document: bytes, idempotency: tuple[str, bytes] | None, expires: float | None, db: apsw.Connection
) -> Repeat | None:
    if idempotency is not None and (used := _claim(db, job, *idempotency)):
        return used
    columns = (job.id, job.account, STATUS[job.phase], job.token, expires)
    db.execute(
        "insert into jobs (id, account, status, token, expires, document, record) values (?, ?, ?, ?, ?, ?, ?)",
        (*columns, document, dump_record(job)),
    )
    _note_parts(db, None, job)
    _note_in_book(db, None, job)
    return None


def _claim(db: apsw.Connection, job: Job, key: str, body_mac: bytes) -> Repeat | None:
    row = db.execute(
        "select job_id, body_mac from idempotency where account = ? and key = ?", (job.account, key)
    ).fetchone()
    if row:
        return Repeat(job_id=str(row[0]), body_mac=_bytes(row[1]))
    db.execute("insert into idempotency values (?, ?, ?, ?)", (job.account, key, body_mac, job.id))
    return None


def _update(old: Job, new: Job, document: bytes, expires: float | None, db: apsw.Connection) -> None:
    db.execute(
        "update jobs set status = ?, expires = coalesce(expires, ?), document = ?, record = ? where id = ?",
        (STATUS[new.phase], expires, document, dump_record(new), new.id),
    )
    note_callback(db, old, new, document)
    _note_parts(db, old, new)
    _note_in_book(db, old, new)


def _note_parts(db: apsw.Connection, old: Job | None, new: Job) -> None:
    known = set(_part_ids(old)) if old else set()
    for part_id in _part_ids(new):
        if part_id not in known:
            db.execute("insert or ignore into parts values (?, ?)", (part_id, new.id))


def _part_ids(job: Job) -> Iterable[str]:
    yield from (one.id for one in job.inputs)
    yield from (one.id for one in job.outputs)


def _note_in_book(db: apsw.Connection, old: Job | None, new: Job) -> None:
    """A line for a start and for a charge; and what it means for the account's statistics."""
    note_usage(db, old, new, time.time())
    if new.phase in RUNNING and (old is None or old.phase in STAGED):
        _book(db, new.id, "start", 0)
    if new.phase is Phase.COMPLETED and (old is None or old.phase is not Phase.COMPLETED):
        _book(db, new.id, "charge", new.spent)


def _book(db: apsw.Connection, job_id: str, kind: str, credits_: int) -> None:
    db.execute(
        "insert into ledger (job_id, kind, credits, at) values (?, ?, ?, ?)",
        (job_id, kind, credits_, time.time()),
    )


def _text(value: Value) -> str:
    return value if isinstance(value, str) else ""


def _int(value: Value) -> int:
    return value if isinstance(value, int) else 0


def _bytes(value: Value) -> bytes:
    return value if isinstance(value, bytes) else b""
