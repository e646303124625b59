"""Results of recipes that aren't planned, at places where those that are would save: they stay, as all others do."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from runner.compile import Job
from runner.plan import RecipeFile
from runner.recipe.find import default_name
from runner.recipe.load import load_recipes
from runner.resources import catalog_document
from runner.state import KeyState, recipe_named_in
from runner.wire.catalog import Catalog


def delivered_to(places: Collection[str], states: Mapping[str, KeyState]) -> dict[str, KeyState]:
    """Of `states` those with results at `places`, which are files and folders."""
    return {key: state for key, state in states.items() if _lies_at(places, state)} if places else {}


def _lies_at(places: Collection[str], state: KeyState) -> bool:
    return any(_is_at(places, file.path) for delivery in state.deliveries.values() for file in delivery.all_files)


def _is_at(places: Collection[str], path: str) -> bool:
    while path and path not in places:
        path = path.rpartition("/")[0]
    return bool(path)


def of_recipes(names: Collection[str], states: Mapping[str, KeyState]) -> dict[str, KeyState]:
    """What `states` say of addresses of these recipes."""
    kept = {
        key: {address: one for address, one in state.deliveries.items() if recipe_named_in(address) in names}
        for key, state in states.items()
    }
    return {key: replace(states[key], deliveries=deliveries) for key, deliveries in kept.items() if deliveries}


def removed(states: Iterable[KeyState], there: Collection[str], project: Path) -> frozenset[str]:
    """The recipes of `states` that were removed, or have another name by now: nobody misses their results.

    One that isn't among those `there` may lie where no folder is searched: so its file must be gone as well, and of
    one whose file the log doesn't know nobody can tell.
    """
    files: dict[str, set[str]] = defaultdict(set)
    for state in states:
        for address, delivery in state.deliveries.items():
            files[recipe_named_in(address)].add(delivery.recipe_file)
    return frozenset(
        name
        for name, its in files.items()
        if name not in there and all(file and not _is_there(RecipeFile(name, file), project) for file in its)
    )


def feeding(names: Collection[str], states: Iterable[KeyState], jobs: Iterable[Job]) -> frozenset[str]:
    """Of these recipes those with results that `jobs` take for sources: somebody misses them after all."""
    results = {
        (recipe_named_in(address), os.path.realpath(file.path))
        for state in states
        for address, delivery in state.deliveries.items()
        for file in delivery.all_files
        if recipe_named_in(address) in names
    }
    if not results:
        return frozenset()
    sources = {os.path.realpath(file.path) for job in jobs for files in job.contents for file in files}
    return frozenset(name for name, path in results if path in sources)


def rivals(jobs: Iterable[Job], states: Iterable[KeyState], project: Path) -> frozenset[RecipeFile]:
    """Recipes that delivered to addresses which `jobs` have now, too, and are still there under that name.

    One that was moved or renamed isn't there any more, and its results are those of the recipe that it is now.
    """
    ours = {job.recipe: job.recipe_file for job in jobs}
    found = set()
    for state in states:
        for address, delivery in state.deliveries.items():
            name, file = recipe_named_in(address), delivery.recipe_file
            if file and ours.get(name, file) != file:
                found.add(RecipeFile(name, file))
    return frozenset(one for one in found if _is_there(one, project))


def _is_there(one: RecipeFile, project: Path) -> bool:
    """Whether the file says that it has the name; one that can't be read has that of its file."""
    path = project / one.file
    if not path.is_file():
        return False
    loaded = load_recipes([path], catalog=Catalog.read(catalog_document())).recipes
    return (loaded[0].name if loaded else default_name(path)) == one.name


def recipes_there(project: Path) -> frozenset[str] | None:
    """The names of all recipes of a project; None where one can't be read, and so might have any name."""
    loaded = load_recipes([project], catalog=Catalog.read(catalog_document()))
    if any(problem.severity == "error" for problem in loaded.problems):
        return None
    return frozenset(recipe.name for recipe in loaded.recipes)
