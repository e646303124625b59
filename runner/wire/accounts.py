"""Whose storage a cloud entry of a job document means, where its parameters alone don't say so."""

from __future__ import annotations

import json
from collections.abc import Iterator

from runner.wire.providers import PROVIDERS
from runner.wire.secrets import Slot, is_reference
from runner.wire.values import Json, JsonObject, as_list, as_object


def account_of(provider: Json, credentials: Json) -> Json:
    """The account's name, or the reference that stands for it; None where there is none or the parameters say it."""
    name = _credential(provider)
    return (as_object(credentials).get(name) or None) if name else None


def reference_name(reference: JsonObject) -> str:
    """How a reference is called where several are kept by name."""
    return json.dumps(reference, sort_keys=True)


def account_references(job: JsonObject) -> Iterator[tuple[Slot, JsonObject]]:
    """The references that stand for an account's name, with their places in `job`."""
    for slot, provider, entry in _entries(job):
        given = account_of(provider, entry.get("credentials"))
        if is_reference(given):
            yield (*slot, "credentials", _credential(provider)), as_object(given)


def accounts_named(job: JsonObject) -> tuple[Json, ...]:
    """The accounts, or the references that stand for them, of all cloud entries of a job document that name one."""
    given = (account_of(provider, entry.get("credentials")) for _, provider, entry in _entries(job))
    return tuple(one for one in given if one)


def _credential(provider: Json) -> str:
    known = PROVIDERS.get(provider) if isinstance(provider, str) else None
    return known.account if known else ""


def _entries(job: JsonObject) -> Iterator[tuple[Slot, Json, JsonObject]]:
    """Cloud inputs and output targets with their providers."""
    for index, entry in enumerate(map(as_object, as_list(job.get("input")))):
        if entry.get("type") == "cloud":
            yield ("input", index), entry.get("source"), entry
    for number, conversion in enumerate(map(as_object, as_list(job.get("conversion")))):
        for index, target in enumerate(map(as_object, as_list(conversion.get("output_target")))):
            yield ("conversion", number, "output_target", index), target.get("type"), target
