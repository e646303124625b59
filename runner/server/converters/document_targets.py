"""Documents that are made from pictures, or delivered as they are; data only, like the targets of pictures."""

from __future__ import annotations

from dataclasses import replace

from runner.server.converters import image_targets, schemas
from runner.server.converters.protocol import Target

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

# Options of a pdf that are about the pictures it is made from, and so can't be for one that is a pdf already.
OF_PICTURES = ("width", "height", "rotate", "color", "dpi", "quality")
