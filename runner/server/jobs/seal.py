"""Sealing what a job keeps secret, so that it may lie in the state folder: AES-256-GCM, each time under a fresh nonce.

The key lies outside of that folder: who gets a copy of the folder alone reads nothing.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import os
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from runner.server.private_file import kept_in

_log = logging.getLogger(__name__)

_KEY_BYTES = 32
_NONCE_BYTES = 12


class Seal:
    """Without a key it makes one of its own, which is gone with the process."""

    def __init__(self, key: bytes | None = None) -> None:
        key = key or AESGCM.generate_key(bit_length=8 * _KEY_BYTES)
        self._cipher = AESGCM(key)
        self._mark_key = hmac.digest(key, b"marks", hashlib.sha256)

    def sealed(self, content: bytes, about: str) -> bytes:
        """`content`, to be opened only for the same `about`: what is sealed for one job is useless in another."""
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, content, about.encode())

    def opened(self, sealed: bytes, about: str) -> bytes | None:
        """None where it was sealed with another key, for something else, or was changed."""
        try:
            return self._cipher.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], about.encode())
        except (InvalidTag, ValueError):
            return None

    def mark(self, content: bytes, about: str) -> bytes:
        """Tells one content from another without giving it away; equal ones have equal marks for the same `about`."""
        return hmac.digest(self._mark_key, about.encode() + b"\0" + content, hashlib.sha256)


def seal_of(path: Path | None) -> Seal:
    """The seal whose key is in that file, which is made where there is none.

    A key that can't be had is no reason not to serve: secrets are lost in a restart then, and the log says so.
    """
    if path is None:
        return Seal()
    try:
        return Seal(_key(path))
    except (OSError, ValueError) as error:
        reason = error.strerror or str(error) if isinstance(error, OSError) else str(error)
        _log.warning("the seal key %s can't be used: %s; credentials of jobs won't survive a restart", path, reason)
        return Seal()


def _key(path: Path) -> bytes:
    key = kept_in(path, lambda: os.urandom(_KEY_BYTES))
    if len(key) != _KEY_BYTES:
        raise ValueError(f"it has {len(key)} bytes instead of {_KEY_BYTES}")
    return key
