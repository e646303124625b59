"""COUNT requests, some in flight at once: `python -m bench.kit.asking CLIENT BASE_URL COUNT AT_ONCE` prints seconds."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import aiohttp
import httpx

from runner.client.endpoint import Endpoint
from runner.client.http import open_http

Ask = Callable[[], Awaitable[bytes]]
LIMITS = httpx.Limits(max_connections=100)
BODY = b'{"process": false, "conversion": [{"category": "image", "target": "jpg"}]}'


@asynccontextmanager
async def _httpx(url: str) -> AsyncIterator[Ask]:
    async with httpx.AsyncClient(limits=LIMITS, trust_env=False) as client:

        async def ask() -> bytes:
            return (await client.post(url, content=BODY)).content

        yield ask


@asynccontextmanager
async def _ours(url: str) -> AsyncIterator[Ask]:
    endpoint = Endpoint(name="bench", base_url=url, api_key="")
    async with open_http(endpoint) as client:

        async def ask() -> bytes:
            return (await client.request("POST", url, content=BODY, headers={})).content

        yield ask


@asynccontextmanager
async def _aiohttp(url: str) -> AsyncIterator[Ask]:
    async with aiohttp.ClientSession() as session:

        async def ask() -> bytes:
            async with session.post(url, data=BODY) as response:
                return await response.read()

        yield ask


def _opened(client: str, url: str) -> AbstractAsyncContextManager[Ask]:
    if client == "aiohttp":
        return _aiohttp(url)
    if client == "ours":
        return _ours(url)
    return _httpx(url)


async def main(client: str, base_url: str, count: int, at_once: int) -> None:
    url = f"{base_url}/jobs"
    left = iter(range(count))
    async with _opened(client, url) as ask:

        async def work() -> None:
            for _ in left:
                await ask()

        began = time.perf_counter()
        await asyncio.gather(*(work() for _ in range(at_once)))
        sys.stdout.write(f"{time.perf_counter() - began}\n")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])))
