"""Locks by name, made when somebody wants one and gone with the last who does. Usable from any thread."""

from __future__ import annotations

import threading
from collections.abc import Hashable, Iterator
from contextlib import contextmanager

from runner.server.storage.sharing import Shared


class NamedLocks:
    def __init__(self) -> None:
        self._locks: Shared[threading.Lock] = Shared(close=lambda _lock: None)

    @contextmanager
    def held(self, name: Hashable) -> Iterator[None]:
        lock = self._locks.take(name, threading.Lock)
        try:
            with lock:
                yield
        finally:
            self._locks.give_back(name)
