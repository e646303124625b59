"""What colours look like stays, whatever profile a picture has and whatever a target holds."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from pathlib import Path

import pypdfium2  # type: ignore[import-untyped]  # ships no types
import pytest
from PIL import Image, ImageCms, TiffImagePlugin

from runner.server.converters.protocol import Product

Convert = Callable[..., list[Product]]
RAW = (120, 180, 60)
TARGETS = ("jpg", "png", "webp", "gif", "tiff", "pdf")
FILL = {"width": 40, "height": 40, "resize_handling": "keep_aspect_ratio_fill_white"}
HOLE = {"width": 40, "height": 40, "resize_handling": "keep_aspect_ratio_fill_transparent"}
WAYS: tuple[dict[str, object], ...] = ({}, {"width": 30}, {"rotate": 30}, FILL, HOLE)


def profile(space: bytes, *tags: tuple[bytes, bytes]) -> bytes:
    """The least that a profile of a screen says.

    Source: ICC.1:2001-04, 6.1 (header), 6.2 (tag table).
    """
    white = (b"wtpt", _xyz(0.9642, 1, 0.8249))
    name = (b"desc", b"desc" + bytes(4) + struct.pack(">I", 2) + b"x\0" + bytes(78))
    said = (name, (b"cprt", b"text" + bytes(4) + b"x\0"), white, *tags)
    head = bytearray(128)
    head[8:12], head[12:16], head[16:20], head[20:24], head[36:40] = b"\x02\x10\0\0", b"mntr", space, b"XYZ ", b"acsp"
    head[68:80] = white[1][8:]
    table, body, start = struct.pack(">I", len(said)), b"", 132 + 12 * len(said)
    for tag, value in said:
        table += tag + struct.pack(">II", start + len(body), len(value))
        body += value + bytes(-len(value) % 4)
    return struct.pack(">I", start + len(body)) + bytes(head[4:]) + table + body


def _xyz(*values: float) -> bytes:
    return b"XYZ " + bytes(4) + b"".join(struct.pack(">i", round(value * 65536)) for value in values)


def _curve(gamma: float) -> bytes:
    return b"curv" + bytes(4) + struct.pack(">IH", 1, round(gamma * 256)) + bytes(2)


WIDE = profile(
    b"RGB ",
    *((b"rXYZ", _xyz(0.7977, 0.2880, 0)), (b"gXYZ", _xyz(0.1352, 0.7119, 0)), (b"bXYZ", _xyz(0.0313, 0.0001, 0.8249))),
    *((tag, _curve(1.8)) for tag in (b"rTRC", b"gTRC", b"bTRC")),
)
LINEAR = profile(b"GRAY", (b"kTRC", _curve(1.0)))


def shown(picture: Image.Image, at: tuple[int, int] | None = None) -> tuple[int, int, int]:
    """The colour in the middle (or `at`), as a screen shows it."""
    icc = picture.info.get("icc_profile")
    gray = picture.mode in ("L", "LA", "1")
    plain = picture.convert("RGBA").convert("L" if gray else "RGB")
    if icc:
        own, screen = (
            ImageCms.ImageCmsProfile(io.BytesIO(icc)),
            ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")),
        )
        converted = ImageCms.profileToProfile(plain, own, screen, outputMode="RGB")
        assert converted is not None
        plain = converted
    pixel = plain.convert("RGB").getpixel(at or (plain.size[0] // 2, plain.size[1] // 2))
    assert isinstance(pixel, tuple)
    return pixel[0], pixel[1], pixel[2]


def result(product: Product) -> Image.Image:
    if product.path.suffix == ".pdf":
        rendered: Image.Image = pypdfium2.PdfDocument(product.path)[0].render(scale=4).to_pil()
        return rendered
    with Image.open(product.path) as picture:
        picture.load()
        return picture


def near(one: tuple[int, ...], other: tuple[int, ...], *, by: int = 6) -> bool:
    return all(abs(value - wanted) <= by for value, wanted in zip(one, other, strict=True))


@pytest.mark.parametrize("options", WAYS)
@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("mode", ["P", "RGB"])
def test_colours_with_a_profile_look_as_before(
    mode: str, target: str, options: dict[str, object], convert: Convert, tmp_path: Path
) -> None:
    picture = Image.new("RGB", (60, 30), RAW)
    (picture.quantize(4) if mode == "P" else picture.convert(mode)).save(tmp_path / "a.png", icc_profile=WIDE)
    before = shown(result(Product(path=tmp_path / "a.png", filename="", content_type="", sources=())))
    assert not near(before, RAW, by=20)

    (product,) = convert(target, tmp_path / "a.png", **options)

    assert near(shown(result(product)), before, by=20)
    if target in ("jpg", "png", "webp", "tiff", "avif"):
        assert result(product).info["icc_profile"] == WIDE


@pytest.mark.parametrize("options", WAYS)
@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("mode", ["L", "LA", "I;16"])
def test_shades_with_a_profile_are_as_bright_as_before(
    mode: str, target: str, options: dict[str, object], convert: Convert, tmp_path: Path
) -> None:
    shade = 60 * 257 if mode == "I;16" else 60
    Image.new(mode, (60, 30), (shade, 255) if mode == "LA" else shade).save(tmp_path / "a.png", icc_profile=LINEAR)

    (product,) = convert(target, tmp_path / "a.png", **options)

    picture = result(product)
    if picture.mode == "I;16":
        assert picture.info["icc_profile"] == LINEAR
        assert picture.getpixel((9, 9)) == shade
    else:
        assert near(shown(picture), (133, 133, 133))


@pytest.mark.parametrize("color", ["gray", "1900", "1980"])
@pytest.mark.parametrize("target", ["png", "bmp"])
def test_treatments_count_with_the_colours_that_are_seen(
    target: str, color: str, convert: Convert, tmp_path: Path
) -> None:
    picture = Image.new("RGB", (60, 30), RAW)
    picture.save(tmp_path / "wide.png", icc_profile=WIDE)
    (flat,) = convert("bmp", tmp_path / "wide.png")
    (wanted,) = convert("png", flat.path, color=color)

    (product,) = convert(target, tmp_path / "wide.png", color=color)

    assert near(shown(result(product)), shown(result(wanted)))


def test_the_white_of_a_fill_is_white_beside_any_profile(convert: Convert, tmp_path: Path) -> None:
    Image.new("RGB", (60, 30), RAW).save(tmp_path / "a.png", icc_profile=WIDE)
    Image.new("L", (60, 30), 60).save(tmp_path / "b.png", icc_profile=LINEAR)

    for name in ("a.png", "b.png"):
        (product,) = convert("png", tmp_path / name, **FILL)
        assert near(shown(result(product), (20, 2)), (255, 255, 255), by=1)


@pytest.mark.parametrize("target", ["jpg", "tiff", "bmp"])
@pytest.mark.parametrize("first", [WIDE, None])
def test_a_page_has_its_own_profile_and_no_other(
    first: bytes | None, target: str, convert: Convert, tmp_path: Path
) -> None:
    pages = [Image.new("RGB", (60, 30), RAW) for _ in range(2)]
    pages[0 if first else 1].encoderinfo = {"icc_profile": WIDE}
    pages[0].save(tmp_path / "a.tiff", save_all=True, append_images=pages[1:])
    profiles, looks = [], []
    with Image.open(tmp_path / "a.tiff") as source:
        assert isinstance(source, TiffImagePlugin.TiffImageFile)
        for number in range(2):
            source.seek(number)
            assert (TiffImagePlugin.ICCPROFILE in source.tag_v2) == ((number == 0) == bool(first))

    products = convert(target, tmp_path / "a.tiff")

    for product in products:
        with Image.open(product.path) as picture:
            for number in range(getattr(picture, "n_frames", 1)):
                picture.seek(number)
                page = picture.copy()
                own = getattr(picture, "tag_v2", page.info).get(
                    TiffImagePlugin.ICCPROFILE if target == "tiff" else "icc_profile"
                )
                page.info["icc_profile"] = own
                profiles.append(own)
                looks.append(shown(page))
    order = 1 if first else -1
    if target != "bmp":
        assert profiles == [WIDE, None][::order]
    assert near(looks[0 if first else 1], (94, 203, 6), by=12)
    assert near(looks[1 if first else 0], RAW)
