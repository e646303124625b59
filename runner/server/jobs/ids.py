"""Ids and tokens: nobody can guess them, and those of one moment lie side by side.

Ids are UUIDs of version 7 (RFC 9562): time first, then 74 random bits, so that an index of a million of them
is written at its end and not all over. A token begins with the time of its job's id, which finds the job
without an index of its own; the 80 bits behind it are random.
"""

from __future__ import annotations

import os
import time

_POOL_BYTES = 4096
_TIME_DIGITS = 12

# One call to the system is as slow for 16 bytes as for 4096.
_pool: list[bytes] = []


def new_id() -> str:
    when, noise = int(time.time() * 1000) & 0xFFFFFFFFFFFF, _noise().hex()
    time_part = f"{when:012x}"
    variant = "89ab"[int(noise[3], 16) & 3]
    return f"{time_part[:8]}-{time_part[8:]}-7{noise[:3]}-{variant}{noise[4:7]}-{noise[7:19]}"


def id_at(moment: float) -> str:
    """The smallest id that could have been made then (seconds since the epoch)."""
    time_part = f"{max(0, int(moment * 1000)) & 0xFFFFFFFFFFFF:012x}"
    return f"{time_part[:8]}-{time_part[8:]}-7000-8000-000000000000"


def new_token(job_id: str) -> str:
    """32 lower-case hex digits."""
    return job_id.replace("-", "")[:_TIME_DIGITS] + _noise().hex()[: 32 - _TIME_DIGITS]


def id_range(token: str) -> tuple[str, str]:
    """The job with this token has an id between these two."""
    start = f"{token[:8]}-{token[8:_TIME_DIGITS]}"
    return start, start + "~"


def new_key() -> str:
    """An account key: 128 random bits, as 32 lower-case hex digits."""
    return _noise().hex()


def _noise() -> bytes:
    """16 random bytes that nobody gets twice."""
    if not _pool:
        fresh = os.urandom(_POOL_BYTES)
        _pool.extend(fresh[at : at + 16] for at in range(0, _POOL_BYTES, 16))
    return _pool.pop()
