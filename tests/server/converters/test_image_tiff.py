"""Tiffs as other programs write them: what their tags say of their samples counts, and what can't be read is said."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest
from PIL import Image

from runner.server.converters.protocol import ConversionError, Product

Convert = Callable[..., list[Product]]

BITS, PHOTOMETRIC, SAMPLES, PLANAR, EXTRA, FORMAT = 258, 262, 277, 284, 338, 339
BLACK_IS_ZERO, RGB, LAB = 1, 2, 8
SIDE = 4


def tiff(tags: Mapping[int, Sequence[int]], *strips: bytes, order: str = "<", then: bytes = b"") -> bytes:
    """A picture of 4 x 4 pixels without compression; `then` stands at `len(tiff(...)) - len(then)`."""
    at = 8 + sum(map(len, strips))
    starts = [8 + sum(map(len, strips[:index])) for index in range(len(strips))]
    every = {
        256: [SIDE],
        257: [SIDE],
        259: [1],
        273: starts,
        278: [SIDE],
        279: [len(strip) for strip in strips],
        **tags,
    }
    behind = at + 2 + 12 * len(every) + 4
    entries, long_values = b"", b""
    for tag, values in sorted(every.items()):
        value = struct.pack(f"{order}{len(values)}I", *values)
        if len(values) > 1:
            value, long_values = struct.pack(f"{order}I", behind + len(long_values)), long_values + value
        entries += struct.pack(f"{order}HHI", tag, 4, len(values)) + value
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}I", at)
    directory = struct.pack(f"{order}H", len(every)) + entries + struct.pack(f"{order}I", 0)
    return head + b"".join(strips) + directory + long_values + then


def plane(value: float, code: str, order: str = "<") -> bytes:
    return struct.pack(f"{order}{SIDE * SIDE}{code}", *[value] * (SIDE * SIDE))


def converted(content: bytes, target: str, convert: Convert, folder: Path) -> Image.Image:
    (folder / "a.tif").write_bytes(content)
    (product,) = convert(target, folder / "a.tif")
    with Image.open(product.path) as picture:
        picture.load()
        return picture


def refusal(content: bytes, convert: Convert, folder: Path) -> str:
    with pytest.raises(ConversionError) as refused:
        converted(content, "png", convert, folder)
    assert refused.value.code == 6005
    return refused.value.message


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("bands", [(60000, 50000, 40000), (60000, 50000, 40000, 30000)])
def test_deep_bands_with_a_plane_each_keep_their_higher_bytes(
    bands: tuple[int, ...], order: str, convert: Convert, tmp_path: Path
) -> None:
    tags = {BITS: [16] * len(bands), PHOTOMETRIC: [RGB], SAMPLES: [len(bands)], PLANAR: [2]}
    tags |= {EXTRA: [2]} if len(bands) > 3 else {}

    result = converted(tiff(tags, *(plane(band, "H", order) for band in bands), order=order), "png", convert, tmp_path)

    assert result.getpixel((2, 2)) == (234, 195, 156, 117)[: len(bands)]


def test_deep_bands_with_a_plane_each_that_cant_be_read_are_refused(convert: Convert, tmp_path: Path) -> None:
    tags = {BITS: [16] * 4, PHOTOMETRIC: [5], SAMPLES: [4], PLANAR: [2]}

    message = refusal(tiff(tags, *[plane(60000, "H")] * 4), convert, tmp_path)

    assert message.endswith("its bands have a plane of 16 bits each, which isn't read here but for RGB and RGBA.")


@pytest.mark.parametrize("target", ["png", "jpg", "tiff", "webp"])
def test_deep_shades_with_0_for_white_are_no_negative(target: str, convert: Convert, tmp_path: Path) -> None:
    white, black = plane(0, "H")[:16], plane(65535, "H")[:16]
    tags = {BITS: [16], PHOTOMETRIC: [0]}

    result = converted(tiff(tags, white + black), target, convert, tmp_path)

    white_is = 65535 if result.mode == "I;16" else 255
    gray = result if result.mode in ("I;16", "L") else result.convert("L")
    assert [gray.getpixel((1, y)) for y in (0, 3)] == pytest.approx([white_is, 0], abs=2)


def test_numbers_of_32_bits_without_a_sign_are_bright_beyond_the_half(convert: Convert, tmp_path: Path) -> None:
    shades = [0, 1 << 30, 2**31 - 1, 2**31, 3 << 30, 2**32 - 1]
    content = struct.pack("<16I", *shades, *shades, 0, 0, 0, 0)

    result = converted(tiff({BITS: [32], PHOTOMETRIC: [BLACK_IS_ZERO]}, content), "png", convert, tmp_path)

    seen = [result.getpixel((at % SIDE, at // SIDE)) for at in range(6)]
    assert seen == [0, 63, 127, 127, 191, 255]


@pytest.mark.parametrize(
    ("tags", "strip", "said"),
    [
        ({BITS: [32] * 3, PHOTOMETRIC: [RGB], SAMPLES: [3], FORMAT: [3] * 3}, plane(0.5, "f") * 3, "floats of 32 bits"),
        ({BITS: [16], PHOTOMETRIC: [1], FORMAT: [3]}, plane(0.5, "e"), "floats of 16 bits"),
        ({BITS: [64], PHOTOMETRIC: [1], FORMAT: [3]}, plane(0.5, "d"), "floats of 64 bits"),
        ({BITS: [16] * 3, PHOTOMETRIC: [LAB], SAMPLES: [3]}, plane(9, "H") * 3, "LAB in whole numbers of 16 bits"),
    ],
)
def test_samples_that_nobody_reads_here_are_not_called_damaged(
    tags: dict[int, list[int]], strip: bytes, said: str, convert: Convert, tmp_path: Path
) -> None:
    message = refusal(tiff(tags, strip), convert, tmp_path)

    assert message == (
        f"'a.tif' looks like tiff but can't be read: its samples are {said}, which aren't read here; "
        "save it with 8 bits a sample."
    )


@pytest.mark.parametrize("order", ["<", ">"])
def test_a_raw_file_of_a_camera_is_refused_instead_of_its_thumbnail(
    order: str, convert: Convert, tmp_path: Path
) -> None:
    raw = raw_file(order, subfile_type=0)

    message = refusal(raw, convert, tmp_path)

    assert "it is a raw file of a camera" in message


def test_a_tiff_with_smaller_copies_aside_is_read(convert: Convert, tmp_path: Path) -> None:
    result = converted(raw_file("<", subfile_type=1), "png", convert, tmp_path)

    assert result.size == (SIDE, SIDE)


def raw_file(order: str, *, subfile_type: int) -> bytes:
    """The first picture says that it is small, and where another one is."""
    gray = {BITS: [8], PHOTOMETRIC: [BLACK_IS_ZERO]}
    aside = struct.pack(f"{order}HHHIII", 1, 254, 4, 1, subfile_type, 0)
    first = tiff({**gray, 254: [1], 330: [1]}, plane(90, "B"), order=order)
    return tiff({**gray, 254: [1], 330: [len(first)]}, plane(90, "B"), order=order, then=aside)


def test_a_tiff_packed_in_a_way_that_isnt_read_here_says_so(convert: Convert, tmp_path: Path) -> None:
    content = tiff({BITS: [8] * 3, PHOTOMETRIC: [RGB], SAMPLES: [3], 259: [50001]}, b"RIFF" + plane(9, "B") * 3)

    message = refusal(content, convert, tmp_path)

    assert message.endswith("it is compressed as webp, which isn't read here, or damaged.")
