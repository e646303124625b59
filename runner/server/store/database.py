"""SQLite with group commit: one thread writes, and what waits together becomes durable together.

`write` and `insert` return when their change is on the disk (WAL, synchronous FULL), so an answer that waits for them
promises something. Reads go through a connection of the event loop's own and see only what is durable.

What is to be written is gathered on the event loop for as long as the thread is busy, and handed over at once: with
every call into SQLite the thread gives away the interpreter's lock and has to win it back from the loop, which costs
both of them more than most statements. So a batch is few calls, and rows for one table are one. For the same reason it
is not handed over before the loop came round a few times: when much is asked, that makes batches twice as large; when
little is, it takes no time.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

import apsw

from runner.server.store.migrations import MIGRATIONS

T = TypeVar("T")
Value = str | bytes | int | float | None
Row = tuple[Value, ...]

_MOST_AT_ONCE = 256
_TURNS = 3  # of the event loop, before a batch is handed over
_MOST_ROWS = 64  # of one statement: it is prepared once for every number of them


class StoreError(Exception):
    """The state can't be read or written; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Table:
    """Where rows are inserted."""

    name: str
    columns: tuple[str, ...]

    def insertion(self, rows: int) -> str:
        marks = f"({', '.join('?' * len(self.columns))})"
        return f"insert into {self.name} ({', '.join(self.columns)}) values {', '.join([marks] * rows)}"  # noqa: S608


class _Write(NamedTuple, Generic[T]):
    change: Callable[[apsw.Connection], T]
    done: asyncio.Future[T]
    then: Callable[[T], None] | None = None


class _Insert(NamedTuple):
    table: Table
    row: Row
    done: asyncio.Future[None]
    then: Callable[[None], None] | None = None


_Entry = _Write[object] | _Insert


class Database:
    """Open with `Database(path)`, close with `close()`; written to from one event loop only."""

    def __init__(self, path: Path) -> None:
        try:
            self._writer = connect(path)
            migrate(self._writer, path)
            self._reader = connect(path)
        except apsw.Error as error:
            raise StoreError(f"{path} can't be used: {error}; move it away, or give another state folder") from error
        self._queue: queue.SimpleQueue[list[_Entry] | None] = queue.SimpleQueue()
        self._gathered: list[_Entry] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        self._is_busy = False  # the thread has a batch, or is about to get one
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

    async def write(self, change: Callable[[apsw.Connection], T], then: Callable[[T], None] | None = None) -> T:
        """Run `change` in a transaction; returns its result once it is durable, or raises what it raised.

        then  called with the result before anybody is told, on the loop and also when the caller has gone
        """
        loop = self._running_loop()
        done: asyncio.Future[T] = loop.create_future()
        self._gather(_Write(change, done, then), loop)  # type: ignore[arg-type]  # writes of any result
        return await done  # a caller that goes away doesn't undo it

    def insert(self, table: Table, row: Row, then: Callable[[None], None] | None = None) -> asyncio.Future[None]:
        """As `write`, for a row that nothing else has to be looked at for: many of them are one statement."""
        loop = self._running_loop()
        done: asyncio.Future[None] = loop.create_future()
        self._gather(_Insert(table, row, done, then), loop)
        return done

    def close(self) -> None:
        """Finish what was gathered, then close."""
        if self._gathered:
            self._queue.put(self._gathered)
            self._gathered = []
        self._queue.put(None)
        self._thread.join()
        self._reader.close()
        self._writer.close()

    def _running_loop(self) -> asyncio.AbstractEventLoop:
        """Asked for once: every time would be a call of the system."""
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
        return self._loop

    def _gather(self, entry: _Entry, loop: asyncio.AbstractEventLoop) -> None:
        self._gathered.append(entry)
        if not self._is_busy:
            self._is_busy = True
            self._hand_over_soon(loop, _TURNS)

    def _hand_over_soon(self, loop: asyncio.AbstractEventLoop, turns: int) -> None:
        """With what else comes in so many turns of the loop."""
        if turns:
            loop.call_soon(self._hand_over_soon, loop, turns - 1)
        else:
            self._hand_over()

    def _hand_over(self) -> None:
        batch, self._gathered = self._gathered[:_MOST_AT_ONCE], self._gathered[_MOST_AT_ONCE:]
        self._is_busy = bool(batch)
        if batch:
            self._queue.put(batch)

    def _work(self) -> None:
        while (batch := self._queue.get()) is not None:
            results = self._committed(batch)
            # A loop that has ended has nobody who waits.
            with contextlib.suppress(RuntimeError):
                batch[0].done.get_loop().call_soon_threadsafe(self._deliver, batch, results)

    def _deliver(self, batch: list[_Entry], results: Sequence[object]) -> None:
        self._hand_over_soon(batch[0].done.get_loop(), _TURNS)
        for one, result in zip(batch, results, strict=True):
            _settle(one, result)

    def _committed(self, batch: list[_Entry]) -> list[object]:
        """The results of `batch`, or the error that each of it deserves."""
        try:
            with _transaction(self._writer):
                return _written(self._writer, batch)
        except Exception as error:  # noqa: BLE001  # whatever it was, its own caller has to hear of it
            if len(batch) == 1:
                return [error]
        # One of them is at fault: alone each gets what it deserves.
        return [result for one in batch for result in self._committed([one])]


def _settle(one: _Entry, result: Any) -> None:
    """Whatever goes wrong here is its own caller's: the others have to hear of theirs."""
    try:
        if one.then and not isinstance(result, Exception):
            one.then(result)
    except Exception as error:  # noqa: BLE001
        result = error
    if one.done.done():
        return
    if isinstance(result, Exception):
        one.done.set_exception(result)
    else:
        one.done.set_result(result)


def _written(connection: apsw.Connection, batch: list[_Entry]) -> list[object]:
    """Rows first: nobody who waits in the same batch can have seen another's change."""
    rows: dict[Table, list[Row]] = {}
    for one in batch:
        if isinstance(one, _Insert):
            rows.setdefault(one.table, []).append(one.row)
    for table, some in rows.items():
        _insert_rows(connection, table, some)
    return [one.change(connection) if isinstance(one, _Write) else None for one in batch]


def _insert_rows(connection: apsw.Connection, table: Table, rows: list[Row]) -> None:
    for at in range(0, len(rows), _MOST_ROWS):
        some = rows[at : at + _MOST_ROWS]
        connection.execute(table.insertion(len(some)), tuple(chain.from_iterable(some)))


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
            "update the program: another state folder would know nothing of the jobs in this one"
        )
    with _transaction(connection):
        for step in MIGRATIONS[version:]:
            connection.execute(step)
        connection.execute(f"pragma user_version = {len(MIGRATIONS)}")


def _version(connection: apsw.Connection) -> int:
    version = connection.execute("pragma user_version").fetchone()
    return int(version[0]) if version else 0
