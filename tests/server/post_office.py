"""A receiver of callbacks that answers as it is told, and servers that were told more than the usual."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import httpx

from runner.server.assembly import running
from runner.server.config import CallbackRules, ServerConfig
from tests.server.conftest import KEY, PATIENCE_S, Api, Copying

# Quick to try again, but with time for a receiver on a loaded machine: what is slow must not be asked twice.
QUICK = CallbackRules(
    first_wait_s=0.02, most_wait_s=0.05, first_timeout_s=PATIENCE_S, retry_timeout_s=PATIENCE_S, rest_s=0.2
)


@dataclass(frozen=True)
class Post:
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def job(self) -> Any:
        return json.loads(self.body)

    @property
    def status(self) -> str:
        return str(self.job["status"]["code"])


@dataclass
class PostOffice:
    """`answers` are used up one by one; afterwards everything is accepted. 0 hangs up, -1 says nothing for long.

    chokes_on  a status that always gets 500
    """

    url: str = ""
    chokes_on: str = ""
    answers: list[int] = field(default_factory=list)
    got: list[Post] = field(default_factory=list)
    most_at_once: int = 0
    _now: int = 0
    _news: threading.Condition = field(default_factory=threading.Condition)
    closing: threading.Event = field(default_factory=threading.Event)

    def take(self, post: Post) -> int:
        with self._news:
            self.got.append(post)
            self._now += 1
            self.most_at_once = max(self.most_at_once, self._now)
            self._news.notify_all()
            if self.chokes_on and post.status == self.chokes_on:
                return 500
            return self.answers.pop(0) if self.answers else 200

    def done(self) -> None:
        with self._news:
            self._now -= 1

    def wait_for(self, true: Callable[[list[Post]], bool]) -> None:
        with self._news:
            assert self._news.wait_for(lambda: true(self.got), PATIENCE_S), [post.status for post in self.got]

    async def until(self, true: Callable[[list[Post]], bool]) -> None:
        await asyncio.to_thread(self.wait_for, true)

    def statuses(self, job: dict[str, Any]) -> list[str]:
        return [post.status for post in self.got if post.job["id"] == job["id"]]


@contextmanager
def post_office() -> Iterator[PostOffice]:
    office = PostOffice()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            answer = office.take(Post(self.path, dict(self.headers), body))
            try:
                self._answer(answer)
            finally:
                office.done()

        def _answer(self, answer: int) -> None:
            if answer == -1:
                office.closing.wait(PATIENCE_S)
            elif answer:
                self.send_response(answer)
                self.send_header("Location", "/elsewhere")
                self.send_header("Content-Length", "0")
                self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    office.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield office
    finally:
        office.closing.set()
        server.shutdown()
        thread.join()
        server.server_close()


@asynccontextmanager
async def api_of(state: Path, converter: Copying | None = None, **settings: Any) -> AsyncIterator[Api]:
    """A server in this process that may be told anything `ServerConfig` knows."""
    given = {"callbacks": QUICK, "allow_private": (ip_network("127.0.0.0/8"),), "api_keys": (KEY,), "workers": 2}
    config = ServerConfig(state_dir=state, **{**given, **settings})
    base_url = "http://server.test/v2"
    converter = converter or Copying()
    async with running(config, base_url=base_url, convert=converter) as opened:
        transport = httpx.ASGITransport(opened.app)
        headers = {"X-Api2convert-Api-Key": KEY}
        async with (
            httpx.AsyncClient(transport=transport, base_url=base_url, headers=headers) as http,
            httpx.AsyncClient(transport=transport, base_url=base_url) as stranger,
        ):
            yield Api(http=http, stranger=stranger, opened=opened, converter=converter)


async def converted(api: Api, **body: Any) -> dict[str, Any]:
    """A job with one file, at its end."""
    job = await api.staged(**body)
    assert (await api.upload(job)).status_code == 200
    return await api.converted(job)


async def waiting_until(true: Callable[[], bool]) -> None:
    """Until something in this process is so that tells nobody when it becomes so."""
    give_up = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < give_up
        await asyncio.sleep(0.005)
