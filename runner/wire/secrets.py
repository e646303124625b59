"""Where a secret may stand in a job document, and what stands there instead until a request is sent.

A reference is `{"env": "NAME"}`, `{"file": "path"}` or `{"keyring": "service/user"}`. The slots are the
values of `credentials` (inputs and output targets), the entries of `download_passwords`, `callback`, a
remote input's `source`, and the options of inputs and conversions that have the name of a secret.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from runner.wire.providers import SECRET_CREDENTIALS
from runner.wire.values import Json, JsonObject, as_list, as_object

REFERENCE_KINDS = ("env", "file", "keyring")
PLACEHOLDER = {"secret": True}

# The API names `download_password`; an option of a target that nobody described is told by its name as well.
OPTIONS_WITH_SECRETS = SECRET_CREDENTIALS | {"download_password"}


def is_reference(value: Json) -> bool:
    """Whether `value` has the shape of a secret reference."""
    return isinstance(value, dict) and len(value) == 1 and next(iter(value)) in REFERENCE_KINDS


Slot = tuple[str | int, ...]


def secret_slots(job: JsonObject) -> Iterator[Slot]:
    """Paths of every place in `job` where a secret may stand and something stands."""
    if "callback" in job:
        yield ("callback",)
    for index, _ in enumerate(as_list(job.get("download_passwords"))):
        yield ("download_passwords", index)
    for index, entry in enumerate(as_list(job.get("input"))):
        yield from _input_slots(as_object(entry), ("input", index))
    for index, entry in enumerate(as_list(job.get("conversion"))):
        yield from _conversion_slots(as_object(entry), ("conversion", index))


def _input_slots(entry: JsonObject, at: Slot) -> Iterator[Slot]:
    if entry.get("type", "remote") == "remote" and "source" in entry:
        yield (*at, "source")
    yield from _option_slots(entry, at)
    yield from ((*at, "credentials", name) for name in as_object(entry.get("credentials")))


def _conversion_slots(entry: JsonObject, at: Slot) -> Iterator[Slot]:
    yield from _option_slots(entry, at)
    for index, target in enumerate(as_list(entry.get("output_target"))):
        names = as_object(as_object(target).get("credentials"))
        yield from ((*at, "output_target", index, "credentials", name) for name in names)


def _option_slots(entry: JsonObject, at: Slot) -> Iterator[Slot]:
    yield from ((*at, "options", name) for name in as_object(entry.get("options")) if name in OPTIONS_WITH_SECRETS)


def fill_secrets(job: JsonObject, resolve: Callable[[JsonObject], Json]) -> JsonObject:
    """A copy of `job` in which every reference in a secret slot is replaced by what `resolve` answers for it.

    Arrays must be arrays here (compile makes them so). What `resolve` raises passes through.
    """
    filled: JsonObject = _copy(job)
    for slot in secret_slots(job):
        value = _at(filled, slot)
        if is_reference(value):
            _at(filled, slot[:-1])[slot[-1]] = resolve(value)
    return filled


def _copy(value: Json) -> Any:
    if isinstance(value, dict):
        return {key: _copy(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_copy(inner) for inner in value]
    return value


def _at(value: Json, slot: Slot) -> Any:
    for step in slot:
        value = value[step]
    return value
