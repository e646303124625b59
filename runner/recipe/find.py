"""Which files are recipes: what is named is one, and of a folder all `*.recipe.toml` and `*.recipe.json` below it.

Folders that results and caches live in are skipped, and what git ignores.
"""

from __future__ import annotations

import os
import subprocess
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
    """What git doesn't ignore; all of it without git, without a repository, and in a folder ignored as a whole."""
    if not files or not any((above / ".git").exists() for above in (folder, *folder.parents)):
        return files
    start = len(os.path.join(folder, ""))  # noqa: PTH118 - the length that it has in the strings of `files`
    names = [b"./" + os.fsencode(file[start:]) for file in files]
    ignored = _ignored(folder, names)
    if len(ignored) == len(names) and _ignored(folder.parent, [b"./" + os.fsencode(folder.name)]):
        return files  # somebody who names such a folder means it
    return [file for file, name in zip(files, names, strict=True) if name not in ignored]


def _ignored(folder: Path, names: Sequence[bytes]) -> frozenset[bytes]:
    command = ["git", "-C", os.fspath(folder), "check-ignore", "-z", "--stdin"]
    asked = b"\0".join(names)
    try:
        done = subprocess.run(command, input=asked, capture_output=True, check=False, timeout=60)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired):
        return frozenset()
    return frozenset(done.stdout.split(b"\0")) - {b""} if done.returncode == 0 else frozenset()
