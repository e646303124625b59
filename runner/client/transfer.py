"""Uploads and downloads: streamed in blocks, hashed as they pass, constant memory."""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO
from urllib.parse import quote, urlsplit

import httpx

from runner.client.api import ConversionApi, answer, refusal
from runner.client.errors import ApiError, ChangedFileError, CorruptDownloadError
from runner.client.http import FOREIGN, translated
from runner.wire import headers
from runner.wire.job import Job, JobInput, JobOutput, read_job
from runner.wire.values import as_object

BLOCK_BYTES = 1 << 20
Progress = Callable[[int], None]


@dataclass(frozen=True, kw_only=True, slots=True)
class Digests:
    size_bytes: int
    sha256: str
    md5: str


class _Hasher:
    """Both digests of a stream. MD5 is what the API shows; it protects nothing here but against accidents."""

    def __init__(self) -> None:
        self.size_bytes = 0
        self.failure: ApiError | None = None  # why our own side of the stream ended early
        self._sha256 = hashlib.sha256()
        self._md5 = hashlib.md5(usedforsecurity=False)

    def add(self, block: bytes) -> None:
        self.size_bytes += len(block)
        self._sha256.update(block)
        self._md5.update(block)

    def digests(self) -> Digests:
        return Digests(size_bytes=self.size_bytes, sha256=self._sha256.hexdigest(), md5=self._md5.hexdigest())


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

        Answers the digests of what was really sent, and the input as the server describes it where it does.
        Raises ChangedFileError where the file has another size now than `size_bytes`.
        """
        hasher = _Hasher()
        boundary = secrets.token_hex(16)
        head, tail = _multipart(boundary, filename, decrypt_password)
        sent = {
            **self._proof(job),
            headers.UPLOAD_ID: secrets.token_hex(8),
            "Content-Type": f"multipart/form-data; boundary={boundary}",
            "Content-Length": str(len(head) + size_bytes + len(tail)),
        }
        doing = f"uploading {filename!r}"
        body = _body(head, path, tail, size_bytes=size_bytes, hasher=hasher, progress=progress)
        try:
            response = await self.api.http.post(
                f"{job.server.rstrip('/')}/upload-file/{quote(job.id, safe='')}", content=body, headers=sent
            )
        except FOREIGN as error:
            raise hasher.failure or translated(error, doing=doing) from error
        shown = as_object(answer(response, doing=doing))
        described = read_job({"input": [shown]}).inputs[0] if shown.get("checksum") else None
        return hasher.digests(), described

    def _proof(self, job: Job) -> dict[str, str]:
        """The job's own token where there is one: it opens less than the account's key.

        The key goes to the endpoint's own host alone, whatever server a job names.
        """
        if job.token:
            return {headers.TOKEN[0]: job.token}
        if urlsplit(job.server).netloc != urlsplit(self.api.endpoint.base_url).netloc:
            raise ApiError("the job came without a token, and its server isn't the endpoint's: nothing was uploaded")
        return {headers.API_KEY[0]: self.api.endpoint.api_key}

    async def download(
        self, output: JobOutput, into: IO[bytes], *, password: str = "", progress: Progress | None = None
    ) -> Digests:
        """Write the bytes of `output` to `into`, which starts empty.

        Raises CorruptDownloadError where size or checksum are not the announced ones.
        """
        doing = f"downloading {output.filename!r}"
        # Bytes as they are: size and checksum are announced of the file, not of a compressed form of it.
        sent = {"Accept-Encoding": "identity"} | ({headers.DOWNLOAD_PASSWORD[0]: password} if password else {})
        hasher = _Hasher()
        try:
            async with self.api.http.stream("GET", output.uri, headers=sent) as response:
                if not response.is_success:
                    await response.aread()
                    raise refusal(response, doing=doing)
                await _write_all(response, into, hasher, progress)
        except FOREIGN as error:
            raise translated(error, doing=doing) from error
        return _verified(hasher.digests(), output)


def _multipart(boundary: str, filename: str, decrypt_password: str) -> tuple[bytes, bytes]:
    """What stands before and after the file's bytes. Source: RFC 7578; names quoted as browsers do (WHATWG)."""
    quoted = filename.replace("\r", "%0D").replace("\n", "%0A").replace('"', "%22")
    lead = ""
    if decrypt_password:
        lead = f'--{boundary}\r\nContent-Disposition: form-data; name="decrypt_password"\r\n\r\n{decrypt_password}\r\n'
    head = (
        f'{lead}--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{quoted}"\r\n'
        "Content-Type: application/octet-stream\r\n\r\n"
    )
    return head.encode("utf-8", "surrogateescape"), f"\r\n--{boundary}--\r\n".encode()


async def _body(
    head: bytes, path: Path, tail: bytes, *, size_bytes: int, hasher: _Hasher, progress: Progress | None
) -> AsyncIterator[bytes]:
    yield head
    try:
        with path.open("rb", buffering=0) as file:
            while block := await asyncio.to_thread(_read_hashed, file, hasher):
                if hasher.size_bytes > size_bytes:
                    hasher.failure = ChangedFileError(f"{path} grew while it was uploaded")
                    raise hasher.failure
                if progress is not None:
                    progress(len(block))
                yield block
    except OSError as error:
        hasher.failure = ApiError(f"{path} can't be read: {error.strerror}")
        raise hasher.failure from error
    if hasher.size_bytes != size_bytes:
        hasher.failure = ChangedFileError(f"{path} shrank while it was uploaded")
        raise hasher.failure
    yield tail


def _read_hashed(file: IO[bytes], hasher: _Hasher) -> bytes:
    block = file.read(BLOCK_BYTES)
    hasher.add(block)
    return block


async def _write_all(response: httpx.Response, into: IO[bytes], hasher: _Hasher, progress: Progress | None) -> None:
    """Blocks are gathered to a useful size first: a thread hop for every network read would cost more than it."""
    gathered = bytearray()
    async for block in response.aiter_bytes():
        gathered += block
        if len(gathered) >= BLOCK_BYTES:
            await asyncio.to_thread(_write_hashed, into, bytes(gathered), hasher)
            if progress is not None:
                progress(len(gathered))
            gathered.clear()
    if gathered:
        _write_hashed(into, bytes(gathered), hasher)
        if progress is not None:
            progress(len(gathered))


def _write_hashed(into: IO[bytes], block: bytes, hasher: _Hasher) -> None:
    hasher.add(block)
    into.write(block)


def _verified(got: Digests, output: JobOutput) -> Digests:
    if output.size_bytes and got.size_bytes != output.size_bytes:
        raise CorruptDownloadError(
            f"{output.filename!r}: {got.size_bytes} bytes came of the {output.size_bytes} announced"
        )
    if len(output.checksum) == 32 and got.md5 != output.checksum.lower():
        raise CorruptDownloadError(f"{output.filename!r}: the MD5 is {got.md5}, the API announced {output.checksum}")
    return got
