"""The run's end of its courier: starts the process, gives it errands, hears their answers."""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from itertools import count
from typing import cast

from runner.client.courier.errands import Kind, Terms, packed_errand, packed_terms, read_answer
from runner.client.courier.frames import Frames
from runner.client.courier.held import Carried
from runner.client.http import Answer, CarriedError, Told

# Isolated: no variable and no current folder changes what is imported; the path is handed over. Signals, which a
# terminal and a service manager send to both, are the run's: they are ignored before anything takes its time.
_BOOT = (
    "import signal; [signal.signal(one, signal.SIG_IGN) for one in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)]; "
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from runner.client.courier.process import main; main(int(sys.argv[2]))"
)
PATIENCE_S = 5.0  # with a courier that was let go
_GONE = Told(kind="no answer", words="the process that carries requests has ended")


class Courier(asyncio.Protocol):
    """A courier at work; made by `courier`. `is_there` says whether it can be asked.

    What it is asked for raises CarriedError for what the request raised there, and where the courier is gone without an
    answer.
    """

    def __init__(self, terms: Terms) -> None:
        self.is_there = True
        self._numbers = count(1)
        self._waiting: dict[int, asyncio.Future[Carried]] = {}
        self._frames = Frames()
        self._errands = [packed_terms(terms)]
        self._transport: asyncio.WriteTransport | None = None

    async def call(self, method: str, url: str, *, headers: Mapping[str, str], content: bytes | None) -> Answer:
        number = next(self._numbers)
        errand = packed_errand(number, Kind.CALL, method, url, headers=headers, content=content)
        return (await self._ask(number, errand)).answer

    async def open(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str],
        content: bytes | None,
        raw: bool,
        most_bytes: int,
    ) -> Carried:
        """The answer as far as it came, or up to `most_bytes`."""
        number = next(self._numbers)
        errand = packed_errand(
            number, Kind.OPEN, method, url, headers=headers, content=content, raw=raw, most_bytes=most_bytes
        )
        return await self._ask(number, errand)

    async def _ask(self, number: int, errand: bytes) -> Carried:
        answer: asyncio.Future[Carried] = asyncio.get_running_loop().create_future()
        self._waiting[number] = answer
        self._send(errand)
        try:
            return await answer
        except asyncio.CancelledError:
            self._send(packed_errand(number, Kind.DROP))
            raise
        finally:
            self._waiting.pop(number, None)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.WriteTransport", transport)  # uvloop's has another class
        self._flush()

    def connection_lost(self, _error: Exception | None) -> None:
        self.is_there = False
        for answer in self._waiting.values():
            if not answer.done():
                answer.set_exception(CarriedError(_GONE))

    def data_received(self, data: bytes) -> None:
        for head, body in self._frames.add(data):
            answer = self._waiting.get(head[0])
            if answer is None or answer.done():  # nobody waits any more
                continue
            carried = read_answer(head, body)
            if isinstance(carried, Carried):
                answer.set_result(carried)
            else:
                answer.set_exception(CarriedError(carried))

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def _send(self, frame: bytes) -> None:
        if not self._errands:
            asyncio.get_running_loop().call_soon(self._flush)
        self._errands.append(frame)

    def _flush(self) -> None:
        if self._transport is None:
            return
        if not self._transport.is_closing():
            self._transport.write(b"".join(self._errands))
        self._errands.clear()


@asynccontextmanager
async def courier(terms: Terms) -> AsyncIterator[Courier]:
    """A courier, which is gone afterwards, with whatever it was at. Raises OSError where no process can be started."""
    ours, theirs = socket.socketpair()
    with ours:
        with theirs:
            process = _started(theirs)
        made = Courier(terms)
        try:
            await asyncio.get_running_loop().create_connection(lambda: made, sock=ours)
            yield made
        finally:
            made.close()
            ours.close()
            await asyncio.shield(asyncio.to_thread(_seen_off, process))


def _started(control: socket.socket) -> subprocess.Popen[bytes]:
    number = control.fileno()
    command = [sys.executable, "-X", "utf8", "-I", "-c", _BOOT, json.dumps(sys.path), str(number)]
    return subprocess.Popen(command, pass_fds=(number,), stdin=subprocess.DEVNULL)  # noqa: S603 - ourselves


def _seen_off(process: subprocess.Popen[bytes]) -> None:
    try:
        process.wait(PATIENCE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
