"""Which files a recipe may include: TOML and JSON of its own project, and nothing else that a machine holds.

A recipe may come from somebody else (a pull request, say), and what is wrong with it is printed where many can read it.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from runner.recipe.paths import is_of_project, project_root
from runner.recipe.suggest import shown

MAX_FILES = 100


def include_target(file: Path, name: str) -> Path:
    """The file that `name` means in `file`, links resolved."""
    return Path(os.path.realpath(file.parent / name)) if "\0" not in name else file.parent


def refused(name: str, target: Path, chain: Sequence[Path]) -> tuple[str, str]:
    """Why `target` can't be included by the last file of `chain`, and a hint; two empty texts where it can."""
    if "\0" in name:
        return "a path can't hold the character NUL", ""
    if name.startswith("/"):
        return f"{shown(name)} is absolute; what is included is named relative to the file that does", ""
    if not is_of_project(target, chain[0].parent):
        hint = f"the project is {project_root(chain[0].parent)}: the nearest folder above with runner.toml or .git"
        return f"{shown(name)} leads out of the project", f"{hint}, else the recipe's"
    if target in chain:
        names = [path.name for path in (*chain[chain.index(target) :], target)]
        return f"includes itself: {' -> '.join(names)}", ""
    if len(chain) >= MAX_FILES:
        return f"more than {MAX_FILES} files deep", ""
    if not target.name.endswith((".toml", ".json")):
        return f"{shown(name)} isn't a TOML or JSON file by its name", "what is included ends in .toml or .json"
    return "", ""
