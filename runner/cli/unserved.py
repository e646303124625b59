"""What the embedded server can't reach on this machine, told before a run finds out.

Loads no client: whether a package is there is asked of its name alone.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from runner.cli.context import find_settings_file
from runner.errors import Problem
from runner.recipe.read import read_file
from runner.recipe.served import NOT_MADE_HERE, Unmade, Unserved, all_is_made, no_provider_is_missing
from runner.wire.values import JsonObject, as_list, as_object, as_text

if TYPE_CHECKING:
    from runner.compile import Job  # loading it takes longer than a check

_LOCAL = "local"


def unserved_here(provider: str) -> str:
    """How to get what the embedded server needs for `provider`; empty where it needs nothing or doesn't know it."""
    from runner.server.storage.table import EXTRA, SERVED

    entry = SERVED.get(provider)
    return "" if entry is None or entry.is_here else EXTRA


def unserved_for(paths: Sequence[Path], env: Mapping[str, str] = os.environ) -> Unserved:
    """`unserved_here` where the work would be done here, as far as that shows without reading all settings."""
    return unserved_here if _looks_local(paths, env) else no_provider_is_missing


@cache
def unmade_here(category: str, target: str) -> str:
    """Why the embedded server can't make that; empty where it can."""
    made = _made_here()
    if (category, target) in made or (not category and any(target == name for _, name in made)):
        return ""
    return f"the local server doesn't make {f'{category}/' if category else ''}{target} on this machine"


@cache
def _made_here() -> frozenset[tuple[str, str]]:
    from runner.server.converters.table import CONVERTERS

    here = (one for one in CONVERTERS if all(shutil.which(program) for program in one.programs))
    return frozenset((row.category, row.target) for one in here for row in one.targets)


def unmade_for(paths: Sequence[Path], env: Mapping[str, str] = os.environ) -> Unmade:
    """`unmade_here` where the work would be done here, like `unserved_for`."""
    return unmade_here if _looks_local(paths, env) else all_is_made


def unmade_jobs(jobs: Iterable[Job]) -> Iterator[tuple[Job, Problem]]:
    """Jobs with a target that this machine can't make, each with the first."""
    for job in jobs:
        for index, entry in enumerate(map(as_object, as_list(job.payload.get("conversion")))):
            why = unmade_here(as_text(entry.get("category")), as_text(entry.get("target")))
            if why:
                place = job.draft.recipe.locate(("conversion", index, "target"))
                yield job, Problem(place=place, code="unserved-target", message=why, hint=NOT_MADE_HERE)
                break


def _looks_local(paths: Sequence[Path], env: Mapping[str, str]) -> bool:
    file = find_settings_file(paths)
    said = (read_file(file).value if file is not None else None) or {}
    endpoint = env.get("RUNNER_ENDPOINT") or said.get("endpoint")
    if endpoint is not None:
        return bool(endpoint == _LOCAL)
    elsewhere = ("API2CONVERT_API_KEY", "API2CONVERT_BASE_URL", "RUNNER_API_KEY", "RUNNER_BASE_URL")
    return "base_url" not in said and not any(env.get(name) for name in elsewhere)


def unserved_jobs(jobs: Iterable[Job], unserved: Unserved) -> Iterator[tuple[Job, Problem]]:
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
