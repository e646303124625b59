"""Pictures to pdf, a page each: jpg and png go in byte by byte where they can, the rest is re-encoded.

img2pdf copies what it is given without looking at it, so every picture is decoded once before: half
a file must not become a page.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass

import img2pdf
from PIL import Image, MpoImagePlugin

from runner.server.converters import image_color, image_density, image_metadata
from runner.server.converters.image_geometry import DEFAULT_DPI
from runner.server.converters.image_plan import job_of
from runner.server.converters.image_source import BROKEN, check_kind, check_size, frame_numbers, open_picture
from runner.server.converters.image_targets import CONTENT_TYPES, PDF_QUALITY
from runner.server.converters.image_wishes import PLACES, unheld, wishes_of
from runner.server.converters.image_write import Frame
from runner.server.converters.images import product_name, treated_pictures
from runner.server.converters.protocol import Product, Request, Source

LOSSY = frozenset({"jpg", "webp", "heic", "avif", "jp2"})
VERBATIM = frozenset({"jpg", "png"})
UPRIGHT_BY_ROTATION = (1, 3, 6, 8)  # what a page can do; the mirrored orientations it can't

POINTS = 72.0
SMALLEST_DPI, LARGEST_DPI = 10, 4800  # what can be meant
SHORTEST_PAGE, LONGEST_PAGE = 3.0, 14_400.0  # points; the limits of the format

REFUSED_BY_IMG2PDF = (
    *(img2pdf.ImageOpenError, img2pdf.AlphaChannelError, img2pdf.JpegColorspaceError),
    *(img2pdf.UnsupportedColorspaceError, img2pdf.ExifOrientationError, img2pdf.NegativeDimensionError),
)

HOW = {
    "engine": img2pdf.Engine.internal,
    "rotation": img2pdf.Rotation.ifvalid,
    "first_frame_only": True,  # of a jpg with several pictures inside; pages and frames come one by one
}
MPO_ENTRIES = 0xB002

Page = bytes


@dataclass(frozen=True, kw_only=True, slots=True)
class Pages:
    """Those of one source."""

    contents: tuple[Page, ...]
    warnings: tuple[str, ...] = ()


def convert(request: Request) -> list[Product]:
    """One pdf for each source; with `merge` one of all, in their order."""
    read = [_pages(source, request) for source in request.sources]
    if request.options.get("merge") and len(read) > 1:
        return [_document(request, read, tuple(range(len(read))))]
    return [_document(request, [own], (index,)) for index, own in enumerate(read)]


def _pages(source: Source, request: Request) -> Pages:
    check_kind(source)
    if source.kind in VERBATIM and _untouched(source, request) and (content := _verbatim(source, request)):
        return Pages(contents=(content,))
    pictures = treated_pictures(source, job_of(request, "pdf"))
    quality = request.options.get("quality") or PDF_QUALITY
    encoded = (_encoded(frame, lossy=source.kind in LOSSY, quality=quality) for frame in pictures.frames)
    return Pages(contents=tuple(encoded), warnings=pictures.warnings)


def _untouched(source: Source, request: Request) -> bool:
    if wishes_of(request.metadata).clears:  # a jpg would bring along what it says of itself
        return False
    options = request.options
    if source.kind in LOSSY and options.get("quality") not in (None, PDF_QUALITY):
        return False
    resized = any(options.get(name) is not None for name in ("width", "height"))
    return not (resized or options.get("rotate") or (options.get("color") or "colored") != "colored")


def _verbatim(source: Source, request: Request) -> Page | None:
    """The file's own bytes where they can be a page as they are."""
    with open_picture(source, request.guards) as picture:
        check_size(picture.size, request.guards)
        if len(frame_numbers(picture, source, request.guards)) > 1:
            return None
        picture.load()  # raises where the file is cut off
        if image_metadata.orientation(picture) not in UPRIGHT_BY_ROTATION or image_color.has_alpha(picture):
            return None
        if "dpi" not in picture.info and image_density.density(picture):  # in EXIF, where img2pdf doesn't look
            return None
        content = source.path.read_bytes()
        if isinstance(picture, MpoImagePlugin.MpoImageFile):
            content = _first_of(picture, content)
    return content if _accepted(content) else None


def _first_of(picture: MpoImagePlugin.MpoImageFile, content: bytes) -> bytes:
    """The first of several pictures in a jpg; the others are thumbnails, other views, or what brightens it.

    Nothing where the file is wrong about how long its first picture is, as files are that were edited.
    """
    try:
        first = content[: (picture.mpinfo or {})[MPO_ENTRIES][0]["Size"]]
        with Image.open(io.BytesIO(first), formats=("JPEG", "MPO")) as alone:
            alone.load()
    except BROKEN:
        return b""
    return first


def _accepted(content: bytes) -> bool:
    try:
        img2pdf.convert(content, **HOW)
    except REFUSED_BY_IMG2PDF:
        return False
    return True


def _encoded(frame: Frame, *, lossy: bool, quality: int) -> Page:
    picture, buffer = frame.picture, io.BytesIO()
    dpi = frame.metadata.dpi or DEFAULT_DPI
    if lossy and picture.mode in ("L", "RGB"):
        picture.save(buffer, format="JPEG", quality=quality, dpi=dpi)
    else:
        picture.save(buffer, format="PNG", dpi=dpi, icc_profile=None)
    return buffer.getvalue()


def _document(request: Request, read: Sequence[Pages], sources: tuple[int, ...]) -> Product:
    pages = [page for own in read for page in own.contents]
    path = request.workdir / f"{sources[0]}.pdf"
    document = img2pdf.convert_to_docobject(
        *pages,
        **HOW,
        layout_fun=_Layout(request.options.get("dpi")),
        nodate=True,  # the same input gives the same bytes
    )
    for name, text in wishes_of(request.metadata).texts.items():
        if name in PLACES["pdf"]:
            document.writer.docinfo[getattr(img2pdf.MyPdfName, name.capitalize())] = _text(text)
    with path.open("wb") as file:
        document.tostream(file)
    return Product(
        path=path,
        filename=product_name(request.sources[sources[0]].filename, "pdf"),
        content_type=CONTENT_TYPES["pdf"],
        sources=sources,
        metadata={"pages": len(pages)},
        warnings=(*(warning for own in read for warning in own.warnings), *unheld(wishes_of(request.metadata), "pdf")),
    )


class _Layout:
    """Page as large as its picture at the density asked for, else its own, within what pdf allows.

    Where the picture's own densities differ across and down, its shape follows them: that is how it is meant to look.
    """

    def __init__(self, dpi: int | None) -> None:
        self._dpi = dpi

    def __call__(
        self, width_px: int, height_px: int, own_dpi: tuple[float, float]
    ) -> tuple[float, float, float, float]:
        across, down = own_dpi if all(SMALLEST_DPI <= dpi <= LARGEST_DPI for dpi in own_dpi) else DEFAULT_DPI
        height_as_wide = height_px * across / down  # how high it were if its pixels were squares
        scale = min(POINTS / (self._dpi or across), LONGEST_PAGE / max(width_px, height_as_wide))
        width, height = width_px * scale, height_as_wide * scale
        return max(width, SHORTEST_PAGE), max(height, SHORTEST_PAGE), width, height


def _text(text: str) -> bytes:
    """As UTF-16 in hexadecimal digits. Between parentheses img2pdf leaves the byte of a line end as it is, which
    readers take for another one: "č" has it.

    Source: PDF specification, 7.3.4 (string objects).
    """
    return b"<FEFF%s>" % text.encode("utf-16-be", "replace").hex().upper().encode()
