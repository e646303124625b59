"""What tests have in common that every provider has to pass, each in the worker that runs its server."""

from __future__ import annotations

import hashlib
import random
from pathlib import Path
from threading import Event

import pytest

from runner.server.storage.protocol import Upload
from runner.server.storage.transfer import Order

MIB = 1024 * 1024
SERVERS = ("s3", "gcs", "blob", "ftp", "ftps")


def with_group(name: str) -> object:
    """The fixture's name as a parameter, together with the others of its server."""
    return pytest.param(name, id=name, marks=pytest.mark.xdist_group(name))


everywhere = pytest.mark.parametrize("server", [with_group(name) for name in SERVERS])
object_stores = pytest.mark.parametrize("server", [with_group(name) for name in SERVERS[:3]])


def noise(size: int) -> bytes:
    """Bytes of which no part is like another: what is stored in the wrong place, or twice, shows."""
    return random.Random(size).randbytes(size)


def order(tmp_path: Path, *, most_bytes: int = 1024 * MIB) -> Order:
    return Order(
        path=tmp_path / "fetched",
        most_bytes=most_bytes,
        too_large="too large",
        stopped=Event(),
        digest=hashlib.md5(usedforsecurity=False),
    )


def upload(tmp_path: Path, content: bytes, *, content_type: str = "text/plain", token: str = "token-of-this") -> Upload:
    path = tmp_path / "upload"
    path.write_bytes(content)
    return Upload(path=path, size=len(content), content_type=content_type, token=token, stopped=Event())
