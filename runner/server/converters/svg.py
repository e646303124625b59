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

from runner.server.converters.css_fonts import with_families, with_families_in_rules
from runner.server.converters.fonts import Families, installed_families, with_general_family
from runner.server.converters.protocol import UNREADABLE, ConversionError
from runner.server.converters.svg_encoding import EncodingError, readable

TEXT_BYTES = 64 * 1024 * 1024
DEPTH = 500
LARGEST, SMALLEST = 3e38, 2e-38  # numbers of a viewBox: the renderer counts with 32 bits
DEFAULT_SIZE = (300.0, 150.0)  # what browsers take for a drawing without a size
NO_FONT = "This machine has no font; text in a drawing isn't shown."
LETTER = 16.0  # how large letters are in browsers where nobody says it
# Source: CSS Values and Units 3, 5 and 6; a letter is taken to be half as wide as high.
UNITS = {
    "px": 1.0,
    "": 1.0,
    "pt": 96 / 72,
    "pc": 16.0,
    "in": 96.0,
    "cm": 96 / 2.54,
    "mm": 96 / 25.4,
    "q": 96 / 101.6,
    "em": LETTER,
    "rem": LETTER,
    "ex": LETTER / 2,
    "ch": LETTER / 2,
}
NO_HTML = "HTML within a drawing (foreignObject) isn't drawn here; the result is without."
MOST_TOLD, MOST_SHOWN = 3, 60
# Elements of which a link is something to be drawn, or what draws it.
SHOWING = frozenset(
    {"image", "feImage", "use", "textPath", "tref", "pattern", "linearGradient", "radialGradient", "filter"}
)
_OF_CSS = re.compile(r"""(?i)(?:@import|url\()["'\s]*(?!#|\(|data:|url\()([^"')\s;]+)""")


class _Cleaner:
    """Rewrites a drawing event by event; gives the first element a size, and text a family that is installed."""

    def __init__(self) -> None:
        self.size: tuple[float, float] | None = None
        self.has_text = False  # or a drawing within, which may have some
        self.elsewhere: list[str] = []  # addresses of what it shows from other files
        self.has_html = False
        self._out: list[str] = []
        self._style: list[str] | None = None  # of the element that is open, where it holds CSS
        self._depth = 0

    def clean(self, content: bytes) -> str:
        content, encoding = readable(content)
        parser = xml.parsers.expat.ParserCreate(encoding)
        parser.ProcessingInstructionHandler = self._instruction
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._text
        parser.Parse(content, True)  # noqa: FBT003  # expat takes no keywords
        return "".join(self._out)

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        self._end_style()
        self._depth += 1
        if self._depth > DEPTH:
            raise _unreadable(f"its elements are nested more than {DEPTH} deep")
        if self.size is None:
            self.size = _natural_size(attributes)
            attributes = _sized(attributes, self.size)
        self._note_what_is_left_out(name, attributes)
        kept = {key: value for key, value in attributes.items() if _harmless(key, value)}
        self.has_text = self.has_text or name.endswith("text") or any(map(_is_drawing, kept.values()))
        written = (f" {key}={quoteattr(_with_family(key, value))}" for key, value in kept.items())
        self._out.append(f"<{name}{''.join(written)}>")
        self._style = [] if name.rpartition(":")[2] == "style" else None

    def _note_what_is_left_out(self, name: str, attributes: dict[str, str]) -> None:
        element = name.rpartition(":")[2]
        self.has_html = self.has_html or element == "foreignObject"
        for key, value in attributes.items():
            if not _harmless(key, value):
                self.elsewhere += [value.strip()] if element in SHOWING and value.strip() else []
            elif "url(" in value.lower():
                self.elsewhere += _OF_CSS.findall(value)

    def _instruction(self, target: str, content: str) -> None:
        address = re.search(r"""href\s*=\s*["']([^"'#]+)""", content)
        if target == "xml-stylesheet" and address and not _harmless("href", address[1]):
            self.elsewhere.append(address[1])

    def _end(self, name: str) -> None:
        self._depth -= 1
        self._end_style()
        if not self._depth and self.has_text:
            # The renderer reads fonts only for text that isn't in a drawing within.
            self._out.append(f"<{name.removesuffix('svg')}text/>")
        self._out.append(f"</{name}>")

    def _text(self, text: str) -> None:
        if self._style is None:
            self._out.append(escape(text))
        else:
            self._style.append(text)

    def _end_style(self) -> None:
        if self._style is not None:
            sheet = "".join(self._style)
            self.elsewhere += _OF_CSS.findall(sheet)
            self._out.append(escape(with_families_in_rules(sheet)))
        self._style = None


class Drawing:
    """A cleaned drawing. `size` is its own, in pixels at 96 dpi."""

    def __init__(self, text: str, size: tuple[float, float], *, has_text: bool, left_out: tuple[str, ...] = ()) -> None:
        self.size = size
        self._left_out = left_out
        self._text = text
        self._has_text = has_text
        # Reading the machine's fonts takes longer than all the rest: only where there are words.
        self._families = installed_families() if has_text else None

    @property
    def warnings(self) -> tuple[str, ...]:
        fontless = (NO_FONT,) if self._has_text and self._families is None else ()
        return (*fontless, *self._left_out)

    def render(self, width: int) -> Image.Image:
        """The drawing `width` pixels wide, its height in proportion."""
        here = self._families or Families()
        try:
            content = resvg_py.svg_to_bytes(
                svg_string=self._text,
                width=width,
                dpi=96,
                skip_system_fonts=not self._has_text,
                font_family=here.serif,  # where the drawing names none, as in browsers
                serif_family=here.serif,
                sans_serif_family=here.sans_serif,
                monospace_family=here.monospace,
                cursive_family=here.sans_serif,
                fantasy_family=here.sans_serif,
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
    except EncodingError as error:
        raise _unreadable(str(error)) from error
    return Drawing(text, cleaner.size or DEFAULT_SIZE, has_text=cleaner.has_text, left_out=_left_out(cleaner))


def _left_out(cleaner: _Cleaner) -> tuple[str, ...]:
    html = (NO_HTML,) if cleaner.has_html else ()
    # What stands behind the ? of an address may be a signature.
    addresses = list(dict.fromkeys(address.partition("?")[0][:MOST_SHOWN] for address in cleaner.elsewhere))
    if not addresses:
        return html
    more = f" and {len(addresses) - MOST_TOLD} more" if len(addresses) > MOST_TOLD else ""
    told = ", ".join(f"'{address}'" for address in addresses[:MOST_TOLD])
    return (*html, f"A drawing reads no other file; the result is without what it takes from {told}{more}.")


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


def _is_drawing(value: str) -> bool:
    """Whether it is another drawing, which may have text."""
    return re.match(r"(?i)\s*data:image/svg", value) is not None


def _with_family(key: str, value: str) -> str:
    if key == "font-family":
        return with_general_family(value)
    return with_families(value) if key == "style" else value


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
    left, top, width, height = map(float, numbers)
    usual = max(abs(left), abs(top), width, height) <= LARGEST and min(width, height) >= SMALLEST
    return (width, height) if usual else None


def _pixels(length: str) -> float | None:
    match = re.fullmatch(r"\s*((?:\d{1,9}\.?\d*|\.\d+)(?:[eE][-+]?\d{1,2})?)\s*([a-zA-Z]*)\s*", length)
    if not match or match[2].lower() not in UNITS:
        return None
    return float(match[1]) * UNITS[match[2].lower()] or None


def _unreadable(why: str) -> ConversionError:
    return ConversionError(UNREADABLE, f"The drawing can't be read: {why}.")
