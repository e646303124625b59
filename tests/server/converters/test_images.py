"""Pictures to pictures, judged by what is in the results."""

from __future__ import annotations

import io
import struct
import tempfile
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms

from runner.server.converters.image_targets import CONTENT_TYPES
from runner.server.converters.protocol import ConversionError, Product
from runner.server.converters.sniff import sniff

Convert = Callable[..., list[Product]]
TARGETS = ("jpg", "png", "webp", "gif", "tiff", "bmp", "avif", "ico")
MODES = ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16", "I", "F", "YCbCr", "LAB")
RED, BLUE, WHITE = (255, 0, 0), (0, 0, 255), (255, 255, 255)


def halves(left: tuple[int, ...] = RED, right: tuple[int, ...] = BLUE, size: tuple[int, int] = (80, 60)) -> Image.Image:
    """Left half one colour, right half the other."""
    mode = "RGBA" if len(left) == 4 else "RGB"
    picture = Image.new(mode, size, right)
    picture.paste(left, (0, 0, size[0] // 2, size[1]))
    return picture


def opened(product: Product) -> Image.Image:
    with Image.open(product.path) as picture:
        picture.load()
        return picture


def near(pixel: object, wanted: tuple[int, ...], *, by: int = 12) -> bool:
    assert isinstance(pixel, tuple)
    return all(abs(one - other) <= by for one, other in zip(pixel, wanted, strict=False))


def pixel(picture: Image.Image, at: tuple[int, int]) -> object:
    return picture.convert("RGBA" if picture.mode in ("P", "LA", "PA", "RGBA") else "RGB").getpixel(at)


SOURCES: dict[str, dict[str, object]] = {
    "jpg": {"format": "JPEG", "quality": 95},
    "png": {"format": "PNG"},
    "webp": {"format": "WEBP", "lossless": True},
    "gif": {"format": "GIF"},
    "tiff": {"format": "TIFF"},
    "bmp": {"format": "BMP"},
    "avif": {"format": "AVIF", "quality": 95},
    "ico": {"format": "ICO", "sizes": [(80, 60)]},
    "jp2": {"format": "JPEG2000"},
    "pcx": {"format": "PCX"},
    "ppm": {"format": "PPM"},
    "qoi": {"format": "QOI"},
    "dds": {"format": "DDS"},
    "sgi": {"format": "SGI"},
    "tga": {"format": "TGA"},
}


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("kind", SOURCES)
def test_every_source_becomes_every_target(kind: str, target: str, convert: Convert, tmp_path: Path) -> None:
    source = tmp_path / "a picture"
    halves().save(source, **SOURCES[kind])  # type: ignore[arg-type]  # a table of keywords

    (product,) = convert(target, source)

    assert sniff(source, "").kind == kind
    assert sniff(product.path, "").kind == target
    assert product.content_type == CONTENT_TYPES[target]
    assert product.filename == f"a picture.{target}"
    result = opened(product)
    assert result.size == (80, 60)
    assert near(pixel(result, (10, 10)), RED, by=30)
    assert near(pixel(result, (55, 40)), BLUE, by=30)


@settings(max_examples=150, deadline=None)
@given(
    mode=st.sampled_from(MODES),
    target=st.sampled_from(TARGETS),
    size=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    width=st.none() | st.integers(1, 50),
    height=st.none() | st.integers(1, 50),
    rotate=st.sampled_from([0, 1, 90, 180, 270, 359]),
    color=st.sampled_from(["colored", "gray", "monochrome", "negate", "1980", "1900"]),
    handling=st.sampled_from(["keep_aspect_ratio", "stretch", "keep_aspect_ratio_crop"])
    | st.sampled_from([f"keep_aspect_ratio_fill_{fill}" for fill in ("black", "white", "blurred", "transparent")]),
)
def test_any_mode_with_any_options_becomes_any_target(
    mode: str,
    target: str,
    size: tuple[int, int],
    width: int | None,
    height: int | None,
    rotate: int,
    color: str,
    handling: str,
    convert_into: Callable[..., list[Product]],
) -> None:
    # One side scaled to 50 must not make the other longer than the 256 that an ico can hold: it refuses that.
    assume(target != "ico" or max(size) <= 5 * min(size))
    with tempfile.TemporaryDirectory() as folder:
        source, work = Path(folder) / "source.tiff", Path(folder) / "work"
        work.mkdir()
        picture = Image.new(mode, size) if mode in ("LAB", "F", "I", "I;16") else Image.new("L", size, 77).convert(mode)
        picture.save(source, format="TIFF")

        options = {"width": width, "height": height, "rotate": rotate, "color": color, "resize_handling": handling}
        (product,) = convert_into(work, target, source, **options)

        result = opened(product)
        if width and height and handling != "keep_aspect_ratio":
            assert result.size == (width, height)
        if width and height and handling == "keep_aspect_ratio":
            assert result.size[0] <= width
            assert result.size[1] <= height
            assert width == result.size[0] or height == result.size[1]


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["jpg", "png", "webp", "tiff", "avif"])
def test_the_result_is_upright_and_says_so(kind: str, orientation: int, convert: Convert, tmp_path: Path) -> None:
    turns = Image.Transpose
    lying = {
        1: None,
        2: turns.FLIP_LEFT_RIGHT,
        3: turns.ROTATE_180,
        4: turns.FLIP_TOP_BOTTOM,
        5: turns.TRANSPOSE,
        6: turns.ROTATE_90,
        7: turns.TRANSVERSE,
        8: turns.ROTATE_270,
    }
    upright = halves(size=(96, 64))
    upright.paste(WHITE, (0, 0, 48, 32))  # top left, so that mirrored is seen too
    turn = lying[orientation]
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = orientation, "A maker"
    (upright.transpose(turn) if turn is not None else upright).save(
        tmp_path / "a",
        exif=exif,
        **SOURCES[kind],  # type: ignore[arg-type]  # a table of keywords
    )

    (product,) = convert("png", tmp_path / "a")

    result = opened(product)
    assert result.size == (96, 64)
    assert near(pixel(result, (12, 10)), WHITE, by=40)
    assert near(pixel(result, (12, 50)), RED, by=40)
    assert near(pixel(result, (80, 50)), BLUE, by=40)
    assert result.getexif().get(0x0112, 1) == 1
    assert result.getexif()[0x010F] == "A maker"


@pytest.mark.parametrize("target", ["jpg", "png", "webp", "tiff", "avif"])
def test_exif_xmp_place_and_profile_are_kept(target: str, convert: Convert, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x010F], exif[0x0112] = "A maker", 6
    exif.get_ifd(0x8825)[1] = "N"
    exif.get_ifd(0x8769)[0x9003] = "2026:01:02 03:04:05"
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF/></x:xmpmeta>'
    halves().save(tmp_path / "a.jpg", exif=exif, icc_profile=profile, xmp=xmp, dpi=(240, 240))

    (product,) = convert(target, tmp_path / "a.jpg")

    result = opened(product)
    assert result.getexif()[0x010F] == "A maker"
    assert 0x0112 not in result.getexif()
    assert result.getexif().get_ifd(0x8825)[1] == "N"
    assert result.getexif().get_ifd(0x8769)[0x9003] == "2026:01:02 03:04:05"
    assert result.info["icc_profile"] == profile
    found = result.info.get("xmp") or result.info.get("XML:com.adobe.xmp") or getattr(result, "tag_v2", {}).get(700)
    assert found in (xmp, xmp.decode())
    if target in ("jpg", "png", "tiff"):
        assert round(float(result.info["dpi"][0])) == 240


def test_a_profile_is_applied_where_the_target_cannot_hold_it(convert: Convert, tmp_path: Path) -> None:
    swapped = _red_is_green_profile()
    Image.new("RGB", (8, 8), (200, 30, 30)).save(tmp_path / "a.png", icc_profile=swapped)

    (product,) = convert("bmp", tmp_path / "a.png")

    red, green, _ = opened(product).convert("RGB").getpixel((4, 4))  # type: ignore[misc]  # three bands
    assert green > red


def _red_is_green_profile() -> bytes:
    """sRGB with the red and the green primary swapped."""
    content = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    content[content.index(b"rXYZ") : content.index(b"rXYZ") + 4] = b"tmpX"
    content[content.index(b"gXYZ") : content.index(b"gXYZ") + 4] = b"rXYZ"
    content[content.index(b"tmpX") : content.index(b"tmpX") + 4] = b"gXYZ"
    return bytes(content)


def test_a_damaged_profile_is_no_reason_to_refuse(convert: Convert, tmp_path: Path) -> None:
    halves().save(tmp_path / "a.jpg", icc_profile=b"no profile at all " * 20)

    for target in TARGETS:
        assert convert(target, tmp_path / "a.jpg")


@pytest.mark.parametrize("target", ["png", "webp", "gif", "bmp", "avif", "ico"])
def test_cmyk_comes_out_in_the_right_colours(target: str, convert: Convert, tmp_path: Path) -> None:
    halves().convert("CMYK").save(tmp_path / "a.jpg", quality=95)

    (product,) = convert(target, tmp_path / "a.jpg")

    assert near(pixel(opened(product), (10, 10)), RED, by=25)
    assert near(pixel(opened(product), (50, 10)), BLUE, by=25)


@pytest.mark.parametrize("target", ["jpg", "bmp"])
@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_alpha_is_flattened_onto_white(mode: str, target: str, convert: Convert, tmp_path: Path) -> None:
    halves((255, 0, 0, 255), (0, 0, 0, 0)).convert(mode).save(tmp_path / "a.png")

    (product,) = convert(target, tmp_path / "a.png")

    assert near(pixel(opened(product), (70, 30)), WHITE, by=3)


@pytest.mark.parametrize("target", ["png", "webp", "gif", "tiff", "avif", "ico"])
def test_alpha_stays_where_the_target_holds_it(target: str, convert: Convert, tmp_path: Path) -> None:
    halves((255, 0, 0, 255), (0, 0, 0, 0)).save(tmp_path / "a.png")

    (product,) = convert(target, tmp_path / "a.png")

    result = opened(product).convert("RGBA")
    assert result.getpixel((2, 2))[3] == 255  # type: ignore[index]  # four bands
    assert result.getpixel((result.size[0] - 3, 2))[3] == 0  # type: ignore[index]  # four bands


def test_16_bits_of_gray_stay_where_they_can_and_are_scaled_where_not(convert: Convert, tmp_path: Path) -> None:
    Image.new("I;16", (9, 9), 0x8000).save(tmp_path / "a.png")

    (kept,) = convert("tiff", tmp_path / "a.png")
    (scaled,) = convert("jpg", tmp_path / "a.png")

    assert opened(kept).getpixel((4, 4)) == 0x8000
    assert abs(opened(scaled).convert("L").getpixel((4, 4)) - 128) <= 1  # type: ignore[operator]  # one band


def test_several_sources_become_a_file_each(convert: Convert, tmp_path: Path) -> None:
    halves().save(tmp_path / "a.png")
    halves().save(tmp_path / "b.jpg")

    products = convert("webp", tmp_path / "a.png", tmp_path / "b.jpg")

    assert [(product.filename, product.sources) for product in products] == [("a.webp", (0,)), ("b.webp", (1,))]


def test_an_icon_holds_the_usual_sizes(convert: Convert, tmp_path: Path) -> None:
    halves(size=(300, 300)).save(tmp_path / "a.png")

    (product,) = convert("ico", tmp_path / "a.png")
    (one,) = convert("ico", tmp_path / "a.png", width=40)

    assert {16, 32, 48, 256} <= {side for side, _ in opened(product).info["sizes"]}
    assert opened(one).info["sizes"] == {(40, 40)}


@pytest.mark.parametrize(("size", "written"), [((1000, 10), (256, 3)), ((300, 300), (256, 256)), ((40, 20), (40, 20))])
def test_an_icon_says_how_large_it_is_and_not_how_large_the_picture_was(
    size: tuple[int, int], written: tuple[int, int], convert: Convert, tmp_path: Path
) -> None:
    halves(size=size).save(tmp_path / "a.png")

    (product,) = convert("ico", tmp_path / "a.png")

    assert opened(product).size == written
    assert (product.metadata["width"], product.metadata["height"]) == written


def test_smaller_quality_is_a_smaller_file(convert: Convert, tmp_path: Path) -> None:
    Image.effect_noise((200, 200), 80).save(tmp_path / "a.png")

    for target in ("jpg", "webp", "avif"):
        (fine,), (coarse,) = convert(target, tmp_path / "a.png"), convert(target, tmp_path / "a.png", quality="10")
        assert coarse.path.stat().st_size < fine.path.stat().st_size * 0.7


@pytest.mark.parametrize("kind", [kind for kind in SOURCES if kind != "pcx"])
@pytest.mark.parametrize("share", [0.02, 0.5, 0.9])
def test_half_a_file_is_refused_and_never_half_a_picture(
    kind: str, share: float, convert: Convert, tmp_path: Path
) -> None:
    whole = io.BytesIO()
    noise = Image.merge("RGB", [Image.effect_noise((120, 90), 90) for _ in range(3)])
    noise.save(whole, **SOURCES[kind])  # type: ignore[arg-type]  # a table of keywords
    content = whole.getvalue()
    (tmp_path / "cut").write_bytes(content[: int(len(content) * share)])

    with pytest.raises(ConversionError) as caught:
        convert("png", tmp_path / "cut")

    assert caught.value.code == 6005
    assert "'cut'" in caught.value.message


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "it is empty"),
        (b"<html><body>Not found</body></html>", "it looks like html"),
        (b"%PDF-1.7\n", "it looks like pdf"),
        (b"just some words", "it looks like plain text"),
        (bytes(range(256)), "nothing known"),
    ],
)
def test_a_picture_that_is_none_is_called_what_it_looks_like(
    content: bytes, words: str, convert: Convert, tmp_path: Path
) -> None:
    (tmp_path / "photo.jpg").write_bytes(content)

    with pytest.raises(ConversionError, match=words) as caught:
        convert("webp", tmp_path / "photo.jpg")

    assert caught.value.code == 6005


def png_of(width: int, height: int) -> bytes:
    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


@pytest.mark.parametrize("target", [*TARGETS, "pdf", "thumbnail", "resize-image"])
def test_a_picture_of_50000_pixels_square_is_refused_by_its_header(
    target: str, convert: Convert, tmp_path: Path
) -> None:
    (tmp_path / "bomb.png").write_bytes(png_of(50_000, 50_000))

    with pytest.raises(ConversionError) as caught:
        convert(target, tmp_path / "bomb.png")

    assert caught.value.code == 6037
    assert "50000 x 50000" in caught.value.details["text_1"]


def test_results_too_large_are_refused_before_they_are_made(convert: Convert, tmp_path: Path) -> None:
    halves().save(tmp_path / "a.png")

    for options in ({"width": 60000}, {"width": 900, "resize_by": "inches", "dpi": 1200}):
        with pytest.raises(ConversionError) as caught:
            convert("png", tmp_path / "a.png", **options)
        assert caught.value.code == 6037
    with pytest.raises(ConversionError, match="longest side is 16383"):
        convert("webp", tmp_path / "a.png", width=16384, height=9, resize_handling="stretch")
    with pytest.raises(ConversionError, match="longest side is 256"):
        convert("ico", tmp_path / "a.png", width=257)


@pytest.mark.parametrize("name", ["-rf.jpg", "a b.jpg", "ä\n'\".jpg", "..jpg", ".jpg", "no suffix", "\udcff.jpg"])
def test_odd_names_are_kept(name: str, convert: Convert, tmp_path: Path) -> None:
    halves().save(tmp_path / name, format="JPEG")

    (product,) = convert("png", tmp_path / name)

    assert product.filename == f"{Path(name).stem}.png"
    assert product.path.name == "0-0.png"


def test_an_avif_too_large_for_its_encoder_is_refused_before_it_is_begun(convert: Convert, tmp_path: Path) -> None:
    Image.new("1", (12_000, 12_000)).save(tmp_path / "a.png")

    with pytest.raises(ConversionError, match=r"of 12000 x 12000 pixels .* at most 100 megapixels are made") as refused:
        convert("avif", tmp_path / "a.png")

    assert refused.value.code == 6037
    assert convert("avif", tmp_path / "a.png", width=40)
