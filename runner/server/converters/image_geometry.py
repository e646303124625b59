"""Sizes and shapes: rotate, resize, crop, fill. Pure of files; a picture goes in, a picture comes out."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from PIL import Image, ImageFilter, ImageMath

from runner.wire.values import Json

DEFAULT_DPI = (96.0, 96.0)  # of what says none, as pages and browsers take it
INCHES = {"inches": 1.0, "cm": 1 / 2.54, "mm": 1 / 25.4}
QUARTER_TURNS = {
    90: Image.Transpose.ROTATE_270,  # Pillow turns the other way round
    180: Image.Transpose.ROTATE_180,
    270: Image.Transpose.ROTATE_90,
}
FILLS = {"black": (0, 0, 0, 255), "white": (255, 255, 255, 255), "transparent": (0, 0, 0, 0)}

Size = tuple[int, int]
Density = tuple[float, float]  # dots per inch, across and down: of a fax they differ


@dataclass(frozen=True, kw_only=True, slots=True)
class Geometry:
    """What the options ask for; `dpi` is the option, None where it isn't given."""

    width: float | None = None
    height: float | None = None
    unit: str = "px"
    handling: str = "keep_aspect_ratio"
    rotate: int = 0
    dpi: int | None = None
    aspect: tuple[int, int] | None = None

    @property
    def resizes(self) -> bool:
        return self.width is not None or self.height is not None or self.aspect is not None

    @property
    def blends(self) -> bool:
        """Whether something shows between the picture and the edges of the result."""
        return bool(self.rotate % 90) or (self.resizes and "_fill_" in self.handling)

    @property
    def counts_with_density(self) -> bool:
        return self.resizes and not self.aspect and self.unit in INCHES

    @property
    def follows(self) -> bool:
        """Whether one side is given alone: the other follows, and the shape stays however it is handled."""
        return (self.width is None) != (self.height is None) and self.aspect is None


def geometry_of(options: Mapping[str, Json]) -> Geometry:
    """Reads expanded options; those a target doesn't have count as not given."""
    return Geometry(
        width=options.get("width"),
        height=options.get("height"),
        unit=options.get("resize_by") or "px",
        handling=options.get("resize_handling") or "keep_aspect_ratio",
        rotate=options.get("rotate") or 0,
        dpi=options.get("dpi"),
        aspect=_ratio(options.get("aspect_ratio")),
    )


def _ratio(value: Json) -> tuple[int, int] | None:
    if value is None:
        return None
    width, height = str(value).split(":")
    return max(1, int(width)), max(1, int(height))


def box(geometry: Geometry, size: Size, dpi: Density) -> Size:
    """Width and height of the frame that a picture of `size` goes into; `dpi` is its own density."""
    if geometry.aspect:
        return _box_of_ratio(geometry, size)
    width = _in_pixels(geometry.width, geometry, size[0], dpi[0])
    height = _in_pixels(geometry.height, geometry, size[1], dpi[1])
    if width is None:
        return (_scaled(size[0], height, size[1]), height) if height else size
    return width, height or _scaled(size[1], width, size[0])


def _in_pixels(value: float | None, geometry: Geometry, whole: int, dpi: float) -> int | None:
    if value is None:
        return None
    if geometry.unit == "px":
        return max(1, round(value))
    if geometry.unit == "perc":
        return max(1, round(whole * value / 100))
    return max(1, round(value * INCHES[geometry.unit] * (geometry.dpi or dpi)))


def _box_of_ratio(geometry: Geometry, size: Size) -> Size:
    """A frame of the wanted shape: around the whole picture to fill or stretch, else inside it to crop."""
    width, height = geometry.aspect or size
    wider = width * size[1] >= height * size[0]  # than the picture
    around = geometry.handling == "stretch" or "_fill_" in geometry.handling
    if wider == around:
        return _scaled(width, size[1], height), size[1]
    return size[0], _scaled(height, size[0], width)


def _scaled(value: int, factor: int, divisor: int) -> int:
    return max(1, round(value * factor / divisor))


def result_size(geometry: Geometry, size: Size, dpi: Density) -> Size:
    """How large the result will be, without looking at a pixel; `size` is after the rotation."""
    frame = box(geometry, size, dpi)
    return fitted(size, frame) if _fits_inside(geometry) else frame


def _fits_inside(geometry: Geometry) -> bool:
    return geometry.handling == "keep_aspect_ratio" and not geometry.aspect and not geometry.follows


def fitted(size: Size, frame: Size) -> Size:
    """The largest size of the same shape inside `frame`."""
    if size[0] * frame[1] >= size[1] * frame[0]:
        return frame[0], min(frame[1], _scaled(size[1], frame[0], size[0]))
    return min(frame[0], _scaled(size[0], frame[1], size[1])), frame[1]


def rotated_size(size: Size, degrees: int) -> Size:
    """What `rotate` makes of `size`, before the pixels are there."""
    if degrees % 180 == 0:
        return size
    if degrees % 90 == 0:
        return size[1], size[0]
    across, down = turned_extent(size, degrees)
    return _covered(size[0] / 2, across), _covered(size[1] / 2, down)


def turned_extent(size: Size, degrees: int) -> tuple[float, float]:
    """How far a rectangle reaches when it is turned, before that becomes whole pixels."""
    cosine, sine = abs(math.cos(math.radians(degrees))), abs(math.sin(math.radians(degrees)))
    return size[0] * cosine + size[1] * sine, size[0] * sine + size[1] * cosine


def _covered(middle: float, length: float) -> int:
    """How many whole pixels a line touches; the middle stays where it is when a picture is turned."""
    return math.ceil(middle + length / 2) - math.floor(middle - length / 2)


def rotate(picture: Image.Image, degrees: int) -> Image.Image:
    """Turned clockwise. Corners that open are transparent; L, LA, RGB or RGBA, but for quarter turns."""
    if degrees in QUARTER_TURNS:
        return picture.transpose(QUARTER_TURNS[degrees])
    if not degrees:
        return picture
    with_alpha = picture.convert("LA" if picture.mode in ("L", "LA") else "RGBA")
    return with_alpha.rotate(-degrees, resample=Image.Resampling.BICUBIC, expand=True)


def resize(picture: Image.Image, geometry: Geometry, size: Size, dpi: Density) -> Image.Image:
    """`picture` as large as the options ask; not a palette or 1-bit picture.

    size  of the whole picture, where `picture` is that one decoded smaller or drawn at another scale
    """
    if not geometry.resizes:
        return picture
    wanted = result_size(geometry, size, dpi)
    if geometry.follows or _fits_inside(geometry) or geometry.handling == "stretch":
        return _to(picture, wanted)
    if "_fill_" in geometry.handling:
        return _filled(_to(picture, fitted(size, wanted)), wanted, geometry.handling.rpartition("_")[2])
    return _cropped(picture, wanted)


def _to(picture: Image.Image, size: Size) -> Image.Image:
    if size == picture.size:
        return picture
    gap = None if picture.mode == "I;16" else 3.0  # by which Pillow can't reduce 16 bits
    scaled = picture.resize(size, resample=Image.Resampling.LANCZOS, reducing_gap=gap)
    return _within(picture, scaled) if picture.mode in ("I", "F") else scaled


def _within(original: Image.Image, scaled: Image.Image) -> Image.Image:
    """`scaled` without values past those of `original`: the filter overshoots, and only other modes end by themselves.

    What is no number stays none.
    """
    low, high = original.getextrema()
    below: Image.Image = ImageMath.lambda_eval(lambda given: (given["values"] < low) * 255, values=scaled)
    above: Image.Image = ImageMath.lambda_eval(lambda given: (given["values"] > high) * 255, values=scaled)
    scaled.paste(low, mask=below.convert("L"))
    scaled.paste(high, mask=above.convert("L"))
    return scaled


def _cropped(picture: Image.Image, frame: Size) -> Image.Image:
    """The middle of the picture in the shape of `frame`."""
    width, height = picture.size
    across, down = fitted(frame, (width, height))
    left, top = (width - across) // 2, (height - down) // 2
    return _to(picture.crop((left, top, left + across, top + down)), frame)


def _filled(picture: Image.Image, frame: Size, fill: str) -> Image.Image:
    inner = _to(picture, fitted(picture.size, frame)).convert("RGBA")
    ground = _blurred(picture, frame) if fill == "blurred" else Image.new("RGBA", frame, FILLS[fill])
    place = ((frame[0] - inner.size[0]) // 2, (frame[1] - inner.size[1]) // 2)
    ground.alpha_composite(inner, place)
    colors = "L" if picture.mode in ("L", "LA") else "RGB"
    filled = ground.convert(f"{colors}A" if fill == "transparent" else colors)
    filled.info = dict(picture.info)  # a profile above all: the colours are still those that it describes
    return filled


def _blurred(picture: Image.Image, frame: Size) -> Image.Image:
    # Small first: a blur of a large radius over all pixels takes longer than the rest together.
    small = fitted(frame, (200, 200))
    soft = _cropped(picture.convert("RGBA"), small).filter(ImageFilter.GaussianBlur(6))
    ground = Image.new("RGBA", frame, FILLS["black"])
    ground.alpha_composite(soft.resize(frame, resample=Image.Resampling.BICUBIC))
    return ground
