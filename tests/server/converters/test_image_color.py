"""Modes that hold colours and transparency in their own ways: what is seen stays, whatever the target holds."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import pypdfium2  # type: ignore[import-untyped]  # ships no types
import pytest
from PIL import Image, ImageDraw

from runner.server.converters.protocol import Product

Convert = Callable[..., list[Product]]
RED, BLUE = (255, 0, 0), (0, 0, 255)
SHADES = [x * 3276 for x in range(20)]


def opened(product: Product) -> Image.Image:
    with Image.open(product.path) as picture:
        picture.load()
        return picture


def logo() -> Image.Image:
    """A red circle on nothing, in a palette whose table has an alpha for every colour, soft edges included."""
    large = Image.new("RGBA", (256, 256), (0, 0, 0, 0))
    ImageDraw.Draw(large).ellipse((32, 32, 224, 224), fill=(200, 30, 30, 255))
    return large.resize((64, 64)).quantize(16)


def seen(picture: Image.Image, at: tuple[int, int]) -> tuple[int, ...]:
    pixel = picture.convert("RGBA").getpixel(at)
    assert isinstance(pixel, tuple)
    return pixel


def test_a_palette_with_a_table_of_alphas_stays_transparent_in_a_gif(convert: Convert, tmp_path: Path) -> None:
    logo().save(tmp_path / "logo.png")

    (product,) = convert("gif", tmp_path / "logo.png")

    result = opened(product)
    assert [seen(result, corner)[3] for corner in ((0, 0), (63, 0), (0, 63), (63, 63))] == [0, 0, 0, 0]
    assert seen(result, (32, 32)) == (200, 30, 30, 255)
    source = logo().convert("RGBA")
    for x in range(64):
        assert (seen(result, (x, 12))[3] == 255) == (seen(source, (x, 12))[3] >= 128)


def test_a_table_in_which_nothing_is_transparent_makes_an_opaque_gif(convert: Convert, tmp_path: Path) -> None:
    picture = Image.new("P", (8, 8), 1)
    picture.putpalette([*RED, *BLUE])
    picture.save(tmp_path / "a.png", transparency=b"\xff\xc8")

    (product,) = convert("gif", tmp_path / "a.png")

    assert seen(opened(product), (4, 4)) == (*BLUE, 255)


def test_frames_with_tables_of_alphas_do_not_show_the_one_before(convert: Convert, tmp_path: Path) -> None:
    frames = []
    for left in (0, 32):
        frame = Image.new("P", (64, 64), 0)
        frame.putpalette([0, 0, 0, *RED])
        frame.paste(1, (left, 0, left + 32, 64))
        frames.append(frame)
    frames[0].save(tmp_path / "a.png", save_all=True, append_images=frames[1:], duration=90, transparency=b"\x00\xff")

    (product,) = convert("gif", tmp_path / "a.png")

    with Image.open(product.path) as result:
        assert [seen(result, at)[3] for at in ((8, 8), (40, 8))] == [255, 0]
        result.seek(1)
        assert [seen(result, at)[3] for at in ((8, 8), (40, 8))] == [0, 255]


@pytest.fixture
def ramp(tmp_path: Path) -> Path:
    """16 bits of grey from left to right; the sixth shade counts as transparent."""
    picture = Image.new("I;16", (20, 10))
    for x, shade in enumerate(SHADES):
        for y in range(10):
            picture.putpixel((x, y), shade)  # paste would swap the bytes
    picture.save(tmp_path / "ramp.png", transparency=SHADES[5])
    return tmp_path / "ramp.png"


def test_deep_grey_with_a_transparent_shade_stays_what_it_is_in_a_png(ramp: Path, convert: Convert) -> None:
    (product,) = convert("png", ramp)

    result = opened(product)
    assert [result.getpixel((x, 5)) for x in range(20)] == SHADES
    assert result.info["transparency"] == SHADES[5]


@pytest.mark.parametrize("options", [{}, {"rotate": 180}, {"width": 20, "resize_handling": "stretch"}])
@pytest.mark.parametrize("target", ["webp", "tiff", "avif", "gif", "png"])
def test_deep_grey_with_a_transparent_shade_is_scaled_with_a_hole(
    target: str, options: dict[str, object], ramp: Path, convert: Convert
) -> None:
    (product,) = convert(target, ramp, **options)

    result = opened(product)
    if result.mode == "I;16":  # for which Pillow knows no RGBA
        assert result.info["transparency"] == SHADES[5]
        return
    row = [seen(result, (19 - x if "rotate" in options else x, 5)) for x in range(20)]
    assert [alpha for *_, alpha in row] == [0 if x == 5 else 255 for x in range(20)]
    by = 20 if target == "gif" else 6  # whose palette is made of 20 shades and what is transparent
    assert all(abs(row[x][0] - SHADES[x] / 257) <= by for x in range(20) if x != 5)


@pytest.mark.parametrize("target", ["jpg", "bmp"])
def test_deep_grey_with_a_transparent_shade_is_flattened_onto_white(target: str, ramp: Path, convert: Convert) -> None:
    (product,) = convert(target, ramp, quality=100) if target == "jpg" else convert(target, ramp)

    row = [seen(opened(product), (x, 5))[0] for x in range(20)]
    assert row[5] > 240
    assert all(abs(row[x] - SHADES[x] / 257) <= 12 for x in range(20) if x != 5)


@pytest.mark.parametrize("color", ["negate", "gray", "1900"])
def test_deep_grey_with_a_transparent_shade_can_be_treated(color: str, ramp: Path, convert: Convert) -> None:
    (product,) = convert("png", ramp, color=color)

    result = opened(product)
    assert seen(result, (5, 5))[3] == 0
    assert seen(result, (19, 5))[3] == 255
    assert (seen(result, (19, 5))[0] < seen(result, (1, 5))[0]) == (color == "negate")


@pytest.mark.parametrize("target", ["png", "jpg", "webp", "pdf"])
@pytest.mark.parametrize(("mode", "value"), [("I", 70_000), ("I", -5), ("F", 70_000.0), ("F", -5.0), ("F", 1e30)])
def test_a_flat_picture_beyond_the_usual_range_is_an_even_grey(
    mode: str, value: float, target: str, convert: Convert, tmp_path: Path
) -> None:
    Image.new(mode, (20, 10), value).save(tmp_path / "flat.tiff")

    (product,) = convert(target, tmp_path / "flat.tiff")

    if target == "pdf":
        page = pypdfium2.PdfDocument(product.path)[0].render().to_pil().convert("L")
        assert page.getextrema() == (128, 128)
    else:
        assert opened(product).convert("L").getextrema() == (128, 128)


@pytest.mark.parametrize(
    ("mode", "value", "shade"), [("I", 0, 0), ("I", 255, 255), ("F", 0.5, 127), ("F", 1.0, 255), ("F", 200.0, 200)]
)
def test_a_flat_picture_within_the_usual_range_has_its_own_grey(
    mode: str, value: float, shade: int, convert: Convert, tmp_path: Path
) -> None:
    Image.new(mode, (20, 10), value).save(tmp_path / "flat.tiff")

    (product,) = convert("png", tmp_path / "flat.tiff")

    assert opened(product).convert("L").getpixel((5, 5)) == shade


@pytest.mark.parametrize(
    ("brightest", "shade"),
    [(1.0, 127), (1.02, 127), (1.5, 127), (4.0, 31), (255.0, 0)],  # past 1 a little, brighter than white, to 255
)
def test_floats_are_as_bright_as_they_are_meant(brightest: float, shade: int, convert: Convert, tmp_path: Path) -> None:
    picture = Image.new("F", (8, 8), 0.5)
    picture.putpixel((0, 0), brightest)
    picture.putpixel((1, 0), 0.0)
    picture.save(tmp_path / "a.tiff")

    (product,) = convert("png", tmp_path / "a.tiff")

    result = opened(product)
    assert [result.getpixel(at) for at in ((4, 4), (0, 0), (1, 0))] == [shade, 255, 0]


def deep_ramp(path: Path, order: str) -> None:
    """16 bits of gray from left to right, each number in that order of bytes.

    Source: TIFF 6.0, section 2 (image file directory).
    """
    data = struct.pack(f"{order}200H", *SHADES * 10)
    entries = ((256, 20), (257, 10), (258, 16), (259, 1), (262, 1), (273, 8), (277, 1), (278, 10), (279, len(data)))
    rows = (struct.pack(f"{order}HHIHH", tag, 3, 1, value, 0) for tag, value in entries)
    head = (b"II" if order == "<" else b"MM") + struct.pack(f"{order}HI", 42, 8 + len(data))
    path.write_bytes(head + data + struct.pack(f"{order}H", len(entries)) + b"".join(rows) + bytes(4))


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("target", ["png", "tiff"])
@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        ({}, SHADES),
        ({"rotate": 180}, SHADES[::-1]),
        ({"width": 10, "height": 10, "resize_handling": "keep_aspect_ratio_crop"}, SHADES[5:15]),
        ({"width": 10, "height": 5}, [(one + other) / 2 for one, other in zip(SHADES[::2], SHADES[1::2], strict=True)]),
    ],
)
def test_16_bits_stay_16_whatever_their_order(
    options: dict[str, object], wanted: list[float], target: str, order: str, convert: Convert, tmp_path: Path
) -> None:
    deep_ramp(tmp_path / "a.tiff", order)

    (product,) = convert(target, tmp_path / "a.tiff", **options)

    result = opened(product)
    assert result.mode == "I;16"
    row = [result.getpixel((x, 2)) for x in range(result.size[0])]
    by = 800 if "width" in options and options["height"] == 5 else 0  # at the edges a filter isn't a mean
    assert all(abs(one - other) <= by for one, other in zip(row, wanted, strict=True))  # type: ignore[operator]  # one band


@pytest.mark.parametrize("options", [{"width": 10}, {"rotate": 30}, {"color": "negate"}])
@pytest.mark.parametrize("target", ["jpg", "webp", "png", "tiff"])
def test_floats_and_deep_shades_can_be_changed_for_any_target(
    target: str, options: dict[str, object], convert: Convert, tmp_path: Path
) -> None:
    for mode, value in (("F", 0.5), ("I;16", 32768), ("I", 32768)):
        Image.new(mode, (20, 10), value).save(tmp_path / "a.tiff")

        (product,) = convert(target, tmp_path / "a.tiff", **options)

        result = opened(product)
        pixel = result.getpixel((result.size[0] // 2, result.size[1] // 2))
        shade = float(pixel if not isinstance(pixel, tuple) else pixel[0])  # type: ignore[arg-type]  # a pixel that is there
        white = {"F": 1, "I;16": 65535, "I": 65535}.get(result.mode, 255)
        assert abs(shade / white - 0.5) < 0.02
