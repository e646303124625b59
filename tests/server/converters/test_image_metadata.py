"""What a result says of itself is true of it: sizes, thumbnails, densities."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from runner.server.converters.protocol import Product

Convert = Callable[..., list[Product]]
EXIF, WIDTH, HEIGHT = 0x8769, 40962, 40963


def jpg(size: tuple[int, int], color: str) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", size, color).save(file, "JPEG")
    return file.getvalue()


THUMBNAIL = jpg((160, 120), "magenta")


def exif_of_a_camera(orientation: int) -> bytes:
    """Maker, orientation (0 for none), a size of 400 x 300 pixels, and a thumbnail, as cameras write it."""

    def directory(*entries: tuple[int, int, int, int], following: int = 0) -> bytes:
        rows = (struct.pack("<HHII", *entry) for entry in entries)
        return struct.pack("<H", len(entries)) + b"".join(rows) + struct.pack("<I", following)

    third = (0x112, 3, 1, orientation) if orientation else (0x128, 3, 1, 2)
    first, exif = 8, 8 + 2 + 3 * 12 + 4 + 6
    second = exif + 2 + 2 * 12 + 4
    picture = second + 2 + 3 * 12 + 4
    return b"".join(
        (
            b"Exif\0\0II*\0" + struct.pack("<I", first),
            directory((271, 2, 6, exif - 6), third, (EXIF, 4, 1, exif), following=second),
            b"Maker\0",
            directory((WIDTH, 4, 1, 400), (HEIGHT, 4, 1, 300)),
            directory((259, 3, 1, 6), (513, 4, 1, picture), (514, 4, 1, len(THUMBNAIL))),
            THUMBNAIL,
        )
    )


@pytest.mark.parametrize("orientation", [0, 1, 6])
@pytest.mark.parametrize("target", ["jpg", "png", "webp", "tiff", "avif"])
@pytest.mark.parametrize(
    "options",
    [
        {"width": 100, "height": 100, "resize_handling": "keep_aspect_ratio_crop"},
        {"rotate": 90},
        {"color": "gray"},
        {"width": 50},
    ],
)
def test_no_thumbnail_shows_what_was_there_before_and_sizes_are_those_of_the_result(
    options: dict[str, object], target: str, orientation: int, convert: Convert, tmp_path: Path
) -> None:
    exif = exif_of_a_camera(orientation)
    Image.new("RGB", (400, 300), "green").save(tmp_path / "a.jpg", exif=exif)
    assert THUMBNAIL in (tmp_path / "a.jpg").read_bytes()

    (product,) = convert(target, tmp_path / "a.jpg", metadata={}, **options)

    assert THUMBNAIL not in product.path.read_bytes()
    with Image.open(product.path) as result:
        said = result.getexif()
        assert said[271] == "Maker"
        assert 0x112 not in said
        assert (said.get_ifd(EXIF)[WIDTH], said.get_ifd(EXIF)[HEIGHT]) == result.size


def test_a_picture_that_is_turned_upright_says_how_large_it_is_then(convert: Convert, tmp_path: Path) -> None:
    Image.new("RGB", (400, 300), "green").save(tmp_path / "a.jpg", exif=exif_of_a_camera(6))

    (product,) = convert("jpg", tmp_path / "a.jpg", metadata={})

    with Image.open(product.path) as result:
        assert result.size == (300, 400)
        said = result.getexif().get_ifd(EXIF)
    assert (said[WIDTH], said[HEIGHT]) == (300, 400)


def test_a_picture_whose_pixels_stay_keeps_its_exif_byte_by_byte(convert: Convert, tmp_path: Path) -> None:
    exif = exif_of_a_camera(0)
    Image.new("RGB", (400, 300), "green").save(tmp_path / "a.jpg", exif=exif)

    (product,) = convert("webp", tmp_path / "a.jpg", metadata={})

    assert exif[6:] in product.path.read_bytes()


def test_thumbnails_in_xmp_go_with_the_pixels_they_show(convert: Convert, tmp_path: Path) -> None:
    inside = b"<xmp:Thumbnails><rdf:Alt>old\npixels</rdf:Alt></xmp:Thumbnails>"
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF>' + inside + b"<dc:title>T</dc:title></rdf:RDF></x:xmpmeta>"
    Image.new("RGB", (40, 30), "green").save(tmp_path / "a.jpg", xmp=xmp)

    (kept,) = convert("jpg", tmp_path / "a.jpg")
    (cropped,) = convert("jpg", tmp_path / "a.jpg", width=9, height=9, resize_handling="keep_aspect_ratio_crop")

    assert xmp in kept.path.read_bytes()
    assert xmp.replace(inside, b"") in cropped.path.read_bytes()


@pytest.mark.parametrize("metadata", [{}, {"author": "Me"}])
def test_exif_that_is_written_anew_gets_no_directories_that_it_had_not(
    metadata: dict[str, object], convert: Convert, tmp_path: Path
) -> None:
    exif = Image.Exif()
    exif[271] = "Maker"
    Image.new("RGB", (40, 30)).save(tmp_path / "a.jpg", exif=exif)

    (product,) = convert("jpg", tmp_path / "a.jpg", metadata=metadata, rotate=90)

    with Image.open(product.path) as result:
        assert not {EXIF, 0x8825} & set(result.getexif())


def test_letters_of_exif_survive_when_it_is_written_anew(convert: Convert, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x013B] = "Dvořák".encode()
    Image.new("RGB", (40, 30)).save(tmp_path / "a.jpg", exif=exif)

    for target in ("jpg", "png", "tiff"):
        (product,) = convert(target, tmp_path / "a.jpg", metadata={}, rotate=90)

        with Image.open(product.path) as result:
            assert result.getexif()[0x013B].encode("latin-1").decode() == "Dvořák"


@pytest.fixture
def fax(tmp_path: Path) -> Path:
    """A page of 1728 x 1100 pixels, twice as dense across as down."""
    page = Image.new("1", (1728, 1100), 1)
    page.paste(0, (0, 0, 864, 1100))
    page.save(tmp_path / "fax.tif", compression="group4", dpi=(204, 98))
    return tmp_path / "fax.tif"


@pytest.mark.parametrize(
    ("options", "dpi"),
    [({}, (204, 98)), ({"rotate": 90}, (98, 204)), ({"rotate": 180}, (204, 98)), ({"dpi": 150}, (150, 150))],
)
@pytest.mark.parametrize("target", ["tiff", "png", "jpg", "bmp"])
def test_densities_that_differ_across_and_down_stay_so(
    target: str, options: dict[str, object], dpi: tuple[int, int], fax: Path, convert: Convert
) -> None:
    (product,) = convert(target, fax, **options)

    with Image.open(product.path) as result:
        assert tuple(round(float(one)) for one in result.info["dpi"]) == dpi


@pytest.mark.parametrize("compression", [None, "tiff_lzw"])
@pytest.mark.parametrize("kind", ["TIFF", "JPEG", "PNG"])
def test_densities_are_turned_with_the_picture(
    kind: str, compression: str | None, convert: Convert, tmp_path: Path
) -> None:
    exif = Image.Exif()
    exif[0x112] = 6
    lying = Image.new("L", (40, 30))
    lying.paste(255, (0, 0, 20, 30))
    lying.save(tmp_path / "a", kind, dpi=(204, 98), exif=exif, compression=compression)

    (product,) = convert("tiff", tmp_path / "a")

    with Image.open(product.path) as result:
        assert result.size == (30, 40)
        assert [result.getpixel(at) for at in ((5, 10), (25, 10), (5, 30), (25, 30))] == [255, 255, 0, 0]
        assert tuple(round(float(one)) for one in result.info["dpi"]) == (98, 204)


def test_inches_count_with_the_density_of_their_side(fax: Path, convert: Convert) -> None:
    (wide,) = convert("png", fax, width=2, resize_by="inches")
    (high,) = convert("png", fax, height=2, resize_by="inches")

    with Image.open(wide.path) as result:
        assert result.size == (408, 260)
    with Image.open(high.path) as result:
        assert result.size == (308, 196)
