"""Passwords of downloads, kept as hashes: they have to work after a restart, and be readable never.

A hash is made to be slow, so none is made on the event loop: `api/hashing.py` asks for them in threads.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping

from runner.server.jobs.limits import MOST_CONVERSIONS, MOST_PASSWORDS
from runner.wire.values import Json

# About 5 ms each: enough against a stolen state folder, little enough for a download.
_COST = 2**11
_MOST_TRIED = 16

HashPassword = Callable[[str], str]


def new_salt() -> bytes:
    return secrets.token_bytes(16)


def hash_password(password: str, salt: bytes) -> str:
    digest = hashlib.scrypt(password.encode("utf-8", "surrogatepass"), salt=salt, n=_COST, r=8, p=1)
    return f"{salt.hex()}:{digest.hex()}"


def salt_of(hashed: str) -> bytes:
    return bytes.fromhex(hashed.partition(":")[0])


def hasher(salt: bytes, known: Mapping[str, str]) -> HashPassword:
    """Hashes under one salt, as a job has them; those in `known` cost nothing any more."""
    return lambda password: known.get(password) or hash_password(password, salt)


def passwords_in(body: Json) -> list[str]:
    """Every password that a request's body sets, once; none where it has too many, since it is refused for that."""
    found = dict.fromkeys(one for entry in _objects(body) for one in _passwords_of(entry))
    return list(found) if len(found) <= MOST_CONVERSIONS + MOST_PASSWORDS else []


def may_set_passwords(body: bytes) -> bool:
    """Whether a request's body, not read yet, can hold any: most don't, and needn't be searched."""
    return b"password" in body or b"\\" in body  # JSON may write a name with escapes


def _passwords_of(entry: dict[str, Json]) -> Iterator[str]:
    parts = [entry, *_objects(entry.get("conversion"))]
    several = _texts(entry.get("download_passwords"))
    if len(parts) > MOST_CONVERSIONS + 1 or len(several) > MOST_PASSWORDS:
        return
    yield from several
    yield from _texts(entry.get("download_password"))
    for options in (one for part in parts for one in _objects(part.get("options"))):
        yield from _texts(options.get("download_password"))


def _objects(value: Json) -> list[dict[str, Json]]:
    """What counts as an array of objects: a bare one, too."""
    if value is None:
        return []
    return [one for one in (value if isinstance(value, list) else [value]) if isinstance(one, dict)]


def _texts(value: Json) -> list[str]:
    if value is None:
        return []
    return [one for one in (value if isinstance(value, list) else [value]) if isinstance(one, str) and one]


def tries(hashes: Iterable[str], given: str) -> Iterator[tuple[str, bytes, list[str]]]:
    """What to hash to know whether `given` opens: a candidate and a salt, with the hashes that one may be.

    `given` is one password or several with commas between; those of a job have one salt, and each candidate is
    tried once with each salt, however many passwords there are.
    """
    by_salt: dict[bytes, list[str]] = {}
    for known in hashes:
        by_salt.setdefault(salt_of(known), []).append(known)
    candidates = dict.fromkeys([given, *(part.strip() for part in given.split(",")[:_MOST_TRIED])])
    for candidate in candidates:
        for salt, same_salt in by_salt.items():
            yield candidate, salt, same_salt


def is_among(hashed: str, hashes: Iterable[str]) -> bool:
    return any(hmac.compare_digest(hashed, known) for known in hashes)
