"""When to try again: the server's wish first, else capped and jittered backoff."""

from __future__ import annotations

import email.utils
import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

MOST_WAIT_S = 600.0  # how long a call waits for the server's sake at most, all its tries together
MOST_PARKED_S = 24 * 3600.0  # and how long work is set aside: quotas count by the day


def retry_after(value: str | None, *, now: datetime, default_s: float = 5.0, most_s: float = MOST_WAIT_S) -> float:
    """Seconds to wait before the next try, from a `Retry-After` header.

    value      the header as received: whole seconds ("120") or an HTTP date
    now        current time with a zone; only the date form needs it
    default_s  the answer when the header is missing or unreadable
    most_s     the answer when the header asks for longer than this

    Never negative: a date in the past means "now". Never raises: a bad header must not end a run.

    Source: RFC 9110, section 10.2.3.
    """
    if value is None:
        return default_s
    try:
        if value.isascii() and value.isdigit():
            wait_s = float(value)
        else:
            wait_s = (email.utils.parsedate_to_datetime(value) - now).total_seconds()
    except (TypeError, ValueError, OverflowError):  # no date, no zone, or a zone off the map
        return default_s
    return min(max(0.0, wait_s), most_s)


@dataclass(frozen=True, kw_only=True, slots=True)
class Backoff:
    """`tries` waits in all: first_s, then times `factor` up to most_s, each jittered by up to a quarter.

    most_asked_s  how much more than that is waited because the server asks for it, all tries together
    """

    tries: int = 5
    first_s: float = 0.5
    factor: float = 2.0
    most_s: float = 20.0
    most_asked_s: float = MOST_WAIT_S

    def patience(self, rng: random.Random) -> Patience:
        return Patience(self.waits(rng), self.most_asked_s)

    def waits(self, rng: random.Random) -> Iterator[float]:
        wait_s = self.first_s
        for _ in range(self.tries):
            yield wait_s * rng.uniform(0.75, 1.25)
            wait_s = min(wait_s * self.factor, self.most_s)


class Patience:
    """The waits of one call: its backoff, or what the server asks for, as long as both last."""

    def __init__(self, waits: Iterator[float], left_s: float) -> None:
        self._waits = waits
        self._left_s = left_s

    def next_s(self, asked_s: float | None) -> float | None:
        """Seconds until the next try. None where there is none: whoever is asked for more time than that comes back."""
        wait_s, asked_s = next(self._waits, None), asked_s or 0.0
        if wait_s is None or asked_s > self._left_s:
            return None
        self._left_s -= asked_s
        return max(wait_s, asked_s)
