"""Gifs: what is transparent in a source is in the result, and what a source leaves open is transparent."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from runner.server.converters.protocol import Product

Convert = Callable[..., list[Product]]

RED, GREEN, BLUE, CLEAR = (200, 0, 0, 255), (0, 200, 0, 255), (0, 0, 200, 255), 0
PALETTE = bytes([200, 0, 0, 0, 200, 0, 0, 0, 200, 0, 0, 0])  # red is the first, and the background


def frames_of(product: Product) -> list[Image.Image]:
    with Image.open(product.path) as picture:
        frames = []
        for number in range(getattr(picture, "n_frames", 1)):
            picture.seek(number)
            frames.append(picture.convert("RGBA"))
        return frames


def shadow(color: tuple[int, int, int]) -> Image.Image:
    """Nowhere wholly opaque, and softer from the middle to the corners."""
    picture = Image.new("RGBA", (64, 64), (*color, 0))
    for x in range(64):
        for y in range(64):
            distance = max(abs(x - 32), abs(y - 32))
            picture.putpixel((x, y), (*color, max(0, 200 - 8 * distance)))
    return picture


@pytest.mark.parametrize("color", [(0, 0, 0), (30, 90, 200)])
@pytest.mark.parametrize("kind", ["png", "webp"])
def test_a_soft_shadow_keeps_its_transparency_in_a_gif(
    kind: str, color: tuple[int, int, int], convert: Convert, tmp_path: Path
) -> None:
    shadow(color).save(tmp_path / f"a.{kind}", lossless=True, exact=True)

    (product,) = convert("gif", tmp_path / f"a.{kind}")

    (result,) = frames_of(product)
    assert [result.getpixel(at)[3] for at in ((0, 0), (63, 30), (32, 32))] == [0, 0, 255]  # type: ignore[index]  # RGBA


def test_pixels_that_are_not_seen_stay_so_in_a_gif_whatever_their_colours(convert: Convert, tmp_path: Path) -> None:
    picture = Image.linear_gradient("L").convert("RGB").resize((64, 64))
    picture.putalpha(Image.new("L", (64, 64)))
    picture.paste((9, 9, 9, 255), (20, 20, 40, 40))
    picture.save(tmp_path / "a.png")

    (product,) = convert("gif", tmp_path / "a.png")

    (result,) = frames_of(product)
    assert result.getchannel("A").histogram()[::255] == [64 * 64 - 400, 400]


def test_what_is_hardly_transparent_is_opaque_in_a_gif(convert: Convert, tmp_path: Path) -> None:
    Image.new("RGBA", (8, 8), (10, 200, 30, 220)).save(tmp_path / "a.png")

    (product,) = convert("gif", tmp_path / "a.png")

    (result,) = frames_of(product)
    assert result.getpixel((3, 3)) == (10, 200, 30, 255)


def gif(*frames: tuple[tuple[int, int, int, int], int, int]) -> bytes:
    """40 x 30 pixels; for each frame where it lies, its colour, and what becomes of it."""
    parts = [b"GIF89a", struct.pack("<HHBBB", 40, 30, 0x81, 0, 0), PALETTE]
    for (x, y, width, height), color, disposal in frames:
        one = io.BytesIO()
        plain = Image.new("P", (width, height), color)
        plain.putpalette(PALETTE)
        plain.save(one, "GIF", optimize=False)
        data = one.getvalue()
        image = data.rindex(b"," + struct.pack("<HHHH", 0, 0, width, height))
        parts += [b"\x21\xf9\x04", struct.pack("<BHBB", disposal << 2, 10, 0, 0)]
        parts += [b",", struct.pack("<HHHHB", x, y, width, height, 0), data[image + 10 : -1]]
    return b"".join([*parts, b";"])


@pytest.mark.parametrize("target", ["png", "gif", "webp"])
@pytest.mark.parametrize(("disposal", "then"), [(1, BLUE), (2, CLEAR), (3, GREEN)])
def test_what_a_frame_leaves_behind_is_what_it_says(
    disposal: int, then: tuple[int, ...] | int, target: str, convert: Convert, tmp_path: Path
) -> None:
    whole, small, other = ((0, 0, 40, 30), 1, 1), ((5, 5, 10, 10), 2, disposal), ((20, 20, 5, 5), 2, 1)
    (tmp_path / "a.gif").write_bytes(gif(whole, small, other))

    (product,) = convert(target, tmp_path / "a.gif")

    first, second, third = (frame.getpixel((8, 8)) for frame in frames_of(product))
    assert near(first, GREEN)
    assert near(second, BLUE)
    assert near(third, then)
    assert all(near(frame.getpixel((1, 1)), GREEN) for frame in frames_of(product))


@pytest.mark.parametrize("target", ["png", "gif", "webp"])
def test_what_no_frame_draws_on_is_transparent(target: str, convert: Convert, tmp_path: Path) -> None:
    (tmp_path / "a.gif").write_bytes(gif(((5, 5, 10, 10), 1, 1)))

    (product,) = convert(target, tmp_path / "a.gif")

    (result,) = frames_of(product)
    assert near(result.getpixel((8, 8)), GREEN)
    assert near(result.getpixel((30, 20)), CLEAR)


def near(pixel: object, wanted: tuple[int, ...] | int) -> bool:
    assert isinstance(pixel, tuple)
    if wanted == CLEAR or isinstance(wanted, int):
        return bool(pixel[3] == CLEAR)
    return all(abs(one - other) < 25 for one, other in zip(pixel, wanted, strict=True))
