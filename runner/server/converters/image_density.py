"""How dense the pixels of a picture are: where files say it, and where results can."""

from __future__ import annotations

from collections.abc import Mapping

from PIL import Image

from runner.server.converters.image_exif import DAMAGED, tags_of
from runner.server.converters.image_geometry import Density

# As in EXIF, so in tiff.
X_RESOLUTION, Y_RESOLUTION, RESOLUTION_UNIT = 282, 283, 296
INCH = 2
PER_INCH = {INCH: 1.0, 3: 2.54}  # 3 counts in centimetres

OWN_PLACE = frozenset({"jpg", "png", "tiff", "bmp"})
EXIF_ONLY = frozenset({"webp", "avif"})
SILENT = (72.0, 72.0)  # what EXIF means that says nothing of it


def density(picture: Image.Image) -> Density | None:
    """As the file has it; None where there is none or it can't be meant."""
    dpi = picture.info.get("dpi")
    return _meant(dpi if isinstance(dpi, tuple) else (dpi, dpi)) or _of_exif(picture)


def has_place(target: str) -> bool:
    return target in OWN_PLACE or target in EXIF_ONLY


def of_tags(tags: Mapping[int, object]) -> Density | None:
    """The density that tags of EXIF or of a tiff say."""
    unit = tags.get(RESOLUTION_UNIT, INCH)
    per_inch = PER_INCH.get(unit, 0.0) if isinstance(unit, int) else 0.0  # 0 where no length is meant
    across = tags.get(X_RESOLUTION)
    dpi = _meant((across, tags.get(Y_RESOLUTION, across)))
    return (dpi[0] * per_inch, dpi[1] * per_inch) if dpi and per_inch else None


def _of_exif(picture: Image.Image) -> Density | None:
    try:
        return of_tags(picture.getexif())
    except DAMAGED:
        return None


def _meant(dpi: tuple[object, ...]) -> Density | None:
    try:
        across, down = (float(one) for one in dpi)  # type: ignore[arg-type]  # what isn't a number raises
    except (TypeError, ValueError, ZeroDivisionError):
        return None
    return (across, down if _can_be(down) else across) if _can_be(across) else None


def _can_be(dpi: float) -> bool:
    return 1 < dpi < 100_000


def exif_with(exif: bytes | None, dpi: Density, target: str) -> bytes | None:
    """`exif` that doesn't contradict `dpi`, and says it where the format has no other place for it."""
    try:
        return _with(exif, dpi, target)
    except DAMAGED:
        return exif


def _with(exif: bytes | None, dpi: Density, target: str) -> bytes | None:
    tags = tags_of(exif)
    said = of_tags(tags)
    if not said and target not in EXIF_ONLY:
        return exif
    if exif and all(map(_same, said or SILENT, dpi)):
        return exif
    tags[X_RESOLUTION], tags[Y_RESOLUTION] = (round(one, 2) for one in dpi)
    tags[RESOLUTION_UNIT] = INCH
    return tags.tobytes()


def _same(one: float, other: float) -> bool:
    return abs(one - other) < 0.01 * one
