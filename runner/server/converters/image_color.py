"""Modes and colours: what a target can hold, profiles, flattening, colour treatments.

The profile in the `info` of a picture is always the one of its pixels: what converts them takes it away.
"""

from __future__ import annotations

import io

from PIL import Image, ImageCms, ImageMath, ImageOps

# The modes of Pillow that a target is written in as they are; anything else is converted before.
MODES: dict[str, frozenset[str]] = {
    "jpg": frozenset({"L", "RGB", "CMYK"}),
    "png": frozenset({"1", "L", "LA", "P", "RGB", "RGBA", "I;16"}),
    "webp": frozenset({"RGB", "RGBA"}),
    "gif": frozenset({"1", "L", "P", "RGB", "RGBA"}),
    "tiff": frozenset({"1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16", "I", "F"}),
    "bmp": frozenset({"1", "L", "P", "RGB"}),
    "avif": frozenset({"RGB", "RGBA"}),
    "ico": frozenset({"RGBA"}),
    "tga": frozenset({"L", "RGB", "RGBA"}),
    "pdf": frozenset({"1", "L", "P", "RGB"}),
}
ALPHA_TARGETS = frozenset({"png", "webp", "gif", "tiff", "avif", "ico", "tga"})
PALETTE_ALPHA_TARGETS = frozenset({"png", "gif"})
PROFILE_TARGETS = frozenset({"jpg", "png", "webp", "tiff", "avif"})
OTHER_ORDERS = ("I;16B", "I;16L", "I;16N")
DEEP_GRAY = ("I;16", *OTHER_ORDERS, "I", "F")
PROFILE_SPACES = {b"RGB ": ("RGB", "RGBA", "P"), b"GRAY": ("L", "LA", "1", *DEEP_GRAY), b"CMYK": ("CMYK",)}

NO_SCREENS = ("CMYK", "LAB")  # whose numbers mean nothing to who takes them for RGB

CLEAR_SHADE = 255
HALF = 128  # between all and nothing; of alpha, what is less is transparent where there is nothing between

OVERSHOT = 1.5  # how far values pass a white of 1 when a picture is sharpened
UNDERSHOT = 0.5  # how far black is passed then, as a part of the highest value
BRIGHTEST = 16.0  # how far white is passed by what is brighter; were white at 255, all of it would be black
ROOM = 2**30  # half of what the numbers of a picture can be
SEPIA = ("#1f1206", "#fbf0d9", "#9b7a52")  # black, white, middle
FADED = (0.92, 0.06, 0.02, 24, 0.04, 0.86, 0.04, 18, 0.04, 0.10, 0.68, 22)


def has_alpha(picture: Image.Image) -> bool:
    return picture.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in picture.info


def profile_for(icc: bytes | None, mode: str) -> bytes | None:
    """`icc` if it describes pictures of that mode; a profile of another colour space would spoil them."""
    if not icc or len(icc) < 132:
        return None
    return icc if mode in PROFILE_SPACES.get(icc[16:20], ()) else None


def own_profile(picture: Image.Image) -> bytes | None:
    """The profile that says what the numbers of `picture` look like."""
    return profile_for(picture.info.get("icc_profile"), picture.mode)


def with_profile(picture: Image.Image, icc: bytes | None) -> Image.Image:
    if icc:
        picture.info["icc_profile"] = icc
    return picture


def workable(picture: Image.Image) -> Image.Image:
    """`picture` in a mode that can be resized and treated: L, LA, RGB or RGBA, in 8 bits a channel."""
    if picture.mode in ("RGB", "L") and not has_alpha(picture):
        return picture
    if picture.mode in DEEP_GRAY:
        return _deep_gray(picture)
    if picture.mode in ("LA", "La") or (has_alpha(picture) and picture.mode in ("1", "L")):
        return picture.convert("LA")
    if has_alpha(picture):
        return picture.convert("RGBA")
    if picture.mode == "1":
        return picture.convert("L")
    return to_srgb(picture) if picture.mode in NO_SCREENS else picture.convert("RGB")


def scalable(picture: Image.Image, target: str) -> Image.Image:
    """`picture` in a mode that can be scaled and cropped: as it is where it's deep gray and `target` holds that."""
    ready = _in_usual_order(picture)
    deep = ready.mode in DEEP_GRAY and ready.mode in MODES[target]
    return ready if deep and not has_alpha(ready) and _has_room(ready) else workable(picture)


def _has_room(picture: Image.Image) -> bool:
    """Whether whole numbers of 32 bits can overshoot without becoming those of the other end."""
    ends = picture.getextrema()
    return picture.mode != "I" or all(abs(end) < ROOM for end in ends)  # type: ignore[arg-type]  # one band, two numbers


def _in_usual_order(picture: Image.Image) -> Image.Image:
    """16 bits as I;16, however their bytes were ordered in the file."""
    return picture.convert("I").convert("I;16") if picture.mode in OTHER_ORDERS else picture


def _deep_gray(picture: Image.Image) -> Image.Image:
    """In 8 bits; as LA where one of the shades counts as transparent, which is one of 16 bits."""
    gray, clear = _in_8_bits(picture), picture.info.get("transparency")
    if isinstance(clear, int):
        gray.putalpha(_all_but(clear, picture))
        gray.info.pop("transparency", None)
    return gray


def _all_but(shade: int, picture: Image.Image) -> Image.Image:
    """255 where `picture` has another shade, 0 where it has this one."""
    others: Image.Image = ImageMath.lambda_eval(
        lambda given: (given["shades"] != shade) * 255, shades=picture.convert("I")
    )
    return others.convert("L")


def _in_8_bits(picture: Image.Image) -> Image.Image:
    if picture.mode.startswith("I;16"):
        return picture.convert("I").point(lambda value: value * (255 / 65535)).convert("L")
    floats = picture.convert("F")
    low, high = (float(end) for end in floats.getextrema())  # type: ignore[arg-type]  # one band, two numbers
    top = _white(low, high, whole=picture.mode == "I")
    if top is None and low == high:
        return Image.new("L", picture.size, HALF)  # neither its darkest nor its brightest
    if top is None:
        scale = 255 / (high - low)
        return floats.point(lambda value: value * scale + -low * scale).convert("L")
    return floats.point(lambda value: value * (255 / top) + 0).convert("L")


def _white(low: float, high: float, *, whole: bool) -> float | None:
    """Which value is white where `low` and `high` are the ends; None where that is the highest, and the lowest black.

    whole  numbers, which don't count to 1; others pass both ends where a picture was sharpened, or 1 where it shines
    """
    if not whole and high <= OVERSHOT:
        return 1.0 if low >= -UNDERSHOT * high else None
    if low < 0 or high > 65535 or (not whole and high <= BRIGHTEST):
        return None
    return 255.0 if high <= 255 else 65535.0


def to_srgb(picture: Image.Image) -> Image.Image:
    """`picture` in sRGB, by its profile where it has a usable one: L or RGB, with alpha LA or RGBA."""
    if has_alpha(picture):
        whole = picture if picture.mode in ("LA", "RGBA") else workable(picture)
        colors = to_srgb(whole.convert("L" if whole.mode == "LA" else "RGB"))
        colors.putalpha(whole.getchannel("A"))
        return colors
    base = picture if picture.mode in NO_SCREENS else workable(picture)
    converted = _by_profile(base, _profile_of(base)) or (base.convert("L") if base.mode == "LAB" else base)
    ready = converted.convert("L" if base.mode == "L" else "RGB")
    ready.info.pop("icc_profile", None)
    return ready


def _profile_of(picture: Image.Image) -> bytes | None:
    if picture.mode == "LAB":
        return ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    return own_profile(picture)


def _by_profile(picture: Image.Image, profile: bytes | None) -> Image.Image | None:
    if not profile:
        return None
    try:
        return ImageCms.profileToProfile(
            picture,
            ImageCms.ImageCmsProfile(io.BytesIO(profile)),
            ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")),
            outputMode="RGB",
        )
    except (ImageCms.PyCMSError, ValueError):  # a damaged profile is no reason to refuse the picture
        return None


def treat(picture: Image.Image, color: str) -> Image.Image:
    """The colour treatment of that name; alpha stays as it is. L, LA, RGB or RGBA."""
    if color == "colored":
        return picture
    if color != "negate" and own_profile(picture):  # the others count with how bright colours are
        picture = to_srgb(picture)
    if color == "monochrome":
        return flatten(picture).convert("1")
    alpha = picture.getchannel("A") if picture.mode in ("LA", "RGBA") else None
    treated = _treated(picture.convert("L" if picture.mode in ("L", "LA") else "RGB"), color)
    if alpha is not None:
        treated.putalpha(alpha)
    return treated


def _treated(picture: Image.Image, color: str) -> Image.Image:
    if color == "gray":
        return picture.convert("L")
    if color == "negate":
        return ImageOps.invert(picture)
    if color == "1900":
        return ImageOps.colorize(picture.convert("L"), *SEPIA)
    return picture.convert("RGB").convert("RGB", FADED)


def flatten(picture: Image.Image) -> Image.Image:
    """Without alpha, on white."""
    if not has_alpha(picture):
        return picture
    if picture.mode in DEEP_GRAY:
        return flatten(_deep_gray(picture))
    rgba = picture.convert("RGBA")
    ground = Image.new("RGBA", rgba.size, (255, 255, 255, 255))
    ground.alpha_composite(rgba)
    flat = ground.convert("L" if picture.mode in ("LA", "La") else "RGB")
    return with_profile(flat, picture.info.get("icc_profile"))


def fit(picture: Image.Image, target: str) -> Image.Image:
    """`picture` in a mode that `target` holds, alpha flattened where it holds none."""
    if has_alpha(picture):
        if target not in ALPHA_TARGETS:
            return fit(flatten(picture), target)
        if picture.mode in DEEP_GRAY:
            return picture if target == "png" else fit(_deep_gray(picture), target)
        if picture.mode == "P" and target in PALETTE_ALPHA_TARGETS:
            return one_transparent(picture) if target == "gif" else picture
        if target == "gif":
            return with_clear_shade(_colored(picture, "RGBA"))
        return picture if _holds(picture, target) else _colored(picture, "RGBA")
    picture = _in_usual_order(picture)
    if picture.mode in MODES[target]:
        return picture
    ready = workable(picture)
    if ready.mode in MODES[target]:
        return ready
    return _colored(ready, "RGB" if "RGB" in MODES[target] else "RGBA")


def _colored(picture: Image.Image, mode: str) -> Image.Image:
    """In RGB or RGBA. A profile of shades of gray describes no colours, so it is applied before."""
    shades = picture.mode in ("L", "LA") and own_profile(picture)
    return (to_srgb(picture) if shades else picture).convert(mode)


def one_transparent(picture: Image.Image) -> Image.Image:
    """A palette picture with one transparent colour at most, where a table gave each an alpha of its own."""
    table = picture.info["transparency"]
    if not isinstance(table, bytes):
        return picture
    clear = [index for index, alpha in enumerate(table) if alpha < HALF]
    single = picture.point([clear[0] if index in clear else index for index in range(256)])
    del single.info["transparency"]
    if clear:
        single.info["transparency"] = clear[0]
    return single


def with_clear_shade(picture: Image.Image) -> Image.Image:
    """As a palette picture of which the last shade is transparent, and nothing else.

    Left to Pillow, it is one of the shades that happen to be wholly transparent when there are 256 of them, or none.
    """
    rgba = picture.convert("RGBA")
    unseen = rgba.getchannel("A").point(lambda alpha: 0 if alpha >= HALF else 255)
    colors = rgba.convert("RGB")
    colors.paste(0, mask=unseen)  # what isn't seen needs no shades
    shades = colors.quantize(CLEAR_SHADE)
    shades.putpalette((shades.getpalette() or []) + [0] * (3 * 256 - len(shades.getpalette() or [])))
    shades.paste(CLEAR_SHADE, mask=unseen)
    shades.info = {**picture.info, "transparency": CLEAR_SHADE}
    return shades


def _holds(picture: Image.Image, target: str) -> bool:
    return picture.mode in ("LA", "RGBA") and picture.mode in MODES[target]
