"""Connections as they may come: heads in pieces, several in one, heads without an end."""

from __future__ import annotations

import asyncio
import gc
import json
import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.types import ASGIApp, Receive, Scope, Send

from runner.server import connection, serve
from runner.server.answers import json_answer
from runner.server.connection import MOST_HEAD_BYTES, _end_of_head
from runner.server.operating.observed import ObservedApp
from runner.server.serve import listening_at, serve_app
from tests.server.served import KEY, Served, serving

BODY = b'{"process": false}'
POST = b"POST /v2/jobs HTTP/1.1\r\nHost: x\r\nX-Oc-Api-Key: %s\r\nContent-Length: %d\r\n" % (KEY.encode(), len(BODY))
GET = b"GET /v2/statuses HTTP/1.1\r\nHost: x\r\n\r\n"
H2C = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("connection") / "state", "--workers", "1", "--log-level", "error") as one:
        yield one


@contextmanager
def connected(served: Served) -> Iterator[socket.socket]:
    address = urlsplit(served.base_url)
    with socket.create_connection((str(address.hostname), address.port or 80), timeout=20) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        yield connection


def send(connection: socket.socket, *pieces: bytes) -> None:
    for piece in pieces:
        connection.sendall(piece)
        time.sleep(0.02)  # so that they are read one by one


def answers(connection: socket.socket, count: int) -> list[bytes]:
    """The status lines of so many answers."""
    got = b""
    while got.count(b"HTTP/1.1 ") < count or not got.rstrip().endswith((b"}", b"]")):
        piece = connection.recv(65536)
        assert piece, got
        got += piece
    return [b"HTTP/1.1 " + one.partition(b"\r\n")[0] for one in got.split(b"HTTP/1.1 ")[1:]]


@pytest.mark.parametrize("at", [1, len(POST) + 5, len(POST) + 50, len(POST) + len(H2C) - 2, len(POST) + len(H2C) + 1])
def test_an_offer_of_h2c_in_two_pieces_is_ignored_and_the_body_read(served: Served, at: int) -> None:
    request = POST + H2C + b"\r\n" + BODY
    with connected(served) as connection:
        send(connection, request[:at], request[at:])
        assert answers(connection, 1) == [b"HTTP/1.1 201 Created"]
        send(connection, request[:at], request[at:])  # and again, on the same connection
        assert answers(connection, 1) == [b"HTTP/1.1 201 Created"]


def test_requests_one_behind_the_other_are_answered_wherever_they_are_cut(served: Served) -> None:
    request = POST + b"\r\n" + BODY + GET + GET
    for at in range(1, len(request), 23):
        with connected(served) as connection:
            send(connection, request[:at], request[at:])
            assert answers(connection, 3) == [b"HTTP/1.1 201 Created", b"HTTP/1.1 200 OK", b"HTTP/1.1 200 OK"]


@pytest.mark.parametrize("tls", [b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"nonsense\r\n\r\n"])
def test_what_is_no_request_is_refused_at_once(served: Served, tls: bytes) -> None:
    with connected(served) as connection:
        connection.sendall(tls)
        assert connection.recv(100).startswith(b"HTTP/1.1 400 ")


@pytest.mark.parametrize(
    "head",
    [
        b"X: " + b"x" * MOST_HEAD_BYTES + b"\r\n\r\n",
        b"X: " + b"x" * 2 * MOST_HEAD_BYTES,
        b"X: x\r\n" * (MOST_HEAD_BYTES // 6 + 1),
        b"Cookie: " + b"x" * 200_000 + b"\r\n\r\n",
    ],
    ids=["a long one", "one without an end", "many", "at once"],
)
def test_headers_without_an_end_are_refused_before_anybody_has_shown_a_key(served: Served, head: bytes) -> None:
    with connected(served) as connection:
        connection.sendall(b"GET /v2/statuses HTTP/1.1\r\nHost: x\r\n" + head)
        got = b""
        while piece := connection.recv(65536):
            got += piece

    line, _, rest = got.partition(b"\r\n")
    assert line == b"HTTP/1.1 431 Request Header Fields Too Large"
    assert json.loads(rest.partition(b"\r\n\r\n")[2])["code"] == 431
    assert httpx.get(f"{served.base_url}/statuses").status_code == 200


def test_large_headers_are_good(served: Served) -> None:
    answer = httpx.get(f"{served.base_url}/statuses", headers={"X-Large": "x" * (MOST_HEAD_BYTES - 1000)})
    assert answer.status_code == 200


@pytest.mark.parametrize("endless", [b"0\r\nX: ", b"1;"], ids=["a trailer", "words of a chunk"])
def test_trailers_and_what_is_said_of_chunks_have_an_end_too(served: Served, endless: bytes) -> None:
    chunked = POST.replace(b"Content-Length: %d" % len(BODY), b"Transfer-Encoding: chunked")
    with connected(served) as connection:
        connection.sendall(chunked + b"\r\n1\r\n{\r\n" + endless)
        with pytest.raises(ConnectionError):
            flood(connection)


def flood(connection: socket.socket) -> None:
    for _ in range(1000):
        connection.sendall(b"x" * 65536)


def test_a_small_answer_comes_in_one_piece(served: Served) -> None:
    with connected(served) as connection:
        for _ in range(20):
            send(connection, GET)
            head, _, body = connection.recv(65_536).partition(b"\r\n\r\n")
            assert int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0]) == len(body)


def test_a_path_says_which_methods_it_has(served: Served) -> None:
    answer = httpx.put(f"{served.base_url}/jobs", headers={"X-Request-Id": "mine"})

    assert (answer.status_code, answer.headers["x-request-id"]) == (405, "mine")
    assert set(answer.headers["allow"].split(", ")) == {"GET", "HEAD", "POST"}


def whole(connection: socket.socket) -> tuple[bytes, bytes]:
    """Head and body of one answer."""
    got = b""
    while b"\r\n\r\n" not in got:
        got += connection.recv(65536)
    head, _, body = got.partition(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
    while len(body) < length and b"204" not in head and (piece := connection.recv(65536)):
        body += piece
    return head, body


def test_an_answer_to_head_is_its_head_alone_and_one_to_who_goes_says_goodbye(served: Served) -> None:
    with connected(served) as connection:
        send(connection, b"HEAD" + GET.removeprefix(b"GET") + GET)
        head = connection.recv(65_536)
        assert head.count(b"HTTP/1.1 200 OK") == 2
        assert head.count(b'[{"code"') == 1
    with connected(served) as connection:
        send(connection, GET.replace(b"Host: x", b"Host: x\r\nConnection: close"))
        head, body = whole(connection)
        assert b"\r\nconnection: close" in head.lower()
        assert json.loads(body)
        assert connection.recv(1) == b""


def test_who_reads_nothing_is_not_answered_without_end(served: Served) -> None:
    """A thousand questions at once: their answers wait in the server until somebody reads, and are complete then."""
    many = 2000
    with connected(served) as connection:
        sending = threading.Thread(target=connection.sendall, args=(GET * many,))
        sending.start()
        time.sleep(0.5)
        got = b""
        while got.count(b"HTTP/1.1 200 OK") < many or not got.endswith(b"]"):
            got += connection.recv(1_000_000)
        sending.join()

    assert got.count(b'[{"code"') == many


def test_every_answer_counts_in_the_metrics_whichever_way_it_went_out(served: Served) -> None:
    def counted(line: str) -> int:
        text = httpx.get(f"{served.base_url.removesuffix('/v2')}/metrics").text
        return int(next((one.rpartition(" ")[2] for one in text.splitlines() if one.startswith(line)), "0"))

    name = 'runner_requests_total{method="%s",route="/statuses",status="200"}'
    before = counted(name % "GET"), counted(name % "HEAD")
    with connected(served) as connection:
        send(connection, GET, GET)
        answers(connection, 2)
        send(connection, b"HEAD" + GET.removeprefix(b"GET"))
        connection.recv(65_536)

    assert (counted(name % "GET"), counted(name % "HEAD")) == (before[0] + 2, before[1] + 1)


def test_a_request_leaves_nothing_to_the_garbage_collector() -> None:
    """What leads back to itself stays until the collector comes, which costs more than the request did."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await json_answer({"good": True})(scope, receive, send)

    async def found() -> int:
        stop, ready = asyncio.Event(), asyncio.Event()
        with listening_at("127.0.0.1", 0) as listening:
            observed = ObservedApp(app, words=frozenset(), gauges=list, trouble=str)
            serving = asyncio.create_task(serve_app(observed, listening, ready.set, stop=stop))
            await ready.wait()
            reader, writer = await asyncio.open_connection(*listening.getsockname())
            await ask(reader, writer, 10)
            gc.collect()
            await ask(reader, writer, 100)
            left = gc.collect()
            writer.close()
            stop.set()
            await serving
        return left

    async def ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, times: int) -> None:
        for _ in range(times):
            writer.write(GET)
            assert await reader.readuntil(b'{"good":true}')

    thresholds = gc.get_threshold()
    try:
        assert asyncio.run(found()) < 100
    finally:
        gc.unfreeze()
        gc.set_threshold(*thresholds)


@given(st.lists(st.sampled_from([b"\r", b"\n", b"a"]), max_size=14).map(b"".join), st.integers(0, 3))
def test_a_head_ends_with_the_first_empty_line_however_lines_end(data: bytes, start: int) -> None:
    found = re.compile(rb"\r?\n\r?\n").search(data, start)

    assert _end_of_head(data, start) == (found.end() if found else 0)


@contextmanager
def impatient(monkeypatch: pytest.MonkeyPatch, app: ASGIApp) -> Iterator[tuple[str, int]]:
    """A server in this process that bears a second and a half of silence."""
    monkeypatch.setattr(connection, "MOST_SILENCE_S", 1.5)
    monkeypatch.setattr(serve, "_TICKS_OF_SILENCE", 1)
    loop, stop, ready = asyncio.new_event_loop(), asyncio.Event(), threading.Event()
    with listening_at("127.0.0.1", 0) as listening:
        # No signal may be handled from a thread that isn't the first.
        monkeypatch.setattr(loop, "add_signal_handler", lambda *_: None)
        monkeypatch.setattr(loop, "remove_signal_handler", lambda *_: None)
        thread = threading.Thread(
            target=lambda: loop.run_until_complete(serve_app(app, listening, ready.set, stop=stop))
        )
        thread.start()
        try:
            assert ready.wait(20)
            yield listening.getsockname()
        finally:
            loop.call_soon_threadsafe(stop.set)
            thread.join(20)
            loop.close()


async def _echo(scope: Scope, receive: Receive, send: Send) -> None:
    body = b""
    if scope["path"] == "/busy":
        await asyncio.sleep(2.5)  # before it asks for any of the body
    while (message := await receive())["type"] == "http.request":
        body += message["body"]
        if not message["more_body"]:
            await asyncio.sleep(2.5 if body == b"think" else 0.0)  # a client that has said all may wait for us
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
            await send({"type": "http.response.body", "body": b"ok"})
            return


@pytest.mark.parametrize(
    "begun",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"POST / HTTP/1.1\r\nHost: x\r\nConte", id="half a head"),
        pytest.param(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nabc", id="half a body"),
    ],
)
def test_a_client_that_falls_silent_in_the_middle_is_let_go(monkeypatch: pytest.MonkeyPatch, begun: bytes) -> None:
    with impatient(monkeypatch, _echo) as address, socket.create_connection(address, timeout=20) as client:
        client.sendall(begun)
        began, got = time.monotonic(), b""
        while piece := client.recv(65536):
            got += piece
        assert 1.3 < time.monotonic() - began < 15
    assert got.startswith(b"HTTP/1.1 408 ")
    assert got.count(b"HTTP/1.1 ") == 1


def _until_ok(client: socket.socket) -> bool:
    got = b""
    while not got.endswith(b"ok"):
        piece = client.recv(65536)
        assert piece, got
        got += piece
    return got.startswith(b"HTTP/1.1 200 ")


def test_a_client_that_is_slow_waits_for_us_or_asks_again_later_is_not_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    with impatient(monkeypatch, _echo) as address, socket.create_connection(address, timeout=20) as client:
        client.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n")
        for _ in range(10):
            time.sleep(0.3)
            client.sendall(b"x")
        assert _until_ok(client)
        time.sleep(2.5)
        client.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nthink")
        assert _until_ok(client)
        client.sendall(b"POST /busy HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n")
        assert client.recv(65536).startswith(b"HTTP/1.1 100 ")
        time.sleep(0.5)  # as long as it takes to hear that, and to be heard
        client.sendall(b"x")
        assert _until_ok(client)
        client.sendall(b"POST /busy HTTP/1.1\r\nHost: x\r\nContent-Length: 200000\r\n\r\n" + b"x" * 199_999)
        time.sleep(3.0)  # more than is read before somebody wants it
        client.sendall(b"x")
        assert _until_ok(client)
