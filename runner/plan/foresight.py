"""What a run would meet that its plan can't decide: budgets that don't reach. It is told and changes no action, for
a job that costs less than its cap leaves room for others."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from runner.compile import Job
from runner.plan.actions import NOTHING, Action, Plan, Step

_BUYING = frozenset({Action.RUN, Action.RETRY, Action.RESUME})


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
    if job is None or step.action not in _BUYING or step.credits == NOTHING or cap is None:
        return step
    purse = purses.setdefault(job.recipe, _Purse.of(job, used_today.get(job.recipe, 0)))
    short = purse.take(cap)
    return replace(step, reason=f"{step.reason}; budget.{short} has no room for it now") if short else step
