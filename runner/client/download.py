"""Downloads: streamed in blocks, hashed as they pass, taken up again where they broke off."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import IO

import aiohttp

from runner.client.api import ConversionApi, patience, refusal
from runner.client.digest import BLOCK_BYTES, Digests, Hasher
from runner.client.errors import (
    ApiError,
    ApiUnreachableError,
    CorruptDownloadError,
    OutcomeUnknownError,
    RefusedError,
)
from runner.client.http import FOREIGN, is_success, read_whole, translated
from runner.client.pacing import Backoff
from runner.wire import headers
from runner.wire.job import JobOutput

Progress = Callable[[int], None]
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

    async def fetch(self) -> Digests:
        """The digests of what was written.

        Raises CorruptDownloadError where size or checksum are not the announced ones in the end, GoneError and
        its like where the server refuses, OutcomeUnknownError where it stops answering.
        """
        waits = Backoff(tries=self.tries - 1, first_s=0.2, most_s=10.0).waits(self.api.rng)
        while True:
            try:
                await self._fetch_rest()
                return self._verified()
            except ApiError as error:
                wait_s = next(waits, None)
                if wait_s is None or not _is_passing(error) or self._spoilt >= MOST_SPOILT:
                    raise
                self._require_another(error)
                await self.api.sleep(patience(error, wait_s))

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
            async with self.api.http.open("GET", self.output.uri, headers=sent) as response:
                if response.status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
                    self._start_over()
                if not is_success(response.status):
                    refused = await read_whole(response)
                    whole = False
                    raise refusal(refused, doing=doing, hidden=self.api.hidden, sent=sent)
                if not self._is_the_rest(response):
                    self._start_over()
                    whole = _is_from_the_start(response)
                    if not whole:
                        raise CorruptDownloadError(f"{doing}: another part came than the one that was asked for")
                self._etag = response.headers.get("ETag", "")
                await self._write(response)
        except FOREIGN as error:
            lost = translated(error, doing=doing)
            whole = whole and not isinstance(lost, ApiUnreachableError)
            raise lost from None
        finally:
            self._whole += whole

    def _headers(self) -> dict[str, str]:
        """Bytes as they are: size and checksum are announced of the file, not of a compressed form of it."""
        sent = {"Accept-Encoding": "identity"}
        if self.password:
            sent[headers.DOWNLOAD_PASSWORD[0]] = self.password
        if self._hasher.size_bytes:
            sent["Range"] = f"bytes={self._hasher.size_bytes}-"
            if self._etag and not self._etag.startswith("W/"):
                sent["If-Range"] = self._etag
        return sent

    def _is_the_rest(self, response: aiohttp.ClientResponse) -> bool:
        """Whether the answer goes on where we are. Source: RFC 9110, section 14.4."""
        have, etag = self._hasher.size_bytes, response.headers.get("ETag", "")
        if response.status != HTTPStatus.PARTIAL_CONTENT:
            return have == 0
        if self._etag and etag and etag != self._etag:
            return False  # another file by now: all of it should have come, says If-Range
        return bool(response.headers.get("Content-Range", "").startswith(f"bytes {have}-"))

    def _start_over(self) -> None:
        self._hasher = Hasher()
        self.into.seek(0)
        self.into.truncate()

    def _throw_away(self) -> None:
        """All of it came, and it isn't the file."""
        self._spoilt += 1
        self._start_over()

    async def _write(self, response: aiohttp.ClientResponse) -> None:
        """Blocks are gathered to a useful size first: a thread for every network read would cost more than it."""
        gathered = bytearray()
        try:
            async for block in response.content.iter_any():
                gathered += block
                if self._is_more_than_announced(len(gathered)):
                    break  # who knows where it ends, and how full the disk is then
                if len(gathered) >= BLOCK_BYTES:
                    await asyncio.to_thread(self._keep, bytes(gathered))
                    gathered.clear()
        except FOREIGN:
            self._keep(bytes(gathered))  # the next try goes on from there
            raise
        self._keep(bytes(gathered))

    def _is_more_than_announced(self, more_bytes: int) -> bool:
        return 0 < self.output.size_bytes < self._hasher.size_bytes + more_bytes

    def _keep(self, block: bytes) -> None:
        self.into.write(block)
        self._hasher.add(block)
        if self.progress is not None and block:
            self.progress(len(block))

    def _verified(self) -> Digests:
        got, name = self._hasher.digests(), f"{self.output.filename!r}"
        if self.output.size_bytes and got.size_bytes < self.output.size_bytes:
            raise CorruptDownloadError(f"{name}: {got.size_bytes} bytes came of the {self.output.size_bytes} announced")
        if self._is_more_than_announced(0):
            self._throw_away()
            raise CorruptDownloadError(f"{name}: more bytes came than the {self.output.size_bytes} announced")
        if len(self.output.checksum) == len(got.md5) and got.md5 != self.output.checksum.lower():
            self._throw_away()
            raise CorruptDownloadError(f"{name}: the MD5 is {got.md5}, the API announced {self.output.checksum}")
        return got


def _is_from_the_start(response: aiohttp.ClientResponse) -> bool:
    if response.status != HTTPStatus.PARTIAL_CONTENT:
        return True
    return bool(response.headers.get("Content-Range", "").startswith("bytes 0-"))


def _is_passing(error: ApiError) -> bool:
    if isinstance(error, RefusedError):
        return error.status in (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE)
    return isinstance(error, OutcomeUnknownError | ApiUnreachableError | CorruptDownloadError)
