"""Takes away what a conversion has no need of; called in the child before it looks at a file."""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import site
import sys
import sysconfig
from collections.abc import Iterable
from functools import cache
from pathlib import Path

import runner
from runner.server.converters.protocol import Request
from runner.server.workers import landlock
from runner.server.workers.outcome import Limits

_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_NO_NEW_PRIVS = 1, 4, 38
_libc = ctypes.CDLL(None, use_errno=True)

# Beside Python itself: libraries, fonts, time zones, the devices that libraries open.
_SYSTEM = ("/usr", "/lib", "/lib64", "/etc/ld.so.cache", "/etc/fonts", "/etc/localtime")
_DEVICES = ("/dev/null", "/dev/zero", "/dev/urandom", "/sys/devices/system/cpu")


def confine(request: Request, limits: Limits, *, parent: int) -> None:
    """Limits, no new privileges, no files but the request's. Raises OSError where the kernel refuses."""
    _die_with(parent)
    _libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    _libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
    os.chdir(request.workdir)
    landlock.restrict(
        readable=[*readable_folders(), *(source.path for source in request.sources)],
        writable=[request.workdir],
    )
    _limit(resource.RLIMIT_CORE, 0)
    _limit(resource.RLIMIT_NOFILE, limits.open_files)
    _limit(resource.RLIMIT_FSIZE, limits.output_bytes)
    _limit(resource.RLIMIT_CPU, limits.cpu_s, hard=limits.cpu_s + 1)
    _limit(resource.RLIMIT_AS, limits.memory_bytes)


def _die_with(parent: int) -> None:
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it died before we asked
        os._exit(1)


def _limit(which: int, value: int, *, hard: int | None = None) -> None:
    """Never above what the process already has: an ordinary user may only lower a limit."""
    _, most = resource.getrlimit(which)
    soft, hard = value, value if hard is None else hard
    if most != resource.RLIM_INFINITY:
        soft, hard = min(soft, most), min(hard, most)
    resource.setrlimit(which, (soft, hard))


@cache
def readable_folders() -> tuple[Path, ...]:
    """Python, what is installed for it, this package, and the system's libraries and fonts."""
    python = [sys.prefix, sys.base_prefix, *sysconfig.get_paths().values(), *site.getsitepackages()]
    own = Path(runner.__file__).parent
    fonts = (Path.home() / ".fonts", Path.home() / ".local/share/fonts")
    return tuple(_distinct([*map(Path, (*_SYSTEM, *_DEVICES, *python)), own, *fonts]))


def _distinct(paths: Iterable[Path]) -> list[Path]:
    """Without what doesn't exist, lies below another, or is the root: a rule for that would allow everything."""
    kept: list[Path] = []
    for path in sorted({path.resolve() for path in paths if path.exists()}):
        if path != Path("/") and not any(path.is_relative_to(above) for above in kept):
            kept.append(path)
    return kept
