"""Drawings are rendered, and read nothing but themselves."""

from __future__ import annotations

import gzip
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from runner.server.converters.protocol import ConversionError, Product
from runner.server.converters.svg import read_drawing

Convert = Callable[..., list[Product]]
RECT = '<rect width="50" height="50" fill="#f00"/>'


def drawing(tmp_path: Path, inside: str, attributes: str = 'width="100" height="50"', before: str = "") -> Path:
    path = tmp_path / "drawing.svg"
    xlink = 'xmlns:xlink="http://www.w3.org/1999/xlink"'
    path.write_text(f'{before}<svg xmlns="http://www.w3.org/2000/svg" {xlink} {attributes}>{inside}</svg>')
    return path


def rendered(product: Product) -> Image.Image:
    with Image.open(product.path) as picture:
        return picture.convert("RGBA")


@pytest.mark.parametrize(
    ("attributes", "options", "size"),
    [
        ('width="100" height="50"', {}, (100, 50)),
        ('viewBox="0 0 40 20"', {}, (40, 20)),
        ('viewBox="0 0 40 20" width="80"', {}, (80, 40)),
        ('viewBox="0 0 40 20" width="100%" height="100%"', {}, (40, 20)),
        ('width="1in" height="0.5in"', {}, (96, 48)),
        ('width="1in" height="0.5in"', {"dpi": 300}, (300, 150)),
        ('width="25.4mm" height="2.54cm"', {}, (96, 96)),
        ('width="100" height="50"', {"width": 400}, (400, 200)),
        ('width="100" height="50"', {"width": 30, "height": 90, "resize_handling": "stretch"}, (30, 90)),
        ('width="100" height="50"', {"rotate": 90}, (50, 100)),
        ('width="100000" height="100000"', {"width": 64}, (64, 64)),
        ('width="10em" height="5rem"', {}, (160, 80)),
        ('width="100Q" height="200q"', {}, (94, 189)),
        ('width="100PX" height="1In"', {}, (100, 96)),
        ("", {}, (300, 150)),
        ('viewBox="nonsense" width="-3" height="x"', {}, (300, 150)),
        ('viewBox="0 0 1e999 3.3"', {}, (300, 150)),
        ('viewBox="0 0 40 1e999" width="90"', {}, (90, 45)),
        ('viewBox="1e999 0 40 20"', {}, (300, 150)),
        ('viewBox="0 0 1e308 1e-308" height="50"', {}, (100, 50)),
        ('viewBox="0 0 1e308 1e308"', {"dpi": 300}, (938, 469)),
        ('viewBox="0 0 40 20" width="1e999"', {}, (40, 20)),
    ],
)
def test_a_drawing_has_its_own_size_or_the_one_asked_for(
    attributes: str, options: dict[str, object], size: tuple[int, int], convert: Convert, tmp_path: Path
) -> None:
    (product,) = convert("png", drawing(tmp_path, RECT, attributes), **options)

    assert rendered(product).size == size


def test_a_drawing_is_drawn_at_the_size_asked_for_and_not_enlarged(convert: Convert, tmp_path: Path) -> None:
    (product,) = convert("png", drawing(tmp_path, RECT), width=2000)

    picture = rendered(product)
    assert picture.getpixel((996, 500)) == (255, 0, 0, 255)  # sharp to the edge: no blur of resizing
    assert picture.getpixel((1003, 500)) == (0, 0, 0, 0)


@pytest.mark.parametrize(
    ("options", "size"),
    [
        ({"width": 200}, (200, 168)),
        ({"width": 200, "resize_by": "perc"}, (224, 188)),
        ({"width": 50, "resize_by": "perc"}, (56, 47)),
        ({}, (112, 94)),
    ],
)
def test_a_slanted_drawing_is_scaled_once(
    options: dict[str, object], size: tuple[int, int], convert: Convert, tmp_path: Path
) -> None:
    (product,) = convert("png", drawing(tmp_path, RECT), rotate=30, **options)

    assert rendered(product).size == size


def test_a_slanted_drawing_is_drawn_at_the_size_asked_for(convert: Convert, tmp_path: Path) -> None:
    bars = "".join(f'<rect x="{x}" width="10" height="50" fill="#f00"/>' for x in range(0, 100, 20))

    (product,) = convert("png", drawing(tmp_path, bars), rotate=30, width=400)

    shades = rendered(product).getchannel("A").histogram()
    assert sum(shades[26:230]) < 0.07 * sum(shades[26:])  # between red and nothing: enlarged it is 0.095


def test_open_parts_become_white_in_a_jpg(convert: Convert, tmp_path: Path) -> None:
    (product,) = convert("jpg", drawing(tmp_path, RECT))

    assert all(value > 250 for value in rendered(product).getpixel((80, 25)))  # type: ignore[union-attr]  # four bands


def test_a_huge_drawing_is_refused(convert: Convert, tmp_path: Path) -> None:
    with pytest.raises(ConversionError) as caught:
        convert("png", drawing(tmp_path, RECT, 'width="100000" height="100000"'))

    assert caught.value.code == 6037


def test_gzipped_drawings_are_read(convert: Convert, tmp_path: Path) -> None:
    path = tmp_path / "a.svgz"
    path.write_bytes(gzip.compress(drawing(tmp_path, RECT).read_bytes()))

    (product,) = convert("png", path)

    assert rendered(product).size == (100, 50)


@pytest.mark.parametrize(
    "link",
    [
        *("PATH", "file://PATH", " PATH", "FILE:PATH", "secret.png", "./secret.png", "../secret.png"),
        *("&#102;ile://PATH", "&file;PATH", "http://127.0.0.1:1/x.png", "//127.0.0.1/x.png", "\tPATH"),
    ],
)
@pytest.mark.parametrize("attribute", ["href", "xlink:href"])
@pytest.mark.parametrize("element", ["image", "feImage", "use"])
def test_a_link_to_a_file_shows_nothing(
    element: str, attribute: str, link: str, convert: Convert, tmp_path: Path
) -> None:
    secret = tmp_path / "secret.png"
    Image.new("RGB", (100, 50), (1, 200, 3)).save(secret)
    inside = f'<{element} {attribute}="{link.replace("PATH", str(secret))}" width="100" height="50"/>'
    if element == "feImage":
        inside = f'<filter id="f">{inside}</filter><rect width="100" height="50" filter="url(#f)"/>'
    before = '<!DOCTYPE svg [<!ENTITY file "file://">]>'

    (product,) = convert("png", drawing(tmp_path, inside, before=before))

    assert rendered(product).getpixel((20, 20)) != (1, 200, 3, 255)


def test_pictures_inside_the_drawing_are_shown(convert: Convert, tmp_path: Path) -> None:
    from base64 import b64encode

    Image.new("RGB", (10, 10), (1, 200, 3)).save(tmp_path / "inner.png")
    data = b64encode((tmp_path / "inner.png").read_bytes()).decode()
    inside = f'<image xlink:href="data:image/png;base64,{data}" width="50" height="50"/>'

    (product,) = convert("png", drawing(tmp_path, inside))

    assert rendered(product).getpixel((20, 20)) == (1, 200, 3, 255)


def test_own_parts_are_shown(convert: Convert, tmp_path: Path) -> None:
    inside = f'<defs><g id="a">{RECT}</g></defs><use href="#a"/>'

    (product,) = convert("png", drawing(tmp_path, inside))

    assert rendered(product).getpixel((20, 20)) == (255, 0, 0, 255)


def test_external_entities_are_not_read(tmp_path: Path) -> None:
    before = '<!DOCTYPE svg [<!ENTITY xxe SYSTEM "file:///etc/passwd">]>'
    cleaned = read_drawing(drawing(tmp_path, "<text>&xxe;</text>", before=before))

    assert "root" not in cleaned._text
    assert "DOCTYPE" not in cleaned._text


@pytest.mark.parametrize(
    "content",
    [
        "<svg xmlns='http://www.w3.org/2000/svg'><rect",
        "<svg xmlns='http://www.w3.org/2000/svg'></g></svg>",
        "<svg xmlns='http://www.w3.org/2000/svg'>&undefined;</svg>",
        "<svg xmlns='http://www.w3.org/2000/svg'>" + "<g>" * 5000 + "</g>" * 5000 + "</svg>",
    ],
)
def test_broken_drawings_are_refused(content: str, convert: Convert, tmp_path: Path) -> None:
    (tmp_path / "a.svg").write_text(content)

    with pytest.raises(ConversionError, match=r"The drawing can't be read") as caught:
        convert("png", tmp_path / "a.svg")

    assert caught.value.code == 6005


def test_entities_that_multiply_are_refused(convert: Convert, tmp_path: Path) -> None:
    levels = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10}">' for n in range(1, 10))
    before = f'<!DOCTYPE svg [<!ENTITY e0 "ha">{levels}]>'

    with pytest.raises(ConversionError, match="XML is broken"):
        convert("png", drawing(tmp_path, "<text>&e9;</text>", before=before))


def test_parts_that_multiply_end_soon(convert: Convert, tmp_path: Path) -> None:
    levels = "".join(f'<g id="g{n}">' + f'<use href="#g{n - 1}"/>' * 10 + "</g>" for n in range(1, 9))
    inside = f'<defs><g id="g0">{RECT}</g>{levels}</defs><use href="#g8"/>'
    began = time.process_time()

    with pytest.raises(ConversionError):
        convert("png", drawing(tmp_path, inside))

    assert time.process_time() - began < 20


@pytest.mark.parametrize(
    ("inside", "said"),
    [
        ('<image href="http://example.com/a.png?sig=x" width="9" height="9"/>', "from 'http://example.com/a.png'."),
        ('<image xlink:href="logo.png" width="9" height="9"/>', "from 'logo.png'."),
        ('<use href="sprites.svg#a"/>', "from 'sprites.svg#a'."),
        ('<style>@import url("x.css"); rect { fill: url(y.svg#z) }</style>', "from 'x.css', 'y.svg#z'."),
        ('<rect width="9" height="9" fill="url(other.svg#a)"/>', "from 'other.svg#a'."),
        ('<foreignObject width="9" height="9"><p>Hi</p></foreignObject>', "HTML within a drawing (foreignObject)"),
        ("".join(f'<image href="{name}.png"/>' for name in "abcde"), "from 'a.png', 'b.png', 'c.png' and 2 more."),
    ],
)
@pytest.mark.parametrize("target", ["png", "pdf"])
def test_what_a_drawing_takes_from_elsewhere_is_said_to_be_missing(
    inside: str, said: str, target: str, convert: Convert, tmp_path: Path
) -> None:
    (product,) = convert(target, drawing(tmp_path, inside + RECT))

    assert [said in warning for warning in product.warnings if "metadata" not in warning] == [True]


def test_long_blanks_in_an_address_take_no_time(convert: Convert, tmp_path: Path) -> None:
    blanks = " " * 200_000
    inside = f'<style>rect {{ fill: url({blanks}) }}</style><rect width="9" height="9" style="fill: url({blanks})"/>'
    began = time.process_time()

    convert("png", drawing(tmp_path, inside + RECT))

    assert time.process_time() - began < 20


def test_a_style_sheet_beside_a_drawing_is_said_to_be_missing(convert: Convert, tmp_path: Path) -> None:
    (product,) = convert("png", drawing(tmp_path, RECT, before='<?xml-stylesheet href="a.css"?>'))

    assert "'a.css'" in "".join(product.warnings)


def test_links_that_show_nothing_and_own_parts_are_no_loss(convert: Convert, tmp_path: Path) -> None:
    own = '<defs><linearGradient id="g"/></defs><style>rect { fill: url("#g") } @media print {}</style>'
    inside = f'{own}<a href="https://example.com/"><rect width="9" height="9" style="stroke: url(#g)"/></a>'

    (product,) = convert("png", drawing(tmp_path, inside + '<use href="#g"/>'))

    assert product.warnings == ()


@pytest.mark.parametrize("encoding", ["shift_jis", "gbk", "gb2312", "big5", "euc-kr", "utf-32", "utf-16", "iso-8859-1"])
def test_a_drawing_in_any_encoding_is_drawn(encoding: str, convert: Convert, tmp_path: Path) -> None:
    words = "\u00e4" if encoding == "iso-8859-1" else "\u30a2"
    words = "\ud55c" if encoding == "euc-kr" else "\u4e2d" if encoding == "big5" else words
    text = f'<?xml version="1.0" encoding="{encoding}"?><svg xmlns="http://www.w3.org/2000/svg" width="50" height="50">'
    (tmp_path / "a.svg").write_bytes(f"{text}<desc>{words}</desc>{RECT}</svg>".encode(encoding))

    (product,) = convert("png", tmp_path / "a.svg")

    assert rendered(product).getpixel((10, 10)) == (255, 0, 0, 255)


@pytest.mark.parametrize(
    ("encoding", "said"),
    [
        ("klingon", "the encoding that it names, klingon, is known to nobody here"),
        ("rot13", "the encoding that it names, rot13, is known to nobody here"),
        ("gbk", "it isn't written in the encoding that it names, gbk"),
    ],
)
def test_a_drawing_in_an_encoding_that_cant_be_is_refused_with_words_that_help(
    encoding: str, said: str, convert: Convert, tmp_path: Path
) -> None:
    text = f'<?xml version="1.0" encoding="{encoding}"?><svg xmlns="http://www.w3.org/2000/svg">'.encode()
    (tmp_path / "a.svg").write_bytes(text + b"<desc>\x81</desc></svg>")

    with pytest.raises(ConversionError, match=f"{said}; save it as UTF-8") as refused:
        convert("png", tmp_path / "a.svg")

    assert refused.value.code == 6005
