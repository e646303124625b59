"""Fetching a remote input: HTTP and HTTPS, streamed to a file, redirects followed, everything checked.

Runs in a thread. The standard library's client is used because it lets us choose the address that is
connected to, and because a server that fetches nothing should not load a bigger one.
"""

from __future__ import annotations

import http.client
import socket
import ssl
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from email.message import Message
from pathlib import Path, PurePosixPath
from urllib.parse import SplitResult, unquote, urljoin, urlsplit

from runner import __version__
from runner.server.config import Network
from runner.server.engine.addresses import RefusedAddress, resolve
from runner.server.store.checksums import Digest

_MOST_REDIRECTS = 10
_CHUNK = 256 * 1024
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_SILENCE_S = 30.0


class InputError(Exception):
    """An input that can't be had; `code` is the API's number for it, HTTP-like."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


@dataclass(frozen=True, kw_only=True, slots=True)
class Order:
    """What to fetch, where to, and how far to go. `stopped` ends it at the next chunk, `digest` sees every byte."""

    url: str
    path: Path
    most_bytes: int
    too_large: str
    allowed: tuple[Network, ...]
    stopped: threading.Event
    digest: Digest
    most_s: float = 3600.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Fetched:
    size: int
    checksum: str
    filename: str


def fetch(order: Order) -> Fetched:
    """Write what is at `order.url` to `order.path`; raises InputError with the reason, OSError for our disk."""
    url = order.url
    for _ in range(_MOST_REDIRECTS + 1):
        connection, answer = _open(url, order)
        try:
            if answer.status not in _REDIRECTS:
                return _save(url, answer, order)
            url = _redirected(url, answer)
        finally:
            connection.close()
    raise InputError(404, f"The link redirects more than {_MOST_REDIRECTS} times")


def probe(order: Order) -> None:
    """Raises InputError when what is at `order.url` could not be fetched; writes nothing."""
    url = order.url
    for _ in range(_MOST_REDIRECTS + 1):
        connection, answer = _open(url, order)
        connection.close()
        if answer.status not in _REDIRECTS:
            if answer.status != http.client.OK:
                raise InputError(*_refusal(answer.status))
            return
        url = _redirected(url, answer)
    raise InputError(404, f"The link redirects more than {_MOST_REDIRECTS} times")


def _redirected(url: str, answer: http.client.HTTPResponse) -> str:
    try:
        return urljoin(url, answer.getheader("Location") or "")
    except ValueError as error:
        raise InputError(404, "The link redirects to what is not a valid URL") from error


def _open(url: str, order: Order) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
    parts = _checked(url)
    try:
        connection = _connection(parts, order)
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        connection.request("GET", encoded(target), headers=_headers(parts))
        return connection, connection.getresponse()
    except RefusedAddress as error:
        raise InputError(403, str(error)) from error
    except socket.gaierror as error:
        raise InputError(404, f"The host {parts.hostname} could not be found; check the link") from error
    except (OSError, http.client.HTTPException, UnicodeError, ValueError) as error:
        raise InputError(404, f"{parts.hostname} could not be reached: {_reason(error)}") from error


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


def _connection(parts: SplitResult, order: Order) -> http.client.HTTPConnection:
    host = parts.hostname or ""
    secure = parts.scheme == "https"
    port = parts.port or (443 if secure else 80)
    plain = _connect(resolve(host, port, order.allowed), port)
    connection = http.client.HTTPConnection(host, port, timeout=_SILENCE_S)
    try:
        connection.sock = ssl.create_default_context().wrap_socket(plain, server_hostname=host) if secure else plain
    except BaseException:
        plain.close()
        raise
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


def _save(url: str, answer: http.client.HTTPResponse, order: Order) -> Fetched:
    if answer.status != 200:
        raise InputError(*_refusal(answer.status))
    if (answer.length or 0) > order.most_bytes:
        raise InputError(413, order.too_large)
    size, digest = 0, order.digest
    deadline = time.monotonic() + order.most_s
    with order.path.open("wb", buffering=0) as file:
        while chunk := _read(answer):
            size += len(chunk)
            if size > order.most_bytes:
                raise InputError(413, order.too_large)
            _check_time(deadline, order)
            digest.update(chunk)
            file.write(chunk)
    if answer.length:  # what was announced and never came
        raise InputError(404, f"The download broke off; {answer.length} bytes are missing")
    return Fetched(size=size, checksum=digest.hexdigest(), filename=_filename(url, answer))


def _read(answer: http.client.HTTPResponse) -> bytes:
    try:
        return answer.read1(_CHUNK)
    except (OSError, http.client.HTTPException) as error:
        raise InputError(404, f"The download broke off: {_reason(error)}") from error


def _check_time(deadline: float, order: Order) -> None:
    if order.stopped.is_set():
        raise InputError(404, "The download was stopped")
    if time.monotonic() > deadline:
        raise InputError(408, f"The download took longer than {order.most_s:.0f} seconds")


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
    """The file name in a `Content-Disposition`; empty where it has none, or contradicts itself."""
    header = Message()
    header["Content-Disposition"] = disposition
    try:
        return header.get_filename() or ""
    except (AttributeError, LookupError, TypeError, ValueError):  # all seen from the library, for odd headers
        return ""


def _reason(error: Exception) -> str:
    return str(error) or type(error).__name__


Fetch = Callable[[Order], Fetched]
