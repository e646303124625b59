"""Waiting for many jobs with few requests: one look at the list serves all who wait."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass

from runner.client.api import ConversionApi
from runner.client.errors import OutcomeUnknownError, OversizeAnswerError, RefusedError
from runner.errors import RunnerError
from runner.execute.faults import NotStartedError
from runner.execute.shown import tells_its_end
from runner.wire.job import Job
from runner.wire.status import is_known
from runner.wire.values import folded_id

FIRST_WAIT_S = 0.02
FACTOR = 1.6
MOST_WAIT_S = 5.0
PAGE_SIZE = 50
# From so many due at once the list is cheaper than a request each.
LIST_FROM = 3
# A page that doesn't come in this time makes the list none for a while: each job is looked at singly.
LIST_WITHIN_S = 10.0
NO_LIST_S = 60.0
TOGETHER_S = 0.05
# Looks that take no longer keep those who wait together; one that does goes on, and nobody waits for it.
LOOK_PATIENCE_S = 1.0
# For so long a job that was started may be shown as if it weren't: what writes and what shows may be two things there.
UNSTARTED_S = 5.0
# The first look comes a little before jobs usually end, so that it is noticed when they take less time than they did.
SOONER = 0.8


@dataclass(kw_only=True, slots=True)
class _Wait:
    job_id: str
    ended: asyncio.Future[Job]
    began: float
    due: float
    wait_s: float
    is_looked_at: bool = False

    def next_look(self, now: float) -> None:
        self.is_looked_at = False
        self.due = now + self.wait_s
        self.wait_s = min(self.wait_s * FACTOR, MOST_WAIT_S)


class Poller:
    """Answers `wait(job_id)` when the job has ended. Runs while its `async with` block does."""

    def __init__(
        self,
        api: ConversionApi,
        *,
        clock: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]],
        list_within_s: float = LIST_WITHIN_S,
        look_patience_s: float = LOOK_PATIENCE_S,
        unheard_of: Callable[[Job], None] = lambda _: None,
    ):
        """`unheard_of` is told of a job with a status that we don't know, once for each status."""
        self._api = api
        self._unheard_of = unheard_of
        self._told: set[str] = set()
        self._clock = clock
        self._sleep = sleep
        self._list_within_s = list_within_s
        self._look_patience_s = look_patience_s
        self._no_list_until = -math.inf
        self._looks: set[asyncio.Task[None]] = set()
        self._waits: dict[str, _Wait] = {}
        self._wanted = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._bug: Exception | None = None

    async def __aenter__(self) -> Poller:
        self._task = asyncio.create_task(self._run())
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._task is not None:
            tasks = (self._task, *self._looks)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def wait(self, job_id: str, *, expected_s: float = 0.0, waited_s: float = 0.0) -> Job:
        """The job as it ended; the first look comes when it ran for about `expected_s`, of which `waited_s` are over.

        Raises GoneError where the server no longer knows it, NotStartedError where it goes on showing it as not
        started, and other ApiErrors.
        """
        if self._bug is not None:
            raise self._bug
        ended: asyncio.Future[Job] = asyncio.get_running_loop().create_future()
        first_s = max(FIRST_WAIT_S, SOONER * expected_s)
        left_s = first_s - min(max(0.0, waited_s), first_s)  # clocks may jump
        now = self._clock()
        self._waits[folded_id(job_id)] = _Wait(
            job_id=job_id, ended=ended, began=now, due=now + left_s, wait_s=FIRST_WAIT_S * FACTOR
        )
        self._wanted.set()
        try:
            return await ended
        finally:
            self._waits.pop(folded_id(job_id), None)

    def wake(self, job_id: str) -> None:
        """Somebody says that this job has ended: look now. It is only a hint; what counts is what the look finds."""
        wait = self._waits.get(folded_id(job_id))
        if wait is not None:
            wait.due = self._clock()
            wait.wait_s = FIRST_WAIT_S * FACTOR

    async def _run(self) -> None:
        try:
            await self._watch()
        except Exception as error:
            # A bug of ours: those who wait must meet it, not wait for ever.
            self._bug = error
            for wait in self._waits.values():
                if not wait.ended.done():
                    wait.ended.set_exception(error)
            raise

    async def _watch(self) -> None:
        while True:
            if not self._waits:
                self._wanted.clear()
                await self._wanted.wait()
            await self._sleep_until_due()
            now = self._clock()
            due = [wait for wait in self._waits.values() if not wait.is_looked_at and wait.due <= now + TOGETHER_S]
            if due:
                await self._look(due)
            for look in [look for look in self._looks if look.done()]:
                self._looks.discard(look)
                look.result()  # a bug of ours

    async def _sleep_until_due(self) -> None:
        """Newcomers are due no sooner than those who wait already, so a plain sleep in small steps is enough."""
        now = self._clock()
        earliest = min((wait.due for wait in self._waits.values() if not wait.is_looked_at), default=math.inf)
        await self._sleep(max(0.0, min(earliest - now, TOGETHER_S)))

    async def _look(self, due: Sequence[_Wait]) -> None:
        seen = await self._listed(due) if len(due) >= LIST_FROM and self._clock() >= self._no_list_until else set()
        looks: set[asyncio.Task[None]] = set()
        for wait in due:
            if wait.job_id in seen or wait.ended.done():
                wait.next_look(self._clock())
            else:
                looks.add(asyncio.create_task(self._look_at(wait)))
        self._looks |= looks
        if looks:
            await asyncio.wait(looks, timeout=self._look_patience_s)

    async def _listed(self, due: Sequence[_Wait]) -> set[str]:
        """Whom the list showed. One that doesn't work says nothing about any job."""
        try:
            return await self._list(due)
        except (TimeoutError, OversizeAnswerError):
            self._no_list_until = self._clock() + NO_LIST_S
        except (RefusedError, OutcomeUnknownError):
            pass
        except RunnerError as error:
            _fail(due, error)
        return set()

    async def _list(self, due: Sequence[_Wait]) -> set[str]:
        """Look at as many pages as all who wait could fill, newest first; answers whose jobs were on them."""
        seen: set[str] = set()
        missing = {wait.job_id for wait in due}
        wanted = {folded: wait.job_id for folded, wait in self._waits.items()}
        for page in range(1, math.ceil(len(self._waits) / PAGE_SIZE) + 2):
            async with asyncio.timeout(self._list_within_s):
                listed = await self._api.jobs(page=page, wanted=wanted)
            seen.update(self._settle(listed.jobs))
            missing -= seen
            if not missing or not listed.full:
                break
        return seen

    def _settle(self, rows: Iterable[Job]) -> Iterable[str]:
        """The jobs of which `rows` say all that is to know. The list is a hint: it may be behind, or show less of a job
        than the job itself does, and an end is written down only once. So failures, ends with something missing and
        starts that it doesn't show are looked at singly."""
        for job in rows:
            if not job.status:
                continue
            wait = self._waits.get(folded_id(job.id))
            if job.ended and not tells_its_end(job):
                if wait is not None:
                    wait.due = self._clock()
            elif not job.is_unstarted or (wait is not None and self._clock() - wait.began <= UNSTARTED_S):
                if wait is not None:
                    self._seen(wait, job)
                yield job.id

    async def _look_at(self, wait: _Wait) -> None:
        wait.is_looked_at = True
        try:
            self._seen(wait, await self._api.job(wait.job_id))
        except RunnerError as error:
            _fail([wait], error)
        wait.next_look(self._clock())

    def _seen(self, wait: _Wait, job: Job) -> None:
        if wait.ended.done():
            return
        if job.ended:
            wait.ended.set_result(job)
        elif job.is_unstarted and self._clock() - wait.began > UNSTARTED_S:
            wait.ended.set_exception(NotStartedError(f"job {job.id} is shown as '{job.status}', as if it had no start"))
        elif not is_known(job.status) and job.status not in self._told:
            self._told.add(job.status)
            self._unheard_of(job)


def _fail(waits: Iterable[_Wait], error: RunnerError) -> None:
    for wait in waits:
        if not wait.ended.done():
            wait.ended.set_exception(error)
