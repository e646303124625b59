"""What a run would meet that its plan can't decide: budgets that don't reach, work that another run holds.

It is told and changes no action: a job that costs less than its cap leaves room for others, and a run ends.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from runner.compile import Job
from runner.plan.actions import BUYING, CHANGING, NOTHING, Plan, Step
from runner.state import UNDER_WAY


@dataclass(kw_only=True, slots=True)
class _Purse:
    """What is left of a recipe's budgets, by name, while one cap after the other is taken from it."""

    recipe: str
    left: dict[str, int]
    limits: Mapping[str, int]
    asked: int = 0
    fit: int = 0
    short: str = ""

    @classmethod
    def of(cls, job: Job, used_today: int) -> _Purse:
        limits = {"run": job.run_budget, "day": job.day_budget}
        known = {name: limit for name, limit in limits.items() if limit is not None}
        left = {name: limit - (used_today if name == "day" else 0) for name, limit in known.items()}
        return cls(recipe=job.recipe, left=left, limits=known)

    def take(self, cap: int) -> str:
        """The budget that `cap` doesn't fit into; empty where it fits all, and is taken."""
        self.asked += 1
        short = next((name for name, left in self.left.items() if cap > left), "")
        if short:
            self.short = self.short or short
            return short
        self.fit += 1
        self.left = {name: left - cap for name, left in self.left.items()}
        return ""

    def notes(self) -> Iterator[str]:
        if self.short:
            yield (
                f"budget.{self.short} = {self.limits[self.short]} of {self.recipe} lets {self.fit} of {self.asked} "
                "jobs through now, each counted with its cap; jobs that cost less leave room for more"
            )


def with_holders(plan: Plan, holders: Mapping[str, str]) -> Plan:
    """`plan`, told which of its work a run holds at the moment; `holders` says who, by key."""
    begun = tuple(
        replace(step, reason=f"{step.reason}; a run holds it now, and sees to that") if step.key in holders else step
        for step in plan.begun
    )
    plan = replace(plan, begun=begun)
    held = {step.key: holders[step.key] for step in plan.steps if step.action in CHANGING and step.key in holders}
    if not held:
        return plan
    steps = tuple(
        replace(step, reason=f"{step.reason}; a run holds it now") if step.key in held else step for step in plan.steps
    )
    who = ", ".join(sorted(set(held.values())))
    count = sum(step.key in held for step in plan.steps)
    note = f"another run ({who}) holds {count} of these; a run now would leave them to it, or wait with --lock-wait"
    return replace(plan, steps=steps, notes=(*plan.notes, note))


def with_budgets(plan: Plan, used_today: Mapping[str, int]) -> Plan:
    """`plan`, told which of its purchases the budgets of their recipes have no room for, in the order of the steps.

    used_today  by recipe, the credits that were spent and are reserved on this UTC day
    """
    purses: dict[str, _Purse] = {}
    steps = tuple(_told(step, purses, used_today) for step in plan.steps)
    notes = tuple(note for purse in purses.values() for note in purse.notes())
    return replace(plan, steps=steps, notes=(*plan.notes, *notes))


def _told(step: Step, purses: dict[str, _Purse], used_today: Mapping[str, int]) -> Step:
    job, cap = step.job, step.credits.cap
    if job is None or step.action not in BUYING or step.credits == NOTHING or cap is None:
        return step
    if step.state is not None and step.state.stage in UNDER_WAY:
        return step  # it has its room already: what it may cost is reserved
    purse = purses.setdefault(job.recipe, _Purse.of(job, used_today.get(job.recipe, 0)))
    short = purse.take(cap)
    return replace(step, reason=f"{step.reason}; budget.{short} has no room for it now") if short else step
