"""What a server packs unasked is the file in another form, or the file itself: what was announced tells."""

from __future__ import annotations

import gzip
import hashlib
import io
import zlib
from typing import Any

import pytest

from runner.client.digest import BLOCK_BYTES
from runner.client.errors import CorruptDownloadError
from runner.client.packed import Unpacking
from runner.client.transfer import Transfer
from runner.wire.job import JobOutput

BYTES = bytes(range(256)) * 40
PACKED = gzip.compress(BYTES)


def fetch(stage: Any, *answers: bytes, file: bytes = BYTES, filename: str = "a.webp", said: str = "all") -> Any:
    """`said` is what the API announces of the `file`."""
    into = io.BytesIO()

    async def do(scene: Any) -> Any:
        output = JobOutput(
            id="o1",
            filename=filename,
            uri=f"{scene.server.url}/o1",
            size_bytes=len(file) if said in ("all", "size") else 0,
            checksum=hashlib.md5(file, usedforsecurity=False).hexdigest() if said in ("all", "checksum") else "",
            status="",
            conversion="",
            inputs=(),
        )
        return await Transfer(api=scene.api).download(output, into)

    return stage.play(do, *answers), into.getvalue()


def chunked(body: bytes, coding: str) -> bytes:
    head = f"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Encoding: {coding}\r\nConnection: close\r\n\r\n"
    return head.encode() + b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)


@pytest.mark.parametrize("said", ["all", "size", "checksum", "nothing"])
@pytest.mark.parametrize("way", ["whole", "chunked"])
@pytest.mark.parametrize(
    ("coding", "packed"),
    [
        ("gzip", PACKED),
        ("X-GZIP", PACKED),
        ("deflate", zlib.compress(BYTES)),
        ("gzip", gzip.compress(BYTES[:99]) + gzip.compress(BYTES[99:])),
    ],
)
def test_what_was_packed_on_the_way_is_unpacked(stage: Any, said: str, way: str, coding: str, packed: bytes) -> None:
    answer = chunked(packed, coding) if way == "chunked" else stage.reply(200, packed, Content_Encoding=coding)

    played, got = fetch(stage, answer, said=said)

    assert (played.error, got == BYTES, len(played.server.requests)) == (None, True, 1)


@pytest.mark.parametrize("said", ["all", "size", "checksum", "nothing"])
@pytest.mark.parametrize("way", ["whole", "chunked"])
def test_a_packed_file_that_is_served_as_one_stays_packed(stage: Any, said: str, way: str) -> None:
    answer = chunked(PACKED, "gzip") if way == "chunked" else stage.reply(200, PACKED, Content_Encoding="gzip")

    played, got = fetch(stage, answer, file=PACKED, filename="a.svgz", said=said)

    assert (played.error, got == PACKED, len(played.server.requests)) == (None, True, 1)


def test_where_the_name_misled_the_other_form_is_tried(stage: Any) -> None:
    played, got = fetch(stage, chunked(PACKED, "gzip"), file=PACKED, filename="archive", said="checksum")

    assert (played.error, got == PACKED, len(played.server.requests)) == (None, True, 2)


@pytest.mark.parametrize("coding", ["br", "zstd", "gzip", "what"])
def test_the_file_itself_is_taken_whatever_it_is_called_on_the_way(stage: Any, coding: str) -> None:
    played, got = fetch(stage, stage.reply(200, BYTES, Content_Encoding=coding))

    assert (played.error, got == BYTES) == (None, True)


@pytest.mark.parametrize("said", ["all", "size", "checksum", "nothing"])
def test_what_can_not_be_unpacked_is_called_so(stage: Any, said: str) -> None:
    played, got = fetch(stage, stage.reply(200, b"something else", Content_Encoding="br"), said=said)

    assert isinstance(played.error, CorruptDownloadError)
    assert "packed as 'br', which wasn't asked for" in str(played.error)
    assert got == b""


@pytest.mark.parametrize("packed", [PACKED[:-9], PACKED + b"more", b"\x1f\x8bnothing", PACKED[:1]])
def test_half_of_what_was_packed_is_not_the_file(stage: Any, packed: bytes) -> None:
    played, got = fetch(stage, chunked(packed, "gzip"), said="checksum")

    assert isinstance(played.error, CorruptDownloadError)
    assert got == b""


def test_what_breaks_off_while_it_is_unpacked_is_fetched_from_the_start(stage: Any) -> None:
    cut = stage.reply(200, PACKED[:60], Content_Length=str(len(PACKED)), Content_Encoding="gzip", ETag='"1"')

    played, got = fetch(stage, cut, stage.reply(200, PACKED, Content_Encoding="gzip"))

    assert (played.error, got == BYTES) == (None, True)
    assert "range" not in played.server.requests[1].headers


def test_a_little_that_becomes_a_lot_is_unpacked_in_blocks() -> None:
    large = bytes(5 * BLOCK_BYTES)
    unpacking = Unpacking("gzip")

    blocks = list(unpacking.add(gzip.compress(large)))

    assert (b"".join(blocks) == large, unpacking.whole) == (True, True)
    assert max(map(len, blocks)) <= BLOCK_BYTES


def test_a_packed_body_that_goes_on_after_what_was_announced_is_left_alone(stage: Any) -> None:
    played, got = fetch(stage, stage.reply(200, gzip.compress(bytes(40 * BLOCK_BYTES)), Content_Encoding="gzip"))

    assert "more bytes came" in str(played.error)
    assert got == b""
