"""Clients that transfers with the same credentials share while they are under way.

Making a client takes longer than moving a small object, and every new one has to connect again. A client is closed
with the last transfer that uses it: credentials stay in memory no longer than somebody needs them.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

from runner.server.storage.protocol import Place, Site

C = TypeVar("C")


def sharing_key(place: Place, site: Site, *names: str) -> bytes:
    """The same for places that one client reaches: same site, same credentials, same parameters called `names`."""
    known = [repr(site), {name: place.parameters.get(name) for name in names}, dict(place.credentials)]
    return hashlib.sha256(json.dumps(known, sort_keys=True).encode()).digest()


class Shared(Generic[C]):
    """Clients by key, each with how many use it. Usable from any thread."""

    def __init__(self, close: Callable[[C], None]) -> None:
        self._close = close
        self._lock = threading.Lock()
        self._clients: dict[Hashable, tuple[C, int]] = {}

    def take(self, key: Hashable, make: Callable[[], C]) -> C:
        """The client of `key`, made where there is none; whoever takes it gives it back."""
        with self._lock:
            known = self._clients.get(key)
            client = known[0] if known else make()
            self._clients[key] = client, known[1] + 1 if known else 1
            return client

    def give_back(self, key: Hashable) -> None:
        with self._lock:
            client, users = self._clients.pop(key)
            if users > 1:
                self._clients[key] = client, users - 1
                return
        self._close(client)
