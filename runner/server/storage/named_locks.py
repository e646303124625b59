"""Locks by name, made when somebody wants one and gone with the last who does. Usable from any thread."""

from __future__ import annotations

import threading
from collections.abc import Hashable, Iterator
from contextlib import contextmanager


class NamedLocks:
    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._wanted: dict[Hashable, tuple[threading.Lock, int]] = {}

    @contextmanager
    def held(self, name: Hashable) -> Iterator[None]:
        lock = self._want(name)
        try:
            with lock:
                yield
        finally:
            self._leave(name)

    def _want(self, name: Hashable) -> threading.Lock:
        with self._guard:
            lock, users = self._wanted.get(name, (threading.Lock(), 0))
            self._wanted[name] = lock, users + 1
            return lock

    def _leave(self, name: Hashable) -> None:
        with self._guard:
            lock, users = self._wanted.pop(name)
            if users > 1:
                self._wanted[name] = lock, users - 1
