"""The process that everything is imported in, and that forks a child for each conversion.

It is started early, with no file, socket or variable of the server but one control socket. On that it
is told to start or to kill a job, and tells when one started and how it ended. It never reads a
request, never waits for a child, and ends, with all its children, when the server is gone.

Why not multiprocessing's forkserver: its children import the server's main module again, inherit its
environment, and are told what to do by pickle.
"""

from __future__ import annotations

import gc
import importlib
import os
import selectors
import signal
import socket
import struct
import sys
import traceback
from collections.abc import Sequence
from typing import NoReturn

from runner.server.converters.protocol import Converter
from runner.server.workers import child, confine

# Records on the control socket, one a packet.
ORDER = struct.Struct("!cQ")  # START or KILL, job; START brings the job's connection along
STARTED = struct.Struct("!cQq")  # STARTED_MARK, job, process id (-1: could not fork)
ENDED = struct.Struct("!cQid")  # ENDED_MARK, job, wait status, CPU seconds
START, KILL, STARTED_MARK, ENDED_MARK = b"S", b"K", b"s", b"e"


def main(control_fd: int, table: str) -> NoReturn:
    """Serve orders on `control_fd`. `table` names the converters: "package.module:NAME"."""
    control = socket.socket(fileno=control_fd)
    module, _, name = table.partition(":")
    converters: Sequence[Converter] = getattr(importlib.import_module(module), name)
    for converter in converters:
        load = getattr(converter, "load", None)
        if load:
            load()
    confine.readable_folders()
    gc.collect()
    gc.freeze()  # else the collector would touch, and so copy, every page in every child
    _mute()
    Zygote(control, converters).serve()


def _mute() -> None:
    """What libraries grumble about a file is for nobody; until here stderr told the server why we failed."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    os.close(nowhere)


class Zygote:
    def __init__(self, control: socket.socket, converters: Sequence[Converter]) -> None:
        self._control = control
        self._converters = converters
        self._jobs: dict[int, int] = {}  # process id -> job
        self._wakeup, self._woken = socket.socketpair()
        self._own_id = os.getpid()

    def serve(self) -> NoReturn:
        self._wakeup.settimeout(0)
        self._woken.settimeout(0)
        signal.set_wakeup_fd(self._woken.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        with selectors.DefaultSelector() as selector:
            selector.register(self._control, selectors.EVENT_READ, self._order)
            selector.register(self._wakeup, selectors.EVENT_READ, self._reap)
            while True:
                for key, _ in selector.select():
                    key.data()

    def _order(self) -> None:
        content, descriptors, _, _ = socket.recv_fds(self._control, ORDER.size, 1)
        if not content:
            self._end()
        kind, job = ORDER.unpack(content)
        if kind == START:
            self._start(job, descriptors[0])
        else:
            self._kill(job)

    def _start(self, job: int, descriptor: int) -> None:
        try:
            process = os.fork()
        except OSError:
            process = -1
        if process == 0:
            self._become_child(descriptor)
        os.close(descriptor)
        if process > 0:
            self._jobs[process] = job
        self._send(STARTED.pack(STARTED_MARK, job, process))

    def _become_child(self, descriptor: int) -> NoReturn:
        try:
            os.setsid()
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            for inherited in (self._control, self._wakeup, self._woken):
                inherited.close()
            with socket.socket(fileno=descriptor) as connection:
                child.run(connection, self._converters, parent=self._own_id)
        except BaseException:  # noqa: BLE001  # a child must not return into the zygote's loop, whatever happens
            traceback.print_exc()
            os._exit(1)
        os._exit(0)

    def _kill(self, job: int) -> None:
        # Only processes that weren't waited for yet: their ids can't belong to anybody else.
        for process in [process for process, own in self._jobs.items() if own == job]:
            _kill_all(process)

    def _reap(self) -> None:
        while self._wakeup_pending():
            continue
        while self._jobs:
            peek = os.WEXITED | os.WNOHANG | os.WNOWAIT
            found = os.waitid(os.P_ALL, 0, peek)
            if found is None:
                return
            _kill_all(found.si_pid)  # what the conversion left running, while its group's id is still taken
            _, status, usage = os.wait4(found.si_pid, 0)
            job = self._jobs.pop(found.si_pid)
            self._send(ENDED.pack(ENDED_MARK, job, status, usage.ru_utime + usage.ru_stime))

    def _wakeup_pending(self) -> bool:
        try:
            return bool(self._wakeup.recv(4096))
        except BlockingIOError:
            return False

    def _send(self, record: bytes) -> None:
        try:
            self._control.sendall(record)
        except OSError:
            self._end()

    def _end(self) -> NoReturn:
        for process in self._jobs:
            _kill_all(process)
        for process in self._jobs:
            os.waitpid(process, 0)  # whoever waits for us may rely on it that nothing runs any more
        os._exit(0)


def _kill_all(process: int) -> None:
    """The process and the group it leads; it may not lead one yet, or be gone already."""
    for kill in (os.killpg, os.kill):
        try:
            kill(process, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            continue


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
