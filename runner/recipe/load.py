"""Recipes as values: checked like in `check.py`, and made where there is no error."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from runner.recipe.build import build_recipe
from runner.recipe.check import Examiner, Wanted, all_problems
from runner.recipe.find import find_recipes
from runner.recipe.model import Loaded
from runner.wire.catalog import Catalog


def load_recipes(
    paths: Sequence[Path],
    *,
    catalog: Catalog,
    profile: str | None = None,
    overrides: Mapping[str, str] | None = None,
) -> Loaded:
    """The recipes in `paths`, files and folders, as values. Reads only; what is wrong with them is in `problems`."""
    found = find_recipes(paths)
    wanted = Wanted(catalog=catalog, profile=profile, overrides=overrides or {})
    examiner = Examiner(wanted=wanted, build=build_recipe)
    examined = [examiner.examine(file) for file in found.files]
    problems = all_problems(found, examined, wanted)
    bad = {problem.place.file for problem in problems if problem.severity == "error"}
    recipes = tuple(one.recipe for one in examined if one.recipe is not None and one.file not in bad)
    return Loaded(recipes=recipes, problems=problems, checked=len(found.files))
