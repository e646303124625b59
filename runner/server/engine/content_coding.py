"""Content codings of what is downloaded: it is asked for as it is, and some servers send it compressed all the same.

Source: RFC 9110, section 8.4.1.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator

_PLAIN = frozenset({"", "identity"})
_GZIP = frozenset({"gzip", "x-gzip"})
_EITHER_HEADER = zlib.MAX_WBITS | 32
_PIECE = 256 * 1024


class UnknownCodingError(Exception):
    """A coding that isn't decoded here; its text is the coding."""


class BrokenCodingError(Exception):
    """What came isn't in the coding that was named, or breaks off; the message says so."""


def is_plain(coding: str) -> bool:
    return coding.strip().lower() in _PLAIN


def decoded(chunks: Iterable[bytes], coding: str) -> Iterator[bytes]:
    """The bytes of the file itself, in pieces of bounded size whatever they were squeezed into."""
    if is_plain(coding):
        return iter(chunks)
    if coding.strip().lower() not in (*_GZIP, "deflate"):
        raise UnknownCodingError(coding.strip())
    return _inflated(chunks)


def _inflated(chunks: Iterable[bytes]) -> Iterator[bytes]:
    inflate = zlib.decompressobj(_EITHER_HEADER)
    for chunk in chunks:
        rest = chunk
        while rest:
            if inflate.eof:  # gzip allows several members one after the other
                inflate = zlib.decompressobj(_EITHER_HEADER)
            try:
                piece = inflate.decompress(rest, _PIECE)
            except zlib.error as error:
                raise BrokenCodingError("it is said to be compressed, and can't be decompressed") from error
            rest = inflate.unused_data if inflate.eof else inflate.unconsumed_tail
            if piece:
                yield piece
    if not inflate.eof:
        raise BrokenCodingError("it breaks off")
