"""Account keys in the database: their digests, whose they are, and since when they are revoked.

Keys are known by their SHA-256 only. They are long and random, so a plain digest can't be guessed back, and
finding a digest in an index takes the same time for every wrong key that could be tried. The first digits of the
digest are the key's name for people.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import apsw

from runner.server.book import DATABASE
from runner.server.jobs.ids import new_key
from runner.server.store.database import StoreError, connect, migrate

_ID_DIGITS = 12


@dataclass(frozen=True, kw_only=True, slots=True)
class KeyRow:
    """A key as people see it: never the key itself. `revoked` is None while it is good."""

    id: str
    account: str
    label: str
    created: float
    revoked: float | None


def digest_of(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()


def id_of(digest: bytes) -> str:
    return digest.hex()[:_ID_DIGITS]


def insert_key(db: apsw.Connection, key: str, account: str, label: str, now: float) -> None:
    db.execute(
        "insert into keys (hash, account, created, label) values (?, ?, ?, ?)", (digest_of(key), account, now, label)
    )


def revoke_labelled(db: apsw.Connection, account: str, label: str, now: float) -> None:
    db.execute("update keys set revoked = ? where account = ? and label = ? and revoked is null", (now, account, label))


def add_key(state_dir: Path, *, account: str, label: str) -> str:
    """A new key for `account`, which is shown once: only its digest is kept. Raises StoreError, OSError."""
    key = new_key()
    with _opened(state_dir) as db:
        insert_key(db, key, account, label, time.time())
    return key


def list_keys(state_dir: Path) -> list[KeyRow]:
    """Every key there ever was, oldest first. Raises StoreError, OSError."""
    with _there(state_dir) as db:
        rows = db.execute("select hash, account, label, created, revoked from keys order by created").fetchall()
    return [_key_row(*row) for row in rows]


def revoke_key(state_dir: Path, key_id: str) -> KeyRow | None:
    """Revokes the key of that id, at once also where a server runs; None where there is none.

    One that was revoked before stays as it was. Raises StoreError, OSError.
    """
    with _there(state_dir) as db:
        db.execute(
            "update keys set revoked = coalesce(revoked, ?) where substr(lower(hex(hash)), 1, ?) = ?",
            (time.time(), _ID_DIGITS, key_id.strip().lower()),
        )
    return next((row for row in list_keys(state_dir) if row.id == key_id.strip().lower()), None)


@contextmanager
def _there(state_dir: Path) -> Iterator[apsw.Connection]:
    """As `_opened`, for who changes nothing where nothing is."""
    if not (state_dir / DATABASE).exists():
        raise StoreError(f"there is no state of a server in {state_dir}")
    with _opened(state_dir) as db:
        yield db


@contextmanager
def _opened(state_dir: Path) -> Iterator[apsw.Connection]:
    """The database of a state folder, made where there is none; the server may be running beside it."""
    state_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = state_dir / DATABASE
    try:
        db = connect(path)
        try:
            migrate(db, path)
            yield db
        finally:
            db.close()
    except apsw.Error as error:
        raise StoreError(f"{path} can't be used: {error}; move it away, or give another state folder") from error


def _key_row(digest: object, account: object, label: object, created: object, revoked: object) -> KeyRow:
    return KeyRow(
        id=id_of(digest) if isinstance(digest, bytes) else "",
        account=str(account),
        label=str(label),
        created=created if isinstance(created, float) else 0.0,
        revoked=revoked if isinstance(revoked, float) else None,
    )
