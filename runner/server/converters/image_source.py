"""Opening a picture: header first, guards before pixels, and no reader that the kind doesn't ask for."""

from __future__ import annotations

import struct
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pi_heif
from PIL import Image, PngImagePlugin, TiffImagePlugin, UnidentifiedImageError

from runner.server.converters import image_density, image_tiff
from runner.server.converters.image_png_chunks import check_chunks
from runner.server.converters.image_targets import SOURCES
from runner.server.converters.protocol import (
    TOO_LARGE,
    UNREADABLE,
    ContentError,
    ConversionError,
    Guards,
    Source,
)

# Our own guard refuses before any pixel is read, and says the size; Pillow's would only warn.
Image.MAX_IMAGE_PIXELS = None
# What a png says of itself is no reason to refuse it, unless it is a bomb.
PngImagePlugin.MAX_TEXT_CHUNK = 64 * 1024 * 1024
PngImagePlugin.MAX_TEXT_MEMORY = 4 * PngImagePlugin.MAX_TEXT_CHUNK
pi_heif.register_heif_opener()
Image.init()  # every reader and writer now, in the process that forks, and not in each child

# The readers of Pillow that a kind may use. Never EPS, which starts Ghostscript.
FORMATS: dict[str, tuple[str, ...]] = {
    "jpg": ("JPEG", "MPO"),
    "png": ("PNG",),
    "webp": ("WEBP",),
    "gif": ("GIF",),
    "tiff": ("TIFF",),
    "bmp": ("BMP",),
    "avif": ("AVIF",),
    "ico": ("ICO",),
    "cur": ("CUR",),
    "heic": ("HEIF",),
    "jp2": ("JPEG2000",),
    "psd": ("PSD",),
    "pcx": ("PCX",),
    "ppm": ("PPM",),
    "qoi": ("QOI",),
    "icns": ("ICNS",),
    "dds": ("DDS",),
    "sgi": ("SGI",),
    "tga": ("TGA",),
}

# What Pillow's readers raise when a file is not what it claims to be.
BROKEN: tuple[type[Exception], ...] = (
    *(OSError, SyntaxError, ValueError, TypeError, KeyError, IndexError, AttributeError, EOFError),
    *(struct.error, OverflowError, ZeroDivisionError, RuntimeError, AssertionError),
)

NOT_READ = "it holds pixels of a kind that isn't read here"
FROM_THE_START = "it is cut off, or its content is damaged from the start"
# Parts of what readers say, and what it means.
WORDS = {
    **dict.fromkeys(("truncated", "eof", "end of file", "no more images", "not enough"), "it is cut off"),
    **dict.fromkeys(("could not create decoder object", "broken data stream"), "it is cut off or damaged"),
    "decompressed data too large": "it holds more than 64 MiB of metadata",
    "too much memory used in text": "it holds more than 256 MiB of metadata",
    "unknown raw mode": NOT_READ,
    "unknown pixel mode": NOT_READ,
}

ANIMATED = frozenset({"gif", "webp", "png", "avif"})
PAGED = frozenset({"tiff"})

# Source: TIFF 6.0, tag 254: bits 0 (reduced resolution) and 2 (transparency mask).
NEW_SUBFILE_TYPE = 254
NO_PAGE = 0b101


def check_kind(source: Source) -> None:
    """Raises ConversionError when nobody here reads that kind of file."""
    if source.kind in SOURCES:
        return
    looks = {"empty": "it is empty", "bin": "it looks like nothing known", "txt": "it looks like plain text"}
    why = looks.get(source.kind, f"it looks like {source.kind} ({source.content_type})")
    raise ConversionError(
        UNREADABLE, f"'{source.filename}' is not a picture that can be read here: {why}.", {"kind": source.kind}
    )


@contextmanager
def open_picture(source: Source, guards: Guards) -> Iterator[Image.Image]:
    """The picture at its first frame, pixels not yet read. What breaks while it is open is the file's fault."""
    with reading(source), Image.open(source.path, formats=FORMATS[source.kind]) as picture:
        check_size(picture.size, guards)
        if picture.format == "PNG":
            check_chunks(source.path)
        if picture.format == "TIFF":
            picture.filename = ""  # else Pillow maps the file into memory, one that lies on its side by the wrong width
            image_tiff.check_for_raw(picture, source.path)
        yield picture


@contextmanager
def reading(source: Source) -> Iterator[None]:
    """Pillow's many errors become one that names the file. Lack of memory or disk stays what it is."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # doubtful metadata and the like; errors are raised
            yield
    except UnidentifiedImageError as error:
        raise _broken(source, _why_unknown(source)) from error
    except BROKEN as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise _broken(source, _odd_packing(source, error) or _plain(error)) from error


def check_size(size: tuple[int, int], guards: Guards, *, what: str = "The picture has") -> None:
    """Raises ConversionError for a picture that is larger than allowed."""
    if size[0] * size[1] <= guards.pixels:
        return
    text = f"{what} {size[0]} x {size[1]} pixels; at most {guards.pixels // 1_000_000} megapixels are accepted."
    raise ConversionError(TOO_LARGE, text, {"text_1": text})


def frame_numbers(picture: Image.Image, source: Source, guards: Guards) -> Sequence[int]:
    """Which pictures of the file count: all frames of an animation, the pages of a tiff, else the first."""
    if source.kind not in ANIMATED | PAGED:
        return range(1)
    numbers = _pages(picture) if source.kind in PAGED else range(getattr(picture, "n_frames", 1))
    _drop_what_others_said(picture)
    count = len(numbers)
    if count > guards.frames:
        raise _too_many(f"It holds {count} pictures; at most {guards.frames} are accepted.")
    pixels = picture.size[0] * picture.size[1] * count
    if count > 1 and pixels > guards.frame_pixels:
        text = f"Its {count} pictures have {pixels // 1_000_000} megapixels together; at most "
        raise _too_many(f"{text}{guards.frame_pixels // 1_000_000} are accepted.")
    return numbers


def _pages(picture: Image.Image) -> Sequence[int]:
    """Without smaller copies of a page and masks of it, as maps and cameras have them; the first counts in any case."""
    kinds = []
    for number in range(getattr(picture, "n_frames", 1)):
        picture.seek(number)
        kind = getattr(picture, "tag_v2", {}).get(NEW_SUBFILE_TYPE)
        kinds.append(kind if isinstance(kind, int) else 0)
    picture.seek(0)
    aside = NO_PAGE & ~kinds[0]  # what the first says of itself tells nothing of the others
    return [number for number, kind in enumerate(kinds) if not kind & aside]


def go_to(number: int, picture: Image.Image, guards: Guards) -> None:
    """Another picture of the file, pixels not yet read."""
    if number != picture.tell():
        picture.seek(number)
        check_size(picture.size, guards)
        _drop_what_others_said(picture)


def _drop_what_others_said(picture: Image.Image) -> None:
    """Profile and density of this page of a tiff: Pillow leaves there those of another where it says none."""
    if not isinstance(picture, TiffImagePlugin.TiffImageFile):
        return
    own: dict[str | tuple[int, int], object] = {
        "icc_profile": picture.tag_v2.get(TiffImagePlugin.ICCPROFILE),
        "dpi": image_density.of_tags(picture.tag_v2),
    }
    picture.info = {name: value for name, value in {**picture.info, **own}.items() if value is not None}


def _too_many(text: str) -> ConversionError:
    return ConversionError(TOO_LARGE, text, {"text_1": text})


def _broken(source: Source, why: str) -> ConversionError:
    text = f"'{source.filename}' looks like {source.kind} but can't be read: {why}."
    return ConversionError(UNREADABLE, text, {"kind": source.kind})


def _why_unknown(source: Source) -> str:
    """Why no reader took the file for what it begins as."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if source.kind == "tiff":
                image_tiff.check_samples(source.path)
    except BROKEN as error:
        return _plain(error) if isinstance(error, ContentError) else FROM_THE_START
    return FROM_THE_START


def _odd_packing(source: Source, error: Exception) -> str:
    """Of a tiff whose reader gave up: how it is packed, where that is the likely reason."""
    if source.kind != "tiff" or "decoder error" not in str(error):
        return ""
    try:
        name = image_tiff.odd_packing(source.path)
    except BROKEN:
        return ""
    return f"it is compressed as {name}, which isn't read here, or damaged" if name else ""


def _plain(error: Exception) -> str:
    """In our words: what Pillow and the libraries below it say is for who knows them."""
    if isinstance(error, ContentError):
        return str(error)
    said = str(error).lower()
    return next((words for part, words in WORDS.items() if part in said), "its content is damaged")
