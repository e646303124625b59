"""Pictures to pictures: jpg, png, webp, gif, tiff, bmp, avif and ico, from all that can be opened."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import PurePosixPath

from PIL import Image

from runner.server.converters import image_color, image_density, image_geometry, image_metadata, image_tiff
from runner.server.converters.image_geometry import Density, Size
from runner.server.converters.image_gif import Ground
from runner.server.converters.image_metadata import Metadata
from runner.server.converters.image_plan import (
    Head,
    Job,
    changes_pixels,
    check_result,
    head_of,
    head_of_page,
    job_of,
)
from runner.server.converters.image_source import (
    ANIMATED,
    PAGED,
    check_kind,
    check_size,
    go_to,
    open_picture,
    reading,
)
from runner.server.converters.image_targets import CONTENT_TYPES, with_article
from runner.server.converters.image_wishes import unheld, wishes_of
from runner.server.converters.image_write import FORMATS, Frame, write
from runner.server.converters.protocol import Product, Request, Source
from runner.server.converters.svg import read_drawing

DRAWINGS = frozenset({"svg", "svgz"})
DRAWING_DPI = 96  # what a pixel of a drawing is


@dataclass(frozen=True, kw_only=True, slots=True)
class Pictures:
    """A source after its treatment; `animated` says what several frames are, `plays` how often they run."""

    frames: tuple[Frame, ...]
    animated: bool = False
    plays: int = 0
    warnings: tuple[str, ...] = ()


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


def product_name(filename: str, extension: str, number: int = 0) -> str:
    """`photo.jpg` becomes `photo.webp`, its third page `photo-3.webp`."""
    stem = PurePosixPath(filename.replace("\\", "/")).stem or "file"
    return f"{stem}-{number}.{extension}" if number else f"{stem}.{extension}"


def treated_pictures(source: Source, job: Job) -> Pictures:
    """Every picture of `source` that counts for the target, upright, treated, in a mode the target holds."""
    check_kind(source)
    if source.kind in DRAWINGS:
        return _drawing(source, job)
    with open_picture(source, job.guards) as picture:
        return _opened(picture, source, job)


def _drawing(source: Source, job: Job) -> Pictures:
    drawing = read_drawing(source.path)
    dpi = (float(job.geometry.dpi or DRAWING_DPI),) * 2
    natural = _whole(drawing.size[0] * dpi[0] / DRAWING_DPI), _whole(drawing.size[1] * dpi[1] / DRAWING_DPI)
    turned = image_geometry.rotated_size(natural, job.geometry.rotate)
    wanted = image_geometry.result_size(job.geometry, turned, dpi)
    check_result(wanted, job)
    # Drawn as large as needed and no larger: nothing is enlarged afterwards.
    scale = _scale(natural, wanted, job)
    drawn = _whole(natural[0] * scale), _whole(natural[1] * scale)
    check_size(drawn, job.guards)
    with reading(source):
        picture = _treat(drawing.render(drawn[0]), job, turned, dpi)
    metadata = image_metadata.as_wished(Metadata(dpi=dpi if job.geometry.dpi else None), job.wishes, job.target)
    return Pictures(frames=(Frame(picture=picture, metadata=metadata),), warnings=drawing.warnings)


def _scale(natural: Size, wanted: Size, job: Job) -> float:
    """What makes the drawing reach as far as the result when it is turned."""
    if not job.geometry.resizes:
        return 1.0
    across, down = image_geometry.turned_extent(natural, job.geometry.rotate)
    return max(wanted[0] / across, wanted[1] / down)


def _whole(length: float) -> int:
    return max(1, round(length))


def _opened(picture: Image.Image, source: Source, job: Job) -> Pictures:
    if picture.format == "PNG":
        # What a png says of itself may stand behind its pixels, so asking loads them; and what is raised there is
        # taken for damaged metadata, after which the pixels count as read, and are black.
        picture.load()
    head = head_of(picture, source, job)
    frames: list[Frame] = []
    ground = Ground()
    for page, number in enumerate(head.wanted, start=1):
        go_to(number, picture, job.guards)
        if source.kind in PAGED:
            head = head_of_page(picture, head, job, page)
        shared = frames[0].metadata if frames and source.kind in ANIMATED else None
        frame = _frame(picture, source, job, head, shared, ground)
        frames.append(replace(frame, still=head.still and not frames))
    return Pictures(frames=tuple(frames), animated=source.kind in ANIMATED, plays=head.plays)


def _frame(
    picture: Image.Image, source: Source, job: Job, head: Head, shared: Metadata | None, ground: Ground
) -> Frame:
    """The picture at which the file stands, treated. A single one isn't copied.

    shared  what an animation says, it says of all its frames
    """
    image_tiff.take_whole_samples(picture)
    picture.load()
    single = len(head.wanted) == 1
    upright = image_metadata.upright(picture)
    meant = image_tiff.as_meant(ground.opened_in(upright))
    kept = meant if single or meant is not picture else picture.copy()
    ready = _treat(kept, job, head.size if single else (0, 0), head.density)
    return Frame(
        picture=image_metadata.bare(ready) if job.wishes.clears else ready,
        metadata=shared or _metadata(upright, ready, source, job, head),
        duration_ms=picture.info.get("duration") or 0,
    )


def _metadata(upright: Image.Image, ready: Image.Image, source: Source, job: Job, head: Head) -> Metadata:
    """What the result says: of `upright` the words, of `ready` the colours."""
    said = image_metadata.read_metadata(upright, source.kind)
    if head.treated:
        said = image_metadata.of_new_pixels(said, ready.size)
    # Pages of a pdf keep the shape that their own density gives them.
    wanted = job.geometry.dpi if job.target != "pdf" else None
    dpi = (float(wanted), float(wanted)) if wanted else head.dpi
    said = replace(said, icc=image_color.own_profile(ready), dpi=dpi)
    return image_metadata.as_wished(said, job.wishes, job.target)


def _treat(picture: Image.Image, job: Job, full_size: Size, dpi: Density) -> Image.Image:
    geometry = job.geometry
    if not changes_pixels(job):
        return _in_target_colors(picture, job.target)
    ready = picture
    if geometry.blends or job.color != "colored":
        ready = image_color.workable(picture)
    elif geometry.resizes:
        ready = image_color.scalable(picture, job.target)
    ready = image_geometry.rotate(ready, geometry.rotate)
    ready = image_geometry.resize(ready, geometry, full_size if full_size[0] else ready.size, dpi)
    return _in_target_colors(image_color.treat(ready, job.color), job.target)


def _in_target_colors(picture: Image.Image, target: str) -> Image.Image:
    """In a mode the target holds; in sRGB where it holds no profile and there is one."""
    if target not in image_color.PROFILE_TARGETS and image_color.own_profile(picture):
        picture = image_color.to_srgb(picture)
    return image_color.fit(picture, target)


def _without_use(request: Request, index: int, target: str) -> tuple[str, ...]:
    """Warnings of options that change nothing in this result."""
    drawn = request.sources[index].kind in DRAWINGS
    dense = drawn or image_geometry.geometry_of(request.options).counts_with_density
    warnings = []
    if request.options.get("dpi") and not dense and not image_density.has_place(target):
        warnings.append(f"{with_article(target).capitalize()} has no place for a density; dpi changes nothing.")
    if request.options.get("interlace") and target != "jpg":
        warnings.append(f"Only a jpg can be interlaced here; the {target} isn't.")
    return tuple(warnings)


def _product(
    request: Request, index: int, number: int, pictures: Pictures, frames: tuple[Frame, ...], target: str
) -> Product:
    path = request.workdir / f"{index}-{number}.{target}"
    width, height = write(frames, path, target, request.options, plays=pictures.plays)
    return Product(
        path=path,
        filename=product_name(request.sources[index].filename, target, number),
        content_type=CONTENT_TYPES[target],
        sources=(index,),
        metadata={"width": width, "height": height, "frames": sum(not frame.still for frame in frames)},
        warnings=(
            *pictures.warnings,
            *unheld(wishes_of(request.metadata), target),
            *image_metadata.unheld_texts(frames[0].metadata, target),
            *_without_use(request, index, target),
        ),
    )
