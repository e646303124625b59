"""Uploads and downloads: streamed in blocks, hashed as they pass, constant memory."""

from __future__ import annotations

import asyncio
import errno
import os
import secrets
import stat
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit

from runner.client.api import ConversionApi, answer, segment
from runner.client.digest import BLOCK_BYTES, Digests, Hasher
from runner.client.download import Download, Progress
from runner.client.errors import ApiError, ChangedFileError
from runner.client.http import FOREIGN, translated
from runner.wire import headers
from runner.wire.job import Job, JobInput, JobOutput, read_input
from runner.wire.names import sent_name
from runner.wire.values import as_object

SMALL_BYTES = 256 << 10


@dataclass(frozen=True, kw_only=True, slots=True)
class Transfer:
    """Moves file bodies for the jobs of `api`."""

    api: ConversionApi

    async def upload(
        self,
        job: Job,
        path: Path,
        *,
        filename: str,
        size_bytes: int,
        decrypt_password: str = "",
        progress: Progress | None = None,
    ) -> tuple[Digests, JobInput | None]:
        """Send the file at `path` as the next input of `job`.

        Answers the digests of what was really sent, and the input as the server describes it where it does: perhaps no
        more than its id, or all but that.
        Raises ChangedFileError where the file has another size now than `size_bytes`.
        """
        hasher = Hasher()
        boundary = secrets.token_hex(16)
        head, tail = _multipart(boundary, filename, decrypt_password)
        sent = {
            **self._proof(job),
            headers.UPLOAD_ID: secrets.token_hex(8),
            "Content-Type": f"multipart/form-data; boundary={boundary}",
            "Content-Length": str(len(head) + size_bytes + len(tail)),
        }
        doing = f"uploading {filename!r}"
        blocks = _Blocks(path=path, size_bytes=size_bytes, hasher=hasher, progress=progress)
        # A stream, or waking a thread, costs more than a small file is worth.
        body = blocks.streamed(head, tail) if size_bytes > SMALL_BYTES else b"".join((head, *blocks.read(), tail))
        try:
            url = f"{job.server.rstrip('/')}/upload-file/{segment(job.id)}"
            response = await self.api.http.send("POST", url, content=body, headers=sent)
        except FOREIGN as error:
            raise hasher.failure or translated(error, doing=doing) from None
        shown = as_object(answer(response, doing=doing, hidden=self.api.hidden, sent=sent))
        described = read_input(shown)
        return hasher.digests(), described if described.id or described.checksum else None

    def _proof(self, job: Job) -> dict[str, str]:
        """The job's own token where there is one: it opens less than the account's key.

        The key goes to the endpoint's own host alone, whatever server a job names.
        """
        if not headers.is_sendable(job.token):
            raise ApiError("the job came with a token that no request can carry: nothing was uploaded")
        if job.token:
            return {headers.TOKEN[0]: job.token}
        if _host_of(job.server) != _host_of(self.api.endpoint.base_url):
            raise ApiError("the job came without a token, and its server isn't the endpoint's: nothing was uploaded")
        return {headers.API_KEY[0]: self.api.endpoint.api_key}

    async def download(
        self,
        output: JobOutput,
        into: IO[bytes],
        *,
        password: str = "",
        progress: Progress | None = None,
        tries: int = 4,
        most_whole: int | None = None,
    ) -> Digests:
        """Write the bytes of `output` to `into`, which starts empty; raises as `Download.fetch` does."""
        download = Download(
            api=self.api,
            output=output,
            into=into,
            password=password,
            progress=progress,
            tries=tries,
            most_whole=most_whole,
        )
        return await download.fetch()


def _host_of(address: str) -> str:
    try:
        return urlsplit(address).netloc
    except ValueError:
        return ""


def _multipart(boundary: str, filename: str, decrypt_password: str) -> tuple[bytes, bytes]:
    """What stands before and after the file's bytes. Source: RFC 7578; names quoted as browsers do (WHATWG)."""
    quoted = sent_name(filename)
    lead = ""
    if decrypt_password:
        lead = f'--{boundary}\r\nContent-Disposition: form-data; name="decrypt_password"\r\n\r\n{decrypt_password}\r\n'
    head = (
        f'{lead}--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{quoted}"\r\n'
        "Content-Type: application/octet-stream\r\n\r\n"
    )
    return head.encode("utf-8", "surrogateescape"), f"\r\n--{boundary}--\r\n".encode()


@dataclass(frozen=True, kw_only=True, slots=True)
class _Blocks:
    """The file at `path`, hashed as it passes; what is wrong with it is kept as the hasher's failure, and raised."""

    path: Path
    size_bytes: int
    hasher: Hasher
    progress: Progress | None

    async def streamed(self, head: bytes, tail: bytes) -> AsyncIterator[bytes]:
        yield head
        with self._watched(), _opened(self.path) as file:
            while block := await asyncio.to_thread(self._next, file):
                self._tell(block)
                yield block
        yield tail

    def read(self) -> Iterator[bytes]:
        with self._watched(), _opened(self.path) as file:
            while block := self._next(file):
                self._tell(block)
                yield block

    def _next(self, file: IO[bytes]) -> bytes:
        block = file.read(BLOCK_BYTES)
        if block:
            self.hasher.add(block)
        if self.hasher.size_bytes > self.size_bytes:
            raise ChangedFileError(f"{self.path} grew while it was uploaded")
        if not block and self.hasher.size_bytes < self.size_bytes:
            raise ChangedFileError(f"{self.path} shrank while it was uploaded")
        return block

    def _tell(self, block: bytes) -> None:
        if self.progress is not None:
            self.progress(len(block))

    @contextmanager
    def _watched(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self.hasher.failure = ApiError(f"{self.path} can't be read: {error.strerror}")
            raise self.hasher.failure from error
        except ApiError as error:
            self.hasher.failure = error
            raise


def _opened(path: Path) -> IO[bytes]:
    """Opening what has become a pipe would wait for somebody who writes to it. Raises OSError."""
    number = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(number).st_mode):
        os.close(number)
        raise OSError(errno.EINVAL, "it is no file any more", str(path))
    return os.fdopen(number, "rb", buffering=0)
