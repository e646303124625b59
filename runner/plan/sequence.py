"""What `after` means for a plan: work that is known only when other recipes are done, or that never gets its turn."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

from runner.errors import ExitCode
from runner.plan.actions import CHANGING, Action, Plan, Step
from runner.state import recipe_named_in

_LEFT = (Action.BLOCKED, Action.LOST)


@dataclass(kw_only=True, slots=True)
class Turns:
    """
    waiting  recipes after others that have something to do first: by name, which
    barred   recipes after others that won't be done: by name, which
    """

    waiting: dict[str, tuple[str, ...]] = field(default_factory=dict)
    barred: dict[str, tuple[str, ...]] = field(default_factory=dict)


def in_turn(plan: Plan, after: Mapping[str, Sequence[str]], *, absent: Collection[str]) -> tuple[Plan, Turns]:
    """`plan`, told of what comes after other recipes.

    after   by recipe, in an order in which each comes after those that it names
    absent  addresses that are blocked since something isn't there, which recipes before may make
    """
    turns = _turns(plan.steps, after, frozenset(absent))
    steps = tuple(_told(step, turns, absent) for step in plan.steps)
    notes = tuple(
        f"{name} comes after {', '.join(first)}: what it works on, and what that costs, is known when that is done"
        for name, first in turns.waiting.items()
    )
    return replace(plan, steps=steps, notes=(*plan.notes, *notes)), turns


def _turns(steps: Sequence[Step], after: Mapping[str, Sequence[str]], absent: Collection[str]) -> Turns:
    changing = {recipe_named_in(step.address) for step in steps if step.action in CHANGING}
    left = {recipe_named_in(step.address) for step in steps if step.action in _LEFT}
    left_anyway = {recipe_named_in(one.address) for one in steps if one.action in _LEFT and one.address not in absent}
    turns, undone = Turns(), set[str]()
    for name, first in after.items():
        if never := tuple(one for one in first if one in undone):
            turns.barred[name] = never
        elif pending := tuple(one for one in first if one in changing or one in turns.waiting):
            turns.waiting[name] = pending
        if name in turns.barred or name in (left_anyway if name in turns.waiting else left):
            undone.add(name)
    return turns


def _told(step: Step, turns: Turns, absent: Collection[str]) -> Step:
    recipe = recipe_named_in(step.address)
    if recipe in turns.barred and step.action in CHANGING:
        reason = f"it comes after {', '.join(turns.barred[recipe])}, which won't be done"
        return replace(step, action=Action.BLOCKED, reason=reason, exit_code=ExitCode.FAILED)
    if recipe in turns.waiting and step.address in absent:
        return replace(step, reason=f"waits for {', '.join(turns.waiting[recipe])}", exit_code=ExitCode.OK)
    return step
