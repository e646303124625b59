"""Work under way that the recipes, as they are now, don't ask for: it was bought, so its end matters."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from runner.compile import Job
from runner.plan.actions import Action, Credits, Plan, Step
from runner.state import KeyState


def with_begun(plan: Plan, under_way: Mapping[str, KeyState], *, recipes: frozenset[str], jobs: Iterable[Job]) -> Plan:
    """`plan`, and what of `under_way` was begun for one of `recipes` and is none of its `jobs` any more."""
    wanted = {job.key for job in jobs}
    begun = tuple(
        _step(state) for key, state in sorted(under_way.items()) if key not in wanted and state.recipe in recipes
    )
    named = {step.key for step in begun}
    return replace(plan, steps=tuple(_without_orphans(plan.steps, named)), begun=begun)


def _step(state: KeyState) -> Step:
    return Step(
        address=min(state.addresses, default=state.recipe),
        key=state.key,
        action=Action.RESUME,
        reason=f"job {state.job_id} was begun before the recipe changed, which no longer asks for it; "
        "what it cost is noted at its end, and its results are left alone",
        credits=Credits(cap=state.cap, estimate=None),
        state=state,
    )


def _without_orphans(steps: Iterable[Step], keys: Iterable[str]) -> Iterator[Step]:
    """One work is named once."""
    return (step for step in steps if step.action is not Action.ORPHAN or step.key not in keys)
