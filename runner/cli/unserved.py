"""What the embedded server can't reach on this machine, told before a run finds out; and whether a check asks it.

Loads no client: whether a package is there is asked of its name alone.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from runner.cli.context import find_settings_file
from runner.cli.unmade import unmade_here, unread_here, untaken_here
from runner.errors import Problem
from runner.recipe.read import read_file
from runner.recipe.served import ABLE, CLOUD_FTP, Abilities, scheme_of
from runner.wire.values import JsonObject, as_list, as_object, as_text

if TYPE_CHECKING:
    from runner.compile import Job  # loading it takes longer than a check

_LOCAL = "local"


def unserved_here(provider: str) -> str:
    """How to get what the embedded server needs for `provider`; empty where it needs nothing or doesn't know it."""
    from runner.server.storage.table import EXTRA, SERVED

    entry = SERVED.get(provider)
    return "" if entry is None or entry.is_here else EXTRA


def unfetched_here(scheme: str) -> str:
    """Why the embedded server can't fetch what lies there; empty where it can, or where the recipe is wrong anyhow."""
    return "the local server fetches http and https, and no ftp" if scheme == "ftp" else ""


HERE = Abilities(
    unserved=unserved_here,
    unmade=unmade_here,
    unread=unread_here,
    untaken=untaken_here,
    unfetched=unfetched_here,
)


def abilities_for(paths: Sequence[Path], env: Mapping[str, str] = os.environ) -> Abilities:
    """`HERE` where the work would be done here, as far as that shows without reading all settings."""
    return HERE if _looks_local(paths, env) else ABLE


def unfetched_jobs(jobs: Iterable[Job]) -> Iterator[tuple[Job, Problem]]:
    """Jobs with a source that the embedded server can't fetch, each with the first."""
    for job in jobs:
        for index, entry in enumerate(map(as_object, as_list(job.payload.get("input")))):
            if why := unfetched_here(scheme_of(entry)):
                place = job.draft.recipe.locate(("input", index, "source"))
                yield job, Problem(place=place, code="unserved-source", message=why, hint=CLOUD_FTP)
                break


def _looks_local(paths: Sequence[Path], env: Mapping[str, str]) -> bool:
    file = find_settings_file(paths)
    said = (read_file(file).value if file is not None else None) or {}
    endpoint = env.get("RUNNER_ENDPOINT") or said.get("endpoint")
    if endpoint is not None:
        return bool(endpoint == _LOCAL)
    elsewhere = ("API2CONVERT_API_KEY", "API2CONVERT_BASE_URL", "RUNNER_API_KEY", "RUNNER_BASE_URL")
    return "base_url" not in said and not any(env.get(name) for name in elsewhere)


def unserved_jobs(jobs: Iterable[Job], unserved: Callable[[str], str]) -> Iterator[tuple[Job, Problem]]:
    """Jobs that this machine can't do, each with the first reason."""
    for job in jobs:
        for provider, at in _providers(job.payload):
            hint = unserved(provider)
            if hint:
                message = f"the local server has no client for {provider}: {hint}"
                yield job, Problem(place=job.draft.recipe.locate(at), code="missing-extra", message=message)
                break


def _providers(payload: JsonObject) -> Iterator[tuple[str, tuple[str | int, ...]]]:
    for index, entry in enumerate(map(as_object, as_list(payload.get("input")))):
        if entry.get("type") == "cloud":
            yield as_text(entry.get("source")), ("input", index, "source")
    for index, conversion in enumerate(map(as_object, as_list(payload.get("conversion")))):
        for number, target in enumerate(map(as_object, as_list(conversion.get("output_target")))):
            yield as_text(target.get("type")), ("conversion", index, "output_target", number, "type")
