"""Animations and pages: what holds several pictures keeps them where it can."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image, ImageSequence

from runner.server.converters.image_facts import facts_of
from runner.server.converters.protocol import ConversionError, Guards, Product, Source

Convert = Callable[..., list[Product]]
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


DURATIONS = [100, 250, 70]


@pytest.fixture
def animation(tmp_path: Path) -> Callable[[str], Path]:
    def build(kind: str, **options: object) -> Path:
        frames = [halves(color, BLUE) for color in (RED, (0, 255, 0), WHITE)]
        path = tmp_path / f"moving.{kind}"
        arguments = {"save_all": True, "append_images": frames[1:], "duration": DURATIONS, **options}
        frames[0].save(path, **arguments)  # type: ignore[arg-type]  # a table of keywords
        return path

    return build


@pytest.mark.parametrize("target", ["gif", "webp", "png", "avif"])
@pytest.mark.parametrize("kind", ["gif", "webp", "png", "avif"])
def test_an_animation_stays_one(kind: str, target: str, animation: Callable[..., Path], convert: Convert) -> None:
    (product,) = convert(target, animation(kind))

    with Image.open(product.path) as result:
        durations, colors = [], []
        for frame in ImageSequence.Iterator(result):
            frame.load()
            durations.append(round(frame.info["duration"]))
            colors.append(frame.convert("RGB").getpixel((10, 10)))
    assert durations == DURATIONS
    assert all(near(color, wanted, by=40) for color, wanted in zip(colors, (RED, (0, 255, 0), WHITE), strict=True))


@pytest.mark.parametrize("target", ["gif", "webp"])
@pytest.mark.parametrize(
    ("kind", "said", "plays"),
    [
        ("gif", {}, 1),
        ("gif", {"loop": 0}, 0),
        ("gif", {"loop": 2}, 3),
        ("webp", {"loop": 0}, 0),
        ("webp", {"loop": 3}, 3),
    ],
)
def test_an_animation_runs_as_often_as_before(
    kind: str, said: dict[str, int], plays: int, target: str, animation: Callable[..., Path], convert: Convert
) -> None:
    (product,) = convert(target, animation(kind, **said))

    loop = opened(product).info.get("loop")
    assert (plays if target == "webp" else {0: 0, 1: None, 3: 2}[plays]) == loop


def durations(product: Product) -> list[int]:
    with Image.open(product.path) as result:
        return [round(frame.info["duration"]) for frame in ImageSequence.Iterator(result) if frame.load()]


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ([33] * 6, [30, 40, 30, 30, 40, 30]),
        ([16] * 3, [20, 20, 20]),  # less would be shown for 100 ms
        ([5, 10, 5], [10, 10, 10]),  # which is what all of these are in browsers, before as well
        ([40, 1000, 25], [40, 1000, 20]),
        ([70, 900_000, 70], [70, 655_340, 70]),
    ],
)
def test_a_gif_runs_at_the_speed_of_its_source(
    given: list[int], shown: list[int], convert: Convert, tmp_path: Path
) -> None:
    frames = [halves((40 * number, 0, 0)) for number in range(len(given))]
    frames[0].save(tmp_path / "a.webp", save_all=True, append_images=frames[1:], duration=given, lossless=True)

    (product,) = convert("gif", tmp_path / "a.webp")

    assert durations(product) == shown


def test_parts_of_milliseconds_are_not_cut_off(convert: Convert, tmp_path: Path) -> None:
    frames = [halves((60 * number, 0, 0)) for number in range(4)]
    frames[0].save(tmp_path / "a.png", save_all=True, append_images=frames[1:], duration=16)
    content = bytearray((tmp_path / "a.png").read_bytes())
    for part in content.split(b"fcTL")[1:]:  # 16 / 1000 s become 16 / 960 s
        at = content.index(part) + 20
        content[at : at + 4] = (16).to_bytes(2, "big") + (960).to_bytes(2, "big")
        content[at + 6 : at + 10] = zlib.crc32(content[at - 24 : at + 6]).to_bytes(4, "big")
    (tmp_path / "a.png").write_bytes(content)

    (product,) = convert("webp", tmp_path / "a.png")

    assert durations(product) == [17, 16, 17, 17]


def test_a_resized_animation_keeps_its_frames(animation: Callable[..., Path], convert: Convert) -> None:
    (product,) = convert("webp", animation("gif"), width=40, color="gray")

    with Image.open(product.path) as result:
        assert result.size == (40, 30)
        assert getattr(result, "n_frames", 1) == 3


@pytest.mark.parametrize("target", ["gif", "avif", "png"])
def test_transparent_frames_do_not_show_the_one_before(target: str, convert: Convert, tmp_path: Path) -> None:
    frames = [halves((255, 0, 0, 255), (0, 0, 0, 0)), halves((0, 0, 0, 0), (0, 0, 255, 255))]
    frames[0].save(tmp_path / "a.png", save_all=True, append_images=frames[1:], duration=50)

    (product,) = convert(target, tmp_path / "a.png")

    with Image.open(product.path) as result:
        result.seek(1)
        shown = result.convert("RGBA")
    assert shown.getpixel((10, 10))[3] == 0  # type: ignore[index]  # four bands
    assert near(shown.getpixel((70, 10)), BLUE)


@pytest.fixture
def with_a_still(tmp_path: Path) -> Path:
    """An animation of two frames, and a white picture for who can't show it."""
    still, *frames = [Image.new("RGB", (40, 30), color) for color in (WHITE, RED, (0, 255, 0))]
    still.save(tmp_path / "a.png", save_all=True, append_images=frames, default_image=True, duration=[100, 900], loop=2)
    return tmp_path / "a.png"


@pytest.mark.parametrize("options", [{}, {"width": 20}])
@pytest.mark.parametrize("target", ["png", "gif", "webp", "avif"])
def test_a_still_picture_beside_an_animation_is_no_frame_of_it(
    target: str, options: dict[str, int], with_a_still: Path, convert: Convert
) -> None:
    (product,) = convert(target, with_a_still, **options)

    shown = []
    with Image.open(product.path) as result:
        for number in range(getattr(result, "n_frames", 1)):
            result.seek(number)
            result.load()
            shown.append((result.convert("RGB").getpixel((5, 5)), result.info.get("duration")))
        assert bool(getattr(result, "default_image", False)) == (target == "png")
    if target == "png":
        assert shown.pop(0)[0] == WHITE
    assert [round(duration or 0) for _, duration in shown] == [100, 900]
    assert all(near(color, wanted, by=20) for (color, _), wanted in zip(shown, (RED, (0, 255, 0)), strict=True))
    assert product.metadata["frames"] == 2


def test_the_still_picture_is_what_a_still_format_holds(with_a_still: Path, convert: Convert) -> None:
    (product,) = convert("jpg", with_a_still)

    assert near(opened(product).getpixel((5, 5)), WHITE)


@pytest.mark.parametrize("target", ["png", "gif"])
def test_one_frame_beside_a_still_picture_is_a_frame(target: str, convert: Convert, tmp_path: Path) -> None:
    Image.new("RGB", (40, 30), WHITE).save(
        tmp_path / "a.png", save_all=True, append_images=[Image.new("RGB", (40, 30), RED)], default_image=True
    )

    (product,) = convert(target, tmp_path / "a.png")

    with Image.open(product.path) as result:
        result.seek(getattr(result, "n_frames", 1) - 1)
        assert result.convert("RGB").getpixel((5, 5)) == RED
    assert product.metadata["frames"] == 1


def test_an_animation_to_a_still_format_is_its_first_frame(animation: Callable[..., Path], convert: Convert) -> None:
    (product,) = convert("jpg", animation("gif"))

    assert near(opened(product).getpixel((10, 10)), RED)


@pytest.fixture
def pages(tmp_path: Path) -> Path:
    rest = [Image.new("1", (50, 20), 1), Image.new("L", (30, 30), 9)]
    halves().save(tmp_path / "pages.tiff", save_all=True, append_images=rest)
    return tmp_path / "pages.tiff"


def test_pages_of_a_tiff_stay_pages(pages: Path, convert: Convert) -> None:
    (product,) = convert("tiff", pages)

    with Image.open(product.path) as result:
        sizes = [page.size for page in ImageSequence.Iterator(result)]
    assert sizes == [(80, 60), (50, 20), (30, 30)]


def test_the_results_of_later_pages_are_limited_as_that_of_the_first(convert: Convert, tmp_path: Path) -> None:
    second = Image.new("L", (1, 60))
    second.encoderinfo = {"dpi": (90_000, 90_000)}
    Image.new("L", (60, 60)).save(tmp_path / "a.tiff", save_all=True, append_images=[second])

    for options in ({"width": 3000}, {"width": 1, "resize_by": "inches"}):
        with pytest.raises(ConversionError) as caught:
            convert("png", tmp_path / "a.tiff", guards=Guards(pixels=10_000_000), **options)
        assert caught.value.code == 6037
        assert str(caught.value).startswith("Page 2 of the result would have ")


@pytest.mark.parametrize(("tall", "where"), [(3, ", as page 4 would be"), (0, ", as page 1 would be"), (None, "")])
def test_a_page_too_large_for_the_target_is_named(
    tall: int | None, where: str, convert: Convert, tmp_path: Path
) -> None:
    pages = [Image.new("L", (50, 300) if number == tall else (120, 80)) for number in range(4)]
    if tall is None:
        pages = [Image.new("L", (50, 300))]
    pages[0].save(tmp_path / "a.tiff", save_all=True, append_images=pages[1:])

    with pytest.raises(ConversionError) as caught:
        convert("ico", tmp_path / "a.tiff", width=77)

    text = f"An ico can't be 77 x 462 pixels large{where}; its longest side is 256 pixels. "
    assert str(caught.value) == f"{text}Choose a smaller width or height."


def test_black_and_white_gray_and_coloured_pages_stay_together(convert: Convert, tmp_path: Path) -> None:
    text = Image.new("1", (64, 40), 1)
    text.paste(0, (8, 8, 30, 12))
    scans = [text, Image.new("L", (30, 30), 9), text, halves(), Image.new("I;16", (10, 10), 3000)]
    for scan in scans[1:]:
        scan.encoderinfo = {"compression": "tiff_lzw"}
    text.save(tmp_path / "mixed.tif", save_all=True, append_images=scans[1:], compression="tiff_lzw")

    (product,) = convert("tiff", tmp_path / "mixed.tif")

    with Image.open(product.path) as result:
        pages = [(page.copy(), page.info["compression"]) for page in ImageSequence.Iterator(result)]
    assert [(page.mode, page.tobytes()) for page, _ in pages] == [(scan.mode, scan.tobytes()) for scan in scans]
    assert [compression for _, compression in pages] == ["group4", "tiff_lzw", "group4", "tiff_lzw", "tiff_lzw"]


def test_pages_of_a_tiff_become_a_file_each(pages: Path, convert: Convert) -> None:
    products = convert("jpg", pages)

    assert [product.filename for product in products] == ["pages-1.jpg", "pages-2.jpg", "pages-3.jpg"]
    assert [opened(product).size for product in products] == [(80, 60), (50, 20), (30, 30)]
    assert {product.sources for product in products} == {(0,)}


@pytest.mark.parametrize(
    ("kinds", "kept"),
    [
        ((0, 1, 1), [0]),
        ((0, 4, 1), [0]),
        ((0, 1, 2, 5), [0, 2]),
        ((2, 2, 2), [0, 1, 2]),
        ((1, 0), [0, 1]),
        ((1, 1, 1), [0, 1, 2]),
    ],
)
def test_smaller_copies_and_masks_in_a_tiff_are_no_pages(
    kinds: tuple[int, ...], kept: list[int], convert: Convert, tmp_path: Path
) -> None:
    pictures = [Image.new("L", (60 - 10 * number, 20), 50 * number) for number in range(len(kinds))]
    for picture, kind in zip(pictures, kinds, strict=True):
        picture.encoderinfo = {"tiffinfo": {254: kind}}
    pictures[0].save(tmp_path / "map.tif", save_all=True, append_images=pictures[1:])

    products = convert("png", tmp_path / "map.tif")
    (whole,) = convert("tiff", tmp_path / "map.tif")

    assert [opened(product).size for product in products] == [pictures[number].size for number in kept]
    assert [opened(product).getpixel((5, 5)) for product in products] == [50 * number for number in kept]
    with Image.open(whole.path) as result:
        assert getattr(result, "n_frames", 1) == len(kept)
    source = Source(path=tmp_path / "map.tif", filename="map.tif", content_type="image/tiff", kind="tiff")
    assert facts_of(source, Guards())["pages"] == str(len(kept))


def test_too_many_frames_are_refused(animation: Callable[..., Path], convert: Convert) -> None:
    with pytest.raises(ConversionError, match="3 pictures; at most 2") as caught:
        convert("webp", animation("gif"), guards=Guards(frames=2))

    assert caught.value.code == 6037


def test_frames_too_large_together_are_refused(animation: Callable[..., Path], convert: Convert) -> None:
    with pytest.raises(ConversionError, match="megapixels together"):
        convert("webp", animation("gif"), guards=Guards(frame_pixels=10_000))
