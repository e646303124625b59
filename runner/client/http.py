"""One HTTP session to one endpoint: who we are, how long we wait, and foreign errors made ours.

It follows no redirect, keeps no cookie, reads no proxy from the environment, and logs in nowhere: credentials are
given with each request that needs them. aiohttp itself, for any interface around it costs as much again as what it
does (measured in bench/transports.py).
"""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import AsyncIterable, AsyncIterator, Coroutine, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from functools import cache
from types import TracebackType
from typing import Any, Literal, Protocol

import aiohttp
import certifi
from aiohttp.client_exceptions import UnixClientConnectorError

from runner import __version__
from runner.client.endpoint import Endpoint
from runner.client.errors import ApiUnreachableError, OutcomeUnknownError, OversizeAnswerError
from runner.client.sending import PIECE_BYTES, StalledError, watched

CONNECT_TIMEOUT_S = 10.0
READ_TIMEOUT_S = 60.0  # between two words of the server
CALL_TIMEOUT_S = 60.0  # from the first byte of a call to the last of its answer; uploads and downloads take their time
ANSWER_TIMEOUT_S = 60.0  # for the body of an answer that is no file, whatever was asked
MOST_ANSWER_BYTES = 32 << 20  # of such an answer: a page of jobs may bring the files of base64 inputs along
KEEPALIVE_S = 30.0
USER_AGENT = f"conversion-runner/{__version__}"

Content = bytes | AsyncIterable[bytes | memoryview]
FOREIGN = aiohttp.ClientError  # what a request may raise, `InvalidURL` included


class _UnsendableError(aiohttp.ClientError):
    """A host that can't be one, or a header that none can be."""


class _SlowAnswerError(aiohttp.ClientError):
    """It came, but would have gone on coming."""


class _LongAnswerError(aiohttp.ClientError):
    """More than any answer needs."""


_NO_ADDRESS = (aiohttp.InvalidURL, aiohttp.NonHttpUrlClientError, _UnsendableError)
_NEVER_CONNECTED = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError)


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """An answer, whole. Headers are found whatever the case of their names."""

    status: int
    headers: Mapping[str, str]
    content: bytes

    @property
    def is_success(self) -> bool:
        return is_success(self.status)


def is_success(status: int) -> bool:
    return 200 <= status < 300


class Body(Protocol):
    def is_eof(self) -> bool: ...
    def iter_any(self) -> AsyncIterator[bytes]: ...


class Response(Protocol):
    """What is used of an answer as aiohttp gives it, whose body comes bit by bit. Reading it raises FOREIGN."""

    @property
    def status(self) -> int: ...
    @property
    def headers(self) -> Mapping[str, str]: ...
    @property
    def content_length(self) -> int | None: ...
    @property
    def content(self) -> Body: ...
    async def read(self) -> bytes: ...
    def close(self) -> None: ...


async def read_whole(response: Response) -> Answer:
    """An answer that is no file: bounded in time and size. Raises FOREIGN."""
    if response.content.is_eof() and _is_bounded(response):  # it came with its head: there is nothing to wait for
        return await _bounded(response)
    return await _within(ANSWER_TIMEOUT_S, _bounded(response))


async def _bounded(response: Response) -> Answer:
    if _is_bounded(response):  # the usual answer, which comes at once
        return Answer(status=response.status, headers=response.headers, content=await response.read())
    content = bytearray()
    async for block in response.content.iter_any():
        content += block
        if len(content) > MOST_ANSWER_BYTES:
            response.close()
            raise _LongAnswerError
    return Answer(status=response.status, headers=response.headers, content=bytes(content))


def _is_bounded(response: Response) -> bool:
    length, headers = response.content_length, response.headers
    if length is None or "Content-Encoding" in headers or "Transfer-Encoding" in headers:
        return False
    return length <= MOST_ANSWER_BYTES


async def _within(seconds: float, answering: Coroutine[Any, Any, Answer]) -> Answer:
    try:
        async with asyncio.timeout(seconds):
            return await answering
    except TimeoutError as error:
        if isinstance(error, FOREIGN):
            raise
        raise _SlowAnswerError from None


class _Opening(AbstractAsyncContextManager[Response]):
    """A request of aiohttp's. UnicodeError is a ValueError, too: addresses and tokens come from the server."""

    def __init__(self, request: AbstractAsyncContextManager[aiohttp.ClientResponse]) -> None:
        self._request = request

    async def __aenter__(self) -> Response:
        try:
            return await self._request.__aenter__()
        except ValueError as error:
            if isinstance(error, FOREIGN):
                raise
            raise _UnsendableError from None

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._request.__aexit__(kind, error, trace)


def _is_little(content: Content | None) -> bool:
    return content is None or (isinstance(content, bytes) and len(content) <= PIECE_BYTES)


class Http:
    """Requests of one session. Every method raises FOREIGN."""

    def __init__(self, session: aiohttp.ClientSession, *, read_timeout_s: float, call_timeout_s: float) -> None:
        self._session = session
        self._read_timeout_s = read_timeout_s
        self._call_timeout_s = call_timeout_s
        self._patience = aiohttp.ClientTimeout(sock_connect=CONNECT_TIMEOUT_S, sock_read=read_timeout_s)

    async def request(
        self, method: str, url: str, *, headers: Mapping[str, str], content: bytes | AsyncIterable[bytes] | None = None
    ) -> Answer:
        """A call, which takes no longer than `call_timeout_s` in all, unless it sends a lot."""
        if _is_little(content):
            return await _within(self._call_timeout_s, self._answered(method, url, headers, content))
        return await self.send(method, url, headers=headers, content=content)

    async def _answered(self, method: str, url: str, headers: Mapping[str, str], content: Content | None) -> Answer:
        async with self.open(method, url, headers=headers, content=content) as response:
            return await _bounded(response)

    async def send(
        self, method: str, url: str, *, headers: Mapping[str, str], content: bytes | AsyncIterable[bytes] | None = None
    ) -> Answer:
        """A request whose content takes as long as the server goes on taking it."""
        if content is None or _is_little(content):
            async with self.open(method, url, headers=headers, content=content) as response:
                return await read_whole(response)
        if isinstance(content, bytes):
            headers = {**headers, "Content-Length": str(len(content))}
        async with (
            watched(patience_s=self._read_timeout_s) as sending,
            self.open(method, url, headers=headers, content=sending.pieces(content)) as response,
        ):
            sending.head_came()
            return await read_whole(response)

    def open(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str],
        content: Content | None = None,
        raw: bool = False,
        is_small: bool = False,  # noqa: ARG002 - it may come whole as well
    ) -> AbstractAsyncContextManager[Response]:
        """The head of the answer; its body is read by whoever asks, with `raw` as it came, packed or not.

        is_small  whether the body is said to fit into memory with many others
        """
        return _Opening(
            self._session.request(
                method,
                url,
                data=content or None,
                headers=headers,
                allow_redirects=False,
                auto_decompress=not raw,
                timeout=self._patience,
                ssl=_tls() if url.startswith("https:") else True,
            )
        )


@asynccontextmanager
async def open_http(
    endpoint: Endpoint,
    *,
    connections: int = 100,
    read_timeout_s: float = READ_TIMEOUT_S,
    call_timeout_s: float = CALL_TIMEOUT_S,
) -> AsyncIterator[Http]:
    """A session to `endpoint`. No answer for `read_timeout_s`, and no whole one to a call for `call_timeout_s`, is an
    error."""
    async with aiohttp.ClientSession(
        connector=_connector(endpoint, connections),
        cookie_jar=aiohttp.DummyCookieJar(),
        headers={"User-Agent": USER_AGENT, "Accept-Encoding": "identity"},
    ) as session:
        yield Http(session, read_timeout_s=read_timeout_s, call_timeout_s=call_timeout_s)


def _connector(endpoint: Endpoint, connections: int) -> aiohttp.BaseConnector:
    if endpoint.socket:
        return aiohttp.UnixConnector(endpoint.socket, limit=connections, keepalive_timeout=KEEPALIVE_S)
    return aiohttp.TCPConnector(limit=connections, keepalive_timeout=KEEPALIVE_S)


@cache
def _tls() -> ssl.SSLContext:
    """Made when it is needed: reading the certificates takes longer than a request.

    The system's own are trusted too, where a company puts its own authority, or whatever SSL_CERT_FILE names.
    """
    context = ssl.create_default_context(cafile=certifi.where())
    context.load_default_certs()
    return context


Kind = Literal["no address", "no connection", "endless", "no answer"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Told:
    """What a foreign error comes to, in words of ours. Only what never got a connection was surely not sent."""

    kind: Kind
    words: str


class CarriedError(aiohttp.ClientError):
    """A foreign error that another process met for us."""

    def __init__(self, told: Told) -> None:
        super().__init__(told.words)
        self.told = told


def told(error: aiohttp.ClientError) -> Told:
    if isinstance(error, CarriedError):
        return error.told
    kind: Kind = "no answer"
    if isinstance(error, _NO_ADDRESS):
        kind = "no address"
    elif isinstance(error, _NEVER_CONNECTED):
        kind = "no connection"
    elif isinstance(error, _LongAnswerError):
        kind = "endless"
    return Told(kind=kind, words=spoken(error))


def translated(error: aiohttp.ClientError, *, doing: str) -> ApiUnreachableError | OutcomeUnknownError:
    """`error` as ours."""
    said = told(error)
    match said.kind:
        case "no address":
            return ApiUnreachableError(f"{doing}: {said.words}; nothing was sent")
        case "no connection":
            return ApiUnreachableError(f"{doing}: no connection ({said.words}); nothing was sent")
        case "endless":
            return OversizeAnswerError(f"{doing}: {said.words}")
        case "no answer":
            return OutcomeUnknownError(f"{doing}: no answer ({said.words})")


def spoken(error: aiohttp.ClientError) -> str:
    """`error` in words of ours and of the system: aiohttp's own may quote the URL, and that may hold a token."""
    if isinstance(error, aiohttp.ClientConnectorError) and not isinstance(error, UnixClientConnectorError):
        return f"{error.host}:{error.port}: {_of_the_system(error.os_error)}"
    if isinstance(error, aiohttp.ClientOSError):
        return _of_the_system(error)
    return next((words for kind, words in _SPOKEN if isinstance(error, kind)), type(error).__name__)


def _of_the_system(error: OSError) -> str:
    """What the system says tells more, and is read more easily, than what libraries make of it."""
    if isinstance(error, ssl.SSLError):  # its number is one of OpenSSL's, not of the system's
        return _of_tls(error)
    number = error.errno or 0
    return os.strerror(number) if number > 0 else error.strerror or type(error).__name__


def _of_tls(error: ssl.SSLError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the certificate isn't trusted: {error.verify_message or error.reason}"
    said = (error.reason or "").replace("_", " ").lower()
    return "it doesn't speak TLS" if said in _NO_TLS else f"TLS fails: {said or error.strerror or 'no reason given'}"


# What OpenSSL calls an answer in plain HTTP.
_NO_TLS = frozenset({"wrong version number", "http request", "packet length too long", "record layer failure"})
_SPOKEN: tuple[tuple[type[aiohttp.ClientError] | tuple[type[aiohttp.ClientError], ...], str], ...] = (
    (aiohttp.ConnectionTimeoutError, "it could not be made in time"),
    (StalledError, "the server took nothing more of what was sent"),
    (aiohttp.ServerTimeoutError, "nothing came for too long"),
    (aiohttp.ServerDisconnectedError, "the server hung up"),
    (aiohttp.ClientPayloadError, "it broke off in the middle"),
    (aiohttp.TooManyRedirects, "too many redirects"),
    (_SlowAnswerError, "it wasn't whole in time"),
    (_LongAnswerError, f"the answer is longer than {MOST_ANSWER_BYTES >> 20} MiB"),
    (_UnsendableError, "the address is none, or the token that came with it"),
    (_NO_ADDRESS, "the address is not an http(s) URL"),
)
