"""Whether remote sources changed: web servers are asked for ETag and Last-Modified, many at once."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp

from runner.client.http import FOREIGN, USER_AGENT, is_success, spoken
from runner.errors import InvalidError

AT_ONCE = 16
TIMEOUT_S = 20.0
_NO_HEAD = frozenset({403, 405, 501})


async def revisions(urls: Iterable[str]) -> dict[str, str | InvalidError]:
    """By URL: what tells this version from the next, or why nobody can tell."""
    wanted = list(dict.fromkeys(urls))
    room = asyncio.Semaphore(AT_ONCE)
    async with open_web() as http:
        return dict(zip(wanted, await asyncio.gather(*(_asked(http, url, room) for url in wanted)), strict=True))


def open_web() -> aiohttp.ClientSession:
    headers = {"User-Agent": USER_AGENT, "Accept-Encoding": "identity"}
    return aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=TIMEOUT_S), headers=headers)


def _proxy(url: str) -> str | None:
    """That of the environment. aiohttp would find it too, and log in with what ~/.netrc holds, as no server does."""
    try:
        parts = urlsplit(url)
    except ValueError:  # no address at all: who asks for it is told
        return None
    return None if proxy_bypass(parts.hostname or "") else getproxies().get(parts.scheme)


async def look_at(http: aiohttp.ClientSession, url: str) -> Mapping[str, str]:
    """What a web server says of `url` without sending it. Raises InvalidError, never with the URL: it may be secret."""
    if any(ord(char) < 32 or ord(char) == 127 for char in url):  # the client would leave them out, as no server does
        raise InvalidError("the address holds a line break or another control character")
    try:
        answer = await _head(http, url, _proxy(url))
    except FOREIGN as error:
        raise InvalidError(f"its server could not be asked: {spoken(error)}") from None
    except TimeoutError:
        raise InvalidError(f"its server could not be asked: no answer within {TIMEOUT_S:g} s") from None
    if not is_success(answer.status):
        raise InvalidError(f"its server answers {answer.status} {answer.reason or ''}".rstrip())
    return answer.headers


async def _head(http: aiohttp.ClientSession, url: str, proxy: str | None) -> aiohttp.ClientResponse:
    async with http.head(url, allow_redirects=True, proxy=proxy) as answer:
        if answer.status not in _NO_HEAD:
            return answer
    async with http.get(url, proxy=proxy) as answer:  # by asking for the whole and not reading on
        return answer


async def _asked(http: aiohttp.ClientSession, url: str, room: asyncio.Semaphore) -> str | InvalidError:
    async with room:
        try:
            headers = await look_at(http, url)
        except InvalidError as error:
            return error
    marks = [headers[name] for name in ("ETag", "Last-Modified") if name in headers]
    unseen = "its server tells neither ETag nor Last-Modified, so nobody can see whether it changed"
    return " ".join(marks) or InvalidError(unseen, hint="leave out revalidate, and raise epoch to convert it again")
