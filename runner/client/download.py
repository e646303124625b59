"""Downloads: streamed in blocks, hashed as they pass, taken up again where they broke off."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import IO

from runner.client.api import ConversionApi, refusal
from runner.client.digest import BLOCK_BYTES, Digests, Hasher
from runner.client.errors import (
    ApiError,
    ApiUnreachableError,
    CorruptDownloadError,
    OutcomeUnknownError,
    RefusedError,
)
from runner.client.http import FOREIGN, Response, is_success, read_whole, translated
from runner.client.pacing import Backoff, Patience
from runner.client.packed import Unpacking, coding_of, is_called_so, is_known
from runner.client.redirects import opened
from runner.errors import AuthenticationError
from runner.wire import headers
from runner.wire.job import JobOutput
from runner.wire.values import as_written_count

Progress = Callable[[int], None]
_PART = HTTPStatus.PARTIAL_CONTENT
_WITH_A_FILE = frozenset({HTTPStatus.OK, HTTPStatus.NON_AUTHORITATIVE_INFORMATION, _PART})
SMALL_BYTES = 128 << 10  # so many, announced, are no burden in memory
MOST_SPOILT = 2  # whole downloads with wrong bytes: each counts against the limit, and a person may want some, too


@dataclass(kw_only=True, slots=True)
class Download:
    """One output on its way into `into`, which starts empty and can seek.

    tries       how often the server is asked at most
    most_whole  how often from the first byte on: those count against `limits.output.max_downloads`, None for no limit
    """

    api: ConversionApi
    output: JobOutput
    into: IO[bytes]
    password: str = ""
    progress: Progress | None = None
    tries: int = 4
    most_whole: int | None = None
    _whole: int = 0
    _spoilt: int = 0
    _hasher: Hasher = field(default_factory=Hasher)
    _etag: str = ""
    _total: int | None = None  # bytes of all that its server sends, where it says so
    _is_part: bool = False
    _coding: str = ""
    _unpacking: Unpacking | None = None

    async def fetch(self) -> Digests:
        """The digests of what was written.

        Raises CorruptDownloadError where size or checksum are not the announced ones in the end, GoneError and
        its like where the server refuses, OutcomeUnknownError where it stops answering.
        """
        patience = None
        while True:
            try:
                await self._fetch_rest()
                return self._verified()
            except ApiError as error:
                if not _is_passing(error) or self._spoilt >= MOST_SPOILT:
                    raise
                patience = patience or self._patience()
                wait_s = patience.next_s(error.retry_after_s)
                if wait_s is None:
                    raise
                self._require_another(error)
                await self.api.sleep(wait_s)

    def _patience(self) -> Patience:
        return Backoff(tries=self.tries - 1, first_s=0.2, most_s=10.0).patience(self.api.rng)

    def _require_another(self, error: ApiError) -> None:
        """Raise where going on means from the first byte, which the job's own limit doesn't allow once more."""
        if self._hasher.size_bytes or self.most_whole is None or self._whole < self.most_whole:
            return
        raise CorruptDownloadError(
            f"{error}; limits.output.max_downloads = {self.most_whole} allows no other download",
            hint="allow one more than is needed; a higher limit counts for what is bought from then on (raise epoch)",
        ) from error

    async def _fetch_rest(self) -> None:
        doing = f"downloading {self.output.filename!r}"
        whole = not self._hasher.size_bytes
        sent = self._headers()
        try:
            hidden = self.api.hidden
            async with opened(
                self.api.http, self.output.uri, sent=sent, doing=doing, hidden=hidden, is_small=self._is_small
            ) as response:
                if response.status not in _WITH_A_FILE:
                    if response.status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
                        self._start_over()
                    whole = False
                    raise await self._no_file(response, doing, sent)
                if not self._is_the_rest(response):
                    self._start_over()
                    whole = _is_from_the_start(response)
                    if not whole:
                        raise CorruptDownloadError(f"{doing}: another part came than the one that was asked for")
                self._note(response)
                await self._write(response)
        except FOREIGN as error:
            lost = translated(error, doing=doing)
            whole = whole and not isinstance(lost, ApiUnreachableError)
            raise lost from None
        except RefusedError:
            whole = False
            raise
        finally:
            self._whole += whole

    async def _no_file(self, response: Response, doing: str, sent: Mapping[str, str]) -> ApiError | AuthenticationError:
        if is_success(response.status):
            return CorruptDownloadError(f"{doing}: {response.status}, an answer without a file")
        return refusal(await read_whole(response), doing=doing, hidden=self.api.hidden, sent=sent)

    def _headers(self) -> dict[str, str]:
        """Bytes as they are: size and checksum are announced of the file, not of a packed form of it."""
        sent = {"Accept-Encoding": "identity"}
        if self.password:
            sent[headers.DOWNLOAD_PASSWORD[0]] = self.password
        if self._hasher.size_bytes:
            sent["Range"] = f"bytes={self._hasher.size_bytes}-"
            if self._etag and not self._etag.startswith("W/"):
                sent["If-Range"] = self._etag
        return sent

    def _is_the_rest(self, response: Response) -> bool:
        """Whether the answer goes on where we are. Source: RFC 9110, section 14.4."""
        have = self._hasher.size_bytes
        if response.status != _PART:
            return have == 0
        etag, total = _sendable(response.headers.get("ETag", "")), _total_of(response)
        if (self._etag and etag and etag != self._etag) or (have and self._coding != _coding_of(response)):
            return False  # another file by now: all of it should have come, says If-Range
        if total is not None and self._total not in (None, total):
            return False
        return bool(response.headers.get("Content-Range", "").startswith(f"bytes {have}-"))

    def _note(self, response: Response) -> None:
        """What the head says of the file that comes now, or of its rest."""
        total = _total_of(response)
        self._etag = _sendable(response.headers.get("ETag", ""))
        self._is_part = response.status == _PART
        if total is not None:
            self._total = total
        if self._hasher.size_bytes == 0:
            self._coding = _coding_of(response)
            self._unpacking = Unpacking(self._coding) if self._is_to_unpack(total) else None

    def _is_to_unpack(self, total: int | None) -> bool:
        """Whether what comes is a packed form of the file, and not the file: by its size, else by its name, else, where
        that was wrong, the other way."""
        if not is_known(self._coding):
            return False
        if self.output.size_bytes and total is not None:
            return total != self.output.size_bytes
        return is_called_so(self.output.filename, self._coding) == (self._spoilt % 2 == 1)

    def _start_over(self) -> None:
        self._hasher = Hasher()
        self._total = self._unpacking = None
        self.into.seek(0)
        self.into.truncate()

    def _spoilt_by(self, why: str) -> CorruptDownloadError:
        """All of it came, and it isn't the file; it is thrown away."""
        packed = f" (it came packed as {self._coding!r}, which wasn't asked for)" if self._coding else ""
        self._spoilt += 1
        self._start_over()
        return CorruptDownloadError(f"{self.output.filename!r}: {why}{packed}")

    async def _write(self, response: Response) -> None:
        """Blocks are gathered to a useful size first: a thread for every network read would cost more than it."""
        if self._unpacking is None and response.content.is_eof():  # it came with its head, as a small file does
            self._keep_block(await response.read())
            return
        gathered = bytearray()
        try:
            async for block in response.content.iter_any():
                gathered += block
                if self._is_more_than_it_is(len(gathered) if self._unpacking is None else 0):
                    break  # who knows where it ends, and how full the disk is then
                if len(gathered) >= BLOCK_BYTES:
                    await asyncio.to_thread(self._keep, bytes(gathered))
                    gathered.clear()
        except FOREIGN:
            if self._unpacking is None:
                self._keep(bytes(gathered))  # the next try goes on from there
            else:
                self._start_over()  # how much of what is packed that was, can't be told
            raise
        if self._unpacking is None:
            self._keep(bytes(gathered))
        else:
            await asyncio.to_thread(self._keep, bytes(gathered))

    def _keep(self, received: bytes) -> None:
        if self._unpacking is None:
            self._keep_block(received)
            return
        try:
            for block in self._unpacking.add(received):
                self._keep_block(block)
                if self._is_more_than_it_is(0):
                    break
        except zlib.error:
            raise self._spoilt_by("what came can't be unpacked") from None

    def _keep_block(self, block: bytes) -> None:
        self.into.write(block)
        self._hasher.add(block)
        if self.progress is not None and block:
            self.progress(len(block))

    @property
    def _is_small(self) -> bool:
        return 0 < self.output.size_bytes <= SMALL_BYTES

    @property
    def _size_bytes(self) -> int:
        """How large the file is: as announced, else as its server says; 0 where nobody does."""
        said = self._total if self._unpacking is None else None
        return self.output.size_bytes or said or 0

    def _is_more_than_it_is(self, more_bytes: int) -> bool:
        return 0 < self._size_bytes < self._hasher.size_bytes + more_bytes

    def _verified(self) -> Digests:
        got, size_bytes = self._hasher.digests(), self._size_bytes
        if got.size_bytes < size_bytes and not self._coding:  # the next try asks for the rest
            raise CorruptDownloadError(
                f"{self.output.filename!r}: {got.size_bytes} bytes came of the {size_bytes} announced"
            )
        if why := self._why_not(got, size_bytes):
            raise self._spoilt_by(why)
        return got

    def _why_not(self, got: Digests, size_bytes: int) -> str:
        """Why what came isn't the file, "" where nothing says so."""
        if got.size_bytes < size_bytes:
            return f"{got.size_bytes} bytes came of the {size_bytes} announced"
        if self._is_more_than_it_is(0):
            return f"more bytes came than the {size_bytes} announced"
        if self._unpacking is not None and not self._unpacking.whole:
            return "what came breaks off"
        if self._is_part and not size_bytes:
            return "a part came, and nothing says of how much"
        has_md5 = len(self.output.checksum) == len(got.md5)
        if has_md5 and got.md5 != self.output.checksum.lower():
            return f"the MD5 is {got.md5}, the API announced {self.output.checksum}"
        unsure = self._coding and self._unpacking is None and not is_called_so(self.output.filename, self._coding)
        if unsure and not (has_md5 or self.output.size_bytes):
            return "nothing says whether that is the file"
        return ""


def _sendable(etag: str) -> str:
    """`etag`, unless no header could take it back to the server."""
    return etag if etag.isascii() and etag.isprintable() else ""


def _is_from_the_start(response: Response) -> bool:
    if response.status != _PART:
        return True
    return bool(response.headers.get("Content-Range", "").startswith("bytes 0-"))


def _total_of(response: Response) -> int | None:
    """The size of the whole as the head of an answer says it."""
    if response.status != _PART:
        return None if "Transfer-Encoding" in response.headers else response.content_length
    return as_written_count(response.headers.get("Content-Range", "").rpartition("/")[2])


def _coding_of(response: Response) -> str:
    return coding_of(response.headers.get("Content-Encoding", ""))


def _is_passing(error: ApiError) -> bool:
    if isinstance(error, RefusedError):
        return error.status in (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE)
    return isinstance(error, OutcomeUnknownError | ApiUnreachableError | CorruptDownloadError)
