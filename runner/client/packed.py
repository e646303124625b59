"""Files that a server packs on the way although nobody asked for it (`Content-Encoding`).

Size and checksum are announced of the file. Where what comes is that file already, as a .gz may be that is served so,
it stays as it is.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator

from runner.client.digest import BLOCK_BYTES

_SAME = {"identity": "", "x-gzip": "gzip"}
_WINDOW_BITS = {"gzip": 31, "deflate": 15}  # source: zlib's manual, inflateInit2
# Files that are packed themselves.
_ENDINGS = {"gzip": (".gz", ".gzip", ".tgz", ".svgz", ".emz", ".wmz"), "br": (".br",), "zstd": (".zst", ".tzst")}


def coding_of(header: str) -> str:
    """What an answer is packed with by its header `Content-Encoding`, "" where it isn't."""
    coding = header.strip().lower()
    return _SAME.get(coding, coding)


def is_known(coding: str) -> bool:
    return coding in _WINDOW_BITS


def is_called_so(filename: str, coding: str) -> bool:
    """Whether a file of this name is one that is packed with `coding` itself."""
    return filename.lower().endswith(_ENDINGS.get(coding, (f".{coding}",)))


class Unpacking:
    """What comes, unpacked block by block; a `coding` that isn't known raises KeyError. `whole` is True at its end."""

    def __init__(self, coding: str) -> None:
        self._bits = _WINDOW_BITS[coding]
        self._stream = zlib.decompressobj(self._bits)
        self.whole = False

    def add(self, packed: bytes) -> Iterator[bytes]:
        """Raises zlib.error. In blocks: a little may become a lot."""
        more = bool(packed)
        while more:
            if self._stream.eof:  # another member follows; source: RFC 1952, section 2.2
                self._stream = zlib.decompressobj(self._bits)
            block = self._stream.decompress(packed, BLOCK_BYTES)
            yield block
            packed = self._stream.unconsumed_tail or self._stream.unused_data
            more = bool(packed) or (len(block) == BLOCK_BYTES and not self._stream.eof)
        self.whole = self._stream.eof
