"""Text in drawings is shown, whichever family it asks for."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image, ImageFont

from runner.server.converters.fonts import Families, installed_families, with_general_family
from runner.server.converters.protocol import Product
from runner.server.converters.svg import NO_FONT

Convert = Callable[..., list[Product]]
HERE = installed_families()
needs_fonts = pytest.mark.skipif(HERE is None, reason="no font is installed")


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


@needs_fonts
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


@needs_fonts
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
