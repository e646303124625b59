"""operation/resize-image and operation/thumbnail for pictures: the same treatment under other names."""

from __future__ import annotations

import re
from dataclasses import replace

from runner.server.converters.images import convert_source
from runner.server.converters.protocol import UNREADABLE, ConversionError, Product, Request
from runner.wire.values import Json

RESIZE_TARGETS = frozenset({"bmp", "gif", "ico", "jpg", "png", "tga", "tiff", "webp"})
THUMBNAIL_SIDE = 200


def convert(request: Request) -> list[Product]:
    if request.target == "thumbnail":
        return _thumbnails(request)
    products = []
    for index, source in enumerate(request.sources):
        own = source.kind if source.kind in RESIZE_TARGETS else "png"
        target = str(request.options.get("resize_target") or own)
        products += convert_source(request, index, source, target)
    return products


def _thumbnails(request: Request) -> list[Product]:
    target = str(request.options.get("thumbnail_target") or "png")
    sized = replace(request, options=_sized(dict(request.options)))
    products = []
    for index, source in enumerate(request.sources):
        pages = convert_source(sized, index, source, target)
        wanted = str(request.options.get("pages") or "1-last")
        chosen = _chosen(pages, wanted)
        if not chosen:
            count = "1 page" if len(pages) == 1 else f"{len(pages)} pages"
            text = f"'{source.filename}' has {count}; '{wanted}' names none that is there."
            raise ConversionError(UNREADABLE, text)
        products += chosen
    return products


def _sized(options: dict[str, Json]) -> dict[str, Json]:
    if options.get("width") is None and options.get("height") is None:
        options["width"] = options["height"] = THUMBNAIL_SIDE
    return options


def _chosen(pages: list[Product], wanted: str) -> list[Product]:
    """The pages that `wanted` names ("5-8,10", "first", "2-last"); numbers past the end name nothing."""
    last = len(pages)
    numbers: set[int] = set()
    for part in re.split(r",\s?", wanted):
        start, dash, end = part.partition("-")
        low = _page(start, last)
        numbers |= set(range(low, min(last, _page(end or "last", last)) + 1)) if dash else {low}
    return [page for number, page in enumerate(pages, start=1) if number in numbers]


def _page(name: str, last: int) -> int:
    return {"first": 1, "last": last}.get(name) or int(name)
