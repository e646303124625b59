"""What goes between a run and its courier: a head in JSON, and a body of bytes.

No pickle: the courier reads what servers say, and reading what it says must not run anything.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator

import orjson

from runner.wire.values import Json

_LENGTHS = struct.Struct("<II")


def packed(head: Json, body: bytes = b"") -> bytes:
    try:
        text = orjson.dumps(head)
    except TypeError:  # a header that isn't UTF-8, which has halves of characters here
        text = json.dumps(head).encode()
    return b"".join((_LENGTHS.pack(len(text), len(body)), text, body))


class Frames:
    """Takes bytes as they come, and gives whole frames."""

    def __init__(self) -> None:
        self._rest = b""

    def add(self, data: bytes) -> Iterator[tuple[Json, bytes]]:
        came = self._rest + data if self._rest else data
        begin, at = _LENGTHS.size, 0
        while len(came) >= at + begin:
            head, body = _LENGTHS.unpack_from(came, at)
            middle = at + begin + head
            if len(came) < middle + body:
                break
            yield _head(came[at + begin : middle]), came[middle : middle + body]
            at = middle + body
        self._rest = came[at:]


def _head(text: bytes) -> Json:
    try:
        return orjson.loads(text)
    except ValueError:
        return json.loads(text)
