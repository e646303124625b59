"""What is asked for by the `metadata` of a conversion: nothing said stays, texts are where they can be."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from pathlib import Path

import pypdfium2  # type: ignore[import-untyped]  # ships no types
import pytest
from PIL import Image, ImageCms, PngImagePlugin, TiffImagePlugin

from runner.server.converters.image_wishes import wishes_of
from runner.server.converters.protocol import Product

Convert = Callable[..., list[Product]]
TARGETS = ("jpg", "png", "webp", "gif", "tiff", "bmp", "avif", "ico", "pdf")
TALKATIVE = ("jpg", "png", "webp", "tiff", "avif")
SECRET = b"Hidden-7f3a"
XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF>' + SECRET + b"</rdf:RDF></x:xmpmeta>"
PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
RED = (255, 0, 0)


def exif() -> Image.Exif:
    tags = Image.Exif()
    for tag in (0x010E, 0x010F, 0x013B, 0x8298):
        tags[tag] = SECRET.decode()
    tags.get_ifd(0x8825)[1] = "N"
    tags.get_ifd(0x8825)[29] = SECRET.decode()
    tags.get_ifd(0x8769)[0x9286] = SECRET
    return tags


def photo(path: Path) -> None:
    """A jpg that says SECRET in EXIF, XMP, a comment and IPTC."""
    file = io.BytesIO()
    Image.new("RGB", (80, 60), RED).save(
        file, "JPEG", exif=exif(), xmp=XMP, comment=SECRET, icc_profile=PROFILE, quality=95
    )
    iptc = b"Photoshop 3.0\x008BIM\x04\x04\x00\x00" + struct.pack(">I", len(SECRET)) + SECRET
    path.write_bytes(b"\xff\xd8\xff\xed" + struct.pack(">H", len(iptc) + 2) + iptc + file.getvalue()[2:])


def png(path: Path) -> None:
    said = PngImagePlugin.PngInfo()
    said.add_text("Author", SECRET.decode())
    said.add_itxt("XML:com.adobe.xmp", XMP.decode())
    said.add_itxt("Comment", SECRET.decode())
    Image.new("RGB", (80, 60), RED).save(path, "PNG", exif=exif(), pnginfo=said, icc_profile=PROFILE)


def tiff(path: Path) -> None:
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    for tag in (270, 271, 305, 315, 316, 33432):
        tags[tag] = SECRET.decode()
    for tag in (700, 33723, 34377):
        tags[tag] = SECRET
        tags.tagtype[tag] = 7 if tag == 33723 else 1
    Image.new("RGB", (80, 60), RED).save(path, "TIFF", tiffinfo=tags, icc_profile=PROFILE)


def webp(path: Path) -> None:
    Image.new("RGB", (80, 60), RED).save(path, "WEBP", exif=exif(), xmp=XMP, icc_profile=PROFILE)


def avif(path: Path) -> None:
    Image.new("RGB", (80, 60), RED).save(path, "AVIF", exif=exif(), xmp=XMP, icc_profile=PROFILE)


def gif(path: Path) -> None:
    Image.new("P", (80, 60)).save(path, "GIF", comment=SECRET)


def moving(path: Path) -> None:
    Image.new("P", (80, 60)).save(
        path, "GIF", comment=SECRET, save_all=True, append_images=[Image.new("P", (80, 60), 1)], duration=90
    )


def tga(path: Path) -> None:
    Image.new("RGB", (80, 60), RED).save(path, "TGA", id_section=SECRET)


@pytest.mark.parametrize("target", [*TARGETS, "thumbnail", "resize-image"])
@pytest.mark.parametrize("source", [photo, png, tiff, webp, avif, gif, moving, tga])
def test_nothing_that_a_picture_says_stays_when_all_is_to_be_cleared(
    source: Callable[[Path], None], target: str, convert: Convert, tmp_path: Path
) -> None:
    source(tmp_path / "a.tga")
    assert SECRET in (tmp_path / "a.tga").read_bytes()

    (product,) = convert(target, tmp_path / "a.tga", metadata={"clear_all": True})

    assert SECRET not in product.path.read_bytes()
    assert not product.warnings
    if target != "pdf":
        with Image.open(product.path) as result:
            assert not {0x8825, 0x8769, 0x013B, 0x010F} & set(result.getexif())
            assert "comment" not in result.info


def test_clearing_leaves_orientation_and_colours_as_they_are_to_be_seen(convert: Convert, tmp_path: Path) -> None:
    picture = Image.new("RGB", (80, 60), "blue")
    picture.paste(RED, (0, 0, 80, 30))
    tags = exif()
    tags[0x0112] = 3
    picture.save(tmp_path / "a.jpg", exif=tags, icc_profile=PROFILE, quality=95)

    (product,) = convert("jpg", tmp_path / "a.jpg", metadata={"clear_all": "true"})

    with Image.open(product.path) as result:
        red, green, blue = result.getpixel((40, 10))  # type: ignore[misc]  # three bands
        assert (red < 20, green < 20, blue > 230) == (True, True, True)
        assert result.info["icc_profile"] == PROFILE


def test_a_cleared_pdf_has_the_picture_and_not_the_file_of_it(convert: Convert, tmp_path: Path) -> None:
    photo(tmp_path / "a.jpg")

    (product,) = convert("pdf", tmp_path / "a.jpg", metadata={"clear_all": 1, "title": "Mine"})

    document = pypdfium2.PdfDocument(product.path)
    assert document.get_metadata_value("Title") == "Mine"
    assert document[0].render().to_pil().convert("RGB").getpixel((20, 20))[0] > 230


@pytest.mark.parametrize("target", TALKATIVE)
def test_a_heic_is_cleared_as_well(target: str, convert: Convert) -> None:
    (product,) = convert(target, Path(__file__).parent / "turned.heic", metadata={"clear_all": True})

    with Image.open(product.path) as result:
        assert 0x010F not in result.getexif()
        assert result.size == (96, 64)


@pytest.mark.parametrize("value", [False, "false", 0, None, [], ""])
def test_what_is_not_to_be_cleared_stays(value: object, convert: Convert, tmp_path: Path) -> None:
    photo(tmp_path / "a.jpg")

    (product,) = convert("webp", tmp_path / "a.jpg", metadata={"clear_all": value})

    with Image.open(product.path) as result:
        assert result.getexif()[0x013B] == SECRET.decode()


TEXTS = {
    "title": "Čas",
    "author": ["Dvořák", "B"],
    "subject": "A subject",
    "keywords": "one, two",
    "copyright": "© 2026",
    "comment": "x",
}


@pytest.mark.parametrize("clear", [True, False])
@pytest.mark.parametrize("target", TALKATIVE)
def test_texts_are_written_and_replace_those_of_the_source(
    target: str, clear: bool, convert: Convert, tmp_path: Path
) -> None:
    photo(tmp_path / "a.jpg")

    (product,) = convert(target, tmp_path / "a.jpg", metadata={"clear_all": clear, **TEXTS})

    assert not product.warnings
    with Image.open(product.path) as result:
        result.load()
        said = result.getexif()
        assert _letters(said[0x013B]) == "Dvořák, B"
        assert _letters(said[0x010E]) == "Čas"
        assert _letters(said[0x8298]) == "© 2026"
        wide = {tag: bytes(said[tag]).decode("utf-16-le") for tag in (0x9C9B, 0x9C9C, 0x9C9D, 0x9C9E, 0x9C9F)}
        assert list(wide.values()) == ["Čas\0", "x\0", "Dvořák, B\0", "one, two\0", "A subject\0"]
        assert said.get_ifd(0x8825).get(1) == (None if clear else "N")
        assert said.get(0x010F) == (None if clear else SECRET.decode())
        if target == "png":
            assert isinstance(result, PngImagePlugin.PngImageFile)
            assert (result.text["Title"], result.text["Author"]) == ("Čas", "Dvořák, B")


def _letters(value: str) -> str:
    """Pillow reads what is written as UTF-8, as everyone does, as Latin-1."""
    return value.encode("latin-1").decode()


def test_a_description_comes_where_else_the_title_is(convert: Convert, tmp_path: Path) -> None:
    photo(tmp_path / "a.jpg")

    (product,) = convert("jpg", tmp_path / "a.jpg", metadata={"description": "Words", "title": "T"})

    with Image.open(product.path) as result:
        assert result.getexif()[0x010E] == "Words"
        assert bytes(result.getexif()[0x9C9B]).decode("utf-16-le") == "T\0"


@pytest.mark.parametrize("target", ["gif", "bmp", "ico"])
def test_a_text_that_a_format_cannot_hold_is_a_warning(target: str, convert: Convert, tmp_path: Path) -> None:
    photo(tmp_path / "a.jpg")

    (product,) = convert(target, tmp_path / "a.jpg", metadata={"title": "T", "author": "A"})

    name = "An ico" if target == "ico" else f"A {target}"
    assert product.warnings == (f"{name} has no place for title and author; the result is without.",)


def test_a_pdf_says_what_it_can_and_warns_of_the_rest(convert: Convert, tmp_path: Path) -> None:
    photo(tmp_path / "a.jpg")

    (product,) = convert("pdf", tmp_path / "a.jpg", metadata={"author": "Me", "keywords": ["a", 5], "copyright": "C"})

    document = pypdfium2.PdfDocument(product.path)
    assert [document.get_metadata_value(name) for name in ("Author", "Keywords")] == ["Me", "a, 5"]
    assert product.warnings == ("A pdf has no place for copyright; the result is without.",)


def test_metadata_that_nobody_knows_is_a_warning(convert: Convert, tmp_path: Path) -> None:
    photo(tmp_path / "a.jpg")

    (product,) = convert("jpg", tmp_path / "a.jpg", metadata={"autor": "Me", "title": {"en": "T"}, "subject": None})

    (warning,) = product.warnings
    assert "'autor' and 'title' can't be written" in warning
    assert "author" in warning


def test_texts_longer_than_a_jpg_can_hold_are_a_warning(convert: Convert, tmp_path: Path) -> None:
    photo(tmp_path / "a.jpg")

    (long,) = convert("jpg", tmp_path / "a.jpg", metadata={"title": "x" * 70_000})
    (png_,) = convert("png", tmp_path / "a.jpg", metadata={"title": "x" * 70_000})

    assert long.warnings == ("A jpg has no room for metadata that long; the result is without.",)
    assert not png_.warnings


def test_every_page_is_cleared(convert: Convert, tmp_path: Path) -> None:
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags[315] = SECRET.decode()
    Image.new("L", (9, 9)).save(
        tmp_path / "a.tiff", save_all=True, append_images=[Image.new("L", (9, 9), 5)], tiffinfo=tags
    )

    (product,) = convert("tiff", tmp_path / "a.tiff", metadata={"clear_all": True})

    with Image.open(product.path) as result:
        assert getattr(result, "n_frames", 1) == 2
    assert SECRET not in product.path.read_bytes()


def test_empty_metadata_wishes_for_nothing() -> None:
    wishes = wishes_of({"title": "", "author": " \0", "keywords": []})

    assert not wishes.texts
    assert not wishes.clears
