"""A server in this process, spoken to through its ASGI application, with a converter whose results are known."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import io
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_network
from pathlib import Path
from threading import Thread
from typing import Any

import httpx
import pytest
from PIL import Image

from runner.server.assembly import Running, running
from runner.server.config import Contract, ServerConfig
from runner.server.converters.protocol import Product, Request
from runner.server.jobs.lifecycle import ENDED
from runner.server.jobs.record import Job
from runner.server.workers.outcome import Converted, Outcome, Refused

KEY = "key-of-the-tests"
PATIENCE_S = 60.0  # before something that has to happen is given up; nothing waits for so long when all is well


@dataclass
class Copying:
    """A converter that copies. Sources whose name begins with "bad" are refused, with "slow" never end.

    wall_s   what every conversion claims to have taken
    pages    files that one conversion makes
    warnings what every file lacks
    seen     the sources' names, in the order they were asked for
    endless  set when a conversion began that never ends
    """

    wall_s: float = 0.1
    pages: int = 1
    warnings: tuple[str, ...] = ()
    seen: list[str] = field(default_factory=list)
    endless: asyncio.Event = field(default_factory=asyncio.Event)

    async def __call__(self, request: Request, *, on_start: Callable[[int], None] | None = None) -> Outcome:
        source = request.sources[0]
        self.seen.append(f"{source.filename}>{request.target}")
        if on_start:
            on_start(0)
        if source.filename.startswith("slow"):
            self.endless.set()
            await asyncio.Event().wait()
        if source.filename.startswith("bad"):
            return Refused(code=6005, message="it can't be read", details={"text_1": "broken"})
        return Converted(products=tuple(self._made(request)), cpu_s=self.wall_s, wall_s=self.wall_s)

    def _made(self, request: Request) -> Iterator[Product]:
        stem = Path(request.sources[0].filename).stem
        for page in range(self.pages):
            number = f"-{page + 1}" if self.pages > 1 else ""
            path = request.workdir / f"{page}"
            path.write_bytes(b"".join(one.path.read_bytes() for one in request.sources) + b"%d" % page)
            yield Product(
                path=path,
                filename=f"{stem}{number}.{request.target}",
                content_type=f"image/{request.target}",
                sources=(0,),
                warnings=self.warnings,
            )


@dataclass(frozen=True, kw_only=True)
class Api:
    """`http` sends the account's key; `stranger` sends nothing."""

    http: httpx.AsyncClient
    stranger: httpx.AsyncClient
    opened: Running
    converter: Copying

    async def create(self, **body: Any) -> dict[str, Any]:
        answer = await self.http.post("/jobs", json=body)
        assert answer.status_code == 201, answer.text
        job: dict[str, Any] = answer.json()
        return job

    async def staged(self, *targets: str, **body: Any) -> dict[str, Any]:
        return await self.create(process=False, conversion=[{"target": one} for one in targets or ("png",)], **body)

    async def upload(
        self, job: dict[str, Any], content: bytes = b"pixels", *, name: str = "a.jpg", **headers: str
    ) -> httpx.Response:
        return await self.http.post(
            f"{job['server']}/upload-file/{job['id']}",
            files={"file": (name, content)},
            headers={name.replace("_", "-"): value for name, value in headers.items()},
        )

    async def start(self, job: dict[str, Any]) -> httpx.Response:
        return await self.http.patch(f"/jobs/{job['id']}", json={"process": True})

    async def get(self, job: dict[str, Any]) -> dict[str, Any]:
        found: dict[str, Any] = (await self.http.get(f"/jobs/{job['id']}")).json()
        return found

    async def ended(self, job: dict[str, Any]) -> dict[str, Any]:
        """The job once it has ended."""
        await self.until(job, lambda one: one.phase in ENDED)
        return await self.get(job)

    async def until(self, job: dict[str, Any], is_so: Callable[[Job], bool]) -> None:
        heard = asyncio.Event()
        jobs = self.opened.house.jobs

        def listen(_: Job | None, new: Job) -> None:
            if new.id == job["id"] and is_so(new):
                heard.set()

        jobs.listeners.append(listen)
        now = jobs.load(job["id"])
        if now is None or not is_so(now):
            await asyncio.wait_for(heard.wait(), PATIENCE_S)
        jobs.listeners.remove(listen)

    async def converted(self, job: dict[str, Any]) -> dict[str, Any]:
        assert (await self.start(job)).status_code == 200
        return await self.ended(job)


Test = Callable[[Api], Awaitable[None]]
RunTest = Callable[..., None]


@pytest.fixture
def with_server(tmp_path: Path) -> RunTest:
    """Runs an async test against a server of its own: `with_server(test, converter=..., contract=...)`."""

    def run(
        test: Test, *, converter: Copying | None = None, contract: Contract | None = None, private: bool = True
    ) -> None:
        config = ServerConfig(
            state_dir=tmp_path / "state",
            api_keys=(KEY,),
            workers=2,
            contract=contract or Contract(),
            allow_private=(ip_network("127.0.0.0/8"),) if private else (),
        )
        asyncio.run(run_against(test, config, converter or Copying()))

    return run


async def run_against(test: Test, config: ServerConfig, converter: Copying) -> None:
    base_url = "http://server.test/v2"
    async with running(config, base_url=base_url, convert=converter) as opened:
        transport = httpx.ASGITransport(opened.app)
        async with (
            httpx.AsyncClient(transport=transport, base_url=base_url, headers={"X-Api2convert-Api-Key": KEY}) as http,
            httpx.AsyncClient(transport=transport, base_url=base_url) as stranger,
        ):
            await test(Api(http=http, stranger=stranger, opened=opened, converter=converter))


@dataclass(frozen=True)
class Web:
    """A web server on loopback: `pages` maps a path to status, headers and body."""

    url: str
    pages: dict[str, tuple[int, dict[str, str], bytes]]


@pytest.fixture
def web() -> Iterator[Web]:
    pages: dict[str, tuple[int, dict[str, str], bytes]] = {}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, headers, body = pages.get(self.path, (404, {}, b""))
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield Web(url=f"http://127.0.0.1:{server.server_port}", pages=pages)
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def md5() -> Callable[[bytes], str]:
    return lambda content: hashlib.md5(content, usedforsecurity=False).hexdigest()


@pytest.fixture
def picture_base64() -> str:
    """A small PNG."""
    file = io.BytesIO()
    Image.new("RGB", (8, 8), (9, 99, 9)).save(file, "png")
    return base64.b64encode(file.getvalue()).decode()
