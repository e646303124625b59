"""The queue of callbacks: a row from the transaction that changed the job until somebody accepted it.

What has to be said is written together with what happened, so a kill between the two can't lose it; a kill between
an accepted POST and the removal of its row says it twice, which receivers have to bear anyway.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from urllib.parse import urlsplit

import apsw

from runner.server.jobs.lifecycle import STATUS, Phase
from runner.server.jobs.record import Job
from runner.server.jobs.vault import Vault
from runner.server.store.database import Database

# Without notify_status a job is announced once, when it ended by itself.
_ANNOUNCED = frozenset({Phase.COMPLETED, Phase.FAILED})


@dataclass(frozen=True, kw_only=True, slots=True)
class Message:
    """`body` is the job document as it was then, without the base URL; `attempts` is how often it was sent.

    url  empty where it can't be opened any more
    """

    seq: int
    job_id: str
    host: str
    url: str
    status: str
    body: bytes
    attempts: int


@dataclass(frozen=True, kw_only=True, slots=True)
class SealedUrl:
    """An address to be written down; `sealed` is None where `masked` is all of it."""

    masked: str
    sealed: bytes | None


def note_callback(db: apsw.Connection, old: Job, new: Job, document: bytes, callback: SealedUrl) -> None:
    """Queue what the callback has to hear of this change, in the transaction of the change itself."""
    if not callback.masked or STATUS[old.phase] is STATUS[new.phase]:
        return
    if new.notify_status or new.phase in _ANNOUNCED:
        # What was sent in vain before has its next attempt now: where that fails, too, it may give way to this.
        db.execute("update callbacks set due = 0 where job_id = ? and attempts > 1", (new.id,))
        db.execute(
            "insert into callbacks (job_id, host, url, sealed, status, body, attempts, due) "
            "values (?, ?, ?, ?, ?, ?, 0, 0)",
            (new.id, host_of(callback.masked), callback.masked, callback.sealed, STATUS[new.phase], document),
        )


def host_of(url: str) -> str:
    """Host and port, which tell receivers apart; never a user name, a path or a query, which may be secrets.

    Never raises: it is asked within the write that ends a job. What is no URL has no host, and is refused when sent.
    """
    try:
        return urlsplit(url).netloc.rpartition("@")[2].lower()
    except ValueError:
        return ""


class CallbackQueue:
    def __init__(self, database: Database, vault: Vault) -> None:
        self._db = database
        self._vault = vault

    def due(
        self, now: float, *, limit: int, without_jobs: Collection[str] = (), without_hosts: Collection[str] = ()
    ) -> list[Message]:
        """The first message of every job, where its time has come; a later one waits until that is settled."""
        jobs, hosts = _marks(without_jobs), _marks(without_hosts)
        rows = self._db.rows(
            "select seq, job_id, host, url, sealed, status, body, attempts from callbacks as mine "  # noqa: S608  # marks only
            f"where due <= ? and job_id not in ({jobs}) and host not in ({hosts}) and not exists "
            "(select 1 from callbacks as earlier where earlier.job_id = mine.job_id and earlier.seq < mine.seq) "
            "order by due, seq limit ?",
            (now, *without_jobs, *without_hosts, limit),
        )
        return [
            Message(
                seq=int(str(seq)),
                job_id=str(job_id),
                host=str(host),
                url=self._vault.opened_callback(str(job_id), sealed) if isinstance(sealed, bytes) else str(url),
                status=str(status),
                body=body if isinstance(body, bytes) else b"",
                attempts=int(str(attempts)),
            )
            for seq, job_id, host, url, sealed, status, body, attempts in rows
        ]

    def next_due(self, now: float) -> float | None:
        """When the next message that isn't due yet becomes due."""
        row = self._db.row("select min(due) from callbacks where due > ?", (now,))
        return float(row[0]) if row and isinstance(row[0], int | float) else None

    def waiting(self) -> int:
        row = self._db.row("select count(*) from callbacks")
        return int(str(row[0])) if row else 0

    def is_outdated(self, message: Message) -> bool:
        """Whether there is something later to say of the job."""
        sql = "select 1 from callbacks where job_id = ? and seq > ? limit 1"
        return self._db.row(sql, (message.job_id, message.seq)) is not None

    async def settle(self, message: Message) -> None:
        """Accepted, or given up: it is not sent again."""
        await self._db.write(lambda db: db.execute("delete from callbacks where seq = ?", (message.seq,)).fetchall())

    async def postpone(self, message: Message, *, due: float) -> None:
        """It was sent in vain, and is due again at `due`."""
        values = (message.attempts + 1, due, message.seq)
        await self._db.write(
            lambda db: db.execute("update callbacks set attempts = ?, due = ? where seq = ?", values).fetchall()
        )


def _marks(values: Collection[str]) -> str:
    return ", ".join("?" for _ in values)
