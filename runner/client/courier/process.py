"""The courier itself: a process that does what it is asked until its run lets go of it."""

from __future__ import annotations

import asyncio
import socket
from typing import cast

import uvloop

from runner.client.courier.errands import Errand, Kind, packed_answer, read_errand, read_terms
from runner.client.courier.frames import Frames
from runner.client.courier.held import Carried
from runner.client.endpoint import Endpoint
from runner.client.http import FOREIGN, Answer, Http, Response, Told, open_http, told
from runner.wire.values import Json


def main(number: int) -> None:
    """Serve the socket of this number, until the run closes it."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(socket.socket(fileno=number)))


async def _serve(control: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    desk = _Desk(loop.create_future(), loop.create_future())
    await loop.create_connection(lambda: desk, sock=control)
    await asyncio.wait((desk.asked, desk.closed), return_when=asyncio.FIRST_COMPLETED)
    if desk.closed.done():
        return
    terms = read_terms(desk.asked.result())
    endpoint = Endpoint(name="", base_url=terms.base_url, api_key="", socket=terms.socket)
    async with open_http(
        endpoint,
        connections=terms.connections,
        read_timeout_s=terms.read_timeout_s,
        call_timeout_s=terms.call_timeout_s,
    ) as http:
        desk.open(http)
        await desk.closed
        desk.drop_all()


class _Desk(asyncio.Protocol):
    """Takes errands and gives answers, those of one turn of the event loop together.

    asked   the terms, which come first
    closed  that the run has let go
    """

    def __init__(self, asked: asyncio.Future[Json], closed: asyncio.Future[None]) -> None:
        self.asked = asked
        self.closed = closed
        self._frames = Frames()
        self._early: list[Errand] = []
        self._http: Http | None = None
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._answers: list[bytes] = []
        self._transport: asyncio.WriteTransport | None = None

    def open(self, http: Http) -> None:
        self._http = http
        early, self._early = self._early, []
        for errand in early:
            self._begin(errand)

    def drop_all(self) -> None:
        for task in self._tasks.values():
            task.cancel()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.WriteTransport", transport)  # uvloop's has another class

    def connection_lost(self, _error: Exception | None) -> None:
        if not self.closed.done():
            self.closed.set_result(None)

    def data_received(self, data: bytes) -> None:
        for head, body in self._frames.add(data):
            if not self.asked.done():
                self.asked.set_result(head)
            elif (errand := read_errand(head, body)).kind is Kind.DROP:
                self._drop(errand.number)
            elif self._http is None:
                self._early.append(errand)
            else:
                self._begin(errand)

    def _drop(self, number: int) -> None:
        self._early = [errand for errand in self._early if errand.number != number]
        if number in self._tasks:
            self._tasks[number].cancel()

    def _begin(self, errand: Errand) -> None:
        task = asyncio.create_task(self._do(errand))
        self._tasks[errand.number] = task
        task.add_done_callback(lambda _: self._tasks.pop(errand.number, None))

    async def _do(self, errand: Errand) -> None:
        assert self._http is not None
        try:
            answer: Carried | Told = await _done(self._http, errand)
        except FOREIGN as error:
            answer = told(error)
        except Exception as error:  # noqa: BLE001 - whoever waits must hear of it
            answer = Told(kind="no answer", words=f"{type(error).__name__} in the process that carries requests")
        self._say(packed_answer(errand.number, answer))

    def _say(self, frame: bytes) -> None:
        if not self._answers:
            asyncio.get_running_loop().call_soon(self._flush)
        self._answers.append(frame)

    def _flush(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(b"".join(self._answers))
        self._answers.clear()


async def _done(http: Http, errand: Errand) -> Carried:
    """Raises FOREIGN."""
    method, url, headers, content = errand.method, errand.url, errand.headers, errand.content
    if errand.kind is Kind.CALL:
        return Carried(answer=await http.request(method, url, headers=headers, content=content))
    async with http.open(method, url, headers=headers, content=content, raw=errand.raw) as response:
        body, broken = await _as_far_as_it_came(response, errand.most_bytes)
        return Carried(answer=Answer(status=response.status, headers=response.headers, content=body), broken=broken)


async def _as_far_as_it_came(response: Response, most_bytes: int) -> tuple[bytes, Told | None]:
    body = bytearray()
    try:
        async for block in response.content.iter_any():
            body += block
            if len(body) > most_bytes:
                return bytes(body), _TOO_LONG
    except FOREIGN as error:
        return bytes(body), told(error)
    return bytes(body), None


_TOO_LONG = Told(kind="no answer", words="it is longer than it was said to be")
