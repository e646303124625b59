"""A job that was started, to its end: waiting for it, noting what it cost and made, and finding it again later."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from http import HTTPStatus

from runner.client.errors import ApiError, GoneError, OutcomeUnknownError, RefusedError
from runner.errors import RunnerError
from runner.execute.copies import as_noted
from runner.execute.faults import LostJobError, NotStartedError, UndeliverableError, UnfollowedError
from runner.execute.parking import PARKED_STATUSES
from runner.execute.shown import cost_of, may_show_more, output_records, reasons, shows_all
from runner.execute.work import Work
from runner.runlog import Event, Failed, Finished, Lost, Started
from runner.state import KeyState
from runner.wire import job as wire
from runner.wire.status import StatusCode
from runner.wire.values import Json, JsonObject

STARTS_AGAIN = 3  # of a job that the server goes on showing as not started
# Seconds before each look at a job that was shown as completed without all of its outputs: they may come a bit later.
LOOKS_AGAIN_S = (0.2, 0.5, 1.0, 2.0, 4.0)
# The same where nobody knows how many outputs there will be, until two looks find as many.
LOOKS_FOR_MORE_S = (0.5, 1.0, 2.0, 4.0)


@dataclass(frozen=True, kw_only=True, slots=True)
class Ended:
    """A job that has ended, and the payload it was bought with.

    more  how many outputs it shows beside those that it had when its end was written down
    """

    job: wire.Job
    payload: JsonObject
    attempt: int
    more: int = 0

    @property
    def succeeded(self) -> bool:
        return self.job.status == StatusCode.COMPLETED

    @property
    def cost(self) -> int:
        return cost_of(self.job, self.payload)


@dataclass(frozen=True, kw_only=True, slots=True)
class Following:
    work: Work

    async def is_started(self, job: wire.Job, *, attempt: int, payload: JsonObject, job_id: str = "") -> Ended:
        """From here on it is bought. `job` is what the server shows of it, which may be nothing, not even its id."""
        began = self.work.site.now()
        job_id = job_id or job.id
        line = Started(key=self.work.job.key, attempt=attempt, job_id=job_id)
        if job.ended:
            return await self._ended(job_id, job, attempt=attempt, payload=payload, before=(line,))
        await self.work.log(line)
        return await self.follow(job_id, attempt=attempt, payload=payload, began=began)

    async def follow(self, job_id: str, *, attempt: int, payload: JsonObject, began: float | None = None) -> Ended:
        """`began` is when it was started, where that was just now."""
        self.work.say("converting")
        began = self.work.site.now() if began is None else began
        try:
            job = await self._end_of(job_id, attempt, began)
        except RefusedError as error:
            raise _unfollowed(error) from error
        self.work.site.durations.add(self.work.job.recipe, self.work.site.now() - began)
        return await self._ended(job_id, job, attempt=attempt, payload=payload)

    async def _end_of(self, job_id: str, attempt: int, began: float) -> wire.Job:
        site = self.work.site
        expected_s, unheard, said = site.durations.expected(self.work.job.recipe), 0, ""
        while True:
            try:
                return await site.poller.wait(job_id, expected_s=expected_s, waited_s=site.now() - began)
            except NotStartedError as error:
                unheard += 1
                if unheard > STARTS_AGAIN:
                    raise OutcomeUnknownError(f"{error}{said}; the next run asks again") from error
                said = await self._start_again(job_id)
            except GoneError as error:
                job = await self.work.find(job_id)
                if job is None:
                    raise await self.lost(job_id, attempt) from error
                if job.ended:
                    return job

    async def _start_again(self, job_id: str) -> str:
        """The server forgot the start, or never heard it: this very job may be asked to, while the lease is ours.

        Answers what the server says against it where that is no more than a 409, which may mean that it runs.
        """
        await self.work.log()  # no line, but LeaseLost where another run has the work by now
        try:
            await self.work.site.api.start_job(job_id)
        except RefusedError as error:
            if error.status != HTTPStatus.CONFLICT:
                raise
            return f" ({error})"
        return ""

    async def _ended(
        self, job_id: str, job: wire.Job, *, attempt: int, payload: JsonObject, before: tuple[Event, ...] = ()
    ) -> Ended:
        """`job` is known by `job_id`: an answer to a start or a look needn't name it."""
        if job.status == StatusCode.COMPLETED and not shows_all(job, payload):
            await self.work.log(*before)
            before = ()
            job = await self._shown_whole(job_id, job, payload)
        if job.status == StatusCode.COMPLETED and may_show_more(payload):
            await self.work.log(*before)
            before = ()
            job = await self._shown_to_the_last(job_id, job)
        await self.work.log(*before, end_line(job, key=self.work.job.key, attempt=attempt, payload=payload))
        return Ended(job=replace(job, id=job_id), payload=payload, attempt=attempt)

    async def _shown_whole(self, job_id: str, job: wire.Job, payload: JsonObject) -> wire.Job:
        """Once its end is written down, nobody looks for other outputs than those that it names."""
        for wait_s in LOOKS_AGAIN_S:
            await self.work.site.sleep(wait_s)
            job = await self.work.site.api.job(job_id)
            if not job.ended or shows_all(job, payload):
                break
        if not job.ended:
            raise OutcomeUnknownError(f"job {job_id} was shown as completed and isn't now; the next run asks again")
        return job

    async def _shown_to_the_last(self, job_id: str, job: wire.Job) -> wire.Job:
        """Several outputs of one conversion may appear one after another. A look that fails says nothing of them."""
        for wait_s in LOOKS_FOR_MORE_S:
            await self.work.site.sleep(wait_s)
            with suppress(ApiError):
                seen = await self.work.site.api.job(job_id)
                if seen.status != StatusCode.COMPLETED or len(seen.outputs) <= len(job.outputs):
                    break
                job = seen
        return job

    async def lost(self, job_id: str, attempt: int) -> LostJobError:
        reason = f"job {job_id} was started, and the server no longer knows it"
        await self.work.log(Lost(key=self.work.job.key, attempt=attempt, reason=reason))
        return LostJobError(reason, hint="--retry-lost buys it again")

    async def again(self, state: KeyState) -> Ended:
        """Bought and finished: ask for the outputs as the server has them now. Raises GoneError."""
        job = await self.work.find(state.job_id)
        if job is None:
            raise GoneError(f"the server no longer knows job {state.job_id}", status=HTTPStatus.GONE)
        if job.status != "completed":
            raise UndeliverableError(
                f"job {state.job_id} was completed, and the server calls it '{job.status}' now",
                hint="nothing was bought again; raise epoch to buy it anew",
            )
        job = replace(job, outputs=as_noted(state.outputs, job.outputs))
        more = max(0, len(job.outputs) - len(state.outputs))
        return Ended(job=job, payload=dict(state.payload), attempt=state.attempt, more=more)


def end_line(job: wire.Job, *, key: str, attempt: int, payload: Mapping[str, Json]) -> Finished | Failed:
    """What the log says of a job that has ended. `payload` is what it was bought with."""
    spent = cost_of(job, payload)
    if job.status == StatusCode.COMPLETED:
        return Finished(key=key, attempt=attempt, spent=spent, outputs=tuple(output_records(job)))
    errors = tuple({"code": code, "message": message} for code, message in reasons(job))
    return Failed(key=key, attempt=attempt, spent=spent, errors=errors)


def _unfollowed(error: RefusedError) -> RunnerError:
    """A refusal to say how a started job is: it runs, and the next run asks again."""
    message = f"{error}; the job was started, and the next run asks for it again"
    kind = UnfollowedError if error.status in PARKED_STATUSES else OutcomeUnknownError
    return kind(message, hint=error.hint)
