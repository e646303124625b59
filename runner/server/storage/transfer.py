"""Bringing an object here and taking a file there: limits, hashing, patience with broken connections."""

from __future__ import annotations

import time
from contextlib import closing
from dataclasses import dataclass, replace
from io import FileIO
from pathlib import Path
from threading import Event

from runner.server.storage.contact import connected, named, patiently
from runner.server.storage.protocol import (
    TOO_LARGE,
    TOO_SLOW,
    Broken,
    Opened,
    Place,
    Site,
    Stopped,
    StorageError,
    Store,
    Upload,
)
from runner.server.store.blobs import Reserve, without_limit
from runner.server.store.checksums import Digest

MOST_S = 3600.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Order:
    """Where an object is to be written, and how far to go; `stopped` ends it at the next chunk.

    reserve  told how large the file will be, before it is
    """

    path: Path
    most_bytes: int
    too_large: str
    stopped: Event
    digest: Digest
    reserve: Reserve = without_limit
    most_s: float = MOST_S


@dataclass(frozen=True, kw_only=True, slots=True)
class Fetched:
    size: int
    checksum: str


def fetch(place: Place, site: Site, order: Order) -> Fetched:
    """Write the object at `place` to a file, hashed on the way; raises StorageError, Stopped, OSError for our disk."""
    with named(place), closing(connected(place, site)) as store, order.path.open("wb", buffering=0) as file:
        saving = _Saving(order, file)
        try:
            patiently(
                place,
                site,
                order.stopped,
                lambda: saving.save(store),
                progress=lambda: saving.size,
                ends_at=saving.ends_at,
                too_slow=f"The download took longer than {order.most_s:.0f} seconds",
            )
        except _DiskFailed as error:
            raise error.reason from None
        return Fetched(size=saving.size, checksum=order.digest.hexdigest())


def deliver(place: Place, site: Site, upload: Upload, *, most_s: float = MOST_S) -> None:
    """Store a file at `place`, where nothing may be yet, in `most_s` seconds; raises StorageError, Stopped."""
    timed = replace(upload, ends_at=time.monotonic() + most_s)
    with named(place), closing(connected(place, site)) as store:
        patiently(
            place,
            site,
            upload.stopped,
            lambda: store.create(timed),
            progress=store.sent,
            ends_at=timed.ends_at,
            too_slow=f"The upload took longer than {most_s:.0f} seconds",
        )


class _DiskFailed(Exception):
    """Our own disk, told from the provider's connection: both are an OSError."""

    def __init__(self, reason: OSError) -> None:
        super().__init__(str(reason))
        self.reason = reason


class _Saving:
    """What has come of an object so far; a broken connection is taken up where it broke."""

    def __init__(self, order: Order, file: FileIO) -> None:
        self._order = order
        self._file = file
        self.ends_at = time.monotonic() + order.most_s
        self._opened: Opened | None = None
        self.size = 0

    def save(self, store: Store) -> None:
        opened = self._opened = self._opened or store.open()
        self._make_room(opened.size or 0)
        opened.read(self.size, self._take)
        if opened.size is not None and self.size != opened.size:
            raise Broken(f"{opened.size - self.size} bytes are missing")

    def _take(self, chunk: bytes) -> None:
        order = self._order
        if order.stopped.is_set():
            raise Stopped
        if time.monotonic() > self.ends_at:
            raise StorageError(TOO_SLOW, f"The download took longer than {order.most_s:.0f} seconds")
        self._make_room(self.size + len(chunk))
        self._write(chunk)
        order.digest.update(chunk)
        self.size += len(chunk)

    def _write(self, chunk: bytes) -> None:
        try:
            self._file.write(chunk)
        except OSError as error:
            raise _DiskFailed(error) from error

    def _make_room(self, size: int) -> None:
        if size > self._order.most_bytes:
            raise StorageError(TOO_LARGE, self._order.too_large)
        try:
            self._order.reserve(size)
        except OSError as error:
            raise _DiskFailed(error) from error
