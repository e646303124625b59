"""What has to wait for what: `after` names recipes that must be done before."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from runner.plan import CHANGING, Action, Step
from runner.state import recipe_named_in

Groups = Mapping[str, Sequence[Step]]


def layers(steps: Sequence[Step]) -> list[Groups]:
    """The steps that have something to do, by key, in layers of which each has to wait for those before it."""
    depth = _depths(steps)
    by_key: dict[str, list[Step]] = defaultdict(list)
    # What is bought already comes first: results may be copied from where new work goes.
    for step in sorted(steps, key=lambda step: step.action is not Action.REDELIVER):
        if step.action in CHANGING:
            by_key[step.key].append(step)
    found: dict[int, dict[str, Sequence[Step]]] = defaultdict(dict)
    for key, group in by_key.items():
        found[max(depth[recipe_of(step)] for step in group)][key] = group
    return [found[level] for level in sorted(found)]


def levels(after: Mapping[str, Sequence[str]]) -> list[frozenset[str]]:
    """Recipes by name, in groups of which each may rely on what those before it have delivered."""
    depth = _depths_of(after)
    return [frozenset(name for name in after if depth[name] == level) for level in sorted({*depth.values()})]


def recipe_of(step: Step) -> str:
    return step.job.recipe if step.job else recipe_named_in(step.address)


def _depths(steps: Sequence[Step]) -> Mapping[str, int]:
    return _depths_of({recipe_of(step): step.job.after if step.job else () for step in steps})


def _depths_of(after: Mapping[str, Sequence[str]]) -> Mapping[str, int]:
    """How many recipes stand in a row before each. Circles are refused when recipes are checked."""
    depth: dict[str, int] = {}

    def measure(recipe: str) -> int:
        if recipe not in depth:
            depth[recipe] = 0
            known = (before for before in after[recipe] if before in after)
            depth[recipe] = 1 + max((measure(before) for before in known), default=-1)
        return depth[recipe]

    for recipe in after:
        measure(recipe)
    return depth
