"""What `plan` and `run` share: recipes, their state, the jobs, and what the run log says about them."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from runner.cli.context import keep_out_of_git
from runner.cli.endpoint import ChosenEndpoint, choose_endpoint
from runner.cli.former_keys import under_known_key
from runner.cli.links import links_among
from runner.cli.other_recipes import delivered_to, feeding, of_recipes, recipes_there, removed, rivals
from runner.cli.prepare import Prepared, Refusal, load, prepare
from runner.cli.uncollected import uncollected
from runner.cli.unmade import unmade_jobs
from runner.cli.unserved import unfetched_jobs, unserved_here, unserved_jobs
from runner.compile import Job, destroying, needed_by
from runner.errors import ExitCode, Problem
from runner.execute.disk import look
from runner.execute.order import levels
from runner.plan import (
    Action,
    Disk,
    Plan,
    Policy,
    Step,
    fed_by_themselves,
    in_turn,
    make_plan,
    with_begun,
    with_budgets,
    with_holders,
)
from runner.recipe.model import Recipe
from runner.runlog import RunLog, RunStarted
from runner.state import UNDER_WAY, KeyState, Stage, recipe_named_in

# What may be there when other recipes are done.
_ABSENT = frozenset({"no-items", "no-match", "missing-file"})
_BOUGHT = UNDER_WAY | {Stage.FINISHED}


@dataclass(frozen=True, kw_only=True, slots=True)
class Planned:
    """A plan, and what it was made from.

    compiled  all jobs, also those of recipes beside and what is refused
    absent    by address, what is refused since something isn't there
    seen_to   the last line of the run log that the plan is sure to have seen
    """

    plan: Plan
    compiled: tuple[Job, ...]
    recipes: tuple[Recipe, ...]
    problems: tuple[Problem, ...]
    warnings: tuple[Problem, ...]
    run_date: str
    absent: Mapping[str, Problem] = field(default_factory=dict)
    seen_to: int = 0

    def of(self, names: Collection[str]) -> Planned:
        """What is planned for these recipes alone."""
        steps = tuple(step for step in self.plan.steps if recipe_named_in(step.address) in names)
        begun = tuple(step for step in self.plan.begun if recipe_named_in(step.address) in names)
        recipes = tuple(recipe for recipe in self.recipes if recipe.name in names)
        return replace(self, plan=replace(self.plan, steps=steps, begun=begun), recipes=recipes)

    def jobs_beside(self, names: Collection[str]) -> tuple[Job, ...]:
        """What other recipes than these compile to."""
        return tuple(job for job in self.compiled if job.recipe not in names)

    def asked_beside(self, names: Collection[str]) -> Mapping[str, Job | None]:
        """The addresses that other recipes than these ask for."""
        alive = self.plan.holdings.alive
        return {address: job for address, job in alive.items() if recipe_named_in(address) not in names}


@dataclass(frozen=True, kw_only=True, slots=True)
class Planning:
    """Recipes that can be used, and where their work is done and remembered.

    read_only  nothing is to be done
    """

    recipes: tuple[Recipe, ...]
    warnings: tuple[Problem, ...]
    endpoint: ChosenEndpoint
    log: RunLog
    read_only: bool = False

    def run_started(self, run_id: str) -> RunStarted:
        """The line that a run of these recipes begins with."""
        return RunStarted(
            run_id=run_id,
            endpoint=self.endpoint.name,
            account=self.endpoint.account,
            command="run",
            recipes=tuple(recipe.name for recipe in self.recipes),
        )

    def foresee(self, planned: Planned) -> Planned:
        """`planned`, with what a run would meet that the plan itself can't decide."""
        planned = self._in_turn(planned)
        today = self.log.today()
        budgets = (one.name for one in planned.recipes if one.budget)
        used = {
            name: booked.spent + booked.reserved
            for name in budgets
            for booked in [self.log.credits(recipe=name, day_utc=today, endpoint=self.endpoint.name)]
        }
        holders = {
            lease.key: f"pid {lease.owner.pid} on {lease.owner.host}" for lease in self.log.leases() if lease.holds
        }
        return replace(planned, plan=with_holders(with_budgets(planned.plan, used), holders))

    def _in_turn(self, planned: Planned) -> Planned:
        """With what comes after other recipes: what isn't there yet may be what those make, and is no problem then."""
        after = {recipe.name: recipe.after for recipe in planned.recipes}
        if not any(after.values()):
            return planned
        in_order = {name: after[name] for level in levels(after) for name in sorted(level)}
        plan, turns = in_turn(planned.plan, in_order, absent=planned.absent)
        forgiven = {one for at, one in planned.absent.items() if recipe_named_in(at) in turns.waiting}
        return replace(planned, plan=plan, problems=tuple(one for one in planned.problems if one not in forgiven))

    async def preflight(self, planned: Planned) -> Planned:
        """`planned` with what a look at sources and targets shows."""
        from runner.cli.elsewhere.preflight import preflight, problems_of

        sights = await preflight(planned.plan, self.endpoint, run_date=planned.run_date)
        problems = problems_of(planned.plan, sights, run_date=planned.run_date)
        plan = replace(planned.plan, preflight=sights)
        return replace(planned, plan=plan, problems=(*planned.problems, *problems))

    async def plan_to_run(
        self, policy: Policy, recipes: Sequence[Recipe] | None = None, *, beside: Planned | None = None
    ) -> Planned:
        """Like `plan`, with all that blocked which its targets are known to refuse."""
        planned = await self.plan(policy, recipes, beside=beside)
        if not any(step.held for step in planned.plan.steps):
            return planned
        from runner.cli.elsewhere.preflight import cleared

        return replace(planned, plan=await cleared(planned.plan, self.endpoint, run_date=planned.run_date))

    async def plan(
        self, policy: Policy, recipes: Sequence[Recipe] | None = None, *, beside: Planned | None = None
    ) -> Planned:
        """The plan of all recipes, or of some of them: then `beside` says what the others ask for."""
        with uncollected():
            return await self._plan(policy, self.recipes if recipes is None else recipes, beside)

    async def _plan(self, policy: Policy, wanted: Sequence[Recipe], whole: Planned | None) -> Planned:
        now = time.time()
        run_date = datetime.fromtimestamp(now, UTC).date().isoformat()
        names = frozenset(recipe.name for recipe in wanted)
        beside = whole.jobs_beside(names) if whole else ()
        prepared = await prepare(
            wanted,
            endpoint=self.endpoint,
            log=self.log,
            run_date=run_date,
            beside=beside,
            secrets_may_lack=self.read_only,
        )
        prepared = self._without_unserved(prepared)
        seen_to, everything = self.log.last_seq(), self.log.states()
        prepared = replace(prepared, jobs=tuple(under_known_key(job, everything) for job in prepared.jobs))
        states, others = known_states(everything, prepared.jobs, names)
        del everything  # of a million keys, others would take their room beside it
        everybody, state = (*prepared.compiled, *beside), self.endpoint.state
        states, disk, gone = self._looked_at(prepared.jobs, states, others, everybody, run_date=run_date)
        links = links_among(everybody, self.recipes, results=_results(states), state=state, run_date=run_date)
        prepared = prepared.without(fed_by_themselves(prepared.jobs, states.values(), links))
        needed = needed_by(everybody, (*wanted, *self.recipes), state=state, links=links, results=_results(states))
        prepared = prepared.without(destroying(prepared.jobs, needed, links=links, run_date=run_date))
        made = make_plan(
            prepared.jobs,
            states,
            disk=disk,
            now=now,
            run_date=run_date,
            policy=policy,
            account=self.endpoint.account,
            rivals=rivals(prepared.jobs, states.values(), self.endpoint.project),
            beside=others.values(),
            gone=gone,
            asked={
                **(whole.asked_beside(names) if whole else {}),
                **dict.fromkeys(one.address for one in prepared.refusals),
            },
        )
        plan = with_begun(
            replace(made, steps=_with_refused(made.steps, prepared.refusals), needed=needed),
            self._under_way(states, made),
            recipes=names,
            jobs=prepared.jobs,
        )
        return Planned(
            plan=plan,
            compiled=(*prepared.compiled, *beside),
            recipes=tuple(wanted),
            problems=tuple(dict.fromkeys(one.problem for one in prepared.refusals)),  # one may refuse many addresses
            warnings=(*self.warnings, *prepared.warnings),
            run_date=run_date,
            seen_to=seen_to,
            absent={one.address: one.problem for one in prepared.refusals if one.problem.code in _ABSENT},
        )

    def _looked_at(
        self,
        jobs: Sequence[Job],
        states: dict[str, KeyState],
        others: Mapping[str, KeyState],
        everybody: Sequence[Job],
        *,
        run_date: str,
    ) -> tuple[dict[str, KeyState], Disk, frozenset[str]]:
        """What is known of the jobs and their places, with results of other recipes only where they lie at those; and
        which of those recipes are gone."""
        disk = look(jobs, states, run_date=run_date)
        in_the_way, gone = self._asked_for(delivered_to(disk.taken, others), everybody)
        if not in_the_way:
            return states, disk, gone
        states |= in_the_way
        return states, look(jobs, states, run_date=run_date), gone

    def _asked_for(
        self, states: Mapping[str, KeyState], everybody: Sequence[Job]
    ) -> tuple[Mapping[str, KeyState], frozenset[str]]:
        """Of results of other recipes those whose recipes are still there, and of those that are surely gone, which
        may be replaced as any result of ours that nobody asks for; with the names of the latter."""
        there = recipes_there(self.endpoint.project) if states else None
        if there is None:
            return states, frozenset()
        there |= {recipe.name for recipe in self.recipes}
        gone = removed(states.values(), there, self.endpoint.project)
        gone -= feeding(gone, states.values(), everybody)
        return of_recipes(there | gone, states), gone

    def _under_way(self, states: Mapping[str, KeyState], plan: Plan) -> Mapping[str, KeyState]:
        """What was started here and not seen to end. Where all of `states` have ended, and nothing of `plan` waits for
        other work, nothing is asked of the log."""
        ended = all(state.stage not in UNDER_WAY for state in states.values())
        if ended and not any(step.awaits for step in plan.steps):
            return {}
        return self.log.under_way(endpoint=self.endpoint.name, account=self.endpoint.account)

    def _without_unserved(self, prepared: Prepared) -> Prepared:
        """What this machine can't do is refused before anything is bought, if it is to be done here."""
        if not self.endpoint.embedded:
            return prepared
        unmade = list(unmade_jobs(prepared.jobs))
        bought = self.log.states(job.key for job, _ in unmade) if unmade else {}
        refused = {
            job.address: problem
            for job, problem in unmade
            if job.key not in bought or bought[job.key].stage not in _BOUGHT  # what is made already is no trouble
        }
        refused |= {job.address: problem for job, problem in unfetched_jobs(prepared.jobs)}
        refused |= {job.address: problem for job, problem in unserved_jobs(prepared.jobs, unserved_here)}
        return prepared.without(refused)


@contextmanager
def open_planning(
    paths: Sequence[Path],
    *,
    profile: str | None,
    overrides: Mapping[str, str],
    endpoint: str | None,
    state: Path | None,
    read_only: bool = False,
) -> Iterator[Planning]:
    """Raises InvalidInput for recipes that can't be used, and what opening the run log raises."""
    loaded = load(paths, profile=profile, overrides=overrides)
    chosen = choose_endpoint(paths, endpoint=endpoint, state=state)
    if not read_only:
        keep_out_of_git(chosen.state)
    with chosen.open_log(read_only=read_only) as log:
        chosen.check_against(log)
        yield Planning(
            recipes=loaded.recipes,
            warnings=tuple(one for one in loaded.problems if one.severity != "error"),
            endpoint=chosen,
            log=log,
            read_only=read_only,
        )


def known_states(
    states: Mapping[str, KeyState], jobs: Sequence[Job], recipes: frozenset[str]
) -> tuple[dict[str, KeyState], dict[str, KeyState]]:
    """Those of the jobs' keys, and of all that the addresses of `recipes` had before; then all others."""
    keys = {job.key for job in jobs}
    known: dict[str, KeyState] = {}
    others: dict[str, KeyState] = {}
    for key, state in states.items():
        ours = key in keys or state.recipe in recipes or not recipes.isdisjoint(map(recipe_named_in, state.deliveries))
        (known if ours else others)[key] = state
    return known, others


def _results(states: Mapping[str, KeyState]) -> Iterator[str]:
    deliveries = (delivery for state in states.values() for delivery in state.deliveries.values())
    return (file.path for delivery in deliveries for file in delivery.all_files if file.sha256)


def _with_refused(steps: Sequence[Step], refusals: Sequence[Refusal]) -> tuple[Step, ...]:
    """What was refused is still asked for, and so no orphan."""
    refused = {one.address for one in refusals}
    kept = (step for step in steps if step.action is not Action.ORPHAN or step.address not in refused)
    return (*kept, *(_refused(one) for one in refusals))


def _refused(refusal: Refusal) -> Step:
    place = refusal.problem.place
    return Step(
        address=refusal.address,
        key="",
        action=Action.BLOCKED,
        reason=f"{place.file}:{place.line}:{place.column}: {refusal.problem.message}",
        exit_code=ExitCode.INVALID,
    )
