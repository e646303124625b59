"""Looks at remote sources: what the environment may have to do with them, and what not."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from runner.cli.elsewhere.remotes import look_at, open_web, revisions
from runner.errors import InvalidError

Seen = list[tuple[str, Mapping[str, str]]]


@contextmanager
def _web() -> Iterator[tuple[str, Seen]]:
    seen: Seen = []

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            seen.append((self.path, dict(self.headers)))
            self.send_response(200)
            self.send_header("ETag", '"1"')
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            return

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever).start()
        yield f"http://127.0.0.1:{server.server_port}", seen
        server.shutdown()


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


def test_nobody_is_logged_in_with_what_netrc_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login me password canary-password\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))

    with _web() as (url, seen):
        found = asyncio.run(revisions([f"{url}/a.png"]))

    assert found == {f"{url}/a.png": '"1"'}
    ((_, headers),) = seen
    assert "authorization" not in {name.lower() for name in headers}


def test_the_proxy_of_the_environment_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    with _web() as (url, seen):
        monkeypatch.setenv("http_proxy", url)
        found = asyncio.run(revisions(["http://nobody.invalid/a.png"]))

    assert found == {"http://nobody.invalid/a.png": '"1"'}
    assert [path for path, _ in seen] == ["http://nobody.invalid/a.png"]


@pytest.mark.parametrize("break_", ["\n", "\r\n", "\t", "\x7f"])
def test_an_address_with_a_line_break_is_not_asked_for_without_it(break_: str) -> None:
    async def look(url: str) -> None:
        async with open_web() as http:
            await look_at(http, url)

    with _web() as (url, seen), pytest.raises(InvalidError, match="line break or another control character"):
        asyncio.run(look(f"{url}/a{break_}.png"))

    assert seen == []


@pytest.mark.parametrize("url", ["http://[canary", "ftp://example.com/canary", "http://", "canary"])
def test_what_is_no_address_is_said_without_repeating_it(url: str) -> None:
    async def look() -> None:
        async with open_web() as http:
            await look_at(http, url)

    with pytest.raises(InvalidError, match="could not be asked") as raised:
        asyncio.run(look())

    assert "canary" not in str(raised.value)
