"""Targets of this machine's catalog: the one that is meant, its category, and its options in full."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache, lru_cache

from runner.resources import catalog_document
from runner.server.converters.catalog import conversions, default_category, expand_options, find
from runner.server.converters.sides import too_long
from runner.server.jobs.fields import Fields
from runner.server.jobs.record import Conversion
from runner.server.store.presets import Preset
from runner.wire.catalog import Catalog
from runner.wire.values import JsonObject

_NEAR = 0.7  # as `runner check` has it: "mp4" is no misspelt "bmp"

FindPreset = Callable[[str], Preset | None]


@dataclass(frozen=True, kw_only=True, slots=True)
class Chosen:
    """`options` are all of the target's; they are shared and never changed."""

    category: str
    target: str
    options: JsonObject


def choose_target(category: str, target: str, given: JsonObject, fields: Fields) -> Chosen:
    """The target that is meant, with all options; what is wrong is noted in `fields`."""
    if not given:
        chosen = _with_defaults(category, target)
        if chosen is None:
            fields.wrong("target", _unknown(category, target))
        return chosen or Chosen(category=category, target=target, options={})
    known = _with_defaults(category, target)
    row = find(known.category, target) if known else None
    if row is None:
        return choose_target(category, target, {}, fields)
    expanded = expand_options(row, given)
    for problem in expanded.problems:
        fields.part("options").wrong(problem.option, problem.message)
    for option, why in too_long(row.target, expanded.options).items():
        fields.part("options").wrong(option, f"{option} is {why}")
    return Chosen(category=row.category, target=row.target, options=expanded.options)


def with_preset(category: str, target: str, given: JsonObject, find_preset: FindPreset, fields: Fields) -> JsonObject:
    """`given` on top of the options of the preset that it names; what is wrong is noted in `fields`."""
    preset_id = given.get("preset")
    if preset_id is None:
        return given
    preset = find_preset(preset_id) if isinstance(preset_id, str) else None
    options = fields.part("options")
    if preset is None:
        options.wrong("preset", "is no preset of this account and no public one")
        return {name: value for name, value in given.items() if name != "preset"}
    if (preset.target, preset.category) != (target, category or preset.category):
        options.wrong("preset", f"is for {preset.category}/{preset.target}, not for {category or 'any'}/{target}")
    return {**preset.options, **{name: value for name, value in given.items() if value is not None}}


@lru_cache(maxsize=512)
def _with_defaults(category: str, target: str) -> Chosen | None:
    row = find(category or default_category(target), target)
    if row is None:
        return None
    return Chosen(category=row.category, target=row.target, options=expand_options(row, {}).options)


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
    """Rows of `GET /conversions` that match every filter given, all in lower case."""
    return [
        row.as_json()
        for row in conversions()
        if category in (None, row.category)
        and target in (None, row.target)
        and (source is None or _takes(row.category, row.target, source))
    ]


def _takes(category: str, target: str, source: str) -> bool:
    found = find(category, target)
    return found is not None and source in found.sources


def _unknown(category: str, target: str) -> str:
    if not target:
        return "is missing: what to convert to"
    known = sorted({row.target for row in conversions()})
    if target in known:
        categories = ", ".join(row.category for row in conversions() if row.target == target)
        return f"'{target}' isn't in category '{category}'; it is in {categories}"
    if target in _made_elsewhere():
        return f"'{target}' is a target of the API, but this server doesn't make it; it makes {', '.join(known)}"
    near = difflib.get_close_matches(target, known, n=1, cutoff=_NEAR)
    if near:
        return f"'{target}' is not a target here; did you mean '{near[0]}'?"
    return f"'{target}' is not a target here; there are {', '.join(known)}"


@cache
def _made_elsewhere() -> frozenset[str]:
    return frozenset(Catalog.read(catalog_document()).targets)
