"""What a schema can't say of a recipe: how its parts belong together. Wrong types are left to the schema."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path

from runner.recipe.credentials import (
    find_provider,
    open_secrets,
    plain_credentials,
    provider_findings,
    url_secret,
)
from runner.recipe.finding import Finding, Steps
from runner.recipe.literals import literal_findings
from runner.recipe.matrix import matrix_findings
from runner.recipe.normal import job_of
from runner.recipe.options import conversion_findings
from runner.recipe.story import misplaced_reference
from runner.recipe.suggest import did_you_mean, listed, nearest, shown
from runner.recipe.template import ROOTS, has_template
from runner.wire.catalog import Catalog
from runner.wire.providers import LISTED, PROVIDERS, listing_of
from runner.wire.secrets import OPTIONS_WITH_SECRETS, is_reference
from runner.wire.values import Json, JsonObject, as_list, as_object

_URL = re.compile(r"(?:https?|ftp)://[^/\s]", re.IGNORECASE)
_HTTP = re.compile(r"https?://[^/\s]", re.IGNORECASE)
_DECRYPT = frozenset({"decrypt_password"})
_GLOB_CHARACTERS = frozenset("*?[")


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


NOT_MADE_HERE = "the hosted API may (--endpoint hosted), or another server"


def _unserved(provider: Json, path: Steps, unserved: Unserved) -> Iterator[Finding]:
    hint = unserved(provider) if isinstance(provider, str) else ""
    if hint:
        message = f"the local server has no client for {shown(str(provider))} on this machine"
        yield Finding(path=path, code="missing-extra", message=message, hint=hint, severity="warning")


def rule_findings(document: JsonObject, folder: Path, catalog: Catalog) -> Iterator[Finding]:
    """Everything wrong with a recipe in normal form, its constants put in, apart from its schema."""
    yield from _parts(document)
    yield from _foreach(document.get("foreach"), folder)
    yield from _callback(document)
    yield from literal_findings(job_of(document), expanded=True)
    yield from _references(document)
    for index, entry in enumerate(as_list(document.get("input"))):
        if isinstance(entry, dict):
            yield from _input(entry, ("input", index), folder)
    for index, entry in enumerate(as_list(document.get("conversion"))):
        if isinstance(entry, dict):
            yield from _conversion(entry, ("conversion", index), catalog)
            yield from matrix_findings(entry, ("conversion", index), document.get("foreach"), catalog)
    save = as_object(document.get("save")).get("path")
    if isinstance(save, str):
        yield from _inside(save, ("save", "path"), folder, absolute=True)
        yield from _no_folder(save)
        yield from _no_home(save)
        yield from _stray_braces(save)


def _no_home(save: str) -> Iterator[Finding]:
    if save.startswith("~"):
        message = f"{shown(save)} would make a folder called {shown(save.partition('/')[0])}: there is no shell here"
        hint = "write the path out, or one relative to the recipe; ./~ is a folder of that name"
        yield Finding(path=("save", "path"), code="wrong-form", message=message, hint=hint)


_UNCLOSED = re.compile(r"\{(?:item|vars|recipe|run|output)\.[^{}]*(?:\{|$)")
_BRACED = re.compile(r"\{(\w+)(?:\.([^{}]*))?\}")
_OF_OUTPUT = ("filename", "stem", "ext", "index")


def _stray_braces(save: str) -> Iterator[Finding]:
    """Braces that open none of the known names, so they are just braces, and look as if they were meant to."""
    for found in _UNCLOSED.finditer(save):
        message = f"{shown(found[0])} isn't closed, so the file's name would hold it as it stands"
        yield _no_template(message)
    for found in _BRACED.finditer(save):
        root, name = found[1], found[2]
        if root in ROOTS and name is not None:
            continue
        meant = f"{{output.{root}}}" if root in _OF_OUTPUT and name is None else ""
        near = nearest(root, ROOTS)
        if near and not meant:
            meant = f"{{{near}.{name or 'NAME'}}}"
        if meant:
            message = f"{shown(found[0])} is no template, so the file's name would hold it as it stands"
            yield _no_template(f"{message}; did you mean '{meant}'?")


def _no_template(message: str) -> Finding:
    return Finding(path=("save", "path"), code="no-template", message=message, severity="warning")


def _no_folder(save: str) -> Iterator[Finding]:
    if save and save.rpartition("/")[2] in ("", ".", ".."):
        message = f"{shown(save)} names a folder, and a result is a file"
        hint = f"write {shown(save.removesuffix('/') + '/{output.filename}')}"
        yield Finding(path=("save", "path"), code="wrong-form", message=message, hint=hint)


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
                yield from _inside(pattern, path, folder)
    yield from _negations(foreach.get("files"), ("foreach", "files"))
    yield from _negations(as_object(foreach.get("bucket")).get("match"), ("foreach", "bucket", "match"))
    yield from _negations(foreach.get("exclude"), ("foreach", "exclude"))


def _negations(patterns: Json, at: Steps) -> Iterator[Finding]:
    """Globs as other tools know them, where a "!" in front takes out what an earlier one named; ours just add up."""
    for index, pattern in enumerate(patterns if isinstance(patterns, list) else [patterns]):
        if isinstance(pattern, str) and pattern.startswith("!"):
            yield _negation(pattern, (*at, index) if isinstance(patterns, list) else at)


def _negation(pattern: str, path: Steps) -> Finding:
    message = f"{shown(pattern)} takes nothing out: a '!' in front of a glob has no meaning here"
    if path[:2] == ("foreach", "exclude"):
        hint = "exclude takes out all that it names, and nothing brings a part of that back"
    elif path[0] == "foreach":
        hint = f"write exclude = [{shown(pattern.removeprefix('!'))}] in [foreach]"
    else:
        hint = "list the files with foreach.files, which has exclude beside it"
    hint += f"; a name that begins with it is {shown('./' + pattern)}"
    return Finding(path=path, code="wrong-form", message=message, hint=hint)


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


def _input(entry: JsonObject, at: Steps, folder: Path) -> Iterator[Finding]:
    kind = entry.get("type", "remote")
    if not isinstance(kind, str) or kind not in _SOURCES:
        return
    if "type" not in entry and nearest("type", set(entry) - _INPUT_KEYS) is not None:
        return  # the misspelt key is told already, and what the source is nobody knows
    if "source" not in entry:
        near = did_you_mean("source", set(entry) - _INPUT_KEYS)
        if not near:
            message = f"'source' is missing: {_SOURCES[kind]}"
            yield Finding(path=at, key=True, code="missing-key", message=message)
    else:
        yield from _source(entry["source"], kind, (*at, "source"), folder)
    if entry.get("revalidate") is True and kind != "remote":
        message = f"revalidate asks a web server, and an input of type '{kind}' has none"
        yield Finding(path=(*at, "revalidate"), key=True, code="no-effect", message=message)
    yield from _credentials(entry, kind, at)


_INPUT_KEYS = frozenset(
    {"type", "source", "engine", "options", "filename", "content_type", "parameters", "credentials"}
    | {"identity", "revalidate"}
)

_SOURCES = {
    "remote": "a URL",
    "upload": "a path relative to the recipe",
    "base64": "the file's bytes in base64",
    "cloud": "the provider's name",
    "gdrive_picker": "the id of a file in Google Drive",
    "input_id": "the id of an input of another job",
    "output": "the id of an output of another job",
}


def _source(source: Json, kind: str, path: Steps, folder: Path) -> Iterator[Finding]:
    if is_reference(source) and kind != "remote":
        message = f"the source of type '{kind}' can't be a secret reference; it is {_SOURCES[kind]}"
        yield Finding(path=path, code="wrong-type", message=message)
    if not isinstance(source, str) or not source:
        return
    if kind == "remote":
        yield from _remote(source, path)
    elif kind == "upload":
        yield from _upload(source, path, folder)
    elif kind == "cloud" and not has_template(source) and find_provider(source, as_input=True) is None:
        yield _no_provider(source, path)


def _remote(source: str, path: Steps) -> Iterator[Finding]:
    found = url_secret(source, path, "source")
    if found:
        yield found
    elif not _URL.match(source) and not has_template(source):
        if "://" in source:
            message, hint = "a remote source is an http, https or ftp URL", ""
        else:
            message = f"{shown(source)} is not a URL"
            hint = 'for a file on this machine set type = "upload"'
        yield Finding(path=path, code="wrong-form", message=message, hint=hint)


def _upload(source: str, path: Steps, folder: Path) -> Iterator[Finding]:
    if _URL.match(source):
        message = "the source of an upload is a path, not a URL"
        hint = 'leave out type = "upload", and the API fetches it'
        yield Finding(path=path, code="wrong-form", message=message, hint=hint, secret=True)
    else:
        yield from _inside(source, path, folder)
        if source.startswith("!") and not has_template(source) and not _GLOB_CHARACTERS.isdisjoint(source):
            yield _negation(source, path)


def _no_provider(source: str, path: Steps) -> Finding:
    known = [name for name, provider in PROVIDERS.items() if provider.as_input]
    if source in PROVIDERS:
        message = f"{PROVIDERS[source].title} can only be written to, not read from"
        return Finding(path=path, code="unknown-provider", message=message, hint=f"there are {listed(known)}")
    near = did_you_mean(source, known)
    hint = "" if near else f"there are {listed(known)}"
    message = f"{shown(source)} is not a provider{near}"
    return Finding(path=path, code="unknown-provider", message=message, hint=hint)


def _credentials(entry: JsonObject, kind: str, at: Steps) -> Iterator[Finding]:
    if kind != "cloud":
        picker = kind == "gdrive_picker"
        names = frozenset({"token"}) if picker else _DECRYPT
        yield from plain_credentials(entry, at, names, f"an input of type '{kind}'")
        if picker and "token" not in as_object(entry.get("credentials")):
            message = "an input of type 'gdrive_picker' needs the credential 'token'"
            yield Finding(path=at, key=True, code="missing-key", message=message)
        return
    source = entry.get("source")
    provider = find_provider(source, as_input=True) if isinstance(source, str) else None
    if provider is not None:
        yield from provider_findings(provider, entry, at, as_input=True)
    else:
        yield from open_secrets(entry.get("credentials"), (*at, "credentials"))


def _conversion(entry: JsonObject, at: Steps, catalog: Catalog) -> Iterator[Finding]:
    yield from conversion_findings(entry, at, catalog)
    yield from _output_filename(entry, at)
    for index, target in enumerate(as_list(entry.get("output_target"))):
        if not isinstance(target, dict):
            continue
        here: Steps = (*at, "output_target", index)
        kind = target.get("type")
        provider = find_provider(kind, as_input=False) if isinstance(kind, str) else None
        if provider is not None:
            yield from provider_findings(provider, target, here, as_input=False)
        else:
            yield from open_secrets(target.get("credentials"), (*here, "credentials"))


def _output_filename(entry: JsonObject, at: Steps) -> Iterator[Finding]:
    """The API's own pattern lets anything through, but a server makes a plain name of it or refuses the job."""
    name = as_object(entry.get("options")).get("output_filename")
    if isinstance(name, str) and ("/" in name or "\\" in name):
        path: Steps = (*at, "options", "output_filename")
        message = f"output_filename {shown(name)} is a path; the name of a result is one part of a path"
        hint = "save.path, or the output target's file, decides which folder it is"
        yield Finding(path=path, code="wrong-form", message=message, hint=hint, severity="warning")


def _inside(name: str, path: Steps, folder: Path, *, absolute: bool = False) -> Iterator[Finding]:
    """Paths stay inside the project. Where links lead is seen only when files are listed."""
    if "\0" in name:
        yield Finding(path=path, code="wrong-form", message="a path can't hold the character NUL")
    elif name.startswith("/") and not absolute:
        message = f"{shown(name)} is absolute; paths are relative to the recipe"
        hint = "so that the recipe means the same on every machine"
        yield Finding(path=path, code="outside-project", message=message, hint=hint)
    elif ".." in name.split("/") and not name.startswith("/"):
        root = project_root(folder)
        if not Path(os.path.normpath(folder / name)).is_relative_to(root):
            message = f"{shown(name)} leads out of the project"
            hint = f"the project is {root}: the nearest folder above with runner.toml or .git, else the recipe's"
            yield Finding(path=path, code="outside-project", message=message, hint=hint)


@lru_cache(maxsize=1024)
def project_root(folder: Path) -> Path:
    """The nearest folder at or above `folder` with `runner.toml` or `.git`, else `folder` itself."""
    for above in (folder, *folder.parents):
        if (above / "runner.toml").exists() or (above / ".git").exists():
            return above
    return folder
