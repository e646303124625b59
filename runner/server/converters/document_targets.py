"""Documents that are made from pictures, or delivered as they are; data only, like the targets of pictures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from runner.server.converters import image_targets, schemas
from runner.server.converters.protocol import Target
from runner.wire.values import Json

PDF = replace(image_targets.PDF, sources=image_targets.SOURCES | {"pdf"})

HTML = Target(
    id="71",
    category="document",
    target="html",
    extension="html",
    content_type="text/html",
    options_schema=schemas.COMMON,
    sources=frozenset({"html"}),
)

DOCUMENTS = (PDF, HTML)
AS_THEY_ARE = frozenset({"pdf", "html"})  # kinds that their own target takes

# Options of a pdf that are about the pictures it is made from.
OF_PICTURES = ("width", "height", "rotate", "color", "dpi", "quality")


def not_as_it_is(options: Mapping[str, Json], *, several: bool) -> str:
    """What keeps a document from being delivered as it is, in words that follow "it"; empty where nothing does.

    several  whether it has others beside it, with which `merge` would join it
    """
    if several and str(options.get("merge")).lower() in ("true", "1"):
        return "can't be joined with others here"
    changed = [name for name in OF_PICTURES if _changes(options.get(name), PDF.options_schema[name].get("default"))]
    return f"can't be changed here: leave out {', '.join(changed)}" if changed else ""


def _changes(value: Json, default: Json) -> bool:
    return value is not None and str(value) != str(default)
