"""Warnings for what whoever would do the work can't make or reach: the local server of this machine."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from runner.recipe.finding import Finding, Steps
from runner.recipe.suggest import shown
from runner.wire.catalog import Catalog
from runner.wire.values import Json, JsonObject, as_list, as_object

NOT_MADE_HERE = "the hosted API may (--endpoint hosted), or another server"

# Says of a provider how to get its client, or nothing where it can be reached.
Unserved = Callable[[str], str]

# Says of a category ("" where none is named) and a target why it can't be made, or nothing.
Unmade = Callable[[str, str], str]


def all_is_made(_category: str, _target: str) -> str:
    return ""


def no_provider_is_missing(_provider: str) -> str:
    return ""


def unserved_findings(document: JsonObject, unserved: Unserved) -> Iterator[Finding]:
    """Warnings for providers that whoever would do the work can't reach; `unserved` says how to get one, or nothing."""
    bucket = as_object(as_object(document.get("foreach")).get("bucket"))
    yield from _unserved(bucket.get("source"), ("foreach", "bucket", "source"), unserved)
    for index, entry in enumerate(map(as_object, as_list(document.get("input")))):
        if entry.get("type") == "cloud":
            yield from _unserved(entry.get("source"), ("input", index, "source"), unserved)
    for index, entry in enumerate(map(as_object, as_list(document.get("conversion")))):
        for number, target in enumerate(map(as_object, as_list(entry.get("output_target")))):
            at: Steps = ("conversion", index, "output_target", number, "type")
            yield from _unserved(target.get("type"), at, unserved)


def unmade_findings(document: JsonObject, unmade: Unmade, catalog: Catalog) -> Iterator[Finding]:
    """Warnings for targets that there are, and whoever would do the work can't make."""
    for index, entry in enumerate(map(as_object, as_list(document.get("conversion")))):
        category, target = entry.get("category", ""), entry.get("target")
        if isinstance(category, str) and isinstance(target, str) and catalog.find(target, category or None):
            why = unmade(category, target)
            if why:
                at: Steps = ("conversion", index, "target")
                yield Finding(path=at, code="unserved-target", message=why, hint=NOT_MADE_HERE, severity="warning")


def _unserved(provider: Json, path: Steps, unserved: Unserved) -> Iterator[Finding]:
    hint = unserved(provider) if isinstance(provider, str) else ""
    if hint:
        message = f"the local server has no client for {shown(str(provider))} on this machine"
        yield Finding(path=path, code="missing-extra", message=message, hint=hint, severity="warning")
