"""One form for what the API takes in several: arrays are arrays, `[]` for an object is `{}`, what only the
server sets is gone. Values of the wrong type stay as they are; the schema has a word with them later.
"""

from __future__ import annotations

from collections.abc import Iterator

from runner.recipe.finding import Finding, Steps
from runner.wire.values import Json, JsonObject

API_FIELDS = (
    "input",
    "conversion",
    "limits",
    "callback",
    "notify_status",
    "fail_on_input_error",
    "fail_on_conversion_error",
    "download_passwords",
)
_SET_BY_SERVER = frozenset(
    {"id", "token", "type", "status", "output", "errors", "warnings", "server", "spent"}
    | {"created_at", "modified_at", "process"}
)
_INPUT_BY_SERVER = frozenset({"id", "status", "size", "hash", "checksum", "created_at", "modified_at", "metadata"})
_ARRAYS = ("input", "conversion", "download_passwords")
_TEXTS = ("include", "after")


def normal(document: JsonObject) -> tuple[JsonObject, tuple[Finding, ...]]:
    """`document` in its one form, and a note for everything that is ignored."""
    notes: list[Finding] = []
    made = _recipe(document, (), notes)
    profiles = document.get("profile")
    if isinstance(profiles, dict):
        made["profile"] = {
            name: _recipe(overlay, ("profile", name), notes) if isinstance(overlay, dict) else overlay
            for name, overlay in profiles.items()
        }
    return made, tuple(notes)


def job_of(recipe: JsonObject) -> JsonObject:
    """The API's own fields of a recipe in normal form."""
    return {name: recipe[name] for name in API_FIELDS if name in recipe}


def _recipe(document: JsonObject, at: Steps, notes: list[Finding]) -> JsonObject:
    made = _without(document, _SET_BY_SERVER, at, notes)
    made.pop("$schema", None)
    for name in _ARRAYS:
        if name in made:
            made[name] = _array(made[name])
    for name in _TEXTS:
        if isinstance(made.get(name), str):
            made[name] = [made[name]]
    if isinstance(made.get("input"), list):
        made["input"] = [_input(one, (*at, "input", i), notes) for i, one in enumerate(made["input"])]
    if isinstance(made.get("conversion"), list):
        made["conversion"] = [
            _conversion(one, (*at, "conversion", i), notes) for i, one in enumerate(made["conversion"])
        ]
    return made | {name: form(made[name]) for name, form in _FORMS.items() if name in made}


def _without(entry: JsonObject, ignored: frozenset[str], at: Steps, notes: list[Finding]) -> JsonObject:
    if ignored.isdisjoint(entry):
        return dict(entry)
    for name in entry:
        if name in ignored:
            message = f"'{name}' is ignored: {_reason(name)}"
            notes.append(
                Finding(path=(*at, name), key=True, code="ignored", message=message, severity="note", secret=True)
            )
    return {name: value for name, value in entry.items() if name not in ignored}


def _reason(name: str) -> str:
    return "the runner decides when a job starts" if name == "process" else "only the API sets it"


def _input(entry: Json, at: Steps, notes: list[Finding]) -> Json:
    if not isinstance(entry, dict):
        return entry
    picker = entry.get("type") == "gdrive_picker"
    made = _without(entry, _INPUT_BY_SERVER if picker else _INPUT_BY_SERVER | {"content_type"}, at, notes)
    return _objects(made, ("options", "parameters", "credentials"))


def _conversion(entry: Json, at: Steps, notes: list[Finding]) -> Json:
    if not isinstance(entry, dict):
        return entry
    made = _objects(_without(entry, frozenset({"id"}), at, notes), ("options", "metadata"))
    if "output_target" in made:
        made["output_target"] = [
            _target(one, (*at, "output_target", i), notes) for i, one in enumerate(_array(made["output_target"]))
        ]
    return made


def _target(entry: Json, at: Steps, notes: list[Finding]) -> Json:
    if not isinstance(entry, dict):
        return entry
    return _objects(_without(entry, frozenset({"status"}), at, notes), ("parameters", "credentials"))


def _foreach(foreach: Json) -> Json:
    bucket = foreach.get("bucket") if isinstance(foreach, dict) else None
    if not isinstance(bucket, dict):
        return foreach
    return {**foreach, "bucket": _objects(bucket, ("parameters", "credentials"))}


def _limits(limits: Json) -> Json:
    if limits == []:
        return {}
    return _objects(limits, ("job", "input", "output")) if isinstance(limits, dict) else limits


_FORMS = {"foreach": _foreach, "limits": _limits}


def _array(value: Json) -> list[Json]:
    return value if isinstance(value, list) else [value]


def _objects(entry: JsonObject, names: tuple[str, ...]) -> JsonObject:
    return {name: {} if value == [] and name in names else value for name, value in entry.items()}


def overlays(document: JsonObject) -> Iterator[str]:
    """Names of the profiles in a document."""
    profiles = document.get("profile")
    if isinstance(profiles, dict):
        yield from profiles
