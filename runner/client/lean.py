"""An httpx client without what nobody here uses: it follows no redirect, keeps no cookie and logs in nowhere.

On every request httpx spends more on these than the transport below it spends on the network (bench/transports.py
has the figures). Whoever calls this sees httpx's interface; its requests and answers are httpx's own.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import httpx

if TYPE_CHECKING:
    from httpx._types import HeaderTypes, RequestContent

_IN_VAIN = ("data", "files", "json", "params", "cookies")
_url = lru_cache(maxsize=64)(httpx.URL)  # most requests go to a handful of addresses


class LeanClient(httpx.AsyncClient):
    """Sends content with headers; what else httpx can put together is refused with a TypeError."""

    def __init__(self, transport: httpx.AsyncBaseTransport, *, timeout: httpx.Timeout, user_agent: str) -> None:
        headers = {"User-Agent": user_agent, "Accept": "*/*"}
        super().__init__(transport=transport, timeout=timeout, headers=headers, trust_env=False)
        self._below = transport
        self._always = tuple(self.headers.raw)

    def build_request(
        self,
        method: str,
        url: httpx.URL | str,
        *,
        content: RequestContent | None = None,
        headers: HeaderTypes | None = None,
        **others: object,
    ) -> httpx.Request:
        if unknown := [name for name in _IN_VAIN if others.get(name) is not None]:
            raise TypeError(f"this client sends content and headers only, not {', '.join(unknown)}")
        own = httpx.Headers(headers).raw
        named = {name.lower() for name, _ in own}
        usual = [pair for pair in self._always if pair[0].lower() not in named]
        address = _url(url) if isinstance(url, str) else url
        extensions = {"timeout": self.timeout.as_dict()}
        return httpx.Request(method, address, headers=[*usual, *own], content=content, extensions=extensions)

    async def send(self, request: httpx.Request, *, stream: bool = False, **_: object) -> httpx.Response:
        response = await self._below.handle_async_request(request)
        response.request = request
        if not stream:
            try:
                await response.aread()
            except BaseException:
                await response.aclose()
                raise
        return response
