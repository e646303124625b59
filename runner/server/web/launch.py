"""`python -m runner.server.web.launch PORT FOLDER PROGRAM ARGS...`: gives up rights, then becomes the program.

What is left: reading the system's files, writing FOLDER, and connecting to PORT on this machine. As with
conversions, what the kernel has no Landlock for is not taken away.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import sys
from pathlib import Path

from runner.server.workers import landlock

_PR_SET_PDEATHSIG, _PR_SET_NO_NEW_PRIVS = 1, 38
_SYSTEM = ("/usr", "/lib", "/lib64", "/bin", "/opt", "/etc", "/proc", "/sys")
_DEVICES = ("/dev/null", "/dev/zero", "/dev/urandom", "/dev/random", "/dev/shm")  # noqa: S108  # the device itself
_CPU_S = 120
_FILE_BYTES = 1 << 30
_OPEN_FILES = 4096


def main(port: int, folder: Path, command: list[str]) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    for which, value in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_CPU, _CPU_S),
        (resource.RLIMIT_FSIZE, _FILE_BYTES),
        (resource.RLIMIT_NOFILE, _OPEN_FILES),
    ):
        _, most = resource.getrlimit(which)
        limit = value if most == resource.RLIM_INFINITY else min(value, most)
        resource.setrlimit(which, (limit, limit))
    os.chdir(folder)
    landlock.restrict(
        readable=map(Path, _SYSTEM),
        writable=[folder, *map(Path, _DEVICES)],
        connectable=[port],
        with_links=True,
    )
    os.execv(command[0], command)  # noqa: S606  # becoming it is what this is for


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:])
