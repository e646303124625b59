"""How many transfers a store bears at once. Nobody says so beforehand: who is told to come back asked too often.

Each place of storage has a gate, wide open at first. A store that is busy narrows it to half of what was under way;
what goes well widens it again, slowly.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_WIDE = 64.0
_LOOK_S = 0.1


class Gate:
    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._width = _WIDE
        self._inside = 0

    @contextmanager
    def passed(self, is_over: Callable[[], bool]) -> Iterator[None]:
        """One of those inside, as soon as there is room, or when it is over and nothing will be asked any more."""
        with self._changed:
            while self._inside >= int(self._width) and not is_over():
                self._changed.wait(_LOOK_S)
            self._inside += 1
        try:
            yield
        finally:
            with self._changed:
                self._inside -= 1
                self._changed.notify_all()

    def narrow(self) -> None:
        """Who just left was told that the store is busy."""
        with self._changed:
            self._width = max(1.0, min(self._width, (self._inside + 1) / 2))

    def widen(self) -> None:
        """Who just left was served: as many of these as there is room for make room for one more."""
        with self._changed:
            self._width = min(_WIDE, self._width + 1 / self._width)
            self._changed.notify_all()


class Gates:
    """One for each place that may be busy: a host, a bucket, a container."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._gates: dict[tuple[str, str], Gate] = {}

    def of(self, provider: str, holder: str) -> Gate:
        with self._lock:
            return self._gates.setdefault((provider, holder), Gate())
