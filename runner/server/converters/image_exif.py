"""EXIF as bytes that can be changed: with texts of the person who asks for the picture."""

from __future__ import annotations

import struct
from collections.abc import Mapping

from PIL import Image

DAMAGED = (SyntaxError, ValueError, TypeError, KeyError, IndexError, OSError, EOFError, struct.error, OverflowError)

EXIF_TAG, GPS_TAG = 34665, 34853

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


def unpacked(exif: bytes) -> Image.Exif:
    """The tags of `exif`. Raises one of DAMAGED."""
    tags = Image.Exif()
    tags.load(exif)
    for values in (tags, tags.get_ifd(EXIF_TAG), tags.get_ifd(GPS_TAG)):
        _keep_letters(values)
    return tags


def _keep_letters(values: Image.Exif | dict[int, object]) -> None:
    """Pillow reads texts as Latin-1 and writes them as ASCII, with ? for the rest; bytes stay what they are."""
    for tag, value in list(values.items()):
        if isinstance(value, str) and not value.isascii():
            values[tag] = value.encode("latin-1", "replace")


def with_texts(exif: bytes | None, texts: Mapping[str, str]) -> bytes:
    """`exif` with `texts` in the places of their names in TEXT_TAGS, in place of what stands there."""
    try:
        tags = unpacked(exif) if exif else Image.Exif()
        return _written(tags, texts)
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
