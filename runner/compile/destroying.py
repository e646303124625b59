"""Results that would take the place of what the work needs: its sources, a recipe, the runner's own memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from runner.compile.job import Job
from runner.errors import InvalidError, Problem


def destroying(jobs: Sequence[Job], *, state: Path, run_date: str) -> Mapping[str, Problem]:
    """By address, which of `jobs` would replace a recipe or a source of their own recipe, or lie in the `state` folder.

    Only `on_conflict = "overwrite"` lets a result replace what isn't one; nobody may save among the state. Sources of
    other recipes don't count: in a chain they are the results of this one.
    """
    needed = _needed(jobs)
    found = {}
    for job in jobs:
        told = _told(job, needed, f"{state}/", run_date)
        if told:
            place = job.draft.recipe.locate(("save", "path"))
            hint = "save results in a folder of their own, or under names that nothing else has"
            found[job.address] = Problem(place=place, code="destroying-result", message=told, hint=hint)
    return found


def _needed(jobs: Sequence[Job]) -> Mapping[tuple[str, str], str]:
    """What lies at which path, by the recipe that must not overwrite it."""
    overwriting = {job.recipe for job in jobs if job.save.on_conflict == "overwrite"}
    if not overwriting:
        return {}
    recipes = {str(job.draft.recipe.file) for job in jobs}
    sources = {
        (job.recipe, str(file.path)): f"a source of {job.address}"
        for job in jobs
        if job.recipe in overwriting
        for files in job.contents
        for file in files
    }
    return {(name, file): "a recipe" for name in overwriting for file in recipes} | sources


def _told(job: Job, needed: Mapping[tuple[str, str], str], state: str, run_date: str) -> str:
    overwrites = job.save.on_conflict == "overwrite"
    if not overwrites and not f"{job.save.base}/".startswith(state):  # in most cases, and asked for every job
        return ""
    for path in _places(job, run_date):
        if path.startswith(state):
            return f"{job.address}: its result would be saved as {path}, among what the runner itself remembers"
        if overwrites and (what := needed.get((job.recipe, path))):
            return f"{job.address}: its result would replace {path}, which is {what}"
    return ""


def _places(job: Job, run_date: str) -> tuple[str, ...]:
    try:
        return job.expected_paths(run_date=run_date) or job.save.places_for(("x",), run_date=run_date)
    except InvalidError:  # told elsewhere
        return ()
