"""Connections as they may come: heads in pieces, several in one, heads without an end."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import httpx
import pytest

from runner.server.connection import MOST_HEAD_BYTES
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
