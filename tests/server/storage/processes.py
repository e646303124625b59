"""Servers as processes of their own: started on free ports, waited for, ended with the tests."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

PATIENCE_S = 60.0
# Tests that are killed clean nothing up; the kernel does.
_MORTAL = ("setpriv", "--pdeathsig", "KILL", "--")


def free_ports(count: int) -> list[int]:
    """Ports that nobody has; held all at once, so that none comes twice."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [int(one.getsockname()[1]) for one in sockets]


@contextlib.contextmanager
def running(
    command: Sequence[object], log: Path, *, is_ready: Callable[[], bool], what: str, cwd: Path | None = None
) -> Iterator[int]:
    """A server until the block ends. Raises AssertionError, with its last words, when it doesn't get ready."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*_MORTAL, *(str(part) for part in command)],
            stdout=output,
            stderr=output,
            stdin=subprocess.DEVNULL,
            cwd=cwd,
            start_new_session=True,
        )
    try:
        give_up = time.monotonic() + PATIENCE_S
        while not is_ready():
            assert process.poll() is None, f"{what} ended: {log.read_text(errors='replace')[-2000:]}"
            assert time.monotonic() < give_up, f"{what} isn't ready: {log.read_text(errors='replace')[-2000:]}"
            time.sleep(0.02)
        yield process.pid
    finally:
        process.terminate()
        try:
            process.wait(timeout=3)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        with contextlib.suppress(ProcessLookupError):  # sessions that outlive their server
            os.killpg(process.pid, signal.SIGKILL)


def answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def required(path: Path, how: str) -> Path:
    """A test never passes because its server is missing."""
    assert path.exists(), f"{path} is missing: {how}"
    return path
