"""The server's end of the zygote: starts the process, sends orders, hears how jobs ended."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from runner.server.workers.zygote import ENDED, ENDED_MARK, KILL, ORDER, START, STARTED

# Isolated mode: no variable and no current folder changes what is imported; the path is handed over.
_BOOT = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "import gc; gc.disable(); from runner.server.workers.zygote import main; main(int(sys.argv[2]), sys.argv[3])"
)
_PASSED_ON = ("PATH", "HOME", "TZ", "LD_LIBRARY_PATH")  # and nothing else: variables hold secrets
_REASON_BYTES = 65_536


@dataclass(frozen=True, kw_only=True, slots=True)
class End:
    """How a job's process ended; `status` as `wait` gives it."""

    status: int
    cpu_s: float


class ZygoteGoneError(Exception):
    """The zygote died, or never came up; the text says why as far as it is known."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Job:
    ended: asyncio.Future[End]
    on_start: Callable[[int], None] | None


class ZygoteLink:
    """One running zygote. Make it inside a running event loop; `close` ends it and all its jobs."""

    def __init__(self, table: str) -> None:
        self._jobs: dict[int, _Job] = {}
        self._gone = False
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = _spawn(theirs, table)
        self._control.settimeout(0)
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._control.fileno(), self._hear)

    @property
    def gone(self) -> bool:
        return self._gone

    @property
    def process_id(self) -> int:
        return self._process.pid

    def start(self, job: int, connection: socket.socket, on_start: Callable[[int], None] | None) -> asyncio.Future[End]:
        """Fork a child that serves `connection`. The future fails with ZygoteGoneError where none comes up."""
        ended: asyncio.Future[End] = self._loop.create_future()
        ended.add_done_callback(_heard)
        self._jobs[job] = _Job(ended=ended, on_start=on_start)
        try:
            socket.send_fds(self._control, [ORDER.pack(START, job)], [connection.fileno()])
        except OSError:
            self._lose()
        return ended

    def kill(self, job: int) -> None:
        """SIGKILL for the job's process and whatever it started; the end is heard as any other."""
        try:
            self._control.send(ORDER.pack(KILL, job))
        except OSError:
            self._lose()

    async def close(self) -> None:
        if not self._gone:
            self._lose()
        await asyncio.to_thread(self._process.wait)

    def _hear(self) -> None:
        try:
            record = self._control.recv(64)
        except BlockingIOError:
            return
        except OSError:
            record = b""
        if not record:
            self._lose()
        elif record[:1] == ENDED_MARK:
            _, job, status, cpu_s = ENDED.unpack(record)
            self._settle(job, End(status=status, cpu_s=cpu_s))
        else:
            self._started(*STARTED.unpack(record)[1:])

    def _started(self, job: int, process: int) -> None:
        if process < 0:
            self._settle(job, ZygoteGoneError("the machine lets no further process start"))
        elif job in self._jobs and (on_start := self._jobs[job].on_start):
            on_start(process)

    def _settle(self, job: int, end: End | ZygoteGoneError) -> None:
        waiting = self._jobs.pop(job, None)
        if waiting is None or waiting.ended.done():
            return
        if isinstance(end, End):
            waiting.ended.set_result(end)
        else:
            waiting.ended.set_exception(end)

    def _lose(self) -> None:
        """Closing the socket ends the zygote if it still lives; it takes its children along."""
        if self._gone:
            return
        self._gone = True
        self._loop.remove_reader(self._control.fileno())
        self._control.close()
        reason = _last_words(self._process)
        for job in list(self._jobs):
            self._settle(job, ZygoteGoneError(reason))


def _heard(ended: asyncio.Future[End]) -> None:
    """Whoever was cancelled doesn't wait for the end any more, and a failure that nobody asked for is no news."""
    if not ended.cancelled():
        ended.exception()


def _spawn(control: socket.socket, table: str) -> subprocess.Popen[bytes]:
    path = [str(Path(entry).absolute()) for entry in sys.path]
    arguments = [json.dumps(path), str(control.fileno()), table]
    process = subprocess.Popen(  # noqa: S603  # our own interpreter with our own code
        [sys.executable, "-I", "-B", "-c", _BOOT, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        pass_fds=[control.fileno()],
        start_new_session=True,
        cwd="/",
        env={name: os.environ[name] for name in _PASSED_ON if name in os.environ} | {"LANG": "C.UTF-8"},
    )
    if process.stderr:
        os.set_blocking(process.stderr.fileno(), False)
    return process


def _last_words(process: subprocess.Popen[bytes]) -> str:
    with process.stderr or open(os.devnull, "rb") as stderr:  # noqa: PTH123  # never without; for the types
        words = (stderr.read(_REASON_BYTES) or b"").decode("utf-8", "replace").strip()
    return words.splitlines()[-1] if words else "the process that starts them has ended"
