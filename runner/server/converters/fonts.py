"""Which fonts of this machine stand for the general families that drawings name: serif, sans-serif, monospace.

The renderer of drawings leaves out a text whose family isn't installed, and takes the general ones for fonts that are
sold with Windows. So it is told of families that are here. Which characters a font lacks is the renderer's business:
it takes those from any other.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import ImageFont

FOLDERS = ("/usr/share/fonts", "/usr/local/share/fonts", "~/.fonts", "~/.local/share/fonts")
ENDINGS = frozenset({".ttf", ".otf", ".ttc", ".otc"})

# What is usual for each, those as wide as the fonts that drawings are made with first.
SANS_SERIF = (
    *("Arial", "Liberation Sans", "Arimo", "Helvetica", "Nimbus Sans", "FreeSans"),
    *("Noto Sans", "DejaVu Sans", "Open Sans", "Roboto", "Ubuntu", "Cantarell"),
)
SERIF = (
    *("Times New Roman", "Liberation Serif", "Tinos", "Times", "Nimbus Roman", "FreeSerif"),
    *("Noto Serif", "DejaVu Serif"),
)
MONOSPACE = (
    *("Courier New", "Liberation Mono", "Cousine", "Courier", "Nimbus Mono PS", "FreeMono"),
    *("Noto Sans Mono", "DejaVu Sans Mono", "Ubuntu Mono"),
)

_GENERAL = re.compile(r"(?i)\b(serif|monospace|cursive|fantasy)\s*$|^\s*(inherit|initial|unset)\s*$")
_MONOSPACE_NAME = re.compile(r"(?i)mono|courier|consol|menlo|code|typewriter")
_SERIF_NAME = re.compile(r"(?i)times|roman|georgia|garamond|palatino|cambria|baskerville|bookman|didot|bodoni|minion")


@dataclass(frozen=True, kw_only=True, slots=True)
class Families:
    """A family for each of the general ones; those of the renderer where nobody says others."""

    serif: str = "Times New Roman"
    sans_serif: str = "Arial"
    monospace: str = "Courier New"


def installed_families(folders: Iterable[str] = FOLDERS) -> Families | None:
    """None where there is no font at all."""
    files = sorted(_font_files(folders), key=lambda path: (len(path.stem), path))
    some = next(filter(None, map(_family, files)), None)
    if some is None:
        return None
    sans_serif = _first_of(SANS_SERIF, files) or some
    return Families(
        serif=_first_of(SERIF, files) or sans_serif,
        sans_serif=sans_serif,
        monospace=_first_of(MONOSPACE, files) or sans_serif,
    )


def with_general_family(families: str) -> str:
    """A list of families as CSS has it, ending in a general one: else what isn't installed would become serif."""
    if not families.strip() or any(_GENERAL.search(family) for family in families.split(",")):
        return families
    return f"{families.rstrip()}, {_general_family(families)}"


def _general_family(families: str) -> str:
    if _MONOSPACE_NAME.search(families):
        return "monospace"
    return "serif" if _SERIF_NAME.search(families) else "sans-serif"


def _font_files(folders: Iterable[str]) -> Iterator[Path]:
    for folder in folders:
        for place, _, names in os.walk(os.path.expanduser(folder)):  # noqa: PTH111  # the other raises without a home
            yield from (Path(place, name) for name in names if Path(name).suffix.lower() in ENDINGS)


def _first_of(families: Sequence[str], files: Sequence[Path]) -> str | None:
    return next((family for family in families if _is_here(family, files)), None)


def _is_here(family: str, files: Sequence[Path]) -> bool:
    """Only files called after the family are opened: there may be thousands."""
    return any(_family(file) == family for file in files if _squeezed(file.stem).startswith(_squeezed(family)))


def _squeezed(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _family(file: Path) -> str | None:
    try:
        return ImageFont.truetype(file).getname()[0]
    except (OSError, ValueError):  # damaged, or not readable by us
        return None
