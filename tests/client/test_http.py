"""The session: what it says of itself, what it leaves alone, and how it speaks of what went wrong."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import trustme

from runner.client import http
from runner.client.api import ConversionApi
from runner.client.endpoint import Endpoint
from runner.client.errors import ApiUnreachableError, OutcomeUnknownError
from runner.client.http import FOREIGN, USER_AGENT, open_http, spoken
from runner.client.pacing import Backoff
from tests.client.conftest import Rogue, reply, rogue

ONCE = Backoff(tries=0)


def _asked(url: str, *, read_timeout_s: float = 5.0) -> Any:
    async def main() -> Any:
        endpoint = Endpoint(name="x", base_url=url, api_key="canarykey")
        async with open_http(endpoint, read_timeout_s=read_timeout_s) as http:
            return await ConversionApi(endpoint=endpoint, http=http, backoff=ONCE).contracts()

    return asyncio.run(main())


def _asked_of(*answers: bytes | None, read_timeout_s: float = 5.0, **how: Any) -> tuple[Any, Rogue]:
    async def main() -> tuple[Any, Rogue]:
        async with rogue(*answers, **how) as server:
            try:
                return await asyncio.to_thread(_asked, server.url, read_timeout_s=read_timeout_s), server
            except OutcomeUnknownError as error:
                return error, server

    return asyncio.run(main())


def test_it_says_who_it_is_and_wants_the_bytes_as_they_are() -> None:
    said, server = _asked_of(reply(200, {"plan": "free"}))

    assert said == {"plan": "free"}
    (request,) = server.requests
    assert request.headers["user-agent"] == USER_AGENT
    assert request.headers["accept-encoding"] == "identity"
    assert "content-type" not in request.headers


def test_proxies_of_the_environment_get_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")

    said, _ = _asked_of(reply(200, {"plan": "free"}))

    assert said == {"plan": "free"}


@pytest.mark.parametrize(
    ("answer", "how", "words"),
    [
        (None, {}, "GET /contracts: no answer (the server hung up)"),
        (reply(200, b"{", Content_Length="9"), {}, "GET /contracts: no answer (it broke off in the middle)"),
        (None, {"mute": True}, "GET /contracts: no answer (nothing came for too long)"),
    ],
)
def test_what_went_wrong_is_told_in_plain_words(answer: bytes | None, how: dict[str, Any], words: str) -> None:
    error, _ = _asked_of(answer, read_timeout_s=0.3, **how)

    assert isinstance(error, OutcomeUnknownError)
    assert str(error) == words


def test_a_port_nobody_listens_on_is_named_and_nothing_was_sent() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

        with pytest.raises(ApiUnreachableError) as raised:
            _asked(f"http://127.0.0.1:{port}/v2")

    assert str(raised.value) == (
        f"GET /contracts: no connection (127.0.0.1:{port}: Connection refused); nothing was sent"
    )


def test_a_name_nobody_knows_is_named() -> None:
    with pytest.raises(ApiUnreachableError, match=r"no connection \(nobody\.invalid:80: .+\); nothing was sent"):
        _asked("http://nobody.invalid/v2")


def test_a_server_without_tls_is_no_connection() -> None:
    async def main() -> None:
        async with rogue(reply(200, {}), deaf=True) as server:
            with pytest.raises(ApiUnreachableError, match="nothing was sent") as raised:
                await asyncio.to_thread(_asked, server.url.replace("http:", "https:"))
            assert "canarykey" not in str(raised.value)

    asyncio.run(main())


class _Plain(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        content = b'{"plan": "free"}'
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def _over_tls(authority: trustme.CA | None) -> Iterator[str]:
    """The address of a server whose certificate comes from `authority`; None: that speaks plain HTTP after all."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Plain) as server:
        if authority is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            authority.issue_cert("127.0.0.1").configure_cert(context)
            server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield f"https://127.0.0.1:{server.server_port}/v2"
        finally:
            server.shutdown()
            thread.join()


def test_a_certificate_that_nobody_trusts_is_called_that() -> None:
    with _over_tls(trustme.CA()) as url, pytest.raises(ApiUnreachableError) as raised:
        _asked(url)

    assert "the certificate isn't trusted: " in str(raised.value)
    assert "nothing was sent" in str(raised.value)


def test_plain_http_where_tls_was_meant_is_called_that() -> None:
    with _over_tls(None) as url, pytest.raises(ApiUnreachableError, match="it doesn't speak TLS"):
        _asked(url)


def test_an_authority_of_the_system_is_trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A company's own, for instance."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "company.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "company.pem"))
    monkeypatch.setattr("runner.client.http._tls", http._tls.__wrapped__)

    with _over_tls(authority) as url:
        assert _asked(url) == {"plan": "free"}


def test_a_document_that_a_server_stops_reading_ends(stage: Any) -> None:
    async def send(scene: Any) -> Any:
        async with asyncio.timeout(10):
            return await scene.api.http.request("POST", scene.server.url, content=bytes(64 << 20), headers={})

    played = stage.play(send, None, full=True, timeout_s=0.3)

    assert isinstance(played.error, FOREIGN)
    assert spoken(played.error) == "the server took nothing more of what was sent"


@pytest.mark.parametrize("size", [1, 64 << 10, (64 << 10) + 1, 3 << 20])
def test_a_document_of_any_size_arrives_whole(stage: Any, size: int) -> None:
    document = bytes(range(256)) * (size // 256) + b"x" * (size % 256)

    played = stage.play(
        lambda scene: scene.api.http.request("POST", scene.server.url, content=document, headers={}), stage.reply(200)
    )

    assert [request.body for request in played.server.requests] == [document]
