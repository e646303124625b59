"""What can be made: targets by category, and the options of each, as far as anybody knows them.

Reads the dated snapshot that ships with the runner and what `GET /conversions` answers alike. Knows nothing
of files and of recipes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from runner.wire.values import Json, JsonObject, as_list, as_object, as_text

CATEGORIES = ("archive", "audio", "document", "ebook", "hash", "image", "metadata", "operation", "video")


@dataclass(frozen=True, kw_only=True, slots=True)
class CatalogTarget:
    """A target in a category.

    options   by name, each a JSON Schema of the small kind that the API uses
    complete  there are no other options than these
    evidence  how this is known: "documented", "example", "name only", ...
    """

    category: str
    target: str
    options: Mapping[str, JsonObject] = field(default_factory=dict)
    complete: bool = False
    evidence: str = ""
    note: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Catalog:
    """All targets, the most natural category of each first. `date` is empty for a live answer."""

    rows: tuple[CatalogTarget, ...] = field(repr=False)
    date: str = ""
    source: str = ""
    by_target: Mapping[str, tuple[CatalogTarget, ...]] = field(default_factory=dict, repr=False)
    categories: tuple[str, ...] = CATEGORIES

    @classmethod
    def read(cls, document: Json) -> Catalog:
        """From the snapshot (an object with `targets`) or from the array that the API answers. Never raises."""
        head = as_object(document)
        rows = tuple(_row(as_object(row)) for row in as_list(head.get("targets") if head else document))
        return cls(
            rows=rows,
            date=as_text(head.get("date")),
            source=as_text(head.get("source")),
            by_target=_grouped(rows),
            categories=tuple(sorted({*CATEGORIES, *(row.category for row in rows)})),
        )

    def find(self, target: str, category: str | None = None) -> tuple[CatalogTarget, ...]:
        """The rows of `target`, in one category or in all; empty when it is not known."""
        rows = self.by_target.get(target, ())
        return rows if category is None else tuple(row for row in rows if row.category == category)

    @property
    def targets(self) -> tuple[str, ...]:
        return tuple(sorted(self.by_target))


def _row(row: JsonObject) -> CatalogTarget:
    options = {str(name): as_object(schema) for name, schema in as_object(row.get("options")).items()}
    return CatalogTarget(
        category=as_text(row.get("category")),
        target=as_text(row.get("target")),
        options=options,
        complete=bool(row.get("complete", False)),
        evidence=as_text(row.get("evidence")),
        note=as_text(row.get("note")),
    )


def _grouped(rows: Sequence[CatalogTarget]) -> dict[str, tuple[CatalogTarget, ...]]:
    grouped: dict[str, tuple[CatalogTarget, ...]] = {}
    for row in rows:
        grouped[row.target] = (*grouped.get(row.target, ()), row)
    return grouped
