"""The only place that makes a purchase: the commit point, the start, and what a refusal of it means.

Safe to repeat for one job id: it is started once whoever asks.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus

from runner.client.errors import ApiError, GoneError, OutcomeUnknownError, RefusedError
from runner.client.pacing import MOST_WAIT_S, Backoff
from runner.errors import RunnerError
from runner.execute.faults import OvertakenError, ParkedError
from runner.execute.following import Ended, Following
from runner.execute.parking import PARK_S, PARKED_STATUSES
from runner.execute.work import Work
from runner.plan import names_of_targets, ways_out
from runner.runlog import Event, Refused, Starting
from runner.state import Stage
from runner.wire import job as wire
from runner.wire.values import JsonObject

SHOWN_LATE_S = (0.0, 1.0, 2.0, 2.0)  # before each look at a job that was perhaps started
START_BACKOFF = Backoff(tries=8, first_s=0.5, most_s=20.0)
_BOUGHT_NOTHING = {
    True: "nothing was bought",
    False: "a start of it may have been heard, the job is shown as not started, and the next run starts this very job",
}


class _TooManyError(RefusedError):
    """The start was refused since too many jobs run (429); it may be asked for again."""

    @classmethod
    def of(cls, error: RefusedError, *, certain: bool) -> _TooManyError:
        made = cls(str(error), status=error.status, retry_after_s=error.retry_after_s, hint=error.hint)
        made.certain = certain
        return made


@dataclass(frozen=True, kw_only=True, slots=True)
class Start:
    work: Work
    following: Following

    async def job(
        self,
        job_id: str,
        *,
        attempt: int,
        payload: JsonObject,
        before: tuple[Event, ...] = (),
        again: bool = False,
    ) -> Ended:
        """The commit point and the purchase. Safe to repeat for one job id: it is started once whoever asks.

        before  lines that become durable together with the commit
        again   an earlier start may have been heard, or may still be: its credits are reserved, and a no proves nothing

        Too many running jobs (429) are waited for; what is refused to the end is parked.
        """
        waits = START_BACKOFF.waits(self.work.site.api.rng)
        while True:
            try:
                return await self._once(job_id, attempt=attempt, payload=payload, before=before, again=again)
            except _TooManyError as error:
                wait_s, asked_s = next(waits, None), error.retry_after_s or 0.0
                if wait_s is None or asked_s > MOST_WAIT_S:
                    raise self._parked(error, certain=error.certain) from error
                again = again or not error.certain
                self.work.say("waiting for a place")
                await self.work.site.sleep(max(wait_s, asked_s))
                before = ()

    async def _once(
        self, job_id: str, *, attempt: int, payload: JsonObject, before: tuple[Event, ...], again: bool
    ) -> Ended:
        async with self.work.site.pace.slot():
            if not again:
                self.work.require_room()  # the disk may have become full while we prepared, or waited for a place
            self.work.say("starting")
            budget = None if again else self.work.budget()
            await self.work.log(*before, Starting(key=self.work.job.key, attempt=attempt, job_id=job_id), budget=budget)
            if not again:
                await self._give_way(attempt, payload)
            try:
                started = await self.work.site.api.start_job(job_id)
            except RefusedError as error:
                if error.status == HTTPStatus.CONFLICT:
                    started = await self._started_before(error, job_id, attempt)
                elif error.certain and not again and not isinstance(error, GoneError):
                    raise await self._refused(error, attempt) from error
                else:
                    started = await self._started_all_the_same(error, job_id, attempt)
            except OutcomeUnknownError as error:
                started = await self._shown(error, job_id, attempt)
                if started.is_unstarted:
                    raise
            self.work.site.pace.went_well()
            return await self.following.is_started(started, attempt=attempt, payload=payload, job_id=job_id)

    async def _give_way(self, attempt: int, payload: JsonObject) -> None:
        """Nothing is started whose target will refuse it, since another run has begun work for the same name."""
        names, rivals = names_of_targets(payload), self.work.site.rivals
        ahead = rivals.ahead(self.work.job.key, names) if names and rivals else None
        if ahead is None:
            return
        message = f"job {ahead[1]}, which another run started meanwhile, stores its result as {ahead[0]}"
        await self.work.log(Refused(key=self.work.job.key, attempt=attempt, status=0, message=message))
        raise OvertakenError(f"{message}; nothing was bought", hint="run again when that job has ended")

    async def _refused(self, error: RefusedError, attempt: int) -> Exception:
        """A definite no: back to staged, and parked where it was for want of credits or capacity."""
        await self._log_refused(error, attempt)
        if error.status == HTTPStatus.TOO_MANY_REQUESTS:
            self.work.site.pace.too_many()
            return _TooManyError.of(error, certain=True)
        return self._parked(error, certain=True) if error.status in PARKED_STATUSES else error

    async def _log_refused(self, error: RefusedError, attempt: int) -> None:
        until = self.work.site.now() + _park_s(error) if error.status in PARKED_STATUSES else None
        await self.work.log(
            Refused(key=self.work.job.key, attempt=attempt, status=error.status, message=str(error), until=until)
        )

    async def _started_all_the_same(self, error: RefusedError, job_id: str, attempt: int) -> wire.Job:
        """The job, started, although a start of it was refused: an earlier one was heard.

        Where the server shows it unstarted the key stays at its commit point, and with it this one job id: an
        earlier start may still be on its way, from a lost connection or from a run that was suspended. Whenever it
        arrives it starts the job that the next run starts too.
        """
        job = await self._shown(error, job_id, attempt)
        if not job.is_unstarted:
            return job
        raise self._unstarted(error) from error

    def _unstarted(self, error: RefusedError) -> RunnerError:
        """What a refusal means that is no certain one, while the job is shown as not started."""
        if error.status == HTTPStatus.TOO_MANY_REQUESTS:
            self.work.site.pace.too_many()
            return _TooManyError.of(error, certain=False)
        if error.status in PARKED_STATUSES:
            return self._parked(error, certain=False)
        if isinstance(error, GoneError):
            return OutcomeUnknownError(f"{error}, although the job is there; the next run asks again")
        return error

    async def _started_before(self, error: RefusedError, job_id: str, attempt: int) -> wire.Job:
        """The job after a 409, which says that it was started before, or that it can't be: the job itself tells which.

        Where it stays unstarted its start is asked for once more. Refused again the key stays at its commit point all
        the same: what shows may be behind.
        """
        for wait_s in SHOWN_LATE_S:
            await self.work.site.sleep(wait_s)
            job = await self._shown(error, job_id, attempt)
            if not job.is_unstarted:
                return job
        try:
            return await self.work.site.api.start_job(job_id)
        except RefusedError as again:
            if again.status != HTTPStatus.CONFLICT:
                return await self._started_all_the_same(again, job_id, attempt)
            said = f"{again}; the job is shown as '{job.status}', and the next run asks for this very job again"
            raise RefusedError(said, status=again.status) from again

    async def _shown(self, error: ApiError, job_id: str, attempt: int) -> wire.Job:
        """The job whose start ended in `error`. Where it can't be seen, that says nothing about its start."""
        try:
            job = await self.work.find(job_id)
        except (RefusedError, OutcomeUnknownError) as unseen:
            raise OutcomeUnknownError(f"{error}; nor is the job shown ({unseen}); the next run asks again") from unseen
        if job is None and not isinstance(error, RefusedError):  # two unlikely answers in a row: the next run asks both
            raise OutcomeUnknownError(f"{error}; nor does the server know the job; the next run asks again") from error
        if job is None:
            raise await self.following.lost(job_id, attempt) from error
        return job

    async def barred(self, error: BaseException, attempt: int) -> None:
        """The log says why nothing was bought. Raises ParkedError where that was for want of credits or capacity."""
        if not isinstance(error, RefusedError):
            return
        state = self.work.state()
        if state is not None and state.stage in (Stage.INTENT, Stage.CREATED):
            with suppress(RunnerError):  # why we leave says more
                await self._log_refused(error, attempt)
        if error.status in PARKED_STATUSES:
            raise self._parked(error, certain=True) from error

    def _parked(self, error: RefusedError, *, certain: bool) -> ParkedError:
        """Where the refusal isn't `certain` the log parks nothing: the next run asks for this very job."""
        hint = f"ask again in {_park_s(error):.0f} s, or {ways_out(self.work.job.payload)}" if certain else error.hint
        return ParkedError(f"{error}; {_BOUGHT_NOTHING[certain]}", hint=hint)


def _park_s(error: RefusedError) -> float:
    return PARK_S[error.status] if error.retry_after_s is None else error.retry_after_s
