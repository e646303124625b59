"""A download is followed to where it lies; a password goes no further than the host that the job named."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from runner.client.errors import RefusedError
from runner.client.redirects import MOST_REDIRECTS, _onward
from runner.client.transfer import Transfer
from runner.wire.job import JobOutput

pytestmark = pytest.mark.usefixtures("both_ways")

PASSWORD = "canarypassword"
LOCK = "x-api2convert-download-password"


def fetching(into: io.BytesIO) -> Callable[[Any], Any]:
    async def do(scene: Any) -> Any:
        output = JobOutput(
            id="o1",
            filename="a.webp",
            uri=f"{scene.server.url}/v2/dl/o1",
            size_bytes=5,
            checksum="",
            status="",
            conversion="",
            inputs=(),
        )
        return await Transfer(api=scene.api).download(output, into, password=PASSWORD)

    return do


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_download_is_followed_to_where_it_lies(stage: Any, status: int) -> None:
    into = io.BytesIO()

    played = stage.play(fetching(into), stage.reply(status, Location="../files/a?s=1"), stage.reply(200, b"bytes"))

    assert (played.error, into.getvalue()) == (None, b"bytes")
    assert [request.path for request in played.server.requests] == ["/v2/dl/o1", "/v2/files/a?s=1"]
    assert [request.headers[LOCK] for request in played.server.requests] == [PASSWORD, PASSWORD]


def test_another_host_gets_neither_key_nor_password(stage: Any) -> None:
    into = io.BytesIO()

    async def main() -> Any:
        async with stage.rogue(stage.reply(200, b"bytes")) as elsewhere:
            away = stage.reply(302, Location=f"{elsewhere.url}/a")
            return await asyncio.to_thread(stage.play, fetching(into), away), elsewhere

    played, elsewhere = asyncio.run(main())

    assert (played.error, into.getvalue()) == (None, b"bytes")
    (asked,) = elsewhere.requests
    assert not {PASSWORD, stage.key} & set(asked.headers.values())


def test_what_an_address_on_the_way_is_signed_with_is_hidden(stage: Any) -> None:
    away = stage.reply(302, Location="/a?sig=canarysigned&x=1")
    refused = stage.reply(403, {"message": "canarysigned is over"})

    played = stage.play(fetching(io.BytesIO()), away, refused)

    assert str(played.error) == "downloading 'a.webp': 403 *** is over"


@pytest.mark.parametrize(
    ("location", "why"),
    [
        ("ftp://127.0.0.1/a?canary", "no http(s) address"),
        ("file:///etc/passwd", "no http(s) address"),
        ("http://[canary/a", "no http(s) address"),
        ("https:", "no http(s) address"),
        ("/round", f"the last of {MOST_REDIRECTS} redirects leads on"),
    ],
)
def test_a_redirect_that_leads_to_no_file_is_told_and_not_tried_again(stage: Any, location: str, why: str) -> None:
    played = stage.play(fetching(io.BytesIO()), stage.reply(302, Location=location))

    assert type(played.error) is RefusedError
    assert why in str(played.error)
    assert "canary" not in str(played.error)
    assert (len(played.server.requests), played.waits) == (1 + MOST_REDIRECTS if location == "/round" else 1, [])


def test_what_was_asked_for_by_https_is_not_asked_for_by_http() -> None:
    response: Any = SimpleNamespace(status=302, headers={"Location": "http://files.example/a?canary"})

    with pytest.raises(RefusedError, match=r"from https to http, at files\.example$"):
        _onward("https://api.example/a", response, doing="downloading")
    assert _onward("http://api.example/a", response, doing="downloading") == "http://files.example/a?canary"
