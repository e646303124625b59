"""From paths on the command line to jobs: load, list, expand, digest, compile. Effects are all here.

What is wrong with a recipe stops everything before anything is sent. What is wrong with one input refuses that
item alone: the others are done.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from runner.compile import Draft, FileContent, Item, Job, UploadSource, drafts_of, items_of, jobs_of, shared_paths
from runner.errors import InvalidInput, Problem
from runner.inventory import Digests, FileFact, FileProblem, digests, list_files, stat_file
from runner.recipe import Loaded, Recipe, load_recipes
from runner.resources import catalog_document
from runner.runlog import RunLog
from runner.wire.catalog import Catalog

HASHED_AT_ONCE = 4


@dataclass(frozen=True, kw_only=True, slots=True)
class Refusal:
    """An address that can't be compiled, and why."""

    address: str
    problem: Problem


@dataclass(frozen=True, kw_only=True, slots=True)
class Prepared:
    jobs: tuple[Job, ...]
    refusals: tuple[Refusal, ...]


@dataclass(kw_only=True, slots=True)
class _Shelf:
    """What is gathered on the way: drafts with their files, and what was refused."""

    drafts: list[tuple[Draft, list[list[FileFact]]]] = field(default_factory=list)
    refusals: list[Refusal] = field(default_factory=list)
    facts: dict[Path, FileFact] = field(default_factory=dict)

    def refuse(self, address: str, problem: Problem) -> None:
        self.refusals.append(Refusal(address=address, problem=problem))


def load(paths: Sequence[Path], *, profile: str | None, overrides: Mapping[str, str]) -> Loaded:
    """The recipes at `paths`. Raises InvalidInput with every problem of all of them."""
    loaded = load_recipes(paths, catalog=Catalog.read(catalog_document()), profile=profile, overrides=overrides)
    if any(problem.severity == "error" for problem in loaded.problems):
        raise InvalidInput(loaded.problems)
    return loaded


def raise_refusals(prepared: Prepared) -> None:
    """Raises InvalidInput where anything was refused."""
    if prepared.refusals:
        raise InvalidInput(tuple(dict.fromkeys(refusal.problem for refusal in prepared.refusals)))


async def prepare(recipes: Sequence[Recipe], *, project: Path, endpoint: str, log: RunLog, run_date: str) -> Prepared:
    """The jobs of `recipes`. `log` remembers digests, so that unchanged files aren't read again."""
    shelf = _Shelf()
    for recipe in recipes:
        for draft in drafts_of(recipe, _items(recipe, project, shelf)):
            files = [_files_of(draft, source, project, shelf) for source in draft.sources]
            if all(files):
                shelf.drafts.append((draft, files))
    known = await _digests(shelf, log)
    compiled = list(_compile(shelf, known, endpoint=endpoint))
    clashes = {
        address: problem for problem, addresses in shared_paths(compiled, run_date=run_date) for address in addresses
    }
    for address, problem in clashes.items():
        shelf.refuse(address, problem)
    jobs = tuple(job for job, _ in compiled if job.address not in clashes)
    return Prepared(jobs=jobs, refusals=tuple(shelf.refusals))


def _items(recipe: Recipe, project: Path, shelf: _Shelf) -> tuple[Item, ...]:
    foreach = recipe.foreach
    paths: list[str] = []
    table = ""
    if foreach is not None and foreach.kind == "files":
        listing = list_files(recipe.folder, foreach.patterns, foreach.exclude, root=project)
        for found in listing.problems:
            shelf.refuse(
                f"{recipe.name}[{found.path}]", _input_problem(recipe, ("foreach", "files", found.pattern), found)
            )
        shelf.facts.update({fact.absolute: fact for fact in listing.files})
        paths = [fact.path for fact in listing.files]
        if not paths and listing.problems:
            return ()
    elif foreach is not None and foreach.kind == "rows":
        try:
            table = (recipe.folder / foreach.rows).read_text(encoding="utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            why = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
            message = f"{foreach.rows} can't be read: {why}"
            unread = FileProblem(path=foreach.rows, code="unreadable-file", message=message)
            shelf.refuse(recipe.name, _input_problem(recipe, ("foreach", "rows"), unread))
            return ()
    items, problems = items_of(recipe, files=paths, table=table)
    for problem in problems:
        shelf.refuse(recipe.name, problem)
    return () if problems else items


def _files_of(draft: Draft, source: UploadSource, project: Path, shelf: _Shelf) -> list[FileFact]:
    """The files that one local source means; empty where it was refused."""
    at = ("input", source.input_index, "source")
    folder = draft.recipe.folder
    if source.is_glob:
        listing = list_files(folder, (source.source,), root=project)
        files, wrong = listing.files, listing.problems
        if not files and not wrong:
            message = f"{source.source!r} matches no file in {folder}"
            wrong = (FileProblem(path=source.source, code="no-match", message=message),)
    else:
        found = shelf.facts.get(folder / source.source) or stat_file(folder, source.source, root=project)
        files, wrong = ((found,), ()) if isinstance(found, FileFact) else ((), (found,))
    for each in wrong:
        shelf.refuse(draft.address, _input_problem(draft.recipe, at, each))
    return [] if wrong else list(files)


def _input_problem(recipe: Recipe, at: tuple[str | int, ...], found: FileProblem) -> Problem:
    return Problem(place=recipe.locate(at), code=found.code, message=found.message, hint=found.hint)


async def _digests(shelf: _Shelf, log: RunLog) -> Digests:
    wanted = (fact for _, sources in shelf.drafts for files in sources for fact in files)
    return await digests(wanted, log, now=time.time, jobs=HASHED_AT_ONCE)


def _compile(shelf: _Shelf, known: Digests, *, endpoint: str) -> Iterator[tuple[Job, Draft]]:
    for draft, sources in shelf.drafts:
        contents = [
            _contents(draft, source, files, known, shelf) for source, files in zip(draft.sources, sources, strict=True)
        ]
        if not all(contents):
            continue
        job, problems = jobs_of(draft, contents, endpoint=endpoint)
        for problem in problems:
            shelf.refuse(draft.address, problem)
        if job is not None and not problems:
            yield job, draft


def _contents(
    draft: Draft,
    source: UploadSource,
    files: Sequence[FileFact],
    known: Digests,
    shelf: _Shelf,
) -> list[FileContent]:
    contents: list[FileContent] = []
    for fact in files:
        unread = known.problems.get(fact.absolute)
        if unread is not None:
            shelf.refuse(draft.address, _input_problem(draft.recipe, ("input", source.input_index, "source"), unread))
            return []
        digest = known.found[fact.absolute]
        contents.append(FileContent(path=fact.absolute, size_bytes=digest.size, sha256=digest.sha256, md5=digest.md5))
    return contents
