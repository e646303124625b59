"""Starting processes and knowing what they took: time, CPU with their children's, memory."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

PYTHON = sys.executable
BIN = Path(sys.executable).parent
RUNNER = str(BIN / "runner")
PROJECT = Path(__file__).parents[2]
# What would change what is measured: unwritten bytecode makes every import four times slower.
_LEFT_OUT = ("PYTHONDONTWRITEBYTECODE", "PYTHONPROFILEIMPORTTIME")
_LEFT_OUT_PREFIXES = ("RUNNER_", "API2CONVERT_")


@dataclass(frozen=True, kw_only=True, slots=True)
class Spent:
    """`cpu_s` counts all descendants that were waited for; `peak_mib` is the most that one of them held at once."""

    wall_s: float
    cpu_s: float
    peak_mib: float


class UnexpectedExit(Exception):
    """A measured command failed: what it took means nothing then."""


def environment(more: Mapping[str, str] | None = None) -> dict[str, str]:
    kept = {
        name: value
        for name, value in os.environ.items()
        if name not in _LEFT_OUT and not name.startswith(_LEFT_OUT_PREFIXES)
    }
    return kept | {"PYTHONPATH": str(PROJECT)} | dict(more or {})


def spend(
    command: Sequence[str],
    *,
    folder: Path | None = None,
    env: Mapping[str, str] | None = None,
    good: Sequence[int] = (0,),
) -> Spent:
    """Run `command` to its end. Raises UnexpectedExit with its last words where the exit code isn't `good`."""
    began = time.perf_counter()
    with subprocess.Popen(
        command, cwd=folder, env=environment(env), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    ) as process:
        words = process.stderr.read() if process.stderr else b""
        _, status, usage = os.wait4(process.pid, 0)
        wall_s = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode not in good:
        raise UnexpectedExit(f"{' '.join(command)[:300]} ended with {process.returncode}: {words.decode()[-2000:]}")
    return Spent(wall_s=wall_s, cpu_s=usage.ru_utime + usage.ru_stime, peak_mib=usage.ru_maxrss / 1024)


def wall_s(command: Sequence[str], *, folder: Path | None = None, good: Sequence[int] = (0,)) -> float:
    return spend(command, folder=folder, good=good).wall_s


def output(command: Sequence[str], *, folder: Path, env: Mapping[str, str] | None = None) -> str:
    """What `command` prints. Raises UnexpectedExit."""
    done = subprocess.run(command, cwd=folder, env=environment(env), capture_output=True, text=True, check=False)
    if done.returncode:
        raise UnexpectedExit(f"{' '.join(command)[:300]} ended with {done.returncode}: {done.stderr[-2000:]}")
    return done.stdout


@contextmanager
def serving(command: Sequence[str], *, folder: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A server and the line that it says when it is ready; asked to stop at the end."""
    with (folder / "server.log").open("w") as log:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=log,
            stdin=subprocess.DEVNULL,
            text=True,
        )
    try:
        line = process.stdout.readline() if process.stdout else ""
        if not line:
            raise UnexpectedExit(f"{' '.join(command)} said nothing: {(folder / 'server.log').read_text()[-2000:]}")
        yield process, line
    finally:
        process.terminate()
        process.wait(timeout=30)
        if process.stdout:
            process.stdout.close()


def cpu_s(pid: int) -> float:
    """CPU time of a living process alone."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    ticks = int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def memory_mib(pid: int, what: str) -> float:
    """`what` is "VmRSS", now, or "VmHWM", the most there ever was. 0 for a process that is gone."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith(f"{what}:")), 0.0)
