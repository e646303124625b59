"""Running a plan: many keys at once, each under a lease, each ending in an outcome of its own.

One job's trouble is never another's: errors become outcomes, and only what makes every further job pointless
(a wrong key, an endpoint that isn't there, no credits left) keeps new ones from being begun.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from runner.errors import DeadlineReached, RunnerError
from runner.execute.claims import LEASE_S, Claim, Claims, Patience
from runner.execute.disk import look
from runner.execute.guard import Guard
from runner.execute.order import Groups, layers, recipe_of
from runner.execute.outcome import Outcome, Report, Status
from runner.execute.room import Room
from runner.execute.settle import Settlement
from runner.execute.site import Site
from runner.execute.trouble import as_outcome, cut_off, is_hopeless, must_wait, not_begun, untouched
from runner.execute.unasked import see_to_its_end
from runner.plan import CHANGING, Action, Holdings, Job, Plan, Policy, Step, make_plan
from runner.runlog import LeaseLost
from runner.state import KeyState

CLAIM_AHEAD = 4
DONE = frozenset({Status.SUCCEEDED, Status.SKIPPED})


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """
    jobs         how many jobs the server works on for us at once; half as many more are prepared or delivered meanwhile
    lock_wait_s  how long to wait for work that another run holds
    lease_s      how long our leases last when we fall silent; they are renewed three times as often
    deadline_s   how long the run may take, None for as long as it needs
    policy       what a person allowed this run to buy again
    """

    jobs: int = 8
    lock_wait_s: float = 0.0
    lease_s: float = LEASE_S
    deadline_s: float | None = None
    policy: Policy = field(default_factory=Policy)

    @property
    def workers(self) -> int:
        return self.jobs + self.jobs // 2


async def run_plan(
    plan: Plan,
    site: Site,
    limits: Limits,
    *,
    stop: asyncio.Event | None = None,
    undone: frozenset[str] = frozenset(),
    patience: Patience | None = None,
) -> Report:
    """Do what `plan` says and answer what came of it.

    stop    ends the run early: unstarted jobs are deleted, started ones are left for the next run to pick up
    undone  recipes, perhaps of other plans, that aren't done: what comes after them is blocked
    patience  with other runs, where several plans share it; else that of `limits`
    """
    patience = patience or Patience(left_s=limits.lock_wait_s)
    loop = asyncio.get_running_loop()
    run = _Run(
        site=site,
        limits=limits,
        holdings=plan.holdings.own(),
        guard=Guard(plan.needed),
        began=loop.time(),
        undone=undone,
    )
    begun = {step.key: (step,) for step in plan.begun}
    # Nobody waits for what nobody asks for: whoever holds it sees to its end.
    turns = [*((groups, patience) for groups in layers(plan.steps)), (begun, Patience(left_s=0.0))]
    for groups, waits in turns:
        ready = run.without_waiting(groups, plan.steps)
        ahead = CLAIM_AHEAD * limits.jobs
        until = None if limits.deadline_s is None else run.began + limits.deadline_s
        async with Claims(ready, site, ahead=ahead, patience=waits, lease_s=limits.lease_s, until=until) as claims:
            await run.work_off(ready, claims, stop or asyncio.Event())
            run.left |= claims.unclaimed
            run.held |= claims.held_elsewhere
        if run.stopped:
            break
    steps = (*plan.steps, *(step for step in plan.begun if step.key not in run.held))
    outcomes = tuple(run.outcome_of(step) for step in steps if step.action is not Action.ORPHAN)
    return Report(run_id=site.run_id, endpoint=site.api.endpoint.name, outcomes=outcomes)


@dataclass(kw_only=True, slots=True)
class _Run:
    """
    done      outcomes by address and key, as they come
    left      keys that another run held until the waiting was over, or that were never asked for
    held      keys that another run was seen to hold, or has taken over though nobody asks for them
    hopeless  why no further job is begun, if there is a reason
    """

    site: Site
    limits: Limits
    holdings: Holdings
    guard: Guard
    began: float
    undone: frozenset[str]
    done: dict[tuple[str, str], Outcome] = field(default_factory=dict)
    left: set[str] = field(default_factory=set)
    held: set[str] = field(default_factory=set)
    hopeless: RunnerError | None = None
    room: Room = field(default_factory=Room)
    stopped: bool = False

    def without_waiting(self, groups: Groups, steps: Iterable[Step]) -> Groups:
        """`groups` without those whose recipes come after one that isn't done; they end here, blocked."""
        undone = self.undone | {recipe_of(step) for step in steps if not self._is_done(step)}
        ready: dict[str, Sequence[Step]] = {}
        for key, group in groups.items():
            missing = sorted({name for step in group if step.job for name in step.job.after if name in undone})
            if missing:
                self.done.update({(step.address, step.key): must_wait(step, missing) for step in group})
            else:
                ready[key] = group
        return ready

    def _is_done(self, step: Step) -> bool:
        done = self.done.get((step.address, step.key))
        return done.status in DONE if done else step.action in (Action.SKIP, Action.ORPHAN)

    async def work_off(self, groups: Groups, claims: Claims, stop: asyncio.Event) -> None:
        settlement = Settlement(
            site=self.site,
            holdings=self.holdings,
            guard=self.guard,
            time_left=self._time_left,
            failed=self._note_failure,
            room=self.room,
            retry_lost=self.limits.policy.retry_lost,
        )
        workers = [
            asyncio.create_task(self._work(groups, claims, settlement))
            for _ in range(min(self.limits.workers, len(groups)))
        ]
        stopping = asyncio.create_task(stop.wait())
        waiting: set[asyncio.Task[object]] = {*workers, stopping}
        try:
            while waiting - {stopping} and not self.stopped:
                ended, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                self.stopped = stopping in ended
                for task in ended - {stopping}:
                    task.result()  # a bug of ours ends the run with its traceback
        finally:
            for task in (*workers, stopping):
                task.cancel()
            await asyncio.gather(*workers, stopping, return_exceptions=True)

    def outcome_of(self, step: Step) -> Outcome:
        done = self.done.get((step.address, step.key))
        if done is not None:
            return done
        if step.action not in CHANGING:
            return untouched(step)
        held = step.key in self.left and not self.stopped
        return replace(not_begun(step, self.hopeless, held_elsewhere=held), wanted=step.job is not None)

    async def _work(self, groups: Groups, claims: Claims, settlement: Settlement) -> None:
        # `stopped`, too: whoever is told to stop while it cleans up may hear of a full disk instead.
        while self.hopeless is None and not self.stopped and (claim := await self._next(claims)) is not None:
            async with self.room.busy():
                outcomes = await self._settled(groups[claim.key], claim, settlement)
            for outcome in outcomes:
                self.done[outcome.address, outcome.key] = outcome
                self.site.progress.ended(outcome)
            claims.done(claim)
        if self.hopeless is None and claims.unclaimed and self._run_is_over():
            self._note_failure(DeadlineReached("the deadline was reached while another run had the work"))

    async def _next(self, claims: Claims) -> Claim | None:
        """None also where nothing can be claimed any more, since the log can't be written."""
        try:
            return await claims.next()
        except RunnerError as error:
            self.hopeless = error
            return None

    async def _settled(self, steps: Sequence[Step], claim: Claim, settlement: Settlement) -> list[Outcome]:
        if steps[0].job is not None:
            as_seen = _is_as_seen(steps[0].state, claim.state)
            if not as_seen:
                settlement = replace(settlement, retry_lost=False)
            decided = self._decided_again(steps, claim, self.limits.policy if as_seen else Policy())
            outcomes = await settlement.settle(decided, claim)
            return [cut_off(outcome, self.site.api.contact.lost) for outcome in outcomes]
        try:
            return [replace(await self._seen_to_its_end(steps[0], claim), wanted=False)]
        except LeaseLost:
            self.held.add(claim.key)
            return []

    async def _seen_to_its_end(self, step: Step, claim: Claim) -> Outcome:
        try:
            async with asyncio.timeout(self._time_left(None)):
                return await see_to_its_end(self.site, step, claim)
        except TimeoutError:
            error: RunnerError = DeadlineReached("the deadline was reached while it was under way")
        except LeaseLost:
            raise
        except RunnerError as raised:
            error = raised
        self._note_failure(error)
        return cut_off(as_outcome(step, error, state=claim.state), self.site.api.contact.lost)

    def _decided_again(self, steps: Sequence[Step], claim: Claim, policy: Policy) -> Sequence[Step]:
        """The plan was made without the lease: what another run did meanwhile counts."""
        if steps[0].state == claim.state:
            return steps
        states = {claim.key: claim.state} if claim.state is not None else {}
        plan = self._plan_of(steps, states, policy)
        if any(_finds_something_there(step) for step in plan.steps):
            # What lies in the way may be what other work of the recipe delivered there.
            plan = self._plan_of(steps, self._states_of_recipes(steps) | states, policy)
            self.holdings.learn(plan.holdings)
        addresses = {step.address for step in steps}
        return tuple(_not_unseen(step) for step in plan.steps if step.address in addresses)

    def _states_of_recipes(self, steps: Sequence[Step]) -> dict[str, KeyState]:
        recipes = {recipe_of(step) for step in steps}
        return {key: state for key, state in self.site.log.states().items() if state.recipe in recipes}

    def _plan_of(self, steps: Sequence[Step], states: dict[str, KeyState], policy: Policy) -> Plan:
        jobs = [step.job for step in steps if step.job is not None]
        return make_plan(
            jobs,
            states,
            disk=look(jobs, states, run_date=self.site.run_date),
            now=self.site.now(),
            run_date=self.site.run_date,
            policy=policy,
            account=self.site.account,
            asked=self.holdings.alive,
        )

    def _time_left(self, job: Job | None) -> float | None:
        own = None if job is None else job.deadline_s
        deadlines = [limit for limit in (self.limits.deadline_s, own) if limit is not None]
        if not deadlines:
            return None
        return max(0.0, self.began + min(deadlines) - asyncio.get_running_loop().time())

    def _note_failure(self, error: RunnerError) -> None:
        of_the_run = isinstance(error, DeadlineReached) and self._run_is_over()
        if is_hopeless(error) or of_the_run:
            self.hopeless = error

    def _run_is_over(self) -> bool:
        limit = self.limits.deadline_s
        return limit is not None and asyncio.get_running_loop().time() >= self.began + limit


def _is_as_seen(planned: KeyState | None, now: KeyState | None) -> bool:
    """Whether a key is where the plan saw it: what a person allowed was meant for that, and not for another attempt
    that another run made meanwhile."""
    return (planned and (planned.stage, planned.attempt)) == (now and (now.stage, now.attempt))


def _not_unseen(step: Step) -> Step:
    """Only a plan looks whether a name at an output target is free: here it isn't known."""
    if not step.held:
        return step
    return replace(step, action=Action.BLOCKED, reason=f"{step.reason}; nothing was bought; run again to look")


def _finds_something_there(step: Step) -> bool:
    """Whether the plan leaves alone what isn't done for the sake of a file that lies in its place."""
    is_delivered = step.state is not None and step.address in step.state.deliveries
    return step.action is Action.BLOCKED or (step.action is Action.SKIP and not is_delivered)
