"""Waiting for jobs: how often the server is asked, by list or singly, and what a broken list means."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Any

import pytest

from runner.client.api import ConversionApi
from runner.client.endpoint import Endpoint
from runner.client.errors import GoneError
from runner.client.http import Answer, Content, Http
from runner.client.pacing import Backoff
from runner.errors import AuthenticationError
from runner.execute.durations import Durations
from runner.execute.faults import NotStartedError
from runner.execute.pace import Pace
from runner.execute.poll import MOST_WAIT_S, NO_LIST_S, PAGE_SIZE, SOONER, TOGETHER_S, UNSTARTED_S, Poller
from runner.state import KeyState, Stage
from runner.wire.job import Job

Broken = Callable[[str], int | None]


@dataclass(kw_only=True)
class Time:
    """Passes only when everybody sleeps."""

    now: float = 0.0
    _sleepers: list[tuple[float, int, asyncio.Future[None]]] = field(default_factory=list)
    _count: int = 0

    async def sleep(self, seconds: float) -> None:
        self._count += 1
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self.now + seconds, self._count, woken))
        await woken

    async def pass_until(self, done: asyncio.Future[Any]) -> None:
        while not done.done():
            for _ in range(50):  # everybody who can go on does
                await asyncio.sleep(0)
            if self._sleepers and not done.done():
                self.now, _, woken = heapq.heappop(self._sleepers)
                if not woken.done():
                    woken.set_result(None)


@dataclass(kw_only=True)
class Account(Http):
    """Jobs by when they end, newest first in the list; `broken` says with which status a path is refused, `row` what
    the list shows of a job."""

    ends: dict[str, float]
    time: Time = field(default_factory=Time)
    broken: Broken = lambda _: None
    before: str = "processing"
    row: Callable[[dict[str, Any]], Any] = lambda job: job
    hangs: str = ""  # what stands in the path gets no answer until everybody else is done
    unheard_of: list[str] = field(default_factory=list)
    freed: asyncio.Event = field(default_factory=asyncio.Event)
    asked: list[tuple[float, str]] = field(default_factory=list)

    async def request(
        self, _method: str, url: str, *, headers: Mapping[str, str], content: Content | None = None
    ) -> Answer:
        assert headers
        assert content is None
        path = url.removeprefix("http://api.test")
        self.asked.append((self.time.now, path))
        if self.hangs and self.hangs in path:
            await self.freed.wait()
        status = self.broken(path)
        if status is not None:
            return _answer(None, status=status)
        if path.startswith("/v2/jobs?page="):
            page = int(path.rpartition("=")[2])
            ids = list(reversed(self.ends))[(page - 1) * PAGE_SIZE : page * PAGE_SIZE]
            return _answer([self.row(self._job(one)) for one in ids])
        job_id = path.rpartition("/")[2]
        return _answer(self._job(job_id)) if job_id in self.ends else _answer(None, status=404)

    def _job(self, job_id: str) -> dict[str, Any]:
        if self.time.now < self.ends[job_id]:
            return {"id": job_id, "status": {"code": self.before}, "process": False}
        return {
            "id": job_id,
            "status": {"code": "completed"},
            "spent": 3,
            "warnings": [],
            "conversion": [{"id": "c"}],
            "output": [{"id": "o", "filename": "a.webp", "uri": "http://x/a", "size": 0, "checksum": "d41d"}],
        }

    @property
    def lists(self) -> list[float]:
        return [at for at, path in self.asked if "?" in path]

    @property
    def singles(self) -> Counter[str]:
        return Counter(path.rpartition("/")[2] for _, path in self.asked if "?" not in path)

    def wait_for(self, *job_ids: str, expected_s: float = 0.0) -> list[Job | BaseException]:
        async def main() -> list[Job | BaseException]:
            endpoint = Endpoint(name="x", base_url="http://api.test/v2", api_key="k")
            once = Backoff(tries=0)
            api = ConversionApi(endpoint=endpoint, http=self, sleep=self.time.sleep, backoff=once, rng=Random(1))
            async with Poller(
                api,
                clock=lambda: self.time.now,
                sleep=self.time.sleep,
                list_within_s=0.01,
                look_patience_s=0.01,
                unheard_of=lambda job: self.unheard_of.append(job.status),
            ) as poller:
                waits = {one: asyncio.create_task(poller.wait(one, expected_s=expected_s)) for one in job_ids}
                others = (task for job_id, task in waits.items() if job_id != self.hangs)
                await self.time.pass_until(asyncio.gather(*others, return_exceptions=True))
                self.freed.set()
                waiting = asyncio.gather(*waits.values(), return_exceptions=True)
                await self.time.pass_until(waiting)
                return waiting.result()

        return asyncio.run(asyncio.wait_for(main(), timeout=20))


def _answer(document: object, *, status: int = 200) -> Answer:
    return Answer(status=status, headers={}, content=json.dumps(document).encode())


def jobs(count: int, *, end: float = 0.0) -> dict[str, float]:
    return {f"j{number}": end for number in range(count)}


def test_two_who_wait_are_looked_at_singly_and_three_by_the_list() -> None:
    few, many = Account(ends=jobs(2)), Account(ends=jobs(3))

    few.wait_for(*few.ends)
    many.wait_for(*many.ends)

    assert (few.lists, few.singles) == ([], {"j0": 1, "j1": 1})
    assert (len(many.lists), many.singles) == (1, {})


@pytest.mark.parametrize(("count", "pages"), [(49, 1), (50, 1), (51, 2), (120, 3)])
def test_the_list_is_read_by_pages_until_all_who_wait_were_seen(count: int, pages: int) -> None:
    account = Account(ends=jobs(count))

    ended = account.wait_for(*account.ends)

    assert [job.id for job in ended if isinstance(job, Job)] == list(account.ends)
    assert (len(account.lists), account.singles) == (pages, {})


def test_who_is_too_old_for_the_pages_that_are_read_is_asked_for_singly() -> None:
    account = Account(ends=jobs(400))

    account.wait_for("j0", "j399", "j398")

    assert (len(account.lists), account.singles) == (2, {"j0": 1})


def test_the_first_look_comes_when_such_jobs_usually_end_and_later_ones_ever_more_rarely() -> None:
    account = Account(ends={"j": 60.0})

    account.wait_for("j", expected_s=9.0)

    at = [when for when, _ in account.asked]
    waits = [round(later - earlier, 6) for earlier, later in itertools.pairwise(at)]
    assert at[0] == pytest.approx(SOONER * 9.0, abs=2 * TOGETHER_S)
    assert waits == sorted(waits)
    assert max(waits) <= MOST_WAIT_S + 2 * TOGETHER_S
    assert at[-1] - 60.0 <= MOST_WAIT_S


def without(name: str) -> Callable[[dict[str, Any]], Any]:
    """The job without one thing that is to know of it, or of its outputs."""

    def shown(job: dict[str, Any]) -> dict[str, Any]:
        outputs = [{key: value for key, value in one.items() if key != name} for one in job.get("output", [])]
        return {key: value for key, value in {**job, "output": outputs}.items() if key != name}

    return shown


def stale(**shown: Any) -> Callable[[dict[str, Any]], Any]:
    return lambda job: {**job, **shown}


@pytest.mark.parametrize(
    "row",
    [
        without("spent"),
        without("warnings"),
        without("conversion"),
        without("output"),
        without("uri"),
        without("size"),
        without("checksum"),
        stale(spent=0),
        stale(output=[]),
        stale(status={"code": "failed"}, spent=0, output=[]),
        stale(status={"code": "canceled"}),
    ],
)
def test_an_end_is_known_from_the_job_itself_where_the_list_shows_less_or_a_failure(
    row: Callable[[dict[str, Any]], Any],
) -> None:
    account = Account(ends=jobs(4), row=row)

    ended = account.wait_for(*account.ends)

    assert [(job.status, job.spent, job.outputs[0].uri) for job in ended if isinstance(job, Job)] == [
        ("completed", 3, "http://x/a")
    ] * 4
    assert account.singles == dict.fromkeys(account.ends, 1)


def test_a_failure_that_only_the_list_shows_is_no_end() -> None:
    account = Account(ends=jobs(4, end=3.0), row=stale(status={"code": "failed"}))

    ended = account.wait_for(*account.ends)

    assert {job.status for job in ended if isinstance(job, Job)} == {"completed"}
    assert account.time.now >= 3.0


def test_a_list_that_goes_on_showing_jobs_as_not_started_is_not_believed() -> None:
    account = Account(ends=jobs(4, end=30.0), row=stale(status={"code": "ready"}))

    assert [type(one) for one in account.wait_for(*account.ends)] == [Job] * 4


def test_ids_in_another_case_and_rows_that_are_no_jobs_are_no_trouble() -> None:
    odd: Iterator[Any] = itertools.cycle([None, {"id": {"job": "j0"}}, "x", {"id": []}])
    account = Account(ends=jobs(8), row=lambda job: next(odd) if job["id"] < "j4" else {**job, "id": job["id"].upper()})

    ended = account.wait_for(*account.ends)

    assert [job.id for job in ended if isinstance(job, Job)] == list(account.ends)
    assert set(account.singles) == {"j0", "j1", "j2", "j3"}


@pytest.mark.parametrize("status", [400, 402, 404, 429, 500])
def test_a_list_that_doesnt_work_says_nothing_of_any_job(status: int) -> None:
    account = Account(ends=jobs(4), broken=lambda path: status if "?" in path else None)

    ended = account.wait_for(*account.ends)

    assert [job.id for job in ended if isinstance(job, Job)] == list(account.ends)
    assert account.singles == dict.fromkeys(account.ends, 1)


@pytest.mark.parametrize("count", [2, 4])
def test_a_look_that_hangs_holds_up_no_other(count: int) -> None:
    account = Account(ends=jobs(count, end=60.0), hangs="j0", broken=lambda path: 500 if "?" in path else None)

    ended = account.wait_for(*account.ends)

    assert [job.id for job in ended if isinstance(job, Job)] == list(account.ends)
    assert account.singles["j0"] == 1
    assert min(account.singles[one] for one in account.ends if one != "j0") > 10


def test_a_list_that_hangs_is_left_for_single_looks_and_not_asked_for_at_once_again() -> None:
    account = Account(ends=jobs(4, end=NO_LIST_S / 2), hangs="?")

    ended = account.wait_for(*account.ends)

    assert [job.id for job in ended if isinstance(job, Job)] == list(account.ends)
    assert len(account.lists) == 1


def test_a_row_without_a_status_says_nothing_of_its_job() -> None:
    account = Account(ends=jobs(4), row=lambda job: job | {"status": None})

    ended = account.wait_for(*account.ends)

    assert [job.id for job in ended if isinstance(job, Job)] == list(account.ends)
    assert account.singles == dict.fromkeys(account.ends, 1)


@pytest.mark.parametrize("count", [1, 4])
def test_a_status_nobody_knows_is_waited_out_and_told_once(count: int) -> None:
    account = Account(ends=jobs(count, end=30.0), before="Archiving")

    ended = account.wait_for(*account.ends)

    assert [job.id for job in ended if isinstance(job, Job)] == list(account.ends)
    assert account.unheard_of == ["archiving"]


def test_a_wrong_key_ends_the_wait_of_all() -> None:
    account = Account(ends=jobs(4), broken=lambda _: 401)

    assert [type(one) for one in account.wait_for(*account.ends)] == [AuthenticationError] * 4


def test_a_job_that_is_gone_is_no_trouble_of_the_others() -> None:
    account = Account(ends=jobs(3))

    ended = account.wait_for("j0", "gone", "j1", "j2")

    assert [type(one) for one in ended] == [Job, GoneError, Job, Job]


@pytest.mark.parametrize("status", ["incomplete", "ready", "downloading"])
@pytest.mark.parametrize("count", [1, 4])
def test_a_job_that_goes_on_being_shown_as_not_started_is_not_waited_for(status: str, count: int) -> None:
    account = Account(ends=jobs(count, end=1e9), before=status)

    assert [type(one) for one in account.wait_for(*account.ends)] == [NotStartedError] * count
    assert UNSTARTED_S < account.time.now < 3 * UNSTARTED_S


def test_a_job_that_is_shown_late_as_started_is_waited_for() -> None:
    account = Account(ends={"j": UNSTARTED_S / 2}, before="ready")

    assert [type(one) for one in account.wait_for("j")] == [Job]


def test_the_pace_halves_at_a_429_never_ends_and_finds_back_up() -> None:
    async def in_use(pace: Pace, count: int) -> None:
        if count == 0:
            pace.too_many()
            return
        async with pace.slot():
            await in_use(pace, count - 1)

    pace = Pace(8)
    limits = [pace.limit]
    for _ in range(4):
        asyncio.run(in_use(pace, pace.limit))
        limits.append(pace.limit)
    rounds = 0
    while pace.limit < 8 and rounds < 100:
        pace.went_well()
        rounds += 1

    assert limits == [8, 4, 2, 1, 1]
    assert (pace.limit, 8 < rounds < 60) == (8, True)


def test_no_more_jobs_are_begun_than_the_pace_allows() -> None:
    async def main() -> int:
        pace, inside, most = Pace(8), 0, 0
        async with pace.slot(), pace.slot(), pace.slot(), pace.slot():
            pace.too_many()

        async def one() -> None:
            nonlocal inside, most
            async with pace.slot():
                inside += 1
                most = max(most, inside)
                await asyncio.sleep(0)
                inside -= 1

        await asyncio.gather(*(one() for _ in range(20)))
        return most

    assert asyncio.run(main()) == 2


def state(recipe: str, took_s: float) -> KeyState:
    return KeyState(
        key="k", attempt=1, stage=Stage.FINISHED, recipe=recipe, started_at=100.0, finished_at=100.0 + took_s
    )


def test_what_is_expected_is_what_three_of_four_took_at_least_by_recipe() -> None:
    durations = Durations([state("a", took) for took in (8.0, 2.0, 4.0, 6.0)] + [state("b", 1.0)])

    assert (durations.expected("a"), durations.expected("b"), durations.expected("new")) == (4.0, 1.0, 0.0)


def test_clocks_that_jumped_are_forgotten_and_nobody_waits_for_more_than_a_minute() -> None:
    durations = Durations([state("a", -5.0), state("a", 1e6), state("long", 3000.0)])

    assert (durations.expected("a"), durations.expected("long")) == (0.0, 60.0)
