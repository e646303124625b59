"""One key under its lease: buy what must be bought, deliver to every address that wants it, answer outcomes."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from runner.client.errors import CorruptDownloadError, GoneError, RefusedError
from runner.errors import AuthenticationError, DeadlineReached, RunnerError, counted
from runner.execute.claims import Claim
from runner.execute.copies import Copies, copies_here, intact_copies
from runner.execute.deliver import Deliverer, Laid
from runner.execute.ended import as_failed, as_succeeded, kept_told, name_is_taken
from runner.execute.faults import (
    DeliveryError,
    MissingOutputsError,
    UndeliverableError,
    all_of,
    is_final,
    undelivered,
)
from runner.execute.following import Ended
from runner.execute.full_disks import TAKES_NONE
from runner.execute.guard import Guard
from runner.execute.outcome import Outcome, Trouble
from runner.execute.password import download_password, require_sendable
from runner.execute.presence import SECOND_LOOK_S
from runner.execute.purchase import Purchase
from runner.execute.room import Room
from runner.execute.shown import job_of, shows_all, unknown_cost
from runner.execute.site import Site
from runner.execute.syncing import Syncer
from runner.execute.trouble import as_outcome, untouched
from runner.execute.work import Work
from runner.plan import CHANGING, KEPT_ON_SERVER_S, Action, Holdings, Job, Step
from runner.runlog import BudgetExceeded, Delivered, DeliveryFailed, LeaseLost
from runner.state import DeliveredFile, KeyState, Stage
from runner.wire.values import JsonObject, as_int, as_list, as_object


@dataclass(kw_only=True, slots=True)
class _Bill:
    """What this run has spent for a key so far, whatever becomes of it."""

    spent: int = 0
    guessed: str = ""

    def add(self, ended: Ended) -> None:
        self.spent += ended.cost
        self.guessed = unknown_cost(ended.job, ended.payload) or self.guessed


@dataclass(frozen=True, kw_only=True, slots=True)
class Settlement:
    """
    holdings   whose results lie where; grows as this run delivers
    time_left  seconds until the deadline of a job's recipe or of the run, None without one
    failed     told every error that isn't one job's own end
    guard      keeps results off what the work needs
    room       where a job waits for others to end
    retry_lost whether what is gone here and from the server may be bought again
    tidied     folders of results where half files of killed runs were removed; grows
    syncer     makes files durable, those of all jobs together
    """

    site: Site
    holdings: Holdings
    time_left: Callable[[Job], float | None]
    failed: Callable[[RunnerError], None]
    guard: Guard
    room: Room
    retry_lost: bool = False
    tidied: set[Path] = field(default_factory=set)
    syncer: Syncer = field(default_factory=Syncer)

    async def settle(self, steps: Sequence[Step], claim: Claim) -> list[Outcome]:
        active = [step for step in steps if step.action in CHANGING and step.job is not None]
        outcomes = [untouched(step) for step in steps if step.action not in CHANGING and step.job is not None]
        if active:
            outcomes += await self._settle(active, claim)
        return outcomes

    async def _settle(self, steps: Sequence[Step], claim: Claim) -> list[Outcome]:
        for step in steps:
            self.site.progress.begun(step)
        job, bill = _job(steps[0]), _Bill()
        try:
            async with asyncio.timeout(self.time_left(job)):
                return _billed(await self._buy_and_deliver(steps, claim, bill), bill)
        except TimeoutError:
            error: RunnerError = DeadlineReached(
                f"the deadline was reached while it was under way ({job.recipe})",
                hint="nothing is lost: the next run picks it up where it is",
            )
        except RunnerError as raised:
            error = await self._lease_lost(claim) or raised
        self.failed(error)
        spent = (bill.spent if step is steps[0] else 0 for step in steps)
        ended = [as_outcome(step, error, state=claim.state, spent=one) for step, one in zip(steps, spent, strict=True)]
        await self._note_gone(ended, claim)
        return _billed(ended, bill)

    async def _note_gone(self, outcomes: Sequence[Outcome], claim: Claim) -> None:
        """The log remembers what the server no longer has, so that the next plan doesn't count on it."""
        state = self.site.log.states([claim.key]).get(claim.key) if any(one.gone for one in outcomes) else None
        if state is None or state.stage is not Stage.FINISHED:
            return
        lines = (
            DeliveryFailed(
                key=claim.key, attempt=state.attempt, address=one.address, message=one.errors[0].message, gone=True
            )
            for one in outcomes
            if one.gone
        )
        with suppress(RunnerError):  # the outcome says it all the same
            await self.site.log.append(*lines, run_id=self.site.run_id, fence=claim.fence)

    async def _lease_lost(self, claim: Claim) -> LeaseLost | None:
        """Whether another run has the work by now: then whatever went wrong here is its doing, or its to mend."""
        try:
            await self.site.log.append(run_id=self.site.run_id, fence=claim.fence)
        except LeaseLost as lost:
            return lost
        except RunnerError:  # the log can't be asked; what went wrong first says more
            return None
        return None

    async def _buy_and_deliver(self, steps: Sequence[Step], claim: Claim, bill: _Bill) -> list[Outcome]:
        purchase = Purchase.of(Work(site=self.site, steps=steps, job=_job(steps[0]), fence=claim.fence))
        here = await _from_here(steps[0].action, claim.state)
        ended = here or await self._looked_for(purchase, steps[0].action, claim.state, bill)
        try:
            return await self._hand_all(steps, ended, claim, bill, last=not self._may_buy_again(ended, claim))
        except GoneError as error:
            if not is_final(error):
                await self.site.sleep(SECOND_LOOK_S)
                with suppress(GoneError):
                    return await self._handed_after_all(purchase, steps, claim, bill)
            ended = await self._to_the_end(purchase, Action.RETRY, self._known(claim), bill)
            return await self._hand_all(steps, ended, claim, bill, last=True)

    async def _handed_after_all(
        self, purchase: Purchase, steps: Sequence[Step], claim: Claim, bill: _Bill
    ) -> list[Outcome]:
        """What the server didn't have just now may be there again. Raises GoneError where it still isn't."""
        ended = await self._to_the_end(purchase, Action.REDELIVER, self._known(claim), bill)
        return await self._hand_all(steps, ended, claim, bill, last=not self._may_buy_again(ended, claim))

    def _known(self, claim: Claim) -> KeyState:
        return self.site.log.states([claim.key])[claim.key]

    def _may_buy_again(self, ended: Ended, claim: Claim) -> bool:
        """Whether what was bought by an earlier run may be bought anew where the server no longer has it."""
        state = claim.state
        return self.retry_lost and state is not None and _is_of(ended, state)

    async def _hand_all(
        self, steps: Sequence[Step], ended: Ended, claim: Claim, bill: _Bill, *, last: bool
    ) -> list[Outcome]:
        """Raises GoneError where the server no longer has the outputs, unless this is the `last` try."""
        state = claim.state
        known = state if state is not None and _is_of(ended, state) else None
        copies = {} if known is None else await copies_here(known, ended.job.outputs)
        return [
            await self._hand_over(step, ended, claim, copies, spent=bill.spent if index == 0 else 0, last=last)
            for index, step in enumerate(steps)
        ]

    async def _looked_for(self, purchase: Purchase, action: Action, state: KeyState | None, bill: _Bill) -> Ended:
        """`_to_the_end`; what is to be bought again since its time on the server is over by our clock, which may be
        wrong, is asked for once more before."""
        if action is Action.RETRY and _is_guessed_gone(state):
            with suppress(UndeliverableError):
                return await self._to_the_end(purchase, Action.REDELIVER, state, bill)
        return await self._to_the_end(purchase, action, state, bill)

    async def _to_the_end(self, purchase: Purchase, action: Action, state: KeyState | None, bill: _Bill) -> Ended:
        """The last attempt that the recipe's `retry` allows, or the first that succeeds."""
        ended = await self._within_budget(purchase, action, state)
        if action is Action.REDELIVER and state is not None and ended.attempt == state.attempt:
            return ended
        bill.add(ended)
        while not ended.succeeded and ended.attempt <= purchase.work.job.retry and not name_is_taken(ended):
            state = self.site.log.states([purchase.work.job.key])[purchase.work.job.key]
            ended = await self._within_budget(purchase, Action.RETRY, state)
            bill.add(ended)
        return ended

    async def _within_budget(self, purchase: Purchase, action: Action, state: KeyState | None) -> Ended:
        """Caps are reserved whole and settled for less: what doesn't fit now may fit when others have ended."""
        while True:
            try:
                return await purchase.settle(action, state)
            except GoneError:
                if action is not Action.REDELIVER or state is None or not self.retry_lost:
                    raise
                action = Action.RETRY
            except BudgetExceeded as error:
                if error.reserved == 0 or not await self.room.wait():
                    raise
                state = self.site.log.states([purchase.work.job.key]).get(purchase.work.job.key)

    async def _hand_over(
        self, step: Step, ended: Ended, claim: Claim, copies: Copies, *, spent: int, last: bool
    ) -> Outcome:
        if not ended.succeeded:
            return as_failed(step, ended, spent=spent)
        self.site.progress.state(step, "delivering")
        key, attempt, address = step.key, ended.attempt, step.address
        laid: list[Laid] = []
        try:
            _check_complete(ended, claim.state)
            await self._deliver(step, ended, copies, laid, claim)
        except RunnerError as error:
            if isinstance(error, GoneError) and not last:
                raise
            gone = isinstance(error, GoneError) and is_final(error)
            put = tuple(one.file for one in laid if not one.left)
            failed = DeliveryFailed(key=key, attempt=attempt, address=address, message=str(error), gone=gone, files=put)
            await self.site.log.append(failed, run_id=self.site.run_id, fence=claim.fence)
            waits = self._waits(claim)
            outcome = as_outcome(step, error, state=claim.state, job_id=ended.job.id, spent=spent, waits=waits)
            return replace(outcome, warnings=(*outcome.warnings, *kept_told(laid)))
        job, files = _job(step), tuple(one.file for one in laid)
        line = Delivered(
            key=key, attempt=attempt, address=address, save=job.save.path, files=files, recipe_file=job.recipe_file
        )
        await self.site.log.append(line, run_id=self.site.run_id, fence=claim.fence)
        return as_succeeded(step, ended, laid, spent=spent)

    async def _deliver(self, step: Step, ended: Ended, copies: Copies, laid: list[Laid], claim: Claim) -> None:
        """Put every output that can be put in its place, into `laid` too. Raises what kept others from theirs."""
        deliverer = Deliverer(
            transfer=self.site.transfer,
            syncer=self.syncer,
            job=_job(step),
            run_date=self.site.run_date,
            password=self._password(step, ended.payload),
            holdings=self.holdings,
            guard=self.guard,
            newcomers=self.site.newcomers,
            moved=lambda size_bytes: self.site.progress.moved(step, size_bytes),
            tidied=self.tidied,
            full=self.site.full,
            before=_delivered_before(step),
            copies=copies,
            most_downloads=_most_downloads(ended.payload),
        )
        failed: list[DeliveryError] = []
        outputs = ended.job.outputs
        names = _job(step).result_names((output.filename for output in outputs), bought_with=ended.payload)
        for index, (output, name) in enumerate(zip(outputs, names, strict=True)):
            try:
                one = await self._undelivered_told(deliverer.deliver(output, index=index, name=name), ended, claim)
            except DeliveryError as error:
                failed.append(error)
                if _concerns_all(error):
                    break
                continue
            laid.append(one)
            if not one.left:
                copies[index] = one.file
        if failed:
            raise all_of(failed) from failed[0].__cause__

    async def _undelivered_told(self, delivering: Awaitable[Laid], ended: Ended, claim: Claim) -> Laid:
        """Raises DeliveryError where the output was refused: the others may be handed out all the same."""
        try:
            return await delivering
        except GoneError:
            raise
        except (AuthenticationError, CorruptDownloadError, RefusedError) as error:
            raise undelivered(error, job_id=ended.job.id, waits=self._waits(claim)) from error

    def _waits(self, claim: Claim) -> str:
        finished_at = self._known(claim).finished_at
        until = datetime.fromtimestamp(finished_at + KEPT_ON_SERVER_S, UTC) if finished_at else None
        return (
            f"the result is bought and waits on the server{f' until about {until:%Y-%m-%d %H:%M} UTC' if until else ''}"
        )

    def _password(self, step: Step, payload: JsonObject) -> str:
        password = download_password(payload)
        if isinstance(password, dict):
            password = self.site.resolve(password, _job(step).save.folder)
        return require_sendable(password)


def _job(step: Step) -> Job:
    if step.job is None:
        raise ValueError(f"{step.address} has no job")  # only jobs are active
    return step.job


def _billed(outcomes: list[Outcome], bill: _Bill) -> list[Outcome]:
    """`outcomes`, of which the first says where its cost is no more than a guess."""
    if not bill.guessed or not outcomes:
        return outcomes
    first, *others = outcomes
    return [replace(first, warnings=(*first.warnings, Trouble(message=bill.guessed))), *others]


def _is_of(ended: Ended, state: KeyState) -> bool:
    """Whether an earlier run saw this very end."""
    return state.stage is Stage.FINISHED and state.attempt == ended.attempt


def _is_guessed_gone(state: KeyState | None) -> bool:
    """Whether it is only by the clock that finished work is gone from the server."""
    return state is not None and state.stage is Stage.FINISHED and not state.gone


async def _from_here(action: Action, state: KeyState | None) -> Ended | None:
    """The end of bought work whose outputs all lie here, without a word to the server: it may long have forgotten."""
    if action is not Action.REDELIVER or state is None or not await intact_copies(state):
        return None
    return Ended(job=job_of(state), payload=dict(state.payload), attempt=state.attempt)


def _check_complete(ended: Ended, state: KeyState | None) -> None:
    """Raises MissingOutputsError where the job shows fewer outputs than conversions, or than when it ended."""
    shown = len(ended.job.outputs)
    if state is not None and _is_of(ended, state) and shown < len(state.outputs):
        raise MissingOutputsError(f"job {ended.job.id} had {len(state.outputs)} outputs, and shows {shown} now")
    if not shows_all(ended.job, ended.payload):
        conversions = len(as_list(ended.payload.get("conversion")))
        raise MissingOutputsError(
            f"job {ended.job.id} is completed, and shows {counted(shown, 'output')} for "
            f"{counted(conversions, 'conversion')}; the next run looks again, and buys nothing"
        )


def _concerns_all(error: DeliveryError) -> bool:
    """Whether the next output would meet the same: what is asked for in vain counts as a download."""
    cause = error.__cause__
    return isinstance(cause, OSError) and cause.errno in _OF_THE_DISK


_OF_THE_DISK = TAKES_NONE | {errno.EIO}


def _most_downloads(payload: JsonObject) -> int | None:
    limits = as_object(as_object(payload.get("limits")).get("output"))
    return as_int(limits.get("max_downloads")) or None


def _delivered_before(step: Step) -> dict[str, DeliveredFile]:
    """What this very work left at this address: it is delivered there again, not found in the way."""
    delivery = step.state.deliveries.get(step.address) if step.state else None
    return {file.path: file for file in delivery.files if file.sha256} if delivery else {}
