"""Drawings (svg) become pictures, and read nothing but themselves.

Every link is taken out before the renderer sees the drawing, except to its own parts ("#id") and to
data inside it ("data:..."); definitions of entities go with the DOCTYPE. A worker's sandbox forbids
reading other files a second time.
"""

from __future__ import annotations

import io
import re
import xml.parsers.expat
import zlib
from pathlib import Path
from xml.sax.saxutils import escape, quoteattr

import resvg_py
from PIL import Image

from runner.server.converters.protocol import UNREADABLE, ConversionError

TEXT_BYTES = 64 * 1024 * 1024
DEPTH = 500
DEFAULT_SIZE = (300.0, 150.0)  # what browsers take for a drawing without a size
UNITS = {"px": 1.0, "": 1.0, "pt": 96 / 72, "pc": 16.0, "in": 96.0, "cm": 96 / 2.54, "mm": 96 / 25.4}


class _Cleaner:
    """Rewrites a drawing event by event; gives the first element a size."""

    def __init__(self) -> None:
        self.size: tuple[float, float] | None = None
        self.has_text = False
        self._out: list[str] = []
        self._depth = 0

    def clean(self, content: bytes) -> str:
        parser = xml.parsers.expat.ParserCreate()
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._text
        parser.Parse(content, True)  # noqa: FBT003  # expat takes no keywords
        return "".join(self._out)

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        self._depth += 1
        if self._depth > DEPTH:
            raise _unreadable(f"its elements are nested more than {DEPTH} deep")
        if self.size is None:
            self.size = _natural_size(attributes)
            attributes = _sized(attributes, self.size)
        self.has_text = self.has_text or name.endswith("text")
        kept = (f" {key}={quoteattr(value)}" for key, value in attributes.items() if _harmless(key, value))
        self._out.append(f"<{name}{''.join(kept)}>")

    def _end(self, name: str) -> None:
        self._depth -= 1
        self._out.append(f"</{name}>")

    def _text(self, text: str) -> None:
        self._out.append(escape(text))


class Drawing:
    """A cleaned drawing. `size` is its own, in pixels at 96 dpi."""

    def __init__(self, text: str, size: tuple[float, float], *, has_text: bool) -> None:
        self.size = size
        self._text = text
        self._has_text = has_text

    def render(self, width: int) -> Image.Image:
        """The drawing `width` pixels wide, its height in proportion."""
        try:
            # Reading the machine's fonts takes longer than all the rest: only where there are words.
            content = resvg_py.svg_to_bytes(
                svg_string=self._text, width=width, dpi=96, skip_system_fonts=not self._has_text
            )
        except ValueError as error:
            raise _unreadable(f"it can't be drawn: {error}") from error
        picture = Image.open(io.BytesIO(bytes(content)), formats=("PNG",))
        picture.load()
        return picture


def read_drawing(path: Path) -> Drawing:
    """The drawing at `path`, plain or gzipped. Raises ConversionError when it is none."""
    cleaner = _Cleaner()
    try:
        text = cleaner.clean(_content(path))
    except xml.parsers.expat.ExpatError as error:
        raise _unreadable(f"its XML is broken: {error}") from error
    return Drawing(text, cleaner.size or DEFAULT_SIZE, has_text=cleaner.has_text)


def _content(path: Path) -> bytes:
    with path.open("rb") as file:
        content = file.read(TEXT_BYTES + 1)
    if content[:2] == b"\x1f\x8b":
        content = _unpacked(content)
    if len(content) > TEXT_BYTES:
        raise _unreadable(f"it holds more than {TEXT_BYTES // 2**20} MiB of text")
    return content


def _unpacked(content: bytes) -> bytes:
    try:
        return zlib.decompressobj(wbits=31).decompress(content, TEXT_BYTES + 1)
    except zlib.error as error:
        raise _unreadable(f"its gzip packing is broken: {error}") from error


def _harmless(key: str, value: str) -> bool:
    if key.rpartition(":")[2].lower() not in ("href", "src", "base"):
        return True
    return re.match(r"\s*(#|data:)", value) is not None


def _natural_size(root: dict[str, str]) -> tuple[float, float]:
    box = _view_box(root.get("viewBox", ""))
    width, height = _pixels(root.get("width", "")), _pixels(root.get("height", ""))
    if width and height:
        return width, height
    shape = box or DEFAULT_SIZE
    if width:
        return width, width * shape[1] / shape[0]
    if height:
        return height * shape[0] / shape[1], height
    return shape


def _sized(root: dict[str, str], size: tuple[float, float]) -> dict[str, str]:
    """The size said in pixels, because the renderer has other ideas about drawings that don't say it."""
    sized = root | {"width": f"{size[0]:.6f}", "height": f"{size[1]:.6f}"}
    if "viewBox" in sized and _view_box(sized["viewBox"]) is None:
        del sized["viewBox"]
    return sized


def _view_box(value: str) -> tuple[float, float] | None:
    numbers = re.findall(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?", value)
    if len(numbers) != 4:
        return None
    width, height = float(numbers[2]), float(numbers[3])
    return (width, height) if width > 0 and height > 0 else None


def _pixels(length: str) -> float | None:
    match = re.fullmatch(r"\s*((?:\d{1,9}\.?\d*|\.\d+)(?:[eE][-+]?\d{1,2})?)\s*([a-z]*)\s*", length)
    if not match or match[2] not in UNITS:
        return None
    return float(match[1]) * UNITS[match[2]] or None


def _unreadable(why: str) -> ConversionError:
    return ConversionError(UNREADABLE, f"The drawing can't be read: {why}.")
