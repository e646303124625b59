"""Which parts of a chunked upload have come; durable, so that a restart in the middle loses none of them."""

from __future__ import annotations

from dataclasses import dataclass

import apsw

from runner.server.store.database import Database


@dataclass(frozen=True, kw_only=True, slots=True)
class Chunk:
    """Bytes `first` to `last`, both included, of `total`."""

    first: int
    last: int
    total: int


async def add_chunk(database: Database, job_id: str, upload_id: str, chunk: Chunk) -> bool:
    """Note that `chunk` has come; whether all bytes of its total are there now."""

    def change(db: apsw.Connection) -> bool:
        db.execute(
            "insert or ignore into chunks values (?, ?, ?, ?, ?)",
            (job_id, upload_id, chunk.first, chunk.last, chunk.total),
        )
        rows = db.execute(
            "select first, last from chunks where job_id = ? and upload_id = ? and total = ? order by first",
            (job_id, upload_id, chunk.total),
        ).fetchall()
        return _covers([(int(str(first)), int(str(last))) for first, last in rows], chunk.total)

    return await database.write(change)


def other_totals(database: Database, job_id: str, upload_id: str, total: int) -> list[int]:
    """What earlier chunks of the upload said of its size, where that was something else."""
    sql = "select distinct total from chunks where job_id = ? and upload_id = ? and total <> ?"
    return [int(str(row[0])) for row in database.rows(sql, (job_id, upload_id, total))]


async def forget_chunks(database: Database, job_id: str, upload_id: str) -> None:
    await database.write(
        lambda db: db.execute("delete from chunks where job_id = ? and upload_id = ?", (job_id, upload_id)).fetchall()
    )


def _covers(ranges: list[tuple[int, int]], total: int) -> bool:
    reached = 0
    for first, last in ranges:
        if first > reached:
            return False
        reached = max(reached, last + 1)
    return reached == total
