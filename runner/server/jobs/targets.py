"""Targets of this machine's catalog: the one that is meant, its category, and its options in full."""

from __future__ import annotations

import difflib
from dataclasses import replace

from runner.server.converters.catalog import conversions, default_category, expand_options, find
from runner.server.jobs.fields import Fields
from runner.server.jobs.record import Conversion
from runner.wire.values import JsonObject


def choose_target(conversion: Conversion, given: JsonObject, fields: Fields) -> Conversion:
    """`conversion` with its category and all options; what is wrong is noted in `fields`."""
    category = conversion.category or default_category(conversion.target) or ""
    target = find(category or None, conversion.target)
    if target is None:
        fields.wrong("target", _unknown(conversion))
        return conversion
    expanded = expand_options(target, given)
    for problem in expanded.problems:
        fields.part("options").wrong(problem.option, problem.message)
    return replace(conversion, category=category, options=expanded.options)


def for_source(conversion: Conversion, source_kind: str) -> Conversion:
    """`conversion` in the category that fits the source, where the client named none."""
    category = default_category(conversion.target, source_kind)
    if conversion.category_given or category in (None, conversion.category):
        return conversion
    target = find(category, conversion.target)
    if target is None:
        return conversion
    return replace(conversion, category=target.category, options=expand_options(target, conversion.given).options)


def rows(category: str | None, target: str | None, source: str | None) -> list[JsonObject]:
    """Rows of `GET /conversions` that match every filter given."""
    return [
        row.as_json()
        for row in conversions()
        if category in (None, row.category)
        and target in (None, row.target)
        and (source is None or _takes(row.category, row.target, source))
    ]


def _takes(category: str, target: str, source: str) -> bool:
    found = find(category, target)
    return found is not None and source.lower() in found.sources


def _unknown(conversion: Conversion) -> str:
    if not conversion.target:
        return "is missing: what to convert to"
    known = sorted({row.target for row in conversions()})
    if conversion.target in known:
        categories = ", ".join(row.category for row in conversions() if row.target == conversion.target)
        return f"'{conversion.target}' isn't in category '{conversion.category}'; it is in {categories}"
    near = difflib.get_close_matches(conversion.target, known, n=1)
    if near:
        return f"'{conversion.target}' is not a target here; did you mean '{near[0]}'?"
    return f"'{conversion.target}' is not a target here; there are {', '.join(known)}"
