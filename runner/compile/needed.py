"""What the work itself needs, and no result may take the place of: sources, recipes, settings, the runner's own memory.

Most names of results come from a server. So it is asked before anything is bought, as far as names are foreseen, and
again where a result is put.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from runner.compile.job import Job
from runner.compile.links import NO_LINKS, Links
from runner.recipe.find import ENDINGS
from runner.recipe.model import Recipe

SETTINGS_NAME = "runner.toml"
_FOLDERS = frozenset({".git", ".runner"})
_LONGEST = max(map(len, ENDINGS))


@dataclass(frozen=True, kw_only=True, slots=True)
class Needed:
    """
    All paths are as they are with links followed, and of the folder of the run log those, too, that lead there.

    state    the folder of the run log
    sources  by path the recipes that take what lies there, each with an address that does
    parts    by path what else the recipes are made from
    behind   by recipe those that come after it: what they take are its results
    results  of the sources those that earlier runs delivered: they stay results, whoever takes them
    """

    state: tuple[str, ...] = ()
    sources: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    parts: Mapping[str, str] = field(default_factory=dict)
    behind: Mapping[str, Collection[str]] = field(default_factory=dict)
    results: Collection[str] = frozenset()

    def never(self, path: str, *, folder: str) -> str:
        """What a file at `path` would be taken for, whoever names it and whether or not there is one already; "" where
        it is a file like any other. `folder` is that of the recipe: what lies above it isn't looked at."""
        for state in self.state:
            if path.startswith(state) and path[len(state) :][:1] in ("", "/"):
                return "what the runner itself remembers"
        if path[-_LONGEST:].lower().endswith(ENDINGS):
            return "a recipe"
        if path.endswith(f"/{SETTINGS_NAME}"):
            return "the runner's settings"
        if "/." in path and (hidden := _FOLDERS.intersection(path.split("/"))):
            return f"a part of {min(hidden)}" if not hidden.issubset(folder.split("/")) else ""
        return ""

    def there(self, path: str, *, recipe: str) -> str:
        """What lies at `path`, links followed, that no result of `recipe` may replace, "" where nothing does."""
        if path in self.parts:
            return self.parts[path]
        takers = self.sources.get(path, {}) if path not in self.results else {}
        behind = self.behind.get(recipe, ())
        return next((f"a source of {address}" for name, address in takers.items() if name not in behind), "")


def needed_by(
    jobs: Sequence[Job],
    recipes: Sequence[Recipe],
    *,
    state: Path,
    links: Links = NO_LINKS,
    results: Iterable[str] = (),
) -> Needed:
    """What `jobs` and the `recipes` they come from need.

    results  what earlier runs delivered; not looked at where no job overwrites
    """
    if not any(job.save.on_conflict == "overwrite" for job in jobs):
        return Needed(state=_paths_to(state, links))  # nobody replaces what isn't a result
    sources: dict[str, dict[str, str]] = defaultdict(dict)
    for job in jobs:
        for files in job.contents:
            for file in files:
                sources[links.real(str(file.path))].setdefault(job.recipe, job.address)
    return Needed(
        state=_paths_to(state, links),
        sources=sources,
        parts={links.real(path): what for recipe in recipes for path, what in parts_of(recipe)},
        behind=_behind(recipes),
        results=frozenset(path for path in map(links.real, results) if path in sources),
    )


def _paths_to(folder: Path, links: Links) -> tuple[str, ...]:
    """As it is spelt, the last link itself, and where that leads."""
    spelt = str(folder)
    return tuple(dict.fromkeys((spelt, links.real(spelt), links.real_folder(spelt))))


def parts_of(recipe: Recipe) -> Iterator[tuple[str, str]]:
    """The files that a recipe is made from, with what each is."""
    yield str(recipe.file), "a recipe"
    for layer in recipe.layers:
        if layer.file != recipe.file:
            yield str(layer.file), f"a file that {recipe.file.name} includes"
    if recipe.foreach and recipe.foreach.rows:
        yield os.path.normpath(recipe.folder / recipe.foreach.rows), f"the file with the rows of {recipe.file.name}"


def _behind(recipes: Iterable[Recipe]) -> Mapping[str, Collection[str]]:
    """By recipe all that come after it, however many are between."""
    after = {recipe.name: set(recipe.after) for recipe in recipes}
    grown = True
    while grown:
        more = {
            name: before | {far for near in before for far in after.get(near, ())} for name, before in after.items()
        }
        grown, after = more != after, more
    return {name: frozenset(one for one, before in after.items() if name in before) for name in after}
