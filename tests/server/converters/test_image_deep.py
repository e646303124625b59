"""Scaled pictures with numbers of 32 bits or floats: no value leaves the range of the source."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from runner.server.converters.protocol import Product

Convert = Callable[..., list[Product]]


def opened(product: Product) -> Image.Image:
    with Image.open(product.path) as picture:
        picture.load()
        return picture


def halves(mode: str, left: float, right: float) -> Image.Image:
    picture = Image.new(mode, (60, 40), left)
    picture.paste(right, (30, 0, 60, 40))
    return picture


@pytest.mark.parametrize(
    "options",
    [
        {"width": 180},
        {"width": 25},
        {"width": 90, "rotate": 90},
        {"width": 90, "height": 90, "resize_handling": "keep_aspect_ratio_crop"},
    ],
)
@pytest.mark.parametrize(
    ("mode", "left", "right"), [("I", 0, 65535), ("I", -70_000, 255), ("F", 0.0, 1.0), ("F", -5.0, 9.0)]
)
def test_deep_shades_stay_within_their_range_when_they_are_scaled(
    mode: str, left: float, right: float, options: dict[str, object], convert: Convert, tmp_path: Path
) -> None:
    halves(mode, left, right).save(tmp_path / "a.tiff")

    (product,) = convert("tiff", tmp_path / "a.tiff", **options)

    result = opened(product)
    assert result.mode == mode
    assert result.getextrema() == (left, right)


@pytest.mark.parametrize(("mode", "white"), [("I", 65535), ("I", 255), ("F", 1.0)])
def test_a_scaled_deep_tiff_is_as_bright_in_the_next_step(
    mode: str, white: float, convert: Convert, tmp_path: Path
) -> None:
    halves(mode, 0, white).save(tmp_path / "a.tiff")

    (scaled,) = convert("tiff", tmp_path / "a.tiff", width=180)
    (product,) = convert("png", scaled.path)

    result = opened(product)
    assert [result.getpixel(at) for at in ((5, 60), (170, 60))] == [0, 255]


def test_numbers_that_fill_their_32_bits_are_scaled_without_holes(convert: Convert, tmp_path: Path) -> None:
    halves("I", 0, 2**31 - 1).save(tmp_path / "a.tiff")

    (product,) = convert("tiff", tmp_path / "a.tiff", width=180)

    row = [opened(product).getpixel((x, 5)) for x in range(91, 180)]
    assert all(shade > 245 for shade in row)  # type: ignore[operator]  # one band


@pytest.mark.parametrize("at", [(0, 0), (59, 39)])
def test_what_is_no_number_stays_none_in_a_scaled_picture(
    at: tuple[int, int], convert: Convert, tmp_path: Path
) -> None:
    picture = halves("F", 0.0, 1.0)
    picture.putpixel(at, float("nan"))
    picture.save(tmp_path / "a.tiff")

    (product,) = convert("tiff", tmp_path / "a.tiff", width=180)

    result = opened(product)
    hole = result.getpixel((at[0] * 3 + 1, at[1] * 3 + 1))
    assert hole != hole  # so it is with what is no number
    assert abs(result.getpixel((170, 60)) - 1) < 0.01  # type: ignore[operator]  # one band


@pytest.mark.parametrize(
    ("low", "high", "black"),
    [
        (-0.12, 1.12, 0),
        (-0.5, 1.0, 0),
        (-0.6, 1.0, 95),
        (-1.0, 1.0, 127),
        (-0.3, 0.3, 127),
    ],  # past black a little, or meant
)
def test_floats_that_pass_black_a_little_keep_it(
    low: float, high: float, black: int, convert: Convert, tmp_path: Path
) -> None:
    picture = halves("F", low, high)
    picture.putpixel((0, 0), 0.0)
    picture.save(tmp_path / "a.tiff")

    (product,) = convert("png", tmp_path / "a.tiff")

    assert opened(product).getpixel((0, 0)) == black
