"""Jobs in the database: reading what is durable, and changing one job at a time.

Every change of a job goes through `change`, which writes record, document, history and book in one
transaction (`job_rows.py`).
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import logging
import time
import weakref
from collections import OrderedDict
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import replace
from functools import partial
from itertools import groupby
from operator import itemgetter
from typing import NamedTuple, TypeVar

import apsw

from runner.server.answers import not_found
from runner.server.config import Assumptions
from runner.server.jobs.addresses import hide, in_full, is_masked, with_masks
from runner.server.jobs.document import render
from runner.server.jobs.ids import id_range
from runner.server.jobs.lifecycle import ENDED, RUNNING, STATUS, Phase
from runner.server.jobs.record import Job, Moment, load_record, timestamp
from runner.server.jobs.vault import Changes, Vault
from runner.server.store.callbacks import SealedUrl
from runner.server.store.database import Database, Value
from runner.server.store.job_rows import JOBS, Line, Repeat, insert_job, job_row, note_secrets, update_job
from runner.server.store.late_outputs import LateOutputs
from runner.server.store.migrations import NEVER
from runner.wire.status import TERMINAL, StatusCode

T = TypeVar("T")

PAGE = 50
_HAS_ENDED = "select 1 from jobs where id = ? and expires is not null"
_MOST_RECENT = 1024

_log = logging.getLogger(__name__)

DEFAULT_ASSUMPTIONS = Assumptions()
_UNLISTED: dict[str, frozenset[StatusCode]] = {"all": frozenset(), "active": TERMINAL, "none": frozenset(StatusCode)}

Edit = Callable[[Job], Job]
Listener = Callable[[Job | None, Job], None]


class Held(NamedTuple):
    """What a request needs of a job before it is let in, and the document most of them want."""

    account: str
    token: str
    document: bytes


class JobStore:
    """
    retention_s  how long files are kept after a job has ended
    assumptions  what is shown of canceled jobs, and in lists
    vault        where secrets of jobs are; it gets those that an earlier process has left, and its changes are written
                 together with the job's
    """

    def __init__(
        self,
        database: Database,
        *,
        retention_s: float,
        vault: Vault | None = None,
        assumptions: Assumptions = DEFAULT_ASSUMPTIONS,
    ) -> None:
        self._db = database
        self._vault = vault or Vault()
        for job_id, part_id, sealed in database.rows("select job_id, part_id, sealed from secrets"):
            self._vault.restore(_text(job_id), _text(part_id), _bytes(sealed))
        self._retention_s = retention_s
        self._hides_canceled = assumptions.canceled == "404"
        self._unlisted = _UNLISTED[assumptions.list] | ({StatusCode.CANCELED} if self._hides_canceled else frozenset())
        self._shown_as = {StatusCode.QUEUED: StatusCode(assumptions.queued)}
        self._locks: weakref.WeakValueDictionary[str, asyncio.Lock] = weakref.WeakValueDictionary()
        # Jobs that were just written are asked for at once: this spares the database, which the writer is busy with.
        self._recent: OrderedDict[str, Held] = OrderedDict()
        self._under_way: set[asyncio.Task[object]] = set()
        self.listeners: list[Listener] = []
        self._late = LateOutputs() if assumptions.outputs == "late" else None
        if self._late:
            self.listeners.append(self._late.watch)

    def held(self, job_id: str) -> Held | None:
        found = self._recent.get(job_id) or self._stored(job_id)
        if self._late and found:
            return found._replace(document=self._late.seen_by_now(job_id, found.document))
        return found

    def _stored(self, job_id: str) -> Held | None:
        row = self._db.row("select account, token, document, status from jobs where id = ?", (job_id,))
        if row is None or (self._hides_canceled and row[3] == StatusCode.CANCELED):
            return None
        return Held(account=_text(row[0]), token=_text(row[1]), document=self._shown(job_id, _bytes(row[2])))

    def render(self, job: Job) -> bytes:
        """The document of `job` as clients see it, but for the server's address."""
        return render(job, self._shown_as)

    def history(self, job: Job) -> list[Moment]:
        """What clients see of the statuses of `job`, and since when: two that are shown as one are one."""
        shown = ((self._shown_as.get(StatusCode(status), status), at) for status, at in job.history)
        return [next(alike) for _, alike in groupby(shown, key=itemgetter(0))]

    def load(self, job_id: str) -> Job | None:
        row = self._db.row("select record from jobs where id = ?", (job_id,))
        return self._read(_bytes(row[0])) if row else None

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
            shown_so = [code for code in StatusCode if self._shown_as.get(code, code) == status]
            marks = ", ".join("?" for _ in shown_so)
            where, values = f"account = ? and status in ({marks})", [account, *shown_so]
        if self._unlisted:
            marks = ", ".join("?" for _ in self._unlisted)
            where, values = f"{where} and status not in ({marks})", [*values, *self._unlisted]
        total = self._db.row(f"select count(*) from jobs where {where}", values)  # noqa: S608  # literals only
        # The inner query reads an index alone, however far the page is; documents are read for one page.
        rows = self._db.rows(
            f"select id, document from jobs where seq in (select seq from jobs where {where} "  # noqa: S608
            f"order by seq desc limit {PAGE} offset ?) order by seq desc",
            (*values, (page - 1) * PAGE),
        )
        return [self._shown(_text(row[0]), _bytes(row[1])) for row in rows], _int(total[0]) if total else 0

    def busy(self) -> list[Job]:
        """Jobs that something has to be done for, oldest first: what a restart takes up again."""
        rows = self._db.rows(
            "select id, record from jobs where expires is null and status in ('downloading', 'queued', 'processing') "
            "order by seq"
        )
        return [job for row in rows if (job := self._readable(_text(row[0]), _bytes(row[1]))) is not None]

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

    def next_expiry(self, since: float) -> float | None:
        """When files of a job may go next, from that moment on; None where no job has ended so lately."""
        row = self._db.row("select min(expires) from jobs where expires >= ? and expires < ?", (since, NEVER))
        return row[0] if row and isinstance(row[0], float) else None

    def is_expired(self, job_id: str, now: float) -> bool:
        """Whether a job's files may go, and perhaps have gone."""
        return bool(self._db.row("select 1 from jobs where id = ? and expires < ?", (job_id, now)))

    def used(self, account: str, key: str) -> Repeat | None:
        """What an `Idempotency-Key` was used for."""
        row = self._db.row("select job_id, body_mac from idempotency where account = ? and key = ?", (account, key))
        return Repeat(job_id=_text(row[0]), body_mac=_bytes(row[1])) if row else None

    async def create(self, job: Job, *, idempotency: tuple[str, bytes] | None = None) -> bytes | Repeat:
        """Write a new job, and return its document as clients see it; with an `Idempotency-Key` that was used before,
        write nothing and say which.

        It goes on when the caller is cancelled.
        """
        kept = hide(job, self._vault)
        secrets = self._vault.changes(job.id)
        document, expires = self.render(kept), self._expires(job)
        shown = document if kept is job else self.render(job)
        then = partial(self._created, job, shown, secrets)
        if not (idempotency or secrets or job.inputs or job.phase in RUNNING):
            await self._db.insert(JOBS, job_row(kept, document, expires), then)
            return shown
        line = Line(job=kept, document=document, expires=expires, secrets=secrets)
        repeat = await self._db.write(partial(insert_job, line, idempotency), then)
        return shown if repeat is None else repeat

    def _created(self, job: Job, shown: bytes, secrets: Changes, repeat: Repeat | None) -> None:
        if repeat is None:
            self._vault.written(job.id, secrets)
            self._remember(job, shown)
            self._announce(None, job)

    async def change(self, job_id: str, edit: Edit) -> Job:
        """Replace a job by what `edit` makes of it, durably; one change of a job at a time.

        Once it is this change's turn it goes on when the caller is cancelled: what becomes durable is announced, in
        the order of the writes, and the next change sees it.
        """
        lock = self._locks.setdefault(job_id, asyncio.Lock())
        await lock.acquire()
        return await self._to_the_end(self._change(lock, job_id, edit))

    async def _change(self, lock: asyncio.Lock, job_id: str, edit: Edit) -> Job:
        """Holds the lock, and releases it at the end."""
        try:
            old = self.load(job_id)
            if old is None:
                raise not_found("job")
            with self._vault.unless_refused(job_id):
                edited = edit(old)
            if edited is old:
                return old
            at = timestamp(time.time())
            history = job_history(old, edited.phase, at)
            new = replace(edited, modified_at=at, history=history)
            kept = with_masks(new) if new.phase in ENDED else hide(new, self._vault)
            secrets = self._vault.changes(job_id)
            line = Line(job=kept, document=self.render(kept), expires=self._expires(new), secrets=secrets)
            callback = SealedUrl(masked=kept.callback, sealed=self._sealed_callback(edited, kept))
            self._recent.pop(job_id, None)  # until we hear of the write, what is durable is in the database alone
            await self._db.write(partial(update_job, old, line, callback))
            self._vault.written(job_id, secrets)
            new = kept if new.phase in ENDED else new
            self._remember(new, line.document if kept is new else self.render(new))
            self._announce(old, new)
            return new
        finally:
            lock.release()

    async def close(self) -> None:
        """Wait for the writes whose callers have gone."""
        await asyncio.gather(*self._under_way, return_exceptions=True)
        with contextlib.suppress(apsw.Error):
            await self._db.write(lambda _: None)  # when it is through, what was created before is announced

    async def _to_the_end(self, work: Coroutine[object, object, T]) -> T:
        """Its result; cancelling the wait for it leaves it alone."""
        task = asyncio.create_task(work)
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        return await asyncio.shield(task)

    async def keep_secrets(self, job_id: str) -> None:
        """Write what the vault has changed of a job without a change of the job itself."""
        if secrets := self._vault.changes(job_id):
            await self._db.write(partial(note_secrets, job_id, secrets))
            self._vault.written(job_id, secrets)

    async def forget_files(self, job_id: str) -> None:
        """Never asks again for the files of a job whose retention is over."""
        await self._db.write(
            lambda db: db.execute("update jobs set expires = ? where id = ?", (NEVER, job_id)).fetchall()
        )

    def _read(self, record: bytes) -> Job:
        return in_full(load_record(record), self._vault)

    def _readable(self, job_id: str, record: bytes) -> Job | None:
        """The job in `record`; None where that can't be read, so that it doesn't stand in the way of others."""
        try:
            return self._read(record)
        except Exception:  # noqa: BLE001  # a record of an old version, or a broken one
            _log.exception("job %s: its record can't be read; it is left alone", job_id)
            return None

    def _shown(self, job_id: str, document: bytes) -> bytes:
        """A document as clients see it: until a job has ended, its addresses are what they gave."""
        job = self.load(job_id) if self._vault.hides_addresses(job_id) else None
        shown = self.render(job) if job else document
        return self._late.seen_by_now(job_id, shown) if self._late else shown

    def _sealed_callback(self, new: Job, kept: Job) -> bytes | None:
        if is_masked(new.callback):  # lost with a key: nothing opens this, so that nobody else is called instead
            return b""
        return None if new.callback == kept.callback else self._vault.sealed_callback(new.id, new.callback)

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
            try:
                listener(old, new)
            except Exception:  # noqa: BLE001  # it is durable: neither the caller nor other listeners may believe otherwise
                _log.exception("job %s: what follows from a change could not be begun", new.id)


def job_history(old: Job, phase: Phase, at: str) -> tuple[Moment, ...]:
    """The history of a job after a change: one more moment where its status is another."""
    if STATUS[old.phase] is STATUS[phase]:
        return old.history
    return (*old.history, (STATUS[phase], at))


def _text(value: Value) -> str:
    return value if isinstance(value, str) else ""


def _int(value: Value) -> int:
    return value if isinstance(value, int) else 0


def _bytes(value: Value) -> bytes:
    return value if isinstance(value, bytes) else b""
