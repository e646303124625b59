"""Both digests of a stream, taken as it passes."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from runner.client.errors import ApiError

BLOCK_BYTES = 1 << 20


@dataclass(frozen=True, kw_only=True, slots=True)
class Digests:
    size_bytes: int
    sha256: str
    md5: str


class Hasher:
    """SHA-256 for us, MD5 because the API shows it: that one protects against accidents, and nothing else."""

    def __init__(self) -> None:
        self.size_bytes = 0
        self.failure: ApiError | None = None  # why our own side of the stream ended early
        self._sha256 = hashlib.sha256()
        self._md5 = hashlib.md5(usedforsecurity=False)

    def add(self, block: bytes) -> None:
        self.size_bytes += len(block)
        self._sha256.update(block)
        self._md5.update(block)

    def digests(self) -> Digests:
        return Digests(size_bytes=self.size_bytes, sha256=self._sha256.hexdigest(), md5=self._md5.hexdigest())
