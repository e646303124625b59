"""Warnings for what whoever would do the work can't make, read or reach: the local server of this machine."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from runner.recipe.finding import Finding, Steps
from runner.recipe.suggest import nearest, shown
from runner.recipe.template import has_template
from runner.wire.catalog import Catalog
from runner.wire.values import Json, JsonObject, as_list, as_object

NOT_MADE_HERE = "the hosted API may (--endpoint hosted), or another server"


@dataclass(frozen=True, kw_only=True, slots=True)
class Abilities:
    """What keeps whoever would do the work from it. Each answers with why, or with nothing.

    unserved   of a provider: how to get its client
    unmade     of a category ("" where none is named) and a target
    unread     of an input, a conversion, and whether there are several inputs: why it can't be converted so, as far as
               that is written there
    untaken    of a category, a target and options: by option what is wrong with it
    unfetched  of the scheme of a URL, in small letters: why such a source can't be had
    """

    unserved: Callable[[str], str] = lambda _provider: ""
    unmade: Callable[[str, str], str] = lambda _category, _target: ""
    unread: Callable[[JsonObject, JsonObject, bool], str] = lambda _entry, _conversion, _several: ""
    untaken: Callable[[str, str, JsonObject], Mapping[str, str]] = lambda _category, _target, _options: {}
    unfetched: Callable[[str], str] = lambda _scheme: ""


CLOUD_FTP = 'take it as storage: type = "cloud", source = "ftp", with host and file in parameters'
ABLE = Abilities()


def served_findings(document: JsonObject, abilities: Abilities, catalog: Catalog) -> Iterator[Finding]:
    """Warnings for all in a recipe that can't be done as it is wanted."""
    yield from _unserved_findings(document, abilities)
    yield from _unfetched_findings(document, abilities)
    for index, entry in enumerate(map(as_object, as_list(document.get("conversion")))):
        category, target = entry.get("category", ""), entry.get("target")
        if isinstance(category, str) and isinstance(target, str) and catalog.find(target, category or None):
            why = abilities.unmade(category, target)
            if why:
                yield _warning(("conversion", index, "target"), "unserved-target", why)
            options = as_object(entry.get("options"))
            yield from _untaken(category, target, options, ("conversion", index, "options"), abilities, catalog)
    yield from _unread_findings(document, abilities)


def _warning(path: Steps, code: str, message: str, hint: str = NOT_MADE_HERE) -> Finding:
    return Finding(path=path, code=code, message=message, hint=hint, severity="warning")


def _unserved_findings(document: JsonObject, abilities: Abilities) -> Iterator[Finding]:
    bucket = as_object(as_object(document.get("foreach")).get("bucket"))
    yield from _unserved(bucket.get("source"), ("foreach", "bucket", "source"), abilities)
    for index, entry in enumerate(map(as_object, as_list(document.get("input")))):
        if entry.get("type") == "cloud":
            yield from _unserved(entry.get("source"), ("input", index, "source"), abilities)
    for index, entry in enumerate(map(as_object, as_list(document.get("conversion")))):
        for number, target in enumerate(map(as_object, as_list(entry.get("output_target")))):
            at: Steps = ("conversion", index, "output_target", number, "type")
            yield from _unserved(target.get("type"), at, abilities)


def _unserved(provider: Json, path: Steps, abilities: Abilities) -> Iterator[Finding]:
    hint = abilities.unserved(provider) if isinstance(provider, str) else ""
    if hint:
        message = f"the local server has no client for {shown(str(provider))} on this machine"
        yield _warning(path, "missing-extra", message, hint)


def _unfetched_findings(document: JsonObject, abilities: Abilities) -> Iterator[Finding]:
    for index, entry in enumerate(map(as_object, as_list(document.get("input")))):
        if why := abilities.unfetched(scheme_of(entry)):
            yield _warning(("input", index, "source"), "unserved-source", why, CLOUD_FTP)


def scheme_of(entry: JsonObject) -> str:
    """Of the URL that a remote input names, in small letters; "" for any other input."""
    source = entry.get("source") if entry.get("type", "remote") == "remote" else None
    return source.partition("://")[0].lower() if isinstance(source, str) and "://" in source else ""


def _untaken(
    category: str, target: str, options: JsonObject, at: Steps, abilities: Abilities, catalog: Catalog
) -> Iterator[Finding]:
    for name, why in (abilities.untaken(category, target, options) if options else {}).items():
        if not _is_told(name, options, target, category, catalog):
            yield Finding(path=(*at, name), code="unserved-option", message=why, key=True, severity="warning")


def _is_told(name: str, options: JsonObject, target: str, category: str, catalog: Catalog) -> bool:
    """Whether the catalog has something against the option already: it isn't there, or another one is meant."""
    rows = catalog.find(target, category or None)
    if any(name in row.options for row in rows):
        return False
    return any(row.complete or nearest(name, set(row.options) - set(options)) for row in rows)


def _unread_findings(document: JsonObject, abilities: Abilities) -> Iterator[Finding]:
    """One for each input, however many conversions can't use it."""
    inputs = [as_object(entry) for entry in as_list(document.get("input"))]
    conversions = [entry for entry in map(as_object, as_list(document.get("conversion"))) if _is_written_out(entry)]
    for index, entry in enumerate(inputs):
        reasons = (abilities.unread(entry, conversion, len(inputs) > 1) for conversion in conversions)
        why = next(filter(None, reasons), "")
        if why:
            yield _warning(("input", index, "source"), "unserved-source", why)


def _is_written_out(conversion: JsonObject) -> bool:
    category, target = conversion.get("category", ""), conversion.get("target")
    return isinstance(category, str) and isinstance(target, str) and not has_template(f"{category}{target}")
