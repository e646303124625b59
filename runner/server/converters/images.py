"""Pictures to pictures: jpg, png, webp, gif, tiff, bmp, avif and ico, from all that can be opened."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

from PIL import Image

from runner.server.converters import image_color, image_geometry, image_metadata
from runner.server.converters.image_exif import DAMAGED
from runner.server.converters.image_geometry import Geometry, Size
from runner.server.converters.image_metadata import Metadata
from runner.server.converters.image_source import (
    ANIMATED,
    check_kind,
    check_size,
    frame_count,
    open_picture,
    reading,
)
from runner.server.converters.image_targets import CONTENT_TYPES
from runner.server.converters.image_wishes import Wishes, unheld, wishes_of
from runner.server.converters.image_write import FORMATS, Frame, check_side, write
from runner.server.converters.protocol import Guards, Product, Request, Source
from runner.server.converters.svg import read_drawing

DRAWINGS = frozenset({"svg", "svgz"})
DRAWING_DPI = 96  # what a pixel of a drawing is
DRAFT_GAP = 2.0  # a jpg is decoded at a fraction of its size, but never below twice the result


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """What is to become of each picture of a source."""

    target: str
    geometry: Geometry
    color: str
    guards: Guards
    wishes: Wishes


@dataclass(frozen=True, kw_only=True, slots=True)
class Pictures:
    """A source after its treatment; `animated` says what several frames are, `plays` how often they run."""

    frames: tuple[Frame, ...]
    metadata: Metadata
    animated: bool = False
    plays: int = 0


def convert(request: Request) -> list[Product]:
    """One file for each source, or one for each page where the target holds a single picture."""
    return [
        product
        for index, source in enumerate(request.sources)
        for product in convert_source(request, index, source, request.target)
    ]


def convert_source(request: Request, index: int, source: Source, target: str) -> list[Product]:
    pictures = treated_pictures(source, job_of(request, target))
    several = FORMATS[target].several
    if len(pictures.frames) == 1 or several == "pages" or (several and pictures.animated):
        groups = [pictures.frames]
    elif pictures.animated:
        groups = [pictures.frames[:1]]
    else:
        groups = [(frame,) for frame in pictures.frames]
    return [
        _product(request, index, number, pictures, group, target)
        for number, group in enumerate(groups if len(groups) > 1 else [groups[0]], start=1 if len(groups) > 1 else 0)
    ]


def job_of(request: Request, target: str) -> Job:
    return Job(
        target=target,
        geometry=image_geometry.geometry_of(request.options),
        color=request.options.get("color") or "colored",
        guards=request.guards,
        wishes=wishes_of(request.metadata),
    )


def product_name(filename: str, extension: str, number: int = 0) -> str:
    """`photo.jpg` becomes `photo.webp`, its third page `photo-3.webp`."""
    stem = PurePosixPath(filename.replace("\\", "/")).stem or "file"
    return f"{stem}-{number}.{extension}" if number else f"{stem}.{extension}"


def treated_pictures(source: Source, job: Job) -> Pictures:
    """Every picture of `source` that counts for the target, upright, treated, in a mode the target holds."""
    check_kind(source)
    if source.kind in DRAWINGS:
        pictures = _drawing(source, job)
    else:
        with open_picture(source, job.guards) as picture:
            pictures = _opened(picture, source, job)
    return _as_wished(pictures, job)


def _as_wished(pictures: Pictures, job: Job) -> Pictures:
    frames = pictures.frames
    if job.wishes.clears:
        frames = tuple(replace(frame, picture=image_metadata.bare(frame.picture)) for frame in frames)
    return replace(
        pictures, frames=frames, metadata=image_metadata.as_wished(pictures.metadata, job.wishes, job.target)
    )


def _drawing(source: Source, job: Job) -> Pictures:
    drawing = read_drawing(source.path)
    dpi = float(job.geometry.dpi or DRAWING_DPI)
    natural = _whole(drawing.size[0] * dpi / DRAWING_DPI), _whole(drawing.size[1] * dpi / DRAWING_DPI)
    turned = image_geometry.rotated_size(natural, job.geometry.rotate)
    wanted = image_geometry.result_size(job.geometry, turned, dpi)
    _check_result(wanted, job)
    # Drawn as large as needed and no larger: nothing is enlarged afterwards.
    scale = max(wanted[0] / turned[0], wanted[1] / turned[1])
    drawn = _whole(natural[0] * scale), _whole(natural[1] * scale)
    check_size(drawn, job.guards)
    with reading(source):
        frame = Frame(picture=_treat(drawing.render(drawn[0]), job, turned, dpi))
    return Pictures(frames=(frame,), metadata=Metadata(dpi=job.geometry.dpi))


def _whole(length: float) -> int:
    return max(1, round(length))


def _opened(picture: Image.Image, source: Source, job: Job) -> Pictures:
    if picture.format == "PNG":
        # What a png says of itself may stand behind its pixels, so asking loads them; and what is raised there is
        # taken for damaged metadata, after which the pixels count as read, and are black.
        picture.load()
    full_size = _upright_size(picture, job)
    dpi = image_metadata.density(picture) or image_geometry.DEFAULT_DPI
    _check_result(image_geometry.result_size(job.geometry, full_size, dpi), job)
    count = frame_count(picture, source, job.guards)
    animated = source.kind in ANIMATED
    wanted = count if not animated or FORMATS[job.target].several else 1
    _draft(picture, source, job, full_size, dpi)
    plays = _plays(picture, source)
    treated = _changes_pixels(job) or image_metadata.is_lying(picture)
    frames: list[Frame] = []
    metadata = Metadata()
    for one in _frames(picture, wanted, job.guards):
        upright = image_metadata.upright(one)
        metadata = metadata if frames else image_metadata.read_metadata(upright, source.kind)
        size = full_size if wanted == 1 else (0, 0)
        ready = _treat(upright, job, size, dpi)
        frames.append(Frame(picture=ready, duration_ms=int(one.info.get("duration") or 0)))
    final = _final(metadata, frames[0], job, treated=treated)
    return Pictures(frames=tuple(frames), metadata=final, animated=animated, plays=plays)


def _upright_size(picture: Image.Image, job: Job) -> Size:
    """The size after EXIF orientation and rotation, from the header."""
    try:
        lying = picture.format not in ("TIFF", "HEIF") and image_metadata.orientation(picture) >= 5
    except DAMAGED:
        lying = False
    size = (picture.size[1], picture.size[0]) if lying else picture.size
    return image_geometry.rotated_size(size, job.geometry.rotate)


def _check_result(size: Size, job: Job) -> None:
    check_size(size, job.guards)
    if job.target in FORMATS and (job.target != "ico" or job.geometry.resizes):
        check_side(size, job.target)


def _draft(picture: Image.Image, source: Source, job: Job, full_size: Size, dpi: float) -> None:
    if source.kind != "jpg" or not job.geometry.resizes or job.geometry.rotate % 90:
        return
    frame = image_geometry.box(job.geometry, full_size, dpi)
    scale = DRAFT_GAP * max(frame[0] / full_size[0], frame[1] / full_size[1])
    picture.draft(None, (int(picture.size[0] * scale) + 1, int(picture.size[1] * scale) + 1))


def _frames(picture: Image.Image, count: int, guards: Guards) -> Iterator[Image.Image]:
    """The first `count` pictures of the file, each with its pixels read. A single one isn't copied."""
    for number in range(count):
        if number:
            picture.seek(number)
            check_size(picture.size, guards)
        picture.load()
        yield picture if count == 1 else picture.copy()


def _treat(picture: Image.Image, job: Job, full_size: Size, dpi: float) -> Image.Image:
    geometry = job.geometry
    if not _changes_pixels(job):
        return _in_target_colors(picture, job.target)
    ready = picture
    if geometry.rotate % 90 or geometry.resizes or job.color != "colored":
        ready = image_color.workable(picture)
    ready = image_geometry.rotate(ready, geometry.rotate)
    # A jpg may have been decoded smaller than it is; percentages count from its full size.
    size = full_size if full_size[0] and geometry.rotate % 90 == 0 else ready.size
    ready = image_geometry.resize(ready, geometry, image_geometry.box(geometry, size, dpi))
    return _in_target_colors(image_color.treat(ready, job.color), job.target)


def _changes_pixels(job: Job) -> bool:
    return job.geometry.resizes or job.geometry.rotate != 0 or job.color != "colored"


def _in_target_colors(picture: Image.Image, target: str) -> Image.Image:
    """In a mode the target holds; in sRGB where it holds no profile and there is one."""
    icc = picture.info.get("icc_profile")
    if icc and target not in image_color.PROFILE_TARGETS and image_color.profile_for(icc, picture.mode):
        picture = image_color.to_srgb(picture, icc)
    return image_color.fit(picture, target)


def _plays(picture: Image.Image, source: Source) -> int:
    """How often an animation runs, 0 for ever; gif counts the repetitions after the first time."""
    loop = picture.info.get("loop")
    if source.kind == "gif":
        return 1 if loop is None else 0 if loop == 0 else int(loop) + 1
    return int(loop or 0)


def _final(metadata: Metadata, first: Frame, job: Job, *, treated: bool) -> Metadata:
    if treated:
        metadata = image_metadata.of_new_pixels(metadata, first.picture.size)
    return replace(
        metadata,
        icc=image_color.profile_for(metadata.icc, first.picture.mode),
        dpi=job.geometry.dpi or metadata.dpi,
    )


def _product(
    request: Request, index: int, number: int, pictures: Pictures, frames: tuple[Frame, ...], target: str
) -> Product:
    path = request.workdir / f"{index}-{number}.{target}"
    write(frames, path, target, pictures.metadata, request.options, plays=pictures.plays)
    width, height = frames[0].picture.size
    return Product(
        path=path,
        filename=product_name(request.sources[index].filename, target, number),
        content_type=CONTENT_TYPES[target],
        sources=(index,),
        metadata={"width": width, "height": height, "frames": len(frames)},
        warnings=(
            *unheld(wishes_of(request.metadata), target),
            *image_metadata.unheld_texts(pictures.metadata, target),
        ),
    )
