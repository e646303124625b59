"""A secret of the server's own, in its state folder: what is kept of bodies can't be compared without it."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

_FILE = "secret"
_BYTES = 32


def server_secret(state_dir: Path) -> bytes:
    """The same every time; made at the first, readable for its owner only. For who holds the folder's lock.

    Raises OSError.
    """
    path = state_dir / _FILE
    if path.exists() and len(known := path.read_bytes()) == _BYTES:
        return known
    fresh = path.with_suffix(".new")
    fresh.unlink(missing_ok=True)
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        os.write(descriptor, made := secrets.token_bytes(_BYTES))
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    fresh.replace(path)  # never half written
    return made
