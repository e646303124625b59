"""One key, from what the log knows of it to a job that has ended. The only place that starts jobs.

Creating an unstarted job is free; starting it is the purchase. Every line is durable before the step that
relies on it, so the last line says what may have happened, and recovery needs nothing else.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

import httpx

from runner.client.digest import Digests
from runner.client.errors import ApiError, ChangedFileError, GoneError, OutcomeUnknownError, RefusedError
from runner.client.pacing import MOST_WAIT_S, Backoff
from runner.errors import InvalidError, RunnerError
from runner.execute.faults import LostJobError, ParkedError, UndeliverableError, UnfollowedError
from runner.execute.presence import find_job
from runner.execute.shown import compare, output_records
from runner.execute.site import Site
from runner.execute.staging import create_body, late_upload_options, later_inputs
from runner.plan import Action, Job, Step, Upload
from runner.runlog import (
    Abandoned,
    BudgetExceeded,
    BudgetGuard,
    Created,
    Event,
    Failed,
    Fence,
    Finished,
    Intent,
    LeaseLost,
    Lost,
    Refused,
    Staged,
    Started,
    Starting,
)
from runner.state import KeyState, Stage, StagedUpload
from runner.wire import job as wire
from runner.wire.secrets import fill_secrets
from runner.wire.status import UNSTARTED, StatusCode
from runner.wire.values import Json, JsonObject, as_list, as_object, as_text

# Seconds until a refused start is due again where the server doesn't say: quotas count by the day, places come sooner.
PARK_S = {402: 3600.0, 429: 60.0}
PARKED_STATUSES = frozenset(PARK_S)
START_BACKOFF = Backoff(tries=8, first_s=0.5, most_s=20.0)
CREATIONS = 3
LAST_ANSWER_S = 5.0  # how long an interrupted run waits for the id of a job that it may have made


class _TooManyError(RefusedError):
    """The start was refused since too many jobs run (429); it may be asked for again."""

    @classmethod
    def of(cls, error: RefusedError, *, certain: bool) -> _TooManyError:
        made = cls(str(error), status=error.status, retry_after_s=error.retry_after_s)
        made.certain = certain
        return made


@dataclass(frozen=True, kw_only=True, slots=True)
class Ended:
    """A job that has ended, and the payload it was bought with."""

    job: wire.Job
    payload: JsonObject
    attempt: int

    @property
    def succeeded(self) -> bool:
        return self.job.status == "completed"


@dataclass(frozen=True, kw_only=True, slots=True)
class Purchase:
    """What is done for one key under one lease.

    steps   of this key, at least one; all hold equal work
    fence   every line is written under it; a lost lease raises LeaseLost before anything else happens
    """

    site: Site
    steps: Sequence[Step]
    job: Job
    fence: Fence

    async def settle(self, action: Action, state: KeyState | None) -> Ended:
        """Bring the key to its end by `action`, from `state`, what the log knows of it under the lease.

        Raises LostJobError, ParkedError, LeaseLost, and what the client raises.
        """
        if state is None:
            return await self.buy(attempt=1)
        self._hide_secrets(state.payload)
        if state.stage in _ENDED:
            return await self._after_the_end(action, state)
        if state.stage is Stage.INTENT:
            if state.job_id:
                await self._give_up_unstarted(state.job_id, state.attempt)
            return await self.buy(attempt=state.attempt, run_date=state.run_date)
        if state.stage in (Stage.CREATED, Stage.STAGED):
            return await self._take_up(state)
        if state.stage is Stage.STARTING:
            return await self._start(state.job_id, attempt=state.attempt, payload=dict(state.payload), again=True)
        return await self._follow(state.job_id, attempt=state.attempt, payload=dict(state.payload))

    async def _after_the_end(self, action: Action, state: KeyState) -> Ended:
        if action is not Action.RETRY:
            return await self._again(state)
        if state.stage is Stage.LOST:
            return await self._found_or_bought(state)
        return await self.buy(attempt=state.attempt + 1)

    async def buy(self, *, attempt: int, run_date: str = "") -> Ended:
        """A purchase from its intent on, as the recipe is now: `attempt` counts from 1, `run_date` is that of an
        interrupted one. Limits, callbacks and references to secrets are no part of the key: the newest count."""
        run_date = run_date or self.site.run_date
        payload = self.job.payload_for(run_date=run_date)
        body = fill_secrets(payload, self._resolve)
        self._hide_queries(body)
        await self._log(
            Intent(
                key=self.job.key,
                attempt=attempt,
                addresses=tuple(step.address for step in self.steps),
                payload=payload,
                cap=self.job.cap,
                recipe=self.job.recipe,
                account=self.site.account,
                run_date=run_date,
                endpoint=self.job.endpoint,
                epoch=self.job.draft.recipe.epoch,
            ),
            budget=self._budget(),
        )
        try:
            created = await self._create_to_the_end(body, attempt)
        except RefusedError as error:
            await self._barred(error, attempt)
            raise
        try:
            return await self._stage_and_start(created, body, attempt=attempt, payload=payload)
        except (ApiError, BudgetExceeded, asyncio.CancelledError) as error:
            hurried = isinstance(error, asyncio.CancelledError)
            await self._clear_away(created.id, attempt, within_s=LAST_ANSWER_S if hurried else None)
            await self._barred(error, attempt)
            raise
        except LeaseLost:
            await self._delete_unnoted(created.id)
            raise

    async def _create_to_the_end(self, body: JsonObject, attempt: int) -> wire.Job:
        """`_create`; when we are cancelled meanwhile, what it made is deleted: only the answer tells its id."""
        creating = asyncio.ensure_future(self._create(body, attempt))
        try:
            return await asyncio.shield(creating)
        except asyncio.CancelledError:
            # Where there is no connection there is no answer to wait for.
            await asyncio.wait([creating], timeout=0 if self.site.api.contact.lost else LAST_ANSWER_S)
            if not creating.done():
                creating.cancel()
            elif not creating.cancelled() and creating.exception() is None:
                await self._clear_away(creating.result().id, attempt, within_s=LAST_ANSWER_S)
            raise

    async def _clear_away(self, job_id: str, attempt: int, *, within_s: float | None) -> None:
        """Give up an unstarted job on the way out; nothing that goes wrong here hides why we leave."""

        async def give_up() -> None:
            async with asyncio.timeout(within_s):
                await self._give_up_unstarted(job_id, attempt)

        with suppress(RunnerError, TimeoutError):
            await asyncio.shield(give_up())

    async def _delete_unnoted(self, job_id: str) -> None:
        """Whoever took the key over knows nothing of a job that we couldn't note any more, and can't start it."""
        state = self.site.log.states([self.job.key]).get(self.job.key)
        if state is None or state.job_id != job_id:
            with suppress(RunnerError):
                await self.site.api.delete_job(job_id)

    async def _create(self, body: JsonObject, attempt: int) -> wire.Job:
        """An unstarted job. Where an answer is lost another creation is made: the first is unstarted and free."""
        self._say("creating")
        for creation in range(1, CREATIONS + 1):
            try:
                return await self.site.api.create_job(
                    create_body(body), idempotency_key=f"{self.job.key}:{attempt}:{creation}:{self.site.run_id}"
                )
            except OutcomeUnknownError:
                if creation == CREATIONS:
                    raise
                await self.site.sleep(0.5 * 2**creation)
        raise AssertionError("the loop above returns or raises")

    async def _stage_and_start(
        self, created: wire.Job, body: JsonObject, *, attempt: int, payload: JsonObject
    ) -> Ended:
        line: Event = Created(key=self.job.key, attempt=attempt, job_id=created.id)
        if not self.job.uploads and not later_inputs(body):
            staged = Staged(key=self.job.key, attempt=attempt, uploads=())
            return await self._start(created.id, attempt=attempt, payload=payload, before=(line, staged))
        await self._log(line)
        staged = await self._stage(created, body, attempt)
        return await self._start(created.id, attempt=attempt, payload=payload, before=(staged,))

    async def _stage(self, created: wire.Job, body: JsonObject, attempt: int) -> Staged:
        """Add what the creation could not hold, in the recipe's order: inputs are numbered as they arrive."""
        uploads = {upload.input_index: upload for upload in self.job.uploads}
        sent: list[StagedUpload] = []
        for index, entry in later_inputs(body):
            upload = uploads.get(index)
            if upload is None:
                await self.site.api.add_input(created.id, entry)
            else:
                sent.append(await self._upload(created, upload, entry))
        return Staged(key=self.job.key, attempt=attempt, uploads=tuple(sent))

    async def _upload(self, created: wire.Job, upload: Upload, entry: JsonObject) -> StagedUpload:
        self._say("uploading")
        digests, shown = await self._send(created, upload, entry)
        if digests.sha256 != upload.content.sha256:
            raise ChangedFileError(f"{upload.content.path} changed while the run went on; run again")
        shown = shown or await self._shown_input(created.id)
        compare(upload, digests, shown)
        options = late_upload_options(entry)
        if options and shown is not None:
            await self.site.api.set_input_options(created.id, shown.id, options)
        return StagedUpload(
            path=as_text(entry.get("source")), size=digests.size_bytes, sha256=digests.sha256, md5=digests.md5
        )

    async def _send(self, created: wire.Job, upload: Upload, entry: JsonObject) -> tuple[Digests, wire.JobInput | None]:
        """The upload; only what was turned away at the door (429) is sent again."""
        api = self.site.api
        waits = api.backoff.waits(api.rng)
        while True:
            try:
                return await self.site.transfer.upload(
                    created,
                    upload.content.path,
                    filename=upload.filename,
                    size_bytes=upload.content.size_bytes,
                    decrypt_password=as_text(as_object(entry.get("credentials")).get("decrypt_password")),
                    progress=self._moved,
                )
            except RefusedError as error:
                wait_s = next(waits, None)
                if wait_s is None or error.status != httpx.codes.TOO_MANY_REQUESTS:
                    raise
                await self.site.sleep(max(wait_s, min(error.retry_after_s or 0.0, MOST_WAIT_S)))

    async def _shown_input(self, job_id: str) -> wire.JobInput | None:
        inputs = (await self.site.api.job(job_id)).inputs
        return inputs[-1] if inputs else None

    async def _take_up(self, state: KeyState) -> Ended:
        """An earlier run got as far as an unstarted job. Half staged ones are replaced, and those that the recipe
        asks for otherwise by now (another limit, say); the others are started."""
        if state.stage is Stage.STAGED:
            job, payload = await find_job(self.site.api, state.job_id, sleep=self.site.sleep), dict(state.payload)
            if job is not None and job.status not in UNSTARTED and not _is_void(job):
                # Somebody else started it. It is ours all the same, and this attempt has no other.
                await self._log(Starting(key=self.job.key, attempt=state.attempt, job_id=state.job_id))
                return await self._is_started(job, attempt=state.attempt, payload=payload)
            if job is not None and job.status in UNSTARTED and self._is_as_wanted(state):
                return await self._start(state.job_id, attempt=state.attempt, payload=payload)
        await self._give_up_unstarted(state.job_id, state.attempt)
        return await self.buy(attempt=state.attempt, run_date=state.run_date)

    def _is_as_wanted(self, state: KeyState) -> bool:
        """Whether the job is what the recipe asks for now, in what is no part of its key too, and booked to it."""
        wanted = self.job.payload_for(run_date=state.run_date or self.site.run_date)
        return state.recipe == self.job.recipe and _without_paths(state.payload) == _without_paths(wanted)

    async def _found_or_bought(self, state: KeyState) -> Ended:
        """A lost job, which may be bought again: unless the server has it after all."""
        job = await find_job(self.site.api, state.job_id, sleep=self.site.sleep)
        payload = dict(state.payload)
        if job is None or _is_void(job):
            return await self.buy(attempt=state.attempt + 1)
        if job.status in UNSTARTED:
            return await self._start(state.job_id, attempt=state.attempt, payload=payload, again=True)
        return await self._is_started(job, attempt=state.attempt, payload=payload)

    async def _start(
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
        waits = START_BACKOFF.waits(self.site.api.rng)
        while True:
            try:
                return await self._start_once(job_id, attempt=attempt, payload=payload, before=before, again=again)
            except _TooManyError as error:
                wait_s, asked_s = next(waits, None), error.retry_after_s or 0.0
                if wait_s is None or asked_s > MOST_WAIT_S:
                    raise ParkedError(f"{error}; {_BOUGHT_NOTHING[error.certain]}") from error
                again = again or not error.certain
                self._say("waiting for a place")
                await self.site.sleep(max(wait_s, asked_s))
                before = ()

    async def _start_once(
        self, job_id: str, *, attempt: int, payload: JsonObject, before: tuple[Event, ...], again: bool
    ) -> Ended:
        async with self.site.pace.slot():
            self._say("starting")
            budget = None if again else self._budget()
            await self._log(*before, Starting(key=self.job.key, attempt=attempt, job_id=job_id), budget=budget)
            try:
                started = await self.site.api.start_job(job_id)
            except RefusedError as error:
                if error.certain and not again and not isinstance(error, GoneError):
                    raise await self._refused(error, attempt) from error
                started = await self._started_all_the_same(error, job_id, attempt)
            self.site.pace.went_well()
            return await self._is_started(started, attempt=attempt, payload=payload, job_id=job_id)

    async def _is_started(self, job: wire.Job | None, *, attempt: int, payload: JsonObject, job_id: str = "") -> Ended:
        """From here on it is bought. `job` is what the server shows of it, None where it doesn't."""
        job_id = job_id or (job.id if job else "")
        await self._log(Started(key=self.job.key, attempt=attempt, job_id=job_id))
        if job is not None and job.ended:
            return await self._ended(job, attempt=attempt, payload=payload)
        return await self._follow(job_id, attempt=attempt, payload=payload)

    async def _refused(self, error: RefusedError, attempt: int) -> Exception:
        """A definite no: back to staged, and parked where it was for want of credits or capacity."""
        await self._log_refused(error, attempt)
        if error.status == httpx.codes.TOO_MANY_REQUESTS:
            self.site.pace.too_many()
            return _TooManyError.of(error, certain=True)
        return ParkedError(f"{error}; {_BOUGHT_NOTHING[True]}") if error.status in PARKED_STATUSES else error

    async def _log_refused(self, error: RefusedError, attempt: int) -> None:
        parked = error.status in PARKED_STATUSES
        wait_s = error.retry_after_s if error.retry_after_s is not None else PARK_S[error.status] if parked else 0.0
        until = self.site.now() + wait_s if parked else None
        await self._log(
            Refused(key=self.job.key, attempt=attempt, status=error.status, message=str(error), until=until)
        )

    async def _started_all_the_same(self, error: RefusedError, job_id: str, attempt: int) -> wire.Job:
        """The job, started, although a start of it was refused: an earlier one was heard.

        Where the server shows it unstarted the key stays at its commit point, and with it this one job id: an
        earlier start may still be on its way, from a lost connection or from a run that was suspended. Whenever it
        arrives it starts the job that the next run starts too.
        """
        job = await find_job(self.site.api, job_id, sleep=self.site.sleep)
        if job is None:
            raise await self._lost(job_id, attempt) from error
        if job.status not in UNSTARTED:
            return job
        if error.status == httpx.codes.TOO_MANY_REQUESTS:
            self.site.pace.too_many()
            raise _TooManyError.of(error, certain=False) from error
        if error.status in PARKED_STATUSES:
            raise ParkedError(f"{error}; {_BOUGHT_NOTHING[False]}") from error
        if isinstance(error, GoneError):
            raise OutcomeUnknownError(f"{error}, although the job is there; the next run asks again") from error
        raise error

    async def _barred(self, error: BaseException, attempt: int) -> None:
        """The log says why nothing was bought. Raises ParkedError where that was for want of credits or capacity."""
        if not isinstance(error, RefusedError):
            return
        state = self.site.log.states([self.job.key]).get(self.job.key)
        if state is not None and state.stage in (Stage.INTENT, Stage.CREATED):
            with suppress(RunnerError):  # why we leave says more
                await self._log_refused(error, attempt)
        if error.status in PARKED_STATUSES:
            raise ParkedError(f"{error}; {_BOUGHT_NOTHING[True]}") from error

    async def _follow(self, job_id: str, *, attempt: int, payload: JsonObject) -> Ended:
        self._say("converting")
        began = self.site.now()
        try:
            job = await self._end_of(job_id, attempt)
        except RefusedError as error:
            raise _unfollowed(error) from error
        self.site.durations.add(self.job.recipe, self.site.now() - began)
        return await self._ended(job, attempt=attempt, payload=payload)

    async def _end_of(self, job_id: str, attempt: int) -> wire.Job:
        expected_s = self.site.durations.expected(self.job.recipe)
        while True:
            try:
                return await self.site.poller.wait(job_id, expected_s=expected_s)
            except GoneError as error:
                job = await find_job(self.site.api, job_id, sleep=self.site.sleep)
                if job is None:
                    raise await self._lost(job_id, attempt) from error
                if job.ended:
                    return job

    async def _ended(self, job: wire.Job, *, attempt: int, payload: JsonObject) -> Ended:
        ended = Ended(job=job, payload=payload, attempt=attempt)
        if ended.succeeded:
            outputs = tuple(output_records(job))
            await self._log(Finished(key=self.job.key, attempt=attempt, spent=job.spent, outputs=outputs))
        else:
            errors = tuple({"code": error.code, "message": error.message} for error in job.errors)
            await self._log(Failed(key=self.job.key, attempt=attempt, spent=job.spent, errors=errors))
        return ended

    async def _lost(self, job_id: str, attempt: int) -> LostJobError:
        reason = f"job {job_id} was started, and the server no longer knows it"
        await self._log(Lost(key=self.job.key, attempt=attempt, reason=reason))
        return LostJobError(reason, hint="--retry-lost buys it again")

    async def _again(self, state: KeyState) -> Ended:
        """Bought and finished: ask for the outputs as the server has them now. Raises GoneError."""
        job = await find_job(self.site.api, state.job_id, sleep=self.site.sleep)
        if job is None:
            raise GoneError(f"the server no longer knows job {state.job_id}", status=httpx.codes.GONE)
        if job.status != "completed":
            raise UndeliverableError(
                f"job {state.job_id} was completed, and the server calls it '{job.status}' now",
                hint="nothing was bought again; raise epoch to buy it anew",
            )
        return Ended(job=job, payload=dict(state.payload), attempt=state.attempt)

    async def _give_up_unstarted(self, job_id: str, attempt: int) -> None:
        """Delete a job of ours that was never started. What can't be deleted now is left to `sweep`: it is free.

        One that was whole is looked at first: should it run against all odds, the next run picks it up.
        """
        state = self.site.log.states([self.job.key]).get(self.job.key)
        if state is None or state.job_id not in (job_id, "") or state.stage not in _FREE:
            return
        if state.stage is Stage.STAGED:
            job = await find_job(self.site.api, job_id, sleep=self.site.sleep)
            if job is not None and job.status not in UNSTARTED and not _is_void(job):
                return
            # Should we be suspended here, whoever takes over would start what we delete when we wake up.
            await self._log(Intent.again(state))
        try:
            await self.site.api.delete_job(job_id)
        except ApiError:
            return
        if state.job_id:
            await self._log(Abandoned(key=self.job.key, attempt=attempt, job_id=job_id))

    def _resolve(self, reference: JsonObject) -> Json:
        """The secret, from here on hidden in whatever the server says."""
        value = self.site.resolve(reference, self.job.save.folder)
        self.site.api.hidden.add(value)
        return value

    def _hide_secrets(self, payload: Mapping[str, Json]) -> None:
        """An earlier run told the server these; what can't be resolved any more can't be hidden either."""
        with suppress(InvalidError):
            self._hide_queries(fill_secrets(dict(payload), self._resolve))

    def _hide_queries(self, body: JsonObject) -> None:
        """What stands behind the ? of a source or a callback may be a signature."""
        inputs = (as_object(entry) for entry in as_list(body.get("input")))
        sources = (entry.get("source") for entry in inputs if entry.get("type", "remote") == "remote")
        for address in (*sources, body.get("callback")):
            self.site.api.hidden.add(as_text(address).partition("?")[2])

    def _budget(self) -> BudgetGuard | None:
        """What the recipe may spend; checked and reserved in the very transaction that says we want to."""
        if self.job.run_budget is None and self.job.day_budget is None:
            return None
        return BudgetGuard(
            recipe=self.job.recipe,
            run_id=self.site.run_id,
            run_limit=self.job.run_budget,
            day_limit=self.job.day_budget,
        )

    async def _log(self, *events: Event, budget: BudgetGuard | None = None) -> None:
        """Durable when it returns, also when we are cancelled meanwhile: cleaning up relies on the last line."""
        written = asyncio.ensure_future(
            self.site.log.append(*events, run_id=self.site.run_id, fence=self.fence, budget=budget)
        )
        try:
            await asyncio.shield(written)
        except asyncio.CancelledError:
            await asyncio.wait([written])
            raise

    def _say(self, text: str) -> None:
        self.site.progress.state(self.steps[0], text)

    def _moved(self, size_bytes: int) -> None:
        self.site.progress.moved(self.steps[0], size_bytes)


def _is_void(job: wire.Job) -> bool:
    """Canceled, and cost nothing: no purchase."""
    return job.status == StatusCode.CANCELED and job.spent == 0


def _unfollowed(error: RefusedError) -> RunnerError:
    """A refusal to say how a started job is: it runs, and the next run asks again."""
    message = f"{error}; the job was started, and the next run asks for it again"
    return UnfollowedError(message) if error.status in PARKED_STATUSES else OutcomeUnknownError(message)


_BOUGHT_NOTHING = {
    True: "nothing was bought",
    False: "an earlier start got no answer, the job is shown as not started, and the next run starts this very job",
}
_FREE = frozenset({Stage.INTENT, Stage.CREATED, Stage.STAGED})
_ENDED = frozenset({Stage.FINISHED, Stage.FAILED, Stage.LOST})


def _without_paths(payload: Mapping[str, Json]) -> JsonObject:
    """The payload, whatever its uploaded files were called: their contents are in it."""
    inputs = [as_object(entry) for entry in as_list(payload.get("input"))]
    sent = [entry | ({"source": ""} if entry.get("type") == "upload" else {}) for entry in inputs]
    return {**payload, "input": sent}
