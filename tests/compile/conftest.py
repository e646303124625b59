"""Recipes built in memory, files as values: compile touches no disk."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from runner.compile import FileContent, Item, Job, drafts_of, items_of, jobs_of
from runner.errors import Problem
from runner.recipe.model import Foreach, Recipe

FOLDER = Path("/srv/shop")


def content(path: str, *, sha256: str = "a" * 64) -> FileContent:
    return FileContent(path=FOLDER / path, size_bytes=7, sha256=sha256, md5="0" * 32)


def recipe(job: dict[str, Any], **more: Any) -> Recipe:
    usual: dict[str, Any] = {"file": FOLDER / "shop.recipe.toml", "folder": FOLDER, "name": "shop", "job": job}
    return Recipe(**(usual | more))


def compiled(
    made: Recipe, *, item: Item | None = None, files: Sequence[Sequence[FileContent]] = (), endpoint: str = "local"
) -> tuple[Job | None, tuple[Problem, ...]]:
    (draft,) = drafts_of(made, [item or Item()])
    return jobs_of(draft, files, endpoint=endpoint)


def job_of(made: Recipe, **more: Any) -> Job:
    job, problems = compiled(made, **more)
    assert problems == ()
    assert job is not None
    return job


def file_item(path: str) -> Item:
    """The item of `foreach.files` for `path`."""
    items, _ = items_of(recipe({}, foreach=Foreach(kind="files", patterns=("*",))), files=[path])
    return items[0]


class Kitchen:
    """What the tests of this folder cook with."""

    folder = FOLDER
    content = staticmethod(content)
    recipe = staticmethod(recipe)
    compiled = staticmethod(compiled)
    job_of = staticmethod(job_of)
    file_item = staticmethod(file_item)


@pytest.fixture(scope="session")
def kitchen() -> Kitchen:
    return Kitchen()
