"""Which files are recipes: what is named is one, and of a folder all `*.recipe.toml` and `*.recipe.json` below it.

Folders that results and caches live in are skipped, and what git ignores.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from runner.errors import Place, Problem

ENDINGS = (".recipe.toml", ".recipe.json")
SKIPPED = frozenset({"out", ".git", ".venv", ".runner"})


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """Files in sorted order, each once, absolute; problems for names that lead nowhere."""

    files: tuple[Path, ...]
    problems: tuple[Problem, ...]


def find_recipes(paths: Sequence[Path]) -> Found:
    """The recipe files that `paths` mean. Never raises."""
    files: dict[Path, None] = {}
    problems: list[Problem] = []
    for path in paths:
        absolute = Path(os.path.abspath(path))
        if not absolute.is_dir():
            files |= _named(absolute, problems)
            continue
        before = len(problems)
        below = _without_ignored(absolute, sorted(_below(absolute, problems)))
        files |= dict.fromkeys(map(Path, below))
        if not below and len(problems) == before:
            message = "no recipe in this folder"
            hint = "recipes are files called NAME.recipe.toml or NAME.recipe.json"
            problems.append(Problem(place=Place(file=absolute), code="no-recipes", message=message, hint=hint))
    return Found(files=tuple(files), problems=tuple(problems))


def default_name(file: Path) -> str:
    """The file's name up to `.recipe.`, or up to its ending."""
    name = file.name
    for ending in (".toml", ".json"):
        name = name.removesuffix(ending)
    return name.removesuffix(".recipe") or file.name


def _named(file: Path, problems: list[Problem]) -> dict[Path, None]:
    if file.name.endswith((".toml", ".json")) or not file.exists():
        return {file: None}
    message = "a recipe's name ends in .toml or .json"
    problems.append(Problem(place=Place(file=file), code="not-a-recipe", message=message, secret=True))
    return {}


def _below(folder: Path, problems: list[Problem]) -> Iterator[str]:
    """Recipes below a folder; links to folders are never followed, so that none of them is a loop."""
    pending = [str(folder)]
    while pending:
        here = pending.pop()
        try:
            with os.scandir(here) as entries:
                for entry in entries:
                    if entry.name.endswith(ENDINGS) and not entry.is_dir(follow_symlinks=False):
                        yield entry.path
                    elif entry.name not in SKIPPED and entry.is_dir(follow_symlinks=False):
                        pending.append(entry.path)
        except OSError as error:
            message = f"can't be listed: {error.strerror}"
            problems.append(Problem(place=Place(file=Path(here)), code="not-readable", message=message))


def _without_ignored(folder: Path, files: Sequence[str]) -> Sequence[str]:
    """What git doesn't ignore; all of it without git or a repository."""
    if not files or not any((above / ".git").exists() for above in (folder, *folder.parents)):
        return files
    # Starting programs takes longer to load than checking a recipe; a file that was named needs none.
    kept: Sequence[str] = importlib.import_module("runner.recipe.ignored").not_ignored(folder, files)
    return kept
