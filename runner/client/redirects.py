"""Where a download really lies: its redirects are followed, since no key of ours goes along."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from urllib.parse import urljoin, urlsplit

from runner.client.api import REDIRECTS
from runner.client.errors import RefusedError
from runner.client.hidden import Hidden
from runner.client.http import Http, Response
from runner.wire import headers

MOST_REDIRECTS = 5


@asynccontextmanager
async def opened(
    http: Http, url: str, *, sent: Mapping[str, str], doing: str, hidden: Hidden, is_small: bool = False
) -> AsyncIterator[Response]:
    """The answer at the end of all redirects, its body as it came. Raises FOREIGN, and RefusedError for a redirect that
    isn't followed.

    The password of a download stays with the host that the job named. Addresses on the way may be signed: `hidden`.
    """
    for redirects in range(MOST_REDIRECTS + 1):
        async with http.open("GET", url, headers=sent, raw=True, is_small=is_small) as response:
            onward = _onward(url, response, doing=doing)
            if onward is None:
                yield response
                return
            if redirects == MOST_REDIRECTS:
                raise _not_followed(response, f"the last of {MOST_REDIRECTS} redirects leads on", doing=doing)
        if urlsplit(onward).netloc != urlsplit(url).netloc:
            sent = {name: value for name, value in sent.items() if name != headers.DOWNLOAD_PASSWORD[0]}
        hidden.add_address(onward)
        url = onward


def _onward(url: str, response: Response, *, doing: str) -> str | None:
    location = response.headers.get("Location", "")
    if response.status not in REDIRECTS or not location:
        return None
    try:
        onward = urljoin(url, location)
        onward.encode()  # bytes that are no text make no address
        parts = urlsplit(onward)
        is_address = parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        is_address = False
    if not is_address:
        raise _not_followed(response, "it redirects to what is no http(s) address", doing=doing)
    if urlsplit(url).scheme == "https" and parts.scheme == "http":
        raise _not_followed(response, f"it redirects from https to http, at {parts.hostname}", doing=doing)
    return onward


def _not_followed(response: Response, why: str, *, doing: str) -> RefusedError:
    """`why` names hosts alone: what stands behind them may be a secret."""
    return RefusedError(f"{doing}: {response.status}, {why}", status=response.status)
