"""Whether remote sources changed: web servers are asked for ETag and Last-Modified, many at once."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from contextlib import AbstractAsyncContextManager

import httpx

from runner import __version__
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


def open_web() -> AbstractAsyncContextManager[httpx.AsyncClient]:
    headers = {"User-Agent": f"conversion-runner/{__version__}", "Accept-Encoding": "identity"}
    return httpx.AsyncClient(follow_redirects=True, timeout=TIMEOUT_S, headers=headers)


async def look_at(http: httpx.AsyncClient, url: str) -> httpx.Headers:
    """What a web server says of `url` without sending it. Raises InvalidError, never with the URL: it may be secret."""
    try:
        answer = await http.head(url)
        if answer.status_code in _NO_HEAD:  # then by asking for the whole and not reading on
            async with http.stream("GET", url) as answer:
                pass
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        why = type(error).__name__ if isinstance(error, httpx.InvalidURL) else str(error) or type(error).__name__
        raise InvalidError(f"its server could not be asked: {why}") from None
    if not answer.is_success:
        raise InvalidError(f"its server answers {answer.status_code} {answer.reason_phrase}".rstrip())
    return answer.headers


async def _asked(http: httpx.AsyncClient, url: str, room: asyncio.Semaphore) -> str | InvalidError:
    async with room:
        try:
            headers = await look_at(http, url)
        except InvalidError as error:
            return error
    marks = [headers[name] for name in ("ETag", "Last-Modified") if name in headers]
    unseen = "its server tells neither ETag nor Last-Modified, so nobody can see whether it changed"
    return " ".join(marks) or InvalidError(unseen, hint="leave out revalidate, and raise epoch to convert it again")
