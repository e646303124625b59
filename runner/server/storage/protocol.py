"""What every provider does, and the values it does it with. A new provider is a module, a line in `table`, a test.

A store is asked in a thread, streams both ways, and never overwrites. It tells what went wrong by raising
StorageError; it raises `Broken` where trying again may help, which `transfer` does for all of them.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from io import FileIO
from pathlib import Path
from threading import Event
from typing import Protocol

from runner.server.config import Network
from runner.server.storage.gates import Gates
from runner.wire.values import Json

# The API's numbers: a file that isn't there or may not be read, and everything else about cloud storage.
NOT_FOUND = 17
FAILED = 99
# HTTP-like where the API has none of its own.
NAME_TAKEN = 409
TOO_LARGE = 413
TOO_SLOW = 408


class StorageError(Exception):
    """It can't be had, or can't be stored. The message names provider, place and reason, and never a credential."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class Broken(Exception):
    """The connection broke or stalled: what came so far is good."""


class Busy(Broken):
    """The provider asks for patience, for `after_s` seconds where it says so."""

    def __init__(self, message: str, after_s: float = 0.0) -> None:
        super().__init__(message)
        self.after_s = after_s


class Stopped(Exception):
    """Nobody wants it any more: the job was canceled, or the server is going."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Site:
    """What this server's owner decides about storage; a job can't.

    *_endpoint  where a provider's API is, for S3-compatible stores and stand-ins; empty means the real one
    allowed     private networks that FTP hosts may be in
    silence_s   how long a provider may say nothing
    attempts    how often a transfer is taken up again without getting any further
    busy_s      how long a provider may be busy in a row
    gates       how many transfers each place bears at once, as far as it turned out
    """

    s3_endpoint: str = ""
    gcs_endpoint: str = ""
    azure_endpoint: str = ""
    allowed: tuple[Network, ...] = ()
    silence_s: float = 30.0
    attempts: int = 4
    busy_s: float = 300.0
    gates: Gates = field(default_factory=Gates, compare=False, repr=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """An object of a provider: the API's `parameters` and `credentials`, complete and of the right types.

    name     how messages call it: provider, bucket, object
    account  whose storage it is, where the parameters alone don't say so: equal ones of two accounts are two places
    """

    provider: str
    name: str
    parameters: Mapping[str, str]
    credentials: Mapping[str, Json] = field(repr=False)
    account: str = ""


Take = Callable[[bytes], None]


class Opened(Protocol):
    """An object being read. `size` is None where the provider doesn't say."""

    @property
    def size(self) -> int | None: ...

    def read(self, start: int, take: Take) -> None:
        """Hand over the bytes from `start` on, of the very version that was opened.

        Raises Broken, StorageError, and whatever `take` raises.
        """
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Upload:
    """A file to store.

    token    names this delivery: an object that carries it is our own, from an attempt whose answer was lost
    earlier  tokens of earlier deliveries of the same bytes, whose objects are our own as well
    was_done one of these was seen to get there: what FTP, which knows no tokens, has to go by
    was_renaming     it was about to get its name when the server was killed
    before_renaming  makes that durable; for stores that write under another name first. Raises Stopped
    stopped  ends it at the next chunk
    ends_at  when it has to be through, by the monotonic clock
    """

    path: Path
    size: int
    content_type: str
    token: str
    stopped: Event
    earlier: frozenset[str] = frozenset()
    was_done: bool = False
    was_renaming: bool = False
    before_renaming: Callable[[], None] = lambda: None
    ends_at: float = math.inf

    def made(self, token: object) -> bool:
        """Whether an object with that token came from us."""
        return token == self.token or token in self.earlier

    def open(self) -> WatchedFile:
        return WatchedFile(self)


class WatchedFile(FileIO):
    """A file that can't be read any further once the upload is stopped, or its time is over."""

    def __init__(self, upload: Upload) -> None:
        super().__init__(upload.path, "rb")
        self._upload = upload

    def read(self, size: int | None = -1, /) -> bytes:
        if self._upload.stopped.is_set():
            raise Stopped
        if time.monotonic() > self._upload.ends_at:
            raise Broken("its time is over")  # and there is none for another attempt
        return super().read(-1 if size is None else size)


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """An object of a listing: its whole name, and what tells one version of it from the next."""

    name: str
    size: int | None
    version: str


class Store(Protocol):
    """One object's place, connected to with the job's credentials."""

    def open(self) -> Opened:
        """Look at the object. Raises StorageError, Broken."""
        ...

    def create(self, upload: Upload) -> None:
        """Store the file where nothing is yet. Raises StorageError (NAME_TAKEN where something is), Broken, Stopped."""
        ...

    def foresee(self) -> str:
        """Whether `create` would be let in, as far as that shows without creating anything.

        Answers what can't be seen, "" where everything could. Raises StorageError (NAME_TAKEN where something is),
        Broken.
        """
        ...

    def listing(self) -> Iterator[Found]:
        """Every object whose name begins with the place's `file`; at FTP those below that folder.

        Raises StorageError, Broken.
        """
        ...

    def sent(self) -> int:
        """How much of an upload is there and needn't be sent again, should the connection break: grows, or is 0."""
        ...

    def close(self) -> None: ...


class Provider(Protocol):
    """What a provider's module has: `connect`."""

    def connect(self, place: Place, site: Site) -> Store: ...
