"""Pictures to measure with: seeded, so that every machine measures the same work."""

from __future__ import annotations

import random
from pathlib import Path

from PIL import Image, ImageChops, ImageFilter

PHOTO = (4000, 3000)


def photos(folder: Path, count: int, *, size: tuple[int, int] = PHOTO) -> list[Path]:
    """`count` different JPEGs that take an encoder as long as photographs do: gradients, edges and grain."""
    base = _scene(size, random.Random(1))
    paths = []
    for number in range(count):
        path = folder / f"photo-{number:03}.jpg"
        ImageChops.offset(base, number * 97, number * 61).save(path, quality=90)
        paths.append(path)
    return paths


def tiny_pictures(folder: Path, count: int, *, side: int = 64) -> list[Path]:
    """`count` different small PNGs."""
    paths = []
    for number in range(count):
        path = folder / f"tiny-{number:04}.png"
        dice = random.Random(number)
        picture = Image.linear_gradient("L").resize((side, side))
        Image.merge(
            "RGB", [ImageChops.offset(picture, dice.randrange(side), dice.randrange(side)) for _ in "rgb"]
        ).save(path)
        paths.append(path)
    return paths


def _scene(size: tuple[int, int], dice: random.Random) -> Image.Image:
    """Smooth areas, sharp edges and fine grain, in parts as a photograph has them."""
    bands = []
    for _ in "rgb":
        coarse = Image.frombytes("L", (40, 30), dice.randbytes(1200)).resize(size, Image.Resampling.BICUBIC)
        middle = Image.frombytes("L", (400, 300), dice.randbytes(120_000)).resize(size, Image.Resampling.BICUBIC)
        bands.append(Image.blend(coarse, middle, 0.2))
    scene = Image.merge("RGB", bands)
    noise = Image.frombytes("L", size, dice.randbytes(size[0] * size[1])).filter(ImageFilter.GaussianBlur(0.6))
    grain = noise.point(lambda value: 128 + (value - 128) // 4).convert("RGB")
    return ImageChops.add(scene, grain, scale=1, offset=-128)
