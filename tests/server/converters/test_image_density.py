"""How large pictures are meant to be in inches: kept, changed by `dpi`, and never contradicted."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pikepdf
import pytest
from PIL import Image

from runner.server.converters.image_density import density
from runner.server.converters.protocol import Product

Convert = Callable[..., list[Product]]
Pair = tuple[int, int]
ACROSS, DOWN, UNIT, MAKER = 282, 283, 296, 271


def exif(**said: float) -> Image.Exif:
    tags = Image.Exif()
    tags[MAKER] = "Maker"
    if said:
        tags[ACROSS], tags[DOWN], tags[UNIT] = said["across"], said["down"], int(said.get("unit", 2))
    return tags


def told(path: Path) -> tuple[dict[int, object], Pair | None, Pair | None]:
    """The tags of EXIF, the density that they say, and the one that the format itself says."""
    with Image.open(path) as picture:
        picture.load()
        tags, own = dict(picture.getexif()), picture.info.get("dpi")
    return tags, rounded((tags[ACROSS], tags[DOWN])) if ACROSS in tags else None, rounded(own) if own else None


def rounded(pair: tuple[object, object]) -> Pair:
    across, down = pair
    return round(float(str(across))), round(float(str(down)))


def pages(product: Product) -> list[tuple[float, float]]:
    with pikepdf.open(product.path) as document:
        boxes = [page.mediabox for page in document.pages]
    return [(round(float(box[2]), 1), round(float(box[3]), 1)) for box in boxes]


@pytest.mark.parametrize("metadata", [{}, {"clear_all": True}])
@pytest.mark.parametrize("target", ["jpg", "png", "webp", "avif", "tiff", "bmp"])
def test_dpi_is_what_every_part_of_the_result_says(
    target: str, metadata: dict[str, object], convert: Convert, tmp_path: Path
) -> None:
    Image.new("RGB", (40, 30)).save(tmp_path / "a.jpg", exif=exif(across=300, down=300), dpi=(300, 300))

    (product,) = convert(target, tmp_path / "a.jpg", metadata=metadata, dpi=150)

    tags, by_exif, own = told(product.path)
    assert (MAKER in tags) == (not metadata and target != "bmp")
    silent = target == "bmp" or (metadata and target in ("jpg", "png"))
    assert by_exif == (None if silent else (150, 150))
    assert own == (None if target in ("webp", "avif") else (150, 150))
    assert not product.warnings


@pytest.mark.parametrize("kind", ["jpg", "webp", "avif"])
@pytest.mark.parametrize(
    "said", [{}, {"across": 300, "down": 150}, {"across": 300 / 2.54, "down": 150 / 2.54, "unit": 3}]
)
def test_a_density_goes_through_formats_that_say_it_in_exif_alone(
    said: dict[str, float], kind: str, convert: Convert, tmp_path: Path
) -> None:
    if kind == "jpg" or said:
        Image.new("RGB", (40, 30)).save(tmp_path / f"a.{kind}", exif=exif(**said))
    if not said:  # the format itself says it
        Image.new("RGB", (40, 30)).save(tmp_path / "a.png", dpi=(300, 150))
        (made,) = convert(kind, tmp_path / "a.png", metadata={})
        (tmp_path / f"a.{kind}").write_bytes(made.path.read_bytes())

    (png,) = convert("png", tmp_path / f"a.{kind}")
    (pdf,) = convert("pdf", tmp_path / f"a.{kind}")
    (inch,) = convert("bmp", tmp_path / f"a.{kind}", width=1, resize_by="inches")

    with Image.open(png.path) as picture, Image.open(inch.path) as bmp:
        picture.load()
        across, _ = density(picture) or (0, 0)
        assert (round(across), bmp.size[0]) == (300, 300)
    assert pages(pdf)[0][0] == 9.6


def test_a_density_in_the_exif_of_a_png_counts_in_a_pdf(convert: Convert, tmp_path: Path) -> None:
    Image.new("RGB", (40, 30)).save(tmp_path / "a.png", exif=exif(across=300, down=300))

    (product,) = convert("pdf", tmp_path / "a.png")

    assert pages(product) == [(9.6, 7.2)]


def test_exif_is_turned_with_the_density(convert: Convert, tmp_path: Path) -> None:
    Image.new("RGB", (40, 30)).save(tmp_path / "a.jpg", exif=exif(across=200, down=100), dpi=(200, 100))

    (product,) = convert("webp", tmp_path / "a.jpg", rotate=90)

    assert told(product.path)[1] == (100, 200)


@pytest.mark.parametrize("kind", ["jpg", "png", "tiff", "webp", "bmp"])
def test_centimetres_are_those_of_the_page_where_a_picture_says_no_density(
    kind: str, convert: Convert, tmp_path: Path
) -> None:
    Image.new("RGB", (80, 40)).save(tmp_path / f"a.{kind}")

    (product,) = convert("pdf", tmp_path / f"a.{kind}", width=10, resize_by="cm")

    ((width, height),) = pages(product)
    assert abs(width - 72 * 10 / 2.54) < 1
    assert abs(height - 72 * 5 / 2.54) < 1


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    """Pages of 300 and of 100 dots per inch, and one that says nothing."""
    first, second, third = (Image.new("RGB", (100, 60), color) for color in ("red", "green", "blue"))
    second.encoderinfo, third.encoderinfo = {"dpi": (100, 100)}, {"dpi": None}
    first.save(tmp_path / "a.tiff", save_all=True, append_images=[second, third], dpi=(300, 300))
    return tmp_path / "a.tiff"


def test_pages_are_as_large_as_each_says(mixed: Path, convert: Convert) -> None:
    (pdf,) = convert("pdf", mixed)
    (tiff,) = convert("tiff", mixed)
    inches = convert("png", mixed, width=1, resize_by="inches")
    assert pages(pdf) == [(24, 14.4), (72, 43.2), (75, 45)]

    (again,) = convert("pdf", tiff.path)

    assert pages(again) == pages(pdf)
    sizes = []
    for product in inches:
        with Image.open(product.path) as picture:
            sizes.append(picture.size[0])
    assert sizes == [300, 100, 96]


def test_pages_keep_what_each_says(convert: Convert, tmp_path: Path) -> None:
    first, second = Image.new("L", (9, 9)), Image.new("L", (9, 9))
    for page, words in ((first, "one"), (second, "two")):
        tags = Image.Exif()
        tags[270] = words
        page.encoderinfo = {"exif": tags}
    first.save(tmp_path / "a.tiff", save_all=True, append_images=[second])

    (tiff,) = convert("tiff", tmp_path / "a.tiff", metadata={})
    jpgs = convert("jpg", tmp_path / "a.tiff", metadata={})

    with Image.open(tiff.path) as picture:
        said = []
        for number in range(2):
            picture.seek(number)
            said.append(picture.getexif()[270])
    assert said == ["one", "two"]
    assert [told(product.path)[0][270] for product in jpgs] == ["one", "two"]


@pytest.mark.parametrize(
    ("target", "options", "warned"),
    [
        ("gif", {"dpi": 72}, True),
        ("ico", {"dpi": 72}, True),
        ("resize-image", {"dpi": 72, "resize_target": "tga"}, True),
        ("gif", {"dpi": 72, "width": 1, "resize_by": "cm"}, False),
        ("gif", {}, False),
        ("webp", {"dpi": 72}, False),
        ("pdf", {"dpi": 72}, False),
    ],
)
def test_dpi_that_changes_nothing_is_a_warning(
    target: str, options: dict[str, object], warned: bool, convert: Convert, tmp_path: Path
) -> None:
    Image.new("RGB", (40, 30)).save(tmp_path / "a.png")

    (product,) = convert(target, tmp_path / "a.png", metadata={}, **options)

    form = options.get("resize_target", target)
    name = "An ico" if form == "ico" else f"A {form}"
    assert product.warnings == ((f"{name} has no place for a density; dpi changes nothing.",) if warned else ())


def test_a_drawing_is_rendered_at_dpi_so_nothing_is_to_be_warned_of(convert: Convert, tmp_path: Path) -> None:
    (tmp_path / "a.svg").write_text('<svg xmlns="http://www.w3.org/2000/svg" width="1in" height="1in"/>')

    (product,) = convert("ico", tmp_path / "a.svg", metadata={}, dpi=48)

    assert (product.metadata["width"], product.warnings) == (48, ())


@pytest.mark.parametrize(("target", "warned"), [("jpg", False), ("png", True)])
def test_a_thumbnail_that_is_not_interlaced_says_so(
    target: str, warned: bool, convert: Convert, tmp_path: Path
) -> None:
    Image.new("RGB", (40, 30)).save(tmp_path / "a.png")

    (product,) = convert("thumbnail", tmp_path / "a.png", metadata={}, thumbnail_target=target, interlace="line")

    assert product.warnings == (("Only a jpg can be interlaced here; the png isn't.",) if warned else ())
