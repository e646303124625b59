"""Results that would take the place of what the work needs: its sources, a recipe, the runner's own memory."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from runner.compile.job import Job
from runner.errors import InvalidError, Problem


def destroying(jobs: Sequence[Job], everything: Iterable[Job], *, state: Path, run_date: str) -> Mapping[str, Problem]:
    """By address, which of `jobs` would replace a source or a recipe of `everything`, or lie in the `state` folder.

    Only `on_conflict = "overwrite"` lets a result replace what isn't one; nobody may save among the state.
    """
    needed = _Needed(everything)
    found = {}
    for job in jobs:
        told = _told(job, needed, f"{state}/", run_date)
        if told:
            place = job.draft.recipe.locate(("save", "path"))
            hint = "save results in a folder of their own, or under names that nothing else has"
            found[job.address] = Problem(place=place, code="destroying-result", message=told, hint=hint)
    return found


class _Needed:
    """What the jobs read; gathered when somebody would overwrite."""

    def __init__(self, jobs: Iterable[Job]) -> None:
        self._jobs = jobs
        self._paths: dict[str, str] | None = None

    def what(self, path: str) -> str:
        """What lies at `path`, "" where nothing does that is needed."""
        if self._paths is None:
            self._paths = {}
            for job in self._jobs:
                self._paths[str(job.draft.recipe.file)] = "a recipe"
                for files in job.contents:
                    self._paths.update({str(file.path): f"a source of {job.address}" for file in files})
        return self._paths.get(path, "")


def _told(job: Job, needed: _Needed, state: str, run_date: str) -> str:
    overwrites = job.save.on_conflict == "overwrite"
    if not overwrites and not f"{job.save.base}/".startswith(state):  # in most cases, and asked for every job
        return ""
    for path in _places(job, run_date):
        if path.startswith(state):
            return f"{job.address}: its result would be saved as {path}, among what the runner itself remembers"
        if overwrites and (what := needed.what(path)):
            return f"{job.address}: its result would replace {path}, which is {what}"
    return ""


def _places(job: Job, run_date: str) -> tuple[str, ...]:
    try:
        return job.expected_paths(run_date=run_date) or job.save.places_for(("x",), run_date=run_date)
    except InvalidError:  # told elsewhere
        return ()
