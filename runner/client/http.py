"""One HTTP session to one endpoint: who we are, how long we wait, and foreign errors made ours.

httpx is the interface; its own asynchronous transport is ten times slower than aiohttp's at our numbers of
requests in flight, so the session runs on aiohttp (measured in bench/transports.py).
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import httpx
from aiohttp.client_exceptions import UnixClientConnectorError

from runner import __version__
from runner.client.endpoint import Endpoint
from runner.client.errors import ApiUnreachableError, OutcomeUnknownError
from runner.client.lean import LeanClient

CONNECT_TIMEOUT_S = 10.0
READ_TIMEOUT_S = 60.0
KEEPALIVE_S = 30.0

# What a request may raise: the transport lets some of aiohttp's errors through, and a bad URL is no HTTPError.
Foreign = httpx.HTTPError | httpx.InvalidURL | aiohttp.ClientError
FOREIGN = (httpx.HTTPError, httpx.InvalidURL, aiohttp.ClientError)
_NEVER_CONNECTED = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError)


@asynccontextmanager
async def open_http(endpoint: Endpoint, *, connections: int = 100) -> AsyncIterator[httpx.AsyncClient]:
    """A session to `endpoint`; credentials are not part of it but given with each request that needs them."""
    timeout = httpx.Timeout(READ_TIMEOUT_S, connect=CONNECT_TIMEOUT_S, pool=None)
    agent = f"conversion-runner/{__version__}"
    async with (
        aiohttp.ClientSession(
            connector=_connector(endpoint, connections), cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=False
        ) as session,
        LeanClient(session, timeout=timeout, user_agent=agent) as http,
    ):
        yield http


def _connector(endpoint: Endpoint, connections: int) -> aiohttp.BaseConnector:
    if endpoint.socket:
        return aiohttp.UnixConnector(endpoint.socket, limit=connections, keepalive_timeout=KEEPALIVE_S)
    tls = httpx.create_ssl_context(trust_env=False)
    return aiohttp.TCPConnector(ssl=tls, limit=connections, keepalive_timeout=KEEPALIVE_S)


def translated(error: Foreign, *, doing: str) -> ApiUnreachableError | OutcomeUnknownError:
    """`error` as ours. Only a connection that was never made proves that nothing was sent.

    (The transport calls a refused connection a connect timeout, and one that the server dropped too. The error
    below it tells them apart.)
    """
    if isinstance(error, httpx.UnsupportedProtocol | httpx.InvalidURL | aiohttp.InvalidURL):
        return ApiUnreachableError(f"{doing}: the address is not an http(s) URL; nothing was sent")
    # aiohttp's own words may quote the URL, and that of a download may hold a token.
    why = type(error).__name__ if isinstance(error, aiohttp.ClientError) else str(error) or type(error).__name__
    if isinstance(error.__cause__, _NEVER_CONNECTED):
        return ApiUnreachableError(f"{doing}: no connection ({_cause(error.__cause__) or why}); nothing was sent")
    return OutcomeUnknownError(f"{doing}: no answer ({why})")


def _cause(error: BaseException) -> str:
    """In the system's words, which say less than the transport's and are read more easily; empty where it has none."""
    if not isinstance(error, aiohttp.ClientConnectorError) or isinstance(error, UnixClientConnectorError):
        return ""
    number = error.os_error.errno or 0
    why = os.strerror(number) if number > 0 else error.os_error.strerror or ""
    return f"{error.host}:{error.port}: {why}" if why else ""
