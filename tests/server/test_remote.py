"""Remote inputs over lines and from servers that fail: tried again, taken up where it broke, never glued together."""

from __future__ import annotations

import errno
import gzip
import hashlib
import socket
import struct
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest

from runner.server.engine.remote import Fetched, InputError, Order, fetch
from runner.server.engine.stop import Stop

OLD, NEW = bytes(range(256)) * 40, bytes(reversed(range(256))) * 50


@dataclass(frozen=True, kw_only=True)
class Answer:
    """
    cut     bytes of the body after which the connection ends
    resets  the connection is reset instead of answered
    """

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    cut: int | None = None
    resets: bool = False


@dataclass
class Flaky:
    """Answers one after the other, the last one for ever; `asked` has the headers of the requests."""

    url: str
    answers: list[Answer]
    asked: list[Message] = field(default_factory=list)


@pytest.fixture
def flaky() -> Iterator[Callable[..., Flaky]]:
    servers: list[tuple[ThreadingHTTPServer, threading.Thread]] = []

    def serve(*answers: Answer) -> Flaky:
        known = Flaky(url="", answers=list(answers))

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                known.asked.append(self.headers)
                answer = known.answers.pop(0) if len(known.answers) > 1 else known.answers[0]
                self.close_connection = True
                if answer.resets:
                    self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    return
                self.send_response(answer.status)
                for name, value in {"Content-Length": str(len(answer.body)), **answer.headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(answer.body[: answer.cut])

            def log_message(self, *_: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        servers.append((server, thread))
        known.url = f"http://127.0.0.1:{server.server_port}/a.bin"
        return known

    yield serve
    for server, thread in servers:
        server.shutdown()
        thread.join()
        server.server_close()


def fetched(server: Flaky, folder: Path, **more: Any) -> Fetched:
    return fetch(
        Order(
            url=server.url,
            path=folder / "fetched",
            most_bytes=10**6,
            too_large="too large",
            allowed=(ip_network("127.0.0.0/8"),),
            stopped=Stop(),
            digest=hashlib.md5(usedforsecurity=False),
            **more,
        )
    )


def room_for(most_bytes: int) -> Callable[[int], None]:
    def reserve(size_bytes: int) -> None:
        if size_bytes > most_bytes:
            raise OSError(errno.EDQUOT, "no room")

    return reserve


def md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def rest(content: bytes, start: int, **headers: str) -> Answer:
    about = {"Content-Range": f"bytes {start}-{len(content) - 1}/{len(content)}", **headers}
    return Answer(status=206, headers=about, body=content[start:])


VALIDATORS = {"etag": ("ETag", '"v1"'), "changed": ("Last-Modified", "Wed, 21 Oct 2015 07:28:00 GMT")}


@pytest.mark.parametrize(("name", "value"), VALIDATORS.values(), ids=VALIDATORS)
def test_a_download_that_broke_goes_on_where_it_was(
    name: str, value: str, flaky: Callable[..., Flaky], tmp_path: Path
) -> None:
    named = {name: value, "Content-Disposition": 'attachment; filename="own name.bin"'}
    server = flaky(Answer(headers=named, body=OLD, cut=1000), rest(OLD, 1000))

    got = fetched(server, tmp_path)

    assert (tmp_path / "fetched").read_bytes() == OLD
    assert got == Fetched(size=len(OLD), checksum=md5(OLD), filename="own name.bin")
    assert [(one["Range"], one["If-Range"]) for one in server.asked] == [(None, None), ("bytes=1000-", value)]


def test_a_file_that_is_another_by_now_is_fetched_from_the_start(flaky: Callable[..., Flaky], tmp_path: Path) -> None:
    server = flaky(
        Answer(headers={"ETag": '"v1"'}, body=OLD, cut=9000), Answer(headers={"ETag": '"v2"'}, body=NEW[:5000])
    )

    got = fetched(server, tmp_path)

    assert (tmp_path / "fetched").read_bytes() == NEW[:5000]
    assert (got.size, got.checksum) == (5000, md5(NEW[:5000]))


@pytest.mark.parametrize("headers", [{}, {"ETag": 'W/"v1"'}], ids=["nothing", "weak"])
def test_without_a_name_for_the_very_file_it_is_fetched_from_the_start(
    headers: dict[str, str], flaky: Callable[..., Flaky], tmp_path: Path
) -> None:
    server = flaky(Answer(headers=headers, body=OLD, cut=1000), Answer(body=OLD))

    assert fetched(server, tmp_path).checksum == md5(OLD)
    assert [one["Range"] for one in server.asked] == [None, None]


@pytest.mark.parametrize("answer", [rest(OLD, 999), Answer(status=416)], ids=["another part", "no such part"])
def test_a_part_that_was_not_asked_for_is_not_glued_on(
    answer: Answer, flaky: Callable[..., Flaky], tmp_path: Path
) -> None:
    server = flaky(Answer(headers={"ETag": '"v1"'}, body=OLD, cut=1000), answer, Answer(body=OLD))

    assert fetched(server, tmp_path).checksum == md5(OLD)
    assert (tmp_path / "fetched").read_bytes() == OLD
    assert server.asked[2]["Range"] is None


def test_a_file_that_breaks_often_arrives_as_long_as_it_gets_further(
    flaky: Callable[..., Flaky], tmp_path: Path
) -> None:
    tag = {"ETag": '"v1"'}
    parts = [
        Answer(status=206, headers={**rest(OLD, start).headers, **tag}, body=OLD[start:], cut=1000)
        for start in range(1000, 8000, 1000)
    ]
    server = flaky(Answer(headers=tag, body=OLD, cut=1000), *parts, rest(OLD, 8000))

    assert fetched(server, tmp_path).checksum == md5(OLD)
    assert len(server.asked) == 9


@pytest.mark.parametrize("first", [Answer(status=500), Answer(status=502), Answer(status=429), Answer(resets=True)])
def test_a_server_in_passing_trouble_is_asked_again(first: Answer, flaky: Callable[..., Flaky], tmp_path: Path) -> None:
    server = flaky(first, first, Answer(body=OLD))

    assert fetched(server, tmp_path).checksum == md5(OLD)


def test_a_server_that_says_when_is_asked_then(flaky: Callable[..., Flaky], tmp_path: Path) -> None:
    server = flaky(Answer(status=503, headers={"Retry-After": "1"}), Answer(body=OLD))
    began = time.monotonic()

    fetched(server, tmp_path)

    assert time.monotonic() - began >= 1


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (Answer(status=503), "HTTP 503"),
        (Answer(body=OLD, cut=10), "bytes are missing"),
        (Answer(resets=True), "could not be reached"),
    ],
)
def test_trouble_that_stays_is_told_after_four_attempts(
    answer: Answer, words: str, flaky: Callable[..., Flaky], tmp_path: Path
) -> None:
    server = flaky(answer)

    with pytest.raises(InputError, match=words) as caught:
        fetched(server, tmp_path)

    assert (caught.value.code, len(server.asked)) == (404, 4)


@pytest.mark.parametrize("status", [401, 403, 404, 410])
def test_a_definite_answer_is_taken_at_its_word(status: int, flaky: Callable[..., Flaky], tmp_path: Path) -> None:
    server = flaky(Answer(status=status))

    with pytest.raises(InputError, match=f"HTTP {status}"):
        fetched(server, tmp_path)

    assert len(server.asked) == 1


def members(content: bytes) -> bytes:
    """Two, one after the other, as gzip allows."""
    return gzip.compress(content[:5000]) + gzip.compress(content[5000:])


@pytest.mark.parametrize(
    ("coding", "squeeze"), [("gzip", gzip.compress), ("X-Gzip ", members), ("deflate", zlib.compress)]
)
def test_what_comes_compressed_although_nobody_asked_for_that_is_the_file(
    coding: str, squeeze: Callable[[bytes], bytes], flaky: Callable[..., Flaky], tmp_path: Path
) -> None:
    coded = Answer(headers={"Content-Encoding": coding, "ETag": '"1"'}, body=squeeze(NEW))
    server = flaky(replace(coded, cut=40), coded)

    got = fetched(server, tmp_path)

    assert (tmp_path / "fetched").read_bytes() == NEW
    assert (got.size, got.checksum) == (len(NEW), hashlib.md5(NEW).hexdigest())
    assert "Range" not in server.asked[1]  # where it broke off isn't where we are


def test_a_coding_that_nobody_knows_is_named_and_a_bomb_has_an_end(flaky: Callable[..., Flaky], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="as 'br'"):
        fetched(flaky(Answer(headers={"Content-Encoding": "br"}, body=OLD)), tmp_path)
    with pytest.raises(InputError, match="can't be decompressed"):
        fetched(flaky(Answer(headers={"Content-Encoding": "gzip"}, body=OLD)), tmp_path)
    with pytest.raises(InputError, match="too large"):
        fetched(flaky(Answer(headers={"Content-Encoding": "gzip"}, body=gzip.compress(bytes(10**8)))), tmp_path)
    assert (tmp_path / "fetched").stat().st_size <= 10**6


@pytest.mark.parametrize(
    "disposition",
    [
        "attachment; filename=\"plain.txt\"; filename*=UTF-8''caf%C3%A9.png",
        "attachment; filename*=UTF-8''caf%C3%A9.png; filename=plain.txt",
        "inline; filename*=UTF-8''caf%C3%A9.png",
    ],
)
def test_the_extended_form_of_a_name_wins(disposition: str, flaky: Callable[..., Flaky], tmp_path: Path) -> None:
    """Source: RFC 6266, section 4.3."""
    assert fetched(flaky(Answer(headers={"Content-Disposition": disposition})), tmp_path).filename == "café.png"


def test_all_attempts_together_have_their_time(flaky: Callable[..., Flaky], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="took longer than 0 seconds") as caught:
        fetched(flaky(Answer(status=500)), tmp_path, most_s=0.1)

    assert caught.value.code == 408


@pytest.mark.parametrize("announced", [True, False])
def test_what_there_is_no_room_for_is_not_written(
    flaky: Callable[..., Flaky], tmp_path: Path, *, announced: bool
) -> None:
    server = flaky(Answer(body=b"x" * 900_000, headers={} if announced else {"Content-Length": ""}))

    with pytest.raises(OSError, match="no room"):
        fetched(server, tmp_path, reserve=room_for(500_000))

    assert (tmp_path / "fetched").stat().st_size <= (0 if announced else 500_000)
    assert len(server.asked) == 1
