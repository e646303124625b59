"""EXIF as bytes that can be changed: after pixels were, and with texts of the person who asks for the picture."""

from __future__ import annotations

import struct
from collections.abc import Mapping

from PIL import Image

DAMAGED = (SyntaxError, ValueError, TypeError, KeyError, IndexError, OSError, EOFError, struct.error, OverflowError)

EXIF_TAG, GPS_TAG = 34665, 34853

# Where a size stands: ImageWidth and ImageLength in the first directory, PixelXDimension and PixelYDimension in EXIF's.
SIZE_TAGS = (256, 257)
PIXEL_SIZE_TAGS = (40962, 40963)

ARTIST, DESCRIPTION, COPYRIGHT = 0x013B, 0x010E, 0x8298
# Of Windows, which shows and searches these and knows no other place for a title, a subject and keywords.
XP_TITLE, XP_COMMENT, XP_AUTHOR, XP_KEYWORDS, XP_SUBJECT = 0x9C9B, 0x9C9C, 0x9C9D, 0x9C9E, 0x9C9F
XP_TAGS = frozenset({XP_TITLE, XP_COMMENT, XP_AUTHOR, XP_KEYWORDS, XP_SUBJECT})
TEXT_TAGS: dict[str, tuple[int, ...]] = {
    "title": (DESCRIPTION, XP_TITLE),
    "author": (ARTIST, XP_AUTHOR),
    "subject": (XP_SUBJECT,),
    "keywords": (XP_KEYWORDS,),
    "description": (DESCRIPTION,),  # after the title, whose place it takes
    "comment": (XP_COMMENT,),
    "copyright": (COPYRIGHT,),
}


def tags_of(exif: bytes | None) -> Image.Exif:
    """The tags of `exif`; none where it is damaged."""
    try:
        return unpacked(exif) if exif else Image.Exif()
    except DAMAGED:
        return Image.Exif()


def unpacked(exif: bytes) -> Image.Exif:
    """The tags of `exif`. Raises one of DAMAGED."""
    tags = Image.Exif()
    tags.load(exif)
    for values in (tags, _directory(tags, EXIF_TAG), _directory(tags, GPS_TAG)):
        _keep_letters(values)
    return tags


def _directory(tags: Image.Exif, tag: int) -> dict[int, object]:
    """Asking Pillow for one that isn't there would make it."""
    return tags.get_ifd(tag) if tag in tags else {}


def _keep_letters(values: Image.Exif | dict[int, object]) -> None:
    """Pillow reads texts as Latin-1 and writes them as ASCII, with ? for the rest; bytes stay what they are."""
    for tag, value in list(values.items()):
        if isinstance(value, str) and not value.isascii():
            values[tag] = value.encode("latin-1", "replace")


def of_new_pixels(exif: bytes, size: tuple[int, int]) -> bytes | None:
    """`exif` for a picture that was cropped, turned, scaled or recoloured: without a thumbnail of what it was.

    None where it is damaged.
    """
    try:
        tags = unpacked(exif)
        for values, names in ((tags, SIZE_TAGS), (_directory(tags, EXIF_TAG), PIXEL_SIZE_TAGS)):
            for name, length in zip(names, size, strict=True):
                if name in values:
                    values[name] = length
        return tags.tobytes()  # which leaves the directory of the thumbnail out
    except DAMAGED:
        return None


def with_texts(exif: bytes | None, texts: Mapping[str, str]) -> bytes:
    """`exif` with `texts` in the places of their names in TEXT_TAGS, in place of what stands there."""
    try:
        return _written(tags_of(exif), texts)
    except DAMAGED:
        return _written(Image.Exif(), texts)


def _written(tags: Image.Exif, texts: Mapping[str, str]) -> bytes:
    for name, places in TEXT_TAGS.items():
        if name in texts:
            for tag in places:
                tags[tag] = _encoded(texts[name], tag)
    return tags.tobytes()


def _encoded(text: str, tag: int) -> bytes:
    if tag in XP_TAGS:
        return f"{text}\0".encode("utf-16-le", "replace")
    return text.encode("utf-8", "replace")
