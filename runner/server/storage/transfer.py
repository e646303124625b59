"""Bringing an object here and taking a file there: limits, hashing, patience with broken connections.

What goes wrong is said in one shape whatever the provider is, and scrubbed of the job's credentials, which
providers sometimes repeat in their own messages.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from threading import Event

from runner.server.storage.protocol import FAILED, Broken, Opened, Place, Site, Stopped, StorageError, Store, Upload
from runner.server.storage.table import SERVED
from runner.server.store.checksums import Digest
from runner.wire.values import Json

_TOO_LARGE = 413
_TOO_SLOW = 408
_FIRST_WAIT_S = 0.2
# Shorter values are words: hiding them would tear messages apart, and "sk" is no secret worth the name.
_LEAST_SECRET = 4
# Names, which a message may say; most of a key file is known to anyone.
_NO_SECRETS = frozenset(
    {"username", "accountname", "type", "project_id", "client_email", "client_id", "token_uri", "auth_uri"}
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Order:
    """Where an object is to be written, and how far to go; `stopped` ends it at the next chunk."""

    path: Path
    most_bytes: int
    too_large: str
    stopped: Event
    digest: Digest
    most_s: float = 3600.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Fetched:
    size: int
    checksum: str


def fetch(place: Place, site: Site, order: Order) -> Fetched:
    """Write the object at `place` to a file, hashed on the way; raises StorageError, Stopped, OSError for our disk."""
    with _named(place), closing(_connected(place, site)) as store, order.path.open("wb", buffering=0) as file:
        saving = _Saving(order, file)
        try:
            _patiently(site, order.stopped, lambda: saving.save(store), lambda: saving.size)
        except _DiskFailed as error:
            raise error.reason from None
        return Fetched(size=saving.size, checksum=order.digest.hexdigest())


def deliver(place: Place, site: Site, upload: Upload) -> None:
    """Store a file at `place`, where nothing may be yet; raises StorageError, Stopped."""
    with _named(place), closing(_connected(place, site)) as store:
        _patiently(site, upload.stopped, lambda: store.create(upload), lambda: 0)


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
        self._deadline = time.monotonic() + order.most_s
        self._opened: Opened | None = None
        self.size = 0

    def save(self, store: Store) -> None:
        opened = self._opened = self._opened or store.open()
        self._check_size(opened.size or 0)
        opened.read(self.size, self._take)
        if opened.size is not None and self.size != opened.size:
            raise Broken(f"{opened.size - self.size} bytes are missing")

    def _take(self, chunk: bytes) -> None:
        order = self._order
        if order.stopped.is_set():
            raise Stopped
        if time.monotonic() > self._deadline:
            raise StorageError(_TOO_SLOW, f"The download took longer than {order.most_s:.0f} seconds")
        self._check_size(self.size + len(chunk))
        self._write(chunk)
        order.digest.update(chunk)
        self.size += len(chunk)

    def _write(self, chunk: bytes) -> None:
        try:
            self._file.write(chunk)
        except OSError as error:
            raise _DiskFailed(error) from error

    def _check_size(self, size: int) -> None:
        if size > self._order.most_bytes:
            raise StorageError(_TOO_LARGE, self._order.too_large)


def _connected(place: Place, site: Site) -> Store:
    return SERVED[place.provider].connect(place, site)


def _patiently(site: Site, stopped: Event, attempt: Callable[[], None], progress: Callable[[], int]) -> None:
    """Try again where the connection broke, more and more slowly; what got further may break as often again."""
    left, reached, wait_s = site.attempts, progress(), _FIRST_WAIT_S
    while True:
        try:
            attempt()
            return
        except Broken as error:
            if progress() > reached:
                left, reached, wait_s = site.attempts, progress(), _FIRST_WAIT_S
            left -= 1
            if left <= 0:
                raise StorageError(FAILED, f"the connection broke, {site.attempts} times in a row: {error}") from error
        if stopped.wait(wait_s):
            raise Stopped
        wait_s *= 2


@contextmanager
def _named(place: Place) -> Iterator[None]:
    """Every failure under the place's name, without what the provider repeats of the credentials, and without a
    traceback that leads to them."""
    try:
        yield
    except StorageError as error:
        message = error.message if error.code in (_TOO_LARGE, _TOO_SLOW) else f"{place.name}: {error.message}"
        raise StorageError(error.code, scrubbed(message, place.credentials)) from None
    except Broken as error:
        message = scrubbed(f"{place.name}: {error}", place.credentials)
        raise StorageError(FAILED, message) from None


def scrubbed(message: str, credentials: Json) -> str:
    """`message` with every value of `credentials` blotted out, longest first."""
    for secret in sorted(set(_secrets(credentials)), key=len, reverse=True):
        message = message.replace(secret, "***")
    return message


def _secrets(value: Json) -> Iterator[str]:
    if isinstance(value, Mapping):
        for name, inner in value.items():
            if name not in _NO_SECRETS:
                yield from _secrets(inner)
    elif isinstance(value, str) and len(value) >= _LEAST_SECRET:
        yield value
