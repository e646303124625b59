"""Telling a download to stop, also one that waits for a host that says nothing."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress


class Stop(threading.Event):
    """Setting it ends the connections that are held by then or later: who reads from one finds its end."""

    def __init__(self) -> None:
        super().__init__()
        self._lock = threading.Lock()
        self._held: set[socket.socket] = set()

    def set(self) -> None:
        super().set()
        with self._lock:
            for connection in self._held:
                _end(connection)

    @contextmanager
    def holding(self, connection: socket.socket) -> Iterator[None]:
        """By a descriptor of its own: that of `connection` may be another file's by the time that it is ended."""
        with connection.dup() as own:
            with self._lock:
                self._held.add(own)
                if self.is_set():
                    _end(own)
            try:
                yield
            finally:
                with self._lock:
                    self._held.remove(own)


def _end(connection: socket.socket) -> None:
    with suppress(OSError):  # it has ended already
        connection.shutdown(socket.SHUT_RDWR)
