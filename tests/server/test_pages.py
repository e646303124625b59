"""Pages of the web as inputs, by a real Chromium; and what it must not reach."""

from __future__ import annotations

import asyncio
import io
import socket
import threading
from collections.abc import Callable
from contextlib import closing
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pypdfium2  # type: ignore[import-untyped]  # it ships no types
import pytest
from PIL import Image

from runner.server.engine.remote import InputError, Order
from runner.server.engine.stop import Stop
from runner.server.store.checksums import new_digest
from runner.server.web.capture import capture, chromium
from runner.server.web.proxy import filtering_proxy
from tests.server.conftest import Web
from tests.server.post_office import api_of
from tests.server.test_survival import server, until_ended

LOOPBACK = ip_network("127.0.0.0/8")
PAGE = b"""<!doctype html><meta charset=utf-8><title>t</title>
<body style="margin:0;background:rgb(10,200,30)"><p id=p>before</p>
<script>document.getElementById('p').textContent = 'made by a script: \\u00fc'</script>"""


@pytest.fixture
def order(web: Web, tmp_path: Path) -> Callable[..., Order]:
    web.pages["/page"] = (200, {"Content-Type": "text/html"}, PAGE)

    def make(path: str = "/page", *, url: str = "", private: bool = True, **more: Any) -> Order:
        return Order(
            url=url or web.url + path,
            path=tmp_path / "made",
            most_bytes=more.pop("most_bytes", 10_000_000),
            too_large="too large",
            allowed=(LOOPBACK,) if private else (),
            stopped=more.pop("stopped", Stop()),
            digest=new_digest("md5"),
        )

    return make


def test_chromium_is_here_for_these_tests() -> None:
    assert chromium(), "apt-get install chromium"


def test_a_screenshot_has_the_size_that_the_options_say(order: Callable[..., Order]) -> None:
    options = {"screen_width": "320", "screen_height": 200, "device_scale_factor": 2}
    fetched = capture(order(), "screenshot", options)

    with Image.open(order().path) as picture:
        assert (picture.format, picture.size) == ("PNG", (640, 400))
        assert picture.convert("RGB").getpixel((600, 380)) == (10, 200, 30)
    assert (fetched.filename, fetched.size) == ("127.0.0.1.png", order().path.stat().st_size)


def test_a_website_is_its_html_after_its_scripts_and_a_pdf_is_one(order: Callable[..., Order]) -> None:
    capture(order(), "website", {})
    html = order().path.read_text(encoding="utf-8")
    capture(order(), "screenshot_pdf", {})

    assert "made by a script: ü" in html
    assert html.startswith("\ufeff")  # it is UTF-8 also where the page said something else
    with closing(pypdfium2.PdfDocument(io.BytesIO(order().path.read_bytes()))) as document:
        assert len(document) == 1
        assert "made by a script" in document[0].get_textpage().get_text_bounded()


@pytest.mark.parametrize("options", [{"screen_width": 0}, {"screen_height": "tall"}, {"device_scale_factor": 99}])
def test_options_that_are_none_are_named(order: Callable[..., Order], options: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=next(iter(options))):
        capture(order(), "screenshot", options)


def test_a_page_that_isnt_there_or_private_is_an_error_and_no_picture(order: Callable[..., Order]) -> None:
    with pytest.raises(InputError, match="check the link"):
        capture(order("/nothing"), "screenshot", {})
    with pytest.raises(InputError, match="private or reserved network"):
        capture(order(private=False), "screenshot", {})
    with pytest.raises(InputError, match="must start with"):
        capture(order(url="file:///etc/passwd"), "website", {})


def test_what_a_page_includes_is_refused_as_the_page_itself_would_be(web: Web, order: Callable[..., Order]) -> None:
    """The page may be reached, at 127.0.0.1; the other server, at 127.0.0.2, may not."""
    touched = threading.Event()
    with socket.create_server(("127.0.0.2", 0)) as listening:
        listening.settimeout(0.1)
        port = listening.getsockname()[1]
        web.pages["/evil"] = (
            200,
            {"Content-Type": "text/html"},
            f"""<body><p id=p>closed</p><img src="http://127.0.0.2:{port}/i.png"><iframe src="file:///etc/passwd"></iframe>
            <script>fetch('http://127.0.0.2:{port}/f', {{mode: 'no-cors'}}).then(
              () => document.getElementById('p').textContent = 'open')</script>""".encode(),
        )
        ending = threading.Event()

        def accept() -> None:
            while not ending.is_set():
                try:
                    listening.accept()[0].close()
                    touched.set()
                except TimeoutError:
                    continue

        accepting = threading.Thread(target=accept)
        accepting.start()
        narrow = Order(
            url=f"{web.url}/evil",
            path=order().path,
            most_bytes=10_000_000,
            too_large="",
            allowed=(ip_network("127.0.0.1/32"),),
            stopped=Stop(),
            digest=new_digest("md5"),
        )
        try:
            capture(narrow, "website", {})
        finally:
            ending.set()
            accepting.join()

    assert not touched.is_set()
    html = order().path.read_text()
    assert '<p id="p">' in html
    assert "root:" not in html


def test_a_page_that_never_ends_is_left_and_one_that_is_stopped_too(order: Callable[..., Order]) -> None:
    stopped = Stop()
    stopped.set()

    with pytest.raises(InputError, match="stopped"):
        capture(order(stopped=stopped), "screenshot", {})


def test_the_result_may_be_too_large(order: Callable[..., Order]) -> None:
    with pytest.raises(InputError, match="too large"):
        capture(order(most_bytes=10), "screenshot", {})


def test_a_job_takes_a_page_as_its_input(tmp_path: Path, web: Web) -> None:
    web.pages["/page"] = (200, {"Content-Type": "text/html"}, PAGE)

    async def test() -> None:
        async with api_of(tmp_path / "state") as api:
            source = {"type": "remote", "source": f"{web.url}/page", "engine": "screenshot", "filename": "shot"}
            job = await api.create(input=[source], conversion=[{"target": "jpg"}])
            done = await api.ended(job)

        entry = done["input"][0]
        assert (done["status"]["code"], entry["filename"], entry["content_type"]) == (
            "completed",
            "shot.png",
            "image/png",
        )

    asyncio.run(test())


def test_a_page_becomes_a_pdf_or_its_html(tmp_path: Path, web: Web) -> None:
    web.pages["/page"] = (200, {"Content-Type": "text/html; charset=latin-1"}, PAGE.replace(b" charset=utf-8", b""))

    with server(tmp_path / "state", allow_private=["127.0.0.0/8"]) as (http, _):

        def made(engine: str, target: str) -> tuple[dict[str, Any], bytes]:
            source = {"type": "remote", "source": f"{web.url}/page", "engine": engine}
            job = http.post("/jobs", json={"input": [source], "conversion": [{"target": target}]}).json()
            done = until_ended(http, job["id"])
            return done, http.get(done["output"][0]["uri"]).content if done["output"] else b""

        as_pdf, pdf = made("screenshot_pdf", "pdf")
        as_html, html = made("website", "html")

    assert [one["status"]["code"] for one in (as_pdf, as_html)] == ["completed", "completed"]
    assert [one["output"][0]["filename"] for one in (as_pdf, as_html)] == ["127.0.0.1.pdf", "127.0.0.1.html"]
    assert [one["spent"] for one in (as_pdf, as_html)] == [1, 1]
    with closing(pypdfium2.PdfDocument(io.BytesIO(pdf))) as document:
        assert "made by a script: ü" in document[0].get_textpage().get_text_bounded()
    assert "made by a script: ü" in html.decode("utf-8-sig")


@pytest.mark.parametrize(
    "request_",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"CONNECT 127.0.0.1:1 HTTP/1.1\r\n\r\n",
        b"CONNECT  HTTP/1.1\r\n\r\n",
        b"GET ftp://example.org/ HTTP/1.1\r\n\r\n",
        b"GET http://[::1]:1/ HTTP/1.1\r\n\r\n",
        b"GET http://169.254.169.254/latest HTTP/1.1\r\n\r\n",
        b"\x00\xff\r\n\r\n",
        b"A" * 70_000,
    ],
)
def test_the_proxy_refuses_what_it_should_and_never_falls_over(request_: bytes) -> None:
    with filtering_proxy((), most_bytes=1000) as port:
        for _ in range(2):
            with socket.create_connection(("127.0.0.1", port), timeout=10) as asking:
                asking.sendall(request_)
                assert asking.recv(100).startswith((b"HTTP/1.1 403", b"HTTP/1.1 502"))
