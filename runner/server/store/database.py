"""SQLite with group commit: one thread writes, and what waits together becomes durable together.

`write` returns when its change is on the disk (WAL, synchronous FULL), so an answer that waits for it promises
something. Reads go through a connection of the event loop's own and see only what is durable.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

import apsw

from runner.server.store.migrations import MIGRATIONS

T = TypeVar("T")
Value = str | bytes | int | float | None
Row = tuple[Value, ...]

_MOST_AT_ONCE = 256


class StoreError(Exception):
    """The state can't be read or written; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class _Write(Generic[T]):
    change: Callable[[apsw.Connection], T]
    done: asyncio.Future[T]


class Database:
    """Open with `Database(path)`, close with `close()`; `write` only from the loop it was started on."""

    def __init__(self, path: Path) -> None:
        try:
            self._writer = connect(path)
            migrate(self._writer, path)
            self._reader = connect(path)
        except apsw.Error as error:
            raise StoreError(f"{path} can't be used: {error}; move it away, or give another state folder") from error
        self._queue: queue.SimpleQueue[_Write[object] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="store", daemon=True)
        self._thread.start()

    def rows(self, statement: str, values: Sequence[Value] = ()) -> list[Row]:
        return self._reader.execute(statement, tuple(values)).fetchall()

    def row(self, statement: str, values: Sequence[Value] = ()) -> Row | None:
        rows = self.rows(statement, values)
        return rows[0] if rows else None

    @contextlib.contextmanager
    def snapshot(self) -> Iterator[None]:
        """Reads within it see one state, whatever is committed meanwhile; not over an `await`."""
        self._reader.execute("begin")
        try:
            yield
        finally:
            self._reader.execute("commit")

    async def write(self, change: Callable[[apsw.Connection], T]) -> T:
        """Run `change` in a transaction; returns its result once it is durable, or raises what it raised."""
        done: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._queue.put(_Write(change, done))  # type: ignore[arg-type]  # a queue of writes of any result
        return await done  # a caller that goes away doesn't undo it

    def close(self) -> None:
        """Finish what was queued, then close."""
        self._queue.put(None)
        self._thread.join()
        self._reader.close()
        self._writer.close()

    def _work(self) -> None:
        while True:
            batch, last = self._next_batch()
            self._commit(batch)
            if last:
                return

    def _next_batch(self) -> tuple[list[_Write[object]], bool]:
        batch: list[_Write[object]] = []
        entry = self._queue.get()
        while entry is not None:
            batch.append(entry)
            if len(batch) >= _MOST_AT_ONCE:
                return batch, False
            try:
                entry = self._queue.get_nowait()
            except queue.Empty:
                return batch, False
        return batch, True

    def _commit(self, batch: list[_Write[object]]) -> None:
        if not batch:
            return
        try:
            with _transaction(self._writer):
                results = [one.change(self._writer) for one in batch]
        except Exception as error:  # noqa: BLE001  # whatever it was, its own caller has to hear of it
            if len(batch) == 1:
                _settle(batch, [error])
            else:  # one of them is at fault: alone each gets what it deserves
                for one in batch:
                    self._commit([one])
            return
        _settle(batch, results)


@contextlib.contextmanager
def _transaction(connection: apsw.Connection) -> Iterator[None]:
    connection.execute("begin immediate")
    try:
        yield
        connection.execute("commit")
    except BaseException:
        if connection.in_transaction:  # a full disk rolls back by itself
            connection.execute("rollback")
        raise


def _settle(batch: list[_Write[object]], results: Sequence[object]) -> None:
    """Hand results back to the loop in one call; a loop that has ended has nobody who waits."""
    with contextlib.suppress(RuntimeError):
        batch[0].done.get_loop().call_soon_threadsafe(_deliver, batch, results)


def _deliver(batch: list[_Write[object]], results: Sequence[object]) -> None:
    for one, result in zip(batch, results, strict=True):
        if one.done.done():
            continue
        if isinstance(result, Exception):
            one.done.set_exception(result)
        else:
            one.done.set_result(result)


def connect(path: Path) -> apsw.Connection:
    """A connection with the settings that make a commit durable."""
    connection = apsw.Connection(str(path))
    connection.set_busy_timeout(30_000)
    for pragma in ("journal_mode = wal", "synchronous = full", "cache_size = -8000"):
        connection.execute(f"pragma {pragma}")
    return connection


def migrate(connection: apsw.Connection, path: Path) -> None:
    """Bring the file up to this version; refuses one that a newer version has written."""
    version = _version(connection)
    if version > len(MIGRATIONS):
        raise StoreError(
            f"{path} was written by a newer version (schema {version}, this one knows {len(MIGRATIONS)}); "
            "update the program, or give it another state folder"
        )
    with _transaction(connection):
        for step in MIGRATIONS[version:]:
            connection.execute(step)
        connection.execute(f"pragma user_version = {len(MIGRATIONS)}")


def _version(connection: apsw.Connection) -> int:
    version = connection.execute("pragma user_version").fetchone()
    return int(version[0]) if version else 0
