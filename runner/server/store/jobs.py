"""Jobs in the database: reading what is durable, and changing one job at a time.

Every change of a job goes through `change`, which writes record, document, history and book in one
transaction. The book (table `ledger`) has a line for every start and every charge, so that anyone can prove
that a job was started once.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
import weakref
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import partial

import apsw

from runner.server.answers import not_found
from runner.server.jobs.document import render
from runner.server.jobs.lifecycle import ENDED, RUNNING, STAGED, STATUS, Phase
from runner.server.jobs.record import Job, dump_record, load_record, timestamp
from runner.server.store.database import Database, Value
from runner.wire.status import INFO

PAGE = 50

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
    def __init__(self, database: Database) -> None:
        self._db = database
        self._locks: weakref.WeakValueDictionary[str, asyncio.Lock] = weakref.WeakValueDictionary()
        self.listeners: list[Listener] = []

    def held(self, job_id: str) -> Held | None:
        row = self._db.row("select account, token, document from jobs where id = ?", (job_id,))
        return Held(account=_text(row[0]), token=_text(row[1]), document=_bytes(row[2])) if row else None

    def load(self, job_id: str) -> Job | None:
        row = self._db.row("select record from jobs where id = ?", (job_id,))
        return load_record(_bytes(row[0])) if row else None

    def job_of_token(self, token: str) -> tuple[str, str] | None:
        """Job id and account of the job with this token."""
        row = self._db.row("select id, account from jobs where token_hash = ?", (_hash(token),))
        return (_text(row[0]), _text(row[1])) if row else None

    def job_of_part(self, part_id: str) -> Job | None:
        """The job that has an input or an output of this id."""
        row = self._db.row("select job_id from parts where id = ?", (part_id,))
        return self.load(_text(row[0])) if row else None

    def page(self, account: str, status: str | None, page: int) -> tuple[list[bytes], int]:
        """Documents of one page of an account's jobs, newest first, and how many there are in all."""
        where, values = "account = ?", [account]
        if status is not None:
            where, values = "account = ? and status = ?", [account, status]
        total = self._db.row(f"select count(*) from jobs where {where}", values)  # noqa: S608  # two literals
        rows = self._db.rows(
            f"select document from jobs where {where} order by seq desc limit {PAGE} offset ?",  # noqa: S608
            (*values, (page - 1) * PAGE),
        )
        return [_bytes(row[0]) for row in rows], _int(total[0]) if total else 0

    def history(self, job_id: str) -> list[tuple[int, str, str, str]]:
        rows = self._db.rows(
            "select seq, status, info, created_at from history where job_id = ? order by seq", (job_id,)
        )
        return [(_int(seq), _text(status), _text(info), _text(at)) for seq, status, info, at in rows]

    def unended(self) -> list[Job]:
        """Jobs that have work left, oldest first: what a restart takes up again."""
        marks = ",".join("?" * len(STAGED | RUNNING))
        rows = self._db.rows(
            f"select record from jobs where phase in ({marks}) order by seq",  # noqa: S608  # question marks
            sorted(STAGED | RUNNING),
        )
        return [load_record(_bytes(row[0])) for row in rows]

    def ended_before(self, moment: float) -> list[str]:
        rows = self._db.rows("select id from jobs where ended < ? order by ended limit 500", (moment,))
        return [_text(row[0]) for row in rows]

    async def create(self, job: Job, *, idempotency: tuple[str, bytes] | None = None) -> Repeat | None:
        """Write a new job; with an `Idempotency-Key` that was used before, write nothing and say which."""
        new = replace(job, ended=time.time() if job.phase in ENDED else None)
        repeat = await self._db.write(partial(_insert, new, idempotency))
        if repeat is None:
            self._announce(None, new)
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
            new = replace(edited, modified_at=timestamp(time.time()), ended=_ended(edited))
            await self._db.write(partial(_update, old, new))
        self._announce(old, new)
        return new

    async def forget_files(self, job_id: str) -> None:
        """Never asks again for the files of a job whose retention is over."""
        await self._db.write(lambda db: db.execute("update jobs set ended = null where id = ?", (job_id,)).fetchall())

    def _announce(self, old: Job | None, new: Job) -> None:
        for listener in self.listeners:
            listener(old, new)


def _ended(job: Job) -> float | None:
    return (job.ended or time.time()) if job.phase in ENDED else None


def _insert(job: Job, idempotency: tuple[str, bytes] | None, db: apsw.Connection) -> Repeat | None:
    if idempotency is not None and (used := _claim(db, job, *idempotency)):
        return used
    db.execute(
        "insert into jobs (id, account, token_hash, status, phase, ended, token, document, record)"
        " values (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            job.id,
            job.account,
            _hash(job.token),
            STATUS[job.phase],
            job.phase,
            job.ended,
            job.token,
            render(job),
            dump_record(job),
        ),
    )
    _note_parts(db, None, job)
    _note_events(db, None, job)
    return None


def _claim(db: apsw.Connection, job: Job, key: str, body_mac: bytes) -> Repeat | None:
    row = db.execute(
        "select job_id, body_mac from idempotency where account = ? and key = ?", (job.account, key)
    ).fetchone()
    if row:
        return Repeat(job_id=str(row[0]), body_mac=_bytes(row[1]))
    db.execute("insert into idempotency values (?, ?, ?, ?)", (job.account, key, body_mac, job.id))
    return None


def _update(old: Job, new: Job, db: apsw.Connection) -> None:
    db.execute(
        "update jobs set status = ?, phase = ?, ended = ?, document = ?, record = ? where id = ?",
        (STATUS[new.phase], new.phase, new.ended, render(new), dump_record(new), new.id),
    )
    _note_parts(db, old, new)
    _note_events(db, old, new)


def _note_parts(db: apsw.Connection, old: Job | None, new: Job) -> None:
    known = set(_part_ids(old)) if old else set()
    for part_id in _part_ids(new):
        if part_id not in known:
            db.execute("insert or ignore into parts values (?, ?)", (part_id, new.id))


def _part_ids(job: Job) -> Iterable[str]:
    yield from (one.id for one in job.inputs)
    yield from (one.id for one in job.outputs)


def _note_events(db: apsw.Connection, old: Job | None, new: Job) -> None:
    """History of statuses for people, and lines in the book for starts and charges."""
    before = old.phase if old else None
    if before is new.phase:
        return
    if before is None or STATUS[before] is not STATUS[new.phase]:
        code = STATUS[new.phase]
        db.execute(
            "insert into history (job_id, status, info, created_at) values (?, ?, ?, ?)",
            (new.id, code, INFO[code], new.modified_at),
        )
    if (before is None or before in STAGED) and new.phase in RUNNING:
        _book(db, new.id, "start", 0)
    if new.phase is Phase.COMPLETED:
        _book(db, new.id, "charge", new.spent)


def _book(db: apsw.Connection, job_id: str, kind: str, credits_: int) -> None:
    db.execute(
        "insert into ledger (job_id, kind, credits, at) values (?, ?, ?, ?)",
        (job_id, kind, credits_, time.time()),
    )


def _hash(token: str) -> bytes:
    # A token is 160 random bits: nothing to guess, so a plain digest keeps it, and finds it.
    return hashlib.sha256(token.encode()).digest()


def _text(value: Value) -> str:
    return value if isinstance(value, str) else ""


def _int(value: Value) -> int:
    return value if isinstance(value, int) else 0


def _bytes(value: Value) -> bytes:
    return value if isinstance(value, bytes) else b""
