"""A download that broke off is taken up where it broke, and never glued together from two different files."""

from __future__ import annotations

import hashlib
import io
from typing import Any

import pytest

from runner.client.digest import BLOCK_BYTES
from runner.client.errors import CorruptDownloadError
from runner.client.transfer import Transfer
from runner.wire.job import JobOutput

pytestmark = pytest.mark.usefixtures("both_ways")

BYTES = bytes(range(256)) * 40
OTHER = BYTES[::-1]
HALF = len(BYTES) // 2
MD5 = hashlib.md5(BYTES, usedforsecurity=False).hexdigest()


def cut(reply: Any, whole: bytes = BYTES, **headers: str) -> bytes:
    """The first half of an answer that announces the whole."""
    made: bytes = reply(200, whole[:HALF], Content_Length=str(len(whole)), **headers)
    return made


def rest(reply: Any, start: int = HALF, whole: bytes = BYTES, **headers: str) -> bytes:
    content_range = f"bytes {start}-{len(whole) - 1}/{len(whole)}"
    made: bytes = reply(206, whole[start:], Content_Range=content_range, **headers)
    return made


def fetch(
    stage: Any,
    *answers: bytes | None,
    most_whole: int | None = None,
    checksum: str = MD5,
    size_bytes: int = len(BYTES),
    into: io.BytesIO | None = None,
) -> tuple[Any, bytes]:
    into = into or io.BytesIO()

    async def do(scene: Any) -> Any:
        output = JobOutput(
            id="o1",
            filename="a.webp",
            uri=f"{scene.server.url}/o1",
            size_bytes=size_bytes,
            checksum=checksum,
            status="",
            conversion="",
            inputs=(),
        )
        return await Transfer(api=scene.api).download(output, into, most_whole=most_whole)

    return stage.play(do, *answers), into.getvalue()


def test_only_what_is_missing_is_asked_for_again(stage: Any) -> None:
    played, got = fetch(stage, cut(stage.reply, ETag='"1"'), rest(stage.reply))

    assert (played.error, got == BYTES, played.value.md5) == (None, True, MD5)
    asked = [(one.headers.get("range"), one.headers.get("if-range")) for one in played.server.requests]
    assert asked == [(None, None), (f"bytes={HALF}-", '"1"')]


def test_a_weak_tag_is_no_proof_and_is_not_sent(stage: Any) -> None:
    played, _ = fetch(stage, cut(stage.reply, ETag='W/"1"'), rest(stage.reply))

    assert "if-range" not in played.server.requests[1].headers


@pytest.mark.parametrize("again", ["whole", "wrong range", "unsatisfiable"])
def test_a_server_that_does_not_go_on_where_we_are_makes_it_start_over(stage: Any, again: str) -> None:
    reply = stage.reply
    second = {"whole": reply(200, BYTES), "wrong range": rest(reply, 0), "unsatisfiable": reply(416)}[again]

    played, got = fetch(stage, cut(reply), second, reply(200, BYTES))

    assert (played.error, got == BYTES) == (None, True)


def test_halves_of_two_files_are_noticed_and_fetched_anew(stage: Any) -> None:
    played, got = fetch(stage, cut(stage.reply, OTHER), rest(stage.reply), stage.reply(200, BYTES))

    assert (played.error, got == BYTES) == (None, True)
    assert "range" not in played.server.requests[2].headers


def test_the_rest_of_another_file_is_never_taken_although_no_checksum_tells(stage: Any) -> None:
    """The server ignores If-Range, and the file was replaced meanwhile by one of the same size."""
    reply = stage.reply

    played, got = fetch(
        stage,
        cut(reply, OTHER, ETag='"1"'),
        rest(reply, ETag='"2"'),
        reply(200, BYTES, ETag='"2"'),
        checksum="",
    )

    assert (played.error, got == BYTES) == (None, True)
    assert "range" not in played.server.requests[2].headers


@pytest.mark.parametrize("start", [1, HALF - 1, HALF + 1])
def test_a_part_that_begins_elsewhere_is_not_written_where_we_are(stage: Any, start: int) -> None:
    played, got = fetch(stage, cut(stage.reply), rest(stage.reply, start), stage.reply(200, BYTES), checksum="")

    assert (played.error, got == BYTES) == (None, True)


def test_a_server_that_is_busy_is_given_the_time_it_asks_for(stage: Any) -> None:
    reply = stage.reply

    played, got = fetch(stage, reply(429, Retry_After="40"), reply(503, Retry_After="50"), reply(200, BYTES))

    assert (played.error, got == BYTES) == (None, True)
    assert played.waits == [40.0, 50.0]


def test_a_server_that_says_tomorrow_is_not_waited_for(stage: Any) -> None:
    played, _ = fetch(stage, stage.reply(503, Retry_After="86400"))

    assert (len(played.server.requests), played.waits) == (1, [])


def test_a_server_that_only_has_other_bytes_is_given_up(stage: Any) -> None:
    played, _ = fetch(stage, stage.reply(200, OTHER))

    assert type(played.error) is CorruptDownloadError
    assert (len(played.server.requests), len(played.waits)) == (2, 1)  # each counts against the limit of downloads


@pytest.mark.parametrize("spoilt", [OTHER, b""], ids=["another file", "a head without a body"])
def test_where_the_job_allows_one_download_no_second_whole_one_is_asked_for(stage: Any, spoilt: bytes) -> None:
    first = stage.reply(200, spoilt, Content_Length=str(len(BYTES)))

    played, _ = fetch(stage, first, stage.reply(200, BYTES), most_whole=1)

    assert isinstance(played.error, CorruptDownloadError)
    assert "limits.output.max_downloads = 1 allows no other download" in str(played.error)
    assert len(played.server.requests) == 1


def test_what_came_is_kept_and_the_rest_asked_for_where_the_job_allows_one_download(stage: Any) -> None:
    played, got = fetch(stage, cut(stage.reply), rest(stage.reply), most_whole=1)

    assert (played.error, got == BYTES) == (None, True)


def test_a_download_that_was_refused_was_none(stage: Any) -> None:
    played, got = fetch(stage, stage.reply(429), stage.reply(503), stage.reply(200, BYTES), most_whole=1)

    assert (played.error, got == BYTES) == (None, True)


def test_a_body_that_goes_on_after_what_was_announced_is_left_alone(stage: Any) -> None:
    """An endless one would fill the disk."""

    class Counting(io.BytesIO):
        total = 0

        def write(self, content: Any) -> int:
            self.total += len(content)
            return super().write(content)

    into = Counting()
    played, got = fetch(stage, *[stage.reply(200, bytes(40 * BLOCK_BYTES))] * 4, into=into)

    assert isinstance(played.error, CorruptDownloadError)
    assert "more bytes came" in str(played.error)
    assert (got, into.total < 8 * BLOCK_BYTES) == (b"", True)


@pytest.mark.parametrize("size_bytes", [0, len(BYTES)])
def test_a_part_that_nobody_asked_for_is_not_the_whole(stage: Any, size_bytes: int) -> None:
    part = stage.reply(206, BYTES[:100], Content_Range=f"bytes 0-99/{len(BYTES)}")

    played, got = fetch(stage, part, rest(stage.reply, 100), checksum="", size_bytes=size_bytes)
    stubborn, _ = fetch(stage, part, checksum="", size_bytes=size_bytes)

    assert (played.error, got == BYTES) == (None, True)
    assert isinstance(stubborn.error, CorruptDownloadError)
    assert f"100 bytes came of the {len(BYTES)} announced" in str(stubborn.error)


@pytest.mark.parametrize("total", ["*", "9" * 50, "9" * 5000])
def test_a_part_of_nobody_knows_how_much_is_not_the_whole(stage: Any, total: str) -> None:
    part = stage.reply(206, BYTES[:100], Content_Range=f"bytes 0-99/{total}")

    played, got = fetch(stage, part, checksum="", size_bytes=0)

    assert isinstance(played.error, CorruptDownloadError)
    assert "nothing says of how much" in str(played.error)
    assert got == b""


def test_the_rest_of_a_file_of_another_size_is_never_taken(stage: Any) -> None:
    other = OTHER + b"longer"

    played, got = fetch(
        stage,
        cut(stage.reply, other),
        rest(stage.reply),
        stage.reply(200, BYTES),
        checksum="",
        size_bytes=0,
    )

    assert (played.error, got == BYTES) == (None, True)


def test_an_answer_without_a_file_is_no_empty_one(stage: Any) -> None:
    played, _ = fetch(stage, stage.reply(204), checksum="", size_bytes=0)
    later, got = fetch(stage, stage.reply(202), stage.reply(200, BYTES), checksum="", size_bytes=0, most_whole=1)

    assert isinstance(played.error, CorruptDownloadError)
    assert "204, an answer without a file" in str(played.error)
    assert (later.error, got == BYTES) == (None, True)


@pytest.mark.parametrize("etag", [b'"a\x01\tb"', b'"\xff\xe9"'], ids=["control", "latin"])
def test_a_tag_that_no_header_can_take_back_is_not_sent(stage: Any, etag: bytes) -> None:
    tagged = cut(stage.reply, ETag="TAG").replace(b"TAG", etag)

    played, got = fetch(stage, tagged, rest(stage.reply))

    assert (played.error, got == BYTES) == (None, True)
    assert "if-range" not in played.server.requests[1].headers
