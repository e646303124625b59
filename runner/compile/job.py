"""Jobs: what one item compiles to. The value that plan, execution and `runner compile` all read."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from runner.compile.draft import Draft
from runner.compile.key import NO_ACCOUNTS, job_key
from runner.compile.naming import bought_stem, ending_of, names_of, result_ending, stem_of
from runner.compile.revisions import revisions_of
from runner.compile.save import SaveTo, save_to
from runner.compile.targets import Target, targets_of
from runner.errors import InvalidError, Problem
from runner.wire.accounts import accounts_named
from runner.wire.names import clean_name, unique_names
from runner.wire.values import Json, JsonObject, as_int, as_list, as_object, as_text


@dataclass(frozen=True, kw_only=True, slots=True)
class FileContent:
    """What inventory found at a path: `path` is absolute, digests are hex."""

    path: Path
    size_bytes: int
    sha256: str
    md5: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Upload:
    """A local file that becomes input number `input_index` of its job, under the name `filename`."""

    input_index: int
    filename: str
    content: FileContent


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """What one item compiles to.

    draft     the recipe and the item it comes from
    contents  for each of the draft's sources the files it means
    revisions which version is meant, of inputs where that is known, by their index in the payload
    stem      what the API will name the outputs after, or "" where only the server knows
    expected  what it will most likely call those that are saved here, in order; empty where that can't be known
    places    where those will most likely lie, as far as that is the same on every day
    payload   the job document as the API takes it, arrays as arrays, secrets as references, `{run.…}`
              unexpanded; local files stand in `input` as `{"type": "upload", "source": path as written}`
    endpoint  the one that the key holds, by name
    cap       `limits.job.max_credit`
    retry     how many further attempts a failed job may cost
    after     recipes that must be done before
    recipe_file  the recipe's file, relative to its project
    """

    address: str
    key: str
    recipe: str
    draft: Draft
    payload: JsonObject
    contents: tuple[tuple[FileContent, ...], ...]
    uploads: tuple[Upload, ...]
    save: SaveTo
    stem: str = ""
    expected: tuple[str, ...] = ()
    places: tuple[str, ...] = ()
    revisions: Mapping[int, str] = field(default_factory=dict)
    endpoint: str = ""
    cap: int | None = None
    retry: int = 0
    deadline_s: float | None = None
    run_budget: int | None = None
    day_budget: int | None = None
    after: tuple[str, ...] = field(default=())
    recipe_file: str = ""

    @property
    def former_key(self) -> str:
        """The key that old logs have for this work, whoever's storage it means; "" where that makes no difference."""
        if not accounts_named(self.payload):
            return ""
        return job_key(
            self.payload,
            digests={upload.input_index: upload.content.sha256 for upload in self.uploads},
            revisions=self.revisions,
            endpoint=self.endpoint,
            epoch=self.draft.recipe.epoch,
            accounts=None,
        )

    def payload_for(self, *, run_date: str) -> JsonObject:
        """The payload of a run on the UTC day `run_date` ("2026-11-23"), digests and revisions noted at the inputs."""
        payload, uploads = _with_uploads(self.draft.payload_on(run_date), self.draft, self.contents)
        inputs = list(as_list(payload.get("input")))
        for index, revision in self.revisions.items():
            inputs[index] = as_object(inputs[index]) | {"revision": revision}
        for upload in uploads:
            inputs[upload.input_index] = as_object(inputs[upload.input_index]) | {
                "filename": upload.filename,
                "sha256": upload.content.sha256,
            }
        return payload | ({"input": inputs} if inputs else {})

    def targets(self, *, run_date: str) -> tuple[Target, ...]:
        """The names at providers that results of a run on `run_date` go to."""
        if not any(as_object(one).get("output_target") for one in as_list(self.payload.get("conversion"))):
            return ()
        return tuple(targets_of(self.payload_for(run_date=run_date)))

    def expected_paths(self, *, run_date: str) -> tuple[str, ...]:
        """Where the outputs will most likely be saved: a file a conversion, named after the first input.

        Empty where the names can't be known before. Raises InvalidError like `SaveTo.place_for`.
        """
        return self.places or self.save.places_for(self.expected, run_date=run_date)

    def result_names(self, filenames: Iterable[str], *, bought_with: JsonObject) -> list[str]:
        """What the outputs are called here that the server calls `filenames`, each its own name.

        bought_with  the payload of the purchase: equal work may have been bought under another file's name
        """
        return names_of(filenames, bought_as=bought_stem(bought_with), wanted=self.stem)


def jobs_of(
    draft: Draft,
    contents: Sequence[Sequence[FileContent]],
    *,
    endpoint: str,
    seen: Mapping[str, str] | None = None,
    accounts: Mapping[str, str] = NO_ACCOUNTS,
    project: Path | None = None,
) -> tuple[Job | None, tuple[Problem, ...]]:
    """The job of `draft`, or what is wrong with it.

    contents  for each of `draft.sources` the files it means, in order
    seen      revisions of remote inputs with `revalidate`, by `asked_name`
    accounts  what references to the names of accounts stand for, as `job_key` takes them; the same object for all
              items of a recipe is quicker
    project   what the recipe's file is named relative to
    """
    payload, uploads = _with_uploads(draft.payload, draft, contents)
    revisions = revisions_of(payload, draft, seen or {})
    recipe = draft.recipe
    try:
        key = job_key(
            payload,
            digests={upload.input_index: upload.content.sha256 for upload in uploads},
            revisions=revisions,
            endpoint=endpoint,
            epoch=recipe.epoch,
            accounts=accounts,
        )
    except (ValueError, TypeError) as error:
        row = f"{recipe.foreach.rows}:{draft.item.line}" if recipe.foreach and draft.item.line else ""
        message = f"{row or draft.address}: a value can't be carried by JSON exactly: {error}"
        hint = "write a number of more than 15 digits as a string"
        problem = Problem(place=recipe.locate(()), code="not-json", message=message, hint=hint)
        return None, (problem,)
    try:
        save = _save_of(draft)
    except InvalidError as error:  # a column that the rows don't have, or that is no text: told once for all of them
        at = recipe.locate(("save", "path"))
        return None, (Problem(place=at, code="unknown-name", message=str(error), hint=error.hint),)
    first = _first_input(payload, uploads)
    stem = stem_of(first)
    expected = tuple(_expected(payload, stem, ending_of(first)))
    places, unsafe = _places(draft, save, expected)
    job = Job(
        address=draft.address,
        key=key,
        recipe=recipe.name,
        draft=draft,
        payload=payload,
        contents=tuple(tuple(files) for files in contents),
        uploads=uploads,
        revisions=revisions,
        save=save,
        stem=stem,
        expected=expected,
        places=places if save.is_the_same_every_day else (),
        endpoint=endpoint,
        cap=_cap(payload),
        retry=recipe.retry,
        deadline_s=recipe.deadline_s,
        run_budget=recipe.budget.run if recipe.budget else None,
        day_budget=recipe.budget.day if recipe.budget else None,
        after=recipe.after,
        recipe_file=_file_below(recipe.file, project) if project else "",
    )
    return job, unsafe


@lru_cache(maxsize=256)
def _file_below(file: Path, project: Path) -> str:
    return os.path.relpath(file, project)


def _save_of(draft: Draft) -> SaveTo:
    save = draft.recipe.save
    return save_to(
        folder=draft.recipe.folder,
        template=save.path if save else None,
        scope=draft.scope,
        on_conflict=save.on_conflict if save else "error",
    )


def _places(draft: Draft, save: SaveTo, names: Sequence[str]) -> tuple[tuple[str, ...], tuple[Problem, ...]]:
    """Where results of these names would lie on some day, or why they may not; without any, a short one is tried."""
    try:
        places = save.places_for(names or ("x",), run_date="0000-00-00")
        return places if names else (), ()
    except InvalidError as error:
        place, message = draft.recipe.locate(("save", "path")), f"{draft.address}: {error}"
        return (), (Problem(place=place, code="unsafe-save-path", message=message, hint=error.hint),)


def _first_input(payload: JsonObject, uploads: Sequence[Upload]) -> JsonObject:
    """What outputs are named after."""
    inputs = as_list(payload.get("input"))
    first = as_object(inputs[0]) if inputs else {}
    is_local = bool(uploads) and uploads[0].input_index == 0
    return first | {"filename": uploads[0].filename} if is_local else first


def _expected(payload: JsonObject, stem: str, ending: str) -> Iterator[str]:
    """Names as the server makes them of an input called so; the results of all conversions share one set of names."""
    conversions = [as_object(entry) for entry in as_list(payload.get("conversion"))] if stem else []
    names = unique_names(_named_after(conversion, stem, ending) for conversion in conversions)
    for conversion, name in zip(conversions, names, strict=True):
        if not conversion.get("output_target"):
            yield name


def _named_after(conversion: JsonObject, stem: str, ending: str) -> str:
    given = as_object(conversion.get("options")).get("output_filename")
    wanted = clean_name(as_text(given)) if given else ""
    made = result_ending(conversion, source=ending)
    return f"{wanted or stem}.{made}" if made else wanted or stem


def _with_uploads(
    payload: JsonObject, draft: Draft, contents: Sequence[Sequence[FileContent]]
) -> tuple[JsonObject, tuple[Upload, ...]]:
    """`payload` with every local source replaced by the files it means, one input each, and what to upload."""
    found = {source.input_index: files for source, files in zip(draft.sources, contents, strict=True)}
    inputs: list[Json] = []
    uploads: list[Upload] = []
    for index, entry in enumerate(as_list(payload.get("input"))):
        if index not in found:
            inputs.append(entry)
            continue
        written = as_object(entry)
        for content in found[index]:
            named = as_text(written.get("filename")) or content.path.name
            uploads.append(Upload(input_index=len(inputs), filename=named, content=content))
            inputs.append(written | {"source": _as_written(draft, content)})
    return payload | ({"input": inputs} if "input" in payload else {}), tuple(uploads)


def _as_written(draft: Draft, content: FileContent) -> str:
    folder = str(draft.recipe.folder).rstrip("/")  # "/" itself ends in one
    return str(content.path).removeprefix(f"{folder}/")


def _cap(payload: JsonObject) -> int | None:
    limits = as_object(as_object(payload.get("limits")).get("job"))
    return as_int(limits["max_credit"]) if "max_credit" in limits else None


def compiled_json(job: Job) -> Mapping[str, Json]:
    """The shape of `runner compile --format json`."""
    return {
        "address": job.address,
        "key": job.key,
        "payload": job.payload,
        "uploads": [
            {
                "path": str(upload.content.path),
                "size": upload.content.size_bytes,
                "sha256": upload.content.sha256,
            }
            for upload in job.uploads
        ],
    }
