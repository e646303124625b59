"""What a job is in the database: its row, its parts, its secrets, and its lines in the book.

The book (table `ledger`) has a line for every start and every charge, so that anyone can prove that a job was started
once.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass

import apsw

from runner.server.jobs.lifecycle import ENDED, RUNNING, STAGED, STATUS, Phase
from runner.server.jobs.record import Job, dump_record
from runner.server.jobs.vault import Changes
from runner.server.store.callbacks import SealedUrl, note_callback
from runner.server.store.database import Row, Table
from runner.server.store.deliveries import forget_deliveries
from runner.server.store.usage import note_usage

JOBS = Table("jobs", ("id", "account", "status", "token", "expires", "document", "record"))


@dataclass(frozen=True, kw_only=True, slots=True)
class Repeat:
    """An `Idempotency-Key` that was used before: the job it made, and what its body was."""

    job_id: str
    body_mac: bytes


@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """A job as it is written down: nothing in it is secret but `secrets`, which are sealed."""

    job: Job
    document: bytes
    expires: float | None
    secrets: Changes


def insert_job(line: Line, idempotency: tuple[str, bytes] | None, db: apsw.Connection) -> Repeat | None:
    job = line.job
    if idempotency is not None and (used := _claim(db, job, *idempotency)):
        return used
    db.execute(JOBS.insertion(1), job_row(job, line.document, line.expires))
    note_secrets(job.id, line.secrets, db)
    _note_parts(db, None, job)
    _note_in_book(db, None, job)
    return None


def job_row(job: Job, document: bytes, expires: float | None) -> Row:
    return (job.id, job.account, STATUS[job.phase], job.token, expires, document, dump_record(job))


def _claim(db: apsw.Connection, job: Job, key: str, body_mac: bytes) -> Repeat | None:
    row = db.execute(
        "select job_id, body_mac from idempotency where account = ? and key = ?", (job.account, key)
    ).fetchone()
    if row:
        return Repeat(job_id=str(row[0]), body_mac=bytes(row[1]))
    db.execute("insert into idempotency values (?, ?, ?, ?)", (job.account, key, body_mac, job.id))
    return None


def update_job(old: Job, line: Line, callback: SealedUrl, db: apsw.Connection) -> None:
    new = line.job
    db.execute(
        "update jobs set status = ?, expires = coalesce(expires, ?), document = ?, record = ? where id = ?",
        (STATUS[new.phase], line.expires, line.document, dump_record(new), new.id),
    )
    if new.phase in ENDED:
        db.execute("delete from secrets where job_id = ?", (new.id,))
    else:
        note_secrets(new.id, line.secrets, db)
    if new.phase is Phase.COMPLETED:
        forget_deliveries(db, new.id)
    note_callback(db, old, new, line.document, callback)
    _note_parts(db, old, new)
    _note_in_book(db, old, new)


def note_secrets(job_id: str, secrets: Changes, db: apsw.Connection) -> None:
    for part_id, sealed in secrets.items():
        if sealed is None:
            db.execute("delete from secrets where job_id = ? and part_id = ?", (job_id, part_id))
        else:
            db.execute("insert or replace into secrets values (?, ?, ?)", (job_id, part_id, sealed))


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
