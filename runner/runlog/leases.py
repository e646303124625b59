"""Leases: one owner for a key, and a fence that outlives every owner.

A lease belongs to an owner, who beats for all of them at once. Taking over means raising the fence of every key of
the dead owner first; from then on nothing it appends is accepted, whatever it believes. So judging wrongly that an
owner is dead costs it its work in hand, and never credits.

Time comes from a clock that can't be set: the kernel's monotonic one where all owners share a boot, else the
database's; and where its lease can't be compared, or its clock was set back, an owner is taken for dead when we have
watched it not beat for as long as its lease is.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field

from runner.runlog.database import Database, Row, Transaction
from runner.runlog.owner import Life, Owner


@dataclass(frozen=True, kw_only=True, slots=True)
class Fence:
    """The right to append lines about `key`, until a higher number exists."""

    key: str
    number: int
    token: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Lease:
    """A lease for people to look at; `expires_in_s` is negative once it ran out.

    gone  whether its process is no more, as far as that can be told from here
    """

    key: str
    fence: int
    owner: Owner
    expires_in_s: float
    gone: bool = False

    @property
    def holds(self) -> bool:
        """Whether a run would leave the work to its owner."""
        return not self.gone and self.expires_in_s > 0


@dataclass(frozen=True, kw_only=True, slots=True)
class _Seen:
    beat: int
    since: float


@dataclass(kw_only=True, slots=True)
class Watch:
    """What we have seen of other owners' beats, by our own monotonic clock."""

    seen: dict[str, _Seen] = field(default_factory=dict)

    def silent_s(self, token: str, beat: int, now: float) -> float:
        known = self.seen.get(token)
        if known is None or known.beat != beat:
            self.seen[token] = known = _Seen(beat=beat, since=now)
        return now - known.since


def claim(
    tx: Transaction, db: Database, keys: Iterable[str], owner: Owner, ttl_s: float, watch: Watch, monotonic: float
) -> dict[str, Fence]:
    """The keys of `keys` that are ours now; those that others hold are missing. Asking twice changes nothing."""
    wanted = list(dict.fromkeys(keys))
    _bury_the_dead(tx, db, owner, watch, monotonic)
    _beat(tx, db, owner, ttl_s)
    tx.run(
        f"INSERT INTO keys (key, fence, owner) SELECT value, 1, ? FROM {db.listed} WHERE true "  # noqa: S608 - ours
        "ON CONFLICT (key) DO UPDATE SET fence = keys.fence + 1, owner = excluded.owner WHERE keys.owner IS NULL",
        (owner.token, json.dumps(wanted)),
    )
    held = _held(tx, db, owner.token, wanted)
    return {key: Fence(key=key, number=held[key], token=owner.token) for key in wanted if key in held}


def _held(tx: Transaction, db: Database, token: str, keys: Iterable[str]) -> dict[str, int]:
    sql = f"SELECT key, fence FROM keys WHERE owner = ? AND key IN (SELECT value FROM {db.listed})"  # noqa: S608
    return dict(tx.rows(sql, (token, json.dumps(list(keys)))))


def _bury_the_dead(tx: Transaction, db: Database, owner: Owner, watch: Watch, monotonic: float) -> None:
    now = db.lease_now(tx)
    for row in tx.rows(f"SELECT {_OWNER_COLUMNS} FROM owners WHERE token <> ?", (owner.token,)):  # noqa: S608
        other, beat, expires, ttl_s = _owner(row), int(row[8]), float(row[7]), float(row[6])
        silent_s = watch.silent_s(other.token, beat, monotonic)
        late = silent_s > ttl_s or (db.shares_lease_clock(other, owner) and now > expires)
        if late or _is_gone(db, other, owner):
            bury(tx, other.token)
            watch.seen.pop(other.token, None)
            if db.locks is not None and db.locks.life(other.token) is Life.DEAD:
                db.locks.remove(other.token)


def _is_gone(db: Database, other: Owner, owner: Owner) -> bool:
    by_lock = Life.UNKNOWN if db.locks is None else db.locks.life(other.token)
    return Life.DEAD in (by_lock, other.process_life(seen_from=owner))


def bury(tx: Transaction, token: str) -> None:
    """Revoke every fence of an owner, and forget it."""
    tx.run("UPDATE keys SET owner = NULL, fence = fence + 1 WHERE owner = ?", (token,))
    tx.run("DELETE FROM owners WHERE token = ?", (token,))


def _beat(tx: Transaction, db: Database, owner: Owner, ttl_s: float) -> None:
    tx.run(
        "INSERT INTO owners (token, host, boot_id, pid_namespace, pid, pid_started, ttl_s, expires, beat) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, 0) ON CONFLICT (token) DO UPDATE "
        "SET ttl_s = excluded.ttl_s, expires = excluded.expires, beat = owners.beat + 1",
        (
            owner.token,
            owner.host,
            owner.boot_id,
            owner.pid_namespace,
            owner.pid,
            owner.pid_started,
            ttl_s,
            db.lease_now(tx) + ttl_s,
        ),
    )


def renew(tx: Transaction, db: Database, fences: Iterable[Fence], ttl_s: float) -> frozenset[str]:
    """Beat once for all leases of their owners; the keys of `fences` that aren't theirs any more."""
    lost: set[str] = set()
    by_token: dict[str, list[Fence]] = {}
    for fence in fences:
        by_token.setdefault(fence.token, []).append(fence)
    for token, own in by_token.items():
        sql = "UPDATE owners SET ttl_s = ?, expires = ?, beat = beat + 1 WHERE token = ?"
        tx.run(sql, (ttl_s, db.lease_now(tx) + ttl_s, token))
        held = _held(tx, db, token, [fence.key for fence in own])
        lost.update(fence.key for fence in own if held.get(fence.key) != fence.number)
    return frozenset(lost)


def release(tx: Transaction, fences: Iterable[Fence]) -> None:
    """Give leases back; those that aren't ours any more are left alone. The number stays, for the next owner."""
    tx.many(
        "UPDATE keys SET owner = NULL WHERE key = ? AND owner = ? AND fence = ?",
        [(fence.key, fence.token, fence.number) for fence in fences],
    )


def leases(tx: Transaction, db: Database) -> list[Lease]:
    now, here = db.lease_now(tx), Owner.this_process()
    gone: dict[str, bool] = {}
    sql = (
        f"SELECT {_OWNER_COLUMNS}, keys.key, keys.fence FROM keys JOIN owners ON owners.token = keys.owner "  # noqa: S608
        "ORDER BY keys.key"
    )
    held: list[Lease] = []
    for row in tx.rows(sql):
        owner = _owner(row)
        if owner.token not in gone:
            gone[owner.token] = _is_gone(db, owner, here)
        expires_in_s = float(row[7]) - now
        held.append(Lease(key=row[9], fence=row[10], owner=owner, expires_in_s=expires_in_s, gone=gone[owner.token]))
    return held


_OWNER_COLUMNS = (
    "owners.token, owners.host, owners.boot_id, owners.pid_namespace, owners.pid, owners.pid_started, "
    "owners.ttl_s, owners.expires, owners.beat"
)


def _owner(row: Row) -> Owner:
    token, host, boot_id, pid_namespace, pid, pid_started = row[:6]
    return Owner(token=token, host=host, boot_id=boot_id, pid_namespace=pid_namespace, pid=pid, pid_started=pid_started)
