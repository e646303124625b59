"""What the image family makes from what; names and data only, so that the server reads it without image libraries."""

from __future__ import annotations

from runner.server.converters import schemas
from runner.server.converters.protocol import Target
from runner.server.converters.schemas import Schemas

# Kinds of `sniff` that can be read; `images_open` maps each to its reader.
# EPS is missing on purpose: reading it would start Ghostscript.
SOURCES = frozenset(
    {
        *("jpg", "png", "webp", "gif", "tiff", "bmp", "avif", "ico", "svg", "svgz", "heic"),
        *("jp2", "psd", "pcx", "ppm", "qoi", "icns", "dds", "sgi", "tga", "cur"),
    }
)

CONTENT_TYPES = {
    "jpg": "image/jpeg",
    "png": "image/png",
    "webp": "image/webp",
    "gif": "image/gif",
    "tiff": "image/tiff",
    "bmp": "image/bmp",
    "avif": "image/avif",
    "ico": "image/vnd.microsoft.icon",
    "tga": "image/x-tga",
    "pdf": "application/pdf",
}


def with_article(target: str) -> str:
    return f"{'an' if target[0] in 'aeiou' else 'a'} {target}"


def _picture(number: str, name: str, own: Schemas | None = None) -> Target:
    return Target(
        id=number,
        category="image",
        target=name,
        extension=name,
        content_type=CONTENT_TYPES[name],
        options_schema={**schemas.GEOMETRY, **(own or {}), **schemas.COMMON},
        sources=SOURCES,
    )


def _operation(number: str, name: str, own: Schemas) -> Target:
    return Target(
        id=number,
        category="operation",
        target=name,
        extension="png",  # the usual one; an option may choose another
        content_type=CONTENT_TYPES["png"],
        options_schema={**own, **schemas.COMMON},
        sources=SOURCES,
    )


PICTURES = (
    _picture("58", "jpg", schemas.quality(85)),
    _picture("59", "png"),
    _picture("60", "webp", schemas.quality(80)),
    _picture("61", "gif"),
    _picture("62", "tiff"),
    _picture("63", "bmp"),
    _picture("64", "avif", schemas.quality(75)),
    _picture("65", "ico"),
)

PDF_QUALITY = 85

PDF = Target(
    id="70",
    category="document",
    target="pdf",
    extension="pdf",
    content_type=CONTENT_TYPES["pdf"],
    options_schema={**schemas.GEOMETRY, **schemas.quality(PDF_QUALITY), **schemas.MERGE, **schemas.COMMON},
    sources=SOURCES,
)

OPERATIONS = (
    _operation("80", "resize-image", schemas.RESIZE_OPERATION),
    _operation("81", "thumbnail", schemas.THUMBNAIL),
)
