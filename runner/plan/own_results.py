"""Results of a recipe that it would take for sources: each run would convert what the run before it made."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

from runner.compile import NO_LINKS, Job, Links
from runner.errors import Problem
from runner.state import KeyState, recipe_named_in


def fed_by_themselves(
    jobs: Sequence[Job], states: Iterable[KeyState], links: Links = NO_LINKS
) -> Mapping[str, Problem]:
    """By address, the jobs that have a result of their own recipe among their sources, with one problem a recipe."""
    takers = _takers(jobs, links)
    if not takers:
        return {}
    found: dict[str, dict[str, str]] = defaultdict(dict)  # by recipe: addresses, with such a source
    for recipe, path in _results(states):
        for address, source in takers.get((recipe, links.real(path)), ()):
            found[recipe][address] = source
    by_address = {job.address: job for job in jobs}
    return {address: problem for rows in found.values() for problem in [_problem(by_address, rows)] for address in rows}


def _takers(jobs: Iterable[Job], links: Links) -> Mapping[tuple[str, str], Sequence[tuple[str, str]]]:
    """By recipe and source, links followed, the addresses that take it, with the path that they have for it."""
    takers: dict[tuple[str, str], list[tuple[str, str]]] = defaultdict(list)
    for job in jobs:
        for files in job.contents:
            for file in files:
                source = str(file.path)
                takers[job.recipe, links.real(source)].append((job.address, source))
    return takers


def _results(states: Iterable[KeyState]) -> Iterator[tuple[str, str]]:
    """What was delivered, with its recipe. What `on_conflict = "skip"` found there has no digest, and isn't ours."""
    for state in states:
        for address, delivery in state.deliveries.items():
            for file in delivery.all_files:
                if file.sha256:
                    yield recipe_named_in(address), file.path


def _problem(jobs: Mapping[str, Job], found: Mapping[str, str]) -> Problem:
    address, path = next(iter(found.items()))
    recipe = jobs[address].draft.recipe
    at = ("foreach", "files") if recipe.foreach and recipe.foreach.kind == "files" else ("input", 0, "source")
    more = f", as {len(found) - 1} more are" if len(found) > 1 else ""
    return Problem(
        place=recipe.locate(at),
        code="own-result",
        message=f"{path} is a result of this recipe{more}: it would be converted again with every run",
        hint="leave results out with foreach.exclude, or save them where the pattern doesn't look",
    )
