"""A recipe as values: what the file says, in one form, templates and secret references as they were written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from runner.errors import Place, Problem
from runner.recipe.finding import Steps
from runner.recipe.place import Layer, place_in
from runner.wire.values import Json, JsonObject

OnConflict = Literal["error", "skip", "overwrite", "rename"]
DEFAULT_SAVE = "out/{recipe.name}/{item.dir}/{output.filename}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Bucket:
    """Objects in cloud storage: `parameters` as in a cloud input with `prefix` for `file`, secrets as references.

    match  globs over whole names, empty for all
    """

    source: str
    parameters: JsonObject
    credentials: JsonObject
    match: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Foreach:
    """One job per item. `patterns` and `exclude` are globs, `rows` a path, all relative to the recipe's folder."""

    kind: Literal["files", "rows", "matrix", "bucket"]
    patterns: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    rows: str = ""
    matrix: Mapping[str, tuple[Json, ...]] = field(default_factory=dict)
    bucket: Bucket | None = None
    max_items: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Save:
    """Where results go: `path` is a template, relative to the recipe's folder."""

    path: str
    on_conflict: OnConflict = "error"


@dataclass(frozen=True, kw_only=True, slots=True)
class Budget:
    """Credits of all jobs of the recipe together; `job` is the cap of one, `limits.job.max_credit`."""

    run: int | None = None
    day: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Recipe:
    """A checked recipe.

    file    absolute; `folder` is where its relative paths start
    job     the API's own fields in normal form
    layers  the files it was merged from, the topmost first
    """

    file: Path
    folder: Path
    name: str
    description: str = ""
    owner: str = ""
    tags: tuple[str, ...] = ()
    vars: Mapping[str, Json] = field(default_factory=dict)
    epoch: int = 0
    foreach: Foreach | None = None
    job: JsonObject = field(default_factory=dict)
    save: Save | None = None
    budget: Budget | None = None
    retry: int = 0
    deadline_s: float | None = None
    after: tuple[str, ...] = ()
    layers: tuple[Layer, ...] = ()

    def locate(self, path: Steps, *, key: bool = False) -> Place:
        """Where the value (or the key) at `path` of the recipe stands, in whichever file says it.

        The nearest place above where the path itself isn't written anywhere. Never raises: a file that is
        gone meanwhile is named with its first line.
        """
        return place_in(self.layers or (Layer(file=self.file),), path, key=key)


@dataclass(frozen=True, kw_only=True, slots=True)
class Loaded:
    """The recipes without errors, and every problem of all `checked` files, in the order of the files."""

    recipes: tuple[Recipe, ...]
    problems: tuple[Problem, ...]
    checked: int
