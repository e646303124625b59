"""One key, from what the log knows of it to a job that has ended.

Creating an unstarted job is free; starting it is the purchase. Every line is durable before the step that
relies on it, so the last line says what may have happened, and recovery needs nothing else.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count

from runner.client.errors import ApiError, OutcomeUnknownError, RefusedError
from runner.errors import RunnerError
from runner.execute.following import Ended, Following
from runner.execute.loading import Loading
from runner.execute.password import download_password, require_sendable
from runner.execute.presence import is_void
from runner.execute.staging import create_body, later_inputs, unlike
from runner.execute.starting import Start
from runner.execute.work import Work, hide_queries
from runner.plan import Action
from runner.runlog import (
    Abandoned,
    AlreadyStarting,
    BudgetExceeded,
    Created,
    Event,
    Intent,
    JobTaken,
    LeaseLost,
    Staged,
    Starting,
)
from runner.state import KeyState, Stage
from runner.wire import job as wire
from runner.wire.secrets import fill_secrets
from runner.wire.values import Json, JsonObject, as_list, as_object

CREATIONS = 3
LAST_ANSWER_S = 5.0  # how long an interrupted run waits for the id of a job that it may have made


@dataclass(frozen=True, kw_only=True, slots=True)
class Purchase:
    work: Work
    loading: Loading
    following: Following
    start: Start
    creations: Iterator[int] = field(default_factory=lambda: count(1))

    @classmethod
    def of(cls, work: Work) -> Purchase:
        following = Following(work=work)
        return cls(
            work=work, loading=Loading(work=work), following=following, start=Start(work=work, following=following)
        )

    async def settle(self, action: Action, state: KeyState | None) -> Ended:
        """Bring the key to its end by `action`, from `state`, what the log knows of it under the lease.

        Raises LostJobError, ParkedError, LeaseLost, and what the client raises.
        """
        if state is None:
            return await self.buy(attempt=1)
        self.work.hide_secrets(state.payload)
        if state.stage in _ENDED:
            return await self._after_the_end(action, state)
        if state.stage is Stage.INTENT:
            if state.job_id:
                await self._give_up_unstarted(state.job_id, state.attempt)
            return await self.buy(attempt=state.attempt, run_date=state.run_date)
        if state.stage in (Stage.CREATED, Stage.STAGED):
            return await self._take_up(state)
        if state.stage is Stage.STARTING:
            return await self.start.job(state.job_id, attempt=state.attempt, payload=dict(state.payload), again=True)
        return await self.following.follow(state.job_id, attempt=state.attempt, payload=dict(state.payload))

    async def _after_the_end(self, action: Action, state: KeyState) -> Ended:
        if action is not Action.RETRY:
            return await self.following.again(state)
        if state.stage is Stage.LOST:
            return await self._found_or_bought(state)
        return await self.buy(attempt=state.attempt + 1)

    async def buy(self, *, attempt: int, run_date: str = "") -> Ended:
        """A purchase from its intent on, as the recipe is now: `attempt` counts from 1, `run_date` is that of an
        interrupted one. Limits, callbacks and references to secrets are no part of the key: the newest count."""
        self.work.require_room()
        run_date = run_date or self.work.site.run_date
        payload = self.work.job.payload_for(run_date=run_date)
        body = fill_secrets(payload, self.work.resolve)
        require_sendable(download_password(body))  # what can't be fetched isn't bought
        hide_queries(body, hidden=self.work.site.api.hidden)
        await self.work.log(
            Intent(
                key=self.work.job.key,
                attempt=attempt,
                addresses=tuple(step.address for step in self.work.steps),
                payload=payload,
                cap=self.work.job.cap,
                recipe=self.work.job.recipe,
                account=self.work.site.account,
                run_date=run_date,
                endpoint=self.work.job.endpoint,
                epoch=self.work.job.draft.recipe.epoch,
            ),
            budget=self.work.budget(),
        )
        for tries_left in reversed(range(CREATIONS)):
            try:
                return await self._bought(body, attempt=attempt, payload=payload)
            except JobTaken as error:
                if not tries_left:
                    raise OutcomeUnknownError(str(error), hint=error.hint) from error
        raise AssertionError("the loop above returns or raises")

    async def _bought(self, body: JsonObject, *, attempt: int, payload: JsonObject) -> Ended:
        """Raises JobTaken where the server calls a job of other work the one that it made: that one is left alone."""
        try:
            created = await self._create_to_the_end(body, attempt)
        except RefusedError as error:
            await self.start.barred(error, attempt)
            raise
        try:
            return await self._stage_and_start(created, body, attempt=attempt, payload=payload)
        except (ApiError, AlreadyStarting, BudgetExceeded, asyncio.CancelledError) as error:
            hurried = isinstance(error, asyncio.CancelledError)
            await self._clear_away(created.id, attempt, within_s=LAST_ANSWER_S if hurried else None)
            await self.start.barred(error, attempt)
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
            await asyncio.wait([creating], timeout=0 if self.work.site.api.contact.lost else LAST_ANSWER_S)
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
        state = self.work.state()
        if (state is None or state.job_id != job_id) and not self._knows(job_id):
            with suppress(RunnerError):
                await self.work.site.api.delete_job(job_id)

    async def _create(self, body: JsonObject, attempt: int) -> wire.Job:
        """An unstarted job. Where an answer is lost another creation is made: the first is unstarted and free."""
        self.work.say("creating")
        sent = create_body(body)
        for tried in range(1, CREATIONS + 1):
            # Never the same key twice: whoever goes by it would answer with the job that was given up.
            idempotency_key = f"{self.work.job.key}:{attempt}:{next(self.creations)}:{self.work.site.run_id}"
            try:
                return _required_fresh(
                    await self.work.site.api.create_job(sent, idempotency_key=idempotency_key), sent=sent
                )
            except OutcomeUnknownError:
                if tried == CREATIONS:
                    raise
                await self.work.site.sleep(0.5 * 2**tried)
        raise AssertionError("the loop above returns or raises")

    def _knows(self, job_id: str) -> bool:
        return self.work.site.log.knows_job(job_id, run_id=self.work.site.run_id)

    async def _stage_and_start(
        self, created: wire.Job, body: JsonObject, *, attempt: int, payload: JsonObject
    ) -> Ended:
        line: Event = Created(key=self.work.job.key, attempt=attempt, job_id=created.id)
        if not self.work.job.uploads and not later_inputs(body):
            staged = Staged(key=self.work.job.key, attempt=attempt, uploads=())
            return await self.start.job(created.id, attempt=attempt, payload=payload, before=(line, staged))
        await self.work.log(line)
        staged = await self.loading.load(created, body, attempt)
        return await self.start.job(created.id, attempt=attempt, payload=payload, before=(staged,))

    async def _take_up(self, state: KeyState) -> Ended:
        """An earlier run got as far as an unstarted job. Half staged ones are replaced, and those that the recipe
        asks for otherwise by now (another limit, say); the others are started."""
        if state.stage is Stage.STAGED:
            job, payload = await self.work.find(state.job_id), dict(state.payload)
            if job is not None and not job.is_unstarted and not is_void(job):
                # Somebody else started it. It is ours all the same, and this attempt has no other.
                await self.work.log(Starting(key=self.work.job.key, attempt=state.attempt, job_id=state.job_id))
                return await self.following.is_started(job, attempt=state.attempt, payload=payload)
            if job is not None and job.is_unstarted and self._is_as_wanted(state):
                return await self.start.job(state.job_id, attempt=state.attempt, payload=payload)
        await self._give_up_unstarted(state.job_id, state.attempt)
        return await self.buy(attempt=state.attempt, run_date=state.run_date)

    def _is_as_wanted(self, state: KeyState) -> bool:
        """Whether the job is what the recipe asks for now, in what is no part of its key too, and booked to it."""
        wanted = self.work.job.payload_for(run_date=state.run_date or self.work.site.run_date)
        return state.recipe == self.work.job.recipe and _without_paths(state.payload) == _without_paths(wanted)

    async def _found_or_bought(self, state: KeyState) -> Ended:
        """A lost job, which may be bought again: unless the server has it after all."""
        job = await self.work.find(state.job_id)
        payload = dict(state.payload)
        if job is None or is_void(job):
            return await self.buy(attempt=state.attempt + 1)
        if job.is_unstarted:
            return await self.start.job(state.job_id, attempt=state.attempt, payload=payload, again=True)
        return await self.following.is_started(job, attempt=state.attempt, payload=payload)

    async def _give_up_unstarted(self, job_id: str, attempt: int) -> None:
        """Delete a job of ours that was never started. What can't be deleted now is left to `sweep`: it is free.

        One that was whole is looked at first: should it run against all odds, the next run picks it up.
        """
        state = self.work.state()
        if state is None or state.job_id not in (job_id, "") or state.stage not in _FREE:
            return
        if not state.job_id and self._knows(job_id):
            return  # an answer of old to a new creation
        if state.stage is Stage.STAGED:
            job = await self.work.find(job_id)
            if job is not None and not job.is_unstarted and not is_void(job):
                return
            # Should we be suspended here, whoever takes over would start what we delete when we wake up.
            await self.work.log(Intent.again(state))
        try:
            await self.work.site.api.delete_job(job_id)
        except ApiError:
            return
        if state.job_id:
            await self.work.log(Abandoned(key=self.work.job.key, attempt=attempt, job_id=job_id))


def _required_fresh(created: wire.Job, *, sent: JsonObject) -> wire.Job:
    """`created`, unless it is seen to be another job than the one that was asked for: then it says nothing of ours."""
    why = unlike(created, sent)
    if why:
        raise OutcomeUnknownError(f"POST /jobs: the answer is about another job, {created.id}: {why}")
    return created


_FREE = frozenset({Stage.INTENT, Stage.CREATED, Stage.STAGED})
_ENDED = frozenset({Stage.FINISHED, Stage.FAILED, Stage.LOST})


def _without_paths(payload: Mapping[str, Json]) -> JsonObject:
    """The payload, whatever its uploaded files were called: their contents are in it."""
    inputs = [as_object(entry) for entry in as_list(payload.get("input"))]
    sent = [entry | ({"source": ""} if entry.get("type") == "upload" else {}) for entry in inputs]
    return {**payload, "input": sent}
