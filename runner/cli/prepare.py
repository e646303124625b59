"""From paths on the command line to jobs: load, list, expand, digest, compile. Effects are all here.

What is wrong with a recipe stops everything before anything is sent. What is wrong with one input refuses that
item alone: the others are done.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from runner.cli.accounts import Accounts
from runner.cli.endpoint import ChosenEndpoint
from runner.cli.secrets import resolve_secret
from runner.compile import (
    Draft,
    FileContent,
    Item,
    Job,
    UploadSource,
    asked_name,
    drafts_of,
    items_of,
    jobs_of,
    lacking,
    nothing_left,
    shared_paths,
    shared_targets,
    takes_options_from_items,
    to_revalidate,
    unfit,
    unmatched,
    unspelt,
)
from runner.errors import InvalidError, InvalidInput, Problem
from runner.inventory import Digests, FileFact, FileProblem, digests, list_files, stat_file
from runner.recipe.load import load_recipes
from runner.recipe.model import Foreach, Loaded, Recipe
from runner.resources import catalog_document
from runner.runlog import RunLog
from runner.wire.catalog import Catalog
from runner.wire.secrets import Slot
from runner.wire.values import Json, as_text

HASHED_AT_ONCE = 4


@dataclass(frozen=True, kw_only=True, slots=True)
class Refusal:
    """An address that can't be compiled, and why."""

    address: str
    problem: Problem


@dataclass(frozen=True, kw_only=True, slots=True)
class Prepared:
    """What a plan is made of. `compiled` are the jobs with those that are refused since they want one place."""

    jobs: tuple[Job, ...]
    refusals: tuple[Refusal, ...]
    compiled: tuple[Job, ...]
    warnings: tuple[Problem, ...] = ()

    def without(self, refused: Mapping[str, Problem]) -> Prepared:
        """Without the jobs at these addresses."""
        if not refused:
            return self
        more = (Refusal(address=address, problem=problem) for address, problem in refused.items())
        jobs = tuple(job for job in self.jobs if job.address not in refused)
        return replace(self, jobs=jobs, refusals=(*self.refusals, *more))


@dataclass(kw_only=True, slots=True)
class _Shelf:
    """What is gathered on the way: drafts with their files, what was refused, and what may be a mistake."""

    drafts: list[tuple[Draft, list[list[FileFact]]]] = field(default_factory=list)
    refusals: list[Refusal] = field(default_factory=list)
    warnings: list[Problem] = field(default_factory=list)
    facts: dict[str, FileFact] = field(default_factory=dict)

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


async def prepare(
    recipes: Sequence[Recipe],
    *,
    endpoint: ChosenEndpoint,
    log: RunLog,
    run_date: str,
    beside: Sequence[Job] = (),
    secrets_may_lack: bool = False,
) -> Prepared:
    """The jobs of `recipes`. `log` remembers digests, so that unchanged files aren't read again.

    beside            jobs of other recipes, which want their places as much
    secrets_may_lack  whether a reference to an account's name that leads to nothing counts as it stands, with a
                      warning; else the item is refused, since nobody knows whose storage it means

    Buckets are listed, and web servers asked about sources with `revalidate`; nothing else leaves this machine.
    """
    shelf = _Shelf()
    project = endpoint.project
    for recipe in recipes:
        for draft in _drafts(recipe, await _items(recipe, endpoint, shelf), shelf):
            files = [_files_of(draft, source, project, shelf) for source in draft.sources]
            if all(files):
                shelf.drafts.append((draft, files))
    accounts = _accounts(shelf, required=not secrets_may_lack)
    seen = await _revalidated(shelf)
    known = await _digests(shelf, log)
    compiled = tuple(_compile(shelf, known, seen, accounts, endpoint=endpoint))
    everything = Prepared(
        jobs=compiled, refusals=tuple(shelf.refusals), compiled=compiled, warnings=tuple(shelf.warnings)
    )
    return everything.without(_clashes(compiled, beside, run_date=run_date))


def _clashes(compiled: Sequence[Job], beside: Sequence[Job], *, run_date: str) -> Mapping[str, Problem]:
    """By address, which of `compiled` want a place that another job wants, too."""
    everything = _by_recipe((*compiled, *beside)) if beside else compiled
    drafts = [(job, job.draft) for job in everything]
    found = (*shared_paths(drafts, run_date=run_date), *shared_targets(drafts, run_date=run_date))
    clashes = {address: problem for problem, addresses in found for address in addresses}
    return {job.address: clashes[job.address] for job in compiled if job.address in clashes} if clashes else {}


def _by_recipe(jobs: Iterable[Job]) -> list[Job]:
    """In one order, whichever of them are planned: a conflict is told once, in the same words."""
    return sorted(jobs, key=lambda job: str(job.draft.recipe.file))


def _drafts(recipe: Recipe, items: Sequence[Item], shelf: _Shelf) -> tuple[Draft, ...]:
    foreach = recipe.foreach
    refused = set()
    for item, problem in (*lacking(recipe, items), *unspelt(recipe, items)):
        shelf.refuse(f"{recipe.name}[{item.label}]", problem)
        refused.add(item.label)
    try:
        return _fit(drafts_of(recipe, [item for item in items if item.label not in refused]), recipe, shelf)
    except InvalidError as error:  # a column that the table doesn't have, which only the table shows
        is_csv = foreach is not None and foreach.rows.lower().endswith(".csv")
        hint = "columns are named as in the first line, and parted by commas" if is_csv else error.hint
        place = recipe.locate(("foreach", foreach.kind if foreach else "files"))
        shelf.refuse(recipe.name, Problem(place=place, code="unknown-name", message=str(error), hint=hint))
        return ()


def _fit(drafts: tuple[Draft, ...], recipe: Recipe, shelf: _Shelf) -> tuple[Draft, ...]:
    """Those whose conversions can be made with what their items say of them."""
    if not takes_options_from_items(recipe):
        return drafts
    refused = set()
    for draft, problem in unfit(drafts, Catalog.read(catalog_document())):
        shelf.refuse(draft.address, problem)
        refused.add(draft.address)
    return tuple(draft for draft in drafts if draft.address not in refused)


async def _items(recipe: Recipe, endpoint: ChosenEndpoint, shelf: _Shelf) -> tuple[Item, ...]:
    """The items of a recipe; none where they can't be known, which is told on the shelf."""
    foreach = recipe.foreach
    paths: Sequence[str] | None = ()
    table: str | None = ""
    objects: Sequence[tuple[str, str]] | None = ()
    if foreach is not None and foreach.kind == "files":
        paths = _paths(recipe, foreach, endpoint.project, shelf)
    elif foreach is not None and foreach.kind == "rows":
        table = _table(recipe, foreach, shelf)
    elif foreach is not None and foreach.kind == "bucket":
        objects = await _objects(recipe, foreach, endpoint, shelf)
    if paths is None or table is None or objects is None:
        return ()
    items, problems = items_of(recipe, files=paths, table=table, objects=objects)
    for problem in problems:
        shelf.refuse(recipe.name, problem)
    return () if problems else items


def _paths(recipe: Recipe, foreach: Foreach, project: Path, shelf: _Shelf) -> Sequence[str] | None:
    listing = list_files(recipe.folder, foreach.patterns, foreach.exclude, root=project)
    for found in listing.problems:
        at = ("foreach", "files", found.pattern)
        shelf.refuse(f"{recipe.name}[{found.path}]", _input_problem(recipe, at, found))
    if listing.files:  # else there are no items, which is told as one problem
        shelf.warnings += (unmatched(recipe, foreach, number) for number in listing.unmatched)
    elif not listing.problems and len(listing.unmatched) < len(foreach.patterns):
        shelf.refuse(recipe.name, nothing_left(recipe))
        return None
    shelf.facts.update({fact.absolute: fact for fact in listing.files})
    return [fact.path for fact in listing.files] if listing.files or not listing.problems else None


def _table(recipe: Recipe, foreach: Foreach, shelf: _Shelf) -> str | None:
    try:
        return (recipe.folder / foreach.rows).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        message = f"{foreach.rows} can't be read: {why}"
        hint = f"paths are relative to {recipe.folder}, also in a file that is included"
        unread = FileProblem(path=foreach.rows, code="unreadable-file", message=message, hint=hint)
        shelf.refuse(recipe.name, _input_problem(recipe, ("foreach", "rows"), unread))
        return None


async def _objects(
    recipe: Recipe, foreach: Foreach, endpoint: ChosenEndpoint, shelf: _Shelf
) -> Sequence[tuple[str, str]] | None:
    from runner.cli.elsewhere.buckets import objects_of
    from runner.cli.elsewhere.stores import store_site

    try:
        return await asyncio.to_thread(objects_of, foreach, store_site(endpoint), folder=recipe.folder)
    except InvalidError as error:
        place = recipe.locate(("foreach", "bucket"))
        problem = Problem(place=place, code="unlisted-bucket", message=str(error), hint=error.hint)
        shelf.refuse(recipe.name, problem)
        return None


def _accounts(shelf: _Shelf, *, required: bool) -> Accounts:
    """What references to names of accounts stand for; where one is `required` and lacks, the draft is refused."""
    accounts = Accounts()
    lacking = [(draft, *lack) for draft, _ in shelf.drafts for lack in accounts.resolve(draft)]
    for draft, slot, error in lacking:
        problem = _unnamed(draft, slot, error, required=required)
        if required:
            shelf.refuse(draft.address, problem)
        elif problem not in shelf.warnings:
            shelf.warnings.append(problem)
    if required and lacking:
        refused = {draft.address for draft, *_ in lacking}
        shelf.drafts = [row for row in shelf.drafts if row[0].address not in refused]
    return accounts


def _unnamed(draft: Draft, slot: Slot, error: InvalidError, *, required: bool) -> Problem:
    said = "and whose storage it is belongs to what the work is"
    return Problem(
        place=draft.recipe.locate(slot),
        severity="error" if required else "warning",
        code="unnamed-account",
        message=f"{error}, {said}" if required else f"{error}, {said}: until it is, done work looks new",
        hint=error.hint,
        secret=True,
    )


async def _revalidated(shelf: _Shelf) -> Mapping[str, str]:
    """Revisions of the remote sources that are to be asked; a draft whose source doesn't answer is refused."""
    asked = [(draft, index, source) for draft, _ in shelf.drafts for index, source in to_revalidate(draft.payload)]
    if not asked:
        return {}
    from runner.cli.elsewhere.remotes import revisions

    urls: dict[str, str | InvalidError] = {asked_name(source): _url(draft, source) for draft, _, source in asked}
    answers = await revisions(url for url in urls.values() if isinstance(url, str))
    found = {name: answers[url] if isinstance(url, str) else url for name, url in urls.items()}
    refused = set()
    for draft, index, source in asked:
        answer = found[asked_name(source)]
        if isinstance(answer, InvalidError):
            place = draft.recipe.locate(("input", index, "source"))
            problem = Problem(place=place, code="unasked-source", message=str(answer), hint=answer.hint, secret=True)
            shelf.refuse(draft.address, problem)
            refused.add(draft.address)
    shelf.drafts = [row for row in shelf.drafts if row[0].address not in refused]
    return {name: answer for name, answer in found.items() if isinstance(answer, str)}


def _url(draft: Draft, source: Json) -> str | InvalidError:
    if isinstance(source, str):
        return source
    try:
        return as_text(resolve_secret(source, draft.recipe.folder))
    except InvalidError as error:
        return error


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
        found = shelf.facts.get(f"{folder}/{source.source}") or stat_file(folder, source.source, root=project)
        files, wrong = ((found,), ()) if isinstance(found, FileFact) else ((), (found,))
    for each in wrong:
        shelf.refuse(draft.address, _input_problem(draft.recipe, at, each))
    return [] if wrong else list(files)


def _input_problem(recipe: Recipe, at: tuple[str | int, ...], found: FileProblem) -> Problem:
    return Problem(place=recipe.locate(at), code=found.code, message=found.message, hint=found.hint)


async def _digests(shelf: _Shelf, log: RunLog) -> Digests:
    wanted = (fact for _, sources in shelf.drafts for files in sources for fact in files)
    return await digests(wanted, log, now=time.time, jobs=HASHED_AT_ONCE)


def _compile(
    shelf: _Shelf, known: Digests, seen: Mapping[str, str], accounts: Accounts, *, endpoint: ChosenEndpoint
) -> Iterator[Job]:
    for draft, sources in shelf.drafts:
        contents = [
            _contents(draft, source, files, known, shelf) for source, files in zip(draft.sources, sources, strict=True)
        ]
        if not all(contents):
            continue
        job, problems = jobs_of(
            draft,
            contents,
            endpoint=endpoint.name,
            seen=seen,
            accounts=accounts.of(draft),
            project=endpoint.project,
        )
        for problem in problems:
            shelf.refuse(draft.address, problem)
        if job is not None and not problems:
            yield job


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
        contents.append(
            FileContent(path=Path(fact.absolute), size_bytes=digest.size, sha256=digest.sha256, md5=digest.md5)
        )
    return contents
