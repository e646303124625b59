"""Options that items bring into conversions: known only when they are, and held against the catalog like all others."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

from runner.compile.draft import Draft
from runner.errors import Problem
from runner.recipe.finding import Finding
from runner.recipe.model import Recipe
from runner.recipe.options import conversion_findings
from runner.recipe.template import names
from runner.wire.catalog import Catalog
from runner.wire.values import Json, as_list, as_object

_FIELDS = ("target", "category", "options")


def takes_options_from_items(recipe: Recipe) -> bool:
    """Whether that can't have been checked before: a matrix is written in the recipe, and was."""
    if recipe.foreach is None or recipe.foreach.kind == "matrix":
        return False
    entries = map(as_object, as_list(recipe.job.get("conversion")))
    return any(name.root == "item" for entry in entries for field in _FIELDS for name in names(entry.get(field)))


def unfit(drafts: Sequence[Draft], catalog: Catalog) -> Iterator[tuple[Draft, Problem]]:
    """The drafts that no API takes, and why. What is wrong with many of them is told once, for the first."""
    told: dict[str, tuple[Problem, ...]] = {}
    for draft in drafts:
        for index, entry in enumerate(as_list(draft.payload.get("conversion"))):
            same = json.dumps([index, *(as_object(entry).get(field) for field in _FIELDS)], sort_keys=True)
            if same not in told:
                told[same] = tuple(_problems(draft, index, entry, catalog))
            yield from ((draft, problem) for problem in told[same])


def _problems(draft: Draft, index: int, entry: Json, catalog: Catalog) -> Iterator[Problem]:
    for found in conversion_findings(as_object(entry), ("conversion", index), catalog):
        if found.severity == "error":
            yield _problem(draft, found)


def _problem(draft: Draft, found: Finding) -> Problem:
    return Problem(
        place=draft.recipe.locate(found.path),
        code=found.code,
        message=f"{draft.address}: {found.message}",
        hint=found.hint,
    )
