"""An `Http` whose short requests another process carries."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, suppress
from typing import TypeGuard

from runner.client.courier.errands import Terms
from runner.client.courier.held import HeldResponse
from runner.client.courier.link import Courier, courier
from runner.client.endpoint import Endpoint
from runner.client.http import (
    CALL_TIMEOUT_S,
    READ_TIMEOUT_S,
    Answer,
    Content,
    Http,
    Response,
    open_http,
)

MOST_CARRIED_BYTES = 256 << 10


class CourierHttp(Http):
    """Calls and small downloads go by courier, and from here where it is gone; so do uploads, and what is long, which
    would have to be copied from one process to the other."""

    def __init__(self, near: Http, courier: Courier) -> None:
        self._near = near
        self._courier = courier

    async def request(
        self, method: str, url: str, *, headers: Mapping[str, str], content: bytes | AsyncIterable[bytes] | None = None
    ) -> Answer:
        if self._carries(content):
            return await self._courier.call(method, url, headers=headers, content=content)
        return await self._near.request(method, url, headers=headers, content=content)

    async def send(
        self, method: str, url: str, *, headers: Mapping[str, str], content: bytes | AsyncIterable[bytes] | None = None
    ) -> Answer:
        return await self._near.send(method, url, headers=headers, content=content)

    def open(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str],
        content: Content | None = None,
        raw: bool = False,
        is_small: bool = False,
    ) -> AbstractAsyncContextManager[Response]:
        if is_small and self._carries(content):
            return self._opened(method, url, headers=headers, content=content, raw=raw)
        return self._near.open(method, url, headers=headers, content=content, raw=raw)

    def _carries(self, content: Content | None) -> TypeGuard[bytes | None]:
        is_short = content is None or (isinstance(content, bytes) and len(content) <= MOST_CARRIED_BYTES)
        return is_short and self._courier.is_there

    @asynccontextmanager
    async def _opened(
        self, method: str, url: str, *, headers: Mapping[str, str], content: bytes | None, raw: bool
    ) -> AsyncIterator[Response]:
        most = MOST_CARRIED_BYTES
        yield HeldResponse(
            await self._courier.open(method, url, headers=headers, content=content, raw=raw, most_bytes=most)
        )


@asynccontextmanager
async def open_courier_http(
    endpoint: Endpoint,
    *,
    connections: int = 100,
    read_timeout_s: float = READ_TIMEOUT_S,
    call_timeout_s: float = CALL_TIMEOUT_S,
) -> AsyncIterator[Http]:
    """`open_http`, with a courier where one can be started."""
    terms = Terms(
        base_url=endpoint.base_url,
        socket=endpoint.socket,
        connections=connections,
        read_timeout_s=read_timeout_s,
        call_timeout_s=call_timeout_s,
    )
    async with AsyncExitStack() as stack:
        started = None
        with suppress(OSError):  # no room for another process
            started = await stack.enter_async_context(courier(terms))
        near = await stack.enter_async_context(
            open_http(endpoint, connections=connections, read_timeout_s=read_timeout_s, call_timeout_s=call_timeout_s)
        )
        yield near if started is None else CourierHttp(near, started)
