"""The run log on a PostgreSQL server, for machines that come and go.

Writers take turns by one advisory lock, which ends with its transaction: so lines are numbered in the order in which
they become visible, as in a file. A writer that is suspended in its turn is thrown out by the server after a while.
"""

from __future__ import annotations

import contextlib
import hashlib
import socket
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from typing import Literal

import psycopg
from psycopg import errors

from runner.runlog.database import Clock, Database, Row, Transaction, Value
from runner.runlog.faults import UPDATE, LogNewer, LogUnreachable, LogUnusable
from runner.runlog.owner import Owner
from runner.runlog.postgres_address import require_an_address
from runner.runlog.postgres_connection import Line, Silence
from runner.runlog.postgres_faults import LOCK_TIMEOUT_S, damaged, explained
from runner.runlog.postgres_schema import DEFAULT_SCHEMA, MIGRATIONS, quoted
from runner.runlog.postgres_soundness import may_not_make, unsound
from runner.runlog.sqlite import SqliteDatabase

# Longer than the server itself waits for a lock, and then says so.
SILENT_MOST_S = LOCK_TIMEOUT_S + 5.0
# When our turn didn't come, then for a while it is only looked whether it has: each thing that a run still has to note
# when it ends would else wait that long again.
TURN_AGAIN_S = 1.0
BUSY_S = 30.0
SUSPENDED_MOST_S = 10
_TURN = 0x6376726C  # the number of the advisory lock, in each database, for the default schema

_LOCAL = (
    f"SET LOCAL search_path TO {{schema}}; SET LOCAL lock_timeout TO '{LOCK_TIMEOUT_S}s'; "
    # A role's own limit would end the wait for our turn, which has one already.
    "SET LOCAL statement_timeout TO 0; "
    f"SET LOCAL idle_in_transaction_session_timeout TO '{SUSPENDED_MOST_S}s'; "
)
# Whatever the database's own default is: what was committed while we waited for our turn must be seen.
_BEGIN_WRITING = (
    f"BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; {_LOCAL} SET LOCAL synchronous_commit TO on; "
    f"SET LOCAL lock_timeout TO '{{turn_ms}}ms'; SELECT pg_advisory_xact_lock({{turn}})"
)
_BEGIN_READING = f"BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; {_LOCAL}"


def open_database(url: str, *, schema: str = DEFAULT_SCHEMA, read_only: bool, clock: Clock) -> Database:
    """The run log in `schema` of the database at `url`. Read-only and not there yet, it is an empty one in memory.

    Raises InvalidError for what is no address; what opening raises otherwise names hosts, never passwords.
    """
    require_an_address(url)
    database = PostgresDatabase(url, schema=schema, read_only=read_only)
    try:
        return _ready(database, clock=clock)
    except BaseException:
        database.close()
        raise


def _ready(database: PostgresDatabase, *, clock: Clock) -> Database:
    _require_utf8(database.encoding())
    version = database.version()
    if version > len(MIGRATIONS):
        raise LogNewer(
            f"the run log on PostgreSQL was written by a newer runner (format {version}; this one knows "
            f"{len(MIGRATIONS)}). Nothing was sent.",
            hint=f"{UPDATE}; another database or schema knows nothing of what was bought",
        )
    if database.read_only and version == 0:
        with database.reading() as tx:
            lacking = may_not_make(tx, database.schema)
        database.close()
        return _NotThereYet(lacking, clock=clock)
    if version < len(MIGRATIONS) and not database.read_only:
        _migrate(database, version)
    return database


def _migrate(database: PostgresDatabase, version: int) -> None:
    """Who may work on a log need not be who may change what it is."""
    try:
        database.migrate()
    except LogUnusable as error:
        if version == 0 or not isinstance(error.__cause__, errors.InsufficientPrivilege):
            raise
        raise LogUnusable(
            f"the run log on PostgreSQL has format {version}, and this user may not give it that of this runner, "
            f"{len(MIGRATIONS)} ({error.__cause__}). Nothing was sent.",
            hint=f"run once as the user who owns the tables in the schema {database.schema}",
        ) from error


def _require_utf8(encoding: str) -> None:
    """What doesn't fit into another encoding is met when it is to be noted: by then it is bought."""
    if encoding != "UTF8":
        raise LogUnusable(
            f"the database of the run log is encoded in {encoding}, which not every name fits. Nothing was sent.",
            hint="make one in UTF-8, and name that: createdb -E UTF8 -T template0 DATABASE",
        )


class _NotThereYet(SqliteDatabase):
    """Reads as an empty log, and knows why the next run couldn't make it."""

    def __init__(self, lacking: tuple[str, ...], *, clock: Clock) -> None:
        super().__init__(None, clock=clock, read_only=True)
        self._lacking = lacking

    def check(self) -> tuple[str, ...]:
        return self._lacking


class PostgresDatabase:
    """One connection writes, another reads; both are made again when the server was away."""

    listed = "json_array_elements_text(?::json) AS listed (value)"
    tabled = "json_array_elements(?::json) AS tabled (value)"
    locks = None

    def __init__(
        self,
        url: str,
        *,
        schema: str = DEFAULT_SCHEMA,
        read_only: bool,
        silent_most_s: float = SILENT_MOST_S,
        turn_most_s: float = LOCK_TIMEOUT_S,
    ) -> None:
        self.schema = schema
        self.read_only = read_only
        self._right: Literal["read", "write"] = "read" if read_only else "write"
        self._turn_most_s = turn_most_s
        self._busy_until = 0.0
        self.machine = socket.gethostname()
        self._write_lock = threading.Lock()
        self._read_lock = threading.Lock()
        silence = Silence(most_s=silent_most_s)
        self._writer = Line(url, silence)
        self._reader = Line(url, silence)

    @contextlib.contextmanager
    def writing(self) -> Iterator[Transaction]:
        with self._write_lock, explained(self.schema, sending=True):
            connection = self._begin_writing()
            try:
                # Statements are sent without waiting for the ones before: most of them have nothing to tell.
                with connection.pipeline():
                    yield _PostgresTransaction(connection)
            except BaseException:
                self._writer.undo()
                raise
            self._commit(connection)

    def _begin_writing(self) -> psycopg.Connection:
        turn_s = TURN_AGAIN_S if time.monotonic() < self._busy_until else self._turn_most_s
        try:
            return self._writer.begin(
                _BEGIN_WRITING.format(
                    schema=quoted(self.schema), turn_ms=int(turn_s * 1000), turn=_turn_of(self.schema)
                )
            )
        except errors.LockNotAvailable:
            self._busy_until = time.monotonic() + BUSY_S
            raise

    def _commit(self, connection: psycopg.Connection) -> None:
        try:
            connection.execute("COMMIT")
        except errors.DatabaseError as error:
            self._writer.undo()
            if connection.closed:
                raise LogUnreachable(
                    "PostgreSQL went away while a line was being written; whether it was is not known, but nothing "
                    "that depends on it was sent.",
                    hint="run again: recovery goes by what the log holds",
                ) from error
            raise

    @contextlib.contextmanager
    def reading(self) -> Iterator[Transaction]:
        with self._read_lock, explained(self.schema, sending=False, right=self._right):
            connection = self._reader.begin(_BEGIN_READING.format(schema=quoted(self.schema)))
            try:
                yield _PostgresTransaction(connection)
            finally:
                self._reader.undo()

    def now(self, tx: Transaction) -> float:
        return float(tx.rows("SELECT extract(epoch FROM clock_timestamp())::float8")[0][0])

    def lease_now(self, tx: Transaction) -> float:
        return self.now(tx)

    def shares_lease_clock(self, one: Owner, other: Owner) -> bool:  # noqa: ARG002 - all use the database's
        return True

    def foreign_version(self, tx: Transaction) -> int | None:  # noqa: ARG002 - it doesn't tell
        return None

    def check(self) -> tuple[str, ...]:
        with self.reading() as tx:
            return unsound(tx, self.schema)

    def encoding(self) -> str:
        with self.reading() as tx:
            return str(tx.rows("SHOW server_encoding")[0][0])

    def version(self) -> int:
        """The format of what is there, 0 where nothing is."""
        with self.reading() as tx:
            names = [f"{quoted(self.schema)}.{table}" for table in ("format", "events")]
            marked, made = tx.rows("SELECT to_regclass(?) IS NOT NULL, to_regclass(?) IS NOT NULL", names)[0]
            if made and not marked:
                raise damaged("table format is missing", "Nothing was sent.")
            if not marked:
                return 0
            return int(tx.rows("SELECT version FROM format")[0][0])

    def migrate(self) -> None:
        with self.writing() as tx:
            if tx.rows("SELECT to_regnamespace(?) IS NULL", (quoted(self.schema),))[0][0]:
                tx.run(f"CREATE SCHEMA {quoted(self.schema)}")
            tx.run("CREATE TABLE IF NOT EXISTS format (version INTEGER NOT NULL)")
            # Read again under the lock: another process may have done it while we waited.
            found = tx.rows("SELECT version FROM format")
            if not found:
                tx.run("INSERT INTO format (version) VALUES (0)")
            for step in MIGRATIONS[found[0][0] if found else 0 :]:
                for statement in step:
                    tx.run(statement)
            tx.run("UPDATE format SET version = ?", (len(MIGRATIONS),))

    def close(self) -> None:
        with self._read_lock, self._write_lock:
            self._reader.close()
            self._writer.close()


def _turn_of(schema: str) -> int:
    """The number of the lock by which writers of this schema take turns: those of another don't wait for them."""
    if schema == DEFAULT_SCHEMA:
        return _TURN
    return int.from_bytes(hashlib.sha256(schema.encode()).digest()[:8], signed=True)


class _PostgresTransaction:
    def __init__(self, connection: psycopg.Connection) -> None:
        self._connection = connection

    def rows(self, sql: str, values: Sequence[Value] = ()) -> list[Row]:
        cursor = self._connection.execute(_statement(sql), tuple(values) or None)
        try:
            return cursor.fetchall()
        except psycopg.ProgrammingError as error:
            # The driver's own complaint that there is nothing to fetch; the server's are of derived kinds.
            if type(error) is psycopg.ProgrammingError and cursor.description is None:
                return []
            raise

    def run(self, sql: str, values: Sequence[Value] = ()) -> None:
        self._connection.execute(_statement(sql), tuple(values) or None)

    def many(self, sql: str, rows: Iterable[Sequence[Value]]) -> None:
        with self._connection.cursor() as cursor:
            cursor.executemany(_statement(sql), [tuple(row) for row in rows])


@cache
def _statement(sql: str) -> bytes:
    return sql.replace("?", "%s").encode()
