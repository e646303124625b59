"""One key under its lease: buy what must be bought, deliver to every address that wants it, answer outcomes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from runner.client.errors import GoneError
from runner.errors import DeadlineReached, ExitCode, RunnerError
from runner.execute.claims import Claim
from runner.execute.deliver import Deliverer
from runner.execute.naming import bought_stem
from runner.execute.outcome import Outcome, Status, Trouble
from runner.execute.purchase import Ended, Purchase
from runner.execute.room import Room
from runner.execute.site import Site
from runner.execute.trouble import as_outcome, untouched
from runner.plan import CHANGING, Action, Job, Step
from runner.runlog import BudgetExceeded, Delivered, DeliveryFailed, LeaseLost
from runner.state import DeliveredFile, KeyState
from runner.wire.values import JsonObject, as_int, as_list, as_object, as_text

Copies = dict[str, DeliveredFile]  # by output id


@dataclass(kw_only=True, slots=True)
class _Bill:
    """What this run has spent for a key so far, whatever becomes of it."""

    spent: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Settlement:
    """
    delivered  files that runs delivered, by path; grows as this one delivers
    time_left  seconds until the deadline of a job's recipe or of the run, None without one
    failed     told every error that isn't one job's own end
    room       where a job waits for others to end
    retry_lost whether what is gone here and from the server may be bought again
    tidied     folders of results where half files of killed runs were removed; grows
    """

    site: Site
    delivered: dict[str, DeliveredFile]
    time_left: Callable[[Job], float | None]
    failed: Callable[[RunnerError], None]
    room: Room
    retry_lost: bool = False
    tidied: set[Path] = field(default_factory=set)

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
                return await self._buy_and_deliver(steps, claim, bill)
        except TimeoutError:
            error: RunnerError = DeadlineReached(
                f"the deadline was reached while it was under way ({job.recipe})",
                hint="nothing is lost: the next run picks it up where it is",
            )
        except RunnerError as raised:
            error = await self._lease_lost(claim) or raised
        self.failed(error)
        spent = (bill.spent if step is steps[0] else 0 for step in steps)
        return [as_outcome(step, error, state=claim.state, spent=one) for step, one in zip(steps, spent, strict=True)]

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
        purchase = Purchase(site=self.site, steps=steps, job=_job(steps[0]), fence=claim.fence)
        ended = await self._to_the_end(purchase, steps[0].action, claim, bill)
        copies = _copies(claim.state, ended)
        return [
            await self._hand_over(step, ended, claim, copies, spent=bill.spent if index == 0 else 0)
            for index, step in enumerate(steps)
        ]

    async def _to_the_end(self, purchase: Purchase, action: Action, claim: Claim, bill: _Bill) -> Ended:
        """The last attempt that the recipe's `retry` allows, or the first that succeeds."""
        ended = await self._within_budget(purchase, action, claim.state)
        if action is Action.REDELIVER and claim.state is not None and ended.attempt == claim.state.attempt:
            return ended
        bill.spent += ended.job.spent
        while not ended.succeeded and ended.attempt <= purchase.job.retry:
            state = self.site.log.states([claim.key])[claim.key]
            ended = await self._within_budget(purchase, Action.RETRY, state)
            bill.spent += ended.job.spent
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
                state = self.site.log.states([purchase.job.key]).get(purchase.job.key)

    async def _hand_over(self, step: Step, ended: Ended, claim: Claim, copies: Copies, *, spent: int) -> Outcome:
        if not ended.succeeded:
            return _failed(step, ended, spent=spent)
        self.site.progress.state(step, "delivering")
        key, attempt, address = step.key, ended.attempt, step.address
        try:
            files = await self._deliver(step, ended, copies)
        except RunnerError as error:
            failed = DeliveryFailed(key=key, attempt=attempt, address=address, message=str(error))
            await self.site.log.append(failed, run_id=self.site.run_id, fence=claim.fence)
            return as_outcome(step, error, state=claim.state, job_id=ended.job.id, spent=spent)
        self.delivered.update({file.path: file for file in files})
        line = Delivered(key=key, attempt=attempt, address=address, save=_job(step).save.path, files=files)
        await self.site.log.append(line, run_id=self.site.run_id, fence=claim.fence)
        return _succeeded(step, ended, files, spent=spent)

    async def _deliver(self, step: Step, ended: Ended, copies: Copies) -> tuple[DeliveredFile, ...]:
        deliverer = Deliverer(
            transfer=self.site.transfer,
            job=_job(step),
            bought_as=bought_stem(ended.payload),
            run_date=self.site.run_date,
            password=self._password(step, ended.payload),
            ours=self.delivered.get,
            moved=lambda size_bytes: self.site.progress.moved(step, size_bytes),
            tidied=self.tidied,
            again=_delivered_before(step),
            copies=copies,
            most_downloads=_most_downloads(ended.payload),
        )
        files: list[DeliveredFile] = []
        for index, output in enumerate(ended.job.outputs):
            file = await deliverer.deliver(output, index=index)
            if file is not None:
                copies[output.id] = file
                files.append(file)
        return tuple(files)

    def _password(self, step: Step, payload: JsonObject) -> str:
        """What opens the outputs of a protected job: any of the job's passwords, or the conversion's own."""
        options = (as_object(as_object(row).get("options")) for row in as_list(payload.get("conversion")))
        own = [each["download_password"] for each in options if each.get("download_password")]
        password = next(iter(as_list(payload.get("download_passwords")) + own), "")
        return as_text(self.site.resolve(password, _job(step).save.folder) if isinstance(password, dict) else password)


def _job(step: Step) -> Job:
    if step.job is None:
        raise ValueError(f"{step.address} has no job")  # only jobs are active
    return step.job


def _copies(state: KeyState | None, ended: Ended) -> Copies:
    """What earlier runs delivered of these very outputs, wherever that was."""
    ids = [output.id for output in ended.job.outputs]
    if state is None or state.attempt != ended.attempt or [one.id for one in state.outputs] != ids:
        return {}
    whole = (delivery.files for delivery in state.deliveries.values() if len(delivery.files) == len(ids))
    return {id_: file for files in whole for id_, file in zip(ids, files, strict=True)}


def _most_downloads(payload: JsonObject) -> int | None:
    limits = as_object(as_object(payload.get("limits")).get("output"))
    return as_int(limits.get("max_downloads")) or None


def _delivered_before(step: Step) -> frozenset[str]:
    """What this very work left at this address: it is delivered there again, not found in the way."""
    delivery = step.state.deliveries.get(step.address) if step.state else None
    return frozenset(file.path for file in delivery.files) if delivery else frozenset()


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
        warnings=tuple(Trouble(code=one.code, message=one.message) for one in ended.job.warnings)
        + tuple(_misnamed(ended, files)),
    )


SAME_ENDINGS = {"jpeg": "jpg", "tif": "tiff", "htm": "html"}


def _ending(name: str) -> str:
    ending = PurePosixPath(name).suffix.lower().lstrip(".")
    return SAME_ENDINGS.get(ending, ending)


def _misnamed(ended: Ended, files: tuple[DeliveredFile, ...]) -> Iterator[Trouble]:
    """Results whose name says another format than they have: several files of one conversion come packed."""
    if len(files) != len(ended.job.outputs):
        return
    for output, file in zip(ended.job.outputs, files, strict=True):
        ending, saved = _ending(output.filename), _ending(file.path)
        if ending != saved:
            yield Trouble(
                message=f"{file.path} is called a {ending or 'file without an ending'} by the API",
                hint="several files of one conversion come packed, unless merge or allow_multiple_outputs says "
                "otherwise; {output.ext} in save.path names a result for what it is",
            )
