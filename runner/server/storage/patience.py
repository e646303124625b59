"""How often something is tried again, and how soon: connections that break, and servers that ask for patience."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from threading import Event

from runner.server.storage.gates import Gate
from runner.server.storage.protocol import FAILED, TOO_SLOW, Broken, Busy, Stopped, StorageError

_FIRST_WAIT_S = 0.2
_FIRST_BUSY_WAIT_S = 1.0
_MOST_WAIT_S = 30.0
# What a server may ask for at most; who says "come back tomorrow" is told no.
_MOST_ASKED_S = 60.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Patience:
    """
    attempts  how often it may break without getting any further
    busy_s    how long a server may be busy in a row; such answers don't count as breaks within it
    ends_at   when it has to be through, by the monotonic clock; `too_slow` says so
    """

    attempts: int
    busy_s: float
    ends_at: float
    too_slow: str


def patiently(
    patience: Patience,
    stopped: Event,
    attempt: Callable[[], None],
    progress: Callable[[], int],
    *,
    gate: Gate,
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """Try again where that may help, more and more slowly; what got further may break as often again.

    progress  how far it has come; grows
    gate      passed for each attempt, and left while it waits

    Raises StorageError when patience is at its end, Stopped, and what `attempt` raises of other kinds.
    """
    left = _Left(patience, progress(), clock)
    while True:
        try:
            with gate.passed(stopped.is_set):
                if stopped.is_set():
                    raise Stopped
                attempt()
            gate.widen()
            return
        except Broken as error:
            if isinstance(error, Busy):
                gate.narrow()
            wait_s = left.wait_after(error, progress())
        if stopped.wait(wait_s):
            raise Stopped


class _Left:
    """What is left of the patience."""

    def __init__(self, patience: Patience, reached: int, clock: Callable[[], float]) -> None:
        self._patience = patience
        self._clock = clock
        self._renew(reached)

    def wait_after(self, error: Broken, reached: int) -> float:
        """Seconds until the next try; raises StorageError where there is none."""
        if reached > self._reached:
            self._renew(reached)
        now = self._clock()
        wait_s = self._busy_wait(error, now) if isinstance(error, Busy) and self._patience.busy_s else self._wait(error)
        if now + wait_s > self._patience.ends_at:
            raise StorageError(TOO_SLOW, f"{self._patience.too_slow}; last: {error}") from error
        return wait_s

    def _renew(self, reached: int) -> None:
        self._reached = reached
        self._attempts = self._patience.attempts
        self._next_s = _FIRST_WAIT_S
        self._next_busy_s = _FIRST_BUSY_WAIT_S
        self._busy_since: float | None = None

    def _wait(self, error: Broken) -> float:
        self._attempts -= 1
        if self._attempts <= 0:
            times = self._patience.attempts
            raise StorageError(FAILED, f"the connection broke, {times} times in a row: {error}") from error
        wait_s, self._next_s = self._next_s, self._next_s * 2
        return max(wait_s, _asked_s(error))

    def _busy_wait(self, error: Busy, now: float) -> float:
        self._busy_since = now if self._busy_since is None else self._busy_since
        if now - self._busy_since >= self._patience.busy_s:
            raise StorageError(FAILED, f"busy for {now - self._busy_since:.0f} seconds: {error}") from error
        wait_s, self._next_busy_s = self._next_busy_s, min(self._next_busy_s * 2, _MOST_WAIT_S)
        spread = random.uniform(0.5, 1.5)  # noqa: S311  # those who were refused together don't come back together
        return max(wait_s * spread, _asked_s(error))


def _asked_s(error: Broken) -> float:
    return min(error.after_s, _MOST_ASKED_S) if isinstance(error, Busy) else 0.0


def retry_after_s(value: object) -> float:
    """Seconds that a `Retry-After` header asks for; 0 where it is missing, a date or unreadable."""
    text = str(value or "").strip()
    return float(text) if text.isascii() and text.isdigit() and len(text) < 7 else 0.0
