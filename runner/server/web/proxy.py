"""The only way out that Chromium is given: a proxy on loopback that refuses what remote inputs are refused.

Every name is resolved here, once, and the connection goes to an address that was checked; so neither a page, nor
what it includes, nor a redirect, nor a name server that changes its mind leads into a private network.
"""

from __future__ import annotations

import select
import socket
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from runner.server.config import Network
from runner.server.engine.addresses import RefusedAddress, resolve

_MOST_HEAD = 64 * 1024
_SILENCE_S = 30.0
_CHUNK = 64 * 1024


@contextmanager
def filtering_proxy(allowed: tuple[Network, ...], *, most_bytes: int) -> Iterator[int]:
    """The port of a proxy that lives as long as this block; all of its answers together have at most so many bytes."""
    server = _Server(("127.0.0.1", 0), _Handler)
    server.allowed, server.left = allowed, most_bytes
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), name="proxy", daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.hang_up()
        server.server_close()
        thread.join()


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    block_on_close = False
    allowed: tuple[Network, ...] = ()
    left = 0

    def __init__(self, address: tuple[str, int], handler: type[socketserver.BaseRequestHandler]) -> None:
        super().__init__(address, handler)
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()

    def note(self, connection: socket.socket) -> None:
        with self._lock:
            self._open.add(connection)

    def forget(self, connection: socket.socket) -> None:
        with self._lock:
            self._open.discard(connection)
        connection.close()

    def spend(self, size_bytes: int) -> bool:
        """Whether so much may still be passed on."""
        with self._lock:
            self.left -= size_bytes
            return self.left >= 0

    def hang_up(self) -> None:
        with self._lock:
            for connection in self._open:
                try:
                    connection.shutdown(socket.SHUT_RDWR)
                except OSError:  # gone already
                    continue


class _Handler(socketserver.BaseRequestHandler):
    server: _Server
    request: socket.socket

    def handle(self) -> None:
        self.request.settimeout(_SILENCE_S)
        try:
            head, rest = _head(self.request)
            self._pass_on(head, rest)
        except RefusedAddress:
            self._answer("403 Forbidden")
        except (OSError, ValueError, UnicodeError):
            self._answer("502 Bad Gateway")

    def _pass_on(self, head: list[bytes], rest: bytes) -> None:
        method, target, _ = head[0].decode("latin-1").split(" ", 2)
        tunnel = method == "CONNECT"
        parts = urlsplit(f"//{target}" if tunnel else target)
        if not parts.hostname or (not tunnel and parts.scheme != "http"):
            raise ValueError(target)
        port = parts.port or (443 if tunnel else 80)
        with _connected(resolve(parts.hostname, port, self.server.allowed), port) as upstream:
            self.server.note(upstream)
            try:
                if tunnel:
                    self.request.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
                else:
                    upstream.sendall(_forwarded(method, parts.path, parts.query, head))
                upstream.sendall(rest)
                self._relay(upstream)
            finally:
                self.server.forget(upstream)

    def _relay(self, upstream: socket.socket) -> None:
        """Bytes both ways until one side ends, is silent too long, or has had enough."""
        other = {upstream: self.request, self.request: upstream}
        while True:
            ready, _, _ = select.select(list(other), [], [], _SILENCE_S)
            if not ready:
                return
            for source in ready:
                chunk = source.recv(_CHUNK)
                if not chunk or not self.server.spend(len(chunk)):
                    return
                other[source].sendall(chunk)

    def _answer(self, status: str) -> None:
        try:
            self.request.sendall(f"HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())
        except OSError:  # who asked is gone
            return


def _head(connection: socket.socket) -> tuple[list[bytes], bytes]:
    """Request line and header lines, and what came behind them."""
    got = b""
    while b"\r\n\r\n" not in got:
        chunk = connection.recv(_CHUNK)
        got += chunk
        if not chunk or len(got) > _MOST_HEAD:
            raise ValueError("no request")
    head, _, rest = got.partition(b"\r\n\r\n")
    return head.split(b"\r\n"), rest


def _forwarded(method: str, path: str, query: str, head: list[bytes]) -> bytes:
    """The request as its server wants it; one a connection, so that each is checked."""
    line = f"{method} {path or '/'}{f'?{query}' if query else ''} HTTP/1.1".encode("latin-1")
    kept = [one for one in head[1:] if not one.lower().startswith((b"proxy-", b"connection:"))]
    return b"\r\n".join([line, *kept, b"Connection: close", b"", b""])


def _connected(addresses: list[str], port: int) -> socket.socket:
    last: OSError = OSError("no address")
    for address in addresses:
        try:
            return socket.create_connection((address, port), timeout=_SILENCE_S)
        except OSError as error:
            last = error
    raise last
