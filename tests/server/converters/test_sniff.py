"""Files are known by what is in them."""

from __future__ import annotations

import gzip
import io
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from runner.server.converters.protocol import Product
from runner.server.converters.sniff import Sniffed, sniff

Convert = Callable[..., list[Product]]
FOOTER_OF_A_TGA = 26


def zip_of(*names: str, mimetype: str = "") -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        if mimetype:
            archive.writestr("mimetype", mimetype)
        for name in names:
            archive.writestr(name, "x")
    return buffer.getvalue()


def tar_of(name: str) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.addfile(tarfile.TarInfo(name))
    return buffer.getvalue()


CASES: list[tuple[str, bytes, str]] = [
    ("x", b"", "empty"),
    ("x.jpg", b"\xff\xd8\xff\xe0rest", "jpg"),
    ("x", b"RIFF\x10\0\0\0WEBPVP8 ", "webp"),
    ("x", b"RIFF\x10\0\0\0WAVEfmt ", "wav"),
    ("x", b"\0\0\0\x1cftypavif\0\0\0\0avifmif1", "avif"),
    ("x", b"\0\0\0\x1cftypmif1\0\0\0\0avifmif1miaf", "avif"),
    ("x", b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "heic"),
    ("x", b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic", "heic"),
    ("x", b"\0\0\0\x18ftypisom\0\0\2\0isomiso2mp41", "mp4"),
    ("x", b"\0\0\0\x14ftypqt  \0\0\2\0qt  ", "mov"),
    ("x", b"\0\0\0\x0cjP  \r\n\x87\nrest", "jp2"),
    ("x", b"\xff\x0arest of it", "jxl"),
    ("x.svg", b"%PDF-1.7\n", "pdf"),
    ("x", b"P6\n2 2\n255\n" + bytes(12), "ppm"),
    ("x", b"BM" + bytes(12) + b"\x28\0\0\0" + bytes(40), "bmp"),
    ("x", b"\0\0\2\0\1\0\x10\x10\0\0\1\0\1\0\x30\0\0\0\x16\0\0\0" + bytes(48), "cur"),
    ("x.cur", b"\0\0\2" + bytes(9) + b"\x28\0\x1e\0\x18\0" + bytes(3600), "tga"),
    ("x", b"\0\0\x0a" + bytes(9) + b"\4\0\4\0\x18\x20\x8f\1\2\3", "tga"),
    ("x", b"\0\1\1\0\0\2\0\x18\0\0\0\0\4\0\1\0\x08\x20" + bytes(10), "tga"),
    ("x", b"BMX is a sport on bicycles, and this is text", "txt"),
    ("x.docx", zip_of("[Content_Types].xml", "word/document.xml"), "docx"),
    ("x", zip_of("[Content_Types].xml", "xl/workbook.xml"), "xlsx"),
    ("x", zip_of("OEBPS/a.xhtml", mimetype="application/epub+zip"), "epub"),
    ("x.docx", zip_of("a.txt"), "zip"),
    ("x", b"PK\x03\x04 half a zip", "zip"),
    ("x", gzip.compress(b"words", mtime=0), "gz"),
    ("x", gzip.compress(b"<svg xmlns='http://www.w3.org/2000/svg'/>", mtime=0), "svgz"),
    ("x", tar_of("a"), "tar"),
    ("x", b"<svg xmlns='http://www.w3.org/2000/svg'/>", "svg"),
    ("x.png", b"<?xml version='1.0'?>\n<!-- c -->\n<!DOCTYPE svg [<!ENTITY a 'b'>]>\n<svg>", "svg"),
    ("x", "\ufeff<s:svg xmlns:s='http://www.w3.org/2000/svg'/>".encode(), "svg"),
    ("x", "<svg>".encode("utf-16"), "svg"),
    ("x.svg", b"<!DOCTYPE html><html>", "html"),
    ("x", b"<?xml version='1.0'?><data/>", "xml"),
    ("x", b'{"a": [1, 2]}', "json"),
    ("x", b'{"a": [1, 2', "txt"),
    ("x", b"a,b,c\n1,2,3\n4,5,6\n", "csv"),
    ("x.md", b"# Title\n", "md"),
    ("x.csv", b"# Title\n", "csv"),
    ("x.jpg", b"just words", "txt"),
    ("x", "Grüße".encode(), "txt"),
    ("x.txt", b"\x00\x01\x02\x03", "bin"),
]


@pytest.mark.parametrize(("name", "content", "kind"), CASES)
def test_the_kind_is_read_from_the_content(name: str, content: bytes, kind: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(content)

    assert sniff(tmp_path / "file", name).kind == kind


@settings(max_examples=300, deadline=None)
@given(
    content=st.binary(max_size=200)
    | st.builds(
        lambda start, rest: start[:14] + rest, st.sampled_from([c for _, c, _ in CASES]), st.binary(max_size=60)
    ),
    name=st.text(max_size=20),
)
def test_any_content_has_an_answer(content: bytes, name: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.getbasetemp() / "any"
    path.write_bytes(content)

    assert isinstance(sniff(path, name), Sniffed)


@pytest.mark.parametrize(
    "content",
    [
        b"<!DOCTYPE" + b"[]" * 50_000,
        b"<!DOCTYPE svg [" * 10_000,
        b"<?" * 50_000,
        b"<!--" * 50_000,
        b"[" * 60_000,
        b"{" * 60_000,
        b" " * 200_000,
        ("ä" * 200_000).encode(),
        b"x" + ("ä" * 200_000).encode(),
    ],
)
def test_long_odd_texts_take_no_time(content: bytes, tmp_path: Path) -> None:
    import time

    (tmp_path / "file").write_bytes(content)
    began = time.process_time()

    found = sniff(tmp_path / "file", "")

    assert found.kind in ("txt", "xml", "html")
    assert time.process_time() - began < 2


@pytest.mark.parametrize("options", [{}, {"compression": "tga_rle"}])
@pytest.mark.parametrize("mode", ["L", "P", "RGB", "RGBA"])
def test_a_tga_of_the_first_version_is_read(
    mode: str, options: dict[str, object], convert: Convert, tmp_path: Path
) -> None:
    picture = Image.linear_gradient("L").resize((40, 30)).convert(mode)
    picture.save(tmp_path / "a.tga", **options)  # type: ignore[arg-type]  # a table of keywords
    whole = (tmp_path / "a.tga").read_bytes()
    (tmp_path / "old.tga").write_bytes(whole[:-FOOTER_OF_A_TGA])

    (product,) = convert("png", tmp_path / "old.tga")

    with Image.open(product.path) as result:
        assert result.convert("RGBA").tobytes() == picture.convert("RGBA").tobytes()
