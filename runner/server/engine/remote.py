"""Fetching a remote input: HTTP and HTTPS, streamed to a file, redirects followed, everything checked, tried again.

Runs in a thread. The standard library's client is used because it lets us choose the address that is
connected to, and because a server that fetches nothing should not load a bigger one.
"""

from __future__ import annotations

import http.client
import socket
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from email.message import Message
from email.utils import collapse_rfc2231_value
from io import FileIO
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import SplitResult, unquote, urljoin, urlsplit

from runner import __version__
from runner.server.config import Network
from runner.server.engine.addresses import RefusedAddress, resolve
from runner.server.engine.content_coding import BrokenCodingError, UnknownCodingError, decoded, is_plain
from runner.server.engine.stop import Stop
from runner.server.storage.gates import Gate
from runner.server.storage.patience import Patience, patiently, retry_after_s
from runner.server.storage.protocol import TOO_SLOW, Broken, Busy, Stopped, StorageError
from runner.server.store.blobs import Reserve, without_limit
from runner.server.store.checksums import Digest

_MOST_REDIRECTS = 10
_CHUNK = 256 * 1024
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_SILENCE_S = 30.0
_ATTEMPTS = 4
_BUSY = frozenset({429, 503})
_PASSING = frozenset({408, 500, 502, 504})
_STOPPED = "The download was stopped"


class InputError(Exception):
    """An input that can't be had; `code` is the API's number for it, HTTP-like."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


@dataclass(frozen=True, kw_only=True, slots=True)
class Order:
    """What to fetch, where to, and how far to go. `stopped` ends it at once, `digest` is that of nothing.

    reserve  told how large the file will be, before it is
    """

    url: str
    path: Path
    most_bytes: int
    too_large: str
    allowed: tuple[Network, ...]
    stopped: Stop
    digest: Digest
    reserve: Reserve = without_limit
    most_s: float = 3600.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Fetched:
    size: int
    checksum: str
    filename: str


def fetch(order: Order) -> Fetched:
    """Write what is at `order.url` to `order.path`; raises InputError with the reason, OSError for our disk.

    What breaks is tried again a few times, from where it broke if the server says that it is the same file still.
    Every attempt follows the redirects anew, and resolves and checks every address anew.
    """
    with order.path.open("wb", buffering=0) as file:
        download = _Download(order, file)
        patience = Patience(attempts=_ATTEMPTS, busy_s=0.0, ends_at=download.ends_at, too_slow=_too_slow(order))
        try:
            patiently(patience, order.stopped, download.attempt, lambda: download.furthest, gate=Gate())
        except StorageError as error:
            if error.code == TOO_SLOW:
                raise InputError(TOO_SLOW, error.message) from error
            raise InputError(404, f"{download.trouble} (tried {_ATTEMPTS} times)") from error
        except Stopped:
            raise InputError(404, _STOPPED) from None
        return download.fetched()


def probe(order: Order) -> None:
    """Raises InputError when what is at `order.url` could not be fetched; writes nothing."""
    try:
        with _answered(order, {}) as (_, answer):
            if answer.status != http.client.OK:
                raise InputError(*_refusal(answer.status))
    except Broken as error:
        raise InputError(404, _STOPPED if order.stopped.is_set() else str(error)) from error


class _Download:
    """
    furthest   the most bytes that were ever here; a start from zero doesn't take them back
    trouble    what went wrong with the last attempt
    validator  tells whether the file is the same still: a strong ETag, or when it was changed
    """

    def __init__(self, order: Order, file: FileIO) -> None:
        self._order = order
        self._file = file
        self._digest = order.digest.copy()
        self._size = 0
        self._validator = ""
        self._filename = ""
        self.ends_at = time.monotonic() + order.most_s
        self.furthest = 0
        self.trouble = ""

    def fetched(self) -> Fetched:
        return Fetched(size=self._size, checksum=self._digest.hexdigest(), filename=self._filename)

    def attempt(self) -> None:
        """Raises Broken where another one may help, InputError where none does."""
        try:
            with _answered(self._order, self._wanted()) as (url, answer):
                self._take_up(answer)
                if answer.status == http.client.OK:
                    self._filename = _filename(url, answer)
                self._read(answer)
        except Broken as error:
            self.trouble = str(error)
            raise

    def _wanted(self) -> dict[str, str]:
        """The rest, of the very file that was begun; without a way to name that, all of it."""
        if not self._size or not self._validator:
            return {}
        return {"Range": f"bytes={self._size}-", "If-Range": self._validator}

    def _take_up(self, answer: http.client.HTTPResponse) -> None:
        if answer.status == http.client.PARTIAL_CONTENT and self._continues(answer):
            return
        if answer.status in (http.client.PARTIAL_CONTENT, http.client.REQUESTED_RANGE_NOT_SATISFIABLE) and self._size:
            self._start_anew(validator="")
            raise Broken(f"The download broke off, and the server doesn't go on with it (HTTP {answer.status})")
        if answer.status in _BUSY:
            raise Busy(_refusal(answer.status)[1], retry_after_s(answer.getheader("Retry-After")))
        if answer.status in _PASSING:
            raise Broken(_refusal(answer.status)[1])
        if answer.status != http.client.OK:
            raise InputError(*_refusal(answer.status))
        self._start_anew(validator=_validator(answer))

    def _continues(self, answer: http.client.HTTPResponse) -> bool:
        return bool(self._size) and (answer.getheader("Content-Range") or "").startswith(f"bytes {self._size}-")

    def _start_anew(self, *, validator: str) -> None:
        self._validator = validator
        self._size = 0
        self._digest = self._order.digest.copy()
        self._file.seek(0)
        self._file.truncate()

    def _read(self, answer: http.client.HTTPResponse) -> None:
        self._make_room(self._size + (answer.length or 0))
        for chunk in _chunks(answer):
            self._make_room(self._size + len(chunk))
            self._check_time()
            self._digest.update(chunk)
            self._file.write(chunk)
            self._size += len(chunk)
            self.furthest = max(self.furthest, self._size)
        if answer.length:  # what was announced and never came
            raise Broken(f"The download broke off; {answer.length} bytes are missing")

    def _make_room(self, size: int) -> None:
        if size > self._order.most_bytes:
            raise InputError(413, self._order.too_large)
        self._order.reserve(size)

    def _check_time(self) -> None:
        if self._order.stopped.is_set():
            raise Stopped
        if time.monotonic() > self.ends_at:
            raise InputError(TOO_SLOW, _too_slow(self._order))


def _validator(answer: http.client.HTTPResponse) -> str:
    """What `If-Range` may hold: a weak ETag, which may mean other bytes, must not stand there.

    Nothing does for what comes compressed: where that broke off isn't where we are. Source: RFC 9110, section 13.1.5.
    """
    if not is_plain(answer.getheader("Content-Encoding") or ""):
        return ""
    etag = answer.getheader("ETag") or ""
    return etag if etag.startswith('"') else answer.getheader("Last-Modified") or ""


def _too_slow(order: Order) -> str:
    return f"The download took longer than {order.most_s:.0f} seconds"


@contextmanager
def _answered(order: Order, wanted: Mapping[str, str]) -> Iterator[tuple[str, http.client.HTTPResponse]]:
    """The answer at the end of the redirects, and its URL."""
    url = order.url
    for _ in range(_MOST_REDIRECTS + 1):
        with ExitStack() as stack:
            answer = _open(url, order, wanted, stack)
            if answer.status not in _REDIRECTS:
                yield url, answer
                return
            url = _redirected(url, answer)
    raise InputError(404, f"The link redirects more than {_MOST_REDIRECTS} times")


def _redirected(url: str, answer: http.client.HTTPResponse) -> str:
    try:
        return urljoin(url, answer.getheader("Location") or "")
    except ValueError as error:
        raise InputError(404, "The link redirects to what is not a valid URL") from error


def _open(url: str, order: Order, wanted: Mapping[str, str], stack: ExitStack) -> http.client.HTTPResponse:
    """`stack` closes the connection."""
    parts = _checked(url)
    try:
        connection = _connection(parts, order, stack)
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        connection.request("GET", encoded(target), headers={**_headers(parts), **wanted})
        return connection.getresponse()
    except RefusedAddress as error:
        raise InputError(403, str(error)) from error
    except socket.gaierror as error:
        if error.errno == socket.EAI_AGAIN:
            raise Broken(f"The host {parts.hostname} could not be looked up; check the link") from error
        raise InputError(404, f"The host {parts.hostname} could not be found; check the link") from error
    except (ssl.SSLCertVerificationError, http.client.InvalidURL, UnicodeError, ValueError) as error:
        raise InputError(404, f"{parts.hostname} could not be reached: {_reason(error)}") from error
    except (OSError, http.client.HTTPException) as error:
        raise Broken(f"{parts.hostname} could not be reached: {_reason(error)}") from error


def _checked(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        _ = parts.port  # raises for what is no port
    except ValueError as error:
        raise InputError(404, "The link is not a valid URL") from error
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise InputError(404, "The link must start with http:// or https:// and name a host")
    if parts.username is not None or parts.password is not None:
        raise InputError(401, "A link with a user name or password in it is not supported")
    return parts


def _connection(parts: SplitResult, order: Order, stack: ExitStack) -> http.client.HTTPConnection:
    host = parts.hostname or ""
    secure = parts.scheme == "https"
    port = parts.port or (443 if secure else 80)
    plain = stack.enter_context(_connect(resolve(host, port, order.allowed), port))
    stack.enter_context(order.stopped.holding(plain))
    connection = stack.enter_context(closing(http.client.HTTPConnection(host, port, timeout=_SILENCE_S)))
    connection.sock = ssl.create_default_context().wrap_socket(plain, server_hostname=host) if secure else plain
    return connection


def _connect(addresses: list[str], port: int) -> socket.socket:
    last: OSError = OSError("no address")
    for address in addresses:
        try:
            return socket.create_connection((address, port), timeout=_SILENCE_S)
        except OSError as error:
            last = error
    raise last


def _headers(parts: SplitResult) -> dict[str, str]:
    return {
        "Host": parts.netloc.rpartition("@")[2],
        "User-Agent": f"conversion-runner/{__version__}",
        "Accept": "*/*",
        "Accept-Encoding": "identity",
        "Connection": "close",
    }


def encoded(target: str) -> str:
    """A request target as it may stand in a request line: what isn't ASCII or is blank gets escaped."""
    return "".join(char if "!" <= char <= "~" else "".join(f"%{byte:02X}" for byte in char.encode()) for char in target)


def _chunks(answer: http.client.HTTPResponse) -> Iterator[bytes]:
    """The file in pieces, as it is. Raises InputError where it comes in a way that can't be undone."""
    coding = answer.getheader("Content-Encoding") or ""
    try:
        yield from decoded(iter(lambda: _chunk(answer), b""), coding)
    except UnknownCodingError as error:
        raise InputError(
            404, f"The server sends the file encoded as '{error}', although it was asked not to"
        ) from error
    except BrokenCodingError as error:
        raise Broken(f"The download can't be used: {error}") from error


def _chunk(answer: http.client.HTTPResponse) -> bytes:
    try:
        return answer.read1(_CHUNK)
    except (OSError, http.client.HTTPException) as error:
        raise Broken(f"The download broke off: {_reason(error)}") from error


def _refusal(status: int) -> tuple[int, str]:
    if status in (401, 403):
        return 401, f"The download asks for a password or a permission (HTTP {status})"
    return 404, f"The file could not be downloaded, check the link (HTTP {status})"


def _filename(url: str, answer: http.client.HTTPResponse) -> str:
    disposition = answer.getheader("Content-Disposition")
    if disposition:
        named = _suggested(disposition)
        if named:
            return named
    return PurePosixPath(unquote(urlsplit(url).path)).name


def _suggested(disposition: str) -> str:
    """The file name in a `Content-Disposition`; empty where it has none, or contradicts itself.

    The extended form wins. Source: RFC 6266, section 4.3.
    """
    header = Message()
    header["Content-Disposition"] = disposition
    try:
        # Extended ones are tuples of charset, language and value, which the library's types don't say.
        parameters: list[tuple[str, Any]] = header.get_params(failobj=[], header="content-disposition")
        extended = [value for name, value in parameters if name == "filename" and isinstance(value, tuple)]
        return collapse_rfc2231_value(extended[0]) if extended else header.get_filename() or ""
    except (AttributeError, LookupError, TypeError, ValueError):  # all seen from the library, for odd headers
        return ""


def _reason(error: Exception) -> str:
    return str(error) or type(error).__name__


Fetch = Callable[[Order], Fetched]
