"""Draws the pictures of recipes/pictures, so that the repository ships nobody's photographs.

Run it to make them anew: python tools/draw_pictures.py recipes/pictures
"""

from __future__ import annotations

import math
import random
import sys
from pathlib import Path

from PIL import Image, ImageDraw, ImageFilter

ORIENTATION_TAG = 0x0112
ROTATE_90_CW = 6


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    mountains().save(folder / "mountains.jpg", quality=88)
    upright(mountains(seed=7, night=True)).save(folder / "night, held upright.jpg", quality=88, exif=sideways())
    harbour().save(folder / "harbour.png", optimize=True)
    badge().save(folder / "badge.png", optimize=True)
    frames = [pendulum(step / 12) for step in range(12)]
    frames[0].save(folder / "pendulum.gif", save_all=True, append_images=frames[1:], duration=80, loop=0)
    (folder / "compass.svg").write_text(COMPASS, encoding="utf-8")


def mountains(*, seed: int = 3, night: bool = False) -> Image.Image:
    rng = random.Random(seed)
    width, height = 1600, 1067
    top, bottom = ((12, 18, 52), (60, 66, 120)) if night else ((250, 176, 120), (255, 232, 190))
    picture = gradient(width, height, top, bottom)
    draw = ImageDraw.Draw(picture)
    sun = (width * 0.68, height * 0.30)
    draw.ellipse(box(sun, 70), fill=(245, 240, 215) if night else (255, 246, 214))
    for layer in range(5):
        shade = layer / 4
        tone = mix((70, 80, 130), (14, 18, 34), shade) if night else mix((206, 140, 130), (44, 40, 70), shade)
        draw.polygon(ridge(rng, width, height, base=0.45 + 0.11 * layer, rough=90 - 10 * layer), fill=tone)
    return picture.filter(ImageFilter.GaussianBlur(0.8))


def harbour() -> Image.Image:
    rng = random.Random(11)
    width, height = 1200, 800
    picture = gradient(width, height, (120, 180, 220), (214, 234, 242))
    draw = ImageDraw.Draw(picture)
    draw.rectangle((0, 520, width, height), fill=(38, 92, 128))
    for _ in range(900):
        x, y = rng.randrange(width), rng.randrange(525, height)
        length = rng.randrange(6, 50) * (y - 480) // 200
        draw.line((x, y, x + length, y), fill=mix((38, 92, 128), (180, 220, 235), rng.random() * 0.6))
    for index in range(5):
        boat(draw, 90 + index * 230, 500 + rng.randrange(-10, 90), rng)
    return picture


def boat(draw: ImageDraw.ImageDraw, x: int, y: int, rng: random.Random) -> None:
    hull = rng.choice([(190, 60, 50), (240, 240, 235), (40, 50, 70), (230, 170, 60)])
    draw.polygon([(x, y), (x + 150, y), (x + 125, y + 34), (x + 22, y + 34)], fill=hull)
    draw.line((x + 70, y, x + 70, y - 170), fill=(70, 60, 50), width=5)
    draw.polygon([(x + 76, y - 165), (x + 76, y - 14), (x + 150, y - 14)], fill=(250, 250, 246))
    draw.polygon([(x + 64, y - 140), (x + 64, y - 14), (x + 8, y - 14)], fill=(236, 232, 222))


def badge() -> Image.Image:
    """Transparent where nothing is drawn."""
    picture = Image.new("RGBA", (800, 800), (0, 0, 0, 0))
    draw = ImageDraw.Draw(picture)
    draw.ellipse((40, 40, 760, 760), fill=(32, 110, 96, 255))
    draw.ellipse((90, 90, 710, 710), outline=(250, 246, 230, 255), width=14)
    star = [
        (400 + radius * math.sin(math.pi * corner / 5), 400 - radius * math.cos(math.pi * corner / 5))
        for corner, radius in enumerate([250, 105] * 5)
    ]
    draw.polygon(star, fill=(250, 210, 90, 230))
    return picture


def pendulum(phase: float) -> Image.Image:
    picture = Image.new("RGB", (320, 240), (246, 244, 238))
    draw = ImageDraw.Draw(picture)
    angle = 0.7 * math.sin(2 * math.pi * phase)
    end = (160 + 170 * math.sin(angle), 20 + 170 * math.cos(angle))
    draw.line((160, 20, *end), fill=(60, 60, 70), width=4)
    draw.ellipse(box(end, 22), fill=(200, 70, 60))
    return picture


def upright(picture: Image.Image) -> Image.Image:
    """The pixels as a camera held upright stores them: sideways, with a note to turn them."""
    return picture.crop((400, 0, 1100, 1067)).transpose(Image.Transpose.ROTATE_90)


def sideways() -> Image.Exif:
    exif = Image.Exif()
    exif[ORIENTATION_TAG] = ROTATE_90_CW
    return exif


def ridge(rng: random.Random, width: int, height: int, *, base: float, rough: float) -> list[tuple[float, float]]:
    waves = [(rng.uniform(0.5, 1.0) * rough / (n + 1), rng.uniform(0, 6.3), (n + 1) * 1.7) for n in range(6)]
    points = [
        (x, height * base + sum(size * math.sin(x / width * 6.3 * speed + phase) for size, phase, speed in waves))
        for x in range(0, width + 8, 8)
    ]
    return [(0.0, float(height)), *points, (float(width), float(height))]


Color = tuple[int, int, int]


def gradient(width: int, height: int, top: Color, bottom: Color) -> Image.Image:
    column = Image.new("RGB", (1, height))
    for y in range(height):
        column.putpixel((0, y), mix(top, bottom, y / height))
    return column.resize((width, height))


def mix(one: Color, other: Color, share: float) -> Color:
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(one, other, strict=True))
    return red, green, blue


def box(center: tuple[float, float], radius: float) -> tuple[float, float, float, float]:
    x, y = center
    return x - radius, y - radius, x + radius, y + radius


COMPASS = """<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 400 400" width="400" height="400">
  <defs><radialGradient id="sea"><stop offset="0" stop-color="#e8f4f8"/><stop offset="1" stop-color="#9cc4d8"/>
  </radialGradient></defs>
  <circle cx="200" cy="200" r="190" fill="url(#sea)" stroke="#24516b" stroke-width="10"/>
  <g stroke="#24516b" stroke-width="6"><path d="M200 24v30M200 346v30M24 200h30M346 200h30"/></g>
  <path d="M200 60 226 200H174Z" fill="#c4473a"/>
  <path d="M200 340 226 200H174Z" fill="#fdfbf5" stroke="#24516b" stroke-width="3"/>
  <circle cx="200" cy="200" r="12" fill="#24516b"/>
</svg>
"""


if __name__ == "__main__":
    main(Path(sys.argv[1]))
