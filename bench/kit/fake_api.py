"""A small API server that is not the bottleneck: enough of the API v2 for jobs without work, all in memory.

    python -m bench.kit.fake_api [--length SECONDS] [--output-bytes N]

Prints one line of JSON when it is ready: {"base_url", "server", "pid"}. A job is `completed` once `length` seconds
have passed since its start, with one output of N bytes. `GET /bench/book` answers what was asked of it:
{"requests": {"POST /jobs": n, ...}, "delays": [seconds from a job's end until its output was asked for]}.
Written on asyncio's protocols, for a framework would cost as much as what is measured. No promise of the real
server is kept here: nothing is checked, nothing is durable.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import os
import sys
import time
import uuid
from collections import Counter
from dataclasses import dataclass, field
from typing import cast

import httptools
import orjson
import uvloop

from runner.wire.values import Json, JsonObject

PAGE = 50
_BLOCK = 1 << 18


@dataclass(kw_only=True, slots=True)
class FakeJob:
    document: dict[str, Json]
    started: float = 0.0
    asked: float = 0.0


@dataclass(kw_only=True, slots=True)
class Book:
    """Everything that the server knows."""

    base: str
    length_s: float
    output: bytes
    md5: str
    jobs: dict[str, FakeJob] = field(default_factory=dict)
    newest: list[str] = field(default_factory=list)
    requests: Counter[str] = field(default_factory=Counter)
    delays: list[float] = field(default_factory=list)

    def create(self, body: JsonObject) -> dict[str, Json]:
        number = str(uuid.uuid4())
        document: dict[str, Json] = {
            "id": number,
            "token": uuid.uuid4().hex,
            "type": "job",
            "status": {"code": "incomplete", "info": ""},
            "process": False,
            "conversion": body.get("conversion", []),
            "input": body.get("input", []),
            "output": [],
            "errors": [],
            "warnings": [],
            "limits": {},
            "callback": "",
            "notify_status": False,
            "server": f"{self.base}/dl",
            "spent": 0,
            "created_at": "2026-01-01T00:00:00",
            "modified_at": "2026-01-01T00:00:00",
        }
        self.jobs[number] = FakeJob(document=document)
        self.newest.append(number)
        if body.get("process", True):
            self.start(number)
        return document

    def start(self, number: str) -> dict[str, Json]:
        job = self.jobs[number]
        job.started = time.monotonic()
        job.document["status"] = {"code": "processing", "info": "The file is currently being processed."}
        return job.document

    def seen(self, number: str) -> dict[str, Json]:
        job = self.jobs[number]
        if job.started and not job.document["output"] and time.monotonic() >= job.started + self.length_s:
            self._complete(number, job.document)
        return job.document

    def _complete(self, number: str, document: dict[str, Json]) -> None:
        document["status"] = {"code": "completed", "info": "The file has been successfully converted."}
        document["spent"] = 1
        document["output"] = [
            {
                "id": number,
                "source": {"conversion": "", "input": []},
                "filename": "out.jpg",
                "uri": f"{self.base}/dl/download-file/{number}/out.jpg",
                "size": len(self.output),
                "status": "enabled",
                "content_type": "image/jpeg",
                "checksum": self.md5,
                "metadata": {},
            }
        ]

    def page(self, number: int) -> list[Json]:
        end = len(self.newest) - (number - 1) * PAGE
        return [self.seen(one) for one in reversed(self.newest[max(0, end - PAGE) : max(0, end)])]

    def download(self, number: str) -> bytes:
        job = self.jobs[number]
        if not job.asked:
            job.asked = time.monotonic()
            self.delays.append(job.asked - job.started - self.length_s)
        return self.output


class Connection(asyncio.Protocol):
    """One keep-alive connection. Bodies of uploads are read and kept nowhere."""

    def __init__(self, book: Book) -> None:
        self._book = book
        self._parser = httptools.HttpRequestParser(self)
        self._url = b""
        self._body = bytearray()
        self._uploading = False
        self._expects = False
        self._writable = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is one without inheriting from it
        self._writable.set()

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, _: bytes) -> None:
        if name.lower() == b"expect":
            self._expects = True

    def on_headers_complete(self) -> None:
        self._uploading = b"/upload-file/" in self._url
        if self._expects:
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, body: bytes) -> None:
        if not self._uploading:
            self._body += body

    def on_message_complete(self) -> None:
        method, path = self._parser.get_method().decode(), self._url.decode()
        body = bytes(self._body)
        self._url, self._expects = b"", False
        self._body.clear()
        self._answer(method, path, body)

    def _answer(self, method: str, path: str, body: bytes) -> None:
        kind, _, rest = path.removeprefix("/v2").lstrip("/").partition("/")
        if path.startswith("/dl/"):
            self._file(method, path)
            return
        kind, _, query = kind.partition("?")
        self._book.requests[f"{method} /{kind}{'/{id}' if rest else ''}{rest[36:]}"] += 1
        answer: Json = None
        if kind == "bench":
            answer = {"requests": dict(self._book.requests), "delays": self._book.delays}
        elif method == "POST":
            given = orjson.loads(body)
            answer = given if rest else self._book.create(given)
        elif method == "GET":
            answer = self._book.seen(rest) if rest else self._book.page(_page(query or path.partition("?")[2]))
        elif method == "PATCH":
            answer = self._book.start(rest)
        self._json(answer)

    def _file(self, method: str, path: str) -> None:
        _, _, kind, number, *_ = path.split("/")
        self._book.requests[f"{method} {kind}"] += 1
        if method == "POST":
            self._json({"id": str(uuid.uuid4()), "type": "upload", "status": "ready", "size": 0, "checksum": ""})
            return
        body = self._book.download(number)
        head = f"HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\nContent-Length: {len(body)}\r\n\r\n".encode()
        if len(body) <= _BLOCK:
            self._transport.write(head + body)
            return
        self._transport.write(head)
        self._sending = asyncio.ensure_future(self._send(body))

    async def _send(self, body: bytes) -> None:
        view = memoryview(body)
        for at in range(0, len(body), _BLOCK):
            await self._writable.wait()
            self._transport.write(view[at : at + _BLOCK])

    def _json(self, answer: Json) -> None:
        body = orjson.dumps(answer)
        head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        self._transport.write(head.encode() + body)


def _page(query: str) -> int:
    return next((int(part[5:]) for part in query.split("&") if part.startswith("page=")), 1)


async def _serve(length_s: float, output_bytes: int) -> None:
    output = bytes(range(256)) * (output_bytes // 256) + bytes(output_bytes % 256)
    book = Book(base="", length_s=length_s, output=output, md5=hashlib.md5(output, usedforsecurity=False).hexdigest())
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(book), "127.0.0.1", 0, backlog=4096)
    book.base = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    sys.stdout.write(
        json.dumps({"base_url": f"{book.base}/v2", "server": f"{book.base}/dl", "pid": os.getpid()}) + "\n"
    )
    sys.stdout.flush()
    await server.serve_forever()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--length", type=float, default=0.0)
    parser.add_argument("--output-bytes", type=int, default=1024)
    asked = parser.parse_args()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(asked.length, asked.output_bytes))


if __name__ == "__main__":
    main()
