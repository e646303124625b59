"""Keys: when are two jobs the same work?

A job is skipped when the run log says its key is done. So a key covers what changes the result (sources,
targets, options, whose storage it is) and leaves out what doesn't: the secrets of credentials, where results are
saved, limits, comments. Rotating a password must not convert everything again. ARCHITECTURE.md has the table.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType

import rfc8785

from runner.wire.accounts import account_of, reference_name
from runner.wire.secrets import OPTIONS_WITH_SECRETS, PLACEHOLDER, is_reference
from runner.wire.values import Json, JsonObject, as_list, as_object

# Raise this when the rules below change; events written under the old rules no longer match.
SCHEME = "k1"
NO_ACCOUNTS: Mapping[str, str] = MappingProxyType({})


def job_key(
    payload: JsonObject,
    *,
    digests: Mapping[int, str],
    revisions: Mapping[int, str] | None = None,
    endpoint: str,
    epoch: int,
    accounts: Mapping[str, str] | None = NO_ACCOUNTS,
) -> str:
    """Name the work in `payload`: "k1:" and 64 hex digits, the same on every machine.

    digests    sha256 in hex of each uploaded input, by its index
    revisions  which version of it is meant, of inputs where that is known
    accounts   what references to the names of accounts stand for, by `reference_name`; without it the reference counts;
               None where no account counts, as in keys of old logs
    The order of options is irrelevant; the order of inputs and conversions counts.

    Source: RFC 8785 (JSON canonicalization).
    """
    inputs = [
        _input(as_object(entry), digests.get(index), (revisions or {}).get(index), accounts)
        for index, entry in enumerate(as_list(payload.get("input")))
    ]
    work = {
        b"conversion": (_conversions if accounts is not None else _former).canonical(
            payload.get("conversion"), accounts
        ),
        b"endpoint": _canonical(endpoint),
        b"epoch": _canonical(epoch),
        b"input": b"[" + b",".join(inputs) + b"]",
    }
    return f"{SCHEME}:{hashlib.sha256(_joined(work)).hexdigest()}"


def _joined(members: Mapping[bytes, bytes]) -> bytes:
    """An object whose values are canonical already; its names are ours, plain words in the order of the alphabet."""
    return b"{" + b",".join([b'"%s":%s' % member for member in members.items()]) + b"}"


def _canonical(value: Json) -> bytes:
    if isinstance(value, str):
        return _canonical_text(value)
    return b"null" if value is None else rfc8785.dumps(value)


# What most items have in common: the type, the engine, names of providers.
_canonical_text = lru_cache(maxsize=256)(rfc8785.dumps)


def _input(entry: JsonObject, digest: str | None, revision: str | None, accounts: Mapping[str, str] | None) -> bytes:
    kind, options = entry.get("type", "remote"), entry.get("options")
    account = _account(entry.get("source"), entry, accounts) if kind == "cloud" else {}
    work = {b"account": _canonical(account["account"])} if account else {}
    work |= {
        b"engine": _canonical(entry.get("engine")),
        b"filename": _canonical(entry.get("filename")),
        b"options": _canonical(_without_secrets(as_object(options))) if options else b"{}",
    }
    if kind == "cloud":
        work[b"parameters"] = rfc8785.dumps(as_object(entry.get("parameters")))
    if revision:
        work[b"revision"] = rfc8785.dumps(revision)
    if kind == "upload":
        work[b"sha256"] = f'"{digest}"'.encode() if digest else b"null"
    else:
        source = entry.get("source")
        work[b"source"] = _canonical(source if kind == "cloud" else entry.get("identity", source))
    work[b"type"] = _canonical(kind)
    return _joined(work)


class _Conversions:
    """Remembers the last that it was asked about: the items of a recipe mostly share the very same object."""

    def __init__(self) -> None:
        self._last: tuple[Json, Mapping[str, str] | None, bytes] = (None, NO_ACCOUNTS, b"[]")

    def canonical(self, conversions: Json, accounts: Mapping[str, str] | None) -> bytes:
        last, with_accounts, found = self._last
        if conversions is not last or accounts is not with_accounts:
            found = rfc8785.dumps([_conversion(as_object(entry), accounts) for entry in as_list(conversions)])
            self._last = (conversions, accounts, found)
        return found


_conversions, _former = _Conversions(), _Conversions()


def _conversion(entry: JsonObject, accounts: Mapping[str, str] | None) -> JsonObject:
    return {
        "category": entry.get("category"),
        "target": entry.get("target"),
        "options": _without_secrets(as_object(entry.get("options"))),
        "metadata": as_object(entry.get("metadata")),
        "output_target": [_target(as_object(one), accounts) for one in as_list(entry.get("output_target"))],
    }


def _target(entry: JsonObject, accounts: Mapping[str, str] | None) -> JsonObject:
    kind = entry.get("type")
    return {"type": kind, "parameters": as_object(entry.get("parameters")), **_account(kind, entry, accounts)}


def _account(provider: Json, entry: JsonObject, accounts: Mapping[str, str] | None) -> JsonObject:
    """Whose storage it is, as a member of its entry, where the provider has accounts and one is given."""
    given = account_of(provider, entry.get("credentials"))
    if not given or accounts is None:
        return {}
    return {"account": accounts.get(reference_name(given), given) if is_reference(given) else given}


def _without_secrets(options: JsonObject) -> JsonObject:
    if OPTIONS_WITH_SECRETS.isdisjoint(options):
        return options
    masked: Json = PLACEHOLDER
    return {name: masked if name in OPTIONS_WITH_SECRETS else value for name, value in options.items()}
