"""Ids and tokens: nobody can guess them, and those of one moment lie side by side.

Ids are UUIDs of version 7 (RFC 9562): time first, then 74 random bits, so that an index of a million of them
is written at its end and not all over. A token begins with the time of its job's id, which finds the job
without an index of its own; the 80 bits behind it are random.
"""

from __future__ import annotations

import os
import time
from functools import lru_cache

_POOL_BYTES = 16_384
_TIME_DIGITS = 12
_NOISE_DIGITS = 32
_VARIANTS = {digit: "89ab"[int(digit, 16) & 3] for digit in "0123456789abcdef"}

# One call to the system costs more than the bytes do, and lets other threads go first.
_pool: list[str] = []


def new_id() -> str:
    noise = _noise()
    return f"{_when(int(time.time() * 1000))}-7{noise[:3]}-{_VARIANTS[noise[3]]}{noise[4:7]}-{noise[7:19]}"


def id_at(moment: float) -> str:
    """The smallest id that could have been made then (seconds since the epoch)."""
    return f"{_when(max(0, int(moment * 1000)))}-7000-8000-000000000000"


def new_token(job_id: str) -> str:
    """32 lower-case hex digits."""
    return job_id.replace("-", "")[:_TIME_DIGITS] + _noise()[: _NOISE_DIGITS - _TIME_DIGITS]


def id_range(token: str) -> tuple[str, str]:
    """The job with this token has an id between these two."""
    start = f"{token[:8]}-{token[8:_TIME_DIGITS]}"
    return start, start + "~"


def new_key() -> str:
    """An account key: 128 random bits, as 32 lower-case hex digits."""
    return _noise()


@lru_cache(maxsize=8)
def _when(millisecond: int) -> str:
    """What ids of that moment begin with; several are made in most that have any."""
    digits = f"{millisecond & 0xFFFFFFFFFFFF:012x}"
    return f"{digits[:8]}-{digits[8:]}"


def _noise() -> str:
    """16 random bytes that nobody gets twice, as hex digits."""
    if not _pool:
        fresh = os.urandom(_POOL_BYTES).hex()
        _pool.extend(fresh[at : at + _NOISE_DIGITS] for at in range(0, len(fresh), _NOISE_DIGITS))
    return _pool.pop()
