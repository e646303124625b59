"""Which files a glob names: sorted by code points, the same list on every machine.

Nothing is read here but folders. `**` doesn't follow links to folders, so a loop can't hang it; a link that is named
is followed as long as it stays within the project.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from re import Pattern

from runner.inventory.globs import (
    ANY_FOLDERS,
    is_magic,
    may_be_plain,
    name_matcher,
    path_matcher,
    pattern_parts,
    plain_brackets,
)
from runner.recipe.suggest import nearest


@dataclass(frozen=True, kw_only=True, slots=True)
class FileFact:
    """A file as a stat shows it. `path` is relative to the folder that was listed, with `/`.

    Text and no `Path`, here and in `Digests`: of a million files each would cost more than its stat.
    """

    path: str
    absolute: str
    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int


@dataclass(frozen=True, kw_only=True, slots=True)
class FileProblem:
    """Why a file or folder can't be used; whoever asked knows the place in the recipe. `path` can be printed.

    pattern  the number of the pattern that led to it
    """

    path: str
    code: str
    message: str
    hint: str = ""
    pattern: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Listing:
    """What was found, in order of the paths; `unmatched` are the numbers of patterns that led to nothing."""

    files: tuple[FileFact, ...]
    problems: tuple[FileProblem, ...]
    unmatched: tuple[int, ...] = ()


def list_files(folder: Path, patterns: Sequence[str], exclude: Sequence[str] = (), *, root: Path) -> Listing:
    """The files below `folder` that a pattern names and `exclude` doesn't take out, each once.

    exclude  patterns like the others; what matches a folder takes out all below it
    root     the project: what lies outside of it, by `..` or by a link, is a problem

    A name with brackets means the file or folder of exactly that name where there is one.

    Never raises for what it meets on disk: those are problems of the listing. That a pattern matches nothing is one
    where it can be told what was meant, and where it is the name of a file and nothing else.
    """
    unmatched = []
    search = _Search(folder=folder, root=os.path.realpath(root), excluded=tuple(_excluded(exclude)))
    for search.pattern, pattern in enumerate(patterns):
        if pattern.startswith("/"):
            search.problem(pattern, "absolute-path", "is absolute", "name files relative to the recipe")
        else:
            search.met = False
            search.expand("", pattern_parts(pattern))
            if not search.met and not search.explained(pattern, alone=len(patterns) == 1):
                unmatched.append(search.pattern)
    files = (search.found[path] for path in sorted(search.found))
    problems = (search.problems[path] for path in sorted(search.problems))
    return Listing(files=tuple(files), problems=tuple(problems), unmatched=tuple(unmatched))


def _excluded(patterns: Sequence[str]) -> Iterator[Pattern[str]]:
    for pattern in patterns:
        yield path_matcher(pattern)
        if may_be_plain(pattern):
            yield path_matcher(plain_brackets(pattern))


def stat_file(folder: Path, path: str, *, root: Path) -> FileFact | FileProblem:
    """The one file called `path`, in which no character is special."""
    search = _Search(folder=folder, root=os.path.realpath(root), excluded=())
    if not path or path.startswith("/") or "\0" in path:
        search.problem(path, "absolute-path", "is not a path relative to the recipe", "")
    else:
        search.take(path, missing=True)
    found = next(iter(search.found.values()), None)
    return found or next(iter(search.problems.values()))


def shown(path: str) -> str:
    """`path` for a message: control characters and bytes that are no UTF-8 as escapes."""
    return "".join(
        char
        if char.isprintable()
        else char.encode("utf-8", "surrogateescape").decode("ascii", "backslashreplace")
        if not char.isascii()
        else char.encode("unicode_escape").decode("ascii")
        for char in path
    )


def _in_folder(path: str) -> str:
    name = shown(path.rstrip("/"))
    return f"name a file in it, or write '{name}/*' for all of them, '{name}/**' with those of the folders below"


_CHOICE = re.compile(r"\{[^{}]*,[^{}]*\}")


def _spelling(path: str) -> str:
    """What of other globs and other systems isn't understood in `path`, which names nothing."""
    if _CHOICE.search(path):
        return "braces aren't special in a glob; foreach.files takes an array of globs"
    if "\\" in path:
        slashed = path.replace("\\", "/")
        return f"folders are parted by slashes: '{shown(slashed)}'"
    return ""


@dataclass(kw_only=True, slots=True)
class _Search:
    """One listing on its way.

    prefix  `folder` with its slash
    met     whether the pattern led to anything, be it excluded or a problem
    """

    folder: Path
    root: str
    excluded: tuple[Pattern[str], ...]
    found: dict[str, FileFact] = field(default_factory=dict)
    problems: dict[str, FileProblem] = field(default_factory=dict)
    pattern: int = 0
    met: bool = False
    prefix: str = field(init=False)

    def __post_init__(self) -> None:
        self.prefix = str(self.folder).rstrip("/") + "/"

    def problem(self, path: str, code: str, message: str, hint: str = "") -> None:
        self.met = True
        name = shown(path)
        self.problems[name] = FileProblem(
            path=name, code=code, message=f"'{name}' {message}", hint=hint, pattern=self.pattern
        )

    def expand(self, at: str, parts: tuple[str, ...]) -> None:
        """Take what `parts` name below the folder `at` ("" or ending in "/")."""
        if not parts:
            return
        first, rest = parts[0], parts[1:]
        if first == ANY_FOLDERS:
            self._anywhere(at, rest)
        elif is_magic(first):
            for entry in self._matching(at, first, folders=bool(rest)):
                self._go_on(at + entry.name, rest, entry=entry)
        else:
            self._go_on(at + first, rest, entry=None)

    def _matching(self, at: str, part: str, *, folders: bool) -> list[os.DirEntry[str]]:
        entries = list(self._entries(at))
        matches = name_matcher(part).match
        return self._of_that_name(at, part, entries, folders=folders) or [one for one in entries if matches(one.name)]

    def _of_that_name(
        self, at: str, part: str, entries: Sequence[os.DirEntry[str]], *, folders: bool
    ) -> list[os.DirEntry[str]]:
        named = (one for one in entries if one.name == part) if may_be_plain(part) else ()
        return [one for one in named if self._is_folder(at + part, one) == folders]

    def explained(self, pattern: str, *, alone: bool) -> bool:
        """Whether it can be told why a pattern led to nothing, which is a problem then; `alone`: there is no other."""
        if pattern and os.path.isdir(self.folder / pattern):  # noqa: PTH112 - never raises
            self.problem(pattern, "not-a-file", "is a folder, not a file", _in_folder(pattern))
        elif hint := _spelling(pattern) or self._brackets(pattern, alone=alone):
            self.problem(pattern, "no-match", "matches no file", hint)
        elif pattern and not is_magic(pattern):
            self.take("/".join(pattern_parts(pattern)), missing=True)
        return self.met

    def _brackets(self, pattern: str, *, alone: bool) -> str:
        """How to write a name with brackets; beside other patterns only where there is such a file."""
        plain = plain_brackets(pattern)
        if plain == pattern or not (alone or self._finds(plain)):
            return ""
        return f"[...] is one of its characters; with brackets in the name it is '{shown(plain)}'"

    def _finds(self, pattern: str) -> bool:
        search = _Search(folder=self.folder, root=self.root, excluded=())
        search.expand("", pattern_parts(pattern))
        return bool(search.found)

    def _anywhere(self, at: str, rest: tuple[str, ...]) -> None:
        """`**`: here and in every folder below, without following links."""
        waiting = [at]
        while waiting:
            here = waiting.pop()
            self.expand(here, rest or ("*",))
            waiting += [
                f"{here}{entry.name}/"
                for entry in self._entries(here)
                if not entry.name.startswith(".") and entry.is_dir(follow_symlinks=False)
                if not self._is_excluded(here + entry.name)
            ]

    def _go_on(self, path: str, rest: tuple[str, ...], *, entry: os.DirEntry[str] | None) -> None:
        if self._is_excluded(path):
            return
        if not rest:
            self.take(path, entry=entry)
        elif self._is_folder(path, entry):
            self.expand(path + "/", rest)

    def _is_folder(self, path: str, entry: os.DirEntry[str] | None) -> bool:
        if entry is not None and not entry.is_symlink():
            return entry.is_dir(follow_symlinks=False)
        absolute = self.folder / path
        return absolute.is_dir() and self._is_inside(path)

    def take(self, path: str, *, entry: os.DirEntry[str] | None = None, missing: bool = False) -> None:
        """Add a file, unless it is a folder; `missing` makes a problem of both a folder and nothing."""
        try:
            found = (self.folder / path).stat() if entry is None else entry.stat()
            linked = entry is None or entry.is_symlink()
        except OSError as error:
            if entry is not None or missing or not isinstance(error, FileNotFoundError | NotADirectoryError):
                self._unusable(path, error)
            return
        if stat.S_ISDIR(found.st_mode):
            if missing:
                self.problem(path, "not-a-file", "is a folder, not a file", _in_folder(path))
        elif not stat.S_ISREG(found.st_mode):
            self.problem(path, "not-a-file", "is not a regular file", "a pipe, socket or device can't be uploaded")
        elif self._is_readable_name(path) and (not linked or self._is_inside(path)):
            self.met = True
            path = self._straight(path, found)
            if self._is_excluded(path):
                return
            self.found[path] = FileFact(
                path=path,
                absolute=str(self.folder / path) if entry is None else self.prefix + path,
                size=found.st_size,
                mtime_ns=found.st_mtime_ns,
                ctime_ns=found.st_ctime_ns,
                inode=found.st_ino,
            )

    def _straight(self, path: str, found: os.stat_result) -> str:
        """`path` without folders that it enters and leaves again, unless a link on the way makes it another file."""
        if ".." not in path.split("/"):
            return path
        straight = os.path.relpath(os.path.normpath(self.prefix + path), self.folder)
        try:
            return straight if os.path.samestat((self.folder / straight).stat(), found) else path
        except OSError:
            return path

    def _unusable(self, path: str, error: OSError) -> None:
        if isinstance(error, FileNotFoundError):
            what = "is a link to something that isn't there" if (self.folder / path).is_symlink() else "isn't there"
            self.problem(path, "missing-file", what, self._near(path))
        else:
            self.problem(path, "unreadable-file", f"can't be looked at: {error.strerror}")

    def _near(self, path: str) -> str:
        """The name beside it that was perhaps meant."""
        at, slash, name = path.rpartition("/")
        near = nearest(name, (entry.name for entry in self._entries(at + slash) if entry.name != name))
        if near is not None:
            return f"did you mean '{shown(at + slash + near)}'?"
        return _spelling(path) or "paths are relative to the recipe"

    def _is_readable_name(self, path: str) -> bool:
        try:
            path.encode()
        except UnicodeEncodeError:
            self.problem(path, "name-not-utf8", "has a name that is not UTF-8", "rename the file")
            return False
        return True

    def _is_inside(self, path: str) -> bool:
        real = os.path.realpath(self.folder / path)
        if real == self.root or real.startswith(self.root.rstrip("/") + "/"):
            return True
        self.problem(path, "outside-project", "leads out of the project", "copy the file, or move the recipe")
        return False

    def _is_excluded(self, path: str) -> bool:
        excluded = bool(self.excluded) and any(matcher.match(path) for matcher in self.excluded)
        self.met = self.met or excluded
        return excluded

    def _entries(self, at: str) -> Iterator[os.DirEntry[str]]:
        try:
            with os.scandir(self.folder / at) as entries:
                yield from list(entries)
        except (FileNotFoundError, NotADirectoryError):
            return
        except OSError as error:
            self.problem(at or ".", "unreadable-folder", f"can't be listed: {error.strerror}")
