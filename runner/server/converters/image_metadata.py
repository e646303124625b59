"""EXIF, XMP, colour profile and density: taken from a source, given to a result.

A conversion keeps all of it, places included, unless it is asked to clear it. Only the orientation goes, because the
pixels are upright.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from PIL import Image, ImageOps, PngImagePlugin

from runner.server.converters import image_density, image_exif, image_tiff_exif
from runner.server.converters.image_exif import DAMAGED, EXIF_TAG, GPS_TAG
from runner.server.converters.image_geometry import Density
from runner.server.converters.image_wishes import PLACES, Wishes

ORIENTATION = 0x0112
APPENDED = (EXIF_TAG, GPS_TAG)
XMP_TAG = 700
XMP_PREFIXES = (b"xmp", b"xap")  # today's, and the one of old
# Of a tiff only the tags that describe are carried over; the others say where its pixels lie.
DESCRIBING = frozenset({270, 271, 272, 305, 306, 315, 316, 18246, 33432, 34665, 34853, *range(40091, 40096)})
JPEG_SEGMENT = 65_000
EXIF_TARGETS = frozenset({"jpg", "png", "webp", "avif"})  # of a tiff, tags of its own say what EXIF would
# What a picture of Pillow knows besides its pixels that they need, or an animation does.
NEEDED = frozenset({"transparency", "icc_profile", "background", "duration", "disposal", "blend"})

UNWRITABLE = (SyntaxError, ValueError, TypeError, KeyError, IndexError, struct.error, OverflowError)


@dataclass(frozen=True, kw_only=True, slots=True)
class Metadata:
    """`texts` are those of the person who asks for the picture; `exif` has them already."""

    exif: bytes | None = None
    xmp: bytes | None = None
    icc: bytes | None = None
    dpi: Density | None = None
    texts: Mapping[str, str] = field(default_factory=dict)


def upright(picture: Image.Image) -> Image.Image:
    """The picture as its EXIF says it is meant to be seen; its orientation tags are gone then."""
    return ImageOps.exif_transpose(picture) if is_lying(picture) else picture


def is_lying(picture: Image.Image) -> bool:
    """Whether the pixels have to be turned or mirrored."""
    try:
        return orientation(picture) in range(2, 9)
    except DAMAGED:
        return False


def is_sideways(picture: Image.Image) -> bool:
    """Whether width and height change places when the picture is turned upright."""
    try:
        return orientation(picture) in range(5, 9)
    except DAMAGED:
        return False


def orientation(picture: Image.Image) -> int:
    value = picture.getexif().get(ORIENTATION, 1)
    return value if isinstance(value, int) else 1


def read_metadata(picture: Image.Image, kind: str) -> Metadata:
    """What the (upright, loaded) picture says about itself in words. Damaged parts count as absent."""
    return Metadata(exif=_exif(picture, kind), xmp=_xmp(picture, kind))


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


def of_new_pixels(metadata: Metadata, size: tuple[int, int]) -> Metadata:
    """`metadata` for a picture that doesn't look as its source: nothing in it shows or measures what that was."""
    exif, xmp = metadata.exif, metadata.xmp
    return replace(
        metadata,
        exif=image_exif.of_new_pixels(exif, size) if exif else None,
        xmp=_without_thumbnails(xmp) if xmp else None,
    )


def _without_thumbnails(xmp: bytes) -> bytes:
    """In one pass, whatever a hostile file repeats in there."""
    for prefix in XMP_PREFIXES:
        begin, end = b"<%b:Thumbnails" % prefix, b"</%b:Thumbnails>" % prefix
        kept, *parts = xmp.split(begin)
        xmp = b"".join([kept, *(part.partition(end)[2] if end in part else begin + part for part in parts)])
    return xmp


def as_wished(metadata: Metadata, wishes: Wishes, target: str) -> Metadata:
    """`metadata` cleared and with texts, where that is wished for.

    Profile and density stay: without them colours and lengths are others.
    """
    if wishes.clears:
        metadata = Metadata(icc=metadata.icc, dpi=metadata.dpi)
    if metadata.dpi and target in EXIF_TARGETS:
        metadata = replace(metadata, exif=image_density.exif_with(metadata.exif, metadata.dpi, target))
    texts = {name: text for name, text in wishes.texts.items() if name in PLACES.get(target, ())}
    return replace(metadata, exif=image_exif.with_texts(metadata.exif, texts), texts=texts) if texts else metadata


def bare(picture: Image.Image) -> Image.Image:
    """The pixels alone: of a picture that it has read, Pillow writes comments, IPTC and tags without being told."""
    plain = picture.copy()
    plain.info = {name: value for name, value in picture.info.items() if name in NEEDED}
    return plain


def unheld_texts(metadata: Metadata, target: str) -> tuple[str, ...]:
    """A warning where the texts are longer than the format can hold."""
    if target != "jpg" or not metadata.texts or len(metadata.exif or b"") < JPEG_SEGMENT:
        return ()
    return ("A jpg has no room for metadata that long; the result is without.",)


def save_options(metadata: Metadata, target: str) -> dict[str, object]:
    """The metadata as arguments of Pillow's `save` for that target; what it can't hold is left out."""
    exif, xmp = metadata.exif, metadata.xmp
    if target == "jpg":  # each has one segment of the file
        exif = exif if exif and len(exif) < JPEG_SEGMENT else None
        xmp = xmp if xmp and len(xmp) < JPEG_SEGMENT else None
    builders = {"jpg": _plain, "webp": _plain, "avif": _plain, "png": _png, "tiff": _tiff}
    options: dict[str, object] = {}
    if target in builders:
        options = builders[target](replace(metadata, exif=exif, xmp=xmp))
        options["icc_profile"] = metadata.icc
    if metadata.dpi and target in image_density.OWN_PLACE:
        options["dpi"] = metadata.dpi
    return options


def page_options(metadata: Metadata) -> dict[str, object]:
    """As `save_options`, for a page of a tiff: what it doesn't say must not be said by the page before it."""
    return {"exif": Image.Exif(), "dpi": None, **save_options(metadata, "tiff")}


def finish(path: Path, metadata: Metadata, target: str) -> None:
    """What can only be added to a file that is there."""
    if target == "tiff" and metadata.exif:
        try:
            image_tiff_exif.append_exif(path, metadata.exif)
        except UNWRITABLE:
            return


def _plain(metadata: Metadata) -> dict[str, object]:
    return {"exif": metadata.exif or b"", "xmp": metadata.xmp or b""}


def _png(metadata: Metadata) -> dict[str, object]:
    info = PngImagePlugin.PngInfo()
    if metadata.xmp:
        info.add_itxt("XML:com.adobe.xmp", metadata.xmp.decode("utf-8", "replace"))
    for name, text in metadata.texts.items():
        info.add_itxt(name.capitalize(), text.encode("utf-8", "replace").decode())
    return {"pnginfo": info} | ({"exif": metadata.exif} if metadata.exif else {})


def _tiff(metadata: Metadata) -> dict[str, object]:
    tags = image_exif.tags_of(metadata.exif)
    for tag in [tag for tag in tags if tag not in DESCRIBING or tag in APPENDED]:
        del tags[tag]
    if metadata.xmp:
        tags[XMP_TAG] = metadata.xmp
    return {"exif": tags} if metadata.exif or metadata.xmp else {}
