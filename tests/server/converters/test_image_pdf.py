"""Pictures to pdf: pages, sizes and pixels, read back with another library."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pikepdf
import pypdfium2  # type: ignore[import-untyped]  # ships no types
import pytest
from PIL import Image, ImageChops, ImageStat

from runner.server.converters.protocol import ConversionError, Product

Convert = Callable[..., list[Product]]
HERE = Path(__file__).parent
RED, BLUE = (255, 0, 0), (0, 0, 255)


def halves(size: tuple[int, int] = (80, 60), mode: str = "RGB") -> Image.Image:
    picture = Image.new("RGB", size, BLUE)
    picture.paste(RED, (0, 0, size[0] // 2, size[1]))
    return picture.convert(mode)


def rendered(product: Product, *, points_per_pixel: float = 0.75) -> list[Image.Image]:
    """Each page as a picture, at the density it was made at (96 dpi unless said)."""
    document = pypdfium2.PdfDocument(product.path)
    try:
        return [page.render(scale=1 / points_per_pixel).to_pil().convert("RGB") for page in document]
    finally:
        document.close()


def near(pixel: object, wanted: tuple[int, ...]) -> bool:
    assert isinstance(pixel, tuple)
    return all(abs(one - other) <= 12 for one, other in zip(pixel, wanted, strict=True))


@pytest.mark.parametrize("kind", ["jpg", "png", "webp", "gif", "tiff", "bmp", "avif", "ico"])
def test_a_picture_becomes_a_page(kind: str, convert: Convert, tmp_path: Path) -> None:
    formats = {"jpg": "JPEG", "tiff": "TIFF"}
    picture = halves((64, 64)) if kind == "ico" else halves()
    picture.save(tmp_path / f"a.{kind}", format=formats.get(kind, kind.upper()))

    (product,) = convert("pdf", tmp_path / f"a.{kind}")

    assert product.filename == "a.pdf"
    assert product.content_type == "application/pdf"
    (page,) = rendered(product)
    assert page.size == picture.size
    assert near(page.getpixel((10, 10)), RED)
    assert near(page.getpixel((55, 50)), BLUE)


def test_a_jpg_goes_in_byte_by_byte(convert: Convert, tmp_path: Path) -> None:
    Image.effect_noise((200, 100), 90).convert("RGB").save(tmp_path / "a.jpg", quality=70)
    content = (tmp_path / "a.jpg").read_bytes()

    (product,) = convert("pdf", tmp_path / "a.jpg")

    assert content in product.path.read_bytes()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_pages_are_upright(orientation: int, convert: Convert, tmp_path: Path) -> None:
    turns = Image.Transpose
    lying = (
        *(None, turns.FLIP_LEFT_RIGHT, turns.ROTATE_180, turns.FLIP_TOP_BOTTOM),
        *(turns.TRANSPOSE, turns.ROTATE_90, turns.TRANSVERSE, turns.ROTATE_270),
    )[orientation - 1]
    exif = Image.Exif()
    exif[0x0112] = orientation
    picture = halves()
    (picture.transpose(lying) if lying is not None else picture).save(tmp_path / "a.jpg", exif=exif, quality=95)

    (product,) = convert("pdf", tmp_path / "a.jpg")

    (page,) = rendered(product, points_per_pixel=pypdfium2.PdfDocument(product.path)[0].get_width() / 80)
    assert page.size == (80, 60)
    assert near(page.getpixel((10, 10)), RED)
    assert near(page.getpixel((70, 50)), BLUE)


def test_pages_of_a_tiff_are_pages(convert: Convert, tmp_path: Path) -> None:
    rest = [Image.new("1", (50, 20), 1), Image.new("CMYK", (30, 30))]
    halves().save(tmp_path / "a.tiff", save_all=True, append_images=rest)

    (product,) = convert("pdf", tmp_path / "a.tiff")

    assert [page.size for page in rendered(product)] == [(80, 60), (50, 20), (30, 30)]


def test_alpha_becomes_white(convert: Convert, tmp_path: Path) -> None:
    Image.new("RGBA", (20, 20), (0, 0, 0, 0)).save(tmp_path / "a.png")

    (product,) = convert("pdf", tmp_path / "a.png")

    assert rendered(product)[0].getpixel((10, 10)) == (255, 255, 255)


def test_merge_makes_one_file_of_all_in_their_order(convert: Convert, tmp_path: Path) -> None:
    for number in (1, 2, 3):
        Image.new("RGB", (20 * number, 20)).save(tmp_path / f"{number}.png")
    paths = [tmp_path / f"{number}.png" for number in (3, 1, 2)]

    (product,) = convert("pdf", *paths, merge="true")
    separate = convert("pdf", *paths)

    assert [page.size for page in rendered(product)] == [(60, 20), (20, 20), (40, 20)]
    assert product.sources == (0, 1, 2)
    assert product.filename == "3.pdf"
    assert [one.filename for one in separate] == ["3.pdf", "1.pdf", "2.pdf"]


@pytest.mark.parametrize(
    ("options", "points"),
    [({}, (60, 45)), ({"dpi": 72}, (80, 60)), ({"dpi": "144"}, (40, 30)), ({"width": 160, "dpi": 72}, (160, 120))],
)
def test_a_page_is_as_large_as_its_picture_at_its_density(
    options: dict[str, object], points: tuple[int, int], convert: Convert, tmp_path: Path
) -> None:
    halves().save(tmp_path / "a.png")

    (product,) = convert("pdf", tmp_path / "a.png", **options)

    assert pypdfium2.PdfDocument(product.path)[0].get_size() == points


@pytest.mark.parametrize(
    ("options", "points"),
    [({}, (609.9, 808.2)), ({"rotate": 90}, (808.2, 609.9)), ({"dpi": 102}, (1219.8, 1616.3)), ({"width": 864}, None)],
)
@pytest.mark.parametrize("kind", ["tiff", "png", "jpeg"])
def test_a_fax_is_as_high_as_it_was_sent(
    kind: str, options: dict[str, object], points: tuple[float, float] | None, convert: Convert, tmp_path: Path
) -> None:
    page = Image.new("L", (1728, 1100), 255)
    page.save(tmp_path / f"fax.{kind}", dpi=(204, 98))

    (product,) = convert("pdf", tmp_path / f"fax.{kind}", **options)

    found = pypdfium2.PdfDocument(product.path)[0].get_size()
    assert found == pytest.approx(points or (304.9, 404.1), abs=0.3)


def test_pages_stay_within_what_a_pdf_can_be(convert: Convert, tmp_path: Path) -> None:
    Image.new("1", (40_000, 1)).save(tmp_path / "long.png", dpi=(72, 72))

    (product,) = convert("pdf", tmp_path / "long.png")

    assert pypdfium2.PdfDocument(product.path)[0].get_size() == (14400, 3)


def test_options_are_applied(convert: Convert, tmp_path: Path) -> None:
    halves().save(tmp_path / "a.jpg", dpi=(96, 96))

    (product,) = convert("pdf", tmp_path / "a.jpg", rotate=90, color="negate")

    (page,) = rendered(product)
    assert page.size == (60, 80)
    assert near(page.getpixel((30, 10)), (0, 255, 255))


def test_half_a_jpg_never_becomes_a_page(convert: Convert, tmp_path: Path) -> None:
    Image.effect_noise((200, 100), 90).save(tmp_path / "a.jpg")
    (tmp_path / "a.jpg").write_bytes((tmp_path / "a.jpg").read_bytes()[:-3000])

    with pytest.raises(ConversionError) as caught:
        convert("pdf", tmp_path / "a.jpg")

    assert caught.value.code == 6005


def test_the_title_is_kept_and_the_same_input_gives_the_same_bytes(convert: Convert, tmp_path: Path) -> None:
    halves().save(tmp_path / "a.png")

    (one,), (other,) = convert("pdf", tmp_path / "a.png"), convert("pdf", tmp_path / "a.png")

    assert pypdfium2.PdfDocument(one.path).get_metadata_value("Title") == "A title"
    assert one.path.read_bytes() == other.path.read_bytes()


@pytest.mark.parametrize("title", ["Český", "č", "\u0d0d\u0128", "上\r(\\)\n上", "a\rb", "😀", "a)b\\(", "\ud800?"])
def test_a_title_in_any_letters_is_what_was_given(title: str, convert: Convert, tmp_path: Path) -> None:
    halves().save(tmp_path / "a.png")

    (product,) = convert("pdf", tmp_path / "a.png", metadata=dict.fromkeys(("title", "author", "subject"), title))

    with pikepdf.open(product.path) as document:  # stricter about line ends than the other library
        said = [str(document.docinfo[name]) for name in ("/Title", "/Author", "/Subject")]
    assert said == [title.replace("\ud800", "?")] * 3


def several_in_one(path: Path, *, picture: Image.Image, others: int) -> bytes:
    rest = [Image.new("RGB", (40, 30), "green") for _ in range(others)]
    picture.save(path, format="MPO", save_all=True, append_images=rest, quality=90)
    return path.read_bytes()


@pytest.mark.parametrize("others", [1, 3])
def test_a_jpg_with_several_pictures_inside_is_one_page(others: int, convert: Convert, tmp_path: Path) -> None:
    content = several_in_one(tmp_path / "a.jpg", picture=halves(), others=others)

    (product,) = convert("pdf", tmp_path / "a.jpg")

    (page,) = rendered(product)
    assert page.size == (80, 60)
    assert near(page.getpixel((10, 10)), RED)
    assert product.metadata == {"pages": 1}
    first = content[: content.index(b"\xff\xd9") + 2]
    assert first in product.path.read_bytes()
    assert content not in product.path.read_bytes()


def test_a_jpg_that_is_wrong_about_its_first_picture_is_a_whole_page(convert: Convert, tmp_path: Path) -> None:
    content = several_in_one(tmp_path / "a.jpg", picture=Image.effect_noise((80, 60), 90).convert("RGB"), others=1)
    length = (content.index(b"\xff\xd9") + 2).to_bytes(4, "little")
    assert content.count(length) == 1
    (tmp_path / "a.jpg").write_bytes(content.replace(length, (700).to_bytes(4, "little")))

    (product,) = convert("pdf", tmp_path / "a.jpg")

    (page,) = rendered(product)
    with Image.open(tmp_path / "a.jpg") as picture:
        wanted = picture.convert("L")
    assert page.size == (80, 60)
    difference = ImageChops.difference(page.convert("L"), wanted)
    assert ImageStat.Stat(difference.crop((0, 30, 80, 60))).mean[0] < 15


def test_quality_counts_for_a_jpg_in_a_pdf(convert: Convert, tmp_path: Path) -> None:
    Image.effect_noise((200, 100), 90).convert("RGB").save(tmp_path / "a.jpg", quality=95)
    content = (tmp_path / "a.jpg").read_bytes()

    (coarse,) = convert("pdf", tmp_path / "a.jpg", quality=5)
    (usual,) = convert("pdf", tmp_path / "a.jpg", quality="85")

    assert content in usual.path.read_bytes()
    assert coarse.path.stat().st_size < usual.path.stat().st_size / 4
    (page,) = rendered(coarse)
    assert page.size == (200, 100)


@pytest.mark.parametrize("name", ["upright.heic", "turned.heic"])
@pytest.mark.parametrize("target", ["pdf", "png", "jpg", "webp"])
def test_heic_is_read_and_upright(name: str, target: str, convert: Convert) -> None:
    (product,) = convert(target, HERE / name)

    if target == "pdf":
        (picture,) = rendered(product)
    else:
        with Image.open(product.path) as opened:
            picture = opened.convert("RGB")
            assert opened.getexif()[0x010F] == "A maker"
            assert 0x0112 not in opened.getexif()
    assert picture.size == (96, 64)
    assert near(picture.getpixel((10, 10)), (255, 255, 255))
    assert near(picture.getpixel((10, 55)), RED)
    assert near(picture.getpixel((80, 55)), BLUE)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.95])
def test_half_a_heic_is_refused(share: float, convert: Convert, tmp_path: Path) -> None:
    content = (HERE / "upright.heic").read_bytes()
    (tmp_path / "cut.heic").write_bytes(content[: int(len(content) * share)])

    with pytest.raises(ConversionError) as caught:
        convert("png", tmp_path / "cut.heic")

    assert caught.value.code == 6005
