"""What a picture file holds, as the API writes it of inputs: `{"width": "640", "height": "480", "pages": "3"}`.

Read from headers alone, in the process of a conversion that has read the file anyway: no file that somebody sent is
opened in the server's own process, and none costs a process more.
"""

from __future__ import annotations

from runner.server.converters.image_source import FORMATS, PAGED, frame_numbers, open_picture
from runner.server.converters.protocol import ConversionError, Guards, Source


def facts_of(source: Source, guards: Guards) -> dict[str, str]:
    """Size in pixels, and pages of a document or frames of an animation; empty for what has no size of its own."""
    if source.kind not in FORMATS:
        return {}
    try:
        with open_picture(source, guards) as picture:
            width, height = picture.size
            count = len(frame_numbers(picture, source, guards))
    except ConversionError:
        return {}
    facts = {"width": str(width), "height": str(height)}
    if source.kind in PAGED:
        return {**facts, "pages": str(count)}
    return {**facts, "frames": str(count)} if count > 1 else facts
