"""An httpx client that goes straight to aiohttp, and leaves out what nobody here uses.

It follows no redirect, keeps no cookie and logs in nowhere. On every request httpx and its bridge to aiohttp spend as
much again as aiohttp spends on the network (bench/transports.py has the figures). Whoever calls this sees httpx's
interface: its answers and errors are httpx's own. Whole requests of httpx (`send`) take the bridge.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import httpx
from httpx_aiohttp import AiohttpTransport
from httpx_aiohttp.transport import AiohttpResponseStream, map_aiohttp_exceptions

_IN_VAIN = ("data", "files", "json", "params", "cookies")
Content = bytes | AsyncIterable[bytes]


class LeanClient(httpx.AsyncClient):
    """Sends content with headers; what else httpx can put together is refused with a TypeError."""

    def __init__(self, session: aiohttp.ClientSession, *, timeout: httpx.Timeout, user_agent: str) -> None:
        self._always = {"User-Agent": user_agent, "Accept": "*/*"}
        super().__init__(
            transport=AiohttpTransport(client=session), timeout=timeout, headers=self._always, trust_env=False
        )
        self._session = session
        self._patience = aiohttp.ClientTimeout(sock_connect=timeout.connect, sock_read=timeout.read)

    async def request(  # type: ignore[override]
        self,
        method: str,
        url: str,
        *,
        content: Content | None = None,
        headers: Mapping[str, str] | None = None,
        **others: Any,
    ) -> httpx.Response:
        with map_aiohttp_exceptions():
            async with self._asked(method, url, content, headers, others) as answer:
                body = await answer.read()
        return httpx.Response(answer.status, headers=answer.raw_headers, content=body)

    @asynccontextmanager
    async def stream(  # type: ignore[override]
        self, method: str, url: str, *, headers: Mapping[str, str] | None = None, **others: Any
    ) -> AsyncIterator[httpx.Response]:
        with map_aiohttp_exceptions():
            answer = await self._asked(method, url, None, headers, others)
        response = httpx.Response(answer.status, headers=answer.raw_headers, stream=AiohttpResponseStream(answer))
        try:
            yield response
        finally:
            await response.aclose()

    def _asked(
        self,
        method: str,
        url: str,
        content: Content | None,
        headers: Mapping[str, str] | None,
        others: Mapping[str, Any],
    ) -> aiohttp.client._RequestContextManager:
        if unknown := [name for name in _IN_VAIN if others.get(name) is not None]:
            raise TypeError(f"this client sends content and headers only, not {', '.join(unknown)}")
        return self._session.request(
            method,
            url,
            data=content or None,
            headers=self._always | dict(headers or {}),
            allow_redirects=False,
            timeout=self._patience,
        )
