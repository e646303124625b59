"""Passwords of downloads, kept as hashes: they have to work after a restart, and be readable never."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Iterable

# About 5 ms each: enough against a stolen state folder, little enough for a download.
_COST = 2**11
_MOST_TRIED = 16


def hash_password(password: str, salt: bytes | None = None) -> str:
    salt = secrets.token_bytes(16) if salt is None else salt
    digest = hashlib.scrypt(password.encode("utf-8", "surrogatepass"), salt=salt, n=_COST, r=8, p=1)
    return f"{salt.hex()}:{digest.hex()}"


def hash_passwords(passwords: Iterable[str]) -> tuple[str, ...]:
    """Hashes of one list, under one salt, so that trying a password costs one hash and not one per entry."""
    salt = secrets.token_bytes(16)
    return tuple(hash_password(one, salt) for one in passwords)


def opens(hashes: Iterable[str], given: str) -> bool:
    """Whether `given`, one password or several with commas between, has one of `hashes`."""
    candidates = [given, *(part.strip() for part in given.split(",")[:_MOST_TRIED])]
    return any(_matches(known, candidates) for known in hashes)


def _matches(known: str, candidates: list[str]) -> bool:
    salt = bytes.fromhex(known.partition(":")[0])
    return any(hmac.compare_digest(known, hash_password(one, salt)) for one in dict.fromkeys(candidates))
