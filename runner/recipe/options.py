"""Conversions against the catalog: category, target and options.

The catalog knows all options of few targets and some of many. Where it is complete it decides; elsewhere
only what it knows is held against it, and a name that it doesn't know may still be right.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from runner.recipe.finding import Finding, Steps
from runner.recipe.story import story
from runner.recipe.suggest import did_you_mean, listed, nearest, shown
from runner.recipe.template import has_template
from runner.wire.catalog import Catalog, CatalogTarget
from runner.wire.secrets import OPTIONS_WITH_SECRETS, is_reference
from runner.wire.values import Json, JsonObject, as_object

# Formats that exist although no catalog row names them: one letter away from a known one is no typing error here.
_OTHER_FORMATS = frozenset(
    """
    ac3 ai amr ape apng cab cbr cbz cr2 csv dbf djvu dng docm dot dotx dwg dxf emf eml f4v heic heif jp2
    jxl json log m2ts m3u8 m4b m4r m4v mht mid midi mpc mts nef odf odg odp ods otf oxps pages pct pgm
    pcx plt ppm pnm pps ppsx pptm psd rar raw rm rmvb sxw tar tgz tsv ttf vob vsd woff woff2 wmf wps xcf
    xls xlsm xlsx xml xps yaml zst
    """.split()  # noqa: SIM905 - a list of words reads better so
)


def conversion_findings(entry: JsonObject, at: Steps, catalog: Catalog) -> Iterator[Finding]:
    """What is wrong with one conversion, output targets aside."""
    target, category = entry.get("target"), entry.get("category")
    if not isinstance(target, str) or has_template(target) or not catalog.rows:
        return
    if isinstance(category, str) and has_template(category):
        category = None
    if isinstance(category, str) and category not in catalog.categories:
        near = did_you_mean(category, catalog.categories)
        hint = "" if near else f"there are {listed(catalog.categories)}"
        message = f"{shown(category)} is not a category{near}"
        yield Finding(path=(*at, "category"), code="unknown-category", message=message, hint=hint)
        category = None
    rows = catalog.find(target, category if isinstance(category, str) else None)
    if rows:
        yield from _options(entry, rows, at)
    else:
        yield _unknown_target(target, category, at, catalog)


def _unknown_target(target: str, category: Json, at: Steps, catalog: Catalog) -> Finding:
    path = (*at, "target")
    elsewhere = [row.category for row in catalog.find(target)]
    if elsewhere:
        message = f"{shown(target)} is not in category {shown(str(category))} but in {listed(elsewhere)}"
        return Finding(path=path, code="unknown-target", message=message)
    near = None if target in _OTHER_FORMATS else nearest(target, catalog.targets)
    if near is not None:
        message = f"{shown(target)} is not a target; did you mean '{near}'?"
        return Finding(path=path, code="unknown-target", message=message)
    message = f"{shown(target)} is not in the catalog{f' of {catalog.date}' if catalog.date else ''}"
    hint = "the endpoint may know it all the same; `runner catalog` lists what is known"
    return Finding(path=path, code="unknown-target", message=message, hint=hint, severity="warning")


def _options(entry: JsonObject, rows: Sequence[CatalogTarget], at: Steps) -> Iterator[Finding]:
    """The findings of the category that fits best: without a category any of them may be meant."""
    options = as_object(entry.get("options"))
    if not options:
        return
    stories = [tuple(_of_row(options, row, (*at, "options"))) for row in rows]
    yield from min(stories, key=lambda found: sum(one.severity == "error" for one in found))


def _of_row(options: JsonObject, row: CatalogTarget, at: Steps) -> Iterator[Finding]:
    for name, value in options.items():
        schema = row.options.get(name)
        if schema is None:
            found = _unknown_option(name, row, options, at)
            if found is not None:
                yield found
        elif not _decided_later(name, value):
            yield from _value(value, schema, row, (*at, name))


def _decided_later(name: str, value: Json) -> bool:
    """Whether the value is known only when a request is made: no value, a template, a reference to a secret."""
    if name in OPTIONS_WITH_SECRETS and is_reference(value):
        return True
    return value is None or (isinstance(value, str) and has_template(value))


def _unknown_option(name: str, row: CatalogTarget, options: JsonObject, at: Steps) -> Finding | None:
    near = did_you_mean(name, set(row.options) - set(options))
    message = f"{shown(name)} is not an option of {row.target}{near}"
    path = (*at, name)
    if row.complete:
        hint = "" if near else f"there are {listed(row.options)}"
        return Finding(path=path, key=True, code="unknown-option", message=message, hint=hint)
    if not near:
        return None
    message = f"{shown(name)} is not a known option of {row.target}{near}"
    return Finding(path=path, key=True, code="unknown-option", message=message, severity="warning")


def _value(value: Json, schema: JsonObject, row: CatalogTarget, path: Steps) -> Iterator[Finding]:
    for found in story(_number(value, schema), schema, path):
        message = found.message
        if found.code == "out-of-range":
            message = message.replace("; the minimum is", f"; the minimum for {row.target} is")
            message = message.replace("; the maximum is", f"; the maximum for {row.target} is")
        if found.code == "unknown-value" and value == schema.get("default"):
            message = f"{path[-1]} can't be '{value}', which is what happens without it; leave it out"
        mere_guess = found.code in {"unknown-value", "wrong-form"} and not row.complete
        warns = mere_guess and "did you mean" not in message
        yield Finding(
            path=found.path,
            code=found.code,
            message=message,
            hint=found.hint,
            severity="warning" if warns else "error",
            secret=found.secret,
        )


def _number(value: Json, schema: JsonObject) -> Json:
    """A number where text holds one and a number is wanted: the API takes both."""
    if not isinstance(value, str) or schema.get("type") not in {"integer", "number"}:
        return value
    for kind in (int, float):
        try:
            return kind(value)
        except ValueError:
            continue
    return value
