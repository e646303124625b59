"""Checks recipes, one by one and then together: every problem of all of them, each at its place.

A file goes from bytes to a merged document to findings; only files with findings are parsed a second time,
for places. Many files are checked in several processes. Recipes as values are made in `load.py`, which a check of one
file has no time to import.
"""

from __future__ import annotations

import importlib
import itertools
import os
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from runner import resources
from runner.errors import Place, Problem
from runner.recipe.find import Found, default_name, find_recipes
from runner.recipe.finding import Finding, Span
from runner.recipe.gaps import GAP, told_now
from runner.recipe.layers import Files, Merged, merge_file
from runner.recipe.overlay import at_overlay
from runner.recipe.overrides import overridden
from runner.recipe.paths import may_be_shown
from runner.recipe.place import Layer, place_in, place_of
from runner.recipe.rules import name_findings, rule_findings
from runner.recipe.scopes import expand_constants
from runner.recipe.served import ABLE, Abilities, served_findings
from runner.recipe.story import story
from runner.recipe.suggest import did_you_mean, shown
from runner.wire.catalog import Catalog
from runner.wire.values import Json, JsonObject

if TYPE_CHECKING:
    from runner.recipe.model import Recipe

_MANY = 200
_MOST = 1000

Build = Callable[[Merged, JsonObject, JsonObject, str], "Recipe | None"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Wanted:
    """What a command asks of all recipes alike; `all_profiles` where it is about what is written, not about one use."""

    catalog: Catalog
    profile: str | None = None
    overrides: Mapping[str, str] = field(default_factory=dict)
    abilities: Abilities = ABLE
    all_profiles: bool = False

    @property
    def is_as_written(self) -> bool:
        """Whether every profile counts: who asks for a profile or other values means no other profile."""
        return self.all_profiles and self.profile is None and not self.overrides


@dataclass(frozen=True, kw_only=True, slots=True)
class Checked:
    """What a check found in `checked` files."""

    problems: tuple[Problem, ...]
    checked: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Examined:
    """One file: its problems, and what is needed to judge it beside the others."""

    file: Path
    name: str
    problems: tuple[Problem, ...] = ()
    after: tuple[str, ...] = ()
    profiles: frozenset[str] = frozenset()
    vars: frozenset[str] = frozenset()
    recipe: Recipe | None = None
    whole: bool = True


def check_recipes(
    paths: Sequence[Path],
    *,
    catalog: Catalog,
    profile: str | None = None,
    overrides: Mapping[str, str] | None = None,
    processes: int | None = None,
    abilities: Abilities = ABLE,
) -> Checked:
    """Every problem of the recipes in `paths`, files and folders. Reads only.

    abilities  what keeps whoever would do the work from it
    """
    found = find_recipes(paths)
    wanted = Wanted(catalog=catalog, profile=profile, overrides=overrides or {}, abilities=abilities, all_profiles=True)
    examined = _examine_all(found.files, wanted, processes or len(os.sched_getaffinity(0)))
    return Checked(problems=all_problems(found, examined, wanted), checked=len(found.files))


def _examine_all(files: Sequence[Path], wanted: Wanted, processes: int) -> list[Examined]:
    if len(files) < _MANY:
        examiner = Examiner(wanted=wanted)
        return [examiner.examine(file) for file in files]
    # Loading what makes many files fast takes longer than checking a few without it.
    many = importlib.import_module("runner.recipe.many")
    examiner = Examiner(wanted=wanted, is_valid=many.fast_verdict(_schema()))
    examined: list[Examined] = many.spread(examiner.examine, files, processes=processes)
    return examined


def _always_tell(_document: JsonObject) -> bool:
    return False


def _no_recipe(_merged: Merged, _document: JsonObject, _expanded: JsonObject, _name: str) -> None:
    return None


def _schema() -> JsonObject:
    return resources.schema("recipe-strict")


@dataclass(kw_only=True, slots=True, eq=False)
class Examiner:
    """Looks at one file after the other; `build` makes a recipe of one without errors."""

    wanted: Wanted
    build: Build = _no_recipe
    is_valid: Callable[[JsonObject], bool] = _always_tell
    files: Files = field(default_factory=Files)

    def examine(self, file: Path) -> Examined:
        merged = merge_file(file, self.files, profile=self.wanted.profile)
        if merged.document is None:
            told = (*merged.findings, *merged.literals)
            return Examined(file=file, name="", problems=tuple(_placed(merged.layers, file, told)))
        document, refused = overridden(merged.document, self.wanted.overrides)
        written = document.get("name")
        name = written if isinstance(written, str) and written and written is not GAP else default_name(file)
        expanded = expand_constants(document, name)
        judged = self._judge(expanded.document, file, name, sound=merged.is_sound)
        everything = itertools.chain(refused, expanded.findings, judged)
        now = told_now(everything, document, expanded.document, whole=merged.whole)
        findings = _at_most(itertools.chain(merged.findings, merged.literals, now), file)
        problems = dict.fromkeys(_placed(merged.layers, file, findings)) if findings else {}
        if self.wanted.is_as_written:
            for profile, variant in merged.variants():
                problems |= dict.fromkeys(self._in_profile(profile, variant, name, without=problems))
        recipe = None
        if not any(one.severity == "error" for one in problems):
            recipe = self.build(merged, _without_profiles(document), expanded.document, name)
        return Examined(
            file=file,
            name=name,
            problems=tuple(problems),
            after=_texts(document.get("after")),
            profiles=merged.profiles,
            vars=frozenset(document["vars"]) if isinstance(document.get("vars"), dict) else frozenset(),
            recipe=recipe,
            whole=merged.whole,
        )

    def _in_profile(
        self, profile: str, merged: Merged, name: str, *, without: Collection[Problem]
    ) -> Iterator[Problem]:
        """What is wrong with a recipe under a profile and not `without` it, pointed at what the profile says there."""
        file, document = merged.file, merged.document or {}
        expanded = expand_constants(document, name)
        rules = rule_findings(expanded.document, file.parent, self.wanted.catalog)
        judged = itertools.chain(expanded.findings, rules)
        findings = _at_most(told_now(judged, document, expanded.document, whole=merged.whole), file)
        at_profile = [at_overlay(one, document, profile) for one in findings]
        placed = zip(_placed(merged.layers, file, findings), _placed(merged.layers, file, at_profile), strict=True)
        for plain, problem in placed:
            if plain not in without:
                yield replace(problem, message=f"in profile {shown(profile)}: {problem.message}")

    def _judge(self, document: JsonObject, file: Path, name: str, *, sound: bool) -> Iterator[Finding]:
        if not (sound and self.is_valid(document)):
            schema = _schema()
            yield from story(document, schema)
        if "name" not in document or document["name"] in (".", ".."):
            yield from name_findings(name)
        yield from rule_findings(document, file.parent, self.wanted.catalog)
        yield from served_findings(document, self.wanted.abilities, self.wanted.catalog)


def _at_most(findings: Iterator[Finding], file: Path) -> list[Finding]:
    """The first thousand: nobody reads more of one file, and each costs a search for what was meant."""
    first = list(itertools.islice(findings, _MOST + 1))
    if len(first) > _MOST:
        message = f"has more than {_MOST:,} problems; these are the first"
        first[_MOST] = Finding(code="too-many-problems", message=message, file=file, span=Span())
    return first


def _without_profiles(document: JsonObject) -> JsonObject:
    return {key: value for key, value in document.items() if key not in {"profile", "include"}}


def _texts(value: Json) -> tuple[str, ...]:
    return tuple(one for one in value if isinstance(one, str) and one is not GAP) if isinstance(value, list) else ()


def _placed(layers: Sequence[Layer], file: Path, findings: Iterable[Finding]) -> Iterator[Problem]:
    """Findings with their places. A line with a secret is shown for none of them."""
    problems = [_problem(layers, file, one) for one in findings]
    hidden = {
        (one.place.file, line)
        for one in problems
        if one.secret
        for line in range(one.place.line, one.place.end_line + 1)
    }
    for one in problems:
        yield replace(one, secret=True) if (one.place.file, one.place.line) in hidden else one


def _problem(layers: Sequence[Layer], top: Path, finding: Finding) -> Problem:
    file = finding.file or top
    if finding.span is not None:
        place = place_of(file, finding.span)
    else:
        where = (Layer(file=file),) if finding.file is not None else layers
        place = place_in(where, finding.path, key=finding.key)
    return Problem(
        place=place,
        severity=finding.severity,
        code=finding.code,
        message=finding.message,
        hint=finding.hint,
        secret=finding.secret or not may_be_shown(place.file),
    )


def all_problems(found: Found, examined: Sequence[Examined], wanted: Wanted) -> tuple[Problem, ...]:
    """By file and place, each once: many recipes may include the same bad file."""
    once = dict.fromkeys((*found.problems, *_problems(examined, wanted)))
    return tuple(sorted(once, key=lambda p: (str(p.place.file), p.place.line, p.place.column)))


def _problems(examined: Sequence[Examined], wanted: Wanted) -> Iterator[Problem]:
    for one in examined:
        yield from one.problems
    yield from _same_names(examined)
    yield from _bad_order(examined)
    yield from _unknown_wishes(examined, wanted)


def _same_names(examined: Sequence[Examined]) -> Iterator[Problem]:
    first: dict[str, Path] = {}
    for one in examined:
        before = first.setdefault(one.name, one.file) if one.name else one.file
        if before != one.file:
            place = place_in((Layer(file=one.file),), ("name",))
            message = f"the name {shown(one.name)} is taken by {before}"
            yield Problem(place=place, code="duplicate-name", message=message, hint="set `name` in one of them")


def _bad_order(examined: Sequence[Examined]) -> Iterator[Problem]:
    """`after` that nothing can satisfy: a circle, or a name that isn't among the recipes at hand."""
    after = {one.name: one.after for one in examined if one.after}
    names = {one.name for one in examined}
    for one in examined:
        for index, name in enumerate(one.after):
            place = place_in((Layer(file=one.file),), ("after", index)) if name not in names else None
            if place is not None:
                near = did_you_mean(name, names - {one.name})
                message = f"no recipe that was given is called {shown(name)}{near}"
                hint = "" if near else "give its file to this command too: what isn't given isn't waited for"
                yield Problem(place=place, severity="warning", code="unknown-recipe", message=message, hint=hint)
    yield from _circles(examined, after)


def _circles(examined: Sequence[Examined], after: Mapping[str, tuple[str, ...]]) -> Iterator[Problem]:
    """Each circle once, at the first of its recipes."""
    told: set[str] = set()
    for one in examined:
        circle = _circle(one.name, after) if one.after and one.name not in told else ()
        if circle:
            told.update(circle)
            place = place_in((Layer(file=one.file),), ("after",))
            links = ", which comes after ".join(shown(name) for name in circle[1:-1])
            through = f"{links}, which comes after {shown(one.name)}" if links else "itself"
            yield Problem(place=place, code="circle", message=f"{shown(one.name)} comes after {through}")


def _circle(start: str, after: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    """The shortest way from `start` back to it, with it at both ends; empty where there is none."""
    reached_from: dict[str, str] = {}
    waiting = deque([start])
    while waiting and start not in reached_from:
        here = waiting.popleft()
        for name in after.get(here, ()):
            if name not in reached_from:
                reached_from[name] = here
                waiting.append(name)
    if start not in reached_from:
        return ()
    way = [start, reached_from[start]]
    while way[-1] != start:
        way.append(reached_from[way[-1]])
    return tuple(reversed(way))


def _unknown_wishes(examined: Sequence[Examined], wanted: Wanted) -> Iterator[Problem]:
    """`--profile` and `--set` names that no recipe knows. No line of a recipe is to blame, so none is shown."""
    readable = [one for one in examined if one.name]
    if not readable or not all(one.whole for one in readable):  # what isn't there may have it
        return
    profiles = frozenset[str]().union(*(one.profiles for one in readable))
    if wanted.profile is not None and wanted.profile not in profiles:
        message = f"--profile {wanted.profile}: no recipe here has it{did_you_mean(wanted.profile, profiles)}"
        yield _wish(readable, "unknown-profile", message)
    known = frozenset[str]().union(*(one.vars for one in readable))
    for name in wanted.overrides:
        if name not in known:
            message = f"--set {name}: no recipe here has it in vars{did_you_mean(name, known)}"
            yield _wish(readable, "unknown-var", message)


def _wish(readable: Sequence[Examined], code: str, message: str) -> Problem:
    return Problem(place=Place(file=readable[0].file), code=code, message=message, secret=True)
