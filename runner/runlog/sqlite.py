"""The run log in one file: SQLite with a write-ahead log, synced at every commit.

apsw brings its own SQLite: the one that many Pythons link can damage a file that two processes write (the WAL-reset
bug, fixed in 3.51.3).
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
import uuid
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Literal

import apsw

from runner.runlog.database import Clock, Row, Transaction, Value
from runner.runlog.faults import UNSENT, UPDATE, LogBusy, LogCorrupt, LogNewer, LogUnusable
from runner.runlog.file_lock import FileLock
from runner.runlog.owner import Owner, OwnerLocks
from runner.runlog.sqlite_schema import APPLICATION_ID, MIGRATIONS

BUSY_TIMEOUT_MS = 30_000
# A look at every page costs a millisecond for each MiB; big logs are looked at by `check` only.
QUICK_CHECK_MOST_BYTES = 4 * 1024 * 1024


class SqliteDatabase:
    """One connection writes, another reads; each may be used by one thread at a time, which the locks see to."""

    listed = tabled = "json_each(?)"
    machine = ""

    def __init__(self, path: Path | None, *, clock: Clock, read_only: bool = False) -> None:
        """Open or make the log at `path`; None keeps it in memory. Raises LogUnusable and its kind."""
        self.read_only = read_only
        self._clock = clock
        self._write_lock = threading.Lock()
        self._read_lock = threading.Lock()
        with _explained(path, sending=False, right="read" if read_only else "write"):
            if path is not None:
                if not read_only:
                    _make_folder(path.parent)
                path = real_place(path)
            self.locks = None if path is None or read_only else OwnerLocks(path.parent / "owners")
            # Somebody who only looks makes no file: a log that isn't there reads as an empty one.
            self._path = path = None if read_only and path is not None and _is_empty(path) else path
            self._file_lock = None if path is None else _take_file_lock(path, read_only=read_only)
            try:
                self._name = _prepare(path, read_only=read_only)
                self._connect_twice()
            except BaseException:
                self._let_go()
                raise

    @contextlib.contextmanager
    def writing(self) -> Iterator[Transaction]:
        with self._write_lock, _explained(self._path, sending=True):
            self._writer.execute("BEGIN IMMEDIATE")
            try:
                yield _SqliteTransaction(self._writer)
                self._writer.execute("COMMIT")
            except BaseException:
                if self._writer.in_transaction:  # a full disk may have rolled back already
                    self._writer.execute("ROLLBACK")
                raise

    @contextlib.contextmanager
    def reading(self) -> Iterator[Transaction]:
        with self._read_lock, _explained(self._path, sending=False, right="read"):
            self._reader.execute("BEGIN")
            try:
                yield _SqliteTransaction(self._reader)
            finally:
                if self._reader.in_transaction:
                    self._reader.execute("ROLLBACK")

    def now(self, tx: Transaction) -> float:  # noqa: ARG002 - other databases ask the database
        return self._clock.now()

    def lease_now(self, tx: Transaction) -> float:  # noqa: ARG002
        return self._clock.monotonic()

    def shares_lease_clock(self, one: Owner, other: Owner) -> bool:
        return one.boot_id == other.boot_id != ""

    def foreign_version(self, tx: Transaction) -> int | None:
        ((version,),) = tx.rows("PRAGMA data_version")
        return int(version)

    def check(self) -> tuple[str, ...]:
        with self.reading() as tx:
            found = [str(row[0]) for row in tx.rows("PRAGMA integrity_check")]
        return () if found == ["ok"] else tuple(found)

    def close(self) -> None:
        if self.locks is not None:
            self.locks.close()
        try:
            with self._read_lock, self._write_lock, _explained(self._path, sending=False):
                self._reader.close()
                self._writer.close()
        finally:
            self._let_go()

    def _let_go(self) -> None:
        """After the last connection was closed: from then on the file may be another."""
        if self._file_lock is not None:
            self._file_lock.close()

    def _connect_twice(self) -> None:
        self._writer = self._connect()
        try:
            self._open()
            self._reader = self._connect()
        except BaseException:
            self._writer.close()
            raise

    def _connect(self) -> apsw.Connection:
        flags = apsw.SQLITE_OPEN_URI | apsw.SQLITE_OPEN_READWRITE
        if self._path is None:
            flags |= apsw.SQLITE_OPEN_CREATE
        elif self.read_only:
            flags = apsw.SQLITE_OPEN_URI | apsw.SQLITE_OPEN_READONLY
        connection = apsw.Connection(self._name, flags=flags, statementcachesize=100)
        connection.set_busy_timeout(BUSY_TIMEOUT_MS)
        connection.execute("PRAGMA synchronous = FULL; PRAGMA cell_size_check = ON; PRAGMA foreign_keys = ON")
        return connection

    def _open(self) -> None:
        version = self._version()
        if version > len(MIGRATIONS):
            raise LogNewer(
                f"{self._path}: this run log was written by a newer runner (format {version}; this one knows "
                f"{len(MIGRATIONS)}). Nothing was sent.",
                hint=f"{UPDATE}; with another --state all would be bought again",
            )
        if self._path is not None and self._path.stat().st_size <= QUICK_CHECK_MOST_BYTES:
            self._refuse_damage()
        if version == 0 and self.read_only and self._path is not None:
            # Its making goes on, or was cut off, after the file was there: who only looks sees an empty one.
            self._writer.close()
            self._path, self._name = None, _prepare(None, read_only=True)
            self._writer = self._connect()
        if version < len(MIGRATIONS) and (self._path is None or not self.read_only):
            self._migrate()

    def _version(self) -> int:
        application = self._pragma("application_id")
        if application not in (0, APPLICATION_ID) or (application == 0 and self._has_tables()):
            raise LogUnusable(
                f"{self._path}: this is a database of another program, not a run log. Nothing was sent.",
                hint="name another folder with --state or RUNNER_STATE",
            )
        return self._pragma("user_version")

    def _pragma(self, name: str) -> int:
        value = self._writer.execute(f"PRAGMA {name}").fetchall()[0][0]
        assert isinstance(value, int)
        return value

    def _has_tables(self) -> bool:
        return bool(self._writer.execute("SELECT 1 FROM sqlite_schema LIMIT 1").fetchall())

    def _refuse_damage(self) -> None:
        found = self._writer.execute("PRAGMA quick_check(3)").fetchall()
        if found != [("ok",)]:
            told = "\n".join(str(row[0]) for row in found).splitlines()
            raise _corrupt(self._path, "; ".join(line for line in told if not line.startswith("***")))

    def _migrate(self) -> None:
        if self._path is not None:
            _switch_to_wal(self._writer)
        with self._write_lock:
            self._writer.execute("BEGIN IMMEDIATE")
            try:
                # Read again: another process may have done it while we waited.
                for step in MIGRATIONS[self._pragma("user_version") :]:
                    for statement in step:
                        self._writer.execute(statement)
                self._writer.execute(
                    f"PRAGMA user_version = {len(MIGRATIONS)}; PRAGMA application_id = {APPLICATION_ID}; COMMIT"
                )
            except BaseException:
                if self._writer.in_transaction:
                    self._writer.execute("ROLLBACK")
                raise


class _SqliteTransaction:
    def __init__(self, connection: apsw.Connection) -> None:
        self._connection = connection

    def rows(self, sql: str, values: Sequence[Value] = ()) -> list[Row]:
        return self._connection.execute(sql, tuple(values)).fetchall()

    def run(self, sql: str, values: Sequence[Value] = ()) -> None:
        self._connection.execute(sql, tuple(values))

    def many(self, sql: str, rows: Iterable[Sequence[Value]]) -> None:
        self._connection.executemany(sql, [tuple(row) for row in rows])


def real_place(path: Path) -> Path:
    """Where the file lies, whatever links lead there: SQLite keeps its write-ahead log beside it, and so do we all that
    those who use one log have in common."""
    return Path(os.path.realpath(path))


def _make_folder(folder: Path) -> None:
    """With rights for us alone. Not the one that a link to the file leads to: where that is missing, a disk may be."""
    if not folder.is_dir():
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)


def _take_file_lock(path: Path, *, read_only: bool) -> FileLock:
    """The lock that keeps the file in its place."""
    try:
        return FileLock(path, make=not read_only, within_s=BUSY_TIMEOUT_MS / 1000)
    except BlockingIOError as error:
        raise LogBusy(
            f"{path}: `runner doctor --rebuild-log` is making this run log anew. Nothing was sent.",
            hint="wait for its end, and run again",
        ) from error


def _prepare(path: Path | None, *, read_only: bool) -> str:
    """Make the file with rights for us alone; the name to open it by."""
    if path is None:
        return f"file:/run-log-{uuid.uuid4().hex}?vfs=memdb"
    if read_only:
        return _uri(path) + ("?mode=ro" if _can_share(path) else "?immutable=1")
    was_there = path.exists()
    number = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    os.close(number)
    if not was_there:
        _sync_folder(path.parent)
    return _uri(path) + "?mode=rw"


def _is_empty(path: Path) -> bool:
    try:
        return path.stat().st_size == 0
    except FileNotFoundError:
        return True


def _uri(path: Path) -> str:
    return path.absolute().as_uri()


def _can_share(path: Path) -> bool:
    """Whether a reader can take part in the write-ahead log: in a folder we can't write it needs what is there."""
    wal = path.with_name(path.name + "-wal")
    return os.access(path.parent, os.W_OK) or (wal.exists() and wal.stat().st_size > 0)


def _sync_folder(folder: Path) -> None:
    number = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def _switch_to_wal(connection: apsw.Connection) -> None:
    """SQLite answers "busy" at once here when several processes make one log; the switch is done once for a file."""
    until = time.monotonic() + BUSY_TIMEOUT_MS / 1000
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except apsw.BusyError:
            if time.monotonic() > until:
                raise
            time.sleep(0.01)


@contextlib.contextmanager
def _explained(path: Path | None, *, sending: bool, right: Literal["read", "write"] = "write") -> Iterator[None]:
    """Foreign errors become ours, here and nowhere else; `right` is what is wanted of the file."""
    unsent = UNSENT if sending else "Nothing was sent."
    try:
        yield
    except (apsw.CorruptError, apsw.NotADBError) as error:
        raise _corrupt(path, str(error)) from error
    except (apsw.FullError, apsw.IOError) as error:
        raise _disk_failed(path, error, unsent) from error
    except apsw.BusyError as error:
        raise LogBusy(
            f"{path}: another process has been writing for {BUSY_TIMEOUT_MS // 1000} s. {unsent}",
            hint="`runner status` shows who; a suspended one may need to be resumed or ended",
        ) from error
    except (apsw.ReadOnlyError, apsw.CantOpenError, apsw.PermissionsError, apsw.AuthError) as error:
        raise LogUnusable(
            f"{path}: no right to {right} the run log ({error}). {unsent}",
            hint="check the rights of the file and its folder, or name another folder with --state",
        ) from error
    except PermissionError as error:
        raise LogUnusable(
            f"{path}: no right to {right} the run log. {unsent}",
            hint="check the rights of the file and its folder, or name another folder with --state",
        ) from error
    except OSError as error:
        raise LogUnusable(
            f"{path}: {error.strerror or error}. {unsent}",
            hint="check the folder and its rights, or name another with --state or RUNNER_STATE",
        ) from error


def _disk_failed(path: Path | None, error: apsw.FullError | apsw.IOError, unsent: str) -> LogUnusable:
    if isinstance(error, apsw.FullError) or _is_full(path):
        return LogUnusable(f"{path}: no space left on the disk. {unsent}", hint="make room, and run again")
    return LogUnusable(
        f"{path}: the disk can't be read or written ({error}). {unsent}", hint="check the disk, and run again"
    )


def _is_full(path: Path | None) -> bool:
    """SQLite calls it an I/O error where its shared memory file finds no room."""
    try:
        return path is not None and os.statvfs(path.parent).f_bavail == 0
    except OSError:
        return False


def _corrupt(path: Path | None, why: str) -> LogCorrupt:
    return LogCorrupt(
        f"{path}: the run log is damaged ({why}). Nothing was sent.",
        hint="restore it from a backup, or let `runner doctor --rebuild-log` make it anew from what can be read of it; "
        "a run buys again what its log doesn't know, and `runner sweep --dry-run` shows what the account holds",
    )
