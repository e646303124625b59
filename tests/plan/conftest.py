"""Jobs of real recipes and states as a run log folds them, for plans made in memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from runner.compile import FileContent, Item, Job, drafts_of, jobs_of
from runner.recipe.model import Foreach, Recipe, Save
from runner.state import KeyState, Stage

MakeJob = Callable[..., Job]
FOLDER = Path("/srv/shop")
TODAY = "2026-11-23"


def make_job(
    item: str = "a.jpg",
    *,
    quality: object = 80,
    digest: str = "",
    cap: int | None = 2,
    retry: int = 0,
    save: str = "out/{item.name}.{output.ext}",
    on_conflict: str = "error",
    **recipe: object,
) -> Job:
    """The job of one picture in the recipe "shop"; equal digests are equal pictures."""
    made = Recipe(
        file=FOLDER / "shop.recipe.toml",
        folder=FOLDER,
        name="shop",
        foreach=Foreach(kind="files", patterns=("*.jpg",)),
        job={
            "input": [{"type": "upload", "source": "{item.path}"}],
            "conversion": [{"target": "webp", "options": {"quality": quality}}],
            **({} if cap is None else {"limits": {"job": {"max_credit": cap}}}),
        },
        retry=retry,
        save=Save(path=save, on_conflict=on_conflict),  # type: ignore[arg-type]  # tables of cases hold plain text
    )
    made = replace(made, **recipe)  # type: ignore[arg-type]  # whatever the case varies
    stem = item.rpartition(".")[0]
    (draft,) = drafts_of(made, [Item(label=item, values={"path": item, "name": item, "stem": stem, "dir": ""})])
    sha256 = (digest or item).encode().hex().rjust(64, "0")
    content = FileContent(path=FOLDER / item, size_bytes=7, sha256=sha256, md5="0" * 32)
    job, problems = jobs_of(draft, [[content]], endpoint="local")
    assert job is not None
    assert problems == ()
    return job


def state_of(job: Job, stage: Stage, **more: Any) -> KeyState:
    known: dict[str, Any] = {
        "key": job.key,
        "attempt": 1,
        "stage": stage,
        "addresses": frozenset({job.address}),
        "payload": job.payload_for(run_date=TODAY),
        "recipe": job.recipe,
        "job_id": "job-1",
    }
    return KeyState(**(known | more))


@pytest.fixture
def job() -> MakeJob:
    return make_job
