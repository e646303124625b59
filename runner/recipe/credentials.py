"""Cloud providers in a recipe: keys that are unknown, misspelt or missing, impossible values, secrets written out."""

from __future__ import annotations

import re
from collections.abc import Iterator

from runner.recipe.finding import Finding, Steps
from runner.recipe.literals import literal_secret
from runner.recipe.suggest import did_you_mean, listed, shown
from runner.recipe.template import has_template
from runner.wire.providers import PROVIDERS, SECRET_CREDENTIALS, Provider, value_problem
from runner.wire.secrets import is_reference
from runner.wire.values import Json, JsonObject, as_object

PUBLIC = frozenset({"accesskeyid", "accountname", "username"})
_DECRYPT = "decrypt_password"
_WHOLE = "leave it out for the whole bucket, or at FTP for the folder that the login leads to"
_USERINFO = re.compile(r"://[^/?#\s]*:[^/?#\s]*@")


def place_findings(name: Json, entry: JsonObject, at: Steps, *, as_input: bool) -> Iterator[Finding]:
    """What is wrong with an entry at the provider of that name; of one that nobody knows, its open secrets alone."""
    provider = find_provider(name, as_input=as_input) if isinstance(name, str) else None
    if provider is not None:
        yield from provider_findings(provider, entry, at, as_input=as_input)
    else:
        yield from open_secrets(entry.get("credentials"), (*at, "credentials"))


def provider_findings(provider: Provider, entry: JsonObject, at: Steps, *, as_input: bool) -> Iterator[Finding]:
    """Parameters and credentials of an entry against what its provider takes."""
    if provider.open:
        yield from open_secrets(entry.get("credentials"), (*at, "credentials"))
        return
    decrypt = frozenset({_DECRYPT}) if as_input else frozenset()
    yield from _keys(entry, "parameters", provider.parameters_required, provider.parameters_optional, provider, at)
    optional = provider.credentials_optional | decrypt
    yield from _keys(entry, "credentials", provider.credentials_required, optional, provider, at)


def plain_credentials(entry: JsonObject, at: Steps, names: frozenset[str], what: str) -> Iterator[Finding]:
    """Credentials of what is no cloud entry: only `names` may stand there."""
    path = (*at, "credentials")
    for name in as_object(entry.get("credentials")):
        if name not in names:
            near = did_you_mean(name, names)
            message = f"{what} takes no credential {shown(name)}{near}"
            hint = "" if near else f"it takes {listed(names)}"
            yield _at((*path, name), "unknown-key", message, hint)


def open_secrets(credentials: Json, at: Steps) -> Iterator[Finding]:
    """Values that should be references where nobody knows the keys: all but names, and what is told by its name."""
    for name, value in as_object(credentials).items():
        untold = name not in PUBLIC and name not in SECRET_CREDENTIALS
        if untold and isinstance(value, str | dict) and value != "" and not is_reference(value):
            yield literal_secret((*at, name), name)


def url_secret(value: Json, path: Steps, name: str) -> Finding | None:
    """The finding for a URL with a password in it."""
    if not isinstance(value, str) or not _USERINFO.search(value):
        return None
    message = f"{name} holds a password inside the URL"
    return Finding(path=path, code="literal-secret", message=message, hint=_url_hint(name), secret=True)


def _url_hint(name: str) -> str:
    if name in {"source", "callback"}:
        return f'write {name} = {{ env = "NAME" }} and set that variable to the whole URL'
    return "put it into credentials, as a secret reference"


def _keys(
    entry: JsonObject,
    part: str,
    required: frozenset[str],
    optional: frozenset[str],
    provider: Provider,
    at: Steps,
) -> Iterator[Finding]:
    given = entry.get(part, {})
    if not isinstance(given, dict):
        return
    known = required | optional
    word = "parameter" if part == "parameters" else "credential"
    meant: set[str] = set()
    for name in given:
        if name not in known:
            near = did_you_mean(name, known - set(given))
            meant.add(near)
            message = f"{provider.title} takes no {word} {shown(name)}{near}"
            hint = "" if near else f"it takes {listed(known)}"
            yield _at((*at, part, name), "unknown-key", message, hint)
    for name in sorted(required - set(given)):
        if f"; did you mean '{name}'?" not in meant:
            message = f"{provider.title} needs the {word} '{name}'"
            yield _at((*at, part), "missing-key", message, "")
    for name, value in given.items():
        yield from _value(value, (*at, part, name), known=name in known, required=name in required)


def _value(value: Json, path: Steps, *, known: bool, required: bool) -> Iterator[Finding]:
    """What no provider takes, told before anything is sent. Credentials that are no text are the schema's business."""
    part, name = path[-2], str(path[-1])
    secret = part == "credentials"
    found = None if secret else url_secret(value, path, name)
    if found:
        yield found
    elif known:
        yield from _impossible(value, path, required=required, secret=secret)


def _impossible(value: Json, path: Steps, *, required: bool, secret: bool) -> Iterator[Finding]:
    name = str(path[-1])
    if is_reference(value) or (isinstance(value, str) and has_template(value)):
        return
    if value is None or value == "":
        if required or (value == "" and not secret):
            hint = _WHOLE if name == "prefix" else ""
            yield Finding(path=path, code="wrong-size", message=f"{name} is empty", hint=hint, secret=secret)
    elif isinstance(value, str) or not secret:
        problem = value_problem(name, value)
        if problem:
            yield Finding(path=path, code=_code(name, value), message=f"{name} {problem}", secret=secret)


def _code(name: str, value: Json) -> str:
    if name == "port":
        return "out-of-range"
    return "wrong-form" if isinstance(value, str) else "wrong-type"


def _at(path: Steps, code: str, message: str, hint: str) -> Finding:
    return Finding(path=path, key=True, code=code, message=message, hint=hint, secret="credentials" in path)


def find_provider(name: str, *, as_input: bool) -> Provider | None:
    provider = PROVIDERS.get(name)
    if provider is None or not (provider.as_input if as_input else provider.as_target):
        return None
    return provider
