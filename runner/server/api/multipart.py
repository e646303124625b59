"""An upload's multipart body, streamed: the field `file` to disk, hashed on the way, in constant memory.

The event loop only parses; writing and hashing happen in a thread, one batch while the next is received.
"""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote_to_bytes

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import ClientDisconnect, Request

from runner.server.answers import ApiError, invalid
from runner.server.jobs.limits import too_large
from runner.server.store.blobs import Reserve
from runner.server.store.checksums import Digest
from runner.wire.names import received_name

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

_BATCH = 1024 * 1024
_MOST_FIELD = 65_536
_SHOWN_FIELD = 64
_MOST_BUFFERS = 1024  # the system's limit for one call
_ENCODED = frozenset({b"base64", b"quoted-printable"})
# A charset (whose bytes show what they are), perhaps a language, and the name; source: RFC 8187.
_EXTENDED_NAME = re.compile(rb";\s*filename\*\s*=\s*\"?[\w\-]+'[\w\-]*'([^\";\s]+)", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True, slots=True)
class Received:
    """The file as it came. `checksum` is what the digest that was given makes of it."""

    filename: str
    size: int
    checksum: str
    decrypt_password: str


class Sink:
    """A file being written; `write` and `digest` run in threads, beside each other, one call of each at a time."""

    def __init__(self, path: Path, *, digest: Digest) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
        self._offset = 0
        self._digest = digest

    def write(self, batch: list[bytes]) -> None:
        left = sum(map(len, batch))
        if len(batch) > _MOST_BUFFERS:
            batch = [b"".join(batch)]
        while left:
            written = os.pwritev(self._file, batch, self._offset)
            self._offset += written
            left -= written
            if left:
                batch = [b"".join(batch)[-left:]]

    def digest(self, batch: list[bytes]) -> None:
        for chunk in batch:
            self._digest.update(chunk)

    def finish(self, batch: list[bytes]) -> None:
        self.write(batch)
        self.digest(batch)

    def checksum(self) -> str:
        return self._digest.hexdigest()

    def close(self) -> None:
        os.close(self._file)


async def receive(
    request: Request, path: Path, *, most: int, digest: Digest, reserve: Reserve, silence_s: float
) -> Received:
    """Write the field `file` of `request` to `path`.

    reserve    told how large the file is so far, before that is written; may raise OSError where there is no room
    silence_s  how long nothing may come

    Raises 400 for what is no such form, 402 when the file has more than `most` bytes, 408 for one that stops coming,
    OSError from the disk.
    """
    sink = Sink(path, digest=digest)
    try:
        form = _Form(_boundary(request), most)
        await _stream(_heard(request, silence_s), form, sink, reserve)
        return form.received(sink)
    finally:
        sink.close()


async def _heard(request: Request, silence_s: float) -> AsyncIterator[bytes]:
    stream = request.stream()
    while True:
        try:
            async with asyncio.timeout(silence_s):
                chunk = await anext(stream)
        except StopAsyncIteration:
            return
        except TimeoutError as error:
            message = f"The upload stopped: nothing came for {silence_s:g} seconds"
            raise ApiError(HTTPStatus.REQUEST_TIMEOUT, message, headers={"Connection": "close"}) from error
        yield chunk


async def _stream(chunks: AsyncIterator[bytes], form: _Form, sink: Sink, reserve: Reserve) -> None:
    writing: asyncio.Future[tuple[None, None]] | None = None
    try:
        async for chunk in chunks:
            form.feed(chunk)
            reserve(form.size)
            if form.waiting >= _BATCH:
                if writing:
                    await writing
                writing = _write(sink, form.take())
        form.end()
    except ClientDisconnect as error:
        raise ApiError(HTTPStatus.BAD_REQUEST, "The upload broke off") from error
    finally:
        if writing:
            await asyncio.wait([writing])
    if writing:
        writing.result()
    await asyncio.to_thread(sink.finish, form.take())


def _write(sink: Sink, batch: list[bytes]) -> asyncio.Future[tuple[None, None]]:
    return asyncio.gather(asyncio.to_thread(sink.write, batch), asyncio.to_thread(sink.digest, batch))


def _boundary(request: Request) -> bytes:
    kind, options = parse_options_header(request.headers.get("content-type"))
    if kind != b"multipart/form-data" or not options.get(b"boundary"):
        raise invalid({"body": "must be multipart/form-data with the field 'file'"})
    return options[b"boundary"]


def _extended_name(disposition: bytes) -> bytes:
    """The name in `filename*`. Forms shouldn't have it (RFC 7578, 4.2); some clients send no other, and .NET's own says
    in `filename` beside it "=?utf-8?B?...?=".
    """
    found = _EXTENDED_NAME.search(disposition)
    return unquote_to_bytes(found[1]) if found else b""


def _in_another_field(field: bytes) -> ApiError:
    name = field[:_SHOWN_FIELD].decode("utf-8", "replace")
    return invalid({"file": f"the file must be in the field 'file', not {name!r}"})


def _no_form(error: FormParserError) -> ApiError:
    return invalid({"body": f"is not valid multipart/form-data: {error}"})


class _Form:
    """The parser's callbacks: keeps the file's bytes until they are taken, and small fields whole."""

    def __init__(self, boundary: bytes, most: int) -> None:
        self._most = most
        self._parts: list[bytes] = []
        self._header = (bytearray(), bytearray())
        self._headers: dict[bytes, bytes] = {}
        self._field = b""
        self._fields: dict[bytes, bytearray] = {}
        self._filename: str | None = None
        self._elsewhere: ApiError | None = None  # what is wrong with a file that came in another field
        self.size = 0
        self._ended = False
        self.waiting = 0
        self._parser = self._new_parser(boundary)

    def _new_parser(self, boundary: bytes) -> MultipartParser:
        callbacks: MultipartCallbacks = {
            "on_part_begin": self._part_begins,
            "on_header_field": lambda data, start, end: self._header[0].extend(data[start:end]),
            "on_header_value": lambda data, start, end: self._header[1].extend(data[start:end]),
            "on_header_end": self._header_ends,
            "on_headers_finished": self._headers_end,
            "on_part_data": self._data,
            "on_end": self._end,
        }
        try:
            return MultipartParser(boundary, callbacks)
        except FormParserError as error:  # a boundary that is too long
            raise _no_form(error) from error

    def feed(self, chunk: bytes) -> None:
        try:
            self._parser.write(chunk)
        except FormParserError as error:
            raise _no_form(error) from error

    def end(self) -> None:
        if not self._ended:
            raise invalid({"body": "ends in the middle of the form"})
        if self._filename is None:
            raise self._elsewhere or invalid({"file": "is missing: the form has no field of this name"})

    def take(self) -> list[bytes]:
        parts, self._parts, self.waiting = self._parts, [], 0
        return parts

    def received(self, sink: Sink) -> Received:
        password = self._fields.get(b"decrypt_password", bytearray())
        return Received(
            filename=self._filename or "",
            size=self.size,
            checksum=sink.checksum(),
            decrypt_password=password.decode("utf-8", "replace"),
        )

    def _part_begins(self) -> None:
        self._headers = {}

    def _header_ends(self) -> None:
        name, value = self._header
        self._headers[bytes(name).lower()] = bytes(value)
        self._header = (bytearray(), bytearray())

    def _headers_end(self) -> None:
        disposition = self._headers.get(b"content-disposition", b"")
        _, options = parse_options_header(disposition)
        self._field = options.get(b"name", b"")
        if self._field != b"file":
            if b"filename" in options:
                self._elsewhere = _in_another_field(self._field)
            return
        if self._filename is not None:
            raise invalid({"file": "is there twice: one file per request"})
        if self._headers.get(b"content-transfer-encoding", b"").strip().lower() in _ENCODED:
            raise invalid({"file": "must be sent as it is, not as base64 or quoted-printable (RFC 7578, 4.7)"})
        self._filename = received_name(_extended_name(disposition) or options.get(b"filename", b""))

    def _data(self, data: bytes, start: int, end: int) -> None:
        if self._field == b"file":
            self.size += end - start
            if self.size > self._most:
                raise ApiError(HTTPStatus.PAYMENT_REQUIRED, too_large(self._most))
            self.waiting += end - start
            self._parts.append(data[start:end])
            return
        field = self._fields.setdefault(self._field, bytearray())
        if len(field) + end - start > _MOST_FIELD or len(self._fields) > 16:
            beside = invalid({"body": "has fields beside the file that are too large or too many"})
            raise beside if self._filename is not None or self._elsewhere is None else self._elsewhere
        field.extend(data[start:end])

    def _end(self) -> None:
        self._ended = True
