"""Results that would take the place of what the work needs, as far as their names are foreseen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from runner.compile.job import Job
from runner.compile.links import NO_LINKS, Links
from runner.compile.needed import Needed
from runner.errors import InvalidError, Problem


def destroying(jobs: Sequence[Job], needed: Needed, *, run_date: str, links: Links = NO_LINKS) -> Mapping[str, Problem]:
    """By address, which of `jobs` would replace what is `needed`, or make what nobody but a person may.

    Only `on_conflict = "overwrite"` lets a result replace what isn't one.
    """
    found = {}
    for job in jobs:
        if told := _told(job, needed, links, run_date):
            place = job.draft.recipe.locate(("save", "path"))
            hint = "save results in a folder of their own, or under names that nothing else has"
            found[job.address] = Problem(place=place, code="destroying-result", message=told, hint=hint)
    return found


def _told(job: Job, needed: Needed, links: Links, run_date: str) -> str:
    overwrites = job.save.on_conflict == "overwrite"
    folder = str(job.save.folder)
    for path in foreseen(job, run_date=run_date):
        real = links.real(path)
        what = needed.never(path, folder=folder)
        if what or (real != path and (what := needed.never(real, folder=links.real_folder(folder)))):
            return f"{job.address}: its result would be saved as {path}, and be taken for {what}"
        if overwrites and (what := needed.there(real, recipe=job.recipe)):
            return f"{job.address}: its result would replace {path}, which is {what}"
    return ""


def foreseen(job: Job, *, run_date: str) -> tuple[str, ...]:
    """Where results of `job` would lie, as far as that makes a difference here."""
    if not job.expected and job.save.on_conflict != "overwrite":
        return (f"{job.save.base}/x",)  # whatever the name will be
    try:
        return job.expected_paths(run_date=run_date) or job.save.places_for(("x",), run_date=run_date)
    except InvalidError:  # told elsewhere
        return ()
