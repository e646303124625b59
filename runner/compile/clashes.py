"""Jobs whose results want one place: found before anything is bought, with what would keep them apart."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from runner.compile.draft import Draft
from runner.compile.job import Job
from runner.compile.save import output_conflicts
from runner.compile.targets import wanted_twice
from runner.errors import Problem
from runner.recipe.model import DEFAULT_SAVE
from runner.wire.formats import file_ending
from runner.wire.values import JsonObject, as_int, as_list, as_object, as_text


def shared_paths(jobs: Sequence[tuple[Job, Draft]], *, run_date: str) -> Iterator[tuple[Problem, tuple[str, ...]]]:
    """Results that would be saved under one name, found before anything is bought, and who wants it."""
    drafts = {job.address: draft for job, draft in jobs}
    wanted = ((job.address, path) for job, _ in jobs for path in _wanted_paths(job, run_date=run_date))
    for path, addresses in output_conflicts(wanted):
        distinct = list(dict.fromkeys(addresses))
        who = _listed(distinct) if len(distinct) > 1 else f"several results of {distinct[0]}"
        problem = Problem(
            place=drafts[addresses[-1]].recipe.locate(("save", "path")),
            code="shared-path",
            message=f"{who} would all be saved as {path!r}",
            hint=_apart([drafts[address] for address in distinct]),
        )
        yield problem, addresses


def _wanted_paths(job: Job, *, run_date: str) -> Iterator[str]:
    """Where results will lie; twice where a conversion makes several that `save.path` doesn't tell apart."""
    yield from job.expected_paths(run_date=run_date)
    if job.save.on_conflict == "rename":
        return
    count = len(as_list(job.payload.get("input")))
    for conversion in map(as_object, as_list(job.payload.get("conversion"))):
        if _makes_several(conversion, inputs=count):
            ending = file_ending(as_text(conversion.get("target")))
            one, other = job.save.places_for((f"1.{ending}", f"2.{ending}"), run_date=run_date)
            yield from (one, other) if one == other else ()


def _makes_several(conversion: JsonObject, *, inputs: int) -> bool:
    """Whether each of several inputs becomes a result that is saved here: neither merged, packed nor handed over."""
    options = as_object(conversion.get("options"))
    most = as_int(options.get("allow_multiple_outputs_threshold")) or inputs
    unpacked = options.get("allow_multiple_outputs") is True and 1 < inputs <= most
    merged = options.get("merge") or conversion.get("category") == "archive"
    return unpacked and not merged and not conversion.get("output_target")


def shared_targets(jobs: Sequence[tuple[Job, Draft]], *, run_date: str) -> Iterator[tuple[Problem, tuple[str, ...]]]:
    """Results that would be stored under one name at a provider, which the second of them would be refused."""
    by_address = {job.address: draft for job, draft in jobs}
    wanted = [(job.address, job.key, target) for job, _ in jobs for target in job.targets(run_date=run_date)]
    for name, rows in wanted_twice(wanted):
        addresses = tuple(dict.fromkeys(address for address, _ in rows))
        address, target = rows[-1]
        at = ("conversion", target.conversion, "output_target", target.index)
        problem = Problem(
            place=by_address[address].recipe.locate((*at, "parameters", "file")),
            code="shared-target",
            message=f"{_listed(addresses)} would all be stored as {name}, and a taken name is refused",
            hint="put {item.stem} or the like into `file`, or end it in / to keep the results' own names",
        )
        yield problem, addresses


def _apart(drafts: Sequence[Draft]) -> str:
    """What to put into `save.path` so that the results of these get names of their own."""
    if len(drafts) == 1:
        return "put {output.filename} or {output.index} into save.path so that each result has its own name"
    recipes = {draft.recipe.name for draft in drafts}
    if len(recipes) > 1:
        return "put {recipe.name} into save.path, or give the recipes folders of their own"
    folders = {draft.item.values.get("dir") for draft in drafts}
    if len(folders) > 1 and all(
        draft.recipe.save is None or draft.recipe.save.path == DEFAULT_SAVE for draft in drafts
    ):
        return "their folders differ only in how far above the recipe's they lie: give each a recipe of its own"
    names = [name for name in drafts[0].item.values if name != "path"]
    alone = [name for name in names if _tells_apart([name], drafts)]
    columns = _templates(alone[:3], " or ") or _templates(_needed(names, drafts), " and ")
    if not columns and "path" not in drafts[0].item.values:
        return "these items are alike: leave all but one out, or give them a column that differs"
    return f"put {columns or '{item.path}'} into save.path so that each result has its own name"


def _needed(names: Sequence[str], drafts: Sequence[Draft]) -> list[str]:
    """Columns none of which can be left out if all items are to differ; none where all of them aren't enough."""
    needed = list(names)
    for name in names:
        others = [one for one in needed if one != name]
        needed = others if _tells_apart(others, drafts) else needed
    return needed if _tells_apart(needed, drafts) else []


def _tells_apart(names: Sequence[str], drafts: Sequence[Draft]) -> bool:
    return len({repr([draft.item.values.get(name) for name in names]) for draft in drafts}) == len(drafts)


def _templates(names: Sequence[str], joint: str) -> str:
    return joint.join(f"{{item.{name}}}" for name in names)


def _listed(distinct: Sequence[str]) -> str:
    shown = ", ".join(distinct[:3])
    return shown if len(distinct) <= 3 else f"{shown} and {len(distinct) - 3} more"
