"""EXIF, XMP, colour profile and density: taken from a source, given to a result.

A conversion keeps all of it, places included. Only the orientation goes, because the pixels are upright.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageOps, PngImagePlugin

from runner.server.converters import image_tiff_exif

ORIENTATION = 0x0112
APPENDED = (image_tiff_exif.EXIF_TAG, image_tiff_exif.GPS_TAG)
XMP_TAG = 700
# Of a tiff only the tags that describe are carried over; the others say where its pixels lie.
DESCRIBING = frozenset({270, 271, 272, 305, 306, 315, 316, 18246, 33432, 34665, 34853, *range(40091, 40096)})
JPEG_SEGMENT = 65_000
DAMAGED = (SyntaxError, ValueError, TypeError, KeyError, IndexError, OSError, EOFError, struct.error, OverflowError)

UNWRITABLE = (SyntaxError, ValueError, TypeError, KeyError, IndexError, struct.error, OverflowError)


@dataclass(frozen=True, kw_only=True, slots=True)
class Metadata:
    exif: bytes | None = None
    xmp: bytes | None = None
    icc: bytes | None = None
    dpi: float | None = None


def upright(picture: Image.Image) -> Image.Image:
    """The picture as its EXIF says it is meant to be seen; its orientation tags are gone then."""
    try:
        turned = orientation(picture) in range(2, 9)
    except DAMAGED:
        return picture
    return ImageOps.exif_transpose(picture) if turned else picture


def orientation(picture: Image.Image) -> int:
    value = picture.getexif().get(ORIENTATION, 1)
    return value if isinstance(value, int) else 1


def read_metadata(picture: Image.Image, kind: str) -> Metadata:
    """What the (upright, loaded) picture says about itself. Damaged parts count as absent."""
    return Metadata(
        exif=_exif(picture, kind),
        xmp=_xmp(picture, kind),
        icc=picture.info.get("icc_profile") or None,
        dpi=density(picture),
    )


def density(picture: Image.Image) -> float | None:
    """Dots per inch, across; None where there is none or it can't be meant."""
    dpi = picture.info.get("dpi")
    try:
        across = float(dpi[0] if isinstance(dpi, tuple) else dpi or 0)
    except (TypeError, ValueError, ZeroDivisionError, IndexError):
        return None
    return across if 1 < across < 100_000 else None


def _exif(picture: Image.Image, kind: str) -> bytes | None:
    try:
        exif = picture.getexif()
        if not exif:
            return None
        raw = picture.info.get("exif")
        if kind != "tiff" and ORIENTATION not in exif and isinstance(raw, bytes):
            return raw
        for tag in list(exif):
            if tag == ORIENTATION or (kind == "tiff" and tag not in DESCRIBING):
                del exif[tag]
        return exif.tobytes() if exif else None
    except DAMAGED:
        return None


def _xmp(picture: Image.Image, kind: str) -> bytes | None:
    value = picture.info.get("xmp") or picture.info.get("XML:com.adobe.xmp")
    if kind == "tiff" and not value:
        value = getattr(picture, "tag_v2", {}).get(XMP_TAG)
    if isinstance(value, str):
        return value.encode()
    return bytes(value) if isinstance(value, bytes | bytearray) else None


def save_options(metadata: Metadata, target: str) -> dict[str, object]:
    """The metadata as arguments of Pillow's `save` for that target; what it can't hold is left out."""
    exif, xmp = metadata.exif, metadata.xmp
    if target == "jpg":  # each has one segment of the file
        exif = exif if exif and len(exif) < JPEG_SEGMENT else None
        xmp = xmp if xmp and len(xmp) < JPEG_SEGMENT else None
    builders = {"jpg": _plain, "webp": _plain, "avif": _plain, "png": _png, "tiff": _tiff}
    options: dict[str, object] = {}
    if target in builders:
        options = builders[target](exif, xmp)
        options["icc_profile"] = metadata.icc
    if metadata.dpi and target in ("jpg", "png", "tiff", "bmp"):
        options["dpi"] = (metadata.dpi, metadata.dpi)
    return options


def finish(path: Path, metadata: Metadata, target: str) -> None:
    """What can only be added to a file that is there."""
    if target == "tiff" and metadata.exif:
        try:
            image_tiff_exif.append_exif(path, metadata.exif)
        except UNWRITABLE:
            return


def _plain(exif: bytes | None, xmp: bytes | None) -> dict[str, object]:
    return {"exif": exif or b"", "xmp": xmp or b""}


def _png(exif: bytes | None, xmp: bytes | None) -> dict[str, object]:
    info = PngImagePlugin.PngInfo()
    if xmp:
        info.add_itxt("XML:com.adobe.xmp", xmp.decode("utf-8", "replace"))
    return {"pnginfo": info} | ({"exif": exif} if exif else {})


def _tiff(exif: bytes | None, xmp: bytes | None) -> dict[str, object]:
    tags = Image.Exif()
    if exif:
        tags.load(exif)
        for tag in [tag for tag in tags if tag not in DESCRIBING or tag in APPENDED]:
            del tags[tag]
    if xmp:
        tags[XMP_TAG] = xmp
    return {"exif": tags} if exif or xmp else {}
