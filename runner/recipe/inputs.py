"""What a schema can't say of an input: what its source is, by its type, and which credentials it takes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from runner.recipe.credentials import find_provider, place_findings, plain_credentials, url_secret
from runner.recipe.finding import Finding, Steps
from runner.recipe.paths import inside_project, negated
from runner.recipe.suggest import did_you_mean, listed, nearest, shown
from runner.recipe.template import has_template
from runner.wire.providers import PROVIDERS
from runner.wire.secrets import is_reference
from runner.wire.values import Json, JsonObject, as_object

_URL = re.compile(r"(?:https?|ftp)://[^/\s]", re.IGNORECASE)
_DECRYPT = frozenset({"decrypt_password"})
_GLOB_CHARACTERS = frozenset("*?[")
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


def input_findings(entry: JsonObject, at: Steps, folder: Path) -> Iterator[Finding]:
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
        yield from inside_project(source, path, folder)
        if source.startswith("!") and not has_template(source) and not _GLOB_CHARACTERS.isdisjoint(source):
            yield negated(source, path)


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
    yield from place_findings(entry.get("source"), entry, at, as_input=True)
