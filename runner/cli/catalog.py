"""`runner catalog`: targets and their options, with how each is known."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

import click

from runner import resources
from runner.cli.options import format_option
from runner.errors import InvalidError
from runner.recipe.suggest import did_you_mean, listed, nearest, shown
from runner.wire.catalog import Catalog, CatalogTarget
from runner.wire.values import JsonObject


@click.command(epilog="Example: runner catalog webp")
@click.argument("target", required=False)
@click.option("--category", metavar="NAME", help="Only targets of this category, such as image.")
@format_option("text", "json")
def catalog(target: str | None, category: str | None, style: str) -> None:
    """List the targets that are known, or the options of TARGET.

    The list is a dated snapshot: the endpoint may know more. With each option stands how it is known.

    Exits 0, and 5 when there is no such target or category.
    """
    known = Catalog.read(resources.catalog_document())
    rows = _rows(known, target, category)
    if style == "json":
        click.echo(json.dumps([_row(row) for row in rows], indent=2, ensure_ascii=False))
        return
    for line in _targets(known, rows) if target is None else _options(rows):
        click.echo(line)


def _rows(known: Catalog, target: str | None, category: str | None) -> Sequence[CatalogTarget]:
    if category is not None and category not in known.categories:
        near = did_you_mean(category, known.categories)
        raise InvalidError(f"there is no category {shown(category)}{near}", hint=", ".join(known.categories))
    rows = known.rows if target is None else known.find(target)
    chosen = [row for row in rows if category is None or row.category == category]
    if target is not None and not chosen:
        raise _no_target(known, target, category)
    return chosen


def _no_target(known: Catalog, target: str, category: str | None) -> InvalidError:
    if category is None:
        return InvalidError(f"there is no target {shown(target)}{did_you_mean(target, known.targets)}")
    near = did_you_mean(target, [row.target for row in known.rows if row.category == category])
    meant = target if known.find(target) else nearest(target, known.targets)
    elsewhere = [row.category for row in known.find(meant)] if meant and not near else []
    hint = f"{shown(meant)} is in {listed(elsewhere)}" if meant and elsewhere else ""
    return InvalidError(f"there is no target {shown(target)} in category {shown(category)}{near}", hint=hint)


def _row(row: CatalogTarget) -> JsonObject:
    return {
        "category": row.category,
        "target": row.target,
        "complete": row.complete,
        "evidence": row.evidence,
        "note": row.note,
        "options": dict(row.options),
    }


def _targets(known: Catalog, rows: Sequence[CatalogTarget]) -> Iterator[str]:
    yield f"{len(rows)} targets, as known on {known.date}"
    for category in known.categories:
        names = sorted(row.target for row in rows if row.category == category)
        if names:
            yield f"{category}: {' '.join(names)}"


def _options(rows: Sequence[CatalogTarget]) -> Iterator[str]:
    for row in rows:
        all_known = "all options known" if row.complete else "there may be more options"
        yield f"{row.category}/{row.target} ({row.evidence}; {all_known}{f'; {row.note}' if row.note else ''})"
        for name, schema in sorted(row.options.items()):
            yield f"  {name}: {_form(schema)}"
            yield f"      {schema.get('description', '')} ({schema.get('evidence', row.evidence)})"


def _form(schema: JsonObject) -> str:
    parts = [str(schema.get("type", "any type"))]
    if "enum" in schema:
        parts.append(" | ".join(str(one) for one in schema["enum"]))
    if "minimum" in schema or "maximum" in schema:
        parts.append(f"{schema.get('minimum', '')}..{schema.get('maximum', '')}")
    if "default" in schema:
        parts.append(f"default {json.dumps(schema['default'])}")
    return ", ".join(parts)
