"""What a schema can't say of a recipe: how its parts belong together. Wrong types are left to the schema."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from runner.recipe.credentials import open_secrets, place_findings, provider_findings, url_secret
from runner.recipe.finding import Finding, Steps
from runner.recipe.inputs import input_findings
from runner.recipe.literals import literal_findings
from runner.recipe.matrix import matrix_findings
from runner.recipe.normal import job_of
from runner.recipe.options import conversion_findings
from runner.recipe.paths import inside_project, negations, save_path_findings
from runner.recipe.story import misplaced_reference
from runner.recipe.suggest import listed, shown
from runner.recipe.template import has_template
from runner.wire.catalog import Catalog
from runner.wire.providers import LISTED, PROVIDERS, listing_of
from runner.wire.secrets import OPTIONS_WITH_SECRETS, is_reference
from runner.wire.values import Json, JsonObject, as_list, as_object

_HTTP = re.compile(r"https?://[^/\s]", re.IGNORECASE)


def rule_findings(document: JsonObject, folder: Path, catalog: Catalog) -> Iterator[Finding]:
    """Everything wrong with a recipe in normal form, its constants put in, apart from its schema."""
    yield from _parts(document)
    yield from _foreach(document.get("foreach"), folder)
    yield from _callback(document)
    yield from literal_findings(job_of(document), expanded=True)
    yield from _references(document)
    for index, entry in enumerate(as_list(document.get("input"))):
        if isinstance(entry, dict):
            yield from input_findings(entry, ("input", index), folder)
    for index, entry in enumerate(as_list(document.get("conversion"))):
        if isinstance(entry, dict):
            yield from _conversion(entry, ("conversion", index), catalog)
            yield from matrix_findings(entry, ("conversion", index), document.get("foreach"), catalog)
    yield from save_path_findings(as_object(document.get("save")).get("path"), folder)


def name_findings(name: str) -> Iterator[Finding]:
    """What is wrong with a recipe's name: it is part of paths and addresses."""
    if name in {".", ".."} or not name.strip():
        yield Finding(path=("name",), code="wrong-form", message=f"{shown(name)} is no name", hint="set `name`")
    elif re.search(r"[/\\\[\]\x00-\x1f\x7f]", name):
        message = f"the name {shown(name)} holds slashes, square brackets or control characters"
        yield Finding(path=("name",), code="wrong-form", message=message, hint="set `name` to something plain")


def _parts(document: JsonObject) -> Iterator[Finding]:
    if document.get("input", []) == []:
        hint = 'a local file is [[input]] with type = "upload" and source = "PATH"'
        yield _missing("input", "there is nothing to convert: 'input' is missing", hint)
    if document.get("conversion", []) == []:
        hint = 'the least is [[conversion]] with target = "webp"'
        yield _missing("conversion", "nothing is made of the input: 'conversion' is missing", hint)
    limits = as_object(as_object(document.get("limits")).get("job"))
    if "budget" in document and "max_credit" not in limits:
        message = "a budget needs limits.job.max_credit, the most that one job may cost"
        hint = "without it nobody can tell beforehand whether a job still fits"
        yield Finding(path=("budget",), key=True, code="missing-key", message=message, hint=hint)
    yield from _too_small(as_object(document.get("budget")), limits.get("max_credit"))


def _too_small(budget: JsonObject, cap: Json) -> Iterator[Finding]:
    """A job is bought when all that it may cost still fits, so a budget below that buys none; 0 says so by itself."""
    for name in ("run", "day"):
        credits = budget.get(name)
        if type(credits) is int and type(cap) is int and 0 < credits < cap:
            message = f"budget.{name} is {credits}, and limits.job.max_credit lets one job cost {cap}: none ever fits"
            hint = "raise the budget, or lower limits.job.max_credit"
            yield Finding(path=("budget", name), code="out-of-range", message=message, hint=hint)


def _missing(name: str, message: str, hint: str) -> Finding:
    return Finding(path=(name,), key=True, code="missing-key", message=message, hint=hint)


def _foreach(foreach: Json, folder: Path) -> Iterator[Finding]:
    if not isinstance(foreach, dict):
        return
    kinds = [kind for kind in ("files", "bucket", "rows", "matrix") if kind in foreach]
    if len(kinds) != 1 and "outputs" not in foreach:
        found = f"both {' and '.join(kinds)}" if kinds else "none of them"
        message = f"foreach needs exactly one of files, bucket, rows and matrix, and has {found}"
        yield Finding(path=("foreach",), key=True, code="wrong-size", message=message)
    if "exclude" in foreach and not {"files", "bucket"} & set(foreach):
        message = "exclude leaves out files or objects, and there is no foreach.files and no foreach.bucket"
        yield Finding(path=("foreach", "exclude"), key=True, code="no-effect", message=message)
    rows = foreach.get("rows")
    if isinstance(rows, str) and not rows.lower().endswith((".csv", ".jsonl", ".ndjson")):
        message = f"rows are read from a .csv or .jsonl file, not from {shown(rows)}"
        yield Finding(path=("foreach", "rows"), code="wrong-form", message=message)
    yield from _bucket(foreach.get("bucket"), ("foreach", "bucket"))
    for name in ("files", "rows"):
        values = foreach.get(name)
        for index, pattern in enumerate(values if isinstance(values, list) else [values]):
            path: Steps = ("foreach", name, index) if isinstance(values, list) else ("foreach", name)
            if isinstance(pattern, str):
                yield from inside_project(pattern, path, folder)
    yield from negations(foreach.get("files"), ("foreach", "files"))
    yield from negations(as_object(foreach.get("bucket")).get("match"), ("foreach", "bucket", "match"))
    yield from negations(foreach.get("exclude"), ("foreach", "exclude"))


def _bucket(bucket: Json, at: Steps) -> Iterator[Finding]:
    if not isinstance(bucket, dict):
        return
    source = bucket.get("source")
    if source is None:
        message = f"'source' is missing: the provider, one of {listed(LISTED)}"
        yield Finding(path=at, key=True, code="missing-key", message=message)
    if isinstance(source, str) and source in LISTED:
        yield from provider_findings(listing_of(PROVIDERS[source]), bucket, at, as_input=False)
    else:
        yield from open_secrets(bucket.get("credentials"), (*at, "credentials"))


def _references(document: JsonObject) -> Iterator[Finding]:
    """Secret references in tables that take any value: there they would be sent as they stand."""
    for part, tables in (("input", ("options", "parameters")), ("conversion", ("options", "metadata"))):
        for index, entry in enumerate(as_list(document.get(part))):
            yield from _references_in(as_object(entry), tables, (part, index))
            for number, target in enumerate(as_list(as_object(entry).get("output_target"))):
                yield from _references_in(as_object(target), ("parameters",), (part, index, "output_target", number))


def _references_in(entry: JsonObject, tables: tuple[str, ...], at: Steps) -> Iterator[Finding]:
    for table in tables:
        for name, value in as_object(entry.get(table)).items():
            if is_reference(value) and not (table == "options" and name in OPTIONS_WITH_SECRETS):
                yield misplaced_reference((*at, table, name))


def _callback(document: JsonObject) -> Iterator[Finding]:
    callback = document.get("callback", "")
    found = url_secret(callback, ("callback",), "callback")
    if found:
        yield found
    elif isinstance(callback, str) and callback and not _HTTP.match(callback) and not has_template(callback):
        message = "callback is not an http or https URL"
        yield Finding(path=("callback",), code="wrong-form", message=message, secret=True)
    if document.get("notify_status") is True and not callback:
        message = "notify_status has no effect without a callback"
        path = ("notify_status",)
        yield Finding(path=path, key=True, code="no-effect", message=message, severity="warning")


def _conversion(entry: JsonObject, at: Steps, catalog: Catalog) -> Iterator[Finding]:
    yield from conversion_findings(entry, at, catalog)
    yield from _output_filename(entry, at)
    for index, target in enumerate(as_list(entry.get("output_target"))):
        if not isinstance(target, dict):
            continue
        yield from place_findings(target.get("type"), target, (*at, "output_target", index), as_input=False)


def _output_filename(entry: JsonObject, at: Steps) -> Iterator[Finding]:
    """The API's own pattern lets anything through, but a server makes a plain name of it or refuses the job."""
    name = as_object(entry.get("options")).get("output_filename")
    if isinstance(name, str) and ("/" in name or "\\" in name):
        path: Steps = (*at, "options", "output_filename")
        message = f"output_filename {shown(name)} is a path; the name of a result is one part of a path"
        hint = "save.path, or the output target's file, decides which folder it is"
        yield Finding(path=path, code="wrong-form", message=message, hint=hint, severity="warning")
