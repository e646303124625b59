"""Keeps results off what the work needs where they are put, whatever a server called them and wherever links lead."""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path

from runner.execute.faults import DeliveryError
from runner.plan import Job, Needed

_WAITS = "the result is bought and waits on the server: run again with another save.path, and nothing is bought again"


class Guard:
    def __init__(self, needed: Needed) -> None:
        self._needed = needed

    def require_harmless(self, path: Path, job: Job) -> None:
        """Raises DeliveryError where a file at `path` would be taken for a recipe, settings or the like."""
        folder = job.save.folder
        what = self._needed.never(str(path), folder=str(folder))
        what = what or self._needed.never(_real(path), folder=_real_folder(folder))
        if what:
            raise DeliveryError(f"a result called {path} would be taken for {what}", hint=_WAITS)

    def require_dispensable(self, path: Path, job: Job) -> None:
        """Raises DeliveryError where what lies at `path` is needed."""
        if what := self._needed.there(_real(path), recipe=job.recipe):
            raise DeliveryError(f"{path} is {what}, which a result doesn't replace", hint=_WAITS)


def _real(path: Path) -> str:
    """`path` with all links on its way resolved; a link at its end is what would be replaced itself."""
    return f"{_real_folder(path.parent).rstrip('/')}/{path.name}"


@lru_cache(maxsize=4096)
def _real_folder(folder: Path) -> str:
    return os.path.realpath(folder)
