"""The links among the folders that a plan is about."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path

from runner.compile import Job, Links, foreseen, parts_of
from runner.inventory import linked_folders
from runner.recipe.model import Recipe


def links_among(
    jobs: Sequence[Job], recipes: Iterable[Recipe], *, results: Iterable[str], state: Path, run_date: str
) -> Links:
    """
    results  paths of what earlier runs delivered
    state    the folder of the run log
    """
    folders = {str(job.save.folder) for job in jobs} | {str(state), str(state.parent)}
    parts = (path for recipe in recipes for path, _ in parts_of(recipe))
    folders.update(path.rpartition("/")[0] for path in chain(_paths_of(jobs, run_date), parts, results))
    return Links(folders=linked_folders(folders))


def _paths_of(jobs: Iterable[Job], run_date: str) -> Iterator[str]:
    for job in jobs:
        yield from (str(file.path) for files in job.contents for file in files)
        yield from foreseen(job, run_date=run_date)
