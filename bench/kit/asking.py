"""COUNT requests, some in flight at once: `python -m bench.kit.asking CLIENT BASE_URL COUNT AT_ONCE` prints seconds."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import aiohttp
import httpx
from httpx_aiohttp import AiohttpTransport

Ask = Callable[[], Awaitable[bytes]]
BODY = b'{"process": false, "conversion": [{"category": "image", "target": "jpg"}]}'


@asynccontextmanager
async def _httpx(url: str, transport: httpx.AsyncBaseTransport | None) -> AsyncIterator[Ask]:
    limits = httpx.Limits(max_connections=100)
    async with httpx.AsyncClient(transport=transport, limits=limits, trust_env=False) as client:

        async def ask() -> bytes:
            return (await client.post(url, content=BODY)).content

        yield ask


@asynccontextmanager
async def _aiohttp(url: str) -> AsyncIterator[Ask]:
    async with aiohttp.ClientSession() as session:

        async def ask() -> bytes:
            async with session.post(url, data=BODY) as response:
                return await response.read()

        yield ask


async def main(client: str, base_url: str, count: int, at_once: int) -> None:
    url = f"{base_url}/jobs"
    opened = {
        "httpx": lambda: _httpx(url, None),
        "httpx-aiohttp": lambda: _httpx(url, AiohttpTransport(limits=httpx.Limits(max_connections=100))),
        "aiohttp": lambda: _aiohttp(url),
    }[client]
    left = iter(range(count))
    async with opened() as ask:

        async def work() -> None:
            for _ in left:
                await ask()

        began = time.perf_counter()
        await asyncio.gather(*(work() for _ in range(at_once)))
        sys.stdout.write(f"{time.perf_counter() - began}\n")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])))
