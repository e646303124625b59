"""Writing pictures: one table of what each format takes, one function that saves."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from PIL import Image

from runner.server.converters.image_color import has_alpha, with_clear_shade
from runner.server.converters.image_metadata import Metadata, finish, page_options, save_options
from runner.server.converters.image_targets import with_article
from runner.server.converters.protocol import TOO_LARGE, ConversionError
from runner.wire.values import Json

ICON_SIZES = (16, 24, 32, 48, 64, 128, 256)
DEFAULT_DURATION_MS = 100  # what viewers make of a frame that says 0
LONGEST_GIF_MS = 655_340
AVIF_MEGAPIXELS = 100  # at once: more takes the encoder more memory than a conversion has


@dataclass(frozen=True, kw_only=True, slots=True)
class Frame:
    """`still` is no part of the animation: it is seen where nothing moves."""

    picture: Image.Image
    metadata: Metadata = field(default_factory=Metadata)
    duration_ms: float = 0
    still: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Format:
    """How Pillow calls it, the largest side it can hold, and what several frames are in it."""

    name: str
    side: int
    several: str = ""  # "animation", "pages" or nothing


FORMATS = {
    "jpg": Format(name="JPEG", side=65_500),
    "png": Format(name="PNG", side=1_000_000, several="animation"),
    "webp": Format(name="WEBP", side=16_383, several="animation"),
    "gif": Format(name="GIF", side=65_535, several="animation"),
    "tiff": Format(name="TIFF", side=1_000_000, several="pages"),
    "bmp": Format(name="BMP", side=65_535),
    "avif": Format(name="AVIF", side=65_535, several="animation"),
    "ico": Format(name="ICO", side=256),
    "tga": Format(name="TGA", side=65_535),
    "pdf": Format(name="PDF", side=65_535, several="pages"),
}


def check_side(size: tuple[int, int], target: str, *, page: int | None = None) -> None:
    """Raises ConversionError when the format can't hold a picture that large; `page` is which of several it is."""
    side = FORMATS[target].side
    if max(size) <= side:
        return
    where = f", as page {page} would be" if page else ""
    text = (
        f"{with_article(target).capitalize()} can't be {size[0]} x {size[1]} pixels large{where}; "
        f"its longest side is {side} pixels. Choose a smaller width or height."
    )
    raise ConversionError(TOO_LARGE, text, {"text_1": text})


def check_pixels(size: tuple[int, int], target: str) -> None:
    """Raises ConversionError where the encoder of that format would need more memory than a conversion has."""
    if target != "avif" or size[0] * size[1] <= AVIF_MEGAPIXELS * 1_000_000:
        return
    text = (
        f"An avif of {size[0]} x {size[1]} pixels needs more memory than its encoder gets; "
        f"at most {AVIF_MEGAPIXELS} megapixels are made. Choose a smaller width or height, or another format."
    )
    raise ConversionError(TOO_LARGE, text, {"text_1": text})


def write(
    frames: Sequence[Frame],
    path: Path,
    target: str,
    options: Mapping[str, Json],
    *,
    plays: int = 0,
) -> tuple[int, int]:
    """Save `frames` as one file, and say how large the first is in it.

    plays  how often an animation runs, 0 for ever
    """
    if target == "gif":
        frames = _alike(frames)
    first = _small(frames[0].picture) if target == "ico" else frames[0].picture
    metadata = frames[0].metadata
    arguments = {**save_options(metadata, target), **_own_arguments(first, target, options)}
    if len(frames) > 1:
        arguments |= _several(frames, target, plays)
    try:
        first.save(path, format=FORMATS[target].name, **arguments)
    except RuntimeError as error:
        if target == "avif":  # all that its encoder says where it got no memory
            raise MemoryError from error
        raise
    finish(path, metadata, target)
    return first.size


def _small(picture: Image.Image) -> Image.Image:
    """Scaled down once, and not again for each of the sizes of an icon."""
    if max(picture.size) > ICON_SIZES[-1]:
        picture = picture.copy()
        picture.thumbnail((ICON_SIZES[-1], ICON_SIZES[-1]), Image.Resampling.LANCZOS)
    return picture


def _alike(frames: Sequence[Frame]) -> Sequence[Frame]:
    """All with a transparent shade where some have one: each is drawn on a ground that was cleared."""
    if not any(has_alpha(frame.picture) for frame in frames):
        return frames
    return [_with_clear_shade(frame) for frame in frames]


def _with_clear_shade(frame: Frame) -> Frame:
    return frame if has_alpha(frame.picture) else replace(frame, picture=with_clear_shade(frame.picture))


def _own_arguments(picture: Image.Image, target: str, options: Mapping[str, Json]) -> dict[str, object]:
    builders: dict[str, Callable[[Image.Image, Mapping[str, Json]], dict[str, object]]] = {
        "jpg": lambda _, given: {
            "quality": given.get("quality") or 85,
            "progressive": given.get("interlace") is not None,
        },
        "webp": lambda _, given: {"quality": given.get("quality") or 80},
        "avif": lambda _, given: {"quality": given.get("quality") or 75},
        "tiff": lambda page, _: _page_arguments(page),
        "ico": lambda first, given: {"sizes": _icon_sizes(first.size, given)},
        "tga": lambda _, __: {"compression": "tga_rle"},
    }
    return builders[target](picture, options) if target in builders else {}


def _page_arguments(page: Image.Image) -> dict[str, object]:
    return {"compression": "group4" if page.mode == "1" else "tiff_lzw"}


def _icon_sizes(size: tuple[int, int], options: Mapping[str, Json]) -> list[tuple[int, int]]:
    """One size where one is asked for, else the picture's own and all usual ones below it."""
    if options.get("width") is not None or options.get("height") is not None:
        return [size]
    return [*((side, side) for side in ICON_SIZES if side < max(size)), size]


def _several(frames: Sequence[Frame], target: str, plays: int) -> dict[str, object]:
    arguments: dict[str, object] = {
        "save_all": True,
        "append_images": [frame.picture for frame in frames[1:]],
    }
    if target == "tiff":
        for frame in frames[1:]:
            # Before those of the first page.
            frame.picture.encoderinfo = {**page_options(frame.metadata), **_page_arguments(frame.picture)}
    if FORMATS[target].several == "animation":
        durations = [frame.duration_ms or DEFAULT_DURATION_MS for frame in frames if not frame.still]
        arguments["duration"] = _gif_durations(durations) if target == "gif" else _in_steps(durations, 1)
        arguments |= _repetition(target, plays)
    if target == "png":
        arguments["default_image"] = frames[0].still
    if target == "gif" and any(has_alpha(frame.picture) for frame in frames):
        arguments["disposal"] = 2  # else what a frame leaves open shows the one before it
        arguments["optimize"] = False  # else a frame without transparent pixels loses the shade that clears it
    return arguments


def _gif_durations(durations_ms: Sequence[float]) -> list[int]:
    """In hundredths of a second.

    What says 10 ms or less, in any format, browsers show for 100 ms. It stays like that, and what says more doesn't
    become so short.
    """
    return _in_steps([10 if one <= 10 else min(max(20, one), LONGEST_GIF_MS) for one in durations_ms], 10)


def _in_steps(durations_ms: Iterable[float], step: int) -> list[int]:
    """As multiples of `step`; what rounding takes from one the next one gets, so that all keep their speed."""
    steps: list[int] = []
    owed = 0.0
    for duration in durations_ms:
        steps.append(max(1, round((duration + owed) / step)))
        owed += duration - steps[-1] * step
    return [count * step for count in steps]


def _repetition(target: str, plays: int) -> dict[str, object]:
    if target == "gif":  # counts repetitions after the first time; once is said by saying nothing
        return {} if plays == 1 else {"loop": max(0, plays - 1)}
    return {} if target == "avif" else {"loop": plays}
