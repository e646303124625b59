"""Work under way that the recipes, as they are now, don't ask for: it was bought, so its end matters."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from runner.compile import Job
from runner.plan.actions import Action, Credits, Plan, Step
from runner.plan.taken import names_of_targets
from runner.state import KeyState
from runner.wire.values import as_list, as_object

CHANGED = "the recipe changed meanwhile and no longer asks for it"
KEYS_CHANGED = "how keys are made changed meanwhile (whose storage it is counts), so that it is asked for anew"
ELSEWHERE = "it was begun for another recipe, and its result goes to a name that is asked for here"
_MOST_NAMED = 3


def with_begun(plan: Plan, under_way: Mapping[str, KeyState], *, recipes: frozenset[str], jobs: Iterable[Job]) -> Plan:
    """`plan`, and what of `under_way` is none of its `jobs` any more, and was begun for one of `recipes` or is about
    to take a name that a job is blocked for."""
    jobs = tuple(jobs)
    wanted = {job.key for job in jobs}
    awaited = {step.awaits for step in plan.steps}
    former = {job.former_key for job in jobs} if under_way else set()
    begun = tuple(
        _step(state, _cause(state, recipes, former))
        for key, state in sorted(under_way.items())
        if key not in wanted and (state.recipe in recipes or key in awaited)
    )
    named = {step.key for step in begun}
    return replace(plan, steps=tuple(_without_orphans(plan.steps, named)), begun=begun)


def results_left(state: KeyState, *, gone: bool) -> str:
    """What becomes of results that nobody asks for: they are left alone, wherever they go; `gone` when they went."""
    conversions = [as_object(one) for one in as_list(dict(state.payload).get("conversion"))]
    handed = any(one.get("output_target") for one in conversions)
    kept = any(not one.get("output_target") for one in conversions) or not conversions
    said = [f"{'went' if gone else 'go'} to {_targets(state)}"] if handed else []
    said += ["were left on the server" if gone else "are left alone"] if kept else []
    return f"its results {' or '.join(said)}"


def _targets(state: KeyState) -> str:
    names = sorted(map(str, names_of_targets(state.payload)))
    if not names:
        return "its output targets"
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    return f"{', '.join(names[:_MOST_NAMED])}{more}"


def _cause(state: KeyState, recipes: frozenset[str], former: set[str]) -> str:
    if state.key in former:
        return KEYS_CHANGED
    return CHANGED if state.recipe in recipes else ELSEWHERE


def _step(state: KeyState, cause: str) -> Step:
    return Step(
        address=min(state.addresses, default=state.recipe),
        key=state.key,
        action=Action.RESUME,
        reason=f"job {state.job_id} was begun before; {cause}; what it cost is noted at its end, "
        f"and {results_left(state, gone=False)}",
        credits=Credits(cap=state.cap, estimate=None),
        state=state,
        cause=cause,
    )


def _without_orphans(steps: Iterable[Step], keys: Iterable[str]) -> Iterator[Step]:
    """One work is named once."""
    return (step for step in steps if step.action is not Action.ORPHAN or step.key not in keys)
