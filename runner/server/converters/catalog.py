"""What this machine can convert: the answers behind `GET /conversions` and a job's missing category."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from functools import cache

from runner.server.converters.options import Expanded, OptionProblem, expand_options
from runner.server.converters.protocol import Converter, Target
from runner.server.converters.table import CONVERTERS
from runner.wire.values import JsonObject

__all__ = [
    "ConversionRow",
    "Expanded",
    "OptionProblem",
    "conversions",
    "converter_of",
    "default_category",
    "expand_options",
    "find",
]

# The most natural category first. A kind of source that asks for another one stands below.
CATEGORIES: dict[str, tuple[str, ...]] = {
    "pdf": ("document", "ebook"),
    "ogg": ("audio", "video"),
    "json": ("metadata",),
}
CATEGORIES_BY_SOURCE: dict[tuple[str, str], str] = {
    ("epub", "pdf"): "ebook",
    ("mobi", "pdf"): "ebook",
    ("azw3", "pdf"): "ebook",
    ("mp4", "ogg"): "video",
    ("mov", "ogg"): "video",
    ("mkv", "ogg"): "video",
    ("webm", "ogg"): "video",
    ("avi", "ogg"): "video",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class ConversionRow:
    id: str
    target: str
    category: str
    options: JsonObject

    def as_json(self) -> JsonObject:
        return {"id": self.id, "target": self.target, "category": self.category, "options": self.options}


@cache
def conversions() -> tuple[ConversionRow, ...]:
    """Every conversion that works here, the most natural category of a target first."""
    return tuple(
        ConversionRow(
            id=target.id,
            target=target.target,
            category=target.category,
            options={name: dict(schema) for name, schema in target.options_schema.items()},
        )
        for target in _targets()
    )


def find(category: str | None, target: str) -> Target | None:
    """The target of that name; without a category the most natural one. None: not here."""
    rows = [row for row in _targets() if row.target == target and category in (None, row.category)]
    return rows[0] if rows else None


def default_category(target: str, source_kind: str | None = None) -> str | None:
    """The category of `target` where a job names none; `source_kind` is the first input's, if known."""
    available = [row.category for row in _targets() if row.target == target]
    wanted = CATEGORIES_BY_SOURCE.get((source_kind or "", target))
    if wanted in available:
        return wanted
    return available[0] if available else None


def converter_of(category: str, target: str) -> Converter | None:
    return next(
        (
            converter
            for converter in CONVERTERS
            if any((row.category, row.target) == (category, target) for row in converter.targets)
        ),
        None,
    )


@cache
def _targets() -> tuple[Target, ...]:
    present = [row for converter in CONVERTERS if _works(converter) for row in converter.targets]
    return tuple(sorted(present, key=_natural_order))


def _works(converter: Converter) -> bool:
    return all(shutil.which(program) for program in converter.programs)


def _natural_order(row: Target) -> tuple[int, int]:
    order = CATEGORIES.get(row.target, (row.category,))
    place = order.index(row.category) if row.category in order else len(order)
    return place, int(row.id)
