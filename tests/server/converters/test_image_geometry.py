"""Sizes, units, handling, rotation, colours: what the options promise, in pixels."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageStat

from runner.server.converters.catalog import expand_options, find
from runner.server.converters.image_geometry import Geometry, box, fitted, result_size, rotate, rotated_size
from runner.server.converters.protocol import ConversionError, Guards, Product

Convert = Callable[..., list[Product]]
RED, BLUE = (255, 0, 0), (0, 0, 255)


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    """200 x 100, the left half red, the right half blue."""
    whole = Image.new("RGB", (200, 100), BLUE)
    whole.paste(RED, (0, 0, 100, 100))
    whole.save(tmp_path / "a.png", dpi=(100, 100))
    return tmp_path / "a.png"


def opened(product: Product) -> Image.Image:
    with Image.open(product.path) as result:
        return result.convert("RGBA")


def mean(band: Image.Image) -> float:
    return ImageStat.Stat(band).mean[0]


@pytest.mark.parametrize(
    ("options", "size"),
    [
        ({"width": 100}, (100, 50)),
        ({"height": "50"}, (100, 50)),
        ({"width": 400}, (400, 200)),
        ({"width": 100, "height": 100}, (100, 50)),
        ({"width": 1000, "height": 10}, (20, 10)),
        ({"width": 50, "height": 50, "resize_handling": "stretch"}, (50, 50)),
        ({"width": 50, "resize_handling": "stretch"}, (50, 25)),
        ({"height": 25, "resize_handling": "keep_aspect_ratio_fill_white"}, (50, 25)),
        ({"width": 50, "height": 50, "resize_handling": "keep_aspect_ratio_crop"}, (50, 50)),
        ({"width": 50, "height": 50, "resize_handling": "keep_aspect_ratio_fill_white"}, (50, 50)),
        ({"width": 50, "resize_by": "perc"}, (100, 50)),
        ({"width": 50, "height": 10, "resize_by": "perc", "resize_handling": "stretch"}, (100, 10)),
        ({"width": 1, "resize_by": "inches"}, (100, 50)),
        ({"width": 1, "resize_by": "inches", "dpi": 300}, (300, 150)),
        ({"width": 2.54, "resize_by": "cm"}, (100, 50)),
        ({"width": 25.4, "resize_by": "mm"}, (100, 50)),
        ({"rotate": 90}, (100, 200)),
        ({"rotate": 90, "width": 50}, (50, 100)),
        ({"rotate": 180}, (200, 100)),
        ({"width": 1, "height": 1}, (1, 1)),
    ],
)
def test_the_result_has_the_size_asked_for(
    options: dict[str, object], size: tuple[int, int], convert: Convert, picture: Path
) -> None:
    (product,) = convert("png", picture, **options)

    assert opened(product).size == size


@pytest.mark.parametrize(
    ("options", "size"),
    [
        ({"width": 25, "resize_by": "perc"}, (500, 250)),
        ({"width": 400}, (400, 200)),
        ({"width": 300, "height": 300, "resize_handling": "keep_aspect_ratio_crop"}, (300, 300)),
        ({"width": 300, "height": 100, "resize_handling": "stretch"}, (300, 100)),
        ({"height": 300, "rotate": 90}, (150, 300)),
    ],
)
def test_a_large_jpg_decoded_smaller_has_the_same_size(
    options: dict[str, object], size: tuple[int, int], convert: Convert, tmp_path: Path
) -> None:
    Image.new("RGB", (2000, 1000)).save(tmp_path / "a.jpg")
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (1000, 2000)).save(tmp_path / "turned.jpg", exif=exif)

    for name in ("a.jpg", "turned.jpg"):
        (product,) = convert("png", tmp_path / name, **options)
        assert opened(product).size == size


@pytest.mark.parametrize(
    ("whole", "options", "size"),
    [
        ((700, 457), {"width": 160}, (160, 104)),
        ((457, 700), {"height": 160}, (104, 160)),
        ((1000, 103), {"width": 100}, (100, 10)),
        ((1000, 103), {"width": 10, "resize_by": "perc"}, (100, 10)),
        ((103, 1000), {"height": 101, "resize_handling": "keep_aspect_ratio_crop"}, (10, 101)),
        ((700, 667), {"width": 160, "height": 160}, (160, 152)),
    ],
)
def test_a_side_given_alone_is_as_long_as_asked_for(
    whole: tuple[int, int], options: dict[str, object], size: tuple[int, int], convert: Convert, tmp_path: Path
) -> None:
    for kind in ("jpg", "png"):
        Image.new("L", whole).save(tmp_path / f"a.{kind}")
        (product,) = convert("png", tmp_path / f"a.{kind}", **options)
        assert opened(product).size == size


def test_what_is_filled_lies_the_same_whether_the_source_was_decoded_smaller(convert: Convert, tmp_path: Path) -> None:
    options = {"width": 160, "height": 160, "resize_handling": "keep_aspect_ratio_fill_black"}
    for kind in ("jpg", "png"):
        Image.new("RGB", (700, 667), "white").save(tmp_path / f"a.{kind}")
        (product,) = convert("png", tmp_path / f"a.{kind}", **options)
        assert opened(product).convert("RGB").getbbox() == (0, 4, 160, 156)


@pytest.mark.parametrize(
    ("fill", "color"),
    [("black", (0, 0, 0, 255)), ("white", (255, 255, 255, 255)), ("transparent", (0, 0, 0, 0))],
)
def test_what_is_missing_is_filled(fill: str, color: tuple[int, ...], convert: Convert, picture: Path) -> None:
    options = {"width": 100, "height": 100, "resize_handling": f"keep_aspect_ratio_fill_{fill}"}
    (product,) = convert("png", picture, **options)

    result = opened(product)
    assert [result.getpixel((50, y)) for y in (0, 10, 90, 99)] == [color] * 4
    assert result.getpixel((10, 50)) == (255, 0, 0, 255)


def test_a_blurred_fill_is_made_of_the_picture(convert: Convert, picture: Path) -> None:
    options = {"width": 100, "height": 100, "resize_handling": "keep_aspect_ratio_fill_blurred"}
    (product,) = convert("png", picture, **options)

    red, _, blue, _ = opened(product).split()
    left, right = (1, 1, 9, 9), (91, 1, 99, 9)
    assert mean(red.crop(left)) > 150 > mean(blue.crop(left))
    assert mean(blue.crop(right)) > 150 > mean(red.crop(right))


def test_a_crop_keeps_the_middle(convert: Convert, picture: Path) -> None:
    (product,) = convert("png", picture, width=100, height=100, resize_handling="keep_aspect_ratio_crop")

    result = opened(product)
    assert result.getpixel((5, 50)) == (*RED, 255)
    assert result.getpixel((95, 50)) == (*BLUE, 255)


def test_rotation_is_clockwise_and_corners_open(convert: Convert, picture: Path) -> None:
    (quarter,) = convert("png", picture, rotate=90)
    (slanted,) = convert("png", picture, rotate=45)
    (white,) = convert("jpg", picture, rotate=45)

    assert opened(quarter).getpixel((50, 10)) == (*RED, 255)  # the left side is now on top
    assert all(212 <= side <= 214 for side in opened(slanted).size)  # 300 / sqrt(2), and an edge
    assert opened(slanted).getpixel((0, 0)) == (0, 0, 0, 0)
    assert opened(white).getpixel((0, 0)) == (255, 255, 255, 255)


@pytest.mark.parametrize(
    ("color", "left"),
    [("gray", (76, 76, 76)), ("negate", (0, 255, 255)), ("colored", RED)],
)
def test_colours_are_treated(color: str, left: tuple[int, ...], convert: Convert, picture: Path) -> None:
    (product,) = convert("png", picture, color=color)

    assert opened(product).convert("RGB").getpixel((10, 10)) == left


def test_monochrome_is_black_and_white_and_sepia_is_warm(convert: Convert, picture: Path) -> None:
    for target in ("png", "tiff", "gif", "webp"):
        (product,) = convert(target, picture, color="monochrome")
        assert not any(opened(product).convert("L").histogram()[16:240])
    for color in ("1900", "1980"):
        (product,) = convert("png", picture, color=color)
        red, _, blue = opened(product).convert("RGB").getpixel((10, 10))  # type: ignore[misc]  # three bands
        assert red > blue


def test_treatments_leave_alpha_alone(convert: Convert, tmp_path: Path) -> None:
    Image.new("RGBA", (10, 10), (255, 0, 0, 100)).save(tmp_path / "a.png")

    for color in ("gray", "negate", "1900", "1980"):
        (product,) = convert("png", tmp_path / "a.png", color=color)
        assert opened(product).getpixel((5, 5))[3] == 100  # type: ignore[index]  # four bands


sides = st.integers(1, 70_000)


@given(size=st.tuples(sides, sides), frame=st.tuples(sides, sides))
def test_what_is_fitted_touches_the_frame_and_stays_inside(size: tuple[int, int], frame: tuple[int, int]) -> None:
    width, height = fitted(size, frame)

    assert 1 <= width <= frame[0]
    assert 1 <= height <= frame[1]
    assert width == frame[0] or height == frame[1]


@given(size=st.tuples(sides, sides), side=sides)
def test_a_side_alone_is_never_another_one(size: tuple[int, int], side: int) -> None:
    assert result_size(Geometry(width=side), size, (72, 72))[0] == side
    assert result_size(Geometry(height=side), size, (72, 72))[1] == side


@given(size=st.tuples(sides, sides), ratio=st.tuples(st.integers(1, 999), st.integers(1, 999)))
def test_a_box_of_a_ratio_is_inside_to_crop_and_around_to_fill(size: tuple[int, int], ratio: tuple[int, int]) -> None:
    inside = box(Geometry(aspect=ratio), size, (72, 72))
    around = box(Geometry(aspect=ratio, handling="keep_aspect_ratio_fill_white"), size, (72, 72))

    assert inside[0] <= size[0]
    assert inside[1] <= size[1]
    assert around[0] >= size[0]
    assert around[1] >= size[1]


@given(size=st.tuples(st.integers(1, 60), st.integers(1, 60)), degrees=st.integers(0, 359))
def test_the_promised_size_is_that_of_the_rotated_one(size: tuple[int, int], degrees: int) -> None:
    assert rotate(Image.new("RGB", size), degrees).size == rotated_size(size, degrees)


def test_a_slightly_turned_picture_is_measured_by_what_it_becomes(convert: Convert, tmp_path: Path) -> None:
    Image.new("L", (760, 600)).save(tmp_path / "a.jpg")

    (product,) = convert("png", tmp_path / "a.jpg", rotate=1, guards=Guards(pixels=1_000_000))
    with pytest.raises(ConversionError, match="The result would have 962 x 962 pixels; at most 0 megapixels"):
        convert("png", tmp_path / "a.jpg", rotate=45, guards=Guards(pixels=900_000))

    assert opened(product).size == rotated_size((760, 600), 1) == (772, 614)


def test_results_are_bounded_before_a_pixel_is_read() -> None:
    assert result_size(Geometry(width=65000, height=10, handling="stretch"), (10, 10), (72, 72)) == (65000, 10)


def test_resize_image_makes_the_target_and_the_shape_asked_for(convert: Convert, picture: Path) -> None:
    (same,) = convert("resize-image", picture, width=100)
    (other,) = convert("resize-image", picture, width=100, resize_target="jpg")
    (square,) = convert("resize-image", picture, aspect_ratio="1:1", width=7)
    (filled,) = convert("resize-image", picture, aspect_ratio="1:1", resize_handling="keep_aspect_ratio_fill_black")

    assert (same.filename, opened(same).size) == ("a.png", (100, 50))
    assert (other.filename, other.content_type, opened(other).size) == ("a.jpg", "image/jpeg", (100, 50))
    assert opened(square).size == (100, 100)
    assert opened(filled).size == (200, 200)


def test_thumbnails_fit_and_pages_are_chosen(convert: Convert, tmp_path: Path) -> None:
    pages = [Image.new("RGB", (300, 100 * number)) for number in (1, 2, 3, 4)]
    pages[0].save(tmp_path / "a.tiff", save_all=True, append_images=pages[1:])

    every = convert("thumbnail", tmp_path / "a.tiff", thumbnail_target="jpg")
    some = convert("thumbnail", tmp_path / "a.tiff", width=60, pages="first, 3-last")
    pages[0].save(tmp_path / "b.gif")
    with pytest.raises(ConversionError, match=r"'a\.tiff' has 4 pages; '4-2,9' names none that is there"):
        convert("thumbnail", tmp_path / "a.tiff", pages="4-2,9")
    with pytest.raises(ConversionError, match=r"'b\.gif' has 1 page; '2' names none"):
        convert("thumbnail", tmp_path / "b.gif", pages="2")

    assert [opened(product).size for product in every] == [(200, 67), (200, 133), (200, 200), (150, 200)]
    assert [opened(product).size for product in some] == [(60, 20), (60, 60), (60, 80)]


@pytest.mark.parametrize("pages", ["5last", "firstlast", "first5", "1" * 5000, "1-" + "9" * 5000, "1,,2", "", "٣"])
def test_pages_that_name_nothing_are_refused_when_they_are_asked_for(pages: str) -> None:
    target = find("operation", "thumbnail")
    assert target is not None

    (problem,) = expand_options(target, {"pages": pages}).problems

    assert problem.option == "pages"


@pytest.mark.parametrize(
    ("pages", "heights"),
    [
        ("last", [4]),
        ("first-2", [1, 2]),
        ("3-", [3, 4]),
        ("2, 4", [2, 4]),
        ("first,last", [1, 4]),
        ("3-999999999", [3, 4]),
    ],
)
def test_pages_are_taken_by_number_and_by_name(
    pages: str, heights: list[int], convert: Convert, tmp_path: Path
) -> None:
    document = [Image.new("L", (20, 20 * number)) for number in (1, 2, 3, 4)]
    document[0].save(tmp_path / "a.tiff", save_all=True, append_images=document[1:])

    products = convert("thumbnail", tmp_path / "a.tiff", width=10, pages=pages)

    assert [opened(product).size[1] for product in products] == [10 * number for number in heights]
