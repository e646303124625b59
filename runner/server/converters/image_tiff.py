"""What Pillow doesn't know of a tiff, or knows wrongly: deep planes, shades upside down, raw files of cameras."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

from PIL import Image, ImageFile, ImageMath, TiffImagePlugin

from runner.server.converters.protocol import ContentError

# Source: TIFF 6.0, and its first supplement for SubIFDs.
NEW_SUBFILE_TYPE, BITS_PER_SAMPLE, PHOTOMETRIC, PLANAR, SUB_IFDS, SAMPLE_FORMAT = 254, 258, 262, 284, 330, 339
COMPRESSION = 259
USUAL_PACKING = ("raw", "jpeg", "packbits")
REDUCED = 1
WHITE_IS_ZERO = 0
SEPARATE = 2
SPACES = {5: "CMYK", 8: "LAB", 9: "LAB", 10: "LAB"}
UNSIGNED, SIGNED, FLOATS = 1, 2, 3
FORMATS = {UNSIGNED: "whole numbers", SIGNED: "whole numbers with a sign", FLOATS: "floats"}
NEEDED = frozenset({256, 257, PHOTOMETRIC})  # without these it is no picture at all

DEEP = 16
PLANES_READ = ("R", "G", "B", "A")  # of 16 bits
PAST_SIGNED = 2.0**32
HEADER_BYTES, BIG = 8, b"+"
MOST_SUB_IFDS = 64


def check_samples(path: Path) -> None:
    """Raises ContentError for a tiff of samples that Pillow has no reader for, but not for a damaged one."""
    with path.open("rb") as file:
        tags = _directory(file, None)
    if tags.keys() >= NEEDED:
        raise ContentError(f"its samples are {_samples(tags)}, which aren't read here; save it with 8 bits a sample")


def _samples(tags: Mapping[int, object]) -> str:
    bits, kinds = _numbers(tags.get(BITS_PER_SAMPLE, 1)), _numbers(tags.get(SAMPLE_FORMAT, UNSIGNED))
    space = SPACES.get(_numbers(tags[PHOTOMETRIC])[0], "")
    upside_down = ", 0 for white" if tags[PHOTOMETRIC] == WHITE_IS_ZERO else ""
    kind = FORMATS.get(kinds[0], "numbers of a kind of their own")
    return f"{f'{space} in ' if space else ''}{kind} of {bits[0]} bits{upside_down}"


def _numbers(value: object) -> tuple[int, ...]:
    numbers = value if isinstance(value, tuple) else (value,)
    return tuple(one for one in numbers if isinstance(one, int)) or (0,)


def odd_packing(path: Path) -> str:
    """The name of its compression where libtiff may have been built without it; else nothing."""
    with path.open("rb") as file:
        number = _numbers(_directory(file, None).get(COMPRESSION, 1))[0]
    name = TiffImagePlugin.COMPRESSION_INFO.get(number, f"number {number}")
    return "" if name in USUAL_PACKING or name.startswith(("tiff_", "group")) else name


def check_for_raw(picture: Image.Image, path: Path) -> None:
    """Raises ContentError where the first picture is said to be the small one, and the full one lies aside.

    So cameras write what their sensor saw (DNG, NEF). Nobody who converts that wants its thumbnail.
    """
    if not isinstance(picture, TiffImagePlugin.TiffImageFile) or not _is_reduced(picture.tag_v2):
        return
    offsets = _numbers(picture.tag_v2.get(SUB_IFDS, 0))[:MOST_SUB_IFDS]
    with path.open("rb") as file:
        if any(not _is_reduced(_directory(file, offset)) for offset in offsets if offset):
            raise ContentError(
                "it is a raw file of a camera, of which only the preview could be read here; develop it to jpg or tiff"
            )


def _is_reduced(tags: Mapping[int, object]) -> bool:
    return bool(_numbers(tags.get(NEW_SUBFILE_TYPE, 0))[0] & REDUCED)


def _directory(file: BinaryIO, offset: int | None) -> TiffImagePlugin.ImageFileDirectory_v2:
    """The tags at `offset`, else the first ones."""
    file.seek(0)
    header = file.read(HEADER_BYTES)
    if header[2:3] == BIG:
        header += file.read(HEADER_BYTES)
    tags = TiffImagePlugin.ImageFileDirectory_v2(header)
    file.seek(tags.next if offset is None else offset)
    tags.load(file)
    return tags


def take_whole_samples(picture: Image.Image) -> None:
    """Before pixels are read: of bands with a plane each Pillow would take the first letter of "RGB;16L", so 8 bits."""
    if not isinstance(picture, TiffImagePlugin.TiffImageFile):
        return
    tags = picture.tag_v2
    if tags.get(PLANAR) != SEPARATE or DEEP not in _numbers(tags.get(BITS_PER_SAMPLE, 1)):
        return
    order = "B" if tags.prefix == b"MM" else "L"
    picture.tile = [_whole(tile, order) for tile in picture.tile]


def _whole(tile: ImageFile._Tile, order: str) -> ImageFile._Tile:
    if tile.codec_name != "raw" or not isinstance(tile.args, tuple):
        return tile
    band, *rest = tile.args
    if band not in PLANES_READ:
        raise ContentError(f"its bands have a plane of {DEEP} bits each, which isn't read here but for RGB and RGBA")
    return tile._replace(args=(f"{band};{DEEP}{order}", *rest))


def as_meant(picture: Image.Image) -> Image.Image:
    """The loaded picture with the shades that its tags mean, where Pillow leaves that to others."""
    if not isinstance(picture, TiffImagePlugin.TiffImageFile):
        return picture
    tags = picture.tag_v2
    upside_down = tags.get(PHOTOMETRIC) == WHITE_IS_ZERO
    if upside_down and picture.mode == "I;16":
        return picture.point(lambda shade: shade * -1 + 65535)
    if upside_down and picture.mode == "F":
        raise ContentError("its shades are floats, 0 for white, which aren't read here")
    if picture.mode == "I" and _numbers(tags.get(SAMPLE_FORMAT, UNSIGNED))[0] == UNSIGNED:
        return _unsigned(picture)
    return picture


def _unsigned(picture: Image.Image) -> Image.Image:
    """Numbers of 32 bits that were read as if they had a sign; as floats where that makes a difference."""
    low, _ = picture.getextrema()
    if low >= 0:  # type: ignore[operator]  # one band, two numbers
        return picture
    shades: Image.Image = ImageMath.lambda_eval(
        lambda given: given["shades"] + (given["shades"] < 0) * PAST_SIGNED, shades=picture.convert("F")
    )
    shades.info = dict(picture.info)
    return shades
