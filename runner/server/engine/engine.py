"""The engine: takes started jobs from a queue, one conversion step after another, until they end.

The database is the truth and the queue only its echo: a restart reads what has not ended and goes on. A
step that ended is in the record with its files, so nothing is converted twice.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

from runner.server.config import ServerConfig
from runner.server.engine.arrivals import shown_name
from runner.server.engine.cloud_inputs import site_of
from runner.server.engine.delivery import Delivery, split_by_target
from runner.server.engine.ending import ended_badly, ended_well, has_to_pack, must_fail, published
from runner.server.engine.fair_queue import FairQueue
from runner.server.engine.fetching import Fetching
from runner.server.engine.purse import Purse
from runner.server.engine.stepping import Convert, Stepper
from runner.server.engine.steps import StepPlan, plan_steps, step_errors, with_facts
from runner.server.engine.threads import in_a_thread
from runner.server.jobs.lifecycle import ENDED, Event, Phase, follow
from runner.server.jobs.limits import max_credit
from runner.server.jobs.notes import input_errors
from runner.server.jobs.record import Input, Job, Output, Step
from runner.server.jobs.staging import settle
from runner.server.jobs.targets import for_source
from runner.server.jobs.vault import Vault
from runner.server.standing import Standing
from runner.server.store.blobs import Blobs
from runner.server.store.deliveries import DeliveryLog
from runner.server.store.jobs import JobStore
from runner.wire.values import JsonObject

_log = logging.getLogger(__name__)

_RETRY_S = 5.0
_MOST_RETRY_S = 600.0
_OUR_FAULT = {"code": 500, "message": "The server failed; its log says why. Nothing was charged"}


class _StepFailed(Exception):
    """A step failed in a job that fails with it."""


class Engine:
    """`start` takes up what an earlier process left; `close` stops without ending anything."""

    def __init__(
        self,
        config: ServerConfig,
        *,
        jobs: JobStore,
        deliveries: DeliveryLog,
        blobs: Blobs,
        vault: Vault,
        purse: Purse,
        convert: Convert,
        parallel: int,
        workdir: Path,
        standing: Standing,
    ) -> None:
        self._jobs = jobs
        self._blobs = blobs
        self._vault = vault
        self._purse = purse
        self._parallel = parallel
        self._stepper = Stepper(config.contract, blobs=blobs, purse=purse, convert=convert, workdir=workdir)
        site = site_of(config)  # one for both ways: what a store bears at once, it bears of both together
        self._fetching = Fetching(config, site, blobs, vault, self._settle)
        self._delivery = Delivery(site, jobs=jobs, log=deliveries, blobs=blobs, vault=vault, at_once=config.fetches)
        self._queue = FairQueue()
        self._running: dict[str, asyncio.Task[None]] = {}
        self._standing = standing
        self._later: dict[str, asyncio.TimerHandle] = {}
        self._failures: Counter[str] = Counter()  # of ours in a row, by job

    async def start(self) -> None:
        for job in self._jobs.busy():
            self._take_up(job)
        self._jobs.listeners.append(self._watch)
        # One more than there are workers, so that they have work while a job is being finished.
        for _ in range(self._parallel + 1):
            self._standing.start("conversions", self._run_next)

    async def close(self) -> None:
        """Call it after the standing tasks have ended."""
        self._jobs.listeners.remove(self._watch)
        for timer in self._later.values():
            timer.cancel()
        tasks = list(self._running.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.gather(self._fetching.close(), self._delivery.close())

    def load(self) -> tuple[int, int]:
        """How many started jobs wait, and how many are being converted."""
        return len(self._queue), len(self._running)

    def _take_up(self, job: Job) -> None:
        """What an earlier process left; a job that can't be taken up must not keep the server from starting."""
        try:
            self._blobs.keep_only(job.id, _known_blobs(job))
        except OSError:
            _log.exception("job %s: files that nobody needs could not be removed", job.id)
        self._watch(None, job)
        if job.phase is Phase.PROCESSING:
            self._queue.put(job.account, job.id)

    def _watch(self, old: Job | None, new: Job) -> None:
        """After every change of a job: whatever has to happen next, begins."""
        if new.phase in ENDED:
            self._after_end(new)
            return
        self._fetching.take_off(new)
        if new.phase is Phase.QUEUED and (old is None or old.phase is not Phase.QUEUED):
            self._queue.put(new.account, new.id)

    def _after_end(self, job: Job) -> None:
        self._vault.wipe(job.id)
        self._failures.pop(job.id, None)
        if job.phase is Phase.CANCELED:
            self._fetching.stop_job(job.id)
            if task := self._running.get(job.id):
                task.add_done_callback(lambda _: self._blobs.remove_job(job.id))  # what it was just writing
                task.cancel()
            self._blobs.remove_job(job.id)

    async def _settle(self, job_id: str, got: Input) -> Input | None:
        done_with = self._is_done_with(job_id, got)
        job = await self._jobs.change(job_id, partial(_with_fetched, replace(got, sealed=not done_with)))
        now = job.input(got.id)
        if job.phase not in ENDED and now is not None and _is_elsewhere(now, got):
            if got.blob:
                self._blobs.remove(got.blob)
            return now
        if done_with:
            self._vault.forget(job_id, got.id)
            await self._jobs.keep_secrets(job_id)
        if got.blob and (job.phase in ENDED or now is None):
            self._blobs.remove(got.blob)
        return None

    def _is_done_with(self, job_id: str, got: Input) -> bool:
        """Whether the credentials of an input have served: what fetched a file isn't needed to convert it."""
        given = self._vault.get(job_id, got.id) or {}
        return got.type == "cloud" and got.status == "ready" and "decrypt_password" not in given

    async def _run_next(self) -> None:
        """A job, until others may be converted: to its end, or to where it only waits for somebody's storage."""
        account, job_id = await self._queue.get()
        done_converting = asyncio.Event()
        task = asyncio.create_task(self._run_to_the_end(account, job_id, done_converting))
        self._running[job_id] = task
        # Not in the task: one that is canceled before it began runs no line of its own.
        task.add_done_callback(lambda _: self._running.pop(job_id))
        task.add_done_callback(lambda _: done_converting.set())
        await done_converting.wait()

    async def _run_to_the_end(self, account: str, job_id: str, done_converting: asyncio.Event) -> None:
        try:
            await self._process(job_id, done_converting)
        except Exception as error:  # noqa: BLE001  # whatever it was, the job must not be left where it is
            await self._blame_ourselves(account, job_id, error)

    async def _blame_ourselves(self, account: str, job_id: str, error: Exception) -> None:
        _log.error("job %s: the engine failed", job_id, exc_info=error)
        try:
            await self._jobs.change(job_id, lambda job: ended_badly(job, [_OUR_FAULT]))
        except Exception:  # noqa: BLE001  # a full disk, most likely: the job stays accepted and is tried again
            _log.exception("job %s: its failure could not be recorded; trying again", job_id)
            self._again_later(account, job_id)

    def _again_later(self, account: str, job_id: str) -> None:
        """Without a runner that waits for it: others' jobs go on meanwhile."""
        wait_s = min(_RETRY_S * 2 ** self._failures[job_id], _MOST_RETRY_S)
        self._failures[job_id] += 1
        loop = asyncio.get_running_loop()
        self._later[job_id] = loop.call_later(wait_s, self._put_again, account, job_id)

    def _put_again(self, account: str, job_id: str) -> None:
        del self._later[job_id]
        self._queue.put(account, job_id)

    async def _process(self, job_id: str, done_converting: asyncio.Event) -> None:
        job = await self._jobs.change(job_id, _picked)
        if job.phase is not Phase.PROCESSING:
            return  # canceled while it waited
        if errors := must_fail(job, self._vault):
            await self._fail(job, errors)
            return
        steps = list(job.steps)
        if await self._all_converted(job, steps):
            await self._publish(job, steps, done_converting)
        else:
            await self._fail(job, step_errors(steps))

    async def _all_converted(self, job: Job, steps: list[Step]) -> bool:
        failed = False
        try:
            await self._convert(job, steps)
        except* _StepFailed:
            failed = True
        return not failed

    async def _convert(self, job: Job, steps: list[Step]) -> None:
        """Make the steps that `steps` lacks, and add them to it."""
        known = {step.name for step in steps}
        left = [plan for plan in plan_steps(job) if plan.name not in known]
        waiting = iter(left)
        async with asyncio.TaskGroup() as group:
            for _ in range(min(self._at_once(job), len(left))):
                group.create_task(self._convert_next(job, waiting, steps, total=len(left) + len(steps)))

    def _at_once(self, job: Job) -> int:
        """Who may spend only so much does one step after the other: what is left is known only then."""
        limited = max_credit(job) is not None or "max_process_time" in job.limits.get("job", {})
        return 1 if limited or self._purse.is_counted else self._parallel

    async def _convert_next(self, job: Job, waiting: Iterator[StepPlan], steps: list[Step], *, total: int) -> None:
        for plan in waiting:
            step = await self._stepper.run(job, plan, tuple(steps), left=total - len(steps))
            steps.append(step)
            if step.error and job.fail_on_conversion_error:
                raise _StepFailed
            if len(steps) < total:  # the last one is written with the end of the job
                await self._jobs.change(job.id, partial(_with_step, step))

    async def _publish(self, job: Job, steps: list[Step], done_converting: asyncio.Event) -> None:
        try:
            outputs = await self._published(job, steps)
        except OSError as error:
            reason = error.strerror or str(error)
            await self._fail(job, [{"code": 507, "message": f"The server could not store the result: {reason}"}])
            return
        if not outputs:
            await self._fail(job, [*input_errors(job), *step_errors(steps)])
            return
        done_converting.set()
        if errors := await self._delivery.deliver(job, outputs):
            await self._fail(job, errors)
            return
        kept, delivered = split_by_target(job, outputs)
        await self._jobs.change(job.id, lambda now: ended_well(now, steps, kept))
        for output in delivered:
            self._blobs.remove(output.blob)

    async def _published(self, job: Job, steps: list[Step]) -> tuple[Output, ...]:
        if has_to_pack(job, steps):
            return await in_a_thread(partial(published, job, steps, self._blobs))
        return published(job, steps, self._blobs)

    async def _fail(self, job: Job, errors: list[JsonObject]) -> None:
        failed = await self._jobs.change(job.id, lambda now: ended_badly(now, errors))
        self._blobs.keep_only(job.id, _known_blobs(failed))


def _picked(job: Job) -> Job:
    """Taken up; the category of a conversion that named none follows from what the inputs really are."""
    if job.phase not in (Phase.QUEUED, Phase.PROCESSING):
        return job
    kind = next((one.kind for one in job.inputs if one.status == "ready"), "")
    conversions = tuple(for_source(one, kind) for one in job.conversions)
    picked = replace(job, phase=follow(job.phase, Event.PICK), conversions=conversions)
    return job if picked == job else picked


def _with_fetched(got: Input, job: Job) -> Job:
    now = job.input(got.id)
    if job.phase in ENDED or now is None or _is_elsewhere(now, got):
        return job
    inputs = tuple(_merged(one, got) if one.id == got.id else one for one in job.inputs)
    return settle(replace(job, inputs=inputs))


def _is_elsewhere(now: Input, got: Input) -> bool:
    """Whether a PATCH has said meanwhile that the file lies in another place than it was looked for."""
    return now.type == "cloud" and now.status == "downloading" and now.parameters != got.parameters


def _merged(now: Input, got: Input) -> Input:
    """What was fetched, with what a PATCH changed meanwhile."""
    name = shown_name(now.filename, got.original, got.kind) if got.status == "ready" else now.filename
    sealed = now.sealed and got.sealed
    return replace(got, filename=name, parameters=now.parameters, options=now.options, sealed=sealed)


def _with_step(step: Step, job: Job) -> Job:
    if job.phase is not Phase.PROCESSING:
        return job
    return replace(job, steps=(*job.steps, step), inputs=with_facts(job.inputs, [step]))


def _known_blobs(job: Job) -> list[str]:
    made = [file.blob for step in job.steps for file in step.files]
    return [*(one.blob for one in job.inputs if one.blob), *made, *(one.blob for one in job.outputs)]
