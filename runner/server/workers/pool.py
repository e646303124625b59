"""Workers: conversions in processes of their own, so many at once, and never the server's end."""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import socket
from collections.abc import Callable
from dataclasses import replace
from types import TracebackType

from runner.server.converters.protocol import Request
from runner.server.workers import landlock, outcome
from runner.server.workers.messages import ANSWER_BYTES, BadAnswerError, pack_request, unpack_answer, unpack_facts
from runner.server.workers.outcome import MIB, Converted, Limits, Outcome, Refused
from runner.server.workers.zygote_link import End, ZygoteGoneError, ZygoteLink
from runner.wire.values import JsonObject

TABLE = "runner.server.converters.table:CONVERTERS"


class Workers:
    """An async context manager; inside it `convert` answers for every request, whatever the file does.

    processes  conversions at once; further ones wait, in no promised order
    table      where the converters are, "package.module:NAME"; imported by the workers, not here
    """

    def __init__(self, limits: Limits, processes: int, *, table: str = TABLE) -> None:
        self._limits = limits
        self._processes = processes
        self._table = table
        self._slots = asyncio.Semaphore(processes)
        self._numbers = itertools.count(1)
        self._link: ZygoteLink | None = None

    async def __aenter__(self) -> Workers:
        self._link = ZygoteLink(self._table)  # imports while the server starts; the first job waits for it
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._link:
            await self._link.close()
            self._link = None

    async def convert(
        self,
        request: Request,
        *,
        on_start: Callable[[int], None] | None = None,
        limits: Limits | None = None,
    ) -> Outcome:
        """The products of `request`, or why there are none. Cancelling kills the process.

        on_start  is called with the process id as soon as there is one
        limits    for this conversion alone, where the job allows less than the server

        Raises nothing but CancelledError, and TypeError or ValueError for options that are no JSON.
        """
        async with self._slots:
            return await self._convert(request, on_start, limits or self._limits)

    def isolation(self) -> JsonObject:
        """What keeps conversions in here, for `doctor` and a status page."""
        return {
            "process_per_conversion": True,
            "processes": self._processes,
            "landlock_abi": landlock.abi(),  # 0: this kernel has none
            "no_new_privileges": True,
            "limits": {
                "wall_s": self._limits.wall_s,
                "cpu_s": self._limits.cpu_s,
                "memory_bytes": self._limits.memory_bytes,
                "output_bytes": self._limits.output_bytes,
            },
        }

    async def _convert(self, request: Request, on_start: Callable[[int], None] | None, limits: Limits) -> Outcome:
        packed = pack_request(request, limits)
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            answer, end = await self._ask(packed, on_start, limits)
        except ZygoteGoneError as error:
            return replace(outcome.no_worker(str(error)), wall_s=loop.time() - began)
        return _judge(answer, end, request, limits, wall_s=loop.time() - began)

    async def _ask(
        self, packed: bytes, on_start: Callable[[int], None] | None, limits: Limits
    ) -> tuple[bytes | None, End]:
        """The child's answer (None: out of time) and its end, which is always waited for."""
        link, job = await self._living_link(), next(self._numbers)
        mine, theirs = socket.socketpair()
        with mine:
            mine.settimeout(0)
            with theirs:
                ended = link.start(job, theirs, on_start)
            try:
                async with asyncio.timeout(limits.wall_s):
                    answer = await _exchange(mine, packed)
                    if len(answer) > ANSWER_BYTES:  # it may go on for ever
                        link.kill(job)
                    return answer, await asyncio.shield(ended)
            except TimeoutError:
                link.kill(job)
                return None, await asyncio.shield(ended)
            finally:
                if not ended.done():  # cancelled, or the answer made no sense
                    link.kill(job)
                    await asyncio.wait({ended})

    async def _living_link(self) -> ZygoteLink:
        if self._link is None:
            raise ZygoteGoneError("the workers are not running")
        if self._link.gone:
            gone, self._link = self._link, ZygoteLink(self._table)
            await gone.close()
        return self._link


async def _exchange(connection: socket.socket, packed: bytes) -> bytes:
    """What the child answers; empty or cut short where it died. Its end says which."""
    loop = asyncio.get_running_loop()
    answer = bytearray()
    try:
        await loop.sock_sendall(connection, len(packed).to_bytes(8, "big") + packed)
        while len(answer) <= ANSWER_BYTES:
            part = await loop.sock_recv(connection, 65_536)
            if not part:
                break
            answer += part
    except OSError:
        return b""
    return bytes(answer)


def _judge(answer: bytes | None, end: End, request: Request, limits: Limits, *, wall_s: float) -> Outcome:
    found = _refusal(answer, end, limits) or _reading(answer or b"", request)
    if isinstance(found, Refused):
        return replace(found, cpu_s=end.cpu_s, wall_s=wall_s)
    return replace(found, cpu_s=end.cpu_s, wall_s=wall_s)


def _refusal(answer: bytes | None, end: End, limits: Limits) -> Refused | None:
    if answer is None:
        return outcome.out_of_wall_time(limits)
    if len(answer) > ANSWER_BYTES:
        return outcome.nonsense(f"it is longer than {ANSWER_BYTES // MIB} MiB")
    code = os.waitstatus_to_exitcode(end.status)
    if code == 0:
        return None
    if code > 0:
        return outcome.nonsense("it ended without one")
    if -code == signal.SIGXCPU or (-code == signal.SIGKILL and end.cpu_s >= limits.cpu_s):
        return outcome.out_of_cpu_time(limits)
    return outcome.crashed(signal.Signals(-code).name)


def _reading(answer: bytes, request: Request) -> Converted | Refused:
    try:
        products = unpack_answer(answer, request)
    except BadAnswerError as error:
        return outcome.nonsense(str(error))
    if isinstance(products, Refused):
        return products
    return Converted(products=products, cpu_s=0.0, wall_s=0.0, facts=unpack_facts(answer, request))
