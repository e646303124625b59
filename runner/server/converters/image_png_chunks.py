"""Whether a png is whole. Its chunks carry checksums, which Pillow doesn't look at where they hold pixels."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import BinaryIO

from runner.server.converters.protocol import ContentError

_HEAD_BYTES = 8  # a signature is as long as the head of a chunk: length and name
_PIECE = 1024 * 1024
_LAST = b"IEND"
# What decides about pixels. In the others damage is doubtful metadata, which is no reason to refuse a picture.
_DECISIVE = frozenset({b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"acTL", b"fcTL", b"fdAT", _LAST})


def check_chunks(path: Path) -> None:
    """Raises ContentError for a file that is cut off, or that isn't what was written into it.

    Source: PNG specification, 5.3 (chunk layout) and 13.2 (errors in critical chunks).
    """
    with path.open("rb") as file:
        file.seek(_HEAD_BYTES)
        while _checked(file) != _LAST:
            continue


def _checked(file: BinaryIO) -> bytes:
    """The name of the next chunk."""
    head = file.read(_HEAD_BYTES)
    if len(head) < _HEAD_BYTES:
        raise ContentError("it is cut off")
    length, name = int.from_bytes(head[:4], "big"), head[4:]
    checksum = zlib.crc32(name)
    while length:
        piece = file.read(min(length, _PIECE))
        if not piece:
            raise ContentError("it is cut off")
        checksum = zlib.crc32(piece, checksum)
        length -= len(piece)
    written = file.read(4)
    if len(written) < 4:
        raise ContentError("it is cut off")
    if name in _DECISIVE and written != checksum.to_bytes(4, "big"):
        raise ContentError(f"its content is damaged (the checksum of {name.decode()} is wrong)")
    return name
