"""What was sent to output targets, so that nothing of ours is taken for somebody else's and stands in our own way.

Every upload carries a token, which is written here before it begins. An object that carries one of these came from us,
be it that the server was killed before it heard so, or that the job failed for another reason and is sent again.
"""

from __future__ import annotations

from dataclasses import dataclass

import apsw

from runner.server.jobs.ids import new_id
from runner.server.store.database import Database

_THIS = "job_id = ? and conversion = ? and target = ? and place = ?"


@dataclass(frozen=True, kw_only=True, slots=True)
class Parcel:
    """One result on its way to one target.

    target  which of the conversion's targets
    place   provider, parameters and account, digested
    """

    job_id: str
    account: str
    conversion: str
    target: int
    place: str
    checksum: str
    size: int

    @property
    def key(self) -> tuple[str, str, int, str]:
        return self.job_id, self.conversion, self.target, self.place


@dataclass(frozen=True, kw_only=True, slots=True)
class Stamp:
    """
    tokens  the upload's own first, then those of earlier uploads of the same that may be there
    done    one of these was seen to get there
    renaming  the upload was there whole, and about to get its name
    """

    tokens: tuple[str, ...]
    done: bool
    renaming: bool = False


class DeliveryLog:
    def __init__(self, database: Database) -> None:
        self._db = database

    async def begin(self, parcel: Parcel) -> Stamp:
        """Durable before anything is sent. After a restart it is the same stamp as before."""
        return await self._db.write(lambda db: _begun(db, parcel))

    async def note_renaming(self, parcel: Parcel) -> None:
        """Durable before it gets its name, at a store that keeps no token with it."""
        await self._db.write(lambda db: _noted_renaming(db, parcel))

    async def finish(self, parcel: Parcel) -> None:
        """It is there; whatever earlier uploads have left of it is this job's from now on."""
        await self._db.write(lambda db: _finished(db, parcel))


def _begun(db: apsw.Connection, parcel: Parcel) -> Stamp:
    row = db.execute(
        f"select tokens, done, renaming from deliveries where {_THIS}",  # noqa: S608
        parcel.key,
    ).fetchone()
    if row:
        return Stamp(tokens=tuple(str(row[0]).split()), done=bool(row[1]), renaming=bool(row[2]))
    earlier = _earlier(db, parcel)
    tokens = (new_id(), *(token for stamp in earlier for token in stamp.tokens))
    stamp = Stamp(tokens=tokens, done=any(stamp.done for stamp in earlier))
    db.execute(
        "insert into deliveries (job_id, conversion, target, place, account, checksum, size, tokens, done) "
        "values (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (*parcel.key, parcel.account, parcel.checksum, parcel.size, " ".join(tokens), stamp.done),
    )
    return stamp


def _earlier(db: apsw.Connection, parcel: Parcel) -> list[Stamp]:
    """Of the same bytes at the same place by the same account, in jobs that ended without success.

    What a job that succeeded has stored is its user's, and as much in the way as anybody's.
    """
    if not parcel.checksum:
        return []
    rows = db.execute(
        "select tokens, done from deliveries join jobs on jobs.id = deliveries.job_id "
        "where place = ? and deliveries.account = ? and checksum = ? and size = ? and status in ('failed', 'canceled')",
        (parcel.place, parcel.account, parcel.checksum, parcel.size),
    ).fetchall()
    return [Stamp(tokens=tuple(str(tokens).split()), done=bool(done)) for tokens, done in rows]


def _noted_renaming(db: apsw.Connection, parcel: Parcel) -> None:
    db.execute(f"update deliveries set renaming = 1 where {_THIS}", parcel.key)  # noqa: S608


def _finished(db: apsw.Connection, parcel: Parcel) -> None:
    db.execute(
        "delete from deliveries where place = ? and account = ? and job_id in "
        "(select id from jobs where id = deliveries.job_id and status in ('failed', 'canceled'))",
        (parcel.place, parcel.account),
    )
    db.execute(f"update deliveries set done = 1 where {_THIS}", parcel.key)  # noqa: S608


def forget_deliveries(db: apsw.Connection, job_id: str) -> None:
    """In the transaction that completes the job."""
    db.execute("delete from deliveries where job_id = ?", (job_id,))
