"""From a job's `parameters` and `credentials` to a place, or why there is none. Pure; nothing is connected to."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace

from runner.server.storage.protocol import FAILED, Place, StorageError
from runner.server.storage.table import EXTRA, SERVED, Entry
from runner.wire.ftp_names import with_plain_host
from runner.wire.providers import DEFAULTS, PROVIDERS, Provider, value_problem
from runner.wire.values import Json, JsonObject

_SHOWN_NAME = 64


def refusal(provider: str) -> str:
    """Why this server can't speak to `provider` at all; empty when it can."""
    entry = SERVED.get(provider)
    if entry is None:
        known = PROVIDERS.get(provider)
        title = f"{known.title} ('{provider}')" if known else f"'{provider[:_SHOWN_NAME]}'"
        return f"This server doesn't serve {title}; it serves {', '.join(SERVED)}"
    return "" if entry.is_here else _missing(entry)


def place_of(provider: str, parameters: JsonObject, credentials: JsonObject) -> Place:
    """The place that a cloud input or an output target names.

    Raises StorageError with everything that is missing or of a wrong type, by name and never by value.
    """
    known = _served(provider)
    return _placed(known, parameters, credentials, required=known.parameters_required)


def shelf_of(provider: str, parameters: JsonObject, credentials: JsonObject) -> Place:
    """The place that a listing begins at: `prefix`, which may be missing, stands where an input has `file`.

    Raises StorageError like `place_of`.
    """
    known = _served(provider)
    prefix = parameters.get("prefix")
    given = {name: value for name, value in parameters.items() if name != "prefix"}
    given["file"] = "" if prefix is None else prefix
    placed = _placed(known, given, credentials, required=known.parameters_required - {"file"})
    return replace(placed, name=placed.name.replace(", file '", ", prefix '"))


def _served(provider: str) -> Provider:
    refused = refusal(provider)
    if refused:
        raise StorageError(FAILED, refused)
    return PROVIDERS[provider]


def _placed(known: Provider, parameters: JsonObject, credentials: JsonObject, *, required: frozenset[str]) -> Place:
    defaults = DEFAULTS.get(known.name, {})
    given, secrets = _without_null(parameters), _without_null(credentials)
    problems: list[str] = []
    if known.name == "ftp":
        try:
            given = with_plain_host(given)
        except ValueError as error:
            problems.append(str(error))
    # An empty text is no region and no port, so the API's own stands in its place.
    wanted = {**given, **{name: usual for name, usual in defaults.items() if given.get(name, "") == ""}}
    problems += _problems("parameters", wanted, required, _names(known))
    problems += _problems("credentials", secrets, known.credentials_required, known.credentials_optional)
    if problems:
        raise StorageError(FAILED, f"{known.title}: {'; '.join(problems)}")
    texts = {name: str(value) for name, value in wanted.items() if name in _names(known)}
    return Place(
        provider=known.name,
        name=_shown(known, texts),
        parameters=texts,
        credentials=secrets,
        account=str(secrets[known.account]) if known.account else "",
    )


def _without_null(given: JsonObject) -> JsonObject:
    """Null counts as not given."""
    return {name: value for name, value in given.items() if value is not None}


def _missing(entry: Entry) -> str:
    title = PROVIDERS[entry.name].title
    return f"This server has no client for {title}: the package {entry.needs} is missing. Install it: {EXTRA}"


def _names(known: Provider) -> frozenset[str]:
    return known.parameters_required | known.parameters_optional


def _problems(where: str, given: Mapping[str, Json], required: Collection[str], optional: Collection[str]) -> list[str]:
    missing = [f"{where}.{name} is missing" for name in sorted(required) if given.get(name) in (None, "", {}, [])]
    wrong = [
        f"{where}.{name} {problem}"
        for name in sorted({*required, *optional} & given.keys())
        if (problem := _problem(name, given[name]))
    ]
    return missing + wrong


def _problem(name: str, value: Json) -> str:
    """A number is as good as its text: tables bring numbers along."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return value_problem(name, str(value) if is_number else value)


def _shown(known: Provider, parameters: Mapping[str, str]) -> str:
    holder = next((name for name in ("bucket", "container", "host") if name in parameters), "")
    return f"{known.title}, {holder} '{parameters[holder]}', file '{parameters['file']}'"
