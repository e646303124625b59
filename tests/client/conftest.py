"""A real HTTP server on loopback that does what each test tells it to, the worst included."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email.utils import format_datetime
from random import Random
from typing import Any, TypeVar

import pytest

from runner.client.api import ConversionApi
from runner.client.courier.http import open_courier_http
from runner.client.endpoint import Endpoint
from runner.client.http import open_http

KEY = "canarykey0123456789"
Got = TypeVar("Got")


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    method: str
    path: str
    headers: dict[str, str]
    body: bytes


Answer = Callable[[Request], bytes | None]  # None hangs up without a word


@dataclass(kw_only=True)
class Rogue:
    """Answers request after request with the next of `answers`, the last one for ever."""

    answers: tuple[Answer | bytes | None, ...]
    requests: list[Request] = field(default_factory=list)
    connections: int = 0
    deaf: bool = False  # hangs up before it reads anything
    mute: bool = False  # reads, and never answers
    slow_s: float = 0.0  # reads a part of a body, and rests for so long before the next
    full: bool = False  # takes a connection, and reads nothing
    goes_on: bytes = b""  # is said after the answer, again and again
    every_s: float = 0.0
    url: str = ""
    _writers: list[asyncio.StreamWriter] = field(default_factory=list)
    _tasks: list[asyncio.Task[Any] | None] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._writers.append(writer)
        self._tasks.append(asyncio.current_task())
        try:
            if self.full:
                writer.transport.pause_reading()  # type: ignore[attr-defined]
                await writer.wait_closed()
            while not self.deaf and (request := await _read(reader, slow_s=self.slow_s)) is not None:
                answer = self.answers[min(len(self.requests), len(self.answers) - 1)]
                self.requests.append(request)
                if self.mute:
                    await reader.read()
                said = answer(request) if callable(answer) else answer
                if said is None:
                    break
                writer.write(said)
                await writer.drain()
                while self.goes_on:
                    await asyncio.sleep(self.every_s)
                    writer.write(self.goes_on)
                    await writer.drain()
                if b"connection: close" in said.lower():
                    break
        except ConnectionError:
            pass
        finally:
            writer.close()

    async def close(self) -> None:
        for writer in self._writers:
            writer.close()
        await asyncio.gather(*filter(None, self._tasks))


async def _read(reader: asyncio.StreamReader, *, slow_s: float) -> Request | None:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")[:-2]
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        body = bytearray()
        while (left := int(headers.get("content-length", "0")) - len(body)) > 0:
            body += await reader.readexactly(min(left, 1 << 20) if slow_s else left)
            await asyncio.sleep(slow_s)
    except asyncio.IncompleteReadError:
        return None
    method, path, _ = first.split(" ")
    return Request(method=method, path=path, headers=headers, body=bytes(body))


def reply(status: int = 200, body: Any = None, *, keep: bool = False, **headers: str) -> bytes:
    """A whole answer; `body` is sent as it is where it is bytes, else as JSON."""
    payload = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
    lines = [f"HTTP/1.1 {status} Whatever", *(f"{name.replace('_', '-')}: {value}" for name, value in headers.items())]
    if "Content_Length" not in headers:
        lines.append(f"Content-Length: {len(payload)}")
    lines.append(f"Connection: {'keep-alive' if keep else 'close'}")
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + payload


@asynccontextmanager
async def rogue(*answers: Answer | bytes | None, **how: Any) -> AsyncIterator[Rogue]:
    server = Rogue(answers=answers or (None,), **how)
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0, limit=1 << 20)
    server.url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    try:
        yield server
    finally:
        listening.close()
        await server.close()


@dataclass(kw_only=True)
class Scene:
    """One server, a client of it, and the waits that the client asked for."""

    server: Rogue
    api: ConversionApi
    waits: list[float]


@asynccontextmanager
async def scene(
    *answers: Answer | bytes | None, timeout_s: float = 5.0, call_timeout_s: float = 5.0, **how: Any
) -> AsyncIterator[Scene]:
    waits: list[float] = []

    async def no_wait(seconds: float) -> None:
        waits.append(seconds)

    async with rogue(*answers, **how) as server:
        endpoint = Endpoint(name="loopback", base_url=f"{server.url}/v2", api_key=KEY)
        async with open_http(endpoint, read_timeout_s=timeout_s, call_timeout_s=call_timeout_s) as http:
            yield Scene(
                server=server,
                api=ConversionApi(endpoint=endpoint, http=http, sleep=no_wait, rng=Random(1)),
                waits=waits,
            )


@dataclass(kw_only=True)
class Played:
    """How a scene ended: with a value or an error, and what the server saw."""

    value: Any
    error: BaseException | None
    server: Rogue
    waits: list[float]


def play(do: Callable[[Scene], Awaitable[Got]], *answers: Answer | bytes | None, **how: Any) -> Played:
    """Play `do` against a server that gives `answers`."""

    async def main() -> Played:
        async with scene(*answers, **how) as made:
            value, error = await _ended(do(made))
            return Played(value=value, error=error, server=made.server, waits=made.waits)

    coroutine: Coroutine[Any, Any, Played] = main()
    return asyncio.run(coroutine)


async def _ended(doing: Awaitable[Got]) -> tuple[Got | None, BaseException | None]:
    try:
        return await doing, None
    except Exception as error:  # noqa: BLE001 - whatever it is, the test looks at it
        return None, error


class Stage:
    """What the tests of this folder play with."""

    key = KEY
    reply = staticmethod(reply)
    rogue = staticmethod(rogue)
    play = staticmethod(play)
    date = staticmethod(format_datetime)


@pytest.fixture(params=["from here", "by courier"])
def both_ways(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Scenes are played with requests from here, and with such as another process carries."""
    if request.param == "by courier":
        monkeypatch.setattr("tests.client.conftest.open_http", open_courier_http)


@pytest.fixture(scope="session")
def stage() -> Stage:
    return Stage()
