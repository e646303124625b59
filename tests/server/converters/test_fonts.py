"""Text in drawings is shown, whichever family it asks for."""

from __future__ import annotations

import time
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image, ImageFont

from runner.server.converters.css_fonts import with_families_in_rules
from runner.server.converters.fonts import Families, installed_families, with_general_family
from runner.server.converters.protocol import Product
from runner.server.converters.svg import NO_FONT

Convert = Callable[..., list[Product]]
HERE = installed_families()


def text_of(attributes: str, before: str = "") -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="120" height="30">{before}'
        f'<text x="5" y="20" font-size="16" {attributes}>Words ill</text></svg>'
    )


def shown(convert: Convert, folder: Path, content: str) -> Image.Image:
    (folder / "a.svg").write_text(content)
    (product,) = convert("png", folder / "a.svg")
    assert not product.warnings
    with Image.open(product.path) as picture:
        return picture.convert("RGBA")


@pytest.mark.parametrize(
    ("attributes", "kind"),
    [
        ('font-family="Nobody Has This, Nor This, sans-serif"', "sans_serif"),
        ('font-family="Nobody Has This"', "sans_serif"),
        ('font-family="system-ui"', "sans_serif"),
        ('style="font-family:Nobody Has This;fill:black"', "sans_serif"),
        ('style="font:16px Nobody Has This"', "sans_serif"),
        ('class="a"', "sans_serif"),
        ('font-family="Nobody Has Times"', "serif"),
        ('font-family="serif"', "serif"),
        ("", "serif"),
        ('font-family="Nobody Has Mono"', "monospace"),
        ('font-family="monospace"', "monospace"),
    ],
)
def test_text_of_a_family_that_is_not_installed_is_of_one_like_it(
    attributes: str, kind: str, convert: Convert, tmp_path: Path
) -> None:
    style = "<style><![CDATA[/* a > b */ .a { font-family: 'Nobody Has This' }]]></style>"
    wanted = shown(convert, tmp_path, text_of(f'font-family="{getattr(HERE, kind)}"'))

    picture = shown(convert, tmp_path, text_of(attributes, before=style))

    assert picture.getbbox() is not None
    assert picture.tobytes() == wanted.tobytes()


RED = "rect{fill:#f00}"


@pytest.mark.parametrize(
    "sheet",
    [
        f"/* the font: Arial */{RED}",
        f"{RED}/* font: x */ rect{{stroke:none}}",
        ".font:first-child{fill:#f00}",
        ".FONT:first-child, .font:first-child{fill:#f00}",
        f"@font-face{{font-family:X;src:url(data:font/woff2;font:x)}}{RED}",
        'rect{cursor:url("data:image/png;font:,}");fill:#f00}',
        f".a{{font:1px X}}{RED}",
        "rect{font-family:X!important;fill:#f00}",
        f"<![CDATA[/* font: <Arial> */{RED}]]>",
    ],
)
def test_what_only_looks_like_a_font_colours_as_before(sheet: str, convert: Convert, tmp_path: Path) -> None:
    rect = '<g><rect class="font" width="40" height="40"/></g>'

    picture = shown(
        convert,
        tmp_path,
        f'<svg xmlns="http://www.w3.org/2000/svg" width="40" height="40"><style>{sheet}</style>{rect}</svg>',
    )

    assert picture.getpixel((20, 20)) == (255, 0, 0, 255)


@pytest.mark.parametrize(
    ("given", "written"),
    [
        (".a{font-family:X}", ".a{font-family:X, sans-serif}"),
        (".a { FONT : 12px/1.5 X ; fill: red }", ".a { FONT : 12px/1.5 X, sans-serif; fill: red }"),
        ("a{font:1px X}b{font:1px Y", "a{font:1px X, sans-serif}b{font:1px Y, sans-serif"),
        ("a{font:1px 'A;b}' !important}", "a{font:1px 'A;b}', sans-serif!important}"),
        ("a{font:1px/* big */X/**/Y}", "a{font:1px X Y, sans-serif}"),
        ("a{font:1px '/*X*/'}", "a{font:1px '/*X*/', sans-serif}"),
        ("a{/* why */font:1px X}", "a{/* why */font:1px X, sans-serif}"),
        (
            "@media screen{a{font:1px X}}b{font:1px Y}",
            "@media screen{a{font:1px X, sans-serif}}b{font:1px Y, sans-serif}",
        ),
        ("@font-face{font-family:X}a{font:1px X}", "@font-face{font-family:X}a{font:1px X, sans-serif}"),
        ("a{b:url(data:x;font:y);font:1px X}", "a{b:url(data:x;font:y);font:1px X, sans-serif}"),
    ],
)
def test_fonts_in_rules_end_in_a_general_family(given: str, written: str) -> None:
    assert with_families_in_rules(given) == written


@pytest.mark.parametrize(
    "css",
    [
        "/* font: X */",
        "@font-face{font-family:X}",
        "/* my */ @font-face /* font */ {font-family:X}",
        "font:X;",
        "@import url('data:text/css;font:X;')",
        "font:X{}",
        "a{b:'font:X;font:Y;'}",
        "a{b:url(data:;font:X;)}",
        'a{b:url( "data:;font:X;)" )}',
        "a{b:(;font:X;)}",
        "a{--font:X;font-size:9px;-x-font:Y}",
        "a{font-family:X\\ }",
        "a{b:(1;font:X}",
    ],
)
def test_css_in_doubt_stays_as_it_is(css: str) -> None:
    assert with_families_in_rules(css) == css


@pytest.mark.parametrize(
    "part", ["'", '"\\', "/*", "url(", "{font:", "a{font:x,", "a{/**/", "a{font: ", "a{font:x/**/", "a{font:x}"]
)
def test_css_is_read_in_one_go_however_long(part: str) -> None:
    began = time.process_time()

    with_families_in_rules(part * 100_000)

    assert time.process_time() - began < 5


def test_text_of_a_drawing_within_a_drawing_is_shown(convert: Convert, tmp_path: Path) -> None:
    inner = b64encode(text_of('font-family="sans-serif"').encode()).decode()
    image = f'<{{0}}image href="data:image/svg+xml;base64,{inner}" width="120" height="30"/>'
    for prefix, xmlns in (("", "xmlns"), ("s:", "xmlns:s")):
        whole = f'<{prefix}svg {xmlns}="http://www.w3.org/2000/svg" width="120" height="30">'

        picture = shown(convert, tmp_path, f"{whole}{image.format(prefix)}</{prefix}svg>")

        assert picture.getbbox() is not None


def test_without_any_font_a_drawing_with_text_says_so(
    convert: Convert, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runner.server.converters.svg.installed_families", lambda: None)
    (tmp_path / "a.svg").write_text(text_of(""))
    (tmp_path / "b.svg").write_text('<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>')

    for target in ("png", "pdf"):
        (without,) = convert(target, tmp_path / "a.svg", metadata={})
        (wordless,) = convert(target, tmp_path / "b.svg", metadata={})
        assert (without.warnings, wordless.warnings) == ((NO_FONT,), ())


def test_any_font_stands_for_what_is_missing(tmp_path: Path) -> None:
    assert installed_families((str(tmp_path), str(tmp_path / "missing"))) is None
    (tmp_path / "a.ttf").write_bytes(b"no font")
    assert installed_families((str(tmp_path),)) is None

    (tmp_path / "deep").mkdir()
    font = ImageFont.load_default(size=10)
    assert isinstance(font, ImageFont.FreeTypeFont)
    (tmp_path / "deep" / "some.otf").write_bytes(font.font_bytes)

    name = font.getname()[0]
    assert name
    assert installed_families((str(tmp_path),)) == Families(serif=name, sans_serif=name, monospace=name)


@pytest.mark.parametrize(
    ("given", "written"),
    [
        ("Arial", "Arial, sans-serif"),
        ("'Times New Roman', Georgia", "'Times New Roman', Georgia, serif"),
        ("Consolas", "Consolas, monospace"),
        ("Arial, sans-serif", "Arial, sans-serif"),
        ("Papyrus, fantasy", "Papyrus, fantasy"),
        (" inherit ", " inherit "),
        ("", ""),
    ],
)
def test_a_list_of_families_ends_in_a_general_one(given: str, written: str) -> None:
    assert with_general_family(given) == written
