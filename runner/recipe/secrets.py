"""Resolves secret references, at the moment a request is sent and not before.

Errors name the variable, the file or the keyring entry, and never what is in it.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Mapping
from pathlib import Path

from runner.errors import InvalidError
from runner.recipe.suggest import shown
from runner.wire.secrets import is_reference
from runner.wire.values import Json, JsonObject

_MOST_BYTES = 1024 * 1024


def resolve_reference(reference: JsonObject, *, env: Mapping[str, str], folder: Path) -> Json:
    """The secret that `reference` names.

    env     the environment to look into
    folder  where relative files start: the recipe's

    A file's text loses one line break at its end; a file called `*.json` that holds an object (a key file)
    becomes that object. Raises InvalidError when the secret isn't there or is empty.
    """
    if not is_reference(reference):
        raise InvalidError("a secret reference is exactly one of env, file and keyring")
    kind, name = next(iter(reference.items()))
    if not isinstance(name, str):
        raise InvalidError(f"the secret reference '{kind}' needs a name")
    if kind == "env":
        return _from_env(name, env)
    return _from_file(name, folder) if kind == "file" else _from_keyring(name)


def _from_env(name: str, env: Mapping[str, str]) -> str:
    value = env.get(name)
    if not value:
        state = "not set" if value is None else "empty"
        raise InvalidError(f"the environment variable {shown(name)} is {state}", hint="a recipe reads a secret from it")
    try:
        value.encode()
    except UnicodeEncodeError:  # not `from`: the cause would hold the value
        raise InvalidError(f"the environment variable {shown(name)} is not UTF-8 text") from None
    return value


def _from_file(name: str, folder: Path) -> Json:
    path = folder / name
    what = f"the secret file {shown(str(path), most=200)}"
    try:
        with path.open("rb") as opened:
            data = opened.read(_MOST_BYTES + 1)
        text = data.decode()
    except OSError as error:
        raise InvalidError(f"{what} can't be read: {error.strerror}") from error
    except ValueError:  # not `from`: the cause would hold the bytes
        raise InvalidError(f"{what} is not UTF-8 text") from None
    if len(data) > _MOST_BYTES:
        raise InvalidError(f"{what} is larger than {_MOST_BYTES:,} bytes")
    text = text.removesuffix("\n").removesuffix("\r")
    if not text:
        raise InvalidError(f"{what} is empty")
    return (_key_file(text) or text) if path.suffix == ".json" else text


def _key_file(text: str) -> JsonObject | None:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _from_keyring(name: str) -> str:
    service, _, user = name.partition("/")
    try:
        # Loading it asks the system for its key stores, which takes longer than all of `runner plan`.
        keyring = importlib.import_module("keyring")
    except ImportError as error:
        hint = "pip install 'conversion-runner[keyring]'"
        raise InvalidError("secrets from the keyring need the extra 'keyring'", hint=hint) from error
    try:
        value = keyring.get_password(service, user)
    except keyring.errors.KeyringError as error:
        message = f"the keyring can't be asked for {shown(name)}: {type(error).__name__}"
        raise InvalidError(message) from error
    if not value:
        hint = f"keyring set {service} {user}"
        raise InvalidError(f"the keyring has no entry {shown(name)}", hint=hint)
    return str(value)
