"""Running a plan: many keys at once, each under a lease, each ending in an outcome of its own.

One job's trouble is never another's: errors become outcomes here, and only what makes every further job
pointless (a wrong key, an endpoint that isn't there, no credits left) keeps new ones from being begun.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from runner.errors import ExitCode, RunnerError
from runner.execute.claims import Claim, Claims
from runner.execute.deliver import Deliverer
from runner.execute.disk import look
from runner.execute.naming import bought_stem
from runner.execute.outcome import Outcome, Report, Status, Trouble
from runner.execute.purchase import Ended, Purchase
from runner.execute.site import Site
from runner.execute.trouble import as_outcome, is_hopeless, not_begun, untouched
from runner.plan import CHANGING, Action, Plan, Policy, Step, make_plan
from runner.runlog import Delivered, DeliveryFailed
from runner.state import DeliveredFile
from runner.wire.values import JsonObject, as_list, as_object, as_text

CLAIM_AHEAD = 4


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """
    jobs         how many jobs are under way at once
    lock_wait_s  how long to wait for work that another run holds
    policy       what a person allowed this run to buy again
    """

    jobs: int = 8
    lock_wait_s: float = 0.0
    policy: Policy = field(default_factory=Policy)


async def run_plan(plan: Plan, site: Site, limits: Limits, *, stop: asyncio.Event | None = None) -> Report:
    """Do what `plan` says and answer what came of it.

    `stop` ends the run early: unstarted jobs are deleted, started ones are left for the next run to pick up.
    """
    run = _Run(site=site, limits=limits, delivered=dict(plan.delivered))
    groups = _by_key(plan.steps)
    async with Claims(groups, site, ahead=CLAIM_AHEAD * limits.jobs, wait_s=limits.lock_wait_s) as claims:
        await run.work_off(groups, claims, stop or asyncio.Event())
        left = claims.unclaimed
    outcomes = tuple(run.outcome_of(step, left=left) for step in plan.steps if step.action is not Action.ORPHAN)
    return Report(run_id=site.run_id, endpoint=site.api.endpoint.name, outcomes=outcomes)


def _by_key(steps: Iterable[Step]) -> Mapping[str, Sequence[Step]]:
    """The steps of every key that has something to do, skipped addresses left out."""
    groups: dict[str, list[Step]] = defaultdict(list)
    for step in steps:
        if step.action in CHANGING:
            groups[step.key].append(step)
    return groups


@dataclass(kw_only=True, slots=True)
class _Run:
    site: Site
    limits: Limits
    delivered: dict[str, DeliveredFile]
    done: dict[str, Outcome] = field(default_factory=dict)
    hopeless: RunnerError | None = None
    stopped: bool = False

    async def work_off(self, groups: Mapping[str, Sequence[Step]], claims: Claims, stop: asyncio.Event) -> None:
        workers = [asyncio.create_task(self._work(groups, claims)) for _ in range(min(self.limits.jobs, len(groups)))]
        stopping = asyncio.create_task(stop.wait())
        waiting: set[asyncio.Task[object]] = {*workers, stopping}
        try:
            while waiting - {stopping}:
                ended, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                self.stopped = stopping in ended
                for task in ended - {stopping}:
                    task.result()  # a bug of ours ends the run with its traceback
                if self.stopped:
                    break
        finally:
            for task in (*workers, stopping):
                task.cancel()
            await asyncio.gather(*workers, stopping, return_exceptions=True)

    def outcome_of(self, step: Step, *, left: frozenset[str]) -> Outcome:
        done = self.done.get(step.address)
        if done is not None:
            return done
        if step.action not in CHANGING:
            return untouched(step)
        return not_begun(step, self.hopeless, held_elsewhere=step.key in left and not self.stopped)

    async def _work(self, groups: Mapping[str, Sequence[Step]], claims: Claims) -> None:
        while self.hopeless is None and (claim := await claims.next()) is not None:
            steps = self._decided_again(groups[claim.key], claim)
            for outcome in await self._settle(steps, claim):
                self.done[outcome.address] = outcome
                self.site.progress.ended(outcome)
            claims.done(claim)

    def _decided_again(self, steps: Sequence[Step], claim: Claim) -> Sequence[Step]:
        """The plan was made without the lease: what another run did meanwhile counts."""
        if steps[0].state == claim.state:
            return steps
        jobs = [step.job for step in steps if step.job is not None]
        states = {claim.key: claim.state} if claim.state is not None else {}
        disk = look(jobs, states, run_date=self.site.run_date)
        return make_plan(
            jobs,
            states,
            disk=disk,
            now=self.site.now(),
            run_date=self.site.run_date,
            policy=self.limits.policy,
            account=self.site.account,
        ).steps

    async def _settle(self, steps: Sequence[Step], claim: Claim) -> list[Outcome]:
        active = [step for step in steps if step.action in CHANGING]
        outcomes = [untouched(step) for step in steps if step.action not in CHANGING and step.job is not None]
        if not active or active[0].job is None:
            return outcomes
        for step in active:
            self.site.progress.begun(step)
        purchase = Purchase(site=self.site, steps=active, job=active[0].job, fence=claim.fence)
        try:
            ended = await purchase.settle(active[0].action, claim.state)
        except RunnerError as error:
            if is_hopeless(error):
                self.hopeless = error
            return outcomes + [as_outcome(step, error, state=claim.state) for step in active]
        for index, step in enumerate(active):
            spent = ended.job.spent if index == 0 and step.action is not Action.REDELIVER else 0
            outcomes.append(await self._hand_over(step, ended, claim, spent=spent))
        return outcomes

    async def _hand_over(self, step: Step, ended: Ended, claim: Claim, *, spent: int) -> Outcome:
        if not ended.succeeded:
            return _failed(step, ended, spent=spent)
        self.site.progress.state(step, "delivering")
        try:
            files = await self._deliver(step, ended)
        except RunnerError as error:
            failed = DeliveryFailed(key=step.key, attempt=ended.attempt, address=step.address, message=str(error))
            await self.site.log.append(failed, run_id=self.site.run_id, fence=claim.fence)
            return as_outcome(step, error, state=claim.state, job_id=ended.job.id, spent=spent)
        self.delivered.update({file.path: file for file in files})
        save = step.job.save.path if step.job else ""
        line = Delivered(key=step.key, attempt=ended.attempt, address=step.address, save=save, files=files)
        await self.site.log.append(line, run_id=self.site.run_id, fence=claim.fence)
        return _succeeded(step, ended, files, spent=spent)

    async def _deliver(self, step: Step, ended: Ended) -> tuple[DeliveredFile, ...]:
        assert step.job is not None  # only jobs are active
        deliverer = Deliverer(
            transfer=self.site.transfer,
            job=step.job,
            bought_as=bought_stem(ended.payload),
            run_date=self.site.run_date,
            password=self._password(step, ended.payload),
            ours=self.delivered.get,
            moved=lambda size_bytes: self.site.progress.moved(step, size_bytes),
        )
        files = [await deliverer.deliver(output, index=index) for index, output in enumerate(ended.job.outputs)]
        return tuple(file for file in files if file is not None)

    def _password(self, step: Step, payload: JsonObject) -> str:
        """What opens the outputs of a protected job: any of the job's passwords, or the conversion's own."""
        assert step.job is not None
        folder = step.job.save.folder
        options = (as_object(as_object(row).get("options")) for row in as_list(payload.get("conversion")))
        own = [each["download_password"] for each in options if each.get("download_password")]
        password = next(iter(as_list(payload.get("download_passwords")) + own), "")
        return as_text(self.site.resolve(password, folder) if isinstance(password, dict) else password)


def _failed(step: Step, ended: Ended, *, spent: int) -> Outcome:
    troubles = tuple(Trouble(code=error.code, message=error.message) for error in ended.job.errors)
    return Outcome(
        address=step.address,
        key=step.key,
        action=step.action,
        status=Status.FAILED,
        job_id=ended.job.id,
        spent=spent,
        errors=troubles or (Trouble(message=f"the job ended as '{ended.job.status}' and the API doesn't say why"),),
        exit_code=ExitCode.FAILED,
    )


def _succeeded(step: Step, ended: Ended, files: tuple[DeliveredFile, ...], *, spent: int) -> Outcome:
    return Outcome(
        address=step.address,
        key=step.key,
        action=step.action,
        status=Status.SUCCEEDED,
        job_id=ended.job.id,
        spent=spent,
        outputs=files,
        warnings=tuple(Trouble(code=one.code, message=one.message) for one in ended.job.warnings),
    )
