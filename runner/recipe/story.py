"""The story of a document that breaks a schema: every fault at its path, in words, with what was meant.

Understands the keywords that our schemas and the API's option schemas use, no more. The fast validator gives
the verdict where there are many files; a test holds the two together. Values of places where secrets may
stand are never repeated.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import cache

from runner.recipe.duration import DURATION
from runner.recipe.finding import Finding, Steps
from runner.recipe.suggest import did_you_mean, listed, nearest, shown
from runner.wire.secrets import OPTIONS_WITH_SECRETS, is_reference
from runner.wire.values import Json, JsonObject

SECRET_STEPS = OPTIONS_WITH_SECRETS | {"credentials", "download_passwords", "callback"}

NOT_YET = {
    ("schedule",): "schedules",
    ("test",): "tests inside recipes",
    ("foreach", "outputs"): "foreach over the outputs of another recipe",
}

_HINTS = {
    "deadline": f"write {DURATION}",
    "name": "leave out slashes, square brackets and control characters",
    "env": 'write the name of an environment variable, such as { env = "S3_SECRET" }',
    "keyring": 'write { keyring = "service/user" }',
}


def _is_number(value: Json) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


_TYPES: dict[str, tuple[str, Callable[[Json], bool]]] = {
    "string": ("text", lambda v: isinstance(v, str)),
    "integer": ("a whole number", lambda v: _is_number(v) and v == v // 1),
    "number": ("a number", _is_number),
    "boolean": ("true or false", lambda v: isinstance(v, bool)),
    "object": ("a table", lambda v: isinstance(v, dict)),
    "array": ("an array", lambda v: isinstance(v, list)),
    "null": ("null", lambda v: v is None),
}


def story(value: Json, schema: JsonObject, path: Steps = (), *, root: JsonObject | None = None) -> Iterator[Finding]:
    """Every fault of `value` under `schema`; nothing where there is none."""
    root = schema if root is None else root
    if "$ref" in schema:
        schema = _resolved(schema["$ref"], root)
    kinds = schema.get("type")
    if kinds is not None and not any(_TYPES[kind][1](value) for kind in _each(kinds)):
        yield _wrong_type(value, _each(kinds), path)
        return
    if isinstance(value, dict):
        yield from _object(value, schema, path, root)
    elif isinstance(value, list):
        yield from _array(value, schema, path, root)
    elif isinstance(value, str):
        yield from _string(value, schema, path)
    elif _is_number(value):
        yield from _number(value, schema, path)
    if "enum" in schema and value not in schema["enum"]:
        yield _not_listed(value, schema["enum"], path)


def is_secret(path: Steps) -> bool:
    """Whether the value at `path` must not be repeated."""
    return not SECRET_STEPS.isdisjoint(path)


def name_of(path: Steps) -> str:
    """The last name in a path, as a message calls the value."""
    return next((str(step) for step in reversed(path) if isinstance(step, str)), "the recipe")


def _resolved(reference: str, root: JsonObject) -> JsonObject:
    found: Json = root
    for step in reference.removeprefix("#/").split("/"):
        found = found[step]
    resolved: JsonObject = found
    return _resolved(resolved["$ref"], root) if "$ref" in resolved else resolved


def _each(kinds: Json) -> list[str]:
    return [kinds] if isinstance(kinds, str) else list(kinds)


def _wrong_type(value: Json, wanted: list[str], path: Steps) -> Finding:
    if is_reference(value):
        return misplaced_reference(path)
    what = next((words for words, matches in _TYPES.values() if matches(value)), "something else")
    message = f"{name_of(path)} must be {' or '.join(_TYPES[kind][0] for kind in wanted)}, not {what}"
    return Finding(path=path, code="wrong-type", message=message, secret=is_secret(path))


def misplaced_reference(path: Steps) -> Finding:
    """The finding for a secret reference where the API wants the value itself."""
    message = f"a secret reference can't stand at {name_of(path)}"
    hint = "it can in credentials, options that are passwords, download_passwords, callback and a remote source"
    return Finding(path=path, code="wrong-type", message=message, hint=hint, secret=is_secret(path))


def _object(value: JsonObject, schema: JsonObject, path: Steps, root: JsonObject) -> Iterator[Finding]:
    known: JsonObject = schema.get("properties", {})
    others = schema.get("additionalProperties", True)
    for key, inner in value.items():
        if key in known:
            yield from story(inner, known[key], (*path, key), root=root)
        elif others is False:
            yield _unknown_key(key, known, value, path, root)
        elif isinstance(others, dict):
            yield from story(inner, others, (*path, key), root=root)
    yield from _missing_keys(value, schema, path)
    if not schema.get("minProperties", 0) <= len(value) <= schema.get("maxProperties", len(value)):
        message = f"{name_of(path)} is empty"
        if "maxProperties" in schema:
            message = f"{name_of(path)} needs exactly one of {listed(known)}"
        yield Finding(path=path, key=True, code="wrong-size", message=message, secret=is_secret(path))


def _missing_keys(value: JsonObject, schema: JsonObject, path: Steps) -> Iterator[Finding]:
    """Keys that must be there, unless a misspelt one was meant and is told already."""
    known = schema.get("properties", ())
    for key in schema.get("required", ()):
        if key not in value and nearest(key, [name for name in value if name not in known][:100]) is None:
            yield Finding(path=path, key=True, code="missing-key", message=f"'{key}' is missing")


def _unknown_key(key: str, known: JsonObject, value: JsonObject, path: Steps, root: JsonObject) -> Finding:
    at = (*path, key)
    plain = tuple(step for step in path if isinstance(step, str) and step != "profile")
    not_yet = NOT_YET.get((*plain[-1:], key)) or (NOT_YET.get((key,)) if "conversion" not in plain else None)
    if not_yet is not None:
        message = f"{not_yet}: this version of the runner doesn't know them yet"
        return Finding(path=at, key=True, code="not-yet", message=message, hint="leave the key out for now")
    if path and name_of(path) in {"source", "callback", "download_passwords"}:
        message = f"unknown kind of secret reference {shown(key)}; there are {listed(known)}"
        return Finding(path=at, key=True, code="unknown-key", message=message, secret=True)
    home = _home(key, path, root)
    near = "" if home else did_you_mean(key, [name for name in known if name not in value])
    place = f" in {name_of(path)}" if path else ""
    hint = home or ("" if near or len(known) > 12 else f"there are {listed(known)}")
    if path[-2:-1] == ("conversion",) and key.isidentifier() and not home and not near:
        hint += f"; what a target takes stands in its options, such as options = {{ {key} = ... }}"
    message = f"unknown key {shown(key)}{place}{near}"
    return Finding(path=at, key=True, code="unknown-key", message=message, hint=hint, secret=is_secret(path))


def _home(key: str, path: Steps, root: JsonObject) -> str:
    """Where `key` belongs, if it is known in another place of a recipe: it often lands in the table above it."""
    known: JsonObject = root.get("properties", {})
    if "conversion" not in known:  # the schema of an option
        return ""
    in_profile = path[:1] == ("profile",)
    if path and not in_profile and key in known:
        return f"'{key}' belongs at the top of the recipe; in TOML that is before the first [table]"
    if len(path) > (2 if in_profile else 0):
        return ""
    tables = [name for name, schema in known.items() if key in _keys(schema, root)]
    return f"'{key}' belongs in {listed(tables)}" if tables else ""


def _keys(schema: JsonObject, root: JsonObject) -> JsonObject:
    """The keys of a table, or of the tables of an array; none where any may stand."""
    schema = _resolved(schema["$ref"], root) if "$ref" in schema else schema
    if isinstance(schema.get("items"), dict):
        return _keys(schema["items"], root)
    keys: JsonObject = schema.get("properties", {})
    return keys


def _array(value: list[Json], schema: JsonObject, path: Steps, root: JsonObject) -> Iterator[Finding]:
    items = schema.get("items")
    if isinstance(items, dict):
        for index, inner in enumerate(value):
            yield from story(inner, items, (*path, index), root=root)
    if not schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", len(value)):
        count = f"has {len(value)} elements" if value else "is empty"
        yield Finding(path=path, code="wrong-size", message=f"{name_of(path)} {count}")


def _string(value: str, schema: JsonObject, path: Steps) -> Iterator[Finding]:
    name, secret = name_of(path), is_secret(path)
    if len(value) < schema.get("minLength", 0):
        yield Finding(path=path, code="wrong-size", message=f"{name} is empty", secret=secret)
    elif len(value) > schema.get("maxLength", len(value)):
        message = f"{name} has {len(value)} characters; {schema['maxLength']} are the limit"
        yield Finding(path=path, code="wrong-size", message=message, secret=secret)
    elif "pattern" in schema and not _pattern(schema["pattern"]).search(value):
        what = name if secret else f"{name} {shown(value)}"
        hint = _HINTS.get(name, f"it must match {schema['pattern']}")
        yield Finding(path=path, code="wrong-form", message=f"{what} has the wrong form", hint=hint, secret=secret)


@cache
def _pattern(pattern: str) -> re.Pattern[str]:
    # A `$` in Python also matches before a last line break; in JSON Schema it doesn't.
    return re.compile(pattern[:-1] + r"\Z" if pattern.endswith("$") else pattern)


def _number(value: float, schema: JsonObject, path: Steps) -> Iterator[Finding]:
    least, most = schema.get("minimum"), schema.get("maximum")
    bound = ("minimum", least) if least is not None and value < least else None
    bound = ("maximum", most) if most is not None and value > most else bound
    if bound:
        message = f"{name_of(path)} is {value}; the {bound[0]} is {bound[1]}"
        yield Finding(path=path, code="out-of-range", message=message, secret=is_secret(path))


def _not_listed(value: Json, known: list[Json], path: Steps) -> Finding:
    name, words = name_of(path), [str(one) for one in known]
    what = shown(str(value)) if not is_secret(path) else "this"
    near = did_you_mean(value, words) if isinstance(value, str) else ""
    hint = "" if near else f"one of {', '.join(words[:30])}"
    return Finding(
        path=path, code="unknown-value", message=f"{what} is no {name}{near}", hint=hint, secret=is_secret(path)
    )
