"""What changed between the work an address got before and what it asks for now, in the payload's own words."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from runner.compile import Job
from runner.plan.actions import Change
from runner.state import KeyState
from runner.wire.accounts import account_references, reference_name
from runner.wire.addresses import masked
from runner.wire.providers import ACCOUNTS
from runner.wire.values import Json

# What never changes a key, so it can't be why the work is new; and the digest gets words of its own.
SILENT = frozenset({"callback", "notify_status", "limits", "download_passwords", "process"})
# An input's content, by what tells one version from the next.
_CONTENT = re.compile(r"(input\[\d+\])\.(?:sha256|revision)")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)
SILENT_SUFFIXES = ("fail_on_input_error", "fail_on_conversion_error")


def changes_between(before: Mapping[str, Json], after: Mapping[str, Json]) -> tuple[Change, ...]:
    """Both are expanded payloads as the run log keeps them, with `sha256` or `revision` at inputs that have one."""
    return tuple(_walk(before, after, ""))


def causes(before: KeyState, job: Job, changes: Sequence[Change]) -> Sequence[str]:
    """Why the work of an address is another than before: where it is done, and the first of `changes`. Never empty."""
    return [*_moved(before, job), *map(str, changes[:1])] or [_unseen(before, job)]


def _moved(before: KeyState, job: Job) -> Iterator[str]:
    """What else makes other work of one payload: where it is done, and that it shall be done anew."""
    if before.endpoint and before.endpoint != job.endpoint:
        yield f"endpoint: {before.endpoint} -> {job.endpoint}"
    epoch = job.draft.recipe.epoch
    if before.epoch is not None and before.epoch != epoch:
        yield f"epoch: {before.epoch} -> {epoch}"


def _unseen(before: KeyState, job: Job) -> str:
    """What makes other work and stands in no payload."""
    if before.key == job.former_key:
        return "how keys are made (whose storage it is counts by now)"
    if not before.endpoint or before.epoch is None:
        return "endpoint or epoch (an old log doesn't say which)"
    references = dict.fromkeys(reference_name(reference) for _, reference in account_references(job.payload))
    if references:
        return f"the account that {', '.join(references)} names"
    return "how it is written (a file's own name as `filename`, say), or how keys are made"


def _walk(before: Json, after: Json, path: str) -> Iterator[Change]:
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        unmoved = _of_the_path(before, after)
        for name in sorted(before.keys() | after.keys()):
            at = f"{path}.{name}" if path else name
            if name == "credentials":
                yield from _walk(_accounts(before.get(name)), _accounts(after.get(name)), at)
            elif name not in SILENT and name not in SILENT_SUFFIXES and name not in unmoved:
                yield from _walk(before.get(name), after.get(name), at)
    elif isinstance(before, list) and isinstance(after, list):
        for index in range(max(len(before), len(after))):
            old = before[index] if index < len(before) else None
            new = after[index] if index < len(after) else None
            yield from _walk(old, new, f"{path}[{index}]")
    elif not _same(before, after):
        yield _change(path, before, after)


def _of_the_path(before: Mapping[str, Json], after: Mapping[str, Json]) -> frozenset[str]:
    """What two inputs say of the path of one local file: where an equal file lies changes no key."""
    if "sha256" not in before or before["sha256"] != after.get("sha256"):
        return frozenset()
    own_names = all(f"/{one.get('source')}".endswith(f"/{one.get('filename')}") for one in (before, after))
    return frozenset({"source", "filename"}) if own_names else frozenset({"source"})


def _accounts(credentials: Json) -> Mapping[str, Json]:
    """What of credentials says whose storage it is, and so is part of the key."""
    given = credentials if isinstance(credentials, Mapping) else {}
    return {name: given[name] for name in ACCOUNTS if name in given}


def _change(path: str, before: Json, after: Json) -> Change:
    content = _CONTENT.fullmatch(path)
    if content is None:
        return Change(path=path, before=_unsigned(before), after=_unsigned(after))
    return Change(path=f"{content[1]} content", before=_short(before), after=_short(after))


def _unsigned(value: Json) -> Json:
    """`value` as it may be shown: what stands behind the ? of an address may be a signature."""
    if isinstance(value, str):
        return masked(value) if _ADDRESS.match(value) else value
    if isinstance(value, Mapping):
        return {name: _unsigned(inner) for name, inner in value.items()}
    return [_unsigned(inner) for inner in value] if isinstance(value, list) else value


def _same(before: Json, after: Json) -> bool:
    """Equal as JSON: Python thinks that true is 1."""
    return isinstance(before, bool) == isinstance(after, bool) and bool(before == after)


def _short(mark: Json) -> Json:
    """The beginning of a digest; what a server calls a version may be a date, and then the end tells them apart."""
    return mark[:12] if isinstance(mark, str) and _DIGEST.fullmatch(mark) else mark
