"""One key under its lease: what is done for it, and how it speaks to the log, to people and about its secrets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from runner.client.hidden import Hidden
from runner.errors import InvalidError
from runner.execute.presence import find_job
from runner.execute.site import Site
from runner.plan import Job, Step
from runner.runlog import BudgetGuard, Event, Fence
from runner.state import KeyState
from runner.wire import job as wire
from runner.wire.secrets import fill_secrets
from runner.wire.values import Json, JsonObject, as_list, as_object, as_text


@dataclass(frozen=True, kw_only=True, slots=True)
class Work:
    """
    steps   of this key, at least one; all hold equal work
    fence   every line is written under it; a lost lease raises LeaseLost before anything else happens
    """

    site: Site
    steps: Sequence[Step]
    job: Job
    fence: Fence

    def state(self) -> KeyState | None:
        """What the log knows of the key now."""
        return self.site.log.states([self.job.key]).get(self.job.key)

    async def find(self, job_id: str) -> wire.Job | None:
        """The job, None where the server really doesn't have it."""
        return await find_job(self.site.api, job_id, sleep=self.site.sleep)

    def resolve(self, reference: JsonObject) -> Json:
        """The secret, from here on hidden in whatever the server says."""
        value = self.site.resolve(reference, self.job.save.folder)
        self.site.api.hidden.add(value)
        return value

    def hide_secrets(self, payload: Mapping[str, Json]) -> None:
        """An earlier run told the server these; what can't be resolved any more can't be hidden either."""
        with suppress(InvalidError):
            hide_queries(fill_secrets(dict(payload), self.resolve), hidden=self.site.api.hidden)

    def require_room(self) -> None:
        """Raises NoRoomError where a disk that this work's results go to is known to take none."""
        jobs = (step.job for step in self.steps if step.job is not None)
        self.site.full.require_room(jobs, run_date=self.site.run_date)

    def budget(self) -> BudgetGuard | None:
        """What the recipe may spend; checked and reserved in the very transaction that says we want to."""
        if self.job.run_budget is None and self.job.day_budget is None:
            return None
        return BudgetGuard(
            recipe=self.job.recipe,
            run_id=self.site.run_id,
            run_limit=self.job.run_budget,
            day_limit=self.job.day_budget,
        )

    async def log(self, *events: Event, budget: BudgetGuard | None = None) -> None:
        await self.site.log.append(*events, run_id=self.site.run_id, fence=self.fence, budget=budget)

    def say(self, text: str) -> None:
        self.site.progress.state(self.steps[0], text)

    def moved(self, size_bytes: int) -> None:
        self.site.progress.moved(self.steps[0], size_bytes)


def hide_queries(body: Mapping[str, Json], *, hidden: Hidden) -> None:
    """What stands behind the ? of a source or a callback may be a signature, and before its @ a password."""
    inputs = (as_object(entry) for entry in as_list(body.get("input")))
    sources = (entry.get("source") for entry in inputs if entry.get("type", "remote") == "remote")
    for address in (*sources, body.get("callback")):
        hidden.add_address(as_text(address))
