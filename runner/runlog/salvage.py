"""A log whose file is damaged, made anew from what can still be read of it.

Tables lie on pages of their own, so each tells what another may have lost. A snapshot (`keys.state`) was written with
the last line about its key and wins where it can be read; elsewhere the lines that are left are followed leniently, and
in doubt a key counts as started: what may have been bought must not be bought again.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import glob
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

import apsw

from runner.runlog import ledger
from runner.runlog.database import Clock, Row, Transaction
from runner.runlog.events import Intent, KeyEvent, Refused, Starting, StoredEvent
from runner.runlog.exchange import WRITE_AHEAD_LOG, exchange, keep
from runner.runlog.faults import UPDATE, LogBusy, LogNewer, LogUnusable, OutOfOrder
from runner.runlog.file_lock import alone
from runner.runlog.fold import follow, follow_leniently
from runner.runlog.gathered import Gathered
from runner.runlog.owner import Life, OwnerLocks
from runner.runlog.snapshot import read_state, write_state
from runner.runlog.sqlite import SqliteDatabase, real_place
from runner.runlog.sqlite_schema import APPLICATION_ID, MIGRATIONS
from runner.state import KeyState, Stage

TABLES = {
    "events": ("seq", "at", "run_id", "fence", "kind", "key", "body"),
    "keys": ("key", "fence", "state"),
    "jobs": ("endpoint", "job_id", "key"),
    "starts": ("key", "attempt", "job_id", "refused"),
    "money": ("key", "attempt", "recipe", "day", "run_id", "cap", "reserved", "started", "spent"),
    "runs": ("run_id", "started_at", "ended_at", "endpoint", "account", "command", "exit_code"),
}
# What is looked for where the file doesn't say any more how many rows it had; no table has more rows than lines.
MOST_ROWS = 1 << 16
UNBOUGHT = frozenset({Stage.INTENT, Stage.CREATED, Stage.STAGED})
# Whoever has a database with a write-ahead log open holds a shared lock on these bytes for as long: length and start.
# Source: SQLite, os.h (SHARED_FIRST, SHARED_SIZE).
SHARED_BY_ALL = (510, 0x4000_0002)


@dataclass(frozen=True, kw_only=True, slots=True)
class Salvaged:
    """
    lines    how many lines could be read
    lost     how many are missing of those that were written; None where nobody can tell
    keys     how many keys are known again; of `guessed` some lines are missing, and what is left was followed
    backup   the damaged file as it was
    """

    lines: int
    lost: int | None
    keys: int
    guessed: tuple[str, ...]
    backup: Path


@dataclass(frozen=True, kw_only=True, slots=True)
class _Remains:
    """What can still be read. `written` is the number of the last line, None where the file doesn't say it any more."""

    tables: dict[str, list[Row]]
    written: int | None
    is_sound: bool


def salvage(path: Path, *, now: datetime) -> Salvaged:
    """Put a sound log in the place of the damaged one at `path`, which is kept beside it.

    Raises LogBusy while a run uses it, LogNewer where a newer runner wrote it, LogUnusable where there is none or
    nothing can be read.
    """
    if not path.is_file():
        raise LogUnusable(
            f"{path}: there is no run log. Nothing was changed.",
            hint="name its folder with --state; the first run makes a new one",
        )
    path = real_place(path)
    _refuse_company(path)
    try:
        with alone(path), _alone_in_sqlite(path) as file, _workshop(path) as folder:
            old, new = folder / "old.db", folder / "new.db"
            _copy(file, path, old)
            _refuse_newer(old, named=path)
            told = _make(new, _remains(old, named=path))
            _require_merged(old)
            backup = keep(path, named=f"{path.name}.damaged-{now.astimezone(UTC):%Y%m%dT%H%M%S}")
            exchange(path, merged=old, sound=new)
    except BlockingIOError as error:
        raise _busy(path) from error
    except OSError as error:
        raise LogUnusable(f"{path}: {error.strerror or error}. The log is as it was.") from error
    return replace(told, backup=backup)


def _refuse_company(path: Path) -> None:
    locks = OwnerLocks(path.parent / "owners")
    with contextlib.suppress(FileNotFoundError):
        for owner in (path.parent / "owners").iterdir():
            if locks.life(owner.name) is Life.ALIVE:
                raise _busy(path)


@contextlib.contextmanager
def _alone_in_sqlite(path: Path) -> Iterator[IO[bytes]]:
    """The file, while SQLite has it open nowhere: who couldn't share the lock beside it only looks.

    Any other opening and closing of the file in this process would free the lock (POSIX).
    """
    with path.open("r+b") as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, *SHARED_BY_ALL)
        except (BlockingIOError, PermissionError) as error:
            raise _busy(path) from error
        yield file


@contextlib.contextmanager
def _workshop(path: Path) -> Iterator[Path]:
    """A folder beside the log, for a while; those of rebuildings that were killed go, too."""
    prefix = f"{path.name}-salvage-"
    for left in path.parent.glob(f"{glob.escape(prefix)}*"):
        shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=prefix) as name:
        yield Path(name)


def _copy(file: IO[bytes], path: Path, to: Path) -> None:
    to.touch(mode=0o600)
    with to.open("wb") as copy:
        shutil.copyfileobj(file, copy)
    with contextlib.suppress(FileNotFoundError):  # what is committed may still be in the write-ahead log
        shutil.copyfile(f"{path}{WRITE_AHEAD_LOG}", f"{to}{WRITE_AHEAD_LOG}")


def _require_merged(copy: Path) -> None:
    """Whoever closed it last put its write-ahead log into it, and removed that. Raises OSError."""
    if Path(f"{copy}{WRITE_AHEAD_LOG}").exists():
        raise OSError(errno.EIO, "what its write-ahead log holds can't be put into a copy of it")


def _busy(path: Path) -> LogBusy:
    return LogBusy(f"{path}: a run is using this log. Nothing was changed.", hint="wait for its end")


def _refuse_newer(path: Path, *, named: Path) -> None:
    """What this runner doesn't know of a newer log it would leave out, and buy again. A first page that can't be read
    says nothing."""
    with contextlib.suppress(apsw.Error), contextlib.closing(apsw.Connection(str(path))) as connection:
        ((application,),) = connection.execute("PRAGMA application_id").fetchall()
        ((version,),) = connection.execute("PRAGMA user_version").fetchall()
        if application == APPLICATION_ID and isinstance(version, int) and version > len(MIGRATIONS):
            raise LogNewer(
                f"{named}: this run log was written by a newer runner (format {version}; this one knows "
                f"{len(MIGRATIONS)}), which alone can rebuild it. Nothing was changed.",
                hint=UPDATE,
            )


_LEFT = (
    "restore it from a backup. Without one, move it away: to the next run all is new then, and is bought again; "
    "`runner sweep --dry-run` shows what the account holds"
)


def _remains(path: Path, *, named: Path) -> _Remains:
    try:
        connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE)
        with contextlib.closing(connection):
            is_sound = _is_sound(connection)
            connection.execute("PRAGMA writable_schema = ON")  # go on where only the schema's checks complain
            tables = {name: list(_readable(connection, name, columns)) for name, columns in TABLES.items()}
            written = _last_line(connection)
    except (apsw.Error, UnicodeDecodeError) as error:
        raise LogUnusable(
            f"{named}: nothing of this log can be read ({error}). Nothing was changed.", hint=_LEFT
        ) from error
    if not any(tables.values()):
        raise LogUnusable(f"{named}: nothing of this log can be read. Nothing was changed.", hint=_LEFT)
    return _Remains(tables=tables, written=written, is_sound=is_sound)


def _is_sound(connection: apsw.Connection) -> bool:
    with contextlib.suppress(apsw.Error):
        return connection.execute("PRAGMA integrity_check(1)").fetchall() == [("ok",)]
    return False


def _readable(connection: apsw.Connection, table: str, columns: Sequence[str]) -> Iterator[Row]:
    """The rows that can be read: a range that can't is halved until its bad rows are alone."""
    sql = f"SELECT rowid, {', '.join(columns)} FROM {table} NOT INDEXED WHERE rowid BETWEEN ? AND ?"  # noqa: S608
    ranges = [(1, _last_row(connection, table))] if _is_reachable(connection, table) else []
    while ranges:
        first, last = ranges.pop()
        try:
            rows = connection.execute(sql, (first, last)).fetchall()
        except (apsw.Error, UnicodeDecodeError):
            middle = (first + last) // 2
            ranges += [(middle + 1, last), (first, middle)] if first < last else []
        else:
            yield from (row[1:] for row in sorted(rows))


def _is_reachable(connection: apsw.Connection, table: str) -> bool:
    """Whether any of the table's pages can be reached: rows are looked for all over it."""
    for power in range(40):
        with contextlib.suppress(apsw.Error, UnicodeDecodeError):
            connection.execute(f"SELECT * FROM {table} NOT INDEXED WHERE rowid = ?", (1 << power,)).fetchall()  # noqa: S608
            return True
    return False


def _last_row(connection: apsw.Connection, table: str) -> int:
    with contextlib.suppress(apsw.Error):
        ((value,),) = connection.execute(f"SELECT max(rowid) FROM {table} NOT INDEXED").fetchall()  # noqa: S608
        return int(str(value or 0))
    return _last_line(connection) or MOST_ROWS


def _last_line(connection: apsw.Connection) -> int | None:
    """The number of the last line, which stands on a page of its own: the end of the lines may be gone."""
    with contextlib.suppress(apsw.Error, ValueError):
        ((value,),) = connection.execute("SELECT max(seq) FROM sqlite_sequence").fetchall()
        return int(str(value))
    return None


def _make(path: Path, remains: _Remains) -> Salvaged:
    tables = remains.tables
    spoilt = _spoilt(remains)
    events = list(_events(tables["events"], spoilt))
    lost = _lost(remains, events)
    database = SqliteDatabase(path, clock=Clock())
    try:
        with database.writing() as tx:
            gathered = Gathered(db=database)
            for stored in _with_lost_refusals(events):
                gathered.project(tx, stored.at, stored.run_id, stored.event)
            gathered.flush(tx)
            readable = {stored.seq for stored in events}
            tables["events"] = [row for row in tables["events"] if row[0] in readable]
            states, guessed = _states(tables, events, spoilt)
            fences = {key: fence for key, fence, _ in tables["keys"]}
            # Above whatever fence was given out before: nobody of then may write.
            tables["keys"] = [
                (key, fences.get(key, 1) + 1_000_000, write_state(state)) for key, state in states.items()
            ]
            for name, columns in TABLES.items():
                _insert(tx, name, columns, tables[name])
    finally:
        database.close()
    return Salvaged(lines=len(events), lost=lost, keys=len(states), guessed=tuple(sorted(guessed)), backup=path)


def _spoilt(remains: _Remains) -> tuple[type[Exception], ...]:
    """What reading half a body raises. What looks like a newer runner's in a sound file is just that, and isn't left
    out."""
    return (LookupError, TypeError, ValueError, *(() if remains.is_sound else (LogNewer,)))


def _events(rows: Iterable[Row], spoilt: tuple[type[Exception], ...]) -> Iterator[StoredEvent]:
    for seq, at, run_id, fence, kind, _key, body in rows:
        with contextlib.suppress(*spoilt):
            yield ledger.stored_event((seq, at, run_id, fence, kind, body))


def _with_lost_refusals(events: Iterable[StoredEvent]) -> Iterator[StoredEvent]:
    """`events`, and what must have been said where an attempt starts another job than before: that was refused."""
    started: dict[tuple[str, int], str] = {}
    for stored in events:
        event = stored.event
        if isinstance(event, Starting):
            before = started.get((event.key, event.attempt), event.job_id)
            if before != event.job_id:
                refused = Refused(key=event.key, attempt=event.attempt, status=0, message="")
                yield replace(stored, event=refused)
            started[event.key, event.attempt] = event.job_id
        yield stored


def _insert(tx: Transaction, table: str, columns: Sequence[str], rows: Iterable[Row]) -> None:
    marks = ", ".join("?" for _ in columns)
    for row in rows:
        with contextlib.suppress(apsw.ConstraintError):  # a row that was damaged so well that it can be read
            tx.run(f"INSERT OR REPLACE INTO {table} ({', '.join(columns)}) VALUES ({marks})", row)  # noqa: S608


def _states(
    tables: Mapping[str, Iterable[Row]], events: Iterable[StoredEvent], spoilt: tuple[type[Exception], ...]
) -> tuple[dict[str, KeyState], set[str]]:
    """What is known of each key, and of which some lines are missing."""
    followed, guessed = _followed(events)
    for key, _fence, text in tables["keys"]:
        with contextlib.suppress(*spoilt):
            if text is not None:
                followed[key] = read_state(text)
                guessed.discard(key)
    for key, attempt, job_id, refused in tables["starts"]:
        state = followed.get(key)
        if not refused and not _knows_start(state, attempt):
            followed[key] = _starting(state, key=key, attempt=attempt, job_id=job_id)
            guessed.add(key)
    return followed, guessed


def _knows_start(state: KeyState | None, attempt: int) -> bool:
    if state is None or state.attempt < attempt:
        return False
    return state.attempt > attempt or state.stage not in UNBOUGHT


def _starting(state: KeyState | None, *, key: str, attempt: int, job_id: str) -> KeyState:
    """What may have been bought: of an attempt that the lines don't know of it is all that is known."""
    if state is None:
        return KeyState(key=key, attempt=attempt, stage=Stage.STARTING, job_id=job_id)
    if state.attempt < attempt:
        state = follow_leniently(state, Intent.again(replace(state, attempt=attempt)), at=0.0)
    return replace(state, stage=Stage.STARTING, job_id=job_id)


def _followed(events: Iterable[StoredEvent]) -> tuple[dict[str, KeyState], set[str]]:
    followed: dict[str, KeyState] = {}
    guessed: set[str] = set()
    for stored in events:
        if isinstance(stored.event, KeyEvent):
            before = followed.get(stored.event.key)
            try:
                after = follow(before, stored.event, at=stored.at)
            except OutOfOrder:
                guessed.add(stored.event.key)
                after = follow_leniently(before, stored.event, at=stored.at)
            followed[stored.event.key] = after
    return followed, guessed


def _lost(remains: _Remains, events: Sequence[StoredEvent]) -> int | None:
    """Numbers that are missing in a sound log were lost before; else lines are numbered from 1 without a gap."""
    if remains.is_sound and len(events) == len(remains.tables["events"]):
        return 0
    numbers = {stored.seq for stored in events}
    if remains.written is None or remains.written < max(numbers, default=1):
        return None
    return remains.written - len(numbers)
