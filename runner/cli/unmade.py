"""What the embedded server can't make: targets, options, and files that it doesn't read.

A check goes by what is written, a plan by what lies in the files. Loads no converter, only what they say of themselves.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from runner.errors import Problem
from runner.recipe.served import NOT_MADE_HERE
from runner.recipe.suggest import did_you_mean, listed, shown
from runner.recipe.template import has_template
from runner.wire.formats import file_ending
from runner.wire.values import JsonObject, as_list, as_object, as_text

if TYPE_CHECKING:
    from runner.compile import Job  # loading it takes longer than a check
    from runner.compile.job import Upload
    from runner.server.converters.protocol import Target

_KINDS = {"bin": "of an unknown kind"}
_EMPTY = "find out what left it empty, or leave it out"
_MOST_NAMED = 3


def unmade_here(category: str, target: str) -> str:
    """Why the embedded server can't make that; empty where it can."""
    if _rows(category, target):
        return ""
    return f"the local server doesn't make {f'{category}/' if category else ''}{target} on this machine"


def untaken_here(category: str, target: str, options: JsonObject) -> Mapping[str, str]:
    """By option of a target that is made here, what the embedded server has against it."""
    from runner.server.converters.sides import too_long

    rows = _rows(category, target)
    if not rows:
        return {}
    known = {name for row in rows for name in row.options_schema}
    unknown = (name for name, value in options.items() if value is not None and name not in known)
    said = {name: _no_option(name, target, known) for name in unknown}
    if "preset" in options:  # it may bring a unit along
        return said
    return said | {name: f"{name} is {why}" for name, why in too_long(target, options).items()}


def _no_option(name: str, target: str, known: Iterable[str]) -> str:
    near = did_you_mean(name, known) or f"; there are {listed(known)}"
    return f"the local server has no option {shown(name)} for {target}{near}"


def unread_here(entry: JsonObject, conversion: JsonObject, several: bool) -> str:
    """Why the embedded server can't convert an input so, as far as its engine or its ending tells."""
    if entry.get("type", "remote") == "remote":
        kind, whose = _captured(as_text(entry.get("engine")))
    else:
        kind, whose = _named(_name(entry))
    why = _against(kind, conversion, several=several) if kind else ""
    if not why or not _is_known(kind):
        return ""
    return f"{whose}, and {why}"


def _named(name: str) -> tuple[str, str]:
    """The kind of file that a name claims, and who says so."""
    if has_template(name):
        return "", ""
    kind = _claimed(name)
    return kind, f"{shown(name)} is {kind} by its ending"


def _claimed(name: str) -> str:
    ending = PurePosixPath(name).suffix.removeprefix(".")
    kind = file_ending(ending)
    if not ending or kind in _pictures():
        return kind
    from runner.server.converters.sniff import kind_of_suffix  # what recognizes files takes long to load

    return kind_of_suffix(ending)


@cache
def _pictures() -> frozenset[str]:
    from runner.server.converters.image_targets import SOURCES

    return SOURCES


def _is_known(kind: str) -> bool:
    from runner.server.converters.sniff import CONTENT_TYPES

    return kind in CONTENT_TYPES


def _captured(engine: str) -> tuple[str, str]:
    if engine in ("", "auto", "file"):
        return "", ""
    from runner.server.web.capture import ENGINES

    kind = ENGINES.get(engine, "")
    return kind, f"the engine '{engine}' gives {kind}"


def _name(entry: JsonObject) -> str:
    if entry.get("type") == "upload":
        return as_text(entry.get("source"))
    if entry.get("type") == "base64":
        return as_text(entry.get("filename"))
    return as_text(as_object(entry.get("parameters")).get("file")) if entry.get("type") == "cloud" else ""


def _against(kind: str, conversion: JsonObject, *, several: bool) -> str:
    """What speaks against such a conversion of such a file; that a target isn't made at all is told elsewhere."""
    from runner.server.converters.document_targets import AS_THEY_ARE, not_as_it_is

    target = as_text(conversion.get("target"))
    rows = _rows(as_text(conversion.get("category")), target)
    if rows and not any(kind in row.sources for row in rows):
        return f"the local server makes no {target} from that"
    if rows and kind == target and kind in AS_THEY_ARE:
        why = not_as_it_is(as_object(conversion.get("options")), several=several)
        return why and f"the local server delivers that as it is; it {why}"
    return ""


@cache
def _rows(category: str, target: str) -> tuple[Target, ...]:
    """The targets of that name that are made here."""
    from runner.server.converters.table import CONVERTERS

    here = (one for one in CONVERTERS if all(shutil.which(program) for program in one.programs))
    return tuple(row for one in here for row in one.targets if row.target == target and category in ("", row.category))


@dataclass(frozen=True, kw_only=True, slots=True)
class _Reason:
    """Why a job can't be done. Where it is a file of the job, `problem` begins behind its name, with "is ...".

    file  as the recipe finds it; empty where no file is to blame
    """

    problem: Problem
    file: str = ""


def unmade_jobs(jobs: Iterable[Job]) -> Iterator[tuple[Job, Problem]]:
    """Jobs that this machine can't do, each with the first reason; those of one reason share a problem."""
    found = [(job, reason) for job in jobs if (reason := next(_reasons(job), None))]
    files: dict[Problem, list[str]] = {}
    for _, reason in found:
        files.setdefault(reason.problem, []).append(reason.file)
    told = {problem: _about(problem, names) for problem, names in files.items()}
    yield from ((job, told[reason.problem]) for job, reason in found)


def _about(problem: Problem, files: Sequence[str]) -> Problem:
    """`problem` with the names of the files that have it; a few, where many have."""
    names = [shown(file) for file in dict.fromkeys(files) if file]
    if not names:
        return problem
    if len(names) == 1:
        return replace(problem, message=f"{names[0]} is {problem.message}")
    more = f"{len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else names.pop()
    return replace(problem, message=f"{', '.join(names[:_MOST_NAMED])} and {more} are {problem.message}")


def _reasons(job: Job) -> Iterator[_Reason]:
    conversions = [as_object(entry) for entry in as_list(job.payload.get("conversion"))]
    locate = job.draft.recipe.locate
    for index, entry in enumerate(conversions):
        category, target = as_text(entry.get("category")), as_text(entry.get("target"))
        if why := unmade_here(category, target):
            place = locate(("conversion", index, "target"))
            yield _Reason(problem=Problem(place=place, code="unserved-target", message=why, hint=NOT_MADE_HERE))
        for name, why in untaken_here(category, target, as_object(entry.get("options"))).items():
            place = locate(("conversion", index, "options", name), key=True)
            yield _Reason(problem=Problem(place=place, code="unserved-option", message=why))
    if job.payload.get("fail_on_conversion_error") is not False:
        yield from _unread(job, conversions)


def _unread(job: Job, conversions: Sequence[JsonObject]) -> Iterator[_Reason]:
    """Why inputs can't be converted as they are to be."""
    inputs = [as_object(entry) for entry in as_list(job.payload.get("input"))]
    several = len(inputs) > 1
    for index, entry in enumerate(as_list(job.draft.payload.get("input"))):
        if as_object(entry).get("type", "remote") == "remote":
            reasons = (unread_here(as_object(entry), conversion, several) for conversion in conversions)
            yield from (_of_source(job, index, why) for why in reasons if why)
    for upload in job.uploads:
        kind, why = _unread_upload(upload, conversions, several=several)
        if why:
            file, index = as_text(inputs[upload.input_index].get("source")), _written_at(job, upload)
            if kind == "empty":
                yield _of_source(job, index, "empty, and nothing can be made of that", file, hint=_EMPTY)
            else:
                yield _of_source(job, index, f"{_KINDS.get(kind, kind)}, and {why}", file)


def _of_source(job: Job, index: int, why: str, file: str = "", hint: str = NOT_MADE_HERE) -> _Reason:
    place = job.draft.recipe.locate(("input", index, "source"))
    return _Reason(problem=Problem(place=place, code="unserved-source", message=why, hint=hint), file=file)


def _written_at(job: Job, upload: Upload) -> int:
    """Which input of the recipe an upload comes from: a glob may stand for several."""
    sources = zip(job.draft.sources, job.contents, strict=True)
    return next((source.input_index for source, files in sources if upload.content in files), 0)


def _unread_upload(upload: Upload, conversions: Sequence[JsonObject], *, several: bool) -> tuple[str, str]:
    """What kind of file it is, and why it can't be converted so; nothing where it can.

    Files whose ending promises what can be read are believed unless they are empty: to look into each would take long.
    """

    def against(kind: str) -> str:
        reasons = (_against(kind, conversion, several=several) for conversion in conversions)
        return next(filter(None, reasons), "")

    if upload.content.size_bytes and not against(_claimed(upload.filename)):
        return "", ""
    from runner.server.converters.sniff import sniff

    try:
        kind = sniff(upload.content.path, upload.filename).kind
    except OSError:  # gone meanwhile, which the run says
        return "", ""
    return kind, against(kind)
