"""Who holds a lease, and whether that process is still there.

A file lock tells the truth on one machine, in containers too: the kernel frees it with the process. Where there is
no lock to ask (a database elsewhere), the same boot's process table answers; across machines only the lease's time.
Safety never rests on these answers: a takeover raises the fence, and every append checks it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
from dataclasses import dataclass
from enum import Enum
from pathlib import Path


class Life(Enum):
    ALIVE = "alive"
    DEAD = "dead"
    UNKNOWN = "unknown"


@dataclass(frozen=True, kw_only=True, slots=True)
class Owner:
    """One process as the holder of leases; `token` is fresh for every owner, also within one process.

    pid_namespace  process ids mean the same only within it
    pid_started    clock ticks after the boot: an id that was given to a newer process doesn't pass for ours
    """

    token: str
    host: str
    boot_id: str
    pid_namespace: str
    pid: int
    pid_started: int

    @classmethod
    def this_process(cls) -> Owner:
        return cls(
            token=os.urandom(8).hex(),
            host=socket.gethostname(),
            boot_id=_boot_id(),
            pid_namespace=_pid_namespace(),
            pid=os.getpid(),
            pid_started=process_started("self") or 0,
        )

    def process_life(self, *, seen_from: Owner) -> Life:
        """Whether the process is there, as far as `seen_from` can tell from its own process table."""
        here = (seen_from.host, seen_from.boot_id, seen_from.pid_namespace)
        if not self.boot_id or not self.pid_namespace or (self.host, self.boot_id, self.pid_namespace) != here:
            return Life.UNKNOWN
        return Life.ALIVE if process_started(str(self.pid)) == self.pid_started else Life.DEAD


class OwnerLocks:
    """Lock files in a folder, one for each owner; held from `hold` to `free` or to the end of the process."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._held: dict[str, int] = {}

    def hold(self, token: str) -> None:
        """Lock the owner's file, again if someone removed it. Raises OSError."""
        path = self._folder / token
        if token in self._held and path.exists():
            return
        self._folder.mkdir(mode=0o700, exist_ok=True)
        number = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if token in self._held:
            os.close(self._held[token])
        self._held[token] = number

    def life(self, token: str) -> Life:
        """Whether the lock is held. Shared, so that two who ask at once don't take each other for the owner."""
        if token in self._held:
            return Life.ALIVE
        try:
            number = os.open(self._folder / token, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return Life.UNKNOWN
        try:
            fcntl.flock(number, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return Life.ALIVE
        finally:
            os.close(number)
        return Life.DEAD

    def remove(self, token: str) -> None:
        """Remove the file of an owner that is gone, or of ours when it leaves."""
        with contextlib.suppress(OSError):
            (self._folder / token).unlink()
        if token in self._held:
            os.close(self._held.pop(token))

    def close(self) -> None:
        for token in tuple(self._held):
            self.remove(token)


def process_started(pid: str) -> int | None:
    """When a process began, in clock ticks after the boot; None if it isn't there (a zombie isn't)."""
    try:
        text = Path("/proc", pid, "stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    # The name in parentheses may hold blanks and parentheses itself; the fields after it don't.
    rest = text.rpartition(")")[2].split()
    return None if rest[0] in "ZX" else int(rest[19])


def _boot_id() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""


def _pid_namespace() -> str:
    try:
        return Path("/proc/self/ns/pid").readlink().name
    except OSError:
        return ""
