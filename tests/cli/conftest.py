"""The command line as a person has it: a process of its own, in an environment that says nothing."""

from __future__ import annotations

import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

Done = subprocess.CompletedProcess[str]
CHECKOUT = Path(__file__).parents[2]


def run_runner(*args: str | Path, cwd: Path | None = None, python: tuple[str, ...] = (), **env: str) -> Done:
    """`runner ARGS`, with nothing of our own environment but `env`; `python` are options of the interpreter."""
    return subprocess.run(
        [sys.executable, *python, "-m", "runner", *map(str, args)],
        cwd=cwd or "/",
        env={"PATH": os.defpath, "HOME": "/nonexistent", "PYTHONPATH": str(CHECKOUT)} | env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
        timeout=60,
    )


def in_terminal(*args: str, cwd: Path, columns: int, **env: str) -> bytes:
    """All that `runner ARGS`, which succeeds, prints in a terminal of so many columns."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 30, columns, 0, 0))
    usual = {"PATH": os.defpath, "HOME": str(cwd), "PYTHONPATH": str(CHECKOUT), "TERM": "xterm", "LANG": "C.UTF-8"}
    command = [sys.executable, "-m", "runner", *args]
    with subprocess.Popen(command, cwd=cwd, env=usual | env, stdin=theirs, stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        seen = b""
        with suppress(OSError):  # the other end is closed: that is how a terminal says so
            while piece := os.read(ours, 65536):
                seen += piece
    os.close(ours)
    assert process.returncode == 0, seen
    return seen


@pytest.fixture(scope="session")
def runner() -> Callable[..., Done]:
    return run_runner
