"""Names of files in recipes: they stay inside the project, and a place for results names a file."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from runner.recipe.finding import Finding, Steps
from runner.recipe.suggest import nearest, shown
from runner.recipe.template import ROOTS
from runner.wire.values import Json

_UNCLOSED = re.compile(r"\{(?:item|vars|recipe|run|output)\.[^{}]*(?:\{|$)")
_BRACED = re.compile(r"\{(\w+)(?:\.([^{}]*))?\}")
_OF_OUTPUT = ("filename", "stem", "ext", "index")


def save_path_findings(save: Json, folder: Path) -> Iterator[Finding]:
    """What is wrong with a `save.path`."""
    if isinstance(save, str):
        yield from inside_project(save, ("save", "path"), folder, absolute=True)
        yield from _no_folder(save)
        yield from _no_home(save)
        yield from _stray_braces(save)


def inside_project(name: str, path: Steps, folder: Path, *, absolute: bool = False) -> Iterator[Finding]:
    """Paths stay inside the project. Where links lead is seen only when files are listed."""
    if "\0" in name:
        yield Finding(path=path, code="wrong-form", message="a path can't hold the character NUL")
    elif name.startswith("/") and not absolute:
        message = f"{shown(name)} is absolute; paths are relative to the recipe"
        hint = "so that the recipe means the same on every machine"
        yield Finding(path=path, code="outside-project", message=message, hint=hint)
    elif ".." in name.split("/") and not name.startswith("/"):
        root = project_root(folder)
        if not Path(os.path.normpath(folder / name)).is_relative_to(root):
            message = f"{shown(name)} leads out of the project"
            hint = f"the project is {root}: the nearest folder above with runner.toml or .git, else the recipe's"
            yield Finding(path=path, code="outside-project", message=message, hint=hint)


@lru_cache(maxsize=1024)
def project_root(folder: Path) -> Path:
    """The nearest folder at or above `folder` with `runner.toml` or `.git`, else `folder` itself."""
    for above in (folder, *folder.parents):
        if (above / "runner.toml").exists() or (above / ".git").exists():
            return above
    return folder


def is_of_project(file: Path, folder: Path) -> bool:
    """Whether `file` lies in the project of `folder`, wherever links lead."""
    return Path(os.path.realpath(file)).is_relative_to(os.path.realpath(project_root(folder)))


@lru_cache(maxsize=1024)
def may_be_shown(file: Path) -> bool:
    """Whether lines of a file that was taken for a recipe may be printed: a link may have led to anything."""
    return os.path.realpath(file).endswith((".toml", ".json")) and is_of_project(file, file.parent)


def negations(patterns: Json, at: Steps) -> Iterator[Finding]:
    """Globs as other tools know them, where a "!" in front takes out what an earlier one named; ours just add up."""
    for index, pattern in enumerate(patterns if isinstance(patterns, list) else [patterns]):
        if isinstance(pattern, str) and pattern.startswith("!"):
            yield negated(pattern, (*at, index) if isinstance(patterns, list) else at)


def negated(pattern: str, path: Steps) -> Finding:
    message = f"{shown(pattern)} takes nothing out: a '!' in front of a glob has no meaning here"
    if path[:2] == ("foreach", "exclude"):
        hint = "exclude takes out all that it names, and nothing brings a part of that back"
    elif path[0] == "foreach":
        hint = f"write exclude = [{shown(pattern.removeprefix('!'))}] in [foreach]"
    else:
        hint = "list the files with foreach.files, which has exclude beside it"
    hint += f"; a name that begins with it is {shown('./' + pattern)}"
    return Finding(path=path, code="wrong-form", message=message, hint=hint)


def _no_home(save: str) -> Iterator[Finding]:
    if save.startswith("~"):
        message = f"{shown(save)} would make a folder called {shown(save.partition('/')[0])}: there is no shell here"
        hint = "write the path out, or one relative to the recipe; ./~ is a folder of that name"
        yield Finding(path=("save", "path"), code="wrong-form", message=message, hint=hint)


def _stray_braces(save: str) -> Iterator[Finding]:
    """Braces that open none of the known names, so they are just braces, and look as if they were meant to."""
    for found in _UNCLOSED.finditer(save):
        message = f"{shown(found[0])} isn't closed, so the file's name would hold it as it stands"
        yield _no_template(message)
    for found in _BRACED.finditer(save):
        root, name = found[1], found[2]
        if root in ROOTS and name is not None:
            continue
        meant = f"{{output.{root}}}" if root in _OF_OUTPUT and name is None else ""
        near = nearest(root, ROOTS)
        if near and not meant:
            meant = f"{{{near}.{name or 'NAME'}}}"
        if meant:
            message = f"{shown(found[0])} is no template, so the file's name would hold it as it stands"
            yield _no_template(f"{message}; did you mean '{meant}'?")


def _no_template(message: str) -> Finding:
    return Finding(path=("save", "path"), code="no-template", message=message, severity="warning")


def _no_folder(save: str) -> Iterator[Finding]:
    if save and save.rpartition("/")[2] in ("", ".", ".."):
        message = f"{shown(save)} names a folder, and a result is a file"
        hint = f"write {shown(save.removesuffix('/') + '/{output.filename}')}"
        yield Finding(path=("save", "path"), code="wrong-form", message=message, hint=hint)
