"""What is to become of the pictures of a source, and what is known of them before their pixels are read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from PIL import Image, PngImagePlugin

from runner.server.converters import image_density, image_geometry, image_metadata
from runner.server.converters.image_geometry import Density, Geometry, Size
from runner.server.converters.image_source import ANIMATED, PAGED, check_size, frame_numbers
from runner.server.converters.image_wishes import Wishes, wishes_of
from runner.server.converters.image_write import FORMATS, check_pixels, check_side
from runner.server.converters.protocol import Guards, Request, Source

DRAFT_GAP = 2.0  # a jpg is decoded at a fraction of its size, but never below twice the result


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """What is to become of each picture of a source."""

    target: str
    geometry: Geometry
    color: str
    guards: Guards
    wishes: Wishes


def job_of(request: Request, target: str) -> Job:
    return Job(
        target=target,
        geometry=image_geometry.geometry_of(request.options),
        color=request.options.get("color") or "colored",
        guards=request.guards,
        wishes=wishes_of(request.metadata),
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Head:
    """What is known before pixels are read.

    size     upright and rotated
    dpi      of the picture as it stands then; None where the file has none
    wanted   which of its pictures count for the target
    still    whether the first of these is no frame, but what is shown where nothing moves
    plays    how often the frames run
    treated  whether the result's pixels are others
    """

    size: Size
    dpi: Density | None
    wanted: Sequence[int]
    still: bool
    plays: int
    treated: bool

    @property
    def density(self) -> Density:
        return self.dpi or image_geometry.DEFAULT_DPI


def head_of(picture: Image.Image, source: Source, job: Job) -> Head:
    """Raises ConversionError where guards refuse the source or its result."""
    wanted = _wanted(picture, source, job)
    head = Head(
        size=_upright_size(picture, job),
        dpi=_upright_density(picture, job),
        wanted=wanted,
        still=_has_still(picture) and len(wanted) > 1 and wanted[0] == 0,
        plays=_plays(picture, source),
        treated=changes_pixels(job) or image_metadata.is_lying(picture),
    )
    page = 1 if source.kind in PAGED and len(wanted) > 1 else None
    check_result(image_geometry.result_size(job.geometry, head.size, head.density), job, page=page)
    _draft(picture, source, job, head)
    return head


def head_of_page(picture: Image.Image, head: Head, job: Job, page: int) -> Head:
    """`head` for the page at which the file stands. Raises ConversionError where guards refuse what becomes of it."""
    own = replace(head, size=_upright_size(picture, job), dpi=_upright_density(picture, job))
    check_result(image_geometry.result_size(job.geometry, own.size, own.density), job, page=page)
    return own


def _wanted(picture: Image.Image, source: Source, job: Job) -> Sequence[int]:
    numbers = frame_numbers(picture, source, job.guards)
    if source.kind in ANIMATED and not FORMATS[job.target].several:
        return numbers[:1]
    return numbers[1:] if _has_still(picture) and job.target != "png" else numbers


def _has_still(picture: Image.Image) -> bool:
    """Whether the first picture of an animated png is no part of the animation, which only a png can say."""
    return isinstance(picture, PngImagePlugin.PngImageFile) and picture.is_animated and bool(picture.default_image)


def _upright_size(picture: Image.Image, job: Job) -> Size:
    """The size after EXIF orientation and rotation, from the header."""
    # Of these the size is upright before their pixels are.
    lying = picture.format not in ("TIFF", "HEIF") and image_metadata.is_sideways(picture)
    size = (picture.size[1], picture.size[0]) if lying else picture.size
    return image_geometry.rotated_size(size, job.geometry.rotate)


def _upright_density(picture: Image.Image, job: Job) -> Density | None:
    """Across and down of what is seen after EXIF orientation and rotation.

    To be asked before pixels are read: then a tiff says nothing of its orientation any more.
    """
    dpi = image_density.density(picture)
    turned = image_metadata.is_sideways(picture) != (job.geometry.rotate in (90, 270))
    return (dpi[1], dpi[0]) if dpi and turned else dpi


def _plays(picture: Image.Image, source: Source) -> int:
    """How often an animation runs, 0 for ever; gif counts the repetitions after the first time."""
    loop = picture.info.get("loop")
    if source.kind == "gif":
        return 1 if loop is None else 0 if loop == 0 else int(loop) + 1
    return int(loop or 0)


def check_result(size: Size, job: Job, *, page: int | None = None) -> None:
    """Raises ConversionError where the result would be too large; `page` is told where it is one of several."""
    check_size(size, job.guards, what=f"Page {page} of the result would have" if page else "The result would have")
    if job.target in FORMATS and (job.target != "ico" or job.geometry.resizes):
        check_side(size, job.target, page=page)
        check_pixels(size, job.target)


def changes_pixels(job: Job) -> bool:
    return job.geometry.resizes or job.geometry.rotate != 0 or job.color != "colored"


def _draft(picture: Image.Image, source: Source, job: Job, head: Head) -> None:
    if source.kind != "jpg" or not job.geometry.resizes or job.geometry.rotate % 90:
        return
    frame = image_geometry.box(job.geometry, head.size, head.density)
    scale = DRAFT_GAP * max(frame[0] / head.size[0], frame[1] / head.size[1])
    picture.draft(None, (int(picture.size[0] * scale) + 1, int(picture.size[1] * scale) + 1))
